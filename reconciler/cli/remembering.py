"""What `reconcile history` does: from words to a choice of what happened, and to its lines. Called by `history.py`."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from desired.text import meant
from reconciler.cli.past import history_in, hosts_meant, since_when
from reconciler.cli.screen import Screen
from reconciler.errors import CommandError, Exit
from reconciler.history.events import Happened, in_order
from reconciler.history.reader import Reader
from reconciler.history.records import CycleRecord
from reconciler.render import history as render

RUN = re.compile(r"[0-9a-f]{12}")


def show_history(
    words: Sequence[str], screen: Screen, *, state: Path | None, since: str | None, limit: int, as_json: bool
) -> Exit:
    reader = history_in(state)
    if len(words) == 1 and _show_one(reader, words[0], screen, as_json=as_json):
        return Exit.OK
    after = since_when(since)
    happened = _happened(reader, _wanted(reader, words), after, limit)
    if as_json:
        screen.document(render.history_document(happened))
    else:
        screen.show_all(render.history_lines(happened))
        if not happened:
            screen.tell(*render.nothing_lines(words, since))
    return Exit.OK


def _show_one(reader: Reader, word: str, screen: Screen, *, as_json: bool) -> bool:
    """A cycle or an incident, where the word is the id of one."""
    if cycle := reader.cycle(word):
        _put(screen, render.cycle_document(cycle), render.cycle_lines(cycle), as_json=as_json)
    elif incident := reader.incident(word):
        lines = render.incident_lines(incident, time.time())
        _put(screen, render.incident_document(incident), lines, as_json=as_json)
    elif RUN.fullmatch(word) and word not in reader.known()[0]:
        raise CommandError(f"the history knows no run {word}", "a run is kept only where something was found or done")
    else:
        return False
    return True


def _put(screen: Screen, document: object, lines: render.Lines, *, as_json: bool) -> None:
    if as_json:
        screen.document(document)
    else:
        screen.show_all(lines)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Empty: everything."""

    hosts: frozenset[str] = frozenset()
    refs: frozenset[str] = frozenset()
    projects: frozenset[str] = frozenset()

    def fits(self, one: Happened) -> bool:
        there = not self.hosts or not self.hosts.isdisjoint(one.hosts)
        about = not self.refs.isdisjoint(one.refs) or not self.projects.isdisjoint(one.projects)
        return there and (about or not (self.refs or self.projects))


def _wanted(reader: Reader, words: Sequence[str]) -> _Wanted:
    if not words:
        return _Wanted()
    hosts, refs, projects = reader.known()
    view = reader.view()
    fleet = hosts | ({host.host for host in view.hosts} if view is not None else set())
    named = frozenset(word for word in words if word in fleet or word.startswith("tag:"))
    rest = frozenset(words) - named
    for word in sorted(rest - refs - projects):
        if ":" in word:
            raise CommandError(f'nothing is known of "{word}"', meant(word, refs, " ").strip())
        raise CommandError(
            f'the history knows no host, project, run or incident "{word}"',
            meant(word, {*fleet, *projects, *refs}, " ").strip(),
        )
    chosen = hosts_meant(sorted(named), fleet, view) or frozenset()
    return _Wanted(chosen, rest & refs, rest & projects)


def _happened(reader: Reader, wanted: _Wanted, since: float | None, limit: int) -> list[Happened]:
    cycles: dict[str, CycleRecord] = {}
    about: list[tuple[str | None, str | None]] = [(ref, None) for ref in sorted(wanted.refs)]
    about += [(None, project) for project in sorted(wanted.projects)]
    hosts: Collection[str | None] = sorted(wanted.hosts) or (None,)
    for host, (ref, project) in product(hosts, about or [(None, None)]):
        found = reader.cycles(host=host, ref=ref, project=project, since=since, limit=limit)
        cycles |= {cycle.run: cycle for cycle in found}
    everything = in_order(
        cycles.values(),
        reader.incidents(since=since, limit=limit if wanted == _Wanted() else 100_000),
        reader.drifts(open_only=False, since=since, limit=100_000),
    )
    return [one for one in everything if wanted.fits(one) and (since is None or one.at >= since)][-limit:]
