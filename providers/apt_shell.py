"""The shell functions by which `apt.py` and `deb.py` change packages, and by which a preview simulates it.

Packages come in threes: OPERATION (install, remove, purge) NAME VERSION, where VERSION may be empty or a pattern. Names and
versions were checked in the specs, so they hold nothing that a shell would split or expand but the `*` and `?` that are
meant.

*The guard.* What may be removed is said beforehand: what was asked to go and what the preview showed. apt hands the list of
all that it is about to do to a hook (`DPkg::Pre-Install-Pkgs`, version 3) while it holds its lock and before it starts
dpkg; our hook refuses there. To simulate first and run afterwards would leave a gap, wide open exactly when another apt was
waited for in between. The hook also tells failures apart: without a mark from it nothing was touched, and trying again with
newer lists is worth it.

*Lists.* "$apt_stamp" keeps a digest of the repositories and keys as they were when `apt-get update` last succeeded. It is
taken before the update and written after it, so a crash in between, or a change meanwhile, only leads to one update more;
no clock counts.

*Locks.* `dpkg --configure -a` does two things at once: it repairs what an interrupted dpkg left behind, and it tells
whether somebody else is at work, for whom we wait up to "$apt_patience" seconds.
"""

from __future__ import annotations

from providers.shell import Sh

