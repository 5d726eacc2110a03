"""Whatever is killed, wherever and whenever: nothing is half-written, and the next run brings the host to what is asked.

This machine is the host, so that every moment can be tried. What else befalls real hosts is in `tests/lab/test_faults.py`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from tests.fleet import Fleet, reconcile_command
from tests.unit.cli.console import host_file
from tests.unit.reconciler.town import AS_ASKED, Town, Victim, killed

LAST = 400
"""More changes than an apply in here makes."""
STRIDE = 10
TURNS = range(1, 1 + STRIDE) if os.environ.get("RECONCILER_EVERY_MOMENT") == "1" else (1, 6)
"""A turn tries every tenth moment. Two turns tell the most of it; all ten take minutes and are for who changes `apply.sh`."""


@pytest.fixture(scope="module")
def strace() -> None:
    """Tells the moments. From Debian's packages, where that can be had."""
    if shutil.which("strace") is None and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(
            ["apt-get", "-qq", "install", "--no-install-recommends", "strace"], check=True, stdout=subprocess.DEVNULL
        )
    if shutil.which("strace") is None:
        pytest.skip("no strace on this machine; once: apt-get install strace")


@pytest_asyncio.fixture
async def town(tmp_path: Path, strace: None) -> AsyncIterator[Town]:
    yield await Town.build(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["everything", "the shell"])
@pytest.mark.parametrize("first", TURNS)
async def test_a_run_that_is_killed_leaves_nothing_torn_and_the_next_one_finishes_it(
    town: Town, victim: Victim, first: int
) -> None:
    assert (await town.box.apply()).status == "converged"
    as_without_a_crash = town.record()
    tried = 0
    for at in range(first, LAST, STRIDE):
        town.turn_back()
        with killed(await town.script(), at, victim) as struck:
            if not struck:
                break
            assert not town.torn(), f"killed at change {at}"
            town.record()
            outcome = await town.box.apply()
        assert outcome.status == "converged", f"killed at change {at}: {outcome}"
        assert (await town.box.plan()).empty, f"killed at change {at}"
        assert town.things() == AS_ASKED, f"killed at change {at}"
        assert town.record() == as_without_a_crash, f"killed at change {at}"
        assert (town.folder / "told").read_text().endswith("new\n"), f"killed at change {at}: the refresh was lost"
        tried += 1
    assert tried * STRIDE > 60, "the run was over before it had begun"


SLOW = """\
files:
  @/first: {content: "new\\n"}
  @/last: {content: "new\\n", needs: ["command:slow"]}
commands:
  slow: {run: "echo begun >>@/log; sleep 1; echo ended >>@/log", creates: @/log, needs: ["file:@/first"]}
  tell: {run: "cat @/first >>@/told", unless: "true", follows: ["file:@/first"], needs: ["file:@/last"]}
"""


@pytest.fixture
def sandbox(fleet: Fleet, tmp_path: Path) -> Path:
    """A folder that stands for a host, with a fleet that asks for something slow on it."""
    sandbox = tmp_path / "host"
    sandbox.mkdir()
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, SLOW)})
    return sandbox


def start(fleet: Fleet) -> subprocess.Popen[str]:
    command = [reconcile_command(), "-C", str(fleet.root), "apply", "--yes"]
    return subprocess.Popen(command, cwd=fleet.home, env=fleet.environment, stderr=subprocess.PIPE, text=True)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


def assert_it_goes_on(fleet: Fleet, sandbox: Path) -> None:
    """The next run does the rest, tells the follower, and leaves nothing to do and nothing lying about."""
    again = fleet.apply()
    assert again.code == 0, again
    assert fleet.plan().code == 0
    assert (sandbox / "told").read_text() == "new\n"
    assert {path.name for path in (sandbox / "inventory").iterdir()} == {"inventory", "lock"}
    assert {path.name for path in sandbox.iterdir()} == {"inventory", "first", "last", "log", "told"}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_controller_that_is_stopped_lets_the_host_finish_the_step_it_is_at_and_no_other(
    fleet: Fleet, sandbox: Path, number: int, code: int
) -> None:
    with start(fleet) as apply:
        wait_until((sandbox / "log").exists)
        apply.send_signal(number)
        told = apply.communicate()[1]
    assert apply.returncode == code, told
    if number != signal.SIGKILL:
        assert "nas: stopped with 1 of 4 steps done" in told
    wait_until(lambda: not (sandbox / "inventory" / "stage").exists())
    assert (sandbox / "log").read_text() == "begun\nended\n"
    assert not (sandbox / "last").exists()
    assert_it_goes_on(fleet, sandbox)
    assert (sandbox / "log").read_text() == "begun\nended\n", "what was done was done again"


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_controller_that_is_killed_as_soon_as_it_tells_of_a_step_loses_nothing(
    fleet: Fleet, sandbox: Path, steps: int
) -> None:
    with start(fleet) as apply:
        assert apply.stderr is not None
        for _ in range(steps):
            apply.stderr.readline()
        apply.kill()
    wait_until(lambda: not (sandbox / "inventory" / "stage").exists())
    assert_it_goes_on(fleet, sandbox)
