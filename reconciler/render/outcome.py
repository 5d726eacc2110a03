"""What an apply came to, as lines: per host what was done, what failed with the host's own last words, and what did not
converge."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from reconciler.cycle import Failure, Outcome
from reconciler.fleet_run import HostRun
from reconciler.order import REFRESH
from reconciler.plan import Action, HostPlan
from reconciler.render.lines import BLANK, Line, Style, line
from reconciler.render.terminal import names_line
from reconciler.render.words import alike, done_words, doubt_words
from reconciler.text import plural

OUTPUT_LINES = 20
"""The last lines of a failed step that are shown; `--json` has all that was kept."""

_STATES: dict[str, tuple[str, Style]] = {
    "converged": ("converged", "green"),
    "rolled back": ("rolled back", "alarm"),
    "failed": ("failed", "alarm"),
    "unreachable": ("lost", "alarm"),
    "stale": ("not applied", "alarm"),
    "busy": ("busy", "alarm"),
}


def outcome_lines(runs: Iterable[HostRun]) -> Iterator[Line]:
    """Every host that was to be converged, and a last line for all."""
    runs = list(runs)
    told: dict[str, tuple[list[str], Line, list[Line]]] = {}
    for run in runs:
        if run.outcome is not None and run.plan is not None:
            head, *more = _host(run.plan, run.outcome)
            names, _, _ = told.setdefault(repr((head, more)), ([], head, more))
            names.append(run.plan.host)
    for names, head, more in told.values():
        yield names_line(names, *head.spans)
        yield from more
        yield BLANK
    yield from total_lines(runs)


def _host(plan: HostPlan, outcome: Outcome) -> Iterator[Line]:
    """What became of one host. The first line is what stands behind its name."""
    word, style = _STATES[_state(outcome)]
    if outcome.status == "converged" and not outcome.fates:
        yield line(": ", (word, style), f", {plural(plan.resources, 'resource')} as asked")
        return
    yield line(": ", (word, style), _counts(outcome))
    if outcome.message:
        yield line(outcome.message, indent=4, hang=0)
    if outcome.hint:
        yield line((outcome.hint, "dim"), indent=4, hang=0)
    failures: dict[str, list[Failure]] = {}
    for failure in outcome.failures:
        failures.setdefault(failure.name, []).append(failure)
    for action in plan.actions if outcome.fates or not outcome.message else ():
        if failed := failures.get(_work(action)):
            for failure in failed:
                yield from _failure(failure)
        else:
            yield from _action(action, outcome)
    for ref in outcome.rolled_back:
        yield line(("↺ ", "alarm"), (ref, "bold"), "  rolled back: what served before serves again", indent=2, hang=4)
    for name, fields in outcome.unconverged.items():
        yield line(("✗ ", "red"), (name, "bold"), ("  did not converge: ", "red"), ", ".join(fields), indent=2, hang=4)
    for items in alike(plan.unknown):
        sign, word = doubt_words(items)
        word += "" if items[0].refused else ", left alone"
        refs = ", ".join(item.ref for item in items)
        yield line((f"{sign} ", "alarm"), (refs, "bold"), f"  {word}: {items[0].reason}", indent=2, hang=4)


def _state(outcome: Outcome) -> str:
    return "rolled back" if outcome.rolled_back else outcome.status


def _work(action: Action) -> str:
    """The name under which the outcome speaks of the action."""
    return REFRESH + action.ref if action.action == "refresh" else action.ref


def _counts(outcome: Outcome) -> str:
    done = sum(fate == "done" for fate in outcome.fates.values())
    return f", {done} of {plural(len(outcome.fates), 'change')} done" if outcome.fates else ""


def _action(action: Action, outcome: Outcome) -> Iterator[Line]:
    fate = outcome.fates.get(_work(action))
    if action.held is not None:
        yield line((f"· {action.ref}  held back: {action.held}", "dim"), indent=2, hang=4)
    elif fate == "done":
        if action.ref not in outcome.unconverged:
            yield line(("✓ ", "green"), action.ref, (f"  {done_words(action)}", "dim"), indent=2, hang=4)
    elif fate == "skipped":
        why = "skipped: what it waits for did not succeed" if outcome.failures else "not begun: the run ended before"
        yield line(("· ", "yellow"), action.ref, (f"  {why}", "yellow"), indent=2, hang=4)
    elif fate == "unknown":
        yield line(("? ", "alarm"), action.ref, ("  it is not known what became of it", "yellow"), indent=2, hang=4)
    elif fate is None and outcome.status != "converged":
        yield line((f"· {action.ref}  not done", "dim"), indent=2, hang=4)


def _failure(failure: Failure) -> Iterator[Line]:
    ref = failure.name.removeprefix(REFRESH)
    how = "took too long and was ended" if failure.fate == "late" else "failed"
    yield line(("✗ ", "red"), (ref, "bold"), (f"  {how}: {failure.title}", "red"), indent=2, hang=4)
    yield from _last(failure.output.splitlines())


def _last(output: Sequence[str]) -> Iterator[Line]:
    if len(output) > OUTPUT_LINES:
        yield line((f"… {plural(len(output) - OUTPUT_LINES, 'line')} before; --json shows all", "dim"), indent=6)
    for text in output[-OUTPUT_LINES:]:
        yield line(("| ", "dim"), text, indent=6, wrap=False)


def total_lines(runs: Sequence[HostRun]) -> Iterator[Line]:
    """One last line: how many hosts are where they should be."""
    by_state: dict[str, int] = {}
    for run in runs:
        if run.outcome is not None:
            word = _STATES[_state(run.outcome)][0]
        else:
            word = "away" if run.plan is not None and run.plan.intermittent else "not reached"
        by_state[word] = by_state.get(word, 0) + 1
    good = by_state.pop("converged", 0)
    style: Style = "green" if good == len(runs) else "bold"
    parts = [f"{good} of {plural(len(runs), 'host')} converged", *(f"{count} {word}" for word, count in by_state.items())]
    yield line((", ".join(parts) + ".", style))
