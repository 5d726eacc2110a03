"""What happened, as lines and as JSON documents: for `reconcile history`. docs/history.md describes every field."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias

from reconciler.history.events import ENDED, UNENDED, Happened, Tone, fate_words
from reconciler.history.records import BEGUN, BROKEN_OFF, ActionRecord, CycleRecord
from reconciler.incidents.model import Incident, Member
from reconciler.render.lines import BLANK, Line, Span, Style, cells, line
from reconciler.render.times import ago, moment, span
from reconciler.render.words import SIGNS, short
from reconciler.text import plural, visible

Lines: TypeAlias = Iterable[Line]
WIDEST = 24
"""Columns of the hosts' names, at most: a longer one moves its own line only."""
MOST_HOSTS = 1
_TONES: Mapping[Tone, tuple[str, Style]] = MappingProxyType(
    {"good": ("✓", "green"), "bad": ("✗", "red"), "note": ("·", "yellow")}
)
_FATES: Mapping[str, tuple[str, Style]] = MappingProxyType(
    {
        "done": ("✓", "green"),
        "": ("·", "dim"),
        "skipped": ("·", "yellow"),
        "unknown": ("?", "yellow"),
        BEGUN: ("?", "yellow"),
        BROKEN_OFF: ("?", "yellow"),
    }
)
_MARKS: Mapping[str, str] = MappingProxyType({str(action): mark for action, mark in SIGNS.items()})
_WHY: Mapping[str, str] = MappingProxyType(
    {
        "commit": "a commit asks for it",
        "drift": "drift: it was not what had been left there",
        "unfinished": "an earlier attempt did not succeed",
        "pruned": "it had left the repository, and we had made it",
        "follows": "follows",
        "pending": "still due from a run that broke off: it follows",
        "due": "its soak was over, or its release had failed",
    }
)


def history_lines(happened: Sequence[Happened]) -> Iterator[Line]:
    """One for each, oldest first."""
    width = min(max((cells(_hosts(one)) for one in happened), default=0), WIDEST)
    for one in happened:
        hosts = _hosts(one)
        sign, style = _TONES[one.tone]
        parts: list[str | Span] = [(moment(one.at), "dim"), "  ", (hosts, "bold"), " " * (width - cells(hosts)), "  "]
        parts += [(f"{sign} ", style), _text(one), (f"  {one.id}", "dim")]
        yield line(*parts, hang=22 + width)


def _hosts(one: Happened) -> str:
    more = len(one.hosts) - MOST_HOSTS
    shown = ", ".join(one.hosts[:MOST_HOSTS]) + (f" +{more}" if more > 0 else "")
    return visible(shown) if shown else "fleet"


def _text(one: Happened) -> str:
    if one.kind != "incident" or one.tone == "note":  # what is only news opens and closes nothing
        return one.text
    return f"incident {one.status}: {one.text}"


def nothing_lines(words: Sequence[str], since: str | None) -> Iterator[Line]:
    """Why there is nothing to be shown."""
    about = f" of {', '.join(words)}" if words else ""
    yield line(("note: ", "yellow"), f"nothing is told{about}" + (f" since {since}" if since else "") + " in the history")


def history_document(happened: Sequence[Happened]) -> dict[str, Any]:
    return {"format": 1, "events": [one.model_dump() for one in happened]}


def cycle_lines(cycle: CycleRecord) -> Iterator[Line]:
    """All that is known of one cycle."""
    yield line(("Run ", "bold"), (cycle.run, "bold"), " on ", (cycle.host, "bold"), f", {moment(cycle.began, seconds=True)}")
    took = f"{cycle.seconds:.1f} s" if cycle.seconds < 60 else span(cycle.seconds)
    yield line(f"{cycle.status}, took {took}, at commit {short(cycle.commit)} of the fleet", indent=2)
    for words in (cycle.problem, cycle.message, UNENDED.get(cycle.status)):
        if words:
            yield line(words, indent=2)
    for hint in (cycle.hint, cycle.advice):
        if hint:
            yield line((hint, "dim"), indent=4)
    for warning in cycle.warnings:
        yield line(("! ", "yellow"), (warning, "yellow"), indent=2)
    for one in cycle.deployments:
        yield line(f"{one.project} at {short(one.commit)}: {one.status}", indent=2)
    if cycle.actions:
        yield BLANK
    for action in cycle.actions:
        yield from action_lines(action)
    for item in cycle.unknown:
        yield line(("? ", "yellow"), item.ref, (f"  {item.reason}", "yellow"), indent=2, hang=4)
    for ref, reason in cycle.released.items():
        yield line(("· ", "dim"), ref, (f"  stays, no longer managed: {reason}", "dim"), indent=2, hang=4)
    for ref, fields in cycle.unconverged.items():
        yield line(("✗ ", "red"), ref, (f"  differs all the same: {', '.join(fields)}", "red"), indent=2, hang=4)
    yield from _step_lines(cycle)


