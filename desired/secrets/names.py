"""Names and files of secrets: from `{secret: db/password}` to secrets/db/password.age, without opening anything.

Used by everything that reads `{secret: NAME}` out of a manifest, and by `reconcile secret`. What needs a key is in `vault.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from desired.source import Source, Unusable
from desired.text import visible

FOLDER = "secrets/"
ENDING = ".age"
RECIPIENTS = "secrets/recipients"
VALUE_LIMIT = 1 << 20
"""Bytes of one secret."""
ENCRYPTED_LIMIT = 2 << 20
"""Bytes of one encrypted file: armored, with many recipients."""
BINARY_MARK = b"age-encryption.org/v1\n"
ARMOR_MARK = b"-----BEGIN AGE ENCRYPTED FILE-----"

_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", re.ASCII)
_MARKER = "\ufdd0{}\ufdd1"
"""Stands in a rendered template for a secret. These two characters are in no text: Unicode keeps them for uses like this."""
_MARKERS = re.compile("\ufdd0([A-Za-z0-9._/-]*)\ufdd1", re.ASCII)
MARKS = ("\ufdd0", "\ufdd1")


def secret_path(name: str) -> str:
    """Where the secret lies in the repository; raises `Unusable` for what cannot be a name of one."""
    parts = name.split("/")
    if name.startswith(FOLDER) or name.endswith(ENDING):
        short = name.removeprefix(FOLDER).removesuffix(ENDING)
        raise Unusable(f'"{visible(name, 100)}" is the path of a secret, not its name', f"write {visible(short, 100)}")
    if len(parts) > 8 or not all(_PART.fullmatch(part) for part in parts):
        raise Unusable(
            f'"{visible(name, 100)}" cannot be the name of a secret',
            "letters, digits, dots, dashes and underscores, and slashes between folders, as in alerts/chat",
        )
    return f"{FOLDER}{name}{ENDING}"


def secret_name(path: str) -> str:
    """`secrets/db.age` → `db`."""
    return path.removeprefix(FOLDER).removesuffix(ENDING)


def looks_encrypted(data: bytes) -> bool:
    return data.startswith(BINARY_MARK) or data.lstrip().startswith(ARMOR_MARK)


def read_secret(source: Source, path: str) -> bytes:
    """The encrypted file at `path`; `Unusable` where it is missing, too long, or not encrypted at all."""
    try:
        source.check(path, ENCRYPTED_LIMIT)
    except Unusable as error:
        if path in source:
            raise
        raise Unusable(str(error), error.hint or f"make it: reconcile secret encrypt {secret_name(path)}") from error
    data = source.read(path, ENCRYPTED_LIMIT)
    if not looks_encrypted(data):
        raise Unusable(
            f"{visible(path)} is not encrypted",
            "whoever can read the repository knows it: change the value, and encrypt the new one with reconcile secret encrypt",
        )
    return data


def marker(name: str) -> str:
    """What `{{ secret("NAME") }}` becomes until the secret is opened."""
    return _MARKER.format(name)


def split_at_markers(text: str) -> Iterator[str]:
    """Text and names of secrets by turns: the first and the last piece are text."""
    yield from _MARKERS.split(text)
