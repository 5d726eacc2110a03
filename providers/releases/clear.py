"""How what was installed goes again: old releases that are no longer kept, and a whole project that left the repository.

What goes is what the list of an installation names and what is still as we put it there. A file that somebody edited or added
stays, and its folder with it; data that is shared lies outside of all releases and is never looked at. No link is followed: a
release is first moved into a folder of ours that nobody else can enter, and removed there.
"""

from __future__ import annotations

from providers.shell import sh

CLEAR = sh(r"""
# release_retire PRUNED…: removes the releases beyond the newest $keep that nothing uses.
release_retire() {
  project_open "$release" && release_begin || return
  (path_enter "$path/releases/.") || return
  release_used
  : >"$stage/kept"
  count=0
  newest_first=
  for file in "$project"/releases/*.index; do newest_first="$file
$newest_first"; done
  printf '%s' "$newest_first" >"$stage/all"
  while IFS= read -r file; do
    id=${file##*/}
    id=${id%.index}
    listed=$project/releases/$id.
    if [ ! -d "$path/releases/$id" ] || [ -L "$path/releases/$id" ]; then
      rm -f -- "${listed}index" "${listed}stamps" "${listed}added" "${listed}coming"
      continue
    fi
    read -r _ _ title _ <"$file"
    if release_is_bad "$title"; then
      case $used in *" $id "*) continue ;; esac
    else
      count=$((count + 1))
      case $used in *" $id "* | *" $title "*) continue ;; esac
      if [ "$count" -le "$keep" ]; then continue; fi
    fi
    release_discard "$@" || return
  done <"$stage/all"
  release_keep "$project/kept" <"$stage/kept"
}

# release_used: sets $used to the releases, and the trees, that must stay: what runs, what is current, what is wanted, what was
# last good.
release_used() {
  used=" $tree "
  for file in "$project/slot.blue" "$project/slot.green" "$project/runtime"; do
    if [ -r "$file" ]; then read -r _ running _ <"$file" && used="$used$running "; fi
  done
  current=$(readlink -- "$path/current" 2>/dev/null)
  current=${current%/}
  if [ -n "$current" ]; then
    current=${current#"$path/"}
    current=${current#releases/}
    used="$used${current%%/*} "
  fi
  if [ -s "$project/good" ]; then
    good=$(tail -n 1 "$project/good")
    used="$used${good%% *} "
  fi
}

release_is_bad() {
  [ -e "$project/quarantine" ] && [ "$1" != "$tree" ] && grep -q "^$1 " "$project/quarantine"
}

# release_discard PRUNED…: removes the release $id, unless it holds what we did not put there.
release_discard() {
  path_enter "$path/releases/$id${sub:+/$sub}/." || return
  before=$ignored
  release_mounts
  if [ "$before" != "$ignored" ]; then
    ignored=$before
    echo "$id is kept: something is mounted in it" >>"$stage/kept"
    return 0
  fi
  release_stamps
  release_lines "$title" "$@" | release_compare "${listed}index" /dev/null "$stamps" "${listed}added" 0 0 |
    release_judge 3 3 0 >"$stage/verdict"
  if grep -q '^[AEO] ' "$stage/verdict" || ! grep -qx Z "$stage/verdict"; then
    found=$(sed -n 's/^[AEO] //p' "$stage/verdict" | head -n 3 | tr '\n' ' ')
    echo "$id is kept, because somebody changed it: $found" >>"$stage/kept"
    return 0
  fi
  path_enter "$path/releases/." && release_private .old- && mv -- "../$id" ./ && rm -rf -- "./$id" && cd -P .. &&
    rmdir -- "$private" && rm -f -- "${listed}index" "${listed}stamps" "${listed}added" "${listed}coming"
}

# release_remove PRUNED…: everything that we installed and that is still as it was.
release_remove() {
  project=$folder/projects/$release
  release_begin || return
  if [ "$was" = "$path" ] && [ -d "$path" ]; then
    if [ -e "$project/index" ] || [ -e "$project/coming" ]; then
      release_clear "$path" "$project/" "$@" && release_unlink_git || return
    fi
    for file in "$project"/releases/*.index; do
      if [ -e "$file" ]; then release_clear_one "$file" "$@" || return; fi
    done
    (path_enter "$path/releases/." 2>/dev/null && release_sweep .new- && release_sweep .old-)
    for empty in "$path/releases" "$path/shared" "$path"; do
      (path_enter "$empty" 2>/dev/null && [ -d "./$name" ] && [ ! -L "./$name" ] && rmdir -- "./$name" 2>/dev/null)
    done
  fi
  rm -rf -- "$project"
}

# release_clear_one INDEX PRUNED…: one release of several.
release_clear_one() {
  id=${1##*/}
  id=${id%.index}
  shift
  if [ ! -d "$path/releases/$id" ] || [ -L "$path/releases/$id" ]; then return; fi
  release_clear "$path/releases/$id${sub:+/$sub}" "$project/releases/$id." "$@" || return
  path_enter "$path/releases/$id" || return
  # What is left are folders, and links to what is shared.
  (cd -P -- "./$id" && [ "$PWD" = "${place%/}/$id" ] && release_unlink) || return
  path_enter "$path/releases/$id" && { rmdir -- "./$id" 2>/dev/null || :; }
}

# release_unlink: removes our links to what is shared, and the folders that are empty then.
release_unlink() {
  find . -xdev -type l | while IFS= read -r link; do
    case $(readlink -- "$link") in ../../shared/* | ../../../*shared/*) rm -f -- "$link" ;; esac
  done
  find . -xdev -mindepth 1 -depth -type d -exec rmdir -- {} \; 2>/dev/null
  :
}

# release_clear ROOT LISTED PRUNED…: removes from a tree what is as it was installed.
release_clear() {
  root=$1 listed=$2
  shift 2
  if [ ! -d "$root" ]; then return; fi
  path_enter "$root/." && root=$PWD && exec 7<. || return
  release_sweep .reconciler-release-
  before=$ignored
  release_mounts
  release_survey "$@" || return
  : >"$stage/lines"
  mkdir -p -- "$stage/c" && : >"$stage/c/parts" && : >"$stage/c/copies" && cd -P -- "$stage" || return
  release_arrange '' && release_act
  outcome=$?
  ignored=$before
  return "$outcome"
}
""")