APT = Sh(r"""
apt_begin() { # OPTIONS REMOVALS HELD: more options for apt-get; what may be removed; what may be changed although it is on hold
  # C would make databases without UTF-8, a strict umask would make files of packages unreadable.
  export LC_ALL=C.UTF-8 LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive DEBIAN_PRIORITY=critical NEEDRESTART_MODE=l
  export UCF_FORCE_CONFFOLD=1 APT_LISTCHANGES_FRONTEND=none APT_LISTBUGS_FRONTEND=none
  unset TZ
  umask 022
  apt_native=$(dpkg --print-architecture) || exit
  # shellcheck disable=SC2016 # dpkg-query fills it in
  apt_row='${Architecture} ${db:Status-Want} ${db:Status-Eflag} ${db:Status-Status} ${Version}\n'
  apt_force='' apt_options=$1 apt_updated='' apt_patience=120 apt_memory=''
  apt_stamp=/var/lib/apt/periodic/reconciler-repositories
  RECONCILER_REMOVALS=' ' RECONCILER_HELD=' ' RECONCILER_NATIVE=$apt_native apt_ours=' '
  for apt_word in $2; do RECONCILER_REMOVALS="$RECONCILER_REMOVALS${apt_word%":$apt_native"} "; done
  if [ -n "$3" ]; then
    apt_options="$apt_options --allow-change-held-packages"
    for apt_word in $3; do apt_ours="$apt_ours${apt_word%":$apt_native"} "; done
    while read -r apt_want apt_word apt_arch; do
      case $apt_arch in "$apt_native" | all) ;; *) apt_word=$apt_word:$apt_arch ;; esac
      case $apt_want$apt_ours in hold*" $apt_word "*) ;; hold*) RECONCILER_HELD="$RECONCILER_HELD$apt_word " ;; esac
    done <<EOF
$(dpkg-query -W -f='${db:Status-Want} ${Package} ${Architecture}\n')
EOF
  fi
  export RECONCILER_REMOVALS RECONCILER_HELD RECONCILER_NATIVE
}

apt_wait() { # COMMAND...: what it prints goes to $stage/log; while somebody else holds a lock it is tried again; 75: in vain
  apt_left=$apt_patience
  while :; do
    "$@" >"$stage/log" 2>&1
    apt_status=$?
    if [ "$apt_status" = 0 ]; then return 0; fi
    grep -Eq 'Could not get lock|Unable to (lock|acquire)|locked by' "$stage/log" || return "$apt_status"
    if [ "$apt_left" -le 0 ]; then
      cat "$stage/log"
      echo "another program has been working with dpkg or apt for $apt_patience seconds; nothing was changed, try again later"
      apt_status=75
      return 75
    fi
    apt_left=$((apt_left - 2))
    sleep 2
  done
}

apt_repair() { # finishes what an interrupted dpkg left behind; what stays broken is told, and then apt's affair
  apt_wait dpkg --force-confdef --force-confold --configure -a && return
  if [ "$apt_status" = 75 ]; then exit 75; fi
  cat "$stage/log"
}

apt_repositories() { # a digest of everything that says where packages come from
  set -- /etc/apt/sources.list /etc/apt/sources.list.d/* /etc/apt/keyrings/* /etc/apt/trusted.gpg.d/*
  { printf '%s\n' "$@"; cat -- "$@"; } 2>/dev/null | sha256sum
}

apt_stale() { # whether the lists are missing or older than the repositories
  [ "$(cat "$apt_stamp" 2>/dev/null)" = "$(apt_repositories)" ] || return 0
  for apt_word in /var/lib/apt/lists/*_Packages*; do
    if [ -e "$apt_word" ]; then return 1; fi
  done
}

apt_update() { # once per step; fails when it was done before. A repository that is down does not stop the others
  if [ -n "$apt_updated" ]; then return 1; fi
  apt_updated=yes
  apt_digest=$(apt_repositories)
  if apt_wait apt-get -q -o APT::Update::Error-Mode=any update; then
    mkdir -p -- "${apt_stamp%/*}" && printf '%s\n' "$apt_digest" >"$apt_stamp.new" && mv -f -- "$apt_stamp.new" "$apt_stamp"
  else
    cat "$stage/log"
    echo "apt-get update did not succeed; going on with the lists that are there"
  fi
}

apt_find() { # NAME: sets apt_state (dpkg's word, empty when not there at all), apt_version and apt_want
  apt_state='' apt_version='' apt_want=''
  case $1 in *:*) apt_arch=${1#*:} ;; *) apt_arch=$apt_native ;; esac
  while read -r apt_word apt_selection apt_flag apt_status apt_value; do
    case $apt_word in "$apt_arch") ;; all) [ "$apt_arch" = "$apt_native" ] || continue ;; *) continue ;; esac
    apt_want=$apt_selection
    case $apt_flag:$apt_status in
      *:not-installed) ;;
      *:config-files) apt_state=${apt_state:-config-files} ;;
      ok:*) apt_state=$apt_status apt_version=$apt_value ;;
      *) apt_state="$apt_status, reinstallation required" apt_version=$apt_value ;;
    esac
  done <<EOF
$(dpkg-query -W -f="$apt_row" -- "${1%%:*}" 2>/dev/null)
EOF
}

apt_fits() { # VERSION, after apt_find: whether the version that is there is the one, or matches the pattern
  # shellcheck disable=SC2254 # a pattern is meant
  case $apt_version in ${1:-*}) return 0 ;; esac
  return 1
}

apt_done() { # OPERATION NAME VERSION: whether it is so already
  apt_find "$2"
  case $1:$apt_state in
    install:installed) apt_fits "$3" ;;
    remove: | purge: | remove:config-files) return 0 ;;
    *) return 1 ;;
  esac
}

apt_policy() { # OPERATION NAME VERSION...: what apt knows about all that is to be installed
  apt_words=''
  while [ "$#" -gt 0 ]; do
    if [ "$1" = install ]; then apt_words="$apt_words $2"; fi
    shift 3
  done
  # shellcheck disable=SC2086 # lists of words
  if [ -n "$apt_words" ]; then apt-cache $apt_memory policy -- $apt_words 2>/dev/null; fi
}

apt_pick() { # NAME VERSION: sets apt_picked to what apt-get is asked for, or apt_reason to why there is nothing to ask for
  apt_picked='' apt_reason='' apt_candidate='' apt_known='' apt_versions='' apt_inside=''
  while IFS= read -r apt_line; do
    case $apt_line in
      "${1%":$apt_native"}:") apt_inside=yes apt_known=yes ;;
      [!\ ]*) apt_inside='' ;;
      '  Candidate: (none)') ;;
      '  Candidate: '*) if [ -n "$apt_inside" ]; then apt_candidate=${apt_line#  Candidate: }; fi ;;
      '     '[0-9]* | ' *** '[0-9]*)
        if [ -n "$apt_inside" ]; then
          apt_line=${apt_line#?????}
          apt_versions="$apt_versions ${apt_line%% *}"
        fi ;;
    esac
  done <<EOF
$apt_policy
EOF
  if [ -z "$2" ] && [ -n "$apt_candidate" ]; then apt_picked=$1; return; fi
  if [ -n "$2" ]; then
    for apt_word in $apt_candidate $apt_versions; do # apt's own choice if it fits, else the highest that does
      # shellcheck disable=SC2254 # a pattern is meant
      case $apt_word in $2) apt_picked=$1=$apt_word; return ;; esac
    done
  fi
  apt_explain "$1" "$2"
  return 1
}

apt_explain() { # NAME VERSION: sets apt_reason, after apt_pick found nothing
  if [ -n "$apt_versions" ] && [ -n "$2" ]; then
    apt_reason="apt has no version of $1 that matches $2; it has$apt_versions"
  elif [ -n "$apt_versions" ]; then
    apt_reason="apt's preferences forbid every version of $1 that there is:$apt_versions"
  elif [ -n "$apt_known" ]; then
    # shellcheck disable=SC2086 # a list of words
    apt_word=$(apt-cache $apt_memory showpkg -- "$1" 2>/dev/null | sed -e '1,/^Reverse Provides/d' -e 's/ .*//' | sort -u)
    # shellcheck disable=SC2086 # a list of words
    set -- "$1" $apt_word
    apt_reason="$1 is no package of its own; name one that stands for it:"
    shift
    apt_reason="$apt_reason ${*:-there is none}"
  else
    apt_reason="apt knows no package $1: is the name right, is the repository declared that has it?"
  fi
}

apt_unfinished() { # VERSION, after apt_find: whether the right version is there and only has to be configured
  case $apt_state in
    unpacked | half-configured | triggers-*) apt_fits "$1" ;;
    *) return 1 ;;
  esac
}

apt_resolve() { # OPERATION NAME VERSION...: sets apt_arguments for apt-get and, line by line, what it lacks
  apt_policy=$(apt_policy "$@") apt_arguments='' apt_lacking='' apt_force=''
  while [ "$#" -gt 0 ]; do
    if apt_done "$1" "$2" "$3"; then
      :
    elif [ "$1" != install ]; then
      case $apt_state in
        config-files) ;;
        *required) apt_arguments="$apt_arguments $2-" apt_force='-o Dpkg::Options::=--force-remove-reinstreq' ;;
        *) apt_arguments="$apt_arguments $2-" ;;
      esac
    elif apt_unfinished "$3"; then
      apt_arguments="$apt_arguments $2=$apt_version"
    elif apt_pick "$2" "$3"; then
      apt_arguments="$apt_arguments $apt_picked"
      case $apt_state in *required) apt_force="$apt_force --reinstall" ;; esac
    else
      apt_lacking="$apt_lacking$2 $apt_reason
"
    fi
    shift 3
  done
}

apt_get() { # OPTION...: the one transaction, of $apt_arguments; preview and step differ in nothing but OPTION
  # shellcheck disable=SC2086 # lists of words
  apt-get "$@" -q -y --no-auto-remove -o APT::Get::Purge=false -o APT::Cmd::Pattern-Only=true -o Dpkg::Use-Pty=0 \
    -o DPkg::Lock::Timeout=60 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \
    $apt_options $apt_force install -- $apt_arguments
}

apt_run() { # OPTION...: the transaction, guarded
  case $RECONCILER_REMOVALS in ' ') set -- --no-remove "$@" ;; esac
  cat >"$stage/guard" <<'EOF'
refused=
while read -r name _ architecture _ _ _ _ _ action; do
  case $action in '**REMOVE**' | '**CONFIGURE**' | /*) ;; *) continue ;; esac
  case $architecture in "$RECONCILER_NATIVE" | all | -) ;; *) name=$name:$architecture ;; esac
  case $action$RECONCILER_REMOVALS in '**REMOVE**'*" $name "*) ;; '**REMOVE**'*) refused="$refused $name" ;; esac
  case $action$RECONCILER_HELD in '**CONFIGURE**'*) ;; *" $name "*) refused="$refused $name (on hold)" ;; esac
done
if [ -n "$refused" ]; then
  echo "refused: the plan did not show that this removes or changes$refused" | tee "$0.refused" >&2
  exit 1
fi
: >"$0.passed"
EOF
  rm -f "$stage/guard.passed" "$stage/guard.refused"
  apt_get "$@" -o "DPkg::Pre-Install-Pkgs::=exec /bin/sh '$stage/guard'" -o DPkg::Tools::Options::exec::Version=3
}

apt_retry() { # after a transaction that failed: whether it makes sense to try again, with what was missing brought about
  if [ -e "$stage/guard.passed" ] || [ -e "$stage/guard.refused" ]; then return 1; fi
  apt_word=$(apt_get -s 2>/dev/null | sed -n 's/^Remv \([^ ]*\) .*/\1/p' | tr '\n' ' ')
  if [ "$RECONCILER_REMOVALS" = ' ' ] && [ -n "$apt_word" ]; then # it was --no-remove that stopped apt
    echo "refused: the plan did not show that this removes ${apt_word% }" >"$stage/guard.refused"
    return 1
  fi
  apt_saved=$apt_arguments apt_arguments=''
  case $(apt-get -q check 2>&1) in # dependencies that an interrupted apt, or somebody by hand, left unmet
    *--fix-broken*) apt_run --fix-broken && set -- mended ;;
  esac
  apt_arguments=$apt_saved
  rm -f "$stage/guard.passed"
  apt_update || [ "$#" -gt 0 ]
}

apt_attempt() { # OPERATION NAME VERSION...: brings about as much of it as apt has, in one transaction
  apt_repair
  case " $* " in *' install '*) if apt_stale; then apt_update; fi ;; esac
  apt_resolve "$@"
  if [ -n "$apt_lacking" ] && apt_update; then apt_resolve "$@"; fi
  if [ -n "$apt_arguments" ] && ! apt_run && apt_retry; then
    apt_resolve "$@"
    if [ -n "$apt_arguments" ]; then apt_run; fi
  fi
  while [ "$#" -gt 0 ]; do
    if [ "$1" = purge ] && ! apt_done "$@" && [ "$apt_state" = config-files ]; then
      apt_wait dpkg --purge -- "$2" || cat "$stage/log"
    fi
    shift 3
  done
}

apt_alone() { # OPERATION NAME VERSION: this one package, and the verdict about it
  if apt_done "$@"; then return 0; fi
  apt_attempt "$@"
  if apt_done "$@"; then return 0; fi
  if [ -n "$apt_lacking" ]; then
    printf '%s' "${apt_lacking#* }"
    return 1
  fi
  apt_verdict "$@"
}

apt_verdict() { # OPERATION NAME VERSION: the last words of a step that did not succeed
  if [ -e "$stage/guard.refused" ]; then cat "$stage/guard.refused"; fi
  case $apt_want$apt_ours in
    hold*" ${2%":$apt_native"} "*) ;;
    hold*) echo "$2 is on hold on the host; write hold: true or hold: false in its manifest, and the hold is ours to lift" ;;
  esac
  case $1 in
    install) echo "$2 is not as asked: dpkg says ${apt_state:-not installed} $apt_version" ;;
    *) echo "$2 is not gone: dpkg says $apt_state $apt_version" ;;
  esac
  return 1
}

apt_file() { # install NAME VERSION: from the .deb in $blob
  if apt_done "$@"; then return 0; fi
  apt_repair
  if apt_stale; then apt_update; fi
  ln -- "$blob" "$stage/$2.deb" 2>/dev/null || cp -- "$blob" "$stage/$2.deb" || return
  apt_arguments=$stage/$2.deb
  if ! apt_run && apt_retry; then apt_run; fi
  apt_done "$@" || apt_verdict "$@"
}

apt_mark() { # WORD NAME
  apt_wait apt-mark "$1" "$2" && return
  cat "$stage/log"
  return 1
}

apt_preview() { # OPERATION NAME VERSION...: what apt_attempt would do now. Writes nothing, not even apt's cache
  apt_memory='-o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache='
  if apt_stale; then echo "= stale $apt_native"; else echo "= fresh $apt_native"; fi
  apt_resolve "$@"
  printf '%s' "$apt_lacking"
  apt_said=''
  if [ -n "$apt_arguments" ]; then
    # shellcheck disable=SC2086 # a list of words
    apt_said=$(apt_get -s $apt_memory 2>&1)
    printf '= simulation %s\n%s\n' "$?" "$apt_said"
  fi
  # shellcheck disable=SC2086 # a list of words
  set -- $apt_arguments
  apt_count=$#
  # shellcheck disable=SC2046 # a list of words
  set -- $(printf '%s\n' "$apt_said" | sed -n -e 's/^Inst \([^ ]*\) .*/\1/p' -e 's/^Remv \([^ ]*\) .*/\1/p')
  if [ "$apt_count" -gt 1 ] && [ "$#" -gt "$apt_count" ]; then
    echo '= depends'
    # shellcheck disable=SC2086 # a list of words
    apt-cache $apt_memory depends -- "$@"
  fi
  echo '= end'
}
""")
