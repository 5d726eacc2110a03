# How steps are run: under the host's lock, one after the other, journalled, each with a deadline, stopped at a step boundary when the
# controller is gone. Set before it: expected (digest of the inventory as the plan saw it), patience (seconds), set_aside. `s0`, `s1`, … and `b0`, `b1`, … are given.
gone=
trap 'gone=1' HUP INT TERM PIPE

give_up() { mark stop "$@"; exit 0; }

started_at() { # $1: a process: when it was started, in the kernel's ticks; tells a process from a later one of the same number
  read -r line 2>/dev/null <"/proc/$1/stat" || return 1
  line=${line##*) }
  # shellcheck disable=SC2086 # split into words on purpose
  set -- $line
  printf '%s' "${20}"
}

lock() { # the lock is held by this shell and dies with it; steps do not inherit it, so a daemon that one starts cannot keep it
  : >>"$folder/lock" || return 2
  exec 9>>"$folder/lock"
  tries=0
  if command -v flock >/dev/null 2>&1; then
    until flock -n 9 9>&9; do # mksh keeps such a descriptor from its children unless it is named
      tries=$((tries + 1)); if [ "$tries" -gt "$patience" ]; then return 1; fi
      sleep 1
    done
    return 0
  fi
  until mkdir "$folder/lock.held" 2>/dev/null; do
    holder= since=
    read -r holder since 2>/dev/null <"$folder/lock.held/by"
    if [ -n "$holder" ] && [ "$(started_at "$holder")" != "$since" ]; then
      mv "$folder/lock.held" "$folder/lock.left.$$" 2>/dev/null && rm -rf "$folder/lock.left.$$"
      continue
    fi
    tries=$((tries + 1)); if [ "$tries" -gt "$patience" ]; then return 1; fi
    sleep 1
  done
  printf '%s %s\n' "$$" "$(started_at "$$")" >"$folder/lock.held/by"
  trap 'rm -rf "$folder/lock.held"' EXIT
}

end_left_over() { # a step of an earlier run whose shell was killed may still be at work: give it a while, then end it
  pid= since=
  read -r pid since 2>/dev/null <"$folder/running" || return 0
  tries=0
  while [ -n "$pid" ] && [ "$(started_at "$pid")" = "$since" ] && [ -n "$since" ]; do
    tries=$((tries + 1))
    if [ "$tries" -gt "$patience" ]; then end_tree "$pid" 5; break; fi
    sleep 1
  done
  rm -f "$folder/running"
}

keep() { # stdin becomes the inventory: whole or not at all, also after a power cut
  cat >"$folder/inventory.new" && sync "$folder/inventory.new" && mv -f "$folder/inventory.new" "$folder/inventory" && sync "$folder"
}

digest_of_inventory() {
  if [ ! -e "$folder/inventory" ]; then echo none; return; fi
  set -- "$(sha256sum <"$folder/inventory")"
  printf '%s\n' "${1%% *}"
}

step() { # $1: number, $2: seconds, $3: numbers of the steps without which it makes no sense
  for other in $3; do
    eval "outcome=\$outcome_$other"
    if [ "$outcome" != 0 ]; then eval "outcome_$1=skipped"; mark e "$1" skipped; return; fi
  done
  # Whoever reads is gone, or asked us to stop: between two steps is the place to do so.
  mark b "$1" 2>/dev/null || gone=1
  if [ -n "$gone" ]; then give_up cancelled; fi
  rm -rf "$stage/work"
  mkdir "$stage/work" || give_up stage
  (
    trap 'kill "$pause" 2>/dev/null; exit 0' TERM
    sleep "$2" &
    pause=$!
    : >"$stage/armed"
    wait "$pause"
    read -r pid _ <"$folder/running" && : >"$stage/late" && end_tree "$pid" 5
  ) </dev/null >/dev/null 2>&1 9>&- &
  clock=$!
  (
    trap - HUP INT TERM PIPE
    read -r pid _ </proc/self/stat
    printf '%s %s\n' "$pid" "$(started_at "$pid")" >"$folder/running"
    stage=$stage/work
    blob=$stage/blob
    "b$1" || { echo "its content arrived damaged"; exit 74; }
    "s$1"
  ) </dev/null >"$stage/output" 2>&1 9>&-
  status=$?
  # A signal that comes before the clock's trap is set would be lost. (On a full disk the sign may never appear.)
  tries=0
  until [ -e "$stage/armed" ] || [ "$tries" -gt 20000 ]; do tries=$((tries + 1)); done
  kill "$clock" 2>/dev/null
  wait "$clock" 2>/dev/null
  rm -f "$stage/armed"
  if [ -e "$stage/late" ]; then status=late; rm -f "$stage/late"; fi
  rm -f "$folder/running"
  eval "outcome_$1=\$status"
  printf '{"step":%s,"status":"%s"}\n' "$1" "$status" >>"$folder/inventory"
  # Tools may print megabytes; the end tells why they failed.
  if [ -s "$stage/output" ]; then tail -c 65536 "$stage/output" 2>/dev/null || cat "$stage/output"; fi
  mark e "$1" "$status"
}

mkdir -p "$folder" || give_up folder
lock
case $? in
  1) give_up locked ;;
  2) give_up folder ;;
esac
end_left_over
if [ "$(digest_of_inventory)" != "$expected" ]; then give_up stale; fi
if [ "$set_aside" = 1 ]; then cp -p "$folder/inventory" "$folder/inventory.broken" || give_up folder; fi
stage=$folder/stage
rm -rf "$stage" "$folder"/inventory.new
mkdir "$stage" || give_up folder
trap 'cd /; rm -rf "$stage" "$folder/lock.held"' EXIT
