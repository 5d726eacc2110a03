"""Listens to the loop and hands on what is worth keeping: a fleet at rest leaves nothing behind but a sign of life.

One of the loop's observers, made by `reconciler/loop/service.py`. Drifts, incidents and messages come to the history from those
who make them.
"""

from __future__ import annotations

from collections.abc import Callable

from reconciler.history.store import History
from reconciler.loop.following import Followed
from reconciler.loop.report import CycleReport
from reconciler.loop.view import LoopView
from reconciler.plan import HostPlan

VIEW_EVERY = 15.0
PRUNE_EVERY = 3600.0
JUMP = 300.0
"""Seconds between two ticks after which the clock has been set, or the machine has slept."""
KEEP = 90 * 86400


class Keeper:
    """Decides what is a row. `view` makes the loop's view of this moment."""

    def __init__(self, history: History, view: Callable[[], LoopView]) -> None:
        self._history, self._view = history, view
        self._last: dict[str, HostPlan] = {}
        self._keep = KEEP
        self._viewed = self._ticked = self._pruned = float("-inf")

    def followed(self, followed: Followed) -> None:
        if followed.fleet is None:
            return
        self._keep = followed.fleet.keep
        self._last = {host: last for host, last in self._last.items() if host in followed.fleet.hosts}
        if self._pruned == float("-inf") and followed.read is not None:  # one pass, as cron makes it, may have no tick
            self._prune(followed.read)

    def began(self, report: CycleReport) -> None:
        self._history.save_report(report)

    def visited(self, report: CycleReport) -> None:
        last = self._last.get(report.host)
        self._last[report.host] = report.plan if report.after is None else report.after
        if report.outcome is not None or _news(report, last):
            self._history.save_report(report)

    def ticked(self, now: float) -> None:
        """A clock that is set in either direction costs a view, and nothing that is kept: it is believed after an hour."""
        if abs(now - self._viewed) >= VIEW_EVERY:
            self._viewed = now
            self._history.save_view(self._view())
        if abs(now - self._ticked) >= JUMP:
            self._pruned = now
        elif now - self._pruned >= PRUNE_EVERY:
            self._prune(now)
        self._ticked = now

    def _prune(self, now: float) -> None:
        self._pruned = now
        self._history.prune(now, self._keep)


def _news(report: CycleReport, last: HostPlan | None) -> bool:
    """Whether a cycle that did nothing tells anything that the one before it did not."""
    if last is None:
        return not report.quiet
    if last is report.plan:
        return False
    if last.problem is not None or report.plan.problem is not None:
        # The words of a problem may change from try to try.
        return last.problem_kind != report.plan.problem_kind
    return bool(last.differing(report.plan))
