"""What the history keeps, for how long, and what it leaves out."""

from __future__ import annotations

import base64
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Table

from desired.model import Fleet
from providers.secret import Secret
from reconciler.history import pruning, writer
from reconciler.history.database import HistoryError
from reconciler.history.keeper import Keeper
from reconciler.history.pruning import prune
from reconciler.history.reader import Reader
from reconciler.history.records import project_of
from reconciler.history.rows import body_of, plain
from reconciler.history.store import History
from reconciler.history.waiting import Item, Waiting
from reconciler.loop.following import Followed
from reconciler.loop.report import CycleReport
from state.evidence import Evidence, Session
from tests.unit.history.conftest import Opens
from tests.unit.history.happened import (
    COMMIT,
    MOTD,
    NOON,
    action,
    applied,
    drift,
    gone,
    host_view,
    incident,
    outcome,
    plan,
    report,
    view,
)

DAY = 86400.0


@pytest.fixture
def reader(state: Path) -> Reader:
    return Reader(state)


def bytes_of(state: Path) -> bytes:
    return b"".join(path.read_bytes() for path in state.iterdir())


# What is a row.


class Kept(History):
    """Takes notes instead of writing."""

    def __init__(self) -> None:
        super().__init__(Path("/nowhere"))
        self.reports: list[CycleReport] = []
        self.pruned: list[tuple[float, float]] = []
        self.views = 0

    def save_report(self, report: CycleReport) -> None:
        self.reports.append(report)

    def save_view(self, view: object) -> None:
        self.views += 1

    def prune(self, now: float, keep_seconds: float) -> None:
        self.pruned.append((now, keep_seconds))


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def keeper(kept: Kept) -> Keeper:
    return Keeper(kept, view)


QUIET, DRIFTED, HELD = plan(), plan(action(why="drift")), plan(action(why="drift", held="sync: deploy"))
STORY = [
    ("a quiet beginning is nothing", report(QUIET), False),
    ("drift is seen", report(HELD), True),
    ("the same plan again", report(HELD), False),
    ("an equal plan, made anew", report(plan(action(why="drift", held="sync: deploy"))), False),
    ("it is held for another reason", report(plan(action(why="drift", held="suspended"))), True),
    ("it is put right", replace(report(DRIFTED, outcome({MOTD: "done"})), after=QUIET), True),
    ("rest", report(QUIET), False),
    ("the host is gone", report(gone()), True),
    ("still gone, in other words", report(gone(problem="no route")), False),
    ("it refuses us now", report(gone(problem_kind="login")), True),
    ("it answers again, and nothing is wrong", report(QUIET), True),
    ("rest again", report(plan()), False),
]


def test_only_what_is_news_becomes_a_row(keeper: Keeper, kept: Kept) -> None:
    for what, happened, expected in STORY:
        before = len(kept.reports)
        keeper.visited(happened)
        assert (len(kept.reports) > before) == expected, what


def test_what_was_tried_is_always_a_row(keeper: Keeper, kept: Kept) -> None:
    for _ in range(3):
        keeper.visited(replace(applied(action(), fate="failed"), after=plan(action())))
    assert len(kept.reports) == 3


def test_the_retention_of_the_fleet_is_used_at_once_and_then_every_hour(keeper: Keeper, kept: Kept) -> None:
    keeper.followed(Followed(None, None, "", None, "", "", None))
    keeper.followed(Followed(Fleet(COMMIT, {}, keep=7 * 86400), COMMIT, "", COMMIT, "", "", NOON))
    keeper.followed(Followed(Fleet(COMMIT, {}, keep=8 * 86400), COMMIT, "", COMMIT, "", "", NOON + 60))
    for second in range(3700):
        keeper.ticked(NOON + second)
    assert kept.pruned == [(NOON, 7 * DAY), (NOON + 3600, 8 * DAY)]
    assert kept.views == pytest.approx(3700 / 15, abs=3)


