"""Where something comes from and what happened to it, as lines and as a JSON document: for `reconcile why`. docs/history.md
describes every field."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from desired.git_blame import Author
from reconciler.explanation import Asker, Explanation, Past
from reconciler.history.events import ENDED, UNENDED
from reconciler.history.records import ActionRecord
from reconciler.incidents.model import DriftRecord
from reconciler.render.lines import BLANK, Line, Span, Style, cells, line
from reconciler.render.times import moment
from reconciler.render.words import short
from reconciler.text import shorten, visible

MOST_LINES = 20
"""What happened last; `reconcile history REF` has the rest."""
_LINE = 100
AT_ONCE = 300.0
"""Seconds within which drift that is put right is told in one line."""
_PAST = {"create": "created", "change": "changed", "delete": "removed"}
_BAD = {
    "failed": "failed",
    "late": "took too long",
    "skipped": "not done: something before it failed",
    "unknown": "what became of it is not known",
    "unconverged": "done, and it differed all the same",
    "": "found, and not done",
    **UNENDED,
}


def why_lines(explanation: Explanation) -> Iterator[Line]:
    yield line((explanation.ref, "bold"))
    for asker in explanation.askers:
        yield from _asker_lines(asker)
    if not explanation.askers:
        where = f" for {explanation.host}" if explanation.host else ""
        yield line(f"nothing in commit {short(explanation.commit)} asks for it{where}", indent=2)
        if explanation.removed is not None:
            yield line("a line with its name was last taken out by", indent=2)
            yield from _author_lines(explanation.removed)
    yield from _past_lines(explanation)


def _asker_lines(asker: Asker) -> Iterator[Line]:
    sort, name = asker.origin
    owner = "" if sort == "file" else f", {sort} {name}"
    yield line("asked for by ", (f"{asker.place}", "cyan"), f"{owner}", indent=2)
    if asker.blamed is not None:
        yield Line(((shorten(asker.blamed.text.strip(), _LINE), "dim"),), indent=6, wrap=False)
        yield from _author_lines(asker.blamed.author)
        if asker.blamed.changed is not None:
            yield line(("what stands below it was last changed by", "dim"), indent=6)
            yield from _author_lines(asker.blamed.changed)
    else:
        yield line(("git does not tell who wrote this line", "dim"), indent=6)
    facts = [("on", asker.hosts), ("needs", asker.needs), ("follows", asker.follows), ("needed by", asker.needed_by)]
    yield from (line((f"{word} ", "dim"), ", ".join(names), indent=6) for word, names in facts if names)
    if asker.wanted not in ("", "present"):
        yield line(("wanted: ", "dim"), asker.wanted, indent=6)
    if asker.sync:
        yield line(("sync: ", "dim"), asker.sync, indent=6)


def _author_lines(author: Author) -> Iterator[Line]:
    who = f"{author.name} <{author.email}>"
    yield line(("commit ", "dim"), (short(author.commit), "yellow"), f"  {moment(author.time)}  {who}", indent=6)
    yield line(shorten(author.subject, _LINE), indent=10)


def _past_lines(explanation: Explanation) -> Iterator[Line]:
    yield BLANK
    past = explanation.past
    if past is None:
        yield line(("There is no history here: what happened to it is not known.", "dim"))
        return
    if not past.anything:
        yield line(("The history tells nothing of it.", "dim"))
        return
    yield line(("What happened", "bold"))
    rows = sorted(_rows(past), key=lambda row: row[0])  # where times are equal, drift is seen before it is put right
    if len(rows) > MOST_LINES:
        word = explanation.ref
        yield line((f"{len(rows) - MOST_LINES} earlier ones: reconcile history {word}", "dim"), indent=2)
    shown = rows[-MOST_LINES:]
    width = max((cells(visible(host)) for _, host, *_ in shown), default=0)
    for at, host, (sign, style), words, run in shown:
        gap = " " * (width - cells(visible(host)))
        parts: list[str | Span] = [(moment(at), "dim"), "  ", (host, "bold"), f"{gap}  ", (f"{sign} ", style), words]
        yield line(*parts, (f"  {run}", "dim"), indent=2, hang=22 + width)


_Row = tuple[float, str, tuple[str, Style], str, str]


def _rows(past: Past) -> Iterator[_Row]:
    """When, where, the sign, what, and the id of the run."""
    for drift in past.drifts:
        yield from _drift_rows(drift)
    for one in past.deployments:
        good = one.status == "done"
        words = f"{one.project} {short(one.commit)}: {'deployed' if good else one.status}"
        yield one.at, one.host, ("✓", "green") if good else ("✗", "red"), words, one.run
    brought = {(one.run, one.host) for one in past.deployments}
    for action in past.actions:
        if not (action.project and (action.run, action.host) in brought and action.fate == "done"):
            yield action.at, action.host, _sign(action), _words(action), action.run


def _sign(action: ActionRecord) -> tuple[str, Style]:
    if action.fate == "done":
        return "✓", "green"
    return ("·", "yellow") if action.held or action.fate in ("", "skipped", *UNENDED) else ("✗", "red")


def _words(action: ActionRecord) -> str:
    why = {"drift": "drift", "commit": f"commit {short(action.commit)} in force"}.get(action.why, action.why)
    if action.held:
        return f"held back: {action.held} ({why})"
    if action.fate != "done":
        return f"{_BAD.get(action.fate, action.fate)} ({why})"
    if action.why == "drift":
        return "put right: it was not as it had been left"
    if action.action == "refresh":
        return f"{action.verb or 'refresh'}: follows {', '.join(action.follows)}"
    if action.why == "pruned":
        return "removed: it had left the repository"
    return f"{_PAST.get(action.action, action.action)} ({why})"


def _drift_rows(drift: DriftRecord) -> Iterator[_Row]:
    """A drift that stands, or ended by itself; that it was put right is told by the cycle."""
    what = "drift seen" if drift.kind == "drift" else "waits to be done"
    fields = f": {', '.join(drift.fields)}" if drift.fields else ""
    held = f"; not put right: {drift.held}" if drift.held and drift.ended is None else ""
    again = f", {drift.times} times" if drift.times > 1 else ""
    flapping = ", flapping" if drift.flapping else ""
    evidence = f" (perhaps {drift.evidence[0]})" if drift.evidence else ""
    at_once = drift.how == "healed" and (drift.ended or 0.0) - drift.first < AT_ONCE
    if drift.ended is None or (drift.kind == "drift" and not at_once):
        yield drift.first, drift.host, ("·", "yellow"), f"{what}{fields}{again}{flapping}{held}{evidence}", ""
    if drift.ended is not None and drift.how != "healed" and drift.kind == "drift":
        yield drift.ended, drift.host, ("·", "yellow"), f"the drift is over: {ENDED[drift.how]}", ""


def why_document(explanation: Explanation) -> dict[str, Any]:
    past = explanation.past
    return {
        "format": 1,
        "ref": explanation.ref,
        "commit": explanation.commit,
        "asked": [_asker_document(asker) for asker in explanation.askers],
        "removed": asdict(explanation.removed) if explanation.removed is not None else None,
        "history": _past_document(past) if past is not None else None,
    }


def _asker_document(asker: Asker) -> dict[str, Any]:
    sort, name = asker.origin
    return {
        **asdict(asker.place),
        "origin": sort,
        "name": name,
        "text": asker.blamed.text if asker.blamed is not None else None,
        "author": asdict(asker.blamed.author) if asker.blamed is not None else None,
        "changed": asdict(asker.blamed.changed) if asker.blamed is not None and asker.blamed.changed is not None else None,
        "hosts": asker.hosts,
        "needs": asker.needs,
        "follows": asker.follows,
        "needed_by": asker.needed_by,
        "wanted": asker.wanted,
        "sync": asker.sync,
    }


def _past_document(past: Past) -> dict[str, Any]:
    def dumped(records: Sequence[Any]) -> list[dict[str, Any]]:
        return [record.model_dump() for record in records]

    return {
        "actions": dumped(past.actions),
        "drifts": dumped(past.drifts),
        "deployments": dumped(past.deployments),
    }
