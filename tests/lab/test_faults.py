"""What befalls real hosts in the middle of an apply: cut connections, restarts, full disks, others who are at work.

Each time the same is asked: nothing is half-written, the program says what it knows, and the next run brings the host to what
the commit says. Every single moment at which a run can be killed is tried in `tests/unit/reconciler/test_faults.py`.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from desired.git import commit_source, open_repository
from desired.load import load
from reconciler.cycle import Session, converge
from reconciler.fleet_run import target_of
from state.connect import connect
from tests.fleet import Fleet, Result, reconcile_command
from tests.lab.debian import Deb, Repository
from tests.lab.hosts import LabHost, Pool
from tests.lab.hosts import connect as connect_operator
from tests.lab.trial import Manifest, Trial

INVENTORY = "/var/lib/reconciler"
RUN_ENDED = f"test ! -e {INVENTORY}/stage"
# The command takes a while, so that there is a middle; the last file waits for it, and the follower for the first file.
SLOW: Manifest = {
    "files": {"/srv/first": {"content": "new\n"}, "/srv/last": {"content": "new\n", "needs": ["command:slow"]}},
    "commands": {
        "slow": {"run": "touch /srv/begun; sleep 3; touch /srv/ended", "creates": "/srv/ended", "needs": ["file:/srv/first"]},
        "tell": {
            "run": "cat /srv/first >>/srv/told",
            "unless": "true",
            "follows": ["file:/srv/first"],
            "needs": ["file:/srv/last"],
        },
    },
}


def begin(fleet: Fleet) -> subprocess.Popen[str]:
    """An apply that goes on while the test does something else."""
    command = [reconcile_command(), "-C", str(fleet.root), "apply", "--yes"]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=fleet.home, env=fleet.environment, stdout=pipe, stderr=pipe, text=True)


def end_of(running: subprocess.Popen[str]) -> Result:
    out, err = running.communicate(timeout=120)
    return Result(("reconcile", "apply"), running.returncode, out, err)


def assert_it_goes_on(trial: Trial) -> None:
    """The next run does the rest, tells the follower, and leaves nothing to do and nothing lying about."""
    host = trial.host
    again = trial.fleet.apply()
    assert again.code == 0, again
    assert host.sh("cat /srv/told") == "new"
    assert host.sh(f"ls -A {INVENTORY}").split() == ["inventory", "lock"]
    assert host.sh("find / -xdev -name '.*reconciler-*'") == ""
    trial.settle()


def engine(*arguments: str) -> None:
    subprocess.run(["docker", *arguments], check=True, stdout=subprocess.DEVNULL)


def cut_the_session(host: LabHost) -> None:
    host.sh("pkill -KILL -f '^sshd(-session)?: root'")


def restart(host: LabHost) -> None:
    engine("restart", "--time", "0", host.container)


@pytest.mark.parametrize("accident", [cut_the_session, restart], ids=["the connection is cut", "the host restarts"])
def test_an_accident_in_the_middle_is_told_and_the_next_run_goes_on(
    fleet: Fleet, host: LabHost, accident: Callable[[LabHost], None]
) -> None:
    trial = Trial(fleet, host)
    trial.declare(SLOW)
    running = begin(fleet)
    host.wait("test -e /srv/begun")
    accident(host)
    told = end_of(running)
    assert told.code == 4, told
    assert "connection" in told.out, told
    assert not host.has("test -e /srv/last")
    host.wait("systemctl is-system-running --wait >/dev/null; test -S /run/systemd/private")
    host.wait(f"flock -n {INVENTORY}/lock true")
    assert host.has("test -e /srv/ended") == (accident is cut_the_session), "a step is finished though nobody reads any more"
    assert not host.has("test -e /srv/last"), "a step was begun though nobody reads any more"
    assert_it_goes_on(trial)


async def test_a_host_that_falls_silent_is_given_up_in_time_and_finishes_its_step_when_it_wakes(
    fleet: Fleet, host: LabHost, pool: Pool
) -> None:
    trial = Trial(fleet, host)
    trial.declare(SLOW)
    desired = load(commit_source(open_repository(fleet.root)))
    asked = desired.hosts[host.name]
    target = replace(target_of(asked), identity=str(pool.key))
    channel = await connect(target, known_hosts=desired.known_hosts, keepalive=1)
    session = Session(asked, channel)
    drafted = await session.survey()

    def fall_silent(_: object) -> None:
        engine("pause", host.container)

    try:
        outcome = await converge(session, drafted, desired.commit, fall_silent)
    finally:
        await asyncio.to_thread(engine, "unpause", host.container)
    await channel.close()
    assert outcome.status == "unreachable", outcome
    host.wait(f"flock -n {INVENTORY}/lock true")
    assert not host.has("test -e /srv/last")
    assert_it_goes_on(trial)


def test_a_full_disk_under_the_inventory_stops_everything_before_it_begins(fleet: Fleet, host: LabHost) -> None:
    trial = Trial(fleet, host)
    host.sh(
        f"mkdir -p {INVENTORY}; mount -t tmpfs -o size=64k none {INVENTORY}; cat /dev/zero >{INVENTORY}/fill 2>/dev/null; true"
    )
    trial.declare(SLOW)
    full = fleet.apply()
    assert full.code == 3, full
    assert "nothing was changed" in full.out, full
    assert host.sh("ls -A /srv") == ""
    host.sh(f"rm {INVENTORY}/fill")
    assert_it_goes_on(trial)


def test_a_disk_that_fills_up_in_the_middle_is_told_and_the_next_run_goes_on(fleet: Fleet, host: LabHost) -> None:
    trial = Trial(fleet, host)
    host.sh(f"mkdir -p {INVENTORY}; mount -t tmpfs -o size=128k none {INVENTORY}")
    fill = {"run": f"cat /dev/zero >{INVENTORY}/fill || true", "unless": "test -e /srv/calm"}
    files = {f"/srv/file{number}": {"content": "x" * 9000, "needs": ["command:fill"]} for number in range(3)}
    trial.declare({"files": files, "commands": {"fill": fill}})
    full = fleet.apply()
    assert full.code == 3, full
    assert "the disk that holds the inventory is full" in full.out, full
    assert host.sh("ls -A /srv") == ""
    host.sh(f"rm {INVENTORY}/fill; touch /srv/calm")
    again = fleet.apply()
    assert again.code == 0, again
    assert host.sh("stat -c %s /srv/file*") == "9000\n9000\n9000"
    trial.settle()


@pytest.mark.parametrize(
    ("accident", "repair", "words"),
    [
        ("cat /dev/zero >/srv/small/fill 2>/dev/null; true", "rm /srv/small/fill", "No space left on device"),
        ("mount -o remount,ro /srv/small", "mount -o remount,rw /srv/small", "Read-only file system"),
    ],
    ids=["full", "read-only"],
)
def test_a_disk_that_takes_nothing_leaves_the_old_file_whole_and_stops_no_other(
    fleet: Fleet, host: LabHost, accident: str, repair: str, words: str
) -> None:
    trial = Trial(fleet, host)
    host.sh("mkdir /srv/small && mount -t tmpfs -o size=256k none /srv/small")
    trial.declare({"files": {"/srv/small/f": {"content": "old\n" * 5000}}})
    trial.converge()
    host.sh(accident)
    files = {"/srv/small/f": {"content": "new\n" * 50000}, "/srv/other": {"content": "new\n"}}
    trial.declare({"files": files})
    failed = trial.fail()
    assert words in failed.said["file:/srv/small/f"], failed.result
    assert failed.fates["file:/srv/other"] == "done"
    assert host.sh("sort -u /srv/small/f; ls -A /srv/small | grep -v fill; cat /srv/other") == "old\nf\nnew"
    host.sh(repair)
    assert trial.converge().planned.signs == {"file:/srv/small/f": "change"}


def test_a_read_only_inventory_stops_everything_before_it_begins(fleet: Fleet, host: LabHost) -> None:
    trial = Trial(fleet, host)
    host.sh(f"mkdir -p {INVENTORY} && mount -t tmpfs -o ro none {INVENTORY}")
    trial.declare(SLOW)
    refused = fleet.apply()
    assert refused.code == 3, refused
    assert "the inventory's folder cannot be written; nothing was changed" in refused.out
    assert host.sh("ls -A /srv") == ""


def test_a_person_who_is_at_work_with_dpkg_is_waited_for(fleet: Fleet, host: LabHost) -> None:
    repository = Repository(host)
    repository.add([Deb("slow", "1.0", scripts={"postinst": "touch /run/installing; sleep 4"}), Deb("quick", "1.0")])
    repository.trust_by_hand()
    trial = Trial(fleet, host)
    trial.declare({"packages": {"apt": ["quick"]}})
    host.sh("setsid dpkg --install /srv/repository/slow_1.0_all.deb >/dev/null 2>&1 &")
    host.wait("test -e /run/installing")
    trial.converge()
    assert host.sh("dpkg-query -W -f '${db:Status-Abbrev}' slow quick; dpkg --audit") == "ii ii "


@pytest.mark.parametrize("start", ["together", "in the middle of the other"])
def test_of_two_controllers_with_different_commits_one_wins_and_the_other_says_so(
    fleet: Fleet, host: LabHost, pool: Pool, tmp_path: Path, start: str
) -> None:
    other = Fleet.create(tmp_path / "other")
    connect_operator(other, pool)
    for letter, controller in (("a", fleet), ("b", other)):
        files = {f"/srv/{number}": {"content": f"{letter}\n", "needs": ["command:slow"]} for number in range(5)}
        slow = {"run": f"touch /srv/begun; sleep 2; touch /srv/{letter}", "creates": f"/srv/{letter}"}
        Trial(controller, host).declare({"files": files, "commands": {"slow": slow}})

    first = begin(fleet)
    if start != "together":
        host.wait("test -e /srv/begun")
    second = begin(other)
    results = {"a": end_of(first), "b": end_of(second)}

    contents = host.sh("cat /srv/[0-4] | sort -u").split()
    assert len(contents) == 1, f"the host is a mixture: {contents}"
    (winner,) = contents
    assert results[winner].code == 0, results[winner]
    loser = results["b" if winner == "a" else "a"]
    assert loser.code in (3, 6), loser
    assert "another run" in loser.out, loser
    # The one that lost makes a new plan, and its commit is the later one now.
    late = {"a": other, "b": fleet}[winner]
    assert late.apply().code == 0
    assert host.sh("cat /srv/[0-4] | sort -u") != winner
    assert late.plan().code == 0


CLOCK = """
apt-get -qq update && apt-get -qq install --no-install-recommends libfaketime >/dev/null 2>&1
dpkg -L libfaketime | grep 'libfaketime.so.1$' >/etc/ld.so.preload
"""
"""From here on every process of the host believes the time that /etc/faketimerc tells."""


def test_a_host_whose_clock_is_years_off_converges_and_a_clock_that_jumps_is_no_drift(fleet: Fleet, host: LabHost) -> None:
    trial = Trial(fleet, host)
    host.sh(CLOCK)
    wrong = {
        **SLOW,
        "users": {"deploy": {"shell": "/bin/sh"}},
        "cron": {"tidy": {"schedule": "17 3 * * *", "user": "deploy", "command": "true"}},
        "services": {"cron": {"running": True, "follows": ["file:/srv/first"]}},
    }
    host.sh("echo '+15y' >/etc/faketimerc")
    trial.declare(wrong)
    trial.converge()
    for time in ("-10y", "+0"):
        host.sh(f"echo {time} >/etc/faketimerc")
        trial.settle()
        files = {**wrong["files"], "/srv/first": {"content": f"at {time}\n"}}
        trial.declare({**wrong, "files": files})
        trial.converge()
    assert host.sh("cat /srv/told") == "new\nat -10y\nat +0"