def action_lines(action: ActionRecord) -> Iterator[Line]:
    sign, style = _FATES.get(action.fate, ("✗", "red"))
    verb = action.verb or action.action
    head: list[str | Span] = [(f"{sign} ", style), f"{_MARKS.get(action.action, ' ')} ", (action.ref, "bold"), f"  {verb}"]
    yield line(*head, (f"  {fate_words(action)}", style), indent=2, hang=4)
    yield line((why_words(action), "dim"), indent=6)
    for field in action.fields:
        yield line((f"{field.field}: {field.before} → {field.after}", "dim"), indent=6)
    for note in action.notes:
        yield line((note, "dim"), indent=6)
    for text in action.diff:
        color: Style = "green" if text.startswith("+") else "red" if text.startswith("-") else ""
        yield Line(((text, color),), indent=6, wrap=False)


def why_words(action: ActionRecord) -> str:
    followed = f" {', '.join(action.follows)}" if action.follows else ""
    return _WHY.get(action.why, action.why) + followed + (f", {action.place}" if action.place else "")


def _step_lines(cycle: CycleRecord) -> Iterator[Line]:
    if cycle.steps:
        yield BLANK
        yield line(("Steps", "bold"))
    for step in cycle.steps:
        sign, style = _FATES.get(step.fate, ("✗", "red"))
        yield line((f"{sign} ", style), step.title, (f"  {step.fate}", style), indent=2, hang=4)
        for text in step.output.splitlines():
            yield Line(((text, "dim"),), indent=6, wrap=False)


def cycle_document(cycle: CycleRecord) -> dict[str, Any]:
    return {"format": 1, "cycle": cycle.model_dump()}


def incident_lines(incident: Incident, now: float) -> Iterator[Line]:
    over = incident.closed is not None
    since = moment(incident.opened, seconds=True)
    state = f"{since}, closed after {span((incident.closed or now) - incident.opened)}" if over else f"open since {since}"
    yield line(("Incident ", "bold"), (incident.id, "bold"), f", {incident.event}, {state}")
    count = len(incident.members) + incident.more
    on = f" on {plural(len(incident.hosts), 'host')}" if incident.hosts else ""
    yield line(f"{plural(count, 'finding')}{on}", indent=2)
    if incident.done:
        yield line(incident.done, indent=2)
    yield BLANK
    for member in incident.members:
        yield from _member_lines(member, now)
    if incident.more:
        yield line((f"and {incident.more} more", "dim"), indent=2)


def _member_lines(member: Member, now: float) -> Iterator[Line]:
    sign, style = _TONES["good" if member.ended is not None else "bad"]
    about = " ".join(part for part in (member.host, member.ref) if part) or "the fleet's repository"
    what = member.what.removeprefix(member.ref).lstrip() if member.ref else member.what
    yield line((f"{sign} ", style), (about, "bold"), f"  {what}", indent=2, hang=4)
    times = f", {member.times} times" if member.times > 1 else ""
    if member.ended is None:
        yield line((f"since {moment(member.since)}{times}, seen {ago(member.seen, now)}", "dim"), indent=6)
    else:
        yield line((f"{moment(member.since)} to {moment(member.ended)}{times}: {ENDED[member.how]}", "dim"), indent=6)
    for words in member.evidence:
        yield line((words, "dim"), indent=6)
    for text in member.lines:
        yield Line(((text, ""),), indent=6, wrap=False)
    if member.hint and member.ended is None:
        yield line((member.hint, "dim"), indent=6)


def incident_document(incident: Incident) -> dict[str, Any]:
    return {"format": 1, "incident": incident.model_dump()}
