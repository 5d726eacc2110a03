"""The questions of the kind `release`: what is at a project's path (the probe), and which contents need not be sent (the look).

Built on the listing and comparing of `releases/ask.py`; the answers are read by `releases/answer.py`. Both only read.
"""

from __future__ import annotations

from providers.releases.ask import LISTED
from providers.shell import sh

PROBE = sh(
    r"""
# release_probe INDEX NAME STRATEGY PATH SUB TREE DEEP IGNORED LINKS PRUNED…
release_probe() {
  echo "@$1"
  project=$folder/projects/$2 strategy=$3 path=$4 sub=$5 tree=$6 deep=$7 ignored=$8 shared=$9
  shift 9
  release_tell "$@"
  echo .
  cd /
}

release_tell() {
  if ! cd -P -- "$path" 2>/dev/null; then
    why=$(ls -d -- "$path" 2>&1 >/dev/null)
    case $why in
    *': No such file or directory') echo absent ;;
    '') echo closed ;;
    *) echo unreadable ;;
    esac
    return
  fi
  release_place
  if [ "$was" != "$path" ]; then
    tool=
    release_tool
    echo foreign
    release_lines - "$@" | release_compare /dev/null /dev/null /dev/null /dev/null 0 0 | release_judge 0 @listed@ 0
    return
  fi
  printf 'owner %s\ngroup %s\n' "$owner" "$group"
  case $strategy in
  releases | slots) release_newest "$@" ;;
  *)
    listed=$project/
    if [ "$strategy" = checkout ]; then release_head; else release_sentinel; fi
    release_examine "$deep" "$@"
    ;;
  esac
}

release_sentinel() {
  rev=
  if [ -f ./.sync_rev ] && [ ! -L ./.sync_rev ]; then read -r rev <./.sync_rev; fi
  printf 'rev %s\n' "$rev"
}

# release_newest PRUNED…: the newest complete release of the wanted tree, or else the newest of all.
release_newest() {
  found='' newest=''
  for file in "$project"/releases/*.index; do
    name=${file##*/}
    name=${name%.index}
    if [ -d "./releases/$name" ] && [ ! -L "./releases/$name" ]; then
      newest=$name
      read -r _ _ title _ <"$file"
      if [ "$title" = "$tree" ]; then found=$name; fi
    fi
  done
  if [ -e "$project/kept" ]; then sed 's/^/kept /' "$project/kept"; fi
  if [ -e "$project/index" ]; then echo formerly; fi
  id=${found:-$newest}
  if [ -z "$id" ]; then
    echo unfinished
    echo Z
    return
  fi
  echo "id $id"
  listed=$project/releases/$id.
  if [ -z "$found" ]; then
    read -r _ _ title commit <"${listed}index"
    printf 'title %s %s\n' "$title" "$commit"
    echo Z
  elif cd -P -- "./releases/$id${sub:+/$sub}"; then
    release_sentinel
    release_links
    release_examine "$deep" "$@"
  fi
}

# release_links: whether what is shared is linked into this release.
release_links() {
  IFS='
'
  set -f
  for link in $shared; do
    if [ ! -L "./$link" ]; then printf 'M %s\n' "$link"; fi
  done
  set +f
  unset IFS
}
""",
    listed=LISTED,
)

LOOK = sh(r"""
# release_show INDEX NAME STRATEGY PATH SUB TREE IGNORED LINKS PRUNED…: what a step need not send, as lines of an index.
release_show() {
  echo "@$1"
  project=$folder/projects/$2 strategy=$3 path=$4 sub=$5 tree=$6 ignored=$7 shared=$8
  shift 8
  release_place
  if [ "$was" = "$path" ] && cd -P -- "$path" 2>/dev/null; then
    release_base
    release_seeds
    if [ -n "$listed" ]; then
      release_mounts
      release_lines "$title" "$@" | release_truths "$stamps" short
    fi
  fi
  echo .
  cd /
}

# release_seeds: which of the shared names are there.
release_seeds() {
  IFS='
'
  set -f
  for link in $shared; do
    if [ -e "$path/shared/$link" ] || [ -L "$path/shared/$link" ]; then printf 'shared %s\n' "$link"; fi
  done
  set +f
  unset IFS
}
""")
