"""The history as a list of what happened: one line for each, in words. Pure; for `reconcile history` and the pages.

A cycle that put drift right tells of it; an event of its own has drift that ended in another way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Literal

from providers.base import Model, Seq
from reconciler.history.records import BEGUN, BROKEN_OFF, ActionRecord, CycleRecord, DeploymentRecord, project_of
from reconciler.incidents.model import DriftRecord, HowEnded, Incident
from reconciler.text import plural

NAMED = 3
"""Resources and hosts that are named before the rest is only counted."""
Tone = Literal["good", "bad", "note"]
_PAST = {"create": "created", "change": "changed", "delete": "removed"}
_VERBS = {"restart": "restarted", "reload": "reloaded", "run": "ran", "refresh": "refreshed"}
_PROBLEMS = {
    "unreachable": "unreachable",
    "away": "away",
    "key": "host key refused",
    "login": "login refused",
    "become": "no root",
    "fault": "not asked",
}
ENDED: dict[HowEnded, str] = {
    "healed": "it was put right",
    "vanished": "it became right without us",
    "accepted": "git asks for what is there now",
    "recovered": "it is well again",
    "superseded": "a newer commit asks for something else",
    "replaced": "something else is wrong there now",
    "gone": "the host or resource left the fleet",
    "": "it is over",
}
"""How something ended, in words."""


UNENDED: Mapping[str, str] = MappingProxyType(
    {
        BEGUN: "begun, and not ended yet",
        BROKEN_OFF: "begun; the loop was killed before it ended: what was done is found by the next look",
    }
)
"""Of a cycle that has not ended, in words."""


class Happened(Model):
    """One line."""

    at: float
    kind: Literal["cycle", "incident", "drift"]
    id: str
    """Of the cycle's run, of the incident, or of the drift: what `reconcile history ID` takes for the first two."""
    hosts: Seq[str] = ()
    refs: Seq[str] = ()
    projects: Seq[str] = ()
    status: str
    """Of a cycle its status; of an incident opened or closed; of drift how it ended."""
    tone: Tone
    text: str


def of_cycle(cycle: CycleRecord) -> Happened:
    tone, text = _cycle_words(cycle)
    refs = tuple(dict.fromkeys([*(action.ref for action in cycle.actions), *(item.ref for item in cycle.unknown)]))
    return Happened(
        at=cycle.began,
        kind="cycle",
        id=cycle.run,
        hosts=(cycle.host,),
        refs=refs,
        projects=tuple(dict.fromkeys(action.project for action in cycle.actions if action.project)),
        status=cycle.status,
        tone=tone,
        text=text,
    )


def of_incident(incident: Incident) -> Iterator[Happened]:
    """Its opening, and its closing where it is closed; what was over before anybody was told of it is one line."""
    members = incident.members
    refs = tuple(dict.fromkeys(member.ref for member in members if member.ref))
    about = _members(incident)
    about = about if incident.event in about else f"{incident.event}: {about}"
    opened = Happened(
        at=incident.opened,
        kind="incident",
        id=incident.id,
        hosts=incident.hosts,
        refs=refs,
        projects=tuple(dict.fromkeys(project for ref in refs if (project := project_of(ref)))),
        status="opened",
        tone="note" if incident.severity == "info" else "bad",
        text=about,
    )
    if incident.closed is not None and incident.event != "deployed" and (incident.told or incident.closed) >= incident.closed:
        over = f" ({incident.done})" if incident.done else ""
        yield opened.model_copy(update={"status": "closed", "tone": "good", "text": f"{about}{over}"})
        return
    yield opened
    if incident.closed is not None and incident.event != "deployed":
        over = incident.done or f"{incident.event} is over"
        yield opened.model_copy(update={"at": incident.closed, "status": "closed", "tone": "good", "text": over})


def of_drift(drift: DriftRecord) -> Iterator[Happened]:
    if drift.ended is None or drift.how == "healed" or drift.kind != "drift":
        return
    yield Happened(
        at=drift.ended,
        kind="drift",
        id=drift.id,
        hosts=(drift.host,),
        refs=(drift.ref,),
        projects=(project,) if (project := project_of(drift.ref)) else (),
        status=drift.how or "ended",
        tone="note",
        text=f"drift in {drift.ref} is over: {ENDED[drift.how]}",
    )


