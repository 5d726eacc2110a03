"""Reads what a `.deb` says about itself, from its bytes: it is an `ar` archive with a `control.tar` inside.

Called by `deb.py` when a fleet is loaded, so that a wrong file is told before any host is touched. The file comes from the
fleet repository, which is other people's data: nothing is unpacked to a disk, and how much is decompressed is bounded.
"""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
import zlib
from dataclasses import dataclass

_MAGIC = b"!<arch>\n"
_HEADER = 60
_LARGEST = 1 << 20
"""Bytes of the unpacked control archive and of the control file that are read; real ones have some tens of kilobytes."""
_TAR_ENDS = 1024


class NotReadable(ValueError):
    """The file is damaged, is no `.deb`, or is packed in a way that Python 3.11 cannot unpack. `str` says which."""


@dataclass(frozen=True, slots=True)
class Control:
    """The part of a control file that matters here."""

    package: str
    version: str
    architecture: str


def read_control(body: bytes) -> Control | None:
    """What the package says of itself; None when that part is packed with zstd (Ubuntu's is). May raise `NotReadable`."""
    name, packed = _control_member(body)
    if name == "control.tar.zst":
        return None
    fields = _fields(_control_file(_unpack(name, packed)))
    control = Control(fields.get("package", ""), fields.get("version", ""), fields.get("architecture", ""))
    if not (control.package and control.version and control.architecture):
        raise NotReadable("its control file lacks Package, Version or Architecture")
    return control


def _control_member(body: bytes) -> tuple[str, bytes]:
    """Name and content of the second member of the archive, which is the control archive."""
    if not body.startswith(_MAGIC):
        raise NotReadable("it is no Debian package")
    position = len(_MAGIC)
    while position + _HEADER <= len(body):
        header = body[position : position + _HEADER]
        name = header[:16].decode("latin-1").strip().removesuffix("/")
        digits = header[48:58].strip()
        if header[58:60] != b"`\n" or not digits.isdigit():
            raise NotReadable("it is damaged")
        start, size = position + _HEADER, int(digits)
        if start + size > len(body):
            raise NotReadable("it is cut off")
        if name.startswith("control.tar"):
            return name, body[start : start + size]
        position = start + size + size % 2
    raise NotReadable("there is no control archive in it")


def _unpack(name: str, packed: bytes) -> bytes:
    try:
        if name == "control.tar.gz":
            with gzip.GzipFile(fileobj=io.BytesIO(packed)) as stream:
                return stream.read(_LARGEST)
        if name == "control.tar.xz":
            return lzma.LZMADecompressor(memlimit=128 << 20).decompress(packed, max_length=_LARGEST)
    except (OSError, EOFError, lzma.LZMAError, zlib.error):
        raise NotReadable("its control archive is damaged") from None
    if name == "control.tar":
        return packed[:_LARGEST]
    raise NotReadable(f"its {name} is packed in an unknown way")


def _control_file(archive: bytes) -> str:
    try:
        with tarfile.open(fileobj=io.BytesIO(archive + bytes(_TAR_ENDS)), mode="r:") as tar:
            for member in tar:
                if member.name.removeprefix("./") == "control" and member.isreg() and member.size <= _LARGEST:
                    stream = tar.extractfile(member)
                    if stream is not None:
                        return stream.read().decode("utf-8", "replace")
    except (tarfile.TarError, ValueError, OSError, EOFError):
        raise NotReadable("its control archive is damaged") from None
    raise NotReadable("there is no control file in it")


def _fields(text: str) -> dict[str, str]:
    """The one-line fields of a control file, by their names in lower case."""
    pairs = (line.partition(":") for line in text.splitlines() if line[:1] not in {" ", "\t", "#"})
    return {name.strip().lower(): value.strip() for name, colon, value in pairs if colon}
