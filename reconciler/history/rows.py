"""From what the loop hands on to rows of the history. Pure; called by `store.py` in its own thread.

Everything that goes in passes `redacted` here, before it is cut: half of a secret would not be found any more. Text stays as it
came otherwise; whoever shows it escapes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from providers.secret import redact, redacted
from reconciler.alerts.model import Delivery
from reconciler.history.records import BEGUN, project_of
from reconciler.incidents.model import DriftRecord, Incident
from reconciler.loop.report import CycleReport
from reconciler.loop.view import HostView, LoopView
from reconciler.order import REFRESH
from reconciler.plan import Action

OUTPUT = 16_000
"""Characters of a step's output that are kept: its end, where the reason of a failure stands."""
DIFF_LINES = 200
DIFF_WIDTH = 400
ACTIONS = 2000
"""Actions of one cycle that are kept."""

Row = dict[str, Any]


def plain(text: str) -> str:
    """Text without secrets that any database takes: half characters, which stand for bytes that are not UTF-8, as escapes."""
    return redact(text).encode("utf-8", "backslashreplace").decode()


def body_of(data: Any) -> str:
    """Pure ASCII, so that half characters come back as they were."""
    return json.dumps(redacted(data), ensure_ascii=True, separators=(",", ":"))


def cycle_row(report: CycleReport) -> Row:
    plan, outcome = report.plan, report.outcome
    body = {
        "problem": plan.problem,
        "problem_kind": plan.problem_kind,
        "hint": plan.hint,
        "resources": plan.resources,
        "applied": plan.applied,
        "unknown": [item.model_dump() for item in plan.unknown[:ACTIONS]],
        "released": plan.released,
        "warnings": plan.warnings,
        "projects": dict(report.projects),
        "message": outcome.message if outcome else "",
        "advice": outcome.hint if outcome else "",
        "unconverged": dict(outcome.unconverged) if outcome else {},
        "rolled_back": outcome.rolled_back if outcome else (),
        "evidence": asdict(report.evidence) if report.evidence else None,
    }
    return {
        "run": report.run,
        "host": plain(report.host),
        "fleet_commit": report.commit,
        "began": report.began,
        "seconds": report.seconds,
        "status": status_of(report),
        "body": body_of(body),
    }


def status_of(report: CycleReport) -> str:
    """What the cycle came to, in a word."""
    if report.begun:
        return BEGUN
    if report.outcome is not None:
        return "rolled back" if report.outcome.rolled_back else report.outcome.status
    if report.plan.problem is not None:
        return "away" if report.plan.away else report.plan.problem_kind or "fault"
    if report.plan.actions:
        held = all(action.held is not None for action in report.plan.actions)
        return "held" if held else "found"
    return "unknown" if report.plan.unknown else "as asked"


def action_rows(report: CycleReport) -> Iterator[Row]:
    for action in report.plan.actions[:ACTIONS]:
        body = {
            "verb": action.verb,
            "follows": action.cause.refs,
            "fields": [field.model_dump() for field in action.fields],
            "diff": _cut([redact(line) for line in action.diff]),
            "notes": action.notes,
            "removes": action.removes,
            "brings": action.brings,
            "unsure": action.unsure,
        }
        yield {
            "run": report.run,
            "host": plain(report.host),
            "at": report.began,
            "ref": plain(action.ref),
            "project": plain(project_of(action.ref)),
            "action": action.action,
            "why": action.cause.why,
            "place": plain(action.cause.place),
            "held": plain(action.held or ""),
            "fate": _fate(action, report),
            "body": body_of(body),
        }


def _fate(action: Action, report: CycleReport) -> str:
    """What became of it; empty where nothing was tried."""
    if report.begun and action.held is None:
        return BEGUN
    if report.outcome is None or action.held is not None:
        return ""
    name = (REFRESH if action.action == "refresh" else "") + action.ref
    fate = report.outcome.fates.get(name, "")
    return "unconverged" if fate == "done" and action.ref in report.outcome.unconverged else fate


def _cut(diff: list[str]) -> list[str]:
    shown = [line if len(line) <= DIFF_WIDTH else line[:DIFF_WIDTH] + "…" for line in diff[:DIFF_LINES]]
    return shown if len(diff) <= DIFF_LINES else [*shown, f"… {len(diff) - DIFF_LINES} more lines"]


def step_rows(report: CycleReport) -> Iterator[Row]:
    """What ran, in order, with its output."""
    if report.outcome is None:
        return
    for step in report.outcome.steps[:ACTIONS]:
        output = redact(step.output)
        cut = output if len(output) <= OUTPUT else "…" + output[-OUTPUT:]
        body = {"refs": step.refs, "title": step.title, "output": cut}
        yield {"run": report.run, "fate": step.fate, "body": body_of(body)}


def deployment_rows(report: CycleReport) -> Iterator[Row]:
    """Revisions of projects that were brought to the host: what a commit asked for, not what was put right again."""
    if report.outcome is None:
        return
    for project, commit in report.projects.items():
        tried = [
            (action, _fate(action, report))
            for action in report.plan.actions
            if project_of(action.ref) == project and action.held is None and action.cause.why in ("commit", "unfinished")
        ]
        fates = {fate for _, fate in tried if fate}
        if not fates:
            continue
        back = any(project_of(ref) == project for ref in report.outcome.rolled_back)
        status = "rolled back" if back else "done" if fates == {"done"} else "failed"
        yield {
            "run": report.run,
            "project": plain(project),
            "host": plain(report.host),
            "at": report.began + report.seconds,
            "project_commit": plain(commit),
            "status": status,
        }


def drift_row(drift: DriftRecord) -> Row:
    return {
        "id": drift.id,
        "host": plain(drift.host),
        "ref": plain(drift.ref),
        "kind": drift.kind,
        "first": drift.first,
        "ended": drift.ended,
        "body": body_of(drift.model_dump()),
    }


def incident_row(incident: Incident) -> Row:
    return {
        "id": incident.id,
        "event": incident.event,
        "opened": incident.opened,
        "closed": incident.closed,
        "body": body_of(incident.model_dump()),
    }


def delivery_row(delivery: Delivery) -> Row:
    return {"id": delivery.id, "at": delivery.at, "ended": delivery.ended, "body": body_of(delivery.model_dump())}


def mark_row(key: str, value: str) -> Row:
    return {"key": plain(key), "value": plain(value)}


def steady(host: HostView) -> HostView:
    """What of a host's view changes only when something happens."""
    return host.model_copy(update={"seen": None, "tried": None, "due": None})


def view_row(host: HostView) -> Row:
    return {"host": plain(host.host), "body": body_of(host.model_dump(exclude={"seen", "tried", "due"}))}


def loop_row(view: LoopView) -> Row:
    """The row without a host: everything else, and the times of all hosts, which alone change while nothing happens."""
    times = {host.host: (host.seen, host.tried, host.due) for host in view.hosts}
    return {"host": "", "body": body_of({**view.model_dump(exclude={"hosts"}), "times": times})}
