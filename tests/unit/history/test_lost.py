"""Whatever becomes of the file: the history is lost at most, it is said, and the loop notices nothing else."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from reconciler.history.book import Book
from reconciler.history.database import HistoryError, open_for_writing
from reconciler.history.reader import Reader
from reconciler.history.schema import FIRST, MIGRATIONS
from reconciler.history.store import History
from reconciler.history.waiting import Item
from tests.unit.history.conftest import Opens
from tests.unit.history.happened import MOTD, NOON, action, applied, drift, host_view, incident, view

ROOT = Path(__file__).parents[3]
RECORDED = ROOT / "tests" / "recorded" / "history"
BEFORE, AFTER = applied(action(), number=1), applied(action(), number=2, at=NOON + 60)


def fill(history: History) -> None:
    """Something of everything."""
    history.save_report(BEFORE)
    history.save_drift(drift())
    history.save_incident(incident())
    history.mark("key", "value")
    history.save_view(view(host_view()))
    assert history.flush()


def runs(state: Path) -> list[str]:
    return [cycle.run for cycle in Reader(state).cycles()]


def aside(state: Path) -> list[str]:
    return sorted(path.name for path in state.glob("history.db.broken-*") if not path.name.endswith(("-wal", "-shm")))


def deleted(file: Path) -> None:
    file.unlink()


def deleted_with_its_journal(file: Path) -> None:
    for path in file.parent.glob("history.db*"):
        path.unlink()


def replaced_by_text(file: Path) -> None:
    file.unlink()
    file.write_bytes(b"nothing that one knows\n" * 1000)


def replaced_by_another_database(file: Path) -> None:
    file.unlink()
    with closing(sqlite3.connect(file)) as other:
        other.execute("CREATE TABLE photos (name)")


def cut_short(file: Path) -> None:
    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size // 2)


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def a_directory(file: Path) -> None:
    file.unlink()
    (file / "inside").mkdir(parents=True)


def scribbled_over(file: Path) -> None:
    with file.open("r+b") as stream:
        stream.seek(4096)
        stream.write(b"\xff" * (file.stat().st_size - 4096))


LOSSES = [
    deleted,
    deleted_with_its_journal,
    replaced_by_text,
    replaced_by_another_database,
    cut_short,
    emptied,
    a_directory,
    scribbled_over,
]
Loss = Callable[[Path], None]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
def test_a_history_that_was_lost_between_two_runs_is_begun_anew(state: Path, opened: Opens, loss: Loss) -> None:
    fill(opened())
    opened().close()
    loss(state / "history.db")

    history = opened()

    assert history.trouble is None
    assert history.open_drifts() == ()
    assert bool(aside(state)) == (loss not in (deleted, deleted_with_its_journal, emptied))
    assert bool(history.notes()) == bool(aside(state))
    history.save_report(AFTER)
    assert history.flush()
    assert runs(state) == [AFTER.run]


@pytest.mark.parametrize("loss", [one for one in LOSSES if one is not scribbled_over], ids=lambda loss: loss.__name__)
def test_a_history_that_is_lost_while_it_is_written_is_begun_anew_with_what_is_open(
    state: Path, opened: Opens, loss: Loss
) -> None:
    """What was scribbled over is found by the next look through the file: SQLite still has the pages in its memory."""
    history = opened()
    fill(history)
    loss(state / "history.db")

    history.save_report(AFTER)

    assert history.flush()
    assert history.notes()
    assert AFTER.run in runs(state)
    assert [one.id for one in Reader(state).drifts()] == ["d1"]
    history = opened()
    assert history.notes() == ()
    assert [one.id for one in history.open_incidents()] == ["i1"]
    assert history.marks() == {"key": "value"}


def test_a_table_that_is_missing_leads_to_a_new_history(state: Path, opened: Opens) -> None:
    history = opened()
    fill(history)
    with closing(sqlite3.connect(state / "history.db")) as other:
        other.execute("DROP TABLE steps")
    history.save_report(AFTER)
    assert history.flush()
    assert runs(state) == [AFTER.run]
    assert len(aside(state)) == 1


def test_a_broken_history_that_is_gone_by_the_time_it_is_set_aside_is_simply_begun_anew(state: Path) -> None:
    book = Book(state, time.monotonic)
    book.open(NOON)
    book.write([Item(("report", BEFORE.run), BEFORE)])
    with closing(sqlite3.connect(state / "history.db")) as other:
        other.execute("DROP TABLE steps")
    with pytest.raises(OperationalError):
        book.write([Item(("report", AFTER.run), AFTER)])
    deleted(state / "history.db")
    book.write([Item(("report", AFTER.run), AFTER)])
    book.close()
    assert runs(state) == [AFTER.run]


def test_at_most_three_broken_histories_are_kept(state: Path, opened: Opens) -> None:
    for _ in range(6):
        fill(opened())
        opened().close()
        (state / "history.db").write_bytes(b"x" * 200)
    assert opened().trouble is None
    assert len(aside(state)) == 3


def test_a_journal_that_outlived_its_file_is_not_played_into_the_new_one(state: Path, opened: Opens) -> None:
    fill(opened())
    journal = (state / "history.db-wal").read_bytes()
    assert journal
    opened().close()
    (state / "history.db").unlink()
    (state / "history.db-wal").write_bytes(journal)
    assert opened().open_drifts() == ()
    assert runs(state) == []


def answers(ask: Callable[[], object]) -> bool:
    """Whether it does, or says that the file is to blame. Anything else is a fault."""
    with contextlib.suppress(HistoryError):
        ask()
        return True
    return False


@given(flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), min_size=1, max_size=20))
@settings(max_examples=25)
def test_flipped_bits_never_stop_a_reader_or_a_writer(flips: list[tuple[float, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        with closing(sqlite3.connect(state / "history.db")) as old:
            old.executescript((RECORDED / "version-1.sql").read_text())
        raw = bytearray((state / "history.db").read_bytes())
        for place, bit in flips:
            raw[int(place * len(raw))] ^= 1 << bit
        (state / "history.db").write_bytes(raw)

        reader = Reader(state)
        for question in (reader.cycles, reader.drifts, reader.incidents, reader.deployments, reader.view, reader.known):
            answers(question)
        found: list[History] = []
        if answers(lambda: found.append(History.open(state, now=NOON, pause=0.01))):
            history = found[0]
            for ask in (history.open_drifts, history.open_incidents, history.marks, history.deliveries):
                answers(ask)
            history.save_report(AFTER)
            assert history.flush()
            history.close()
            assert AFTER.run in runs(state)


def test_a_history_of_a_newer_version_is_refused_and_not_touched(state: Path, opened: Opens) -> None:
    fill(opened())
    opened().close()
    file = state / "history.db"
    with closing(sqlite3.connect(file)) as other:
        other.execute(f"PRAGMA user_version={FIRST + len(MIGRATIONS) + 1}")
    before = file.read_bytes()
    with pytest.raises(HistoryError, match="newer reconciler") as caught:
        opened()
    assert "move the file away" in caught.value.hint
    with pytest.raises(HistoryError, match="newer reconciler"):
        Reader(state).cycles()
    assert file.read_bytes() == before
    assert sorted(path.name for path in state.iterdir()) == ["history.db", "history.lock"]


def test_a_history_of_version_1_is_read_and_written(state: Path, opened: Opens) -> None:
    """tests/recorded/history/version-1.sql is a history as it was first released; it never changes."""
    state.mkdir()
    with closing(sqlite3.connect(state / "history.db")) as old:
        old.executescript((RECORDED / "version-1.sql").read_text())
    history = opened()
    assert history.notes() == ()
    assert [one.id for one in history.open_drifts()] == ["d1"]
    assert history.marks() == {"key": "value"}
    history.save_report(AFTER)
    assert history.flush()
    assert runs(state) == [AFTER.run, BEFORE.run]
    cycle = Reader(state).cycle(BEFORE.run)
    assert cycle is not None
    assert [(one.ref, one.fate) for one in cycle.actions] == [(MOTD, "done")]


def test_an_older_history_is_brought_up_step_by_step_or_left_as_it_was(state: Path, opened: Opens) -> None:
    fill(opened())
    opened().close()
    added = ("ALTER TABLE marks ADD COLUMN note TEXT",)
    broken = ("ALTER TABLE marks ADD COLUMN second TEXT", "ALTER TABLE nothing ADD COLUMN third TEXT")

    database = open_for_writing(state, NOON, (*MIGRATIONS, added))
    columns = [row.name for row in database.connection.execute(text("PRAGMA table_info(marks)"))]
    assert columns == ["key", "value", "note"]
    assert database.connection.execute(text("SELECT value FROM marks")).scalar() == "value"
    database.close()

    # A step that fails takes everything back; the file counts as broken, and is kept.
    database = open_for_writing(state, NOON, (*MIGRATIONS, added, broken))
    assert "begun anew" in database.note
    database.close()
    with closing(sqlite3.connect(state / aside(state)[0])) as kept:
        assert [row[1] for row in kept.execute("PRAGMA table_info(marks)")] == ["key", "value", "note"]
        assert kept.execute("PRAGMA user_version").fetchone() == (FIRST + len(MIGRATIONS) + 1,)


def test_a_second_writer_is_told_who_is_in_the_way(state: Path, history: History) -> None:
    with pytest.raises(HistoryError, match="another process writes the history"):
        History.open(state, now=NOON)
    history.save_report(AFTER)
    assert history.flush()


def test_the_folder_and_the_file_are_for_their_owner_alone(state: Path, history: History) -> None:
    fill(history)
    assert state.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.stat().st_mode & 0o777 for path in state.iterdir()} == dict.fromkeys(
        ("history.db", "history.db-wal", "history.db-shm", "history.lock"), 0o600
    )


def test_a_file_that_others_could_read_is_closed_to_them(state: Path, opened: Opens) -> None:
    opened().close()
    (state / "history.db").chmod(0o644)
    opened()
    assert (state / "history.db").stat().st_mode & 0o777 == 0o600


CHILD = """
import os, resource, sys, time
from pathlib import Path
from reconciler.history.store import History
from reconciler.history.waiting import Item
from tests.unit.history.happened import *

