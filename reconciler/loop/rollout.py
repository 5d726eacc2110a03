"""A new commit goes over the hosts: one first, then the rest, so many at a time, and no further when too many fail.

Asked by `reconciler/loop/holds.py` for each cycle. Only what git asks for is subject to it; drift is healed at once. It is
derived from what hosts are, and kept in memory: a host has passed when a probe under this desired state found nothing left to
do. After a restart it begins anew, and a canary that is as it should be passes at its first probe.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from desired.model import Host
from desired.policies import Rollout as Settings
from reconciler.text import plural

NAMED = 3
"""Hosts that a reason names before it counts the rest."""
STOPPED = "the rollout stopped"
"""How the reason begins where a person has to look."""
State = Literal["waiting", "working", "failed", "passed"]


@dataclass(slots=True)
class Rollout:
    """One way over the hosts. `begin` is called for each new desired state."""

    settings: Settings | None = None
    _hosts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Host → tags."""
    _states: dict[str, State] = field(default_factory=dict)
    """Of the hosts that were looked at under this desired state."""
    _told: dict[str, str] = field(default_factory=dict)
    """Host → why it waits."""
    _leader: str | None = None
    """Who goes first, once that is settled."""

    def begin(self, settings: Settings | None, hosts: Mapping[str, Host]) -> None:
        self.settings = settings
        self._hosts = {name: host.tags for name, host in hosts.items()}
        self._states, self._told = {}, {}
        first = self._candidates()
        self._leader = first[0] if len(first) == 1 else None

    def reason(self, host: str) -> str | None:
        """Why what git asks for is not done on the host now; None: it may be done."""
        if self.settings is None or self._states.get(host) in ("working", "failed", "passed"):
            return None
        if (reason := self._waits_for_first(host)) is not None:
            return reason
        failed = self.failed
        if len(failed) > self.settings.max_failures:
            return f"{STOPPED}: {_listed(failed)} failed, and {self.settings.max_failures} may"
        if self.free() == 0:
            return f"the rollout goes to {plural(self.settings.max_parallel or 0, 'host')} at a time"
        return None

    def admit(self, host: str) -> str | None:
        """The host has something to do, and would begin now: as `reason`; with None it has begun."""
        if self.settings is None:
            return None
        reason = self.reason(host)
        if reason is not None:
            self.waits(host, reason)
            return reason
        if self._leader is None and host in self._candidates():
            self._leader = host
        self._states[host] = "working"
        return None

    def waits(self, host: str, reason: str) -> None:
        """The host has something to do, and was told to wait."""
        self._states.setdefault(host, "waiting")
        self._told[host] = reason

    def looked(self, host: str, *, left: bool, failed: bool) -> bool:
        """A cycle of the host has ended; whether that lets others begin. `left`: something that git asks for is not done."""
        before = self._states.get(host)
        if host not in self._hosts or before == "passed":
            return False
        if failed and before in ("working", "failed"):
            self._states[host] = "failed"
        elif not left and not failed:
            self._states[host] = "passed"
        elif failed and before == "waiting":
            del self._states[host]  # it is away, say, and must not be called up in another's place
        return self._states.get(host) != before

    def first(self) -> list[str]:
        """Hosts that are to be looked at now, because others wait for them by name or tag."""
        return self._candidates() if self.settings is not None and isinstance(self.settings.canary, str) else []

    @property
    def failed(self) -> list[str]:
        return sorted(host for host, state in self._states.items() if state == "failed")

    def affected(self) -> list[str]:
        """Hosts that wait, and of which something else holds by now than what they were told: they may begin, or never will."""
        waiting = [(host, self.reason(host)) for host, state in self._states.items() if state == "waiting"]
        ready = [host for host, reason in waiting if reason is None]
        return ready[: self.free()] + [host for host, reason in waiting if reason not in (None, self._told.get(host))]

    def free(self) -> int | None:
        """How many more may begin now; None: any number."""
        if self.settings is None or self.settings.max_parallel is None:
            return None
        return max(0, self.settings.max_parallel - sum(state == "working" for state in self._states.values()))

    def _candidates(self) -> list[str]:
        """Hosts that may go first; none where no host has to. A name or tag that nobody has leaves the choice among all."""
        canary = self.settings.canary if self.settings is not None else None
        if canary is None:
            return []
        named = [host for host, tags in self._hosts.items() if canary == host or canary in {f"tag:{tag}" for tag in tags}]
        return named or list(self._hosts)

    def _waits_for_first(self, host: str) -> str | None:
        assert self.settings is not None
        first = self._candidates() if self._leader is None else [self._leader]
        if host in first or all(self._states.get(name) == "passed" for name in first):
            return None
        if self._leader is None:
            return f"the rollout waits for one of {_listed(first)}, which goes first"
        if self._states.get(self._leader) == "failed":
            return f"{STOPPED}: {self._leader}, which goes first, failed"
        return f"the rollout waits for {self._leader}, which goes first"


def _listed(hosts: list[str]) -> str:
    more = len(hosts) - NAMED
    return ", ".join(hosts[:NAMED]) + (f" and {plural(more, 'more host')}" if more > 0 else "")
