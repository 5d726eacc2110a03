"""What the loop saw last: `reconcile status --last`, and what `reconcile status` adds from the history to what hosts answer.

Called by `status.py` and `checking.py`. A history that is not there, or cannot be read, takes nothing from what hosts answer.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from desired.git import Repository, open_repository
from desired.git_history import between, has
from desired.model import Fleet, RepositoryError
from reconciler.check import HostReport, HostState
from reconciler.cli.past import history_in, hosts_meant, reader_in, standstill
from reconciler.cli.screen import Screen
from reconciler.errors import CommandError, Exit
from reconciler.history.database import HistoryError
from reconciler.loop.view import HostStatus, HostView, LoopView
from reconciler.render import view as render
from reconciler.render.drift import standstill_lines
from reconciler.render.lines import line
from reconciler.render.times import span

FAR = 10_000
"""Commits that are counted at most."""
_ALIKE: Mapping[HostState, tuple[HostStatus, ...]] = {
    "converged": ("converged", "held", "suspended"),
    "held": ("held", "suspended"),
    "drift": ("drifted", "held", "failed", "suspended"),
    "changes": ("pending", "failed"),
    "unknown": ("unknown", "failed"),
    "unreachable": ("unreachable",),
    "away": ("away",),
}
"""What a host answers now → the loop's words that are the same."""
_WRONG = frozenset(("drifted", "pending", "failed", "unknown"))


def show_last(words: Sequence[str], screen: Screen, *, state: Path | None, as_json: bool) -> Exit:
    reader = history_in(state)
    view = reader.view()
    if view is None:
        raise CommandError(
            f"the history in {reader.folder} does not tell what the loop saw last", "reconcile status asks the hosts now"
        )
    chosen = hosts_meant(words, (), view)
    if chosen is not None:
        view = view.model_copy(update={"hosts": tuple(host for host in view.hosts if host.host in chosen)})
    now, code = time.time(), _code(view)
    if as_json:
        screen.document(render.view_document(view, code))
    else:
        screen.show_all(render.view_lines(view, now))
    if (still := standstill(view, now)) is not None:
        screen.tell(*standstill_lines(span(still)))
    return code


def _code(view: LoopView) -> Exit:
    """As that of `reconcile status`."""
    found = {host.status for host in view.hosts}
    if found & _WRONG or any(one.status not in ("current", "pending") for host in view.hosts for one in host.projects):
        return Exit.FAILED
    return Exit.UNREACHABLE if "unreachable" in found else Exit.OK


def with_history(
    reports: Sequence[HostReport], fleet: Fleet, folder: Path, state: Path | None, screen: Screen
) -> list[HostReport]:
    """The reports with how far each host is behind, when it was seen last, and since when it is as it is."""
    known = _views(state, screen)
    repository = open_repository(folder)
    now = time.time()
    return [_filled(report, known.get(report.host), fleet, repository, now) for report in reports]


def _views(state: Path | None, screen: Screen) -> dict[str, HostView]:
    try:
        view = reader_in(state).view()
    except HistoryError as error:
        screen.tell(line(("note: ", "yellow"), str(error)))
        return {}
    return {host.host: host for host in view.hosts} if view is not None else {}


def _filled(report: HostReport, view: HostView | None, fleet: Fleet, repository: Repository, now: float) -> HostReport:
    answered = report.state not in ("unreachable", "away")
    applied = report.applied or (view.commit if view is not None and not answered else None)
    alike = view is not None and view.status in _ALIKE[report.state]
    return report.model_copy(
        update={
            "applied": applied,
            "behind": _behind(repository, applied, fleet.commit),
            "seen": now if answered else view.seen if view is not None else None,
            "since": view.since if view is not None and alike else None,
        }
    )


def _behind(repository: Repository, applied: str | None, commit: str | None) -> int | None:
    if applied is None or commit is None:
        return None
    if applied == commit:
        return 0
    if not has(repository, applied):
        return None
    try:
        found = between(repository, applied, commit, FAR)
    except RepositoryError:
        return None
    return None if found is None else len(found)
