"""The loop and time: clocks that jump, something on the host that works against us, and one pass for cron."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.fleet import Fleet
from tests.lab.hosts import SCRIPT, LabHost
from tests.lab.loop.controller import QUICK, Controller
from tests.lab.trial import Trial

HOUR = 3600


@pytest.fixture(scope="session")
def faketime() -> str:
    """The library that lets a process believe in another time."""
    return subprocess.run([SCRIPT, "clock"], check=True, capture_output=True, text=True).stdout.strip()


def asked(content: str, count: int = 3) -> dict[str, object]:
    return {"files": {f"/srv/file{number}": {"content": f"{content}\n"} for number in range(count)}}


def has(content: str) -> str:
    return f"test \"$(cat /srv/file* | sort -u)\" = '{content}'"


def test_a_clock_that_jumps_by_hours_stops_nothing(
    fleet: Fleet, host: LabHost, controller: Controller, faketime: str, tmp_path: Path
) -> None:
    trial = Trial(fleet, host, settings=QUICK)
    clock = tmp_path / "clock"
    clock.write_text("+0\n")
    trial.declare(asked("first"))
    controller.start(
        env={
            "LD_PRELOAD": faketime,
            "FAKETIME_TIMESTAMP_FILE": str(clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
    )
    host.wait(has("first"))
    for number, hours in enumerate((-2, 6, 0)):
        clock.write_text(f"{hours * HOUR:+d}\n")
        controller.wait(lambda hours=hours: abs(controller.status()["turned"] - time.time() - hours * HOUR) < 60)  # type: ignore[misc]
        trial.declare(asked(f"hours {hours}"))
        host.wait(has(f"hours {hours}"), 15)
        host.sh(f"echo by hand >/srv/file{number}")
        host.wait(has(f"hours {hours}"), 15)
        assert controller.get("/healthz")[0] == 200
    controller.at_rest(host.name)
    assert controller.terminate() == 0, controller.tail


OPPONENT = """
while :; do
  if grep -q asked /srv/file; then echo against it >/srv/file; echo >>/srv/rounds; fi
  sleep 1
done
"""


def test_what_drifts_again_and_again_is_not_fought_in_a_tight_loop(fleet: Fleet, host: LabHost, controller: Controller) -> None:
    trial = Trial(fleet, host, settings=QUICK)
    trial.declare({"files": {"/srv/file": {"content": "asked\n"}, "/srv/other": {"content": "asked\n"}}})
    controller.start()
    host.wait("test -e /srv/file")
    controller.at_rest(host.name)
    host.sh(f"setsid sh -c '{OPPONENT}' >/dev/null 2>&1 </dev/null &")
    controller.wait(lambda: "flapping" in " ".join(controller.seen(host.name).get("reasons", ())), 40)
    rounds = int(host.sh("wc -l </srv/rounds"))
    assert rounds <= 5, "it was fought over"
    host.sh("echo by hand >/srv/other")
    host.wait("grep -q asked /srv/other", 15)
    time.sleep(5)
    assert int(host.sh("wc -l </srv/rounds")) == rounds
    # A person who has found out why, and asks for something else, need not wait.
    host.sh("pkill -f 'against it'")
    trial.declare({"files": {"/srv/file": {"content": "something else\n"}}})
    host.wait("grep -q else /srv/file", 15)


def test_one_pass_for_cron_ends_with_what_came_of_it(fleet: Fleet, host: LabHost, tmp_path: Path) -> None:
    trial = Trial(fleet, host)
    trial.declare(asked("first"))
    once = ("run", "--once", "--state", str(tmp_path / "state"), "--no-listen")
    assert fleet.run(*once).code == 0
    assert host.has(has("first"))
    host.sh("echo by hand >/srv/file1")
    assert fleet.run(*once).code == 0
    assert host.has(has("first"))
    trial.declare({**asked("first"), "commands": {"no": {"run": "false", "unless": "false"}}})
    failed = fleet.run(*once)
    assert failed.code == 3, failed
    host.sh("iptables -I INPUT -p tcp --dport 22 -j REJECT --reject-with tcp-reset")
    unreachable = fleet.run(*once)
    assert unreachable.code == 4, unreachable