state, wish = Path(sys.argv[1]), sys.argv[2]
if wish == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
elif os.geteuid() == 0:
    os.chown(state, 65534, 65534)
    os.setuid(65534)
if wish == "read-only":
    state.chmod(0o500)
history = History.open(state, now=NOON, pause=0.05)
for number in range(1, 200):
    began = time.monotonic()
    history.save_report(applied(action(diff=("x" * 300,) * 50), number=number, at=NOON + number))
    assert time.monotonic() - began < 0.5
history.flush(1)
print("trouble:", history.trouble, flush=True)
if wish == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
else:
    state.chmod(0o700)
print("flushed:", history.flush(10), history.trouble, history.dropped, flush=True)
history.close()
"""


@pytest.mark.parametrize("wish", [("full", "20000"), ("full", "500000"), ("read-only",)], ids=" ".join)
def test_a_full_or_read_only_disk_is_told_and_survived(wish: tuple[str, ...], request: pytest.FixtureRequest) -> None:
    folder = Path(tempfile.mkdtemp())  # one that others may enter: the folders of pytest are root's alone
    request.addfinalizer(partial(shutil.rmtree, folder))
    folder.chmod(0o755)
    state = folder / "state"
    state.mkdir()
    child = [sys.executable, "-c", CHILD, str(state), *wish]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(child, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first != "trouble: None"
    assert second == "flushed: True None 0"
    if os.geteuid() == 0:
        os.chown(state, 0, 0)
    assert len(Reader(state).cycles(limit=500)) == 199


KILLED = """
import sys, time
from pathlib import Path
from reconciler.history.store import History
from reconciler.history.waiting import Item
from tests.unit.history.happened import *

