"""What is judged, and what goes wrong with a list: plain values, so that nobody needs git or a library to name them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Signed:
    """A commit as its signature sees it. Made by `desired/git_history.py`."""

    commit: str
    subject: str
    author: str
    time: int
    """When it was committed, as it says itself; seconds since 1970."""
    signature: bytes
    """Empty where there is none."""
    payload: bytes


class SignersError(Exception):
    """A list on the controller cannot be used. `hint` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