def test_a_clock_that_is_set_is_believed_after_an_hour(keeper: Keeper, kept: Kept) -> None:
    """A clock that says 2036 for a moment must not take ten years of history along."""
    keeper.followed(Followed(Fleet(COMMIT, {}, keep=7 * 86400), COMMIT, "", COMMIT, "", "", NOON))
    for jump in (3650 * DAY, 0.0, -3650 * DAY, 0.0):
        for second in range(3590):
            keeper.ticked(NOON + jump + second)
    assert kept.pruned == [(NOON, 7 * DAY)]
    for second in range(3590, 3610):
        keeper.ticked(NOON + second)
    assert kept.pruned[1:] == [(NOON + 3600, 7 * DAY)]


def test_a_fleet_at_rest_writes_next_to_nothing(state: Path, opened: Opens, monkeypatch: pytest.MonkeyPatch) -> None:
    """200 hosts for twenty simulated minutes: a view a minute, quiet cycles, and drifts that are seen again and again."""
    now = NOON
    history = History.open(state, now=now, clock=lambda: now)
    written: list[str] = []
    real = writer.Writer._replace

    def replaced(self: writer.Writer, table: Table, key: str, row: dict[str, Any]) -> None:
        written.append(table.name)
        real(self, table, key, row)

    monkeypatch.setattr(writer.Writer, "_replace", replaced)
    keeper = Keeper(history, lambda: view(*(host_view(f"h{n}", seen=now, tried=now) for n in range(200)), at=now))
    plans = [plan(host=f"h{n}") for n in range(200)]
    for _ in range(20):
        for quiet in plans:
            keeper.visited(report(quiet, at=now))
        for n in range(5):
            history.save_drift(drift(f"d{n}", last=now))
        keeper.ticked(now)
        assert history.flush()
        now += 60
    history.close()
    assert written.count("views") <= 200 + 21
    assert written.count("drifts") <= 5 * 5
    assert set(written) == {"views", "drifts"}
    assert Reader(state).drifts()[0].last == now - 60  # the last look is not lost when the loop ends


# What is read back.


def test_a_cycle_is_told_with_its_actions_causes_steps_and_output(history: History, reader: Reader) -> None:
    drifted = action("service:ssh", "drift")
    restart = action("service:web", "follows", "refresh", verb="restart", held=None)
    fates = {MOTD: "done", "service:ssh": "failed", "refresh service:web": "skipped"}
    done = outcome(fates, "bad \udcff bytes", unconverged={MOTD: ("mode",)}, message="it went wrong", hint="look at it")  # type: ignore[arg-type]
    evidence = Evidence(sessions=(Session("ada", "10.0.0.7"),))
    history.save_report(replace(report(plan(action(diff=("-a", "+b")), drifted, restart), done), evidence=evidence))
    assert history.flush()

    cycle = reader.cycle(f"{1:012x}")

    assert cycle is not None
    assert (cycle.host, cycle.commit, cycle.status, cycle.message, cycle.advice) == (
        "nas", COMMIT, "failed", "it went wrong", "look at it",
    )  # fmt: skip
    assert [(one.ref, one.why, one.place, one.fate) for one in cycle.actions] == [
        (MOTD, "commit", "hosts/nas.yaml:9:3", "unconverged"),
        ("service:ssh", "drift", "hosts/nas.yaml:9:3", "failed"),
        ("service:web", "follows", "hosts/nas.yaml:9:3", "skipped"),
    ]
    assert cycle.actions[0].diff == ("-a", "+b")
    assert cycle.actions[0].fields[0].field == "content"
    assert [(one.refs, one.fate, one.output) for one in cycle.steps][1] == (("service:ssh",), "failed", "bad \udcff bytes")
    assert cycle.evidence is not None
    assert cycle.evidence["sessions"][0]["origin"] == "10.0.0.7"
    assert reader.cycle("ffffffffffff") is None


