"""Cycles that are written down before they begin, so that a loop that is killed leaves word of what it was about to do."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

from reconciler.history.events import of_cycle
from reconciler.history.keeper import Keeper
from reconciler.history.reader import Reader
from reconciler.history.store import History
from tests.unit.history.conftest import Opens
from tests.unit.history.happened import MOTD, NOON, action, applied, plan, report, view

DRIFT = action(why="drift")
BEGUN = replace(report(plan(DRIFT, action("file:/etc/held", why="drift", held="outside the window"))), begun=True)


def test_what_has_begun_is_told_so_until_it_has_ended(history: History, state: Path) -> None:
    keeper, reader = Keeper(history, view), Reader(state)
    keeper.began(BEGUN)
    assert history.flush()
    (cycle,) = reader.cycles()
    assert (cycle.status, [one.fate for one in cycle.actions]) == ("begun", ["begun", ""])
    keeper.visited(applied(DRIFT))
    assert history.flush()
    (cycle,) = reader.cycles()
    assert (cycle.run, cycle.status) == (BEGUN.run, "converged")
    assert [one.fate for one in cycle.actions] == ["done"]


def test_what_a_kill_broke_off_is_taken_up_once_and_told_for_ever(opened: Opens, state: Path) -> None:
    opened().save_report(BEGUN)
    again = opened()
    (drift,) = again.broken_off()
    assert (drift.host, drift.ref, drift.kind, drift.first, drift.fields) == ("nas", MOTD, "drift", NOON, ("content",))
    assert again.flush()
    assert again.broken_off() == ()
    (cycle,) = Reader(state).cycles()
    told = "begun; the loop was killed before it ended: what was done is found by the next look"
    assert (cycle.status, of_cycle(cycle).text) == ("broken off", f"{told} ({MOTD})")
    assert [one.fate for one in cycle.actions] == ["broken off", ""]


def test_a_disk_that_hangs_is_not_waited_for_longer_than_was_said(history: History) -> None:
    hangs = threading.Event()
    real = history._book.write
    history._book.write = lambda items: (hangs.wait(10), real(items))[1]  # type: ignore[method-assign]
    history.save_report(BEGUN)
    begun = time.monotonic()
    assert not history.flush(0.3)
    assert time.monotonic() - begun < 5
    hangs.set()
    assert history.flush()
