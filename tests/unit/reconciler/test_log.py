"""The log: one record is one line, nothing secret is in it, and nothing that happens to it stops who writes."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.secret import Secret
from reconciler import log
from reconciler.log import Format, Level

Begin = Callable[..., "Written"]
TEXT = st.text(st.characters(categories=None), max_size=60)


def is_harmless(text: str) -> bool:
    return not {unicodedata.category(character) for character in text} & {"Cc", "Cf", "Cs", "Zl", "Zp"}


class Written:
    """What stands in the log by now."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def text(self) -> str:
        return self.path.read_text()

    @property
    def lines(self) -> list[str]:
        return self.text.split("\n")[:-1]

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Begin]:
    monkeypatch.setattr(logging.getLogger("apprise"), "propagate", True)  # whatever another test has sent before

    def started(form: Format = "json", level: Level = "info") -> Written:
        path = tmp_path / "log"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        log.set_up(form, level, descriptor=descriptor)
        os.close(descriptor)
        return Written(path)

    yield started
    log.close()


def test_a_record_for_programs_has_its_fixed_keys_and_a_time_with_a_zone(begin: Begin) -> None:
    written = begin("json")
    with log.about(run="0123456789ab", host="nas"):
        log.info("asked", resources=3)
    (record,) = written.records
    assert list(record) == ["time", "level", "message", "run", "host", "resources"]
    assert datetime.fromisoformat(record["time"]).tzinfo is not None
    assert record | {"time": ""} == {
        "time": "", "level": "info", "message": "asked", "run": "0123456789ab", "host": "nas", "resources": 3,
    }  # fmt: skip


def test_a_record_for_people_says_when_how_grave_and_where(begin: Begin) -> None:
    written = begin("text")
    with log.about(run="0123456789ab", host="nas"):
        log.warning("no answer", tries=2)
    log.info("git was read")
    first, second = written.lines
    assert first[25:] == " warning [0123456789ab nas] no answer tries=2"
    assert second[25:] == " info    git was read"
    assert datetime.fromisoformat(first[:25]).tzinfo is not None


def test_each_task_has_the_run_and_host_that_it_began_with(begin: Begin) -> None:
    written = begin("json")

    async def visit(host: str) -> None:
        with log.about(run=f"run of {host}", host=host):
            await asyncio.sleep(0)
            log.info("visited")

    async def both() -> None:
        await asyncio.gather(visit("nas"), visit("web1"))
        log.info("all")

    asyncio.run(both())
    assert [(one["run"], one["host"]) for one in written.records] == [("run of nas", "nas"), ("run of web1", "web1"), ("", "")]


def test_what_is_less_grave_than_asked_for_is_left_out(begin: Begin) -> None:
    written = begin("json", "warning")
    log.debug("a")
    log.info("b")
    log.warning("c")
    log.error("d")
    assert [one["message"] for one in written.records] == ["c", "d"]


def test_when_it_is_closed_others_log_as_before(begin: Begin) -> None:
    before = logging.root.handlers[:]
    begin("json")
    assert logging.root.handlers != before
    log.close()
    assert logging.root.handlers == before
    assert threading.excepthook is threading.__excepthook__


def test_before_it_is_set_up_nothing_is_written_and_nothing_fails(capfd: pytest.CaptureFixture[str]) -> None:
    log.close()
    log.error("nobody hears this")
    assert log.lost() == 0
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("form", ["text", "json"])
@given(message=TEXT, host=TEXT, value=TEXT)
def test_whatever_a_host_says_one_record_is_one_harmless_line(
    tmp_path_factory: pytest.TempPathFactory, form: Format, message: str, host: str, value: str
) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    log.set_up(form, descriptor=descriptor)
    try:
        with log.about(host=host):
            log.info(message, value=value)
    finally:
        log.close()
        os.close(descriptor)
    text = path.read_text()
    assert text.endswith("\n")
    assert is_harmless(text[:-1])
    if form == "json":
        assert is_harmless(json.loads(text)["message"])


@pytest.mark.parametrize("text", ["{}", "{0}", "{message}", "{", "%s %d", "<red>{record[extra]}</red>"])
def test_a_text_is_never_taken_for_a_format(begin: Begin, text: str) -> None:
    written = begin("json")
    log.info(text, value=text)
    assert written.records[0]["message"] == written.records[0]["value"] == text


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_secret_is_hidden_wherever_it_stands(begin: Begin, form: Format) -> None:
    written = begin(form)
    secret = Secret(b"correct-horse\nbattery-staple", "v1")
    with log.about(run="correct-horse", host="battery-staple"):
        log.info(f"the host said {secret.text()}", output="correct-horse")
        try:
            raise ValueError(secret.text())
        except ValueError as error:
            log.fault("a fault", error)
        logging.getLogger("asyncssh").warning("sent %s", secret.text())
    assert len(written.lines) == 3
    assert "horse" not in written.text
    assert "staple" not in written.text


