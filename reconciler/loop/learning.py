"""What the outcome of an apply teaches `Patience`: what failed is left alone for a while, what was healed is counted."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import replace

from reconciler.cycle import Outcome
from reconciler.draft import Draft
from reconciler.loop.patience import Patience
from reconciler.loop.report import CycleReport
from reconciler.order import REFRESH


def learn(patience: Patience, host: str, drafted: Draft, outcome: Outcome, now: float) -> bool:
    """A host that gave up before its first step (a full disk) failed at everything that it was to do. The answer: whether all
    that is wrong is something that differs, for the first time, after it was done: that is tried again before it counts."""
    nothing_done = outcome.status == "failed" and not outcome.fates
    spared, counted = False, False
    for planned in drafted.active:
        fate = outcome.fates.get(planned.ref)
        digest = planned.resource.spec.digest()
        lost = planned.why == "unfinished" and patience.fought(host, planned.ref, digest)
        if fate == "done" and planned.ref in outcome.unconverged and (planned.why == "drift" or lost):
            patience.healed(host, planned.ref, now, digest)  # it was put right, and was not so any more when we looked
        if nothing_done or fate in ("failed", "late") or planned.ref in outcome.rolled_back:
            patience.failed(host, planned.ref, digest, now)
            counted = True
        elif planned.ref in outcome.unconverged:
            if patience.spared(host, planned.ref, digest):
                spared = True
            else:
                patience.failed(host, planned.ref, digest, now)
                counted = True
        elif fate == "done":
            patience.succeeded(host, planned.ref, digest, now)
            if planned.why == "drift":
                patience.healed(host, planned.ref, now, digest)
    for refresh in drafted.refreshes:
        if refresh.held is None and outcome.fates.get(REFRESH + refresh.ref) in ("failed", "late"):
            patience.failed(host, refresh.ref, refresh.resource.spec.digest(), now)
            counted = True
    return spared and not counted


def upset(outcome: Outcome) -> frozenset[str]:
    """What was as it should be before an apply that was not about it, and was not so when that had ended: it was edited while
    we were at work, or our own work has undone it. The next look shows it as the drift that it is."""
    about = {name.removeprefix(REFRESH) for name in outcome.fates}
    return frozenset(outcome.unconverged.keys() - about)


def without(moved: AbstractSet[str], drafted: Draft, outcome: Outcome) -> Outcome:
    """The outcome of what was to be done. For `apply`, which looks once, what it left is a failure; the loop looks again."""
    if not moved:
        return outcome
    left = {ref: fields for ref, fields in outcome.unconverged.items() if ref not in moved}
    well = not (outcome.failures or left or drafted.doubts) and all(fate == "done" for fate in outcome.fates.values())
    return replace(outcome, status="converged" if well else outcome.status, unconverged=left)


def went_wrong(report: CycleReport) -> bool:
    """Whether an apply went wrong, or the host was lost over it. What was only in our way goes by."""
    refused = any(item.refused for item in report.plan.unknown)
    if report.outcome is None:
        return refused or not report.reached
    return refused or report.outcome.status in ("failed", "unreachable")
