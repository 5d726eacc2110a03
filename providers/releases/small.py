"""A small revision of a tree in its place: the same promises as `release_put`, with few processes on the host.

Starting a process costs a host more than anything that it then does to some files. So, where the host holds exactly what was
installed last and some files of it change, the controller says what is to be done in which folder, and the host compares,
merges, proves and remembers in one process each. Whatever is out of the ordinary (an edited file, a link, a mount, what a
killed run has left, a host without GNU find) is found before anything has changed, and the general way of `releases/shell.py`
is taken.

Called by `releases/steps.py`; uses the variables and the descriptors that `releases/engine.py` tells of.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from providers.base import Change
from providers.releases.answer import Held
from providers.releases.model import ReleaseSpec, ReleaseState
from providers.releases.parcels import Shipment, ship
from providers.shell import sh

MOST_FILES = 20_000
"""Files of a tree whose list the host holds in memory at once; in a larger one, processes are not what takes the time."""
_CHANGED = 300
"""Files of a small revision."""
_LONG = 48 << 10
"""Bytes of names, and of contents, of a small revision."""
_BATCH = 16_000
"""Bytes of names in one action."""

SMALL = sh(r"""
# release_put_small BASE LIST_DIGEST MOVED PRUNED…: from the tree BASE to the wanted one. LIST_DIGEST: of the new index. MOVED:
# a line for each file that is new or replaced.
release_put_small() {
  base=$1 list_digest=$2 moved=$3
  shift 3
  if ! release_is_plain || ! release_ready "$@"; then
    # No file was moved so far, and what was unpacked is swept away by the general way.
    cd / && release_put "$@"
    return
  fi
  release_bring_small
  outcome=$?
  cd -P -- /proc/self/fd/8 && rm -rf -- ./c ./f ./s && cd -P -- /proc/self/fd/7 && rmdir -- "$private" && [ "$outcome" = 0 ] ||
    return
  # The stamps first: as long as the old list stands there, nobody takes them for its own. The rename of the list makes the tree
  # complete and takes the mark away, in one.
  mv -f -- "${listed}stamps.new" "${listed}stamps" && mv -f -- "${listed}coming" "${listed}index" && sync "$project"
}

# release_is_plain: BASE is installed completely, by us, with the same owner, and nothing is left of another run; only builtins.
release_is_plain() {
  project=$folder/projects/$release
  listed=$project/
  release_place
  [ "$was" = "$path" ] && [ "$owner" = "$owner_wanted" ] && [ "$group" = "$group_wanted" ] || return
  [ ! -e "${listed}coming" ] && [ -r "${listed}index" ] && [ -r "${listed}stamps" ] && [ -r "${listed}added" ] || return
  read -r _ _ title _ <"${listed}index" && read -r _ stamped tool <"${listed}stamps" || return
  [ "$title $stamped $tool" = "$base $base gnu" ] || return
  cd -P -- "$path" 2>/dev/null && release_at "$path" || return
  for old in ./.reconciler-release-*; do if [ -e "$old" ] || [ -L "$old" ]; then return 1; fi; done
  while read -r word value _; do
    case $word in Uid:) path_uid=$value; break ;; esac
  done </proc/self/status
  tab='	' table='' root=$path place=$path
  exec 7<.
}

# release_ready PRUNED…: unpacks, and makes sure of everything before anything changes: the tree is as BASE was installed, each
# content and the new list are what was promised.
release_ready() {
  read -r random </proc/sys/kernel/random/uuid || return
  private=./.reconciler-release-${random%"${random#??????}"}
  mkdir -m 0700 -- "$private" && path_private "$private" && exec 8<. || return
  tar "-x${packed}pomf" "$blob" && release_own -hR ./f || return
  (cd -P -- /proc/self/fd/7 && release_list_both "$@") | release_merge && sha256sum -c "$stage/sums" >/dev/null 2>&1
}

# release_list_both PRUNED…: the listing of the tree as `stamps` keeps it, and how the unpacked files look, after a plus.
release_list_both() {
  printf '!stamps %s gnu\n' "$base"
  find . /proc/self/fd/8/f -mindepth 1 -xdev -ignore_readdir_race \
    '(' -path '/proc/self/fd/8/*' '(' -type d -o -printf '+%s %T@ %i %U %G %P\n' ')' ')' \
    -o -path './.reconciler-release-*' -prune -o "$@" -name '*
*' -prune -printf '!odd\n' -o ! -type d -printf '%y %m %U %G %s %T@ %C@ %i ./%P\n' 7<&7 8<&8
  printf '!status %s\n' "$?"
}