def test_cycles_are_found_by_host_resource_project_and_time(history: History, reader: Reader) -> None:
    history.save_report(applied(action(), number=1))
    history.save_report(applied(action("slot:site/green"), host="web", number=2, at=NOON + 10, projects={"site": COMMIT}))
    history.save_report(report(gone("web"), number=3, at=NOON + 20))
    assert history.flush()

    def found(**wanted: Any) -> list[int]:
        return [int(cycle.run, 16) for cycle in reader.cycles(**wanted)]

    assert found() == [3, 2, 1]
    assert found(limit=2) == [3, 2]
    assert found(host="web") == [3, 2]
    assert found(ref=MOTD) == [1]
    assert found(project="site") == [2]
    assert found(since=NOON + 10) == [3, 2]
    assert found(before=NOON + 10) == [1]
    assert [one.run for one in reader.of(MOTD)] == [f"{1:012x}"]
    assert [one.ref for one in reader.of_project("site", host="web")] == ["slot:site/green"]
    assert [sorted(names) for names in reader.known()] == [["nas", "web"], [MOTD, "slot:site/green"], ["site"]]


@pytest.mark.parametrize(
    ("actions", "fate", "back", "status"),
    [
        ([action("release:site"), action("route:site")], "done", (), "done"),
        ([action("release:site")], "failed", (), "failed"),
        ([action("release:site")], "failed", ("route:site",), "rolled back"),
        ([action("release:site", "drift")], "done", (), None),
        ([action("slot:site/blue", "due")], "done", (), None),
        ([action("release:site", held="suspended")], "done", (), None),
    ],
)
def test_a_deployment_is_what_a_commit_asked_for(
    history: History, reader: Reader, actions: list[Any], fate: Any, back: tuple[str, ...], status: str | None
) -> None:
    fates = {one.ref: fate for one in actions if one.held is None}
    history.save_report(report(plan(*actions), outcome(fates, rolled_back=back), projects={"site": "c" * 40}))
    assert history.flush()
    found = [(one.project, one.host, one.commit, one.status) for one in reader.deployments(project="site")]
    assert found == ([("site", "nas", "c" * 40, status)] if status else [])


def test_what_is_open_is_taken_up_again(opened: Opens) -> None:
    history = opened()
    history.save_drift(drift("open"))
    history.save_drift(drift("over"))
    history.save_drift(drift("over", ended=NOON + 5))
    history.save_incident(incident("open"))
    history.save_incident(incident("over", closed=NOON + 5))
    history.save_report(applied(action("file:/a", "drift"), number=1))
    history.save_report(applied(action("file:/b", "drift"), fate="failed", number=2))
    history.save_report(applied(action("file:/c", "commit"), number=3))
    history.close()

    history = opened()

    assert history.open_drifts() == (drift("open"),)
    assert history.open_incidents() == (incident("open"),)
    assert history.heals(NOON - 1) == (("nas", "file:/a", NOON),)
    assert history.heals(NOON + 1) == ()


def test_the_last_view_is_read_as_it_was_saved(opened: Opens, reader: Reader) -> None:
    assert reader.view() is None
    saved = view(host_view("nas", pending=2, reasons=("a window",)), host_view("web", status="unreachable", seen=None))
    opened().save_view(saved)
    opened().close()
    assert reader.view() == saved
    history = opened()
    assert history.view() == saved
    history.save_view(view(host_view("nas")))
    assert history.flush()
    again = reader.view()
    assert again is not None
    assert [host.host for host in again.hosts] == ["nas"]


