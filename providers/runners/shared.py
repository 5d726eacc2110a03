"""Shell that all runners share: how a thing was started, from which release, and the link that leads there.

`how.WHICH` (WHICH is `runtime`, `blue` or `green`), beside the files of `project_shell.py`, is written when something was
started: a few assignments that say with which settings. What is to be started again, stopped or gone back to is treated as it
was started, not as a newer revision of the project would have it. `before` and `how.before` are the same for what served until
the release that is being tried now.
"""

from __future__ import annotations

from providers import placing, project_shell
from providers.shell import lines, sh

_LIBRARY = sh(r"""
newline='
'
# What a file `how` may set; emptied before one is read.
runner_clear() {
  runner='' command_start='' command_stop='' command_env='' unit='' unit_enabled='' unit_timeout=''
  compose_project='' compose_options='' compose_services='' compose_built='' compose_once='' compose_alone='' compose_pull=''
  compose_timeout='' compose_inputs='' compose_needs='' compose_below='' compose_env='' compose_override='' compose_sealed=''
}

# runner_read FILE: how it was started, or is to be.
runner_read() {
  runner_clear
  # shellcheck source=/dev/null
  . "$1"
}

# runner_open NAME WHICH PATH FOLDER: what follows is about this one. FOLDER is the tree's folder in a release, or empty.
runner_open() {
  project_open "$1" || return
  which=$2 home=$3 inside=${4:+/$4}
}

# runner_release TREE: sets $release to the newest release with this tree, and $id to its name.
runner_release() {
  id=''
  for index in "$project/releases/"*.index; do
    if [ ! -e "$index" ]; then continue; fi
    digest=''
    read -r _ _ digest _ <"$index" || continue
    if [ "$digest" != "$1" ]; then continue; fi
    name=${index##*/}
    if [ -d "$home/releases/${name%.index}$inside" ]; then id=${name%.index}; fi
  done
  [ -n "$id" ] || { path_fail "no release in $home/releases has the tree $1"; return; }
  release=$home/releases/$id$inside
}

# runner_place TREE: sets $release and $id to where it runs from: a release, or (for `-`) the path itself.
runner_place() {
  if [ "$1" = - ]; then id=- release=$home; else runner_release "$1"; fi
}

# runner_noted FILE: sets $tree, $id and $release from what is noted there; fails where nothing is, or it is gone.
runner_noted() {
  tree='' id=''
  if [ -e "$project/$1" ]; then read -r tree id _ <"$project/$1" || :; fi
  if [ -z "$id" ]; then path_fail "it is not known what was started last"; return; fi
  if [ "$id" = - ]; then release=$home; else release=$home/releases/$id$inside; fi
  [ -d "$release" ] || path_fail "$release, which was started last, is not there any more"
}

# runner_link LINK: the link below the path leads to the release: whole or not at all.
runner_link() {
  target=releases/$id$inside
  case $1 in */*) target=../$target ;; esac
  path_enter "$home/$1" make || return
  if [ -L "./$name" ] && [ "$(readlink -- "./$name")" = "$target" ]; then return; fi
  if [ -e "./$name" ] && [ ! -L "./$name" ]; then path_fail "$home/$1 is not a link: it is kept"; return; fi
  path_workshop || return
  if ln -s -- "$target" "./$name"; then path_install; else path_leave; return 1; fi
}

# runner_note FILE TREE: it was started with this, as "$blob" says.
runner_note() {
  how=how.$which
  if [ -n "$blob" ] && [ -e "$blob" ]; then project_note "$how" <"$blob" || return; fi
  printf '%s %s %s\n' "$2" "$id" "$(date +%s)" | project_note "$1"
}

# runner_start [again | built]: starts it from $release. With "again", what is there already is started and not made anew.
runner_start() {
  case $runner in
    compose) compose_start "$1" ;;
    systemd) systemd_start "$1" ;;
    command) command_run "$command_start" ;;
  esac
}

# runner_leave OLD NEW: what was started as the file OLD says goes, where it is another thing than the one in the file NEW. A
# command knows only by its own `stop` what it has started, and that may lie in the old release.
runner_leave() {
  if [ ! -e "$1" ]; then return; fi
  runner_read "$2" || return
  kept="$runner $unit $compose_project"
  if [ "$compose_alone" = 0 ]; then kept="$kept $compose_services"; fi
  runner_read "$1" || return
  left="$runner $unit $compose_project"
  if [ "$compose_alone" = 0 ]; then left="$left $compose_services"; fi
  if [ "$runner" = none ]; then return; fi
  if [ "$runner" = command ] && [ ! -d "$release" ]; then return; fi
  if [ "$left" = "$kept" ]; then
    if [ "$runner" = command ]; then runner_stop '' || echo "its stop command failed: it may not have been running"; fi
    return 0
  fi
  printf 'stopping what it ran as before: %s\n' "$left"
  runner_stop remove
}

# runner_stop [remove]: stops it; with "remove", for good. Data in volumes stays.
runner_stop() {
  case $runner in
    compose) compose_stop "$1" ;;
    systemd) systemd_stop "$1" ;;
    command) if [ -n "$command_stop" ]; then command_run "$command_stop"; fi ;;
  esac
}

# runner_expect NAME VALUE…: what was started has these values: in its containers where they have the variable, else in .env.
runner_expect() {
  if [ "$#" = 0 ]; then return; fi
  given=''
  if [ "$runner" = compose ]; then given=$(compose_given) || return; fi
  wrong=0
  while [ "$#" -gt 1 ]; do
    found=$(printf '%s\n' "$given" | sed -n "s/^$1=//p" | sort -u)
    if [ -z "$found" ] && [ -r "$release/.env" ]; then
      found=$(sed -n "s/^[[:blank:]]*\(export[[:blank:]]\{1,\}\)\{0,1\}$1=//p" "$release/.env" | tail -n 1)
      case $found in \"*\" | \'*\') found=${found#?} found=${found%?} ;; esac
    fi
    if [ "$found" != "$2" ]; then
      wrong=1
      printf '%s is expected to be "%s", and is "%s"\n' "$1" "$2" "$(printf '%s' "$found" | head -c 200)"
    fi
    shift 2
  done
  [ "$wrong" = 0 ] || path_fail "it was started with other values than expected"
}

# runner_forget FILE…: these files of ours about the project go, and its folder when nothing else is in it.
runner_forget() {
  for file do rm -f -- "$project/$file" || return; done
  rmdir -- "$project" 2>/dev/null || :
}
""")

LIBRARY = lines([placing.LIBRARY, project_shell.LIBRARY, _LIBRARY])
