"""What the steps of `release` call on a host: bring a tree up to date in its place, add a release beside others, clear away.

A tree in its place (`release_put`) is marked as unfinished before its first file moves, and its list is replaced last, so a run
that died anywhere is found and finished by the next. A new release (`release_add`) is made in a folder of ours and appears
by one rename, complete. What the pieces do is in `releases/engine.py`; `releases/steps.py` sets their variables.
"""

from __future__ import annotations

from providers import placing, project_shell
from providers.releases.adopt_shell import ADOPT
from providers.releases.ask import ASK
from providers.releases.clear import CLEAR
from providers.releases.engine import MOVE, REMEMBER, UNPACK
from providers.releases.git import GIT
from providers.releases.small import SMALL
from providers.shell import lines, sh

_PUT = sh(r"""
# release_begin: what every step of a project starts with.
release_begin() {
  tab=$(printf '\t')
  table='' sure='' tool='' listed=$project/
  release_tool
  release_place
  if [ -n "$owner_wanted" ]; then uid=$(stat -c %u -- "$stage/owner") || return; else uid=''; fi
  if [ -n "$group_wanted" ]; then gid=$(stat -c %g -- "$stage/owner") || return; else gid=''; fi
  owner=$owner_wanted group=$group_wanted
}

# release_claim: notes where the project is and whose it is, before anything is put there.
release_claim() {
  : >"$stage/owner"
  owner=$owner_wanted group=$group_wanted
  release_own -h "$stage/owner" || return
  release_begin || return
  if [ -n "$was" ] && [ "$was" != "$path" ]; then rm -f -- "$project/index" "$project/stamps" "$project/added"; fi
  printf '%s\n' "$path" "$owner" "$group" "$uid" "$gid" >"$stage/place"
  if cmp -s "$stage/place" "$project/place"; then return; fi
  # How the files looked under another owner proves nothing: each is looked at anew.
  rm -f -- "$project/stamps" && release_keep "$project/place" <"$stage/place"
}

# release_put PRUNED…: the tree in its place: $path itself, or the release $id.
release_put() {
  project_open "$release" && release_claim || return
  root=$path
  if [ -n "$id" ]; then
    root=$path/releases/$id${sub:+/$sub}
    listed=$project/releases/$id.
  fi
  if [ -d "$root" ]; then made=; else made=1; fi
  path_enter "$root/." make && root=$PWD && exec 7<. || return
  if [ -n "$made" ]; then release_own -h . || return; fi
  release_mounts
  release_survey "$@" || return
  release_private .reconciler-release- && exec 8<. || return
  release_fill /proc/self/fd/7 && release_bring "$@"
  outcome=$?
  cd -P -- /proc/self/fd/8 && rm -rf -- ./c ./f ./s && cd -P -- /proc/self/fd/7 && rmdir -- "$private"
  [ "$outcome" = 0 ] && release_record
}

# release_fill SOURCE: unpacks and proves.
release_fill() {
  release_unpack "$count" && release_renew && release_fetch "$1" && release_prove && release_link || return
  release_own -hR ./f || return
  release_lines - >"$stage/staged"
  sync -f . 2>/dev/null || sync
}

# release_bring PRUNED…: moves it into place. From here on both the old list and the new say what may be ours.
release_bring() {
  release_arrange '' || return
  if [ -e "${listed}coming" ]; then cat "${listed}coming" "$stage/lines"; else cat "$stage/lines"; fi | sort -u |
    release_keep "${listed}coming" && release_act || return
  cd -P -- /proc/self/fd/7 && release_relink || return
  release_stamp_from_private "$@"
}

# release_stamp_from_private PRUNED…: `release_stamp` for the root, while the lists lie in the private folder.
release_stamp_from_private() {
  if [ "$tool" = stat ]; then sleep 1; fi # it knows seconds: what is changed from now on must not look as it did before
  cd -P -- /proc/self/fd/7 && release_lines "$tree" "$@" >"$stage/after" && cd -P -- /proc/self/fd/8 && release_stamp
}
""")