history = History.open(Path(sys.argv[1]), now=NOON)
for number in range(1, 100_000):
    history.save_report(applied(action(diff=("x" * 100,) * 20), number=number, at=NOON + number))
    history.save_drift(drift(f"d{number % 7}", last=NOON + number))
    if number % 50 == 0:
        history.prune(NOON + number, 40.0)
    print(number, time.time(), flush=True)
    time.sleep(0.002)
"""


@pytest.mark.parametrize("after", [0.35, 1.6])
def test_kill_9_loses_nothing_that_was_handed_over_a_second_before(state: Path, opened: Opens, after: float) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen([sys.executable, "-c", KILLED, str(state)], env=environment, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    lines = [child.stdout.readline()]
    time.sleep(after)
    killed = time.time()
    child.send_signal(signal.SIGKILL)
    lines += child.stdout.read().splitlines()
    child.wait()
    child.stdout.close()
    told = [line.split() for line in lines if line.count(".") == 1]
    early = [int(number) for number, at in told if float(at) < killed - 1]

    history = opened()

    assert history.notes() == ()
    assert history.trouble is None
    kept = {int(run, 16) for run in runs_all(state)}
    assert max(early, default=0) <= max(kept, default=0)
    assert kept == set(range(min(kept), max(kept) + 1)) if kept else True


def runs_all(state: Path) -> list[str]:
    return [cycle.run for cycle in Reader(state).cycles(limit=100_000)]