def test_without_a_history_a_reader_finds_nothing_and_makes_nothing(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    assert not reader.there
    assert not reader.cycles()
    assert not reader.drifts(open_only=False)
    assert not reader.incidents()
    assert reader.cycle("x") is None
    assert reader.view() is None
    assert not list(tmp_path.iterdir())


def test_a_history_that_may_not_be_looked_at_is_not_taken_for_none(tmp_path: Path) -> None:
    (tmp_path / "history.db").symlink_to("history.db")
    with pytest.raises(HistoryError, match=r"cannot be read: Too many levels"):
        assert not Reader(tmp_path).there


def test_a_reader_sees_what_is_written_beside_it_and_cannot_write(state: Path, history: History, reader: Reader) -> None:
    for number in range(1, 20):
        history.save_report(applied(action(), number=number, at=NOON + number))
        assert history.flush()
        assert len(reader.cycles()) == number


# What is left out.


def test_no_secret_gets_into_the_history(state: Path, history: History) -> None:
    value = "canary-" + secrets.token_hex(12)
    secret = Secret(value.encode(), "v1")
    coded = base64.b64encode(value.encode()).decode()
    text = f"before {value} {coded} after"
    hostile = action(f"file:/{value}", diff=(text,), notes=(text,), held=None, place=text, removes=(text,))
    long = "x" * 15_990 + value + "y" * 100
    done = outcome({f"file:/{value}": "failed"}, text, message=text, hint=text, unconverged={text: (text,)})
    evidence = Evidence(sessions=(Session(text, text),))
    found = plan(hostile, warnings=(text,), released={text: text}, unknown=({"ref": text, "reason": text},))
    history.save_report(replace(report(found, done), evidence=evidence, projects={text: text}))
    history.save_report(applied(action("file:/long"), output=long, number=2))
    history.save_report(replace(report(gone(problem=text, hint=text), number=3), host=text))
    history.save_drift(drift(ref=text, fields=(text,), diff=(text,), held=text, evidence=(text,), place=text))
    history.save_incident(incident(hosts=(text,), done=text))
    history.save_view(view(host_view(problem=text, reasons=(text,))))
    history.mark(text, text)
    assert history.flush()
    assert history.dropped == 0
    kept = bytes_of(state)
    assert b"[secret]" in kept
    assert len(secret)
    for form in (value, coded, value[:-4], value.encode().hex()):
        assert form.encode() not in kept, form


@given(st.text(st.characters(exclude_categories=[])), st.lists(st.text(st.characters(exclude_categories=[]))))
def test_any_text_can_be_stored(text: str, lines: list[str]) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("SELECT ?, ?", (plain(text), body_of(lines))).fetchone()


@pytest.mark.parametrize(
    ("ref", "project"),
    [("release:site", "site"), ("slot:site/green", "site"), ("route:a.b", "a.b"), (MOTD, ""), ("package:apt/site", "")],
)
def test_a_reference_names_its_project(ref: str, project: str) -> None:
    assert project_of(ref) == project


# For how long.


def test_what_is_old_goes_and_what_is_open_stays(history: History, reader: Reader) -> None:
    for days in (100, 10):
        history.save_report(applied(action("release:site"), number=days, at=NOON - days * DAY, projects={"site": COMMIT}))
        history.save_drift(drift(f"over-{days}", first=NOON - 200 * DAY, ended=NOON - days * DAY))
        history.save_incident(incident(f"over-{days}", opened=NOON - 200 * DAY, closed=NOON - days * DAY))
    history.save_drift(drift("open", first=NOON - 200 * DAY))
    history.save_incident(incident("open", opened=NOON - 200 * DAY))
    history.prune(NOON, 90 * DAY)
    assert history.flush()
    assert [int(cycle.run, 16) for cycle in reader.cycles()] == [10]
    assert len(reader.of("release:site")) == len(reader.deployments()) == 1
    assert {one.id for one in reader.drifts(open_only=False)} == {"over-10", "open"}
    assert {one.id for one in reader.incidents()} == {"over-10", "open"}


def test_the_file_becomes_smaller_again(state: Path, history: History) -> None:
    for number in range(1, 300):
        history.save_report(applied(action(diff=("x" * 300,) * 20), number=number, at=NOON - 100 * DAY))
    assert history.flush()
    before = (state / "history.db").stat().st_size + (state / "history.db-wal").stat().st_size
    history.prune(NOON, 90 * DAY)
    assert history.flush()
    assert before > 1 << 20
    assert (state / "history.db").stat().st_size < 200_000
    assert (state / "history.db-wal").stat().st_size == 0


def test_there_is_a_largest_size_and_the_oldest_goes_first(
    state: Path, history: History, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning.prune, "__defaults__", (1 << 20,))
    assert prune.__defaults__ == (1 << 20,)
    for number in range(1, 500):
        history.save_report(applied(action(diff=("x" * 300,) * 20), number=number, at=NOON + number))
    history.save_drift(drift("open"))
    history.prune(NOON, 90 * DAY)
    assert history.flush()
    assert (state / "history.db").stat().st_size <= 1 << 20
    left = [int(cycle.run, 16) for cycle in reader.cycles(limit=500)]
    assert left == list(range(499, 499 - len(left), -1))
    assert 50 < len(left) < 499
    assert len(reader.drifts()) == 1


# What waits.


def test_a_newer_form_takes_the_place_of_the_older_one() -> None:
    waiting = Waiting()
    for value in (1, 2):
        waiting.put(Item(("view", ""), value))
        waiting.put(Item(("drift", "d"), value))
    taken = waiting.take(10)
    assert [(item.key, item.value) for item in taken] == [(("view", ""), 2), (("drift", "d"), 2)]
    waiting.put(Item(("drift", "d"), 3))
    waiting.put_back(taken)
    assert {item.key: item.value for item in waiting.take(10)} == {("view", ""): 2, ("drift", "d"): 3}


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 3)), max_size=200), st.integers(1, 20))
def test_where_there_is_no_more_room_the_oldest_of_the_least_important_goes(puts: list[tuple[int, int]], limit: int) -> None:
    waiting = Waiting(limit)
    model: dict[int, int] = {}
    dropped = 0
    for number, rank in puts:
        waiting.put(Item(("report", str(number)), None, rank))
        model[number] = rank
        if len(model) > limit:
            del model[min(model, key=lambda one: model[one])]
            dropped += 1
    assert [int(item.key[1]) for item in waiting.take(1000)] == list(model)
    assert waiting.dropped == dropped