_ADD = sh(r"""
# release_add PRUNED…: a new release beside the others.
release_add() {
  project_open "$release" && release_claim && mkdir -p -- "$project/releases" || return
  path_enter "$path/releases/." make && release_private .new- && exec 5<. || return
  release_build "$@"
  outcome=$?
  if [ "$outcome" != 0 ]; then
    cd -P -- /proc/self/fd/5 && rm -rf -- ./tree ./work && cd -P .. && rmdir -- "$private"
    return "$outcome"
  fi
  release_publish
}

release_build() {
  (umask 022 && mkdir -p -- "./tree${sub:+/$sub}") && release_own -hR ./tree && mkdir -m 0700 ./work || return
  release_old "$@" || return
  cd -P -- "/proc/self/fd/5/tree${sub:+/$sub}" && root=$(pwd -P) && exec 7<. || return
  cd -P -- /proc/self/fd/5/work && exec 8<. && release_fill /proc/self/fd/4 || return
  release_arrange 1 && release_act && release_prove_all || return
  cd -P -- /proc/self/fd/5/tree && release_own -hR . || return
  cd -P -- /proc/self/fd/7 && release_relink || return
  sure=1
  release_lines "$tree" "$@" >"$stage/after" && cd -P -- /proc/self/fd/8 && release_stamp
}

# release_old PRUNED…: what another release can give.
release_old() {
  : >"$stage/before"
  echo Z >"$stage/truths"
  [ -n "$base" ] || return 0
  listed=$project/releases/$base.
  (path_enter "$path/releases/$base${sub:+/$sub}/.") || return
  path_enter "$path/releases/$base${sub:+/$sub}/." && exec 4<. && release_survey "$@"
}

# release_prove_all: the copies too are what the list says.
release_prove_all() {
  cd -P -- /proc/self/fd/7 || return
  awk '
    $1 != "link" && $2 !~ /^sealed:/ {
      l = $0
      for (i = 1; i <= 3; i++) l = substr(l, index(l, " ") + 1)
      print $2 "  ./" l
    }' "$stage/lines" >"$stage/due"
  ignored=$ignored awk "$awk_bounds"'
    BEGIN { names = split(ENVIRON["ignored"], name, "\n") }
    !out_of_bounds(substr($0, 69))' "$stage/due" >"$stage/due.ours"
  cut -c 67- <"$stage/due.ours" | tr '\n' '\000' | xargs -0 sha256sum -- | sed '/^\\/{s/^\\//;s/\\\\/\\/g;}' >"$stage/is"
  if [ ! -s "$stage/due.ours" ] || cmp -s "$stage/due.ours" "$stage/is"; then return; fi
  path_fail "the files that were copied from $base are not what they were: nothing was installed"
}

# release_relink: what is shared lies outside of the releases, and is linked into each. What the tree itself holds there is the
# first content of it.
release_relink() {
  [ -n "$shared" ] || return 0
  (path_enter "$path/shared/." make) || return
  number=0
  IFS='
'
  set -f
  # shellcheck disable=SC2086 # a line for each
  set -- $shared
  set +f
  unset IFS
  for entry do
    case $entry in */) kind=folder entry=${entry%/} ;; *.*) kind=any ;; *) kind=folder ;; esac
    release_share "$entry" "$kind" || return
  done
  cd -P -- /proc/self/fd/7 || return
}

# release_share NAME KIND
release_share() {
  path_enter "$path/shared/$1" make || return
  if [ ! -e "./$name" ] && [ ! -L "./$name" ]; then
    if [ -e "/proc/self/fd/8/s/$1" ]; then
      # Descriptors are named, because mksh keeps them from its children otherwise.
      release_own -hR "/proc/self/fd/8/s/$1" 8<&8 && exec 6<. || return
      mv -f -- "/proc/self/fd/8/s/$1" /proc/self/fd/6/ 6<&6 8<&8 || return
    elif [ "$2" = folder ]; then
      mkdir -m 0755 -- "./$name" && release_own -h "./$name" || return
    fi
  fi
  leaf=$name way=../../shared/$1 within=.
  case $1 in */*) within=${1%/*} ;; esac
  steps="$sub/$within"
  IFS=/
  set -f
  # shellcheck disable=SC2086 # the folders on the way
  for step in $steps; do case $step in '' | .) ;; *) way=../$way ;; esac; done
  set +f
  unset IFS
  release_reach "$within" || return
  if [ -L "./$leaf" ]; then
    case $(readlink -- "./$leaf") in "$way") return 0 ;; esac
    rm -f -- "./$leaf"
  elif [ -e "./$leaf" ]; then
    path_fail "$PWD/$leaf is not the link to what is shared: move it away"
    return
  fi
  ln -s -- "$way" "./$leaf" && release_own -h "./$leaf"
}

# release_reach FOLDER: into a folder of the release, which is made where it is missing.
release_reach() {
  release_into . || return
  IFS=/
  set -f
  for step in $1; do
    unset IFS
    set +f
    if [ "$step" = . ]; then continue; fi
    if [ ! -e "./$step" ] && [ ! -L "./$step" ]; then mkdir -m 0755 -- "./$step" && release_own -h "./$step" || return; fi
    here=$(pwd -P)/$step
    if cd -P -- "./$step" && release_at "$here"; then continue; fi
    path_fail "$here is no folder, or is reached by a link"
    return
  done
  set +f
  unset IFS
}

# release_publish: gives the new release its name; its list is there before it is.
release_publish() {
  while :; do
    id=$(date +%Y%m%dT%H%M%SZ)-${commit%"${commit#???????}"}
    if [ ! -e "$path/releases/$id" ] && [ ! -L "$path/releases/$id" ] && [ ! -e "$project/releases/$id.index" ]; then break; fi
    sleep 1
  done
  listed=$project/releases/$id.
  release_record || return
  cd -P -- /proc/self/fd/5 && rm -rf -- ./work && mv -- ./tree "../$id" && cd -P .. && rmdir -- "$private" || return
  path_sync || return
  echo "installed $id"
}
""")

LIBRARY = lines([placing.LIBRARY, project_shell.LIBRARY, ASK, UNPACK, MOVE, REMEMBER, _PUT, _ADD, SMALL, CLEAR, GIT, ADOPT])