def in_order(cycles: Iterable[CycleRecord], incidents: Iterable[Incident], drifts: Iterable[DriftRecord]) -> list[Happened]:
    """Oldest first."""
    found = {(one.kind, one.id, one.status): one for one in map(of_cycle, cycles)}
    for incident in incidents:
        found |= {(one.kind, one.id, one.status): one for one in of_incident(incident)}
    for drift in drifts:
        found |= {(one.kind, one.id, one.status): one for one in of_drift(drift)}
    return sorted(found.values(), key=lambda one: one.at)


def _cycle_words(cycle: CycleRecord) -> tuple[Tone, str]:
    if cycle.problem is not None and not cycle.tried:
        return ("note" if cycle.status == "away" else "bad"), f"{_PROBLEMS.get(cycle.status, 'not asked')}: {cycle.problem}"
    if cycle.tried or cycle.message:
        return _tried_words(cycle)
    if cycle.actions:
        drifted = [action for action in cycle.actions if action.why == "drift"]
        words = [f"drift in {_named(action.ref for action in drifted)}"] if drifted else []
        others = [action for action in cycle.actions if action.why != "drift"]
        words += [f"waits to be done: {_named(action.ref for action in others)}"] if others else []
        reasons = list(dict.fromkeys(action.held for action in cycle.actions if action.held))
        held = f" (held back: {'; '.join(reasons[:2])})" if reasons else ""
        return "note", ", ".join(words) + held
    if cycle.unknown:
        return "bad", f"could not be looked at: {_named(item.ref for item in cycle.unknown)}"
    return "good", "answers, and everything is as it should be"


def _tried_words(cycle: CycleRecord) -> tuple[Tone, str]:
    if cycle.status in UNENDED:
        return "note", f"{UNENDED[cycle.status]} ({_named(action.ref for action in cycle.tried)})"
    words = [_deployment_words(one) for one in cycle.deployments]
    deployed = {one.project for one in cycle.deployments}
    tried = [action for action in cycle.tried if action.project not in deployed]
    done = [action for action in tried if action.fate == "done"]
    healed = [action.ref for action in done if action.why == "drift"]
    words += [f"put right {_named(healed)}"] if healed else []
    for sign, verb in _PAST.items():
        same = [action.ref for action in done if action.action == sign and action.why != "drift"]
        words += [f"{verb} {_named(same)}"] if same else []
    for verb in dict.fromkeys(action.verb for action in done if action.action == "refresh"):
        same = [action.ref for action in done if action.action == "refresh" and action.verb == verb]
        words.append(f"{_VERBS.get(verb, 'refreshed')} {_named(same)}")
    failed = [action.ref for action in tried if action.fate in ("failed", "late", "unconverged")]
    words += [f"failed: {_named(failed)}"] if failed else []
    open_ended = [action.ref for action in tried if action.fate in ("skipped", "unknown")]
    words += [f"not done: {_named(open_ended)}"] if open_ended else []
    words += [cycle.message] if cycle.message else []
    bad = cycle.status != "converged" or any(one.status != "done" for one in cycle.deployments)
    return ("bad" if bad else "good"), ", ".join(words) or "as asked"


def _deployment_words(one: DeploymentRecord) -> str:
    commit = one.commit[:10]
    match one.status:
        case "done":
            return f"deployed {one.project} {commit}"
        case "rolled back":
            return f"{one.project} {commit} failed and was taken back"
    return f"deploying {one.project} {commit} failed"


def _members(incident: Incident) -> str:
    """What it is about: the first in full, the rest counted."""
    first = next(iter(incident.members), None)
    if first is None:
        return incident.group or "nothing is known of it"
    about = first.what if first.ref in first.what else f"{first.ref}: {first.what}"
    more = len(incident.members) - 1 + incident.more
    hosts = len(incident.hosts)
    over = f" on {plural(hosts, 'host')}" if hosts > 1 else ""
    return about + (f" and {more} more{over}" if more else "")


def _named(refs: Iterable[str]) -> str:
    known = list(dict.fromkeys(refs))
    more = len(known) - NAMED
    return ", ".join(known[:NAMED]) + (f" and {more} more" if more > 0 else "")


def fate_words(action: ActionRecord) -> str:
    """What became of one action."""
    if action.held:
        return f"held back: {action.held}"
    return {
        "": "not tried",
        "done": "done",
        "failed": "failed",
        "late": "took too long",
        "skipped": "not done, because something before it failed",
        "unknown": "it is not known what became of it",
        "unconverged": "done, and it differs all the same",
        **UNENDED,
    }.get(action.fate, action.fate)
