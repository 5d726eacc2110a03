"""What a project's file was before, and which of that may be gone back to: the thinking behind `reconcile rollback`.

Pure: from the versions of the file, newest first, to a choice. Called by `reconciler/cli/rolling_back.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from desired.git_write import Version
from desired.yaml import parse


@dataclass(frozen=True, slots=True)
class Past:
    """What the file said from one commit on."""

    commit: str
    subject: str
    revision: str
    active: str | None
    """`slots.active`; None where there are no slots."""


def pasts(versions: Iterable[Version], file: str) -> list[Past]:
    """Newest first, as far back as the file was there without a gap. A version that cannot be read says nothing, and is left
    out."""
    found = []
    for version in versions:
        if version.content is None:
            break
        value = parse(version.content, file).value
        revision = value.get("revision") if isinstance(value, dict) else None
        if isinstance(revision, str) and revision:
            found.append(Past(version.commit, version.subject, revision, _active(value.get("slots"))))
    return found


def _active(slots: Any) -> str | None:
    if not isinstance(slots, dict):
        return None
    active = slots.get("active", "auto")
    return active if isinstance(active, str) else None


def last_change(history: Sequence[Past]) -> Past | None:
    """What the file said before the newest change of its revision or its slot."""
    for newer, older in pairwise(history):
        if (newer.revision, newer.active) != (older.revision, older.active):
            return older
    return None


def earlier_revisions(history: Sequence[Past]) -> list[Past]:
    """The revisions to go back to, nearest first.

    A return to an earlier revision undoes all that came after it: so that going back twice goes back by two, and never returns
    to what was gone back from.
    """
    stack: list[Past] = []
    for past in reversed(history):
        at = next((index for index, known in enumerate(stack) if known.revision == past.revision), None)
        if at is None:
            stack.append(past)
        else:
            del stack[at + 1 :]
    return stack[-2::-1] if len(stack) > 1 else []
