"""What a script answered, taken apart by the marks that carry its nonce.

`script.py` makes scripts whose own lines are `@NONCE WORD …`; whatever stands between two of them belongs to the fragment
or step that the second one ends. A host cannot forge a mark without knowing the nonce, and nothing that it prints (NULs, no
newline at the end, half a report) can shift one answer into another's place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Frame:
    """One fragment's or step's outcome. `status` is the exit status in decimals, or `late`, or `skipped`."""

    status: str
    out: bytes
    err: bytes = b""

    @property
    def ok(self) -> bool:
        return self.status == "0"


@dataclass(frozen=True, slots=True)
class Mark:
    """One line of our own: its words, and what stood before it since the previous one."""

    words: tuple[str, ...]
    before: bytes
    end: int
    """Where in the stream the next line begins."""


def marks(stream: bytes, nonce: str) -> Iterator[Mark]:
    """The marks in a stream in their order. What follows the last one is incomplete and left out."""
    separator = b"\n@" + nonce.encode() + b" "
    position = 0
    while (found := stream.find(separator, position)) >= 0:
        start = found + len(separator)
        end = stream.find(b"\n", start)
        if end < 0:
            return
        yield Mark(tuple(stream[start:end].decode("ascii", "replace").split()), stream[position:found], end + 1)
        position = end + 1


def frames(stdout: bytes, stderr: bytes, nonce: str) -> dict[int, Frame]:
    """The answers by number. A number that is not there was not answered: the report was cut, or the host went away."""
    errors = {mark.words: mark.before for mark in marks(stderr, nonce)}
    answers: dict[int, Frame] = {}
    for mark in marks(stdout, nonce):
        match mark.words:
            case ("e", number, status) if number.isdecimal():
                answers[int(number)] = Frame(status, mark.before, errors.get(mark.words, b""))
    return answers


def stopped(stdout: bytes, nonce: str) -> str | None:
    """Why the script gave up, before its steps or between two: `locked`, `stale`, `cancelled`, `folder`, `stage`."""
    for mark in marks(stdout, nonce):
        if mark.words[:1] == ("stop",):
            return mark.words[1] if len(mark.words) > 1 else "unknown"
    return None


def left_inventory(stdout: bytes, nonce: str) -> str:
    """Digest of the inventory as a stage left it for the next one; of a report without it, one that no inventory has."""
    return next((mark.words[1] for mark in marks(stdout, nonce) if mark.words[:1] == ("inventory",) and mark.words[1:]), "lost")


def finished(stdout: bytes, nonce: str) -> bool:
    """Whether the script came to its last line."""
    return any(mark.words == ("end",) for mark in marks(stdout, nonce))
