"""What a person at a terminal sees: the question, live progress, colours, Ctrl-C."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fleet import Fleet
from tests.unit.cli.console import Console, host_file
from tests.unit.cli.terminal import ROOT, START, terminal

MOTD = 'files:\n  @/motd: {content: "welcome\\n"}\n'
SLOW = "commands:\n" + "".join(
    f"  step {number}:\n    run: sleep {seconds}; echo >> @/{number}\n    creates: '@/{number}'\n    needs: {needs}\n"
    for number, seconds, needs in ((1, 0, "[]"), (2, 2, "['command:step 1']"), (3, 0, "['command:step 2']"))
)


def test_it_asks_and_applies_on_yes(fleet: Fleet, sandbox: Path) -> None:
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, MOTD)})
    with terminal(fleet, "apply") as person:
        person.until("Apply this change to nas? [y/N] ")
        assert not (sandbox / "motd").exists()
        person.type("y\n")
        assert person.end() == 0, person.text
    assert "1 of 1 host converged." in person.text
    assert (sandbox / "motd").exists()


@pytest.mark.parametrize("answer", ["n\n", "\n", "yikes\n", "\x04"])
def test_anything_but_yes_changes_nothing(answer: str, fleet: Fleet, sandbox: Path) -> None:
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, MOTD)})
    with terminal(fleet, "apply") as person:
        person.until("[y/N] ")
        person.type(answer)
        assert person.end() == 5, person.text
    assert "not applied: nobody said yes; nothing was changed" in person.text
    assert not (sandbox / "motd").exists()


def test_ctrl_c_at_the_question_leaves_at_once(fleet: Fleet, sandbox: Path) -> None:
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, MOTD)})
    with terminal(fleet, "apply") as person:
        person.until("[y/N] ")
        person.type("\x03")
        assert person.end() == 130, person.text
    assert "stopped" in person.text
    assert "Traceback" not in person.text


def test_the_step_at_work_is_shown_while_it_runs(fleet: Fleet, sandbox: Path) -> None:
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, SLOW)})
    with terminal(fleet, "apply", "--yes") as person:
        person.until("nas 2/3 run step 2")
        assert person.end() == 0, person.text
    assert "\x1b[32mconverged\x1b[0m" in person.raw


def test_ctrl_c_stops_after_the_current_step_and_the_next_run_goes_on(fleet: Fleet, console: Console, sandbox: Path) -> None:
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, SLOW)})
    with terminal(fleet, "apply", "--yes") as person:
        person.until("nas 2/3 run step 2")
        person.type("\x03")
        assert person.end() == 130, person.text
    assert "stopping after the current step" in person.text
    assert "nas: stopped with 1 of 3 steps done" in person.text
    assert "The next run looks at the hosts again and goes on from there." in person.text
    end = time.monotonic() + 20
    while not (sandbox / "2").exists() and time.monotonic() < end:
        time.sleep(0.1)
    assert (sandbox / "2").exists()
    assert console("apply", "--yes").code == 0
    assert [(sandbox / str(number)).read_text() for number in (1, 2, 3)] == ["\n"] * 3


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colour_where_none_is_wanted(environment: dict[str, str], fleet: Fleet, sandbox: Path) -> None:
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, MOTD)})
    with terminal(fleet, "plan", **environment) as person:
        assert person.end() == 0
    assert "\x1b[3" not in person.raw
    assert f"+ file:{sandbox}/motd" in person.text.replace("\n      ", "")


def test_a_plan_fits_into_the_terminal(fleet: Fleet, sandbox: Path) -> None:
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, MOTD)})
    with terminal(fleet, "plan") as person:
        assert person.end() == 0
    assert all(len(row) <= 80 for row in person.text.split("\n") if str(sandbox) not in row)


def test_a_reader_that_leaves_early_is_no_error(fleet: Fleet, sandbox: Path) -> None:
    files = "files:\n" + "".join(f'  @/{number}: {{content: "x"}}\n' for number in range(800))
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, files)})
    program = subprocess.Popen(
        [sys.executable, "-c", START, str(ROOT), "-C", str(fleet.root), "plan"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=fleet.environment,
    )
    assert program.stdout is not None
    assert program.stderr is not None
    program.stdout.read(100)
    program.stdout.close()
    assert program.stderr.read() == b""
    program.stderr.close()
    assert program.wait() == 141


def test_a_reader_of_the_progress_that_leaves_does_not_stop_the_work(fleet: Fleet, sandbox: Path) -> None:
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, SLOW)})
    program = subprocess.Popen(
        [sys.executable, "-c", START, str(ROOT), "-C", str(fleet.root), "apply", "--yes"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=fleet.environment,
    )
    assert program.stderr is not None
    program.stderr.read(5)
    program.stderr.close()
    assert program.wait() == 0
    assert (sandbox / "3").exists()


def test_sigterm_stops_in_the_same_way(fleet: Fleet, sandbox: Path) -> None:
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, SLOW)})
    with terminal(fleet, "apply", "--yes") as person:
        person.until("nas 2/3 run step 2")
        person.process.terminate()
        assert person.end() == 143, person.text
    assert "nas: stopped with 1 of 3 steps done" in person.text
