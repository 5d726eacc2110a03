"""A plan as lines for a person at a terminal: hosts, one line per change, and under it what a reviewer wants to know.

Called by `reconcile plan` and, before it asks, by `reconcile apply`. Golden texts in tests/unit/render/ hold the layout.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from reconciler.plan import Action, HostPlan, Plan, Sign
from reconciler.render.lines import BLANK, Line, Span, Style, line
from reconciler.render.words import (
    SIGNS,
    alike,
    budget_words,
    cause_words,
    doubt_words,
    headline,
    problem_words,
    ran,
    source_words,
    summary_words,
    told,
)
from reconciler.text import plural

STYLES: Mapping[Sign, Style] = MappingProxyType({"create": "green", "change": "yellow", "delete": "red", "refresh": "cyan"})
SAID = frozenset({"content", "type", "tree", "commit"})
"""Fields of something new that tell a reader nothing: digests, and what its reference or a note says already."""
DIFF_STYLES: Mapping[str, Style] = MappingProxyType({"+": "green", "-": "red", "@": "cyan"})
DIFF_LINES = 120
"""Longer diffs are cut here; `--json` has them whole."""


def plan_lines(plan: Plan, *, diff: bool = True, allowed: int | None = None) -> Iterator[Line]:
    """The whole plan with its summary. `allowed` is how many deletions an apply would accept; None: it is not said."""
    yield line(("Plan", "bold"), f" for {source_words(plan)}, {plural(len(plan.hosts), 'host')}")
    yield BLANK
    block: list[Line] = []
    shown: dict[str, str] = {}
    for hosts in _alike(plan.hosts):
        above, block = block, list(_host_lines(hosts, plan, shown, diff=diff))
        if above and (len(above) > 1 or len(block) > 1):
            yield BLANK
        yield from block
    if block:
        yield BLANK
    yield from summary_lines(plan, allowed)


def _alike(hosts: Iterable[HostPlan]) -> list[list[HostPlan]]:
    """Hosts of which exactly the same would be told, together; those with nothing to do stay each on its own line."""
    groups: dict[str, list[HostPlan]] = {}
    for host in hosts:
        told = host.actions and host.problem is None
        key = repr(host.model_copy(update={"host": ""})) if told else host.host
        groups.setdefault(key, []).append(host)
    return list(groups.values())


def _host_lines(hosts: Sequence[HostPlan], plan: Plan, shown: dict[str, str], *, diff: bool) -> Iterator[Line]:
    """One host, or several that are alike: a single line where there is nothing to say. `shown` collects what was told in full
    and on which host, so that the next one needs to say no more than that it is the same."""
    host = hosts[0]
    if host.problem is not None:
        yield from _problem(host)
        return
    if not (host.actions or host.unknown):
        yield line((host.host, "bold"), f": nothing to do, {plural(host.resources, 'resource')} as asked")
    else:
        yield names_line([one.host for one in hosts])
    for action in host.actions:
        title, *more = _action(action, host, plan, diff=diff)
        key = repr((title, more))
        if more and key in shown and not (action.deletions or action.held or action.unsure):
            yield Line((*_title(action), (f"  as on {shown[key]}", "dim")), title.indent, title.hang)
            continue
        shown.setdefault(key, host.host)
        yield title
        yield from more
    for items in alike(host.unknown):
        sign, word = doubt_words(items)
        yield line(
            (f"{sign} ", "alarm"),
            (", ".join(item.ref for item in items), "bold"),
            f"  {word}: {items[0].reason}",
            indent=2,
            hang=4,
        )
        it = "it" if len(items) == 1 else "them"
        yield line((f"nothing is done to {it}, nor to what needs {it}; {items[0].place}", "dim"), indent=6)
    for ref, notices in host.notices.items():
        for notice in notices:
            yield line(("! ", "yellow"), (ref, "bold"), f"  {notice}", indent=2, hang=4)
    for ref, reason in host.released.items():
        yield line((f"· {ref}  stays on the host, no longer managed: {reason}", "dim"), indent=2, hang=4)
    for warning in host.warnings:
        yield line(("! ", "yellow"), (warning, "yellow"), indent=2, hang=4)


def _problem(host: HostPlan) -> Iterator[Line]:
    style: Style = "dim" if host.intermittent and host.problem_kind == "unreachable" else "alarm"
    yield line((host.host, "bold"), ": ", (problem_words(host), style), f": {host.problem}", hang=4)
    if host.hint:
        yield line((host.hint, "dim"), indent=4, hang=0)
    if host.to_copy:
        yield line(host.to_copy, indent=4, wrap=False)


def _action(action: Action, host: HostPlan, plan: Plan, *, diff: bool) -> Iterator[Line]:
    asked = action.cause.why == "commit"
    place: Span = (f"  {action.cause.place}" if asked else "", "dim")
    yield line(*_title(action), place, indent=2, hang=4)
    if action.held is not None:
        yield line((f"held back, will not be done: {action.held}", "yellow"), indent=6)
    if not asked:
        why = "".join(piece if isinstance(piece, str) else piece.text for piece in cause_words(action, host, plan))
        yield line((why, "dim"), indent=6)
    yield from _fields(action, diff=diff)
    if action.unsure is not None:
        yield line(("cannot be known yet: ", "yellow"), action.unsure, indent=6)
    for note in action.notes:
        yield line(note, indent=6)
    if action.brings:
        yield line(("brings: ", "green"), ", ".join(action.brings), indent=6)
    if action.removes:
        yield line(("removes: ", "red"), ", ".join(action.removes), _counted(action), indent=6)
    elif len(action.deletions) > 1 or (action.deletions and action.action != "delete"):
        yield line(("deletes: ", "red"), ", ".join(action.deletions), _counted(action), indent=6)
    if diff:
        yield from diff_lines(action.diff)


def _title(action: Action) -> list[Span]:
    style: Style = STYLES[action.action] if action.held is None else "dim"
    return [
        (f"{SIGNS[action.action]} ", style),
        (action.ref, "dim" if action.held else "bold"),
        (f"  {headline(action)}", style),
    ]


def names_line(names: Sequence[str], *after: str | Span) -> Line:
    """The head of a block: one host, or several that are alike."""
    parts: list[str | Span] = [(names[0], "bold")]
    for name in names[1:]:
        parts += [", ", (name, "bold")]
    alike: Span = (f"  ({len(names)} hosts, all alike)" if len(names) > 1 else "", "dim")
    return line(*parts, *after, alike)


def _counted(action: Action) -> Span:
    count = len(action.deletions)
    return (f" (counts as {plural(count, 'deletion')})", "dim") if count else ("", "")


def _fields(action: Action, *, diff: bool) -> Iterator[Line]:
    if action.action == "create":
        known = [f"{item.field} {item.after}" for item in action.fields if item.after and item.field not in SAID]
        if known:
            yield line(("with ", "dim"), ", ".join(known), indent=6)
        return
    for item in () if ran(action) else told(action):
        if item.field == "content" and action.diff and diff:
            continue
        yield line(f"{item.field}: ", (item.before, "red"), " → ", (item.after, "green"), indent=6)


def diff_lines(diff: tuple[str, ...]) -> Iterator[Line]:
    """A unified diff without its head: which file it is, and which side is which, stands above or goes without saying."""
    if len(diff) > 1 and diff[0].startswith("---") and diff[1].startswith("+++"):
        diff = diff[2:]
    if diff and diff[0].startswith("@@ -0,0 "):  # all of it is new
        diff = diff[1:]
    for text in diff[:DIFF_LINES]:
        yield line((text, DIFF_STYLES.get(text[:1], "")), indent=6, wrap=False)
    if len(diff) > DIFF_LINES:
        yield line((f"… {plural(len(diff) - DIFF_LINES, 'more line')}; --json shows all", "dim"), indent=6)


def summary_lines(plan: Plan, allowed: int | None = None) -> Iterator[Line]:
    """What it comes to, in one line; and when it deletes too much, that it does."""
    style: Style = "bold" if plan.changes or any(host.problem is not None for host in plan.hosts) else "green"
    summary, parts = summary_words(plan)
    yield line((summary, style), "".join(f"; {part}" for part in parts) + ".")
    words = budget_words(plan, allowed) if allowed is not None else None
    if words is not None:
        message, hint = words
        yield line(("! ", "red"), (f"{message}:", "red"), hang=2)
        yield from (line(f"- {name}", indent=4) for name in plan.deletions)
        yield line((hint, "dim"), indent=2)