def test_a_fault_is_found_by_its_id_and_tells_where_but_no_values(begin: Begin) -> None:
    written = begin("json")

    def log_in(password: str) -> None:
        raise RuntimeError("no") from KeyError("door")

    name = ""
    try:
        log_in("swordfish")
    except RuntimeError as error:
        name = log.fault("could not log in", error)
    (record,) = written.records
    assert record["fault"] == name
    assert len(name) == 8
    assert record["error"].startswith("RuntimeError: no; after KeyError: 'door' (unit/reconciler/test_log.py:")
    assert "in log_in < " in record["error"]
    assert "swordfish" not in written.text


def test_libraries_are_heard_from_a_warning_on_without_addresses_and_scripts(begin: Begin) -> None:
    written = begin("json")
    for name in log.LIBRARIES:
        logging.getLogger(name).info("a script")
        logging.getLogger(f"{name}.inner").debug("a script")
    logging.getLogger("apprise").warning("cannot send to matrix://bot:pw@chat/!room?x=1 now\nset -eu; cat /etc/shadow")
    logging.getLogger("sqlalchemy.engine").error("broken %s", "apart")
    logging.getLogger("asyncio").handle(logging.LogRecord("asyncio", logging.WARNING, "", 1, "too few for %s %s", (1,), None))
    messages = [(one["source"], one["level"], one["message"]) for one in written.records]
    assert messages == [
        ("apprise", "warning", "cannot send to matrix://… now"),
        ("sqlalchemy.engine", "error", "broken apart"),
        ("asyncio", "warning", "too few for %s %s"),
    ]


def test_what_a_library_raised_is_named_and_not_repeated(begin: Begin) -> None:
    written = begin("json")
    try:
        raise OSError("tgram://token@chat refused")
    except OSError:
        logging.getLogger("apprise").exception("not sent")
    (record,) = written.records
    assert record["kind"] == "OSError"
    assert "token" not in written.text


def test_a_thread_that_ends_in_an_error_says_so_in_the_log(begin: Begin) -> None:
    written = begin("json")
    thread = threading.Thread(target=lambda: 1 // 0, name="history")
    thread.start()
    thread.join()
    (record,) = written.records
    assert record["message"] == "thread history ended"
    assert record["error"].startswith("ZeroDivisionError")


def test_a_very_long_message_is_cut_short(begin: Begin) -> None:
    written = begin("json")
    log.info("x" * 1_000_000)
    assert len(written.text) < 10_000


def test_a_full_disk_costs_lines_and_nothing_else() -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    log.set_up(descriptor=descriptor)
    try:
        for _ in range(3):
            log.info("no room")
        assert log.lost() == 3
    finally:
        log.close()
        os.close(descriptor)


def test_a_log_that_nobody_reads_any_more_costs_lines_and_nothing_else() -> None:
    reader, writer = os.pipe()
    log.set_up(descriptor=writer)
    os.close(writer)
    os.close(reader)
    try:
        log.info("to nobody")
        assert log.lost() == 1
    finally:
        log.close()


def test_a_reader_that_has_stopped_holds_nobody_up_and_gets_what_waited() -> None:
    reader, writer = os.pipe()
    log.set_up("json", descriptor=writer)
    os.close(writer)
    started = time.monotonic()
    for number in range(3_000):
        log.info("x" * 500, number=number)
    assert time.monotonic() - started < 10
    assert 0 < log.lost() < 3_000, "what does not fit any more is counted"
    received = b""
    drained = threading.Thread(target=log.close)
    drained.start()
    while piece := os.read(reader, 1 << 16):
        received += piece
    drained.join()
    os.close(reader)
    numbers = [json.loads(line)["number"] for line in received.splitlines()]
    assert numbers == list(range(len(numbers))), "in their order, each whole"
    assert len(numbers) > 1_000


def test_after_the_disk_had_been_full_in_the_middle_of_a_line_the_next_line_begins_anew(tmp_path: Path) -> None:
    """A file that may only grow to a limit stands for a disk that is full and then is not."""
    program = """
import os, resource, signal, sys
from reconciler import log
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
log.set_up("json", descriptor=os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT))
log.info("a" * 600)
log.info("b" * 600)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
log.info("c")
log.close()
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "log")], check=True, cwd=Path(__file__).parents[3])
    first, torn, last = (tmp_path / "log").read_text().splitlines()
    assert json.loads(first)["message"] == "a" * 600
    assert torn.endswith("b")
    assert json.loads(last)["message"] == "c"


def test_a_process_without_standard_error_writes_into_no_other_file(tmp_path: Path) -> None:
    """The first file that such a process opens gets the number of standard error."""
    program = """
import os, sys
database = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
assert database == 2, database
from reconciler import log
log.set_up()
log.error("not into the database")
assert log.lost() == 1
"""
    path = tmp_path / "database"
    command = ["sh", "-c", 'exec "$0" -c "$1" "$2" 2>&-', sys.executable, program, str(path)]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[3])
    assert path.read_bytes() == b""


def test_the_journal_is_told_how_grave_a_line_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    at = os.fstat(descriptor)
    monkeypatch.setenv("JOURNAL_STREAM", f"{at.st_dev}:{at.st_ino}")
    log.set_up("text", descriptor=descriptor)
    log.warning("mind this")
    log.close()
    os.close(descriptor)
    assert path.read_text().startswith("<4>2")
