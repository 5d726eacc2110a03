"""Whether a newer commit may take the place of the one in force: its history only grew, and signers signed all that is new.

Called by `reconciler/loop/following.py` before anything of the commit is read. A commit that a person accepted by name is a new
beginning: what came before it is not asked for again, and what comes after it is judged from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from desired.git_history import grew, has, shallow
from desired.signatures.walk import Refusal, Walk
from reconciler.loop.places import Clone


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why a commit is not followed."""

    kind: Literal["rewritten", "unsigned"]
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Guard:
    """What one commit is held against. Raises `RepositoryError` where the history cannot be read."""

    clone: Clone
    walk: Walk
    accept: str
    """The command that accepts a commit, less the commit."""

    def doubt(self, good: str | None, newest: str, accepted: Sequence[str]) -> Doubt | None:
        """`good`: the commit in force, or the one remembered from the last run."""
        found = self._from(good, newest) if good is not None else self._beginning(newest)
        if found is None:
            return None
        for commit in accepted:
            if has(self.clone.repository, commit) and grew(self.clone.repository, commit, newest):
                found = self._begun(commit, newest)
                if found is None:
                    return None
        return found

    def _from(self, good: str, newest: str) -> Doubt | None:
        repository = self.clone.repository
        if not has(repository, good):
            why = "the clone is shallow, and" if shallow(repository) else "its history was rewritten:"
            return self._rewritten(f"{why} the commit in force, {good[:10]}, is not in it any more", newest)
        if not grew(repository, good, newest):
            how = "was set back to an earlier commit" if grew(repository, newest, good) else "was rewritten"
            return self._rewritten(
                f"the branch {how}: {good[:10]} is in force, and the newest commit, {newest[:10]}, does not contain it", newest
            )
        return self._unsigned(self.walk.refused(good, newest), newest)

    def _rewritten(self, message: str, newest: str) -> Doubt:
        return Doubt("rewritten", message, f"look at what changed; if it is meant so: {self.accept} {newest[:12]}")

    def _beginning(self, newest: str) -> Doubt | None:
        """There is nothing yet whose list of signers could be asked."""
        if self.walk.outside is not None:
            return self._unsigned(self.walk.alone(newest), newest)
        if not self.walk.asks(newest):
            return None
        return Doubt(
            "unsigned",
            f"the fleet has signers, and this is the first commit that is looked at, {newest[:10]}: its list of signers cannot "
            "vouch for itself",
            f"compare the commit with what the signers say it is, then: {self.accept} {newest[:12]}; or say from outside who "
            "may sign: reconcile run --signers FILE",
        )

    def _begun(self, commit: str, newest: str) -> Doubt | None:
        """From an accepted commit, which has to be signed by one of its own signers."""
        refusal = self.walk.alone(commit) or (self.walk.refused(commit, newest) if commit != newest else None)
        return self._unsigned(refusal, newest)

    def _unsigned(self, refusal: Refusal | None, newest: str) -> Doubt | None:
        if refusal is None:
            return None
        hint = refusal.hint or (
            f"have it signed (git commit --amend -S, or a signed commit on top that is accepted by name: {self.accept} COMMIT)"
        )
        return Doubt("unsigned", str(refusal), hint)
