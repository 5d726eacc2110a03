"""Reads edited files from a host for `reconcile pull`: only plain files, only below the project's folder, and only so much.

The host may run as root for us and the folder may belong to somebody else, who would like us to carry /etc/shadow into git: no
link is followed, neither on the way nor at its end, and after a file was opened it is checked that what was opened is what
stands there under no other name. Answers carry the index of a path, never the path. Called by `pulling.py`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from providers.shell import Sh, lines, sh

FILE_LIMIT = 5 << 20
TOTAL_LIMIT = 50 << 20
COUNT_LIMIT = 500
SECONDS = 300

_READ = sh(
    r"""
# pull_file NUMBER PATH: `@NUMBER MODE SIZE TIME OWNER` and the content in base64, or `!NUMBER WORD`, why not.
pull_file() {
  within=. leaf=${2##*/}
  case $2 in */*) within=${2%/*} ;; esac
  if ! cd -P -- "$root" 2>/dev/null || [ "$PWD" != "$root" ] || ! cd -P -- "./$within" 2>/dev/null; then
    echo "!$1 gone"
    return
  fi
  if [ "$within" != . ] && [ "$PWD" != "${root%/}/$within" ]; then echo "!$1 link"; return; fi
  if [ -L "./$leaf" ]; then echo "!$1 link"; return; fi
  if [ ! -e "./$leaf" ]; then echo "!$1 gone"; return; fi
  if [ ! -f "./$leaf" ]; then echo "!$1 odd"; return; fi
  (
    exec 3<"./$leaf" || exit
    opened=$(stat -L -c '%d:%i %h %F' -- /proc/self/fd/3 3<&3)
    case $opened in
    "$(stat -c '%d:%i' -- "./$leaf") 1 regular"*) ;;
    *) echo "!$1 names"; exit 0 ;;
    esac
    about=$(stat -L -c '%a %s %Y %U' -- /proc/self/fd/3 3<&3) || exit
    size=${about#* }
    if [ "${size%% *}" -gt @limit@ ]; then echo "!$1 large"; exit 0; fi
    printf '@%s %s\n' "$1" "$about"
    head -c @limit@ <&3 | base64
  ) 2>/dev/null || echo "!$1 unreadable"
}
""",
    limit=FILE_LIMIT,
)
_WHY = {
    "gone": "it is not there any more",
    "link": "it is a link, or is reached by one",
    "odd": "it is no plain file",
    "names": "it has another name elsewhere, or was swapped for something else at this moment",
    "large": f"it has more than {FILE_LIMIT >> 20} MiB",
    "unreadable": "it could not be read",
}


@dataclass(frozen=True, slots=True)
class Found:
    """A file as it is on the host."""

    content: bytes
    executable: bool
    time: int
    owner: str


def question(root: str, paths: Sequence[str]) -> Sh:
    asked = [sh("pull_file @number@ @path@", number=number, path=path) for number, path in enumerate(paths)]
    return lines([_READ, sh("root=$(cd -P -- @root@ && pwd -P) || exit", root=root), *asked, sh("echo over")])


def read(out: bytes, paths: Sequence[str]) -> Mapping[str, Found | str] | None:
    """Path → the file, or why it is left out. Total; None where the answer did not come to its end."""
    if not ("\n" + out[-64:].decode("ascii", "replace")).endswith("\nover\n"):
        return None
    found: dict[str, Found | str] = {}
    head = b""
    body: list[bytes] = []
    for one in [*out.split(b"\n"), b"@"]:
        if one[:1] in (b"@", b"!"):
            _take(head, body, paths, found)
            head, body = one, []
        elif one != b"over":
            body.append(one)
    return {path: found.get(path, _WHY["unreadable"]) for path in paths}


def _take(head: bytes, body: Sequence[bytes], paths: Sequence[str], found: dict[str, Found | str]) -> None:
    """One file's part of the answer."""
    words = head[1:].decode("ascii", "replace").split(" ", 4)
    if not (words[0].isascii() and words[0].isdecimal() and len(words[0]) < 7 and int(words[0]) < len(paths)):
        return
    path = paths[int(words[0])]
    if head[:1] == b"!":
        found[path] = _WHY.get(words[1] if words[1:] else "", _WHY["unreadable"])
        return
    numbers = words[1:4]
    if len(words) != 5 or not all(word.isascii() and word.isdecimal() and len(word) < 13 for word in numbers):
        return
    try:
        content = base64.b64decode(b"".join(body), validate=True)
        executable = bool(int(words[1], 8) & 0o100)
    except (binascii.Error, ValueError):
        return
    if len(content) == int(words[2]):  # otherwise it was written to at this moment
        found[path] = Found(content, executable, int(words[3]), words[4])
