"""Access control lists: one normal form for what a manifest asks and what `getfacl` prints.

Used by `paths.py` for files and directories. The rule that keeps everything from flapping: `mode` is what the owner, the owning
group and the others may do; `acl` is all that goes beyond. On a file with an ACL `stat` shows the mask in the place of the
group's bits, so where `acl` is managed the mode is put together from the entries `user::`, `group::` and `other::` instead.
An entry that `setfacl` computes by itself (the mask as the union of what it limits, the base of a default ACL as a copy of the
mode) is left out of the normal form as long as it has the computed value; any other value stays in and shows as drift.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeAlias

from pydantic import AfterValidator

from providers.base import Line

_TAGS = {
    "u": "user",
    "g": "group",
    "m": "mask",
    "o": "other",
    "user": "user",
    "group": "group",
    "mask": "mask",
    "other": "other",
}
_QUALIFIER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@$\\-]*")
_BASE = ("user:", "group:", "other:")


def permissions(text: str) -> str:
    """`rw` → `rw-`."""
    return "".join(letter if letter in text else "-" for letter in "rwx")


def entry(text: str) -> str:
    """One entry in full: `u:ops:rw` → `user:ops:rw-`; raises `ValueError` with a sentence for the person who wrote it."""
    parts = text.split(":")
    default = parts[0] in ("d", "default")
    if default:
        parts = parts[1:]
    if len(parts) != 3 or parts[0] not in _TAGS or not re.fullmatch(r"[rwx-]{1,3}", parts[2]):
        raise ValueError('expected an entry such as "user:ops:rw", "group:adm:r", "mask::rx" or "default:user:ops:rwx"')
    tag, qualifier = _TAGS[parts[0]], parts[1]
    if qualifier and (tag in ("mask", "other") or not _QUALIFIER.fullmatch(qualifier)):
        raise ValueError(f'"{qualifier}" cannot stand in an entry for {tag}')
    if not qualifier and tag != "mask" and not default:
        raise ValueError(
            f'what the {"others" if tag == "other" else f"owning {tag}"} may do is said by "mode", not by an entry'
        )
    if qualifier.isdecimal():
        qualifier = str(int(qualifier))
    return f"{'default:' if default else ''}{tag}:{qualifier}:{permissions(parts[2])}"


AclEntry: TypeAlias = Annotated[Line, AfterValidator(entry)]
"""One entry beyond the mode, in the long form of `getfacl`."""


def normal(entries: Sequence[str]) -> tuple[str, ...]:
    """Entries in the order in which both sides are compared; raises `ValueError` when two speak of the same."""
    subjects = [item.rpartition(":")[0] for item in entries]
    if doubled := sorted({subject for subject in subjects if subjects.count(subject) > 1}):
        raise ValueError(f"two entries for {doubled[0]}")
    return tuple(sorted(entries))


def acl_word(mode: str | None, entries: Sequence[str] | None) -> str:
    """The word that the shell function `path_dress` takes: empty for "as it is", `-` for "none", else the entries to set."""
    if entries is None:
        return ""
    if not entries:
        return "-"
    base = []
    if mode is not None:
        digits = (int(digit) for digit in mode[-3:])
        letters = ("".join(letter for letter, bit in zip("rwx", (4, 2, 1), strict=True) if digit & bit) for digit in digits)
        base = [f"{tag}:{permissions(rights)}" for tag, rights in zip(("user:", "group:", "other:"), letters, strict=True)]
    return ",".join((*base, *entries))


def accounts(entries: Sequence[str] | None) -> tuple[str, ...]:
    """References of the users and groups that the entries name."""
    named = (item.removeprefix("default:").split(":") for item in entries or ())
    return tuple(f"{tag}:{qualifier}" for tag, qualifier, _ in named if qualifier and not qualifier.isdecimal())


@dataclass(frozen=True, slots=True)
class Acl:
    """What `getfacl` said of one path."""

    base: str
    """What owner, group and others may do, as three octal digits."""
    entries: tuple[str, ...]
    """All that goes beyond, in normal form."""


def _bits(rights: str) -> int:
    return sum(bit for letter, bit in zip("rwx", (4, 2, 1), strict=True) if letter in rights)


def _beyond(found: Mapping[str, str], given: Sequence[str], implied: Mapping[str, str]) -> list[str]:
    """The entries of one list, access or default, that say more than what `setfacl` would compute by itself."""
    union = 0
    for subject, rights in found.items():
        if subject not in ("user:", "other:", "mask:"):
            union |= _bits(rights)
    computed = dict(implied)
    if "mask:" in found and _bits(found["mask:"]) == union:
        computed["mask:"] = found["mask:"]
    return [f"{subject}:{rights}" for subject, rights in found.items() if subject in given or computed.get(subject) != rights]


def read_acl(names: Sequence[str], numbers: Sequence[str], asked: Sequence[str]) -> Acl | None:
    """From the lines of `getfacl` and of `getfacl -n` for one path to its ACL, worded like `asked`; None if they make no sense.

    Both list the same entries in the same order; an account that the manifest gives as a number is worded as a number.
    """
    if len(names) != len(numbers):
        return None
    subjects = {item.rpartition(":")[0] for item in asked}
    access: dict[str, str] = {}
    default: dict[str, str] = {}
    for name, number in zip(names, numbers, strict=True):
        subject, _, rights = number.rpartition(":") if number.rpartition(":")[0] in subjects else name.rpartition(":")
        if not re.fullmatch(r"[r-][w-][x-]", rights):
            return None
        if subject.startswith("default:"):
            default[subject.removeprefix("default:")] = rights
        else:
            access[subject] = rights
    if any(tag not in access for tag in _BASE):
        return None
    given = [subject for subject in subjects if not subject.startswith("default:")]
    given_default = [subject.removeprefix("default:") for subject in subjects if subject.startswith("default:")]
    base = {tag: access[tag] for tag in _BASE}
    beyond = _beyond(access, [*given], base)
    beyond += [f"default:{item}" for item in _beyond(default, given_default, base)]
    digits = "".join(str(_bits(access[tag])) for tag in _BASE)
    return Acl(digits, tuple(sorted(beyond)))
