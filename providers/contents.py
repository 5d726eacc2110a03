"""Short files, read as a whole: how `users.py` and `cron.py` get the text that they compare field by field.

Two commands answer for all files: `stat` says what they are, `cat` gives the bytes of all of them in one go, and the sizes
tell where one ends and the next begins. So nothing that stands in a file can pass for part of another, or be hidden by a NUL.
A shell that reads lines itself would be slower: it asks the kernel for one byte at a time.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from providers.shell import Sh

LIMIT = 65536
"""Bytes of a file; a longer one is not read."""

ASK = Sh(r"""
contents() { # FILE...: the last thing that a fragment does
  states=
  if [ $# -gt 0 ]; then states=$(stat -c 'stat %s %f %u %n' -- "$@" 2>&1); fi
  printf 'files\n%s\n' "$states"
  set -f
  IFS='
'
  set --
  for line in $states; do
    case $line in "stat "*" 8"???" "*) ;; *) continue ;; esac
    path=${line#* * * * }
    size=${line#* }
    if [ "${size%% *}" -le 65536 ] && [ -r "$path" ]; then
      printf 'read %s\n' "$path"
      set -- "$@" "$path"
    fi
  done
  echo contents
  if [ $# -gt 0 ]; then cat -- "$@"; fi
  printf '\nend files\n'
}""")

_STAT = re.compile(r"stat ([0-9]{1,19}) ([0-9a-f]{1,8}) ([0-9]{1,10}) (/.*)")
_MISSING = (": No such file or directory", ": Not a directory")


@dataclass(frozen=True, slots=True)
class File:
    """What stands at a path."""

    size: int
    mode: int
    uid: str
    data: bytes | None
    """None where it was not read: no regular file, too long, unreadable, or changed while we looked."""

    @property
    def regular(self) -> bool:
        return stat.S_ISREG(self.mode)

    @property
    def link(self) -> bool:
        return stat.S_ISLNK(self.mode)

    @property
    def permissions(self) -> str:
        return f"{stat.S_IMODE(self.mode):04o}"


@dataclass(frozen=True, slots=True)
class Contents:
    """What the host said of all files. A path that is not in `files` is absent, unless there was `trouble`."""

    files: Mapping[str, File]
    before: str
    """What the fragment printed first."""
    trouble: str | None = None


def read_contents(out: bytes) -> Contents | None:
    """The answer to `contents`; None where it is broken or cut off."""
    before, started, rest = (b"\n" + out).partition(b"\nfiles\n")
    listing, separated, body = (b"\n" + rest).partition(b"\ncontents\n")
    if not started or not separated or not body.endswith(b"\nend files\n"):
        return None
    found: dict[str, tuple[int, int, str]] = {}
    read: list[str] = []
    trouble = None
    for line in listing.decode("utf-8", "backslashreplace").split("\n"):
        if match := _STAT.fullmatch(line):
            found[match[4]] = (int(match[1]), int(match[2], 16), match[3])
        elif line.startswith("read /"):
            read.append(line[5:])
        elif line and not line.endswith(_MISSING):
            trouble = line
    data = _split(body.removesuffix(b"\nend files\n"), [(path, found[path][0]) for path in read if path in found])
    files = {path: File(size, mode, uid, data.get(path)) for path, (size, mode, uid) in found.items()}
    return Contents(files, before.decode("utf-8", "backslashreplace") + "\n", trouble)


def _split(body: bytes, sizes: Sequence[tuple[str, int]]) -> Mapping[str, bytes]:
    """The bytes of each file; nothing at all where their number does not fit, because a file changed while it was read."""
    if len(body) != sum(size for _, size in sizes):
        return {}
    pieces: dict[str, bytes] = {}
    position = 0
    for path, size in sizes:
        pieces[path] = body[position : position + size]
        position += size
    return pieces
