"""What one cycle of one host came to: the one thing that the loop hands on to incidents, history, metrics and logs.

Made by `reconciler/loop/host.py`. Texts are as they came (a host's words are hostile); secrets are already out of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.cycle import Outcome
from reconciler.plan import HostPlan
from state.evidence import Evidence


@dataclass(frozen=True, slots=True)
class CycleReport:
    """One cycle. Equal plans of one host are the same object from cycle to cycle, so `is` tells that nothing is new."""

    run: str
    """Id of the cycle: 12 hex digits, also on every line of the log."""
    host: str
    commit: str | None
    """The fleet's commit that was in force."""
    began: float
    """Seconds since 1970."""
    seconds: float
    """How long it took, by the monotonic clock."""
    plan: HostPlan
    """What was found before anything was done. With a `problem`, nothing else is known."""
    outcome: Outcome | None = None
    """None: nothing was applied."""
    after: HostPlan | None = None
    """What was found when something had been applied; None where nothing was, or it could not be looked at."""
    evidence: Evidence | None = None
    """Who may have caused the drift; asked when drift is seen for the first time."""
    begun: bool = False
    """It is about to change the host, and no more is known yet; another report of the same run follows."""
    projects: Mapping[str, str] = field(default_factory=dict)
    """Project → the commit that it should be at on this host."""
    tags: tuple[str, ...] = ()
    away_after: float | None = None
    """For an intermittent host: seconds after which being away is told. None: it is no intermittent host."""

    @property
    def reached(self) -> bool:
        return self.plan.problem is None

    @property
    def quiet(self) -> bool:
        """Nothing differs, nothing is unknown and nothing was done."""
        return self.reached and self.outcome is None and not self.plan.actions and not self.plan.unknown
