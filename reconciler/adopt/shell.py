"""Shell of `reconcile adopt`: what lies at a project's path and who uses it, and the steps that keep edits and data safe.

The questions only read. The steps run beside those of `providers/releases/adopt.py`, in the same script and under the same
lock, as root perhaps, in a folder that may belong to somebody hostile: nothing is reached through a link, and what is copied
goes into a folder that nobody else can enter. Called by `adopt/look.py` and `adopting.py`.
"""

from __future__ import annotations

from providers.releases.ask import ASK
from providers.releases.shell import LIBRARY
from providers.shell import lines, sh

STANDING = lines(
    [
        ASK,
        sh(r"""
# adopt_standing PROJECT PATH NAME…: what lies at PATH, and which of the names are there. Without `over` it could not be told.
adopt_standing() {
  project=$folder/projects/$1 path=$2
  shift 2
  if ! cd -P -- "$path" 2>/dev/null; then
    why=$(ls -d -- "$path" 2>&1 >/dev/null)
    case $why in
    *': No such file or directory') echo absent; echo over ;;
    '') echo closed; echo over ;;
    esac
    return 0
  fi
  release_place
  if [ "$was" = "$path" ]; then echo ours; fi
  if [ -e ./.git ]; then echo git; release_head; fi
  if [ -e ./.git/refs/stash ]; then echo stash; fi
  table='' ignored=''
  release_mounts
  printf '%s\n' "$ignored" | sed -n 's/^./mount &/p'
  if [ -L ./current ]; then printf 'current %s\n' "$(readlink ./current)"; fi
  for entry in ./releases/*; do
    if [ -d "$entry" ] && [ ! -L "$entry" ]; then printf 'release %s\n' "${entry#./releases/}"; fi
  done
  number=0
  for entry do
    if [ -e "./$entry" ] || [ -L "./$entry" ]; then printf 'has %s\n' "$number"; fi
    number=$((number + 1))
  done
  echo over
}
"""),
    ]
)

USERS = sh(r"""
# adopt_users PATH: processes that work in it, and containers into which something of it is mounted.
adopt_users() {
  cd -P -- "$1" || return
  here=$PWD
  printf 'at %s\n' "$here"
  cd /
  # shellcheck disable=SC2012 # the names are numbers
  ls -ld /proc/[0-9]*/cwd 2>/dev/null | while IFS= read -r line; do
    case $line in
    *"/cwd -> $here" | *"/cwd -> $here/"*)
      process=${line#*/proc/}
      process=${process%%/*}
      called=
      read -r called 2>/dev/null <"/proc/$process/comm"
      printf 'process %s %s\n' "$process" "$called"
      ;;
    esac
  done
  if command -v docker >/dev/null; then
    if ! ids=$(docker ps -q 2>/dev/null); then echo unsure; return 0; fi
    if [ -n "$ids" ]; then
      # shellcheck disable=SC2086 # one word for each
      docker inspect -f '{{range .Mounts}}{{$.Name}} {{.Source}}{{"\n"}}{{end}}' $ids | while read -r called source; do
        case $source in "$here" | "$here"/*) printf 'container %s %s\n' "${called#/}" "$source" ;; esac
      done
    fi
  fi
  return 0
}
""")

STEPS = lines(
    [
        LIBRARY,
        sh(r"""
# adopt_save NAME: copies what "$blob" lists (a path a line) and is there out of $path into the folder NAME beside it.
adopt_save() {
  path_enter "$path/." && root=$PWD && exec 7<. || return
  aside=$1 made=
  while IFS= read -r file; do
    adopt_save_one "$file" || return
  done <"$blob"
  if [ -n "$made" ]; then cd -P -- /proc/self/fd/5 && { sync -f . 2>/dev/null || sync; }; fi
}

# adopt_room: the folder for the copies, which only we can enter; made for the first of them.
adopt_room() {
  if [ -n "$made" ]; then return 0; fi
  path_enter "$path" || return
  place=$PWD
  if [ -e "./$aside" ] || [ -L "./$aside" ]; then path_fail "$place/$aside is there already"; return; fi
  mkdir -m 0700 -- "./$aside" && path_private "./$aside" && exec 5<. && made=1
}

# adopt_into FOLDER: from the tree's root, and by no link: what is reached by one is never installed there either.
adopt_into() {
  cd -P -- /proc/self/fd/7 || return
  if [ "$1" != . ]; then cd -P -- "./$1" 2>/dev/null && [ "$PWD" = "${root%/}/$1" ]; fi
}

# adopt_save_one PATH
adopt_save_one() {
  within=. leaf=${1##*/}
  case $1 in */*) within=${1%/*} ;; esac
  cd -P -- /proc/self/fd/7 || return
  if ! adopt_into "$within"; then return 0; fi
  if [ ! -L "./$leaf" ] && [ ! -f "./$leaf" ]; then
    if [ -d "./$leaf" ] || [ ! -e "./$leaf" ]; then return 0; fi
    path_fail "$PWD/$leaf is neither a file nor a folder: move it away"
    return
  fi
  adopt_room && (cd -P -- /proc/self/fd/5 && mkdir -p -- "./$within") && adopt_into "$within" &&
    cp -pP -- "./$leaf" "/proc/self/fd/5/$within/" 5<&5
}

# adopt_guard: fails where $path is a mount, or has one in it.
adopt_guard() {
  path_enter "$path/." || return
  table='' ignored=''
  release_mounts
  case "
$table
" in *"
$PWD
"*) path_fail "$path is a file system of its own, and cannot be renamed"; return ;; esac
  if [ -n "$ignored" ]; then
    path_fail "something is mounted in $path: $(printf '%s\n' "$ignored" | sed '/^$/d' | tr '\n' ' ')"
  fi
}

# adopt_bring NAME FROM TO: moves FROM of the folder NAME beside $path to TO in $path, which is made where it is missing.
adopt_bring() {
  path_enter "$path" || return
  leaf=$name
  if [ ! -e "./$leaf" ] && [ ! -L "./$leaf" ]; then
    keeper=$(stat -L -c %u:%g -- "./$1") && rights=$(stat -L -c %a -- "./$1") && mkdir -m 0700 -- "./$leaf" || return
    if [ "$(stat -c %u:%g -- "./$leaf")" != "$keeper" ]; then chown -h -- "$keeper" "./$leaf" || return; fi
    chmod -- "$rights" "./$leaf" || return
  fi
  path_enter "${path%/*}/$1/$2" || return
  if [ ! -e "./$name" ] && [ ! -L "./$name" ]; then return 0; fi
  path_enter "$path/$3" make && exec 6<. && target=$name || return
  if [ -e "./$target" ] || [ -L "./$target" ]; then path_fail "$place/$target is there already"; return; fi
  path_enter "${path%/*}/$1/$2" || return
  if [ "$(stat -c %d -- "./$name")" != "$(stat -c %d -- /proc/self/fd/6/. 6<&6)" ]; then
    path_fail "$place/$name lies on another file system, and is left there"
    return
  fi
  mv -- "./$name" "/proc/self/fd/6/$target" 6<&6 && path_sync
}
"""),
    ]
)
