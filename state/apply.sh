# How steps are run: under the host's lock, one after the other, journalled, each with a deadline, stopped at a step boundary when the
# controller is gone. Set before it: expected (digest of the inventory as the plan saw it), patience (seconds), set_aside.
# `s0`, `s1`, … and `b0`, `b1`, … are given.
gone=
trap 'gone=1' HUP INT TERM PIPE

give_up() { mark stop "$@"; exit 0; }

identity() { # $1: a process: sets $told to its number, start and boot, which tell it from a later one of the same number. Fails
  # where it has ended
  told=
  read -r line 2>/dev/null <"/proc/$1/stat" || return 1
  line=${line##*) }
  # shellcheck disable=SC2086 # split into words on purpose
  set -- "$1" $line
  case $2 in Z | X) return 1 ;; esac
  read -r boot 2>/dev/null </proc/sys/kernel/random/boot_id || boot=
  told=$1.${21}.$boot
}

lives() { # $1: what `identity` said
  [ -n "$1" ] && identity "${1%%.*}" && [ "$told" = "$1" ]
}

wait_or_fail() { # a second, unless our patience is at its end
  tries=$((tries + 1))
  [ "$tries" -le "$patience" ] && sleep 1
}

lock() { # the lock is held by this shell and dies with it; steps do not inherit it, so a daemon that one starts cannot keep it
  printf '' >>"$folder/lock" || return 2 # not `:`, whose failure would end the shell
  exec 9>>"$folder/lock"
  tries=0
  if command -v flock >/dev/null 2>&1; then
    until flock -n 9 9>&9; do # mksh keeps such a descriptor from its children unless it is named
      wait_or_fail || return 1
    done
    return 0
  fi
  # A name that says from its first moment who holds it: a shell that is killed here leaves no lock that nobody can judge.
  mine=$folder/lock.$$
  until identity "$$" && printf '%s' "$told" >"$mine" && ln "$mine" "$folder/lock.held" 2>/dev/null; do
    holder='' taken=''
    read -r holder 2>/dev/null <"$folder/lock.held"
    if [ -n "$holder" ] && ! lives "$holder"; then
      mv "$folder/lock.held" "$folder/lock.left.$$" 2>/dev/null
      read -r taken 2>/dev/null <"$folder/lock.left.$$"
      # Another run was quicker, and this is its lock.
      if [ "$taken" != "$holder" ]; then ln "$folder/lock.left.$$" "$folder/lock.held" 2>/dev/null; fi
      rm -f "$folder/lock.left.$$"
      continue
    fi
    wait_or_fail || { rm -f "$mine"; return 1; }
  done
  rm -f "$mine"
  trap 'rm -f "$folder/lock.held"' EXIT
}

settle_left_over() { # a step of an earlier run whose shell was killed may still be at work, and its clock sees to it that it ends
  left='' its_clock=''
  read -r left its_clock _ 2>/dev/null <"$folder/running" || return 0
  tries=0
  while lives "$left"; do
    wait_or_fail && continue
    if ! lives "$its_clock"; then end_tree "${left%%.*}" 5; fi
    if lives "$left"; then return 1; fi
  done
  if lives "$its_clock"; then kill "${its_clock%%.*}"; fi
  rm -f "$folder/running"
}

sweep() { # what a step that was killed noted as its litter. It goes only if it is what we made: private, and reached by no link
  if [ ! -e "$folder/litter" ]; then return; fi
  left=$(cat "$folder/litter" && echo .)
  left=${left%??}
  (
    cd -P -- "$left" 2>/dev/null && [ "$PWD" = "$left" ] || exit
    case $(stat -c %u:%a .) in "$uid:"*00 | "$uid:0") ;; *) exit ;; esac
    rm -f -- ./* ./.[!.]* ./..?*
    cd -P .. && rm -f -- "./.reconciler-${left##*-}."* && rmdir -- "./${left##*/}"
  )
  rm -f "$folder/litter"
}

keep() { # stdin becomes the inventory: whole or not at all, also after a power cut
  cat >"$folder/inventory.new" && sync "$folder/inventory.new" && mv -f "$folder/inventory.new" "$folder/inventory" && sync "$folder"
}

digest_inventory() { # sets $digest
  digest=none
  if [ ! -e "$folder/inventory" ]; then return; fi
  digest=$(sha256sum <"$folder/inventory")
  digest=${digest%% *}
}

journal() { # $1: number, $2: status. Without the line on the disk, a run that dies later would not know of this step: then we stop
  if ! printf '{"step":%s,"status":"%s"}\n' "$1" "$2" >>"$folder/inventory" || ! sync "$folder/inventory"; then give_up stage; fi
}

ended() { # $1: number, $2: status
  eval "outcome_$1=\$2"
  mark e "$1" "$2"
  journal "$1" "$2"
}

