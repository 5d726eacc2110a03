"""What the outcome of an apply teaches `Patience`: what failed is left alone for a while, what was healed is counted."""

from __future__ import annotations

from reconciler.cycle import Outcome
from reconciler.draft import Draft
from reconciler.loop.patience import Patience
from reconciler.loop.report import CycleReport
from reconciler.order import REFRESH


def learn(patience: Patience, host: str, drafted: Draft, outcome: Outcome, now: float) -> None:
    """A host that gave up before its first step (a full disk) failed at everything that it was to do."""
    nothing_done = outcome.status == "failed" and not outcome.fates
    for planned in drafted.active:
        fate = outcome.fates.get(planned.ref)
        digest = planned.resource.spec.digest()
        if (
            nothing_done
            or fate in ("failed", "late")
            or planned.ref in outcome.unconverged
            or planned.ref in outcome.rolled_back
        ):
            patience.failed(host, planned.ref, digest, now)
        elif fate == "done":
            patience.succeeded(host, planned.ref, digest, now)
            if planned.why == "drift":
                patience.healed(host, planned.ref, now, digest)
    for refresh in drafted.refreshes:
        if refresh.held is None and outcome.fates.get(REFRESH + refresh.ref) in ("failed", "late"):
            patience.failed(host, refresh.ref, refresh.resource.spec.digest(), now)


def went_wrong(report: CycleReport) -> bool:
    """Whether an apply went wrong, or the host was lost over it. What was only in our way goes by."""
    refused = any(item.refused for item in report.plan.unknown)
    if report.outcome is None:
        return refused or not report.reached
    return refused or report.outcome.status in ("failed", "unreachable")
