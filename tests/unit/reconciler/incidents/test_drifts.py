"""Drift records: first and last seen, what differed, how it ended, who may have done it."""

from __future__ import annotations

from datetime import UTC, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.cycle import Outcome
from reconciler.incidents.drifts import SAVED_EVERY, Drifts
from reconciler.incidents.model import DriftRecord
from reconciler.incidents.witness import clock, words
from reconciler.loop.report import CycleReport
from reconciler.plan import Action, FieldChange, HostPlan
from state.evidence import Evidence, Session, Touched
from state.evidence_logs import Elevated, Login, PackageRun
from tests.unit.reconciler.incidents.scene import COMMIT, MOTD, START, action, failed, healed, plan, unknown

OBSERVED = action(held="sync: observe")


class Book(Drifts):
    """With what was written."""

    def __init__(self) -> None:
        self.written: list[DriftRecord] = []
        super().__init__(self.written.append)
        self.now = START

    def see(
        self, *actions: Action, outcome: Outcome | None = None, after: HostPlan | None = None, **more: object
    ) -> list[DriftRecord]:
        self.now += 60
        found = more.pop("found", None) or plan("a", *actions)
        return self.visited(CycleReport("0" * 12, "a", COMMIT, self.now, 1.0, found, outcome, after, **more))  # type: ignore[arg-type]


def test_a_record_says_what_differed_where_it_was_asked_for_and_since_when() -> None:
    book = Book()
    changed = action(fields=(FieldChange(field="mode", before="0600", after="0644"),), diff=("-a", "+b"), held="sync: observe")
    (record,) = book.see(changed)
    assert (record.kind, record.fields, record.diff) == ("drift", ("mode: 0600 → 0644",), ("-a", "+b"))
    assert (record.place, record.commit, record.first, record.held) == ("hosts/a.yaml:3:1", COMMIT, book.now, "sync: observe")


def test_what_is_still_there_is_written_again_only_now_and_then() -> None:
    book = Book()
    first = book.see(OBSERVED)[0]
    for _ in range(60):
        assert book.see(OBSERVED) == []
    assert next(iter(book)).last == book.now
    assert next(iter(book)).first == first.first
    assert len(book.written) == 1 + 3600 // SAVED_EVERY


def test_drift_that_was_put_right_in_the_same_cycle_begins_and_ends_with_it() -> None:
    (record,) = Book().see(action(), outcome=healed(), after=plan("a"))
    assert record.how == "healed"
    assert record.ended == record.first + 1.0


def test_drift_that_could_not_be_put_right_stays() -> None:
    book = Book()
    book.see(action(), outcome=failed(), after=plan("a", action()))
    assert [record.ended for record in book] == [None]
    assert book.see(action(), outcome=Outcome("unreachable", {MOTD: "unknown"})) == []
    assert book.see(found=plan("a", unknown=[unknown(MOTD)])) == []
    assert book.see(outcome=None)[0].how == "vanished"


def test_what_git_asks_for_is_pending_where_it_stays_undone_and_no_record_where_it_is_done() -> None:
    book = Book()
    assert book.see(action(why="commit"), outcome=healed(), after=plan("a")) == []
    (record,) = book.see(action(why="commit", held="outside the window"))
    assert (record.kind, record.held) == ("pending", "outside the window")
    assert book.see(action(why="commit"), outcome=healed(), after=plan("a"))[0].how == "healed"


def test_drift_that_a_commit_made_into_something_else_is_overtaken() -> None:
    book = Book()
    book.see(OBSERVED)
    ended, begun = book.see(action(why="commit", held="outside the window"))
    assert (ended.kind, ended.how, begun.kind, begun.ended) == ("drift", "superseded", "pending", None)


def test_drift_that_git_asks_for_now_was_accepted() -> None:
    book = Book()
    book.see(OBSERVED)
    report = CycleReport("0" * 12, "a", "d" * 40, book.now + 60, 1.0, plan("a"))
    assert book.visited(report)[0].how == "accepted"


def test_drift_of_a_resource_that_left_git_is_gone() -> None:
    book = Book()
    book.see(OBSERVED)
    report = CycleReport("0" * 12, "a", "d" * 40, book.now + 60, 1.0, plan("a"))
    assert book.visited(report, lambda _host, _ref: False)[0].how == "gone"


def test_heals_of_before_a_restart_are_counted_and_forgotten_in_time() -> None:
    heals = [("a", MOTD, START - age) for age in (100, 200, 300)]
    written: list[DriftRecord] = []
    book = Drifts(written.append, (), heals)
    (record,) = book.visited(CycleReport("0" * 12, "a", COMMIT, START, 1.0, plan("a", OBSERVED)))
    assert (record.times, record.flapping) == (4, True)
    book.prune(START + 86400 * 2)
    assert not book._streaks


def test_a_witness_names_who_was_there_and_which_package_run_touched_it() -> None:
    now = START + 3600 * 6
    evidence = Evidence(
        sessions=(Session("ada", "10.0.0.7", "pts/0", now - 60), Session("bob", "", "tty1", now - 7200, now - 3600)),
        logins=(Login("eve", "10.0.0.9", now - 30),),
        elevated=(Elevated("ada", "vim", now - 45),),
        packages=(PackageRun(now - 90, "apt", (("upgrade", "openssh-server"),), "ada"), PackageRun(now - 99, "apk")),
        changed=(("file:/etc/motd", Touched(now - 44, "root")),),
    )
    file = words(evidence, MOTD, now, UTC)
    assert file[0] == f"/etc/motd was last changed at {clock(now - 44, now, UTC)}, and belongs to root"
    assert f"ada was logged in from 10.0.0.7 (pts/0) since {clock(now - 60, now, UTC)}" in file
    package = words(evidence, "package:apt/openssh-server", now, UTC)
    assert package[0] == f"apt upgraded openssh-server at {clock(now - 90, now, UTC)}, asked for by ada"


def test_times_are_those_of_the_fleet_and_carry_their_day_where_it_is_another() -> None:
    east = timezone(timedelta(hours=2))
    assert clock(0, 60, UTC) == "00:00"
    assert clock(0, 60, east) == "02:00"
    assert clock(0, 86400 * 3, UTC) == "00:00 on 01 Jan 1970"
    assert clock(1e300, 0, UTC) == "a time that no clock shows"


@pytest.mark.parametrize("ref", [MOTD, "package:apt/x", "odd", ""])
@given(at=st.floats(allow_nan=False), name=st.text(max_size=300))
def test_a_witness_has_words_for_whatever_a_host_says(ref: str, at: float, name: str) -> None:
    run = PackageRun(at, name, ((name, name),) * 9, name)
    evidence = Evidence(
        (Session(name, name, name, at, at),), (), (Elevated(name, name, at),), (run,), ((ref, Touched(at, name)),)
    )
    assert all(len(sentence) <= 200 for sentence in words(evidence, ref, START, UTC))
