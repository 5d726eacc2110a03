"""A plan as Markdown, for a pull request or a chat: GitHub's dialect, with long diffs folded away.

Foreign text stands in code spans and fences that are longer than any run of backticks in it, so nothing in a host name,
path or file can become a link, a mention, an image or HTML.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from reconciler.plan import Action, HostPlan, Plan
from reconciler.render.words import (
    SIGNS,
    alike,
    cause_words,
    doubt_words,
    headline,
    problem_words,
    ran,
    source_words,
    summary_words,
    told,
)
from reconciler.text import plural, visible

OPEN_LINES = 12
"""Diffs longer than this are folded."""


def plan_markdown(plan: Plan, *, diff: bool = True) -> str:
    return "\n".join(_document(plan, diff=diff)) + "\n"


def _document(plan: Plan, *, diff: bool) -> Iterator[str]:
    yield f"## Plan for {source_words(plan)}"
    yield ""
    summary, parts = summary_words(plan)
    yield f"**{_plain(summary)}**" + "".join(f"; {part}" for part in parts) + "."
    quiet = [
        host
        for host in plan.hosts
        if not (host.problem or host.actions or host.unknown or host.released or host.notices or host.warnings)
    ]
    for host in plan.hosts:
        if host not in quiet:
            yield ""
            yield from _host(host, plan, diff=diff)
    if quiet:
        yield ""
        yield f"Nothing to do on {', '.join(_code(host.host) for host in quiet)}."


def _host(host: HostPlan, plan: Plan, *, diff: bool) -> Iterator[str]:
    yield f"### {_code(host.host)}"
    yield ""
    if host.problem is not None:
        yield f"- ⚠ **{problem_words(host)}**: {_code(host.problem)}"
        if host.hint:
            yield f"  {_code(host.hint)}"
        return
    for action in host.actions:
        yield from _action(action, host, plan, diff=diff)
    for items in alike(host.unknown):
        sign, word = doubt_words(items)
        yield f"- `{sign}` {', '.join(_code(item.ref) for item in items)} **{word}**: {_code(items[0].reason)}"
    yield from (f"- ⚠ {_code(ref)} {_code(notice)}" for ref, notices in host.notices.items() for notice in notices)
    for ref, reason in host.released.items():
        yield f"- `·` {_code(ref)} stays on the host, no longer managed: {_code(reason)}"
    for warning in host.warnings:
        yield f"- ⚠ {_code(warning)}"


def _action(action: Action, host: HostPlan, plan: Plan, *, diff: bool) -> Iterator[str]:
    held = f" — held back: {_code(action.held)}" if action.held is not None else ""
    what = "change" if action.action == "change" and not ran(action) else headline(action)
    yield f"- `{SIGNS[action.action]}` {_code(action.ref)} {_plain(what)}{held}"
    pieces = cause_words(action, host, plan)
    yield "  - " + "".join(piece if isinstance(piece, str) else _code(piece.text) for piece in pieces)
    for item in () if ran(action) else told(action):
        if action.action == "create":
            yield f"  - {_code(item.field)}: {_code(item.after)}"
        elif not (item.field == "content" and action.diff and diff):
            yield f"  - {_code(item.field)}: {_code(item.before)} → {_code(item.after)}"
    if action.unsure is not None:
        yield f"  - cannot be known yet: {_code(action.unsure)}"
    for note in action.notes:  # a list in a list, where a note belongs to the one above it
        yield f"{'    ' if note.startswith('  ') else '  '}- {_code(note.strip())}"
    if action.brings:
        yield f"  - brings: {', '.join(map(_code, action.brings))}"
    if action.removes:
        yield f"  - removes: {', '.join(map(_code, action.removes))} (counts as {plural(len(action.deletions), 'deletion')})"
    if diff and action.diff:
        yield from _diff(action.diff)


def _diff(diff: tuple[str, ...]) -> Iterator[str]:
    text = [visible(one.expandtabs(4)) for one in diff]
    fence = "`" * max(3, _longest("\n".join(text)) + 1)
    folded = len(text) > OPEN_LINES
    yield ""
    if folded:
        yield f"  <details><summary>{plural(len(text), 'line')} of diff</summary>"
        yield ""
    yield f"  {fence}diff"
    yield from (f"  {one}" for one in text)
    yield f"  {fence}"
    if folded:
        yield ""
        yield "  </details>"
    yield ""


def _plain(text: str) -> str:
    """Words of our own as they are; anything that could be more than words in a code span."""
    return text if re.fullmatch(r"[A-Za-z0-9 ,]*", text) else _code(text)


def _code(text: str) -> str:
    """A code span that means exactly `text`."""
    shown = visible(text)
    ticks = "`" * (_longest(shown) + 1)
    padding = " " if shown[:1] in ("`", " ", "") or shown[-1:] in ("`", " ") else ""
    return f"{ticks}{padding}{shown}{padding}{ticks}"


def _longest(text: str) -> int:
    """The longest run of backticks."""
    return max((len(run) for run in re.findall("`+", text)), default=0)
