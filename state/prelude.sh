# What every script begins with. POSIX sh; tried on dash, bash, busybox ash, mksh and yash. `state/script.py` puts it first.
# Set before it: nonce (unguessable, marks our lines), folder (of the inventory; empty: the usual place).
LC_ALL=C; LANG=C; TZ=UTC0; export LC_ALL LANG TZ
unset IFS CDPATH ENV BASH_ENV
umask 077
# A NAS often has a short PATH for non-interactive logins.
PATH="${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/sbin:/opt/bin:/usr/syno/sbin:/usr/syno/bin"
export PATH
cd / || exit 70

uid=
while read -r word value _; do
  case $word in Uid:) uid=$value; break ;; esac
done </proc/self/status 2>/dev/null
case $uid in '') uid=$(id -u) ;; esac
if [ -z "$folder" ]; then
  if [ "$uid" = 0 ]; then folder=/var/lib/reconciler; else folder=${HOME:-/tmp}/.local/state/reconciler; fi
fi

mark() { # our own lines; on both streams, so that stderr can be told apart by fragment too
  printf '\n@%s %s\n' "$nonce" "$*" && printf '\n@%s %s\n' "$nonce" "$*" >&2
}

end_tree() { # $1: a process; it and all that descends from it are asked to end and, $2 seconds later, made to
  family=" $1 " found=1
  while [ "$found" = 1 ]; do
    found=0
    for entry in /proc/[0-9]*; do
      child=${entry#/proc/} parent=
      case $family in *" $child "*) continue ;; esac
      while read -r word value _; do
        case $word in PPid:) parent=$value; break ;; esac
      done 2>/dev/null <"$entry/status"
      case $family in *" ${parent:-none} "*) family="$family$child " found=1 ;; esac
    done
  done
  # shellcheck disable=SC2086 # a list of numbers
  kill -s TERM $family 2>/dev/null
  grace=0
  # shellcheck disable=SC2086 # a list of numbers
  while [ "$grace" -lt "$2" ] && kill -s 0 $family 2>/dev/null; do
    sleep 1
    grace=$((grace + 1))
  done
  # shellcheck disable=SC2086 # a list of numbers
  kill -s KILL $family 2>/dev/null
}
