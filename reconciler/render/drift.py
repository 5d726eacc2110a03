"""What differs, as lines and as a JSON document: for `reconcile drift` and `why`. docs/history.md describes every field."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from reconciler.history.events import ENDED
from reconciler.incidents.model import DriftRecord
from reconciler.loop.view import LoopView
from reconciler.render.lines import BLANK, Line, Span, Style, line
from reconciler.render.times import ago, moment, span
from reconciler.render.words import short
from reconciler.text import plural


def drift_lines(drifts: Sequence[DriftRecord], view: LoopView | None, now: float) -> Iterator[Line]:
    """By host, each with its oldest first, and a summary."""
    for host, found in groupby(sorted(drifts, key=lambda one: one.host), key=lambda one: one.host):
        yield line((host, "bold"))
        for one in found:
            yield from record_lines(one, now)
        yield BLANK
    yield line(_summary(drifts))
    yield line((_looked(view, now), "dim"))


def record_lines(one: DriftRecord, now: float, *, indent: int = 2) -> Iterator[Line]:
    """One difference."""
    sign, style = _sign(one)
    head: list[str | Span] = [(f"{sign} ", style), (one.ref, "bold"), (f"  {one.kind}", style)]
    if one.flapping:
        head.append((", flapping", "red"))
    yield line(*head, (f" since {moment(one.first)} ({span(now - one.first)})", ""), indent=indent, hang=2)
    below = indent + 4
    if one.fields:
        yield line(", ".join(one.fields), indent=below)
    if one.ended is not None:
        yield line((f"over since {moment(one.ended)}: {ENDED[one.how]}", "green"), indent=below)
    else:
        yield line((f"seen {ago(one.last, now)}", "dim"), indent=below)
    if one.times > 1:
        yield line((f"it came back {plural(one.times - 1, 'time')} after it was put right", "yellow"), indent=below)
    if one.held and one.ended is None:
        yield line(("not put right: ", "yellow"), one.held, indent=below)
    for words in one.evidence:
        yield line((f"perhaps: {words}", "dim"), indent=below)
    asked = ", ".join(part for part in (f"commit {short(one.commit)}" if one.commit else "", one.place) if part)
    if asked:
        yield line((f"asked for by {asked}", "dim"), indent=below)
    for text in one.diff:
        color: Style = "green" if text.startswith("+") else "red" if text.startswith("-") else ""
        yield Line(((text, color),), indent=below, wrap=False)


def _sign(one: DriftRecord) -> tuple[str, Style]:
    if one.ended is not None:
        return "✓", "green"
    return ("✗", "red") if one.kind == "drift" else ("·", "yellow")


def _summary(drifts: Sequence[DriftRecord]) -> Span:
    standing = [one for one in drifts if one.ended is None]
    drifted = sum(one.kind == "drift" for one in standing)
    pending = len(standing) - drifted
    hosts = len({one.host for one in standing})
    parts = [f"{drifted} drifted"] if drifted else []
    parts += [plural(pending, "change") + " pending"] if pending else []
    over = len(drifts) - len(standing)
    parts += [f"{over} over"] if over else []
    if not standing:
        return (f"No drift, and nothing pending{f'; {over} over' if over else ''}.", "green")
    return (f"{', '.join(parts)} on {plural(hosts, 'host')}.", "bold")


def _looked(view: LoopView | None, now: float) -> str:
    """When a host was looked at last, and when the loop last said that it is there."""
    if view is None:
        return "The loop has not told of any look yet."
    seen = [host.tried for host in view.hosts if host.tried is not None]
    looked = f"The loop last asked a host {ago(max(seen), now)}" if seen else "The loop has asked no host yet"
    return f"{looked}, and gave a sign of life {ago(view.turned, now)}."


def standstill_lines(since: str) -> Iterator[Line]:
    """That what is shown may not be so any more."""
    yield line(("note: ", "yellow"), f"the loop has given no sign of life for {since}; what is shown may be out of date")
    yield line(("is reconcile run running? reconcile plan asks the hosts now", "dim"), indent=4, hang=0)


def drift_document(drifts: Sequence[DriftRecord], view: LoopView | None) -> dict[str, Any]:
    return {
        "format": 1,
        "turned": view.turned if view is not None else None,
        "hosts_seen": {host.host: host.seen for host in view.hosts} if view is not None else {},
        "drifts": [one.model_dump() for one in drifts],
    }
