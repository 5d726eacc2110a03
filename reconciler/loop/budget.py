"""How much a desired state may delete over the whole fleet before a person has to say that it is meant.

Asked by `reconciler/loop/holds.py` for each cycle. `max_deletions` is not counted per host and cycle: a commit that removes a
little from each of a hundred hosts removes a lot. So nothing is deleted before every host was asked under this desired state
(or did not answer), and what was deleted already counts on.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal

from reconciler.text import plural

OVER = "too many deletions"
"""How the reason begins where a person has to decide."""


@dataclass(slots=True)
class Budget:
    """`begin` is called for each new desired state."""

    allowed: int = 0
    _unasked: set[str] = field(default_factory=set)
    _open: dict[str, frozenset[str]] = field(default_factory=dict)
    """Host → what is still to be deleted there."""
    _done: dict[str, frozenset[str]] = field(default_factory=dict)

    def begin(self, allowed: int, hosts: Collection[str], moved: Collection[str]) -> None:
        """`moved`: hosts of which something else is asked than before; what is known of the others still holds."""
        self.allowed = allowed
        if moved:
            self._done = {}
        self._unasked = (self._unasked & set(hosts)) | set(moved)
        self._open = {host: names for host, names in self._open.items() if host in hosts and host not in moved}

    def asked(self, host: str, deletions: Collection[str] | None) -> None:
        """What a look at the host came to; None: it did not answer, and nobody waits for it."""
        self._unasked.discard(host)
        if deletions is not None:
            self._open[host] = frozenset(deletions)

    def deleted(self, host: str, names: Collection[str]) -> None:
        """They may be gone: an attempt counts, whatever it came to."""
        self._done[host] = self._done.get(host, frozenset()) | frozenset(names)

    @property
    def verdict(self) -> Literal["early", "over", "within"]:
        if self._unasked:
            return "early"
        return "over" if self._total() > self.allowed else "within"

    def _total(self) -> int:
        """What is to be deleted and what was, each once."""
        return sum(
            len(self._open.get(host, frozenset()) | self._done.get(host, frozenset())) for host in {*self._open, *self._done}
        )

    def waiting(self) -> list[str]:
        """Hosts with something to delete."""
        return [host for host, names in self._open.items() if names]

    def reason(self) -> str | None:
        """Why nothing may be deleted now."""
        verdict = self.verdict
        if verdict == "over":
            total, to_come = self._total(), sum(len(names) for names in self._open.values())
            are = "is" if self.allowed == 1 else "are"
            return (
                f"{OVER}: {plural(total, 'deletion')} in the whole fleet, and {self.allowed} {are} allowed; "
                f"if they are all meant: reconcile apply --allow-deletions {to_come}"
            )
        return "deletions wait until every host was asked" if verdict == "early" else None
