"""What a loop would hand to the history: reports, drifts, incidents, views, in few words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from reconciler.cycle import Outcome, StepRecord
from reconciler.incidents.model import DriftRecord, Incident, Member
from reconciler.loop.report import CycleReport
from reconciler.loop.view import HostView, LoopView, SourceView
from reconciler.plan import Action, Cause, FieldChange, HostPlan
from reconciler.work import Fate

COMMIT = "5f2c81a90b" * 4
NOON = 1_795_176_000.0
"""2026-11-20 12:00 UTC."""
MOTD = "file:/etc/motd"


def action(ref: str = MOTD, why: str = "commit", sign: str = "change", **more: Any) -> Action:
    place = more.pop("place", "hosts/nas.yaml:9:3")
    fields = (FieldChange(field="content", before="0123456789ab", after="ba9876543210"),)
    return Action.model_validate(
        {"ref": ref, "action": sign, "cause": Cause.model_validate({"why": why, "place": place})}
        | {
            "fields": fields,
            **more,
        }
    )


def plan(*actions: Action, host: str = "nas", **more: Any) -> HostPlan:
    return HostPlan.model_validate({"host": host, "resources": 3, "actions": actions, **more})


def gone(host: str = "nas", **more: Any) -> HostPlan:
    return plan(host=host, **{"problem": "nobody answers", "problem_kind": "unreachable", "hint": "Is it on?"} | more)


def outcome(fates: dict[str, Fate], output: str = "", **more: Any) -> Outcome:
    steps = tuple(StepRecord(f"step for {name}", (name,), fate, output) for name, fate in fates.items())
    good = all(fate == "done" for fate in fates.values())
    return Outcome(more.pop("status", "converged" if good else "failed"), fates, steps=steps, **more)


def report(found: HostPlan, done: Outcome | None = None, *, number: int = 1, at: float = NOON, **more: Any) -> CycleReport:
    return CycleReport(f"{number:012x}", found.host, more.pop("commit", COMMIT), at, 1.5, found, done, **more)


def applied(*actions: Action, fate: Fate = "done", **more: Any) -> CycleReport:
    """A cycle in which everything was tried."""
    names = {(f"refresh {one.ref}" if one.action == "refresh" else one.ref): fate for one in actions}
    host = more.pop("host", "nas")
    return report(plan(*actions, host=host), outcome(names, more.pop("output", "")), **more)


def drift(name: str = "d1", *, ended: float | None = None, **more: Any) -> DriftRecord:
    known = {"id": name, "host": "nas", "ref": MOTD, "kind": "drift", "fields": ("content",), "first": NOON, "last": NOON}
    return DriftRecord.model_validate(known | {"ended": ended, "how": "healed" if ended else ""} | more)


def incident(name: str = "i1", *, closed: float | None = None, hosts: Iterable[str] = ("nas",), **more: Any) -> Incident:
    members = tuple(Member(host=host, ref=MOTD, what="it was edited", since=NOON, seen=NOON) for host in hosts)
    known = {"id": name, "event": "drift", "opened": NOON, "touched": NOON, "members": members, "closed": closed}
    return Incident.model_validate(known | more)


def view(*hosts: HostView, at: float = NOON) -> LoopView:
    source = SourceView(url="/srv/fleet", branch="main", commit=COMMIT, subject="Say welcome", read=at)
    return LoopView(version="1", began=NOON - 3600, turned=at, source=source, hosts=hosts)


def host_view(name: str = "nas", **more: Any) -> HostView:
    return HostView.model_validate({"host": name, "status": "converged", "since": NOON, "seen": NOON, "tried": NOON} | more)
