"""What is held back in one cycle of one host, and why: policy, another run's commit, rollout, deletion budget, patience.

Made by `reconciler/loop/host.py` at the beginning of a cycle. Within the cycle the answers never change, so that verification
is measured by what the plan was made with: the time is that of the beginning, and the fleet-wide parts answer once, when they
are asked first. What only the plan can tell (is there anything to do, what would be deleted) is brought in by `judge`, after
which the plan is made anew where something more has to wait.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, Protocol

from desired.model import Fleet, Host, Resource
from reconciler.draft import AnyChange, Draft, Hold, Planned, Why
from reconciler.loop.budget import Budget
from reconciler.loop.rollout import Rollout

ASKED_BY_GIT = frozenset({"commit", "pruned", "unfinished"})
"""Causes that stand for something that git asks for; the others are the host's own doing."""


class Waits(Protocol):
    """The part of `Patience` that a hold asks."""

    def hold(self, host: str, ref: str, digest: str, now: float) -> str | None: ...


@dataclass(slots=True)
class Keepers:
    """What holds back beyond one host. One for the loop."""

    policy: Callable[[Fleet, datetime], Hold]
    patience: Waits
    rollout: Rollout = field(default_factory=Rollout)
    budget: Budget = field(default_factory=Budget)


class Holds:
    """The hold of one cycle. `before` is that of the cycle before: what it held back is held from the beginning while its
    reason stands, so that a plan that waits is not made twice in each cycle."""

    def __init__(
        self, keepers: Keepers, fleet: Fleet, host: Host, *, wall: float, now: float, before: Holds | None = None
    ) -> None:
        self._keepers = keepers
        self._fleet = fleet
        self._host = host
        self._wall = wall
        self._now = now
        self._policy: Hold | None = None
        self._by_policy: set[str | None] = set()
        self._rollout = keepers.rollout.reason(host.name)
        self._foreign: str | None = None
        """Why a commit of another run is not undone yet."""
        self._deleting: frozenset[str] = frozenset()
        """References that the budget holds back."""
        self._budget: str | None = None
        if before is not None:
            self._follow(before)

    def _follow(self, before: Holds) -> None:
        self._foreign = before._foreign
        self._budget = self._keepers.budget.reason() if before._deleting else None
        if self._budget is not None:
            self._deleting = before._deleting

    def __call__(self, host: Host, resource: Resource, why: Why | Literal["follows"], change: AnyChange | None) -> str | None:
        if self._policy is None:
            self._policy = self._keepers.policy(self._fleet, datetime.fromtimestamp(self._wall, UTC))
        held = self._policy(host, resource, why, change)
        if held is not None:
            self._by_policy.add(held)
        if held is None and why in ASKED_BY_GIT:
            held = self._foreign or self._rollout
        if held is None and resource.ref in self._deleting:
            held = self._budget
        return held or self._keepers.patience.hold(host.name, resource.ref, resource.spec.digest(), self._now)

    def judge(self, drafted: Draft, foreign: str | None) -> bool:
        """Whether the plan has to be made anew, because something else is held back than it was made with."""
        again = foreign != self._foreign
        self._foreign = foreign
        asked = [planned for planned in drafted.changes if planned.why in ASKED_BY_GIT]
        rollout = self._keepers.rollout
        if self._rollout is not None:
            if any(planned.held == self._rollout for planned in asked):
                rollout.waits(self._host.name, self._rollout)
        elif foreign is None and any(planned.held is None for planned in asked):
            self._rollout = rollout.admit(self._host.name)
            again = again or self._rollout is not None
        return self._judge_deletions(drafted) or again

    def _judge_deletions(self, drafted: Draft) -> bool:
        deleting = [planned for planned in drafted.changes if planned.deletions and self._counts(planned)]
        budget = self._keepers.budget
        budget.asked(self._host.name, {name for planned in deleting for name in planned.deletions})
        before = (self._deleting, self._budget)
        self._budget = budget.reason() if deleting else None
        self._deleting = frozenset(planned.ref for planned in deleting) if self._budget is not None else frozenset()
        return before != (self._deleting, self._budget)

    def guarded(self, drafted: Draft) -> bool:
        """Whether something waits for the rollout or a person. What failed before only waits its time."""
        held = {planned.held for planned in drafted.changes} - {None}
        return not held.isdisjoint((self._foreign, self._rollout, self._budget))

    def closed(self, drafted: Draft) -> bool:
        """Whether something waits for a window, or for the end of a suspension."""
        return any(planned.held in self._by_policy for planned in drafted.changes)

    def _counts(self, planned: Planned) -> bool:
        """What waits for the rollout or the budget is still to come; what a policy holds back is not."""
        return planned.held is None or planned.held in (self._rollout, self._budget, self._foreign)


def left(drafted: Draft) -> bool:
    """Whether something that git asks for is not done, though no `sync` is against it."""
    return any(planned.why in ASKED_BY_GIT and not (planned.held or "").startswith("sync:") for planned in drafted.changes)


def begun(drafted: Draft) -> bool:
    """Whether something that git asks for is done now."""
    return any(planned.why in ASKED_BY_GIT for planned in drafted.active)