@pytest.fixture
def nowhere(tmp_path: Path) -> Iterator[History]:
    (tmp_path / "file").write_text("")
    history = History.open(tmp_path / "file" / "state", now=NOON, pause=0.05)
    yield history
    history.close()


def test_a_history_that_cannot_be_written_takes_everything_and_keeps_no_more_than_fits(nowhere: History) -> None:
    began = time.monotonic()
    for number in range(1, 5001):
        nowhere.save_report(report(HELD, number=number))
    nowhere.save_report(applied(action(), number=5001))
    nowhere.save_incident(incident())
    assert time.monotonic() - began < 2
    assert nowhere.trouble
    assert nowhere.dropped >= 2800  # what is being tried just now is counted when it is put back
    assert not nowhere.flush(0.05)
    assert nowhere.open_drifts() == ()
    assert nowhere.view() is None
    nowhere.close()
    nowhere.save_report(applied(action(), number=5002))


def test_a_thing_that_cannot_be_stored_is_left_out_and_the_rest_is_kept(history: History, reader: Reader) -> None:
    history.save_report(replace(applied(action(), number=1), seconds={}))  # type: ignore[arg-type]
    history.save_report(replace(applied(action(), number=2), began=None))  # type: ignore[arg-type]
    history.save_report(replace(applied(action(), number=3), plan=None))  # type: ignore[arg-type]
    history.save_report(applied(action(), number=4))
    assert history.flush()
    assert [int(cycle.run, 16) for cycle in reader.cycles()] == [4]
    assert history.dropped == 3
    assert history.trouble is None