# release_merge: fails unless the listing on stdin is that of the stamps; writes the new list, and what is to be proved. The
# list is the mark too, and one that a killed run has left half written is as good a mark: nothing of it has been moved yet.
release_merge() {
  project=$project stage=$stage root=$root title="reconciler-tree 1 $tree $commit" awk -v digest="$list_digest" \
    -v uid="$uid" -v gid="$gid" "$awk_file"'
    BEGIN {
      project = ENVIRON["project"]
      while ((getline l < (project "/stamps")) > 0) { due[l]++; count++ }
      while ((getline l < "/proc/self/mountinfo") > 0) {
        split(l, word, " ")
        if (index(word[5], ENVIRON["root"] "/") == 1) odd = 1
      }
    }
    /^[+]/ {
      split($0, word, " ")
      if ((uid != "" && uid != word[4]) || (gid != "" && gid != word[5])) odd = 1
      print substr($0, 2) > (ENVIRON["stage"] "/staged")
      next
    }
    { if (due[$0]-- > 0) count--; else odd = 1 }
    END {
      if (odd || count) exit 1
      while ((getline l < "./c/delta") > 0) {
        sign = substr(l, 1, 1)
        if (sign == "+") { line[++n] = substr(l, 2); path[n] = file(line[n]); drop[path[n]] = 1 }
        else if (sign == "-") drop[substr(l, 2)] = 1
      }
      while ((getline l < (project "/added")) > 0) if (l in drop || ++foreign > 4000) exit 1
      sums = ENVIRON["stage"] "/sums"
      while ((getline l < "./c/parts") > 0) {
        split(l, word, " ")
        p = file(substr(l, index(l, " ") + 1))
        sub(/.*\//, "", p)
        if (word[3] !~ /^sealed:/) print word[3] "  ./f/" word[1] "/" p > sums
      }
      coming = project "/coming"
      print digest "  " coming > sums
      print ENVIRON["title"] > coming
      i = 1
      while ((getline l < (project "/index")) > 0) {
        if (l ~ /^reconciler-tree /) continue
        p = file(l) ""
        while (i <= n && (path[i] "") < p) print line[i++] > coming
        if (!(p in drop)) print l > coming
      }
      while (i <= n) print line[i++] > coming
    }'
}

# release_bring_small: contents and list reach the disk before they get their names; the mark comes before the first file moves.
release_bring_small() {
  set --
  for entry in ./f/*/* ./f/*/.[!.]* ./f/*/..?*; do if [ -f "$entry" ]; then set -- "$@" "$entry"; fi; done
  if [ "$#" -gt 8 ]; then
    { sync -f . 2>/dev/null || sync; } && set --
  fi
  sync -- "${listed}coming" "$@" && release_act ./c/actions && release_stamp_small
}

# release_stamp_small: the old stamps, but for the files of this revision. The others keep the line that was found true before
# the first file moved: whatever is done to one of them from then on differs from it, and shows. A file of this revision is only
# vouched for if it still looks as it did when it was proved.
release_stamp_small() {
  cd -P -- /proc/self/fd/7 || return
  IFS='
'
  set -f
  # shellcheck disable=SC2086 # a line for each
  set -- $moved
  set +f
  unset IFS
  if [ "$#" -gt 0 ]; then find "$@" -maxdepth 0 -printf '%y %m %U %G %s %T@ %C@ %i %p\n' 2>/dev/null; fi |
    (cd -P -- /proc/self/fd/8 && release_patch >"${listed}stamps.new")
}

# release_patch: from how the moved files look now, and the old stamps, to the new ones.
release_patch() {
  project=$project stage=$stage awk -v base="$base" -v tree="$tree" '
    function cut(l, n) {
      for (; n > 0; n--) l = substr(l, index(l, " ") + 1)
      return l
    }
    function fresh(l, i) {
      for (i = n++; i > 0 && (line[i] "") > (l ""); i--) line[i + 1] = line[i]
      line[i + 1] = l
    }
    BEGIN {
      while ((getline l < "./c/delta") > 0)
        if (l ~ /^[+]/) changed["./" cut(l, 3)] = 1
        else changed["./" substr(l, 2)] = 1
      while ((getline l < "./c/parts") > 0) {
        p = cut(l, 4)
        b = p
        sub(/.*\//, "", b)
        split(l, word, " ")
        part[word[1] "/" b] = "./" p
        moved["./" p] = 1
      }
      while ((getline l < (ENVIRON["stage"] "/staged")) > 0) {
        split(l, word, " ")
        proved[part[cut(l, 5)]] = word[1] " " word[2] " " word[3]
      }
    }
    {
      p = cut($0, 8)
      if (proved[p] == $5 " " $6 " " $8) { fresh($0); delete moved[p] }
    }
    END {
      for (p in moved) fresh("? " substr(p, 3))
      i = 1
      while ((getline l < (ENVIRON["project"] "/stamps")) > 0) {
        if (l == "!stamps " base " gnu") l = "!stamps " tree " gnu"
        else if (cut(l, 8) in changed) continue
        while (i <= n && (line[i] "") < (l "")) print line[i++]
        print l
      }
      while (i <= n) print line[i++]
    }'
}
""")


@dataclass(slots=True)
class Small:
    """A revision for which the short way is tried."""

    base: str
    shipment: Shipment
    moved: list[str] = field(default_factory=list)
    digest: str = ""


def small(change: Change[ReleaseSpec, ReleaseState], held: Held) -> Small | None:
    """What the short way sends, or nothing where it is not for such a change."""
    spec, before = change.spec, change.before
    if before is None or before.tree is None or spec.versioned or not held.lines or held.contents:
        return None
    if " " in spec.path or "\\" in spec.path:  # the kernel's table of mounts writes them in another way
        return None
    if "tree" not in change.fields or change.fields - {"tree", "commit", "branch"} or before.tree == "unfinished":
        return None
    files = spec.files.files
    if max(len(files), len(held.lines)) > MOST_FILES:
        return None
    shipment = ship(spec, held, beside=False, copying=False)
    moved = [line.split(" ", 4)[4] for line in shipment.control["parts"]]
    removed = [path for path in held.lines.keys() - {file.path for file in files} if not spec.is_untouched(path)]
    names = sum(len(path.encode("utf-8", "surrogateescape")) + 3 for path in (*moved, *removed))
    if len(moved) > _CHANGED or names > _LONG or shipment.size > _LONG or shipment.control["seeds"]:
        return None
    if any(line.split(" ", 2)[1] == "link" for line in shipment.control["parts"]) or _collide(moved, removed):
        return None
    shipment.control["actions"] = _actions(shipment, moved, removed, [file.path for file in files], held)
    digest = hashlib.sha256(spec.files.index.encode("utf-8", "surrogateescape")).hexdigest()
    return Small(before.tree, shipment, moved, digest)


def _folders(path: str) -> list[str]:
    """The folders that a path lies in, from the inmost to the root's own."""
    return [path[:position] for position in range(len(path) - 1, 0, -1) if path[position] == "/"]


def _collide(moved: list[str], removed: list[str]) -> bool:
    """Whether a file takes the place of a folder, or a folder that of a file."""
    above = {folder for path in removed for folder in _folders(path)}
    gone = set(removed)
    return any(path in above or not gone.isdisjoint(_folders(path)) for path in moved)


def _actions(shipment: Shipment, moved: list[str], removed: list[str], wanted: list[str], held: Held) -> list[str]:
    """What is to be done folder by folder, as `release_arrange` of `releases/engine.py` writes it."""
    todo: dict[str, list[str]] = {}

    def add(phase: int, order: int, action: str, path: str, part: str = "-") -> None:
        folder, _, name = path.rpartition("/")
        todo.setdefault(f"{phase}{order:04d}\t{action}\t{folder or '.'}\t{part}", []).append(name)

    there = {folder for path in held.lines for folder in _folders(path)}
    stays = {folder for path in wanted for folder in _folders(path)}
    for folder in sorted({folder for path in moved for folder in _folders(path)} - there):
        add(3, folder.count("/"), "mkdir", folder)
    for path in moved:
        add(4, 0, "mv", path, str(shipment.part(path)))
    for path in sorted(removed):
        add(5, 0, "rm", path)
    for folder in sorted({folder for path in removed for folder in _folders(path)} - stays):
        add(6, 9999 - folder.count("/"), "rmdir", folder)
    return sorted(f"{key}\t{names}" for key, found in todo.items() for names in _batches(found))


def _batches(names: list[str]) -> list[str]:
    batches: list[str] = []
    for name in names:
        if batches and len(batches[-1]) + len(name) <= _BATCH:
            batches[-1] += f"/{name}"
        else:
            batches.append(name)
    return batches
