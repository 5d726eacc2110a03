"""What travels to a host for a tree: only what it does not have yet, packed so that a shell can prove every file of it.

Called by `releases/steps.py`. A small parcel travels in the script itself; large ones are made when they are sent, each of
contents of some 16 MiB at most (or of one file that is larger).
"""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from providers.releases.answer import Held, short_line
from providers.releases.model import ReleaseSpec, is_sealed
from providers.tree import Tree, TreeFile

INLINE = 64 << 10
"""Bytes of a parcel that travels in the script."""
_EAGER = 512 << 10
"""Bytes of contents that are packed at once, to see whether they are few enough."""
_CHUNK = 16 << 20
_WORTH = 16 << 10
"""Bytes that packing must save: to send these takes less time than to start one more process on the host."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file of a parcel: its name there, its mode, and where its content comes from."""

    name: str
    mode: int
    size: int
    read: Callable[[], bytes] = field(repr=False)


@dataclass(slots=True)
class Shipment:
    """All that a step sends, and how it is counted."""

    control: dict[str, list[str]] = field(default_factory=lambda: {"delta": [], "parts": [], "copies": [], "seeds": []})
    members: list[Member] = field(default_factory=list)
    folders: dict[str, int] = field(default_factory=dict)

    @property
    def sent(self) -> int:
        return len(self.members)

    @property
    def size(self) -> int:
        return sum(member.size for member in self.members)

    def part(self, path: str) -> int:
        """The number of the folder of `path` in the parcel."""
        return self.folders.setdefault(path.rpartition("/")[0], len(self.folders) + 1)


def ship(spec: ReleaseSpec, held: Held, *, beside: bool, copying: bool = True) -> Shipment:
    """What is to be sent where the host holds `held`. `beside`: into a new folder beside, rather than over what is there.
    Without `copying`, a content is sent even where the host has it under another name."""
    shipment, tree = Shipment(), spec.files
    base = _usable(held, beside=beside)
    sources = _sources(held) if copying else {}
    shipment.control["delta"].append("partial" if base else "whole")
    for file in tree.files:
        if _same(file, base.get(file.path)):
            continue
        shipment.control["delta"].append(f"+{file.line}")
        if spec.is_untouched(file.path):
            continue
        number, source = shipment.part(file.path), sources.get(file.digest[:16])
        if source is not None and file.mode != "link" and not is_sealed(file):
            shipment.control["copies"].append(f"{number} {file.line}\t{source}")
        else:
            shipment.control["parts"].append(f"{number} {file.line}")
            shipment.members.append(_member(f"f/{number}/{file.path.rpartition('/')[2]}", file, tree))
    wanted = {file.path for file in tree.files}
    shipment.control["delta"] += [f"-{path}" for path in base if path not in wanted]
    _seed(shipment, spec, held)
    return shipment


def _usable(held: Held, *, beside: bool) -> Mapping[str, tuple[str, str]]:
    """Lines of the host's list that need not be said again. A secret is never copied from one release to another."""
    if not beside:
        return held.lines
    return {path: line for path, line in held.lines.items() if not line[1].startswith("sealed:")}


def _sources(held: Held) -> dict[str, str]:
    """Content → where the host has it."""
    found = {**held.contents, **held.lines}
    return {digest: path for path, (mode, digest) in found.items() if mode != "link" and not digest.startswith("sealed:")}


def _same(file: TreeFile, line: tuple[str, str] | None) -> bool:
    if line is None:
        return False
    return line == short_line(file)


def _seed(shipment: Shipment, spec: ReleaseSpec, held: Held) -> None:
    """What the tree holds where something shared belongs is the first content of it, where there is none yet."""
    missing = [name for name in spec.links if name not in held.shared]
    for file in spec.files.files if missing else ():
        if file.mode != "link" and any(file.path == name or file.path.startswith(f"{name}/") for name in missing):
            if not is_sealed(file):
                shipment.control["seeds"].append(f"{file.digest}  s/{file.path}")
            shipment.members.append(_member(f"s/{file.path}", file, spec.files))


def _member(name: str, file: TreeFile, tree: Tree) -> Member:
    mode = 0o600 if file.mode == "link" else int(file.mode, 8)
    return Member(name, mode, file.size, partial(tree.read, file.path))


def packed(shipment: Shipment) -> tuple[bytes | None, tuple[Callable[[], bytes], ...]]:
    """A blob for the script, or parcels that are made when they are sent. A blob is packed where `is_zipped`."""
    control = [Member(f"c/{name}", 0o600, 0, partial(_text, lines)) for name, lines in shipment.control.items()]
    chunks = list(_chunks(shipment.members))
    folders = [f"f/{number}" for number in shipment.folders.values()]
    first = partial(_zipped, ["c", "f", "s", *folders], [*control, *chunks[0]])
    lines = sum(len(line) for found in shipment.control.values() for line in found)
    if len(chunks) == 1 and shipment.size <= _EAGER and lines <= _EAGER:
        plain = _tar(["c", "f", "s", *folders], [*control, *chunks[0]])
        data = gzip.compress(plain, 6, mtime=0)
        if len(data) > INLINE:
            return None, (lambda: data,)
        return (plain if len(plain) <= min(INLINE, len(data) + _WORTH) else data), ()
    return None, (first, *(partial(_zipped, [], chunk) for chunk in chunks[1:]))


def is_zipped(blob: bytes) -> bool:
    return blob.startswith(b"\x1f\x8b")


def _zipped(folders: Iterable[str], members: Iterable[Member]) -> bytes:
    return gzip.compress(_tar(folders, members), 6, mtime=0)


def _text(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")


def _chunks(members: Iterable[Member]) -> Iterator[list[Member]]:
    chunk: list[Member] = []
    size = 0
    for member in members:
        if chunk and size + member.size > _CHUNK:
            yield chunk
            chunk, size = [], 0
        chunk.append(member)
        size += member.size
    yield chunk


def _tar(folders: Iterable[str], members: Iterable[Member]) -> bytes:
    """The same files give the same bytes."""
    out = io.BytesIO()
    known: set[str] = set()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT, encoding="utf-8", errors="surrogateescape") as archive:
        for folder in folders:
            _add_folder(archive, folder, known)
        for member in members:
            for position, sign in enumerate(member.name):
                if sign == "/" and member.name.startswith("s/"):
                    _add_folder(archive, member.name[:position], known)
            data = member.read()
            info = tarfile.TarInfo(member.name)
            info.mode, info.size = member.mode, len(data)
            archive.addfile(info, io.BytesIO(data))
        end = archive.offset + 2 * tarfile.BLOCKSIZE  # the rest would only be for tapes
    return out.getvalue()[:end]


def _add_folder(archive: tarfile.TarFile, name: str, known: set[str]) -> None:
    if name not in known:
        known.add(name)
        info = tarfile.TarInfo(name)
        info.type = tarfile.DIRTYPE
        info.mode = 0o755 if name.startswith("s/") else 0o700
        archive.addfile(info)
