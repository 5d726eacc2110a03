"""Shell that the kinds of a project share: where the host remembers what became of the project's releases.

Small files in `$folder/projects/NAME/` (root's, 0700), each replaced as a whole:

    index, stamps          the installed tree (mirror, checkout), and how its files looked when they were installed
    releases/ID.index, …   the same for each release
    slot.blue, slot.green  `TREE ID EPOCH`: the release that the slot was last started with
    runtime                `TREE ID EPOCH`: the same where there are no slots
    how.WHICH              how a slot or runtime was started, so that it is stopped and started again the same way
    route                  `SLOT EPOCH`: what has the traffic, and since when
    trial, proxied         what a switch tries just now, and the proxy's files that are ours
    good                   a line `TREE EPOCH` for each tree that has passed all its smoke tests
    quarantine             a line `TREE EPOCH WORDS` for each tree that has failed one: not tried again, never gone back to

TREE is `Tree.digest`, ID the name of the release's folder below `releases/` (`-` for mirror and checkout).
"""

from __future__ import annotations

from providers.shell import sh

LIBRARY = sh(r"""
# project_open NAME: sets $project to its folder, and makes it.
project_open() {
  project=$folder/projects/$1
  mkdir -p -- "$project"
}

# project_note FILE: the file of the project becomes stdin, whole or not at all.
project_note() {
  cat >"$project/.$1.new" && sync "$project/.$1.new" && mv -f -- "$project/.$1.new" "$project/$1" && sync "$project"
}

# project_mark FILE TREE WORDS…: one line for the tree, instead of the one that it may have had.
project_mark() {
  marked=$1
  tree=$2
  shift 2
  { if [ -e "$project/$marked" ]; then grep -v "^$tree " "$project/$marked"; fi
    printf '%s %s %s\n' "$tree" "$(date +%s)" "$*"; } | tail -n 100 | project_note "$marked"
}

# project_unmark FILE TREE: without it.
project_unmark() {
  if [ -e "$project/$1" ]; then { grep -v "^$2 " "$project/$1"; :; } | project_note "$1"; fi
}
""")

ASK = sh(r"""
# project_line NAME FILE: the first line of one of these files, or nothing; only builtins.
project_line() {
  line=
  if [ -r "$folder/projects/$1/$2" ]; then read -r line <"$folder/projects/$1/$2" || :; fi
  printf '%s\n' "$line"
}

# project_marked NAME FILE TREE: whether there is a line for the tree; only builtins.
project_marked() {
  [ -r "$folder/projects/$1/$2" ] || return 1
  while read -r marked _; do
    if [ "$marked" = "$3" ]; then return 0; fi
  done <"$folder/projects/$1/$2"
  return 1
}
""")