left_inventory() { # what the next stage of this run expects to find
  digest_inventory
  mark inventory "$digest"
}

rescue() { # $1: number, $2: seconds, $3: numbers of steps: it is done where one of them was begun and did not succeed
  for other in $3; do
    outcome='' # `eval` says what became of the other step
    eval "outcome=\$outcome_$other"
    case $outcome in 0 | skipped) ;; *) perform "$1" "$2"; return ;; esac
  done
  ended "$1" skipped
}

step() { # $1: number, $2: seconds, $3: numbers of the steps without which it makes no sense
  for other in $3; do
    outcome='' # `eval` says what became of the other step
    eval "outcome=\$outcome_$other"
    if [ "$outcome" != 0 ]; then ended "$1" skipped; return; fi
  done
  perform "$1" "$2"
}

perform() { # $1: number, $2: seconds
  # Whoever reads is gone, or asked us to stop: between two steps is the place to do so.
  mark b "$1" 2>/dev/null || gone=1
  if [ -n "$gone" ]; then give_up cancelled; fi
  if [ -z "$fresh" ]; then
    rm -rf "$scratch/work"
    mkdir "$scratch/work" || give_up stage
  fi
  fresh=
  (
    trap 'kill "$pause" 2>/dev/null; exit 0' TERM
    sleep "$2" &
    pause=$!
    printf '' >"$scratch/armed"
    wait "$pause"
    # By now it may be a later run's step that is at work.
    read -r running _ name <"$folder/running" && [ "$name" = "$nonce-$1" ] || exit 0
    printf '' >"$scratch/late"
    end_tree "${running%%.*}" 5
  ) </dev/null >/dev/null 2>&1 9>&- &
  clock=$!
  (
    trap - HUP INT TERM PIPE
    read -r pid _ </proc/self/stat
    identity "$clock"
    its_clock=$told
    identity "$pid"
    printf '%s %s %s\n' "$told" "$its_clock" "$nonce-$1" >"$folder/running"
    # Up to here this process holds the lock too, so that no other run begins before it can know of us.
    if ! kill -s 0 "$$" 2>/dev/null; then rm -f "$folder/running"; exit 75; fi
    exec 9>&-
    # shellcheck disable=SC2034 # what a step is promised (`Step` in providers/base.py); not each of them uses all three
    litter=$folder/litter stage=$scratch/work blob=$scratch/work/blob parcels=$scratch/work/parcels
    "b$1" || { echo "its content arrived damaged"; exit 74; }
    "s$1"
  ) </dev/null >"$scratch/output" 2>&1
  status=$?
  # A signal that comes before the clock's trap is set would be lost. (On a full disk the sign may never appear.)
  tries=0
  until [ -e "$scratch/armed" ] || [ "$tries" -gt 20000 ]; do tries=$((tries + 1)); done
  kill "$clock" 2>/dev/null
  wait "$clock" 2>/dev/null
  if [ -e "$scratch/late" ]; then status=late; rm -f "$scratch/late"; fi
  full=
  if [ "$status" != 0 ]; then
    printf 'some bytes' >"$scratch/room" || full=1
    sweep
  fi
  rm -f "$folder/running" "$scratch/armed" "$scratch/room"
  # Tools may print megabytes; the end tells why they failed.
  if [ -s "$scratch/output" ]; then tail -c 65536 "$scratch/output" 2>/dev/null || cat "$scratch/output"; fi
  ended "$1" "$status"
  # Told here, because the words of the step that failed had nowhere to go.
  if [ -n "$full" ]; then give_up stage; fi
}

[ -d "$folder" ] || mkdir -p "$folder" || give_up folder
lock
case $? in
  1) give_up locked ;;
  2) give_up folder ;;
esac
settle_left_over || give_up locked
digest_inventory
if [ "$digest" != "$expected" ]; then give_up stale; fi
if [ "$set_aside" = 1 ]; then cp -p "$folder/inventory" "$folder/inventory.broken" || give_up folder; fi
scratch=$folder/stage
clear_up() { # what this run needed, and what earlier ones left of theirs. Where nothing is there, no process is started
  cd /
  sweep
  # *.new below projects: what was to replace a file there (providers/project_shell.py) when a step was killed.
  set -- "$scratch" "$folder/staged" "$folder/inventory.new" "$folder"/lock.?* \
    "$folder"/projects/*/*.new "$folder"/projects/*/.*.new "$folder"/projects/*/releases/*.new
  for entry do
    if [ -e "$entry" ] || [ -L "$entry" ]; then rm -rf "$@"; return; fi
  done
}
workplace() { # for the steps; the first of them finds it empty
  if [ -e "$scratch" ] || [ -L "$scratch" ]; then rm -rf "$scratch"; fi
  mkdir "$scratch" "$scratch/work" || give_up folder
  fresh=1
}
sweep
trap clear_up EXIT
