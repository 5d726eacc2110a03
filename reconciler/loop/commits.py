"""The fleet's commits that hosts are at: how far behind each is, and what to think of one that git was not seen to have.

Kept by `reconciler/loop/engine.py`. Counting is done in a thread, once for each commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Commits:
    def __init__(self, behind: Callable[[str], int | None], hint: Callable[[], None], monotonic: Callable[[], float]) -> None:
        """`behind` blocks: `Follower.behind`. `hint` asks for a look at git."""
        self._count = behind
        self._hint = hint
        self._monotonic = monotonic
        self._current: str | None = None
        self._behind: dict[str, int | None] = {}
        self._strange: dict[str, float] = {}
        """Commits that other runs brought hosts to and that git was not seen to have → since when."""
        self._waiting: set[str] = set()
        """Hosts that wait for the next look."""
        self._looked = float("-inf")
        """When the last look began that read the repository."""

    def follow(self, commit: str | None) -> None:
        """The commit that is in force from now on."""
        if commit != self._current:
            self._current = commit
            self._behind.clear()
            self._strange.clear()

    def looked(self, began: float) -> None:
        self._looked = began

    def waited(self) -> set[str]:
        """The hosts that waited for a look at git, which has been made."""
        waiting, self._waiting = self._waiting, set()
        return waiting

    def distance(self, commit: str | None) -> int | None:
        """Commits between it and the one in force, as far as that was counted."""
        return 0 if commit is not None and commit == self._current else self._behind.get(commit or "")

    def unmeasured(self, commit: str) -> bool:
        return commit != self._current and commit not in self._behind

    async def measure(self, commit: str) -> None:
        current, count = self._current, await asyncio.to_thread(self._count, commit)
        if current == self._current:
            self._behind[commit] = count

    async def foreign(self, host: str, applied: str | None) -> str | None:
        """Why a commit that another run has brought the host to is not undone: git may have it, and we have not looked. It is,
        once a look that began afterwards has not found it either."""
        if applied is None or applied == self._current:
            return None
        if self.unmeasured(applied):
            await self.measure(applied)
        if self.distance(applied):  # 0: it is ahead of ours
            return None
        since = self._strange.setdefault(applied, self._monotonic())
        if self._looked > since:
            return None
        self._waiting.add(host)
        self._hint()
        return f"another run brought it to commit {applied[:10]}, which git was not seen to have so far"
