"""`reconcile suspend` and `resume`: one small commit each, and what is held back by it."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from reconciler.cli.suspending import end_of
from reconciler.errors import CommandError
from tests.fleet import Fleet
from tests.unit.cli.console import Console, host_file

MOTD = "files:\n  @/motd: {content: x}\n"
LATER = (datetime.now(UTC) + timedelta(days=40)).strftime("%Y-%m-%d")
PROJECT = "source: /nowhere/site.git\nrevision: main\ndeploy: {host: nas, path: /srv/site}   # the shop window\n"


def changed(fleet: Fleet) -> list[str]:
    """Lines that the last commit took out and put in."""
    diff = fleet.git("show", "--format=", "--unified=0", "HEAD").splitlines()
    return [one for one in diff if one[:1] in "+-" and not one.startswith(("+++", "---"))]


def subject(fleet: Fleet) -> str:
    return fleet.git("log", "-1", "--format=%B").strip()


def test_a_suspended_host_is_left_as_it_is_until_it_is_resumed(fleet: Fleet, console: Console, sandbox: Path) -> None:
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, MOTD)})
    done = console("suspend", "nas", "--reason", "moving house")
    assert done.code == 0, done
    assert changed(fleet) == ['+suspend: {reason: "moving house"}']
    assert subject(fleet) == "Suspend host nas\n\nmoving house"

    plan = console("plan")
    assert "held back, will not be done: the host is suspended: moving house" in plan.out
    assert "--now takes them in" in plan.err
    status = console("status")
    assert "1 held back" in status.out
    assert "held back: the host is suspended: moving house" in status.out
    (report,) = console.json("status")["hosts"]
    assert (report["state"], report["suspended"]) == ("held", "the host is suspended: moving house")
    refused = console("apply", "--yes")
    assert refused.code == 5, refused
    assert "all that would change is held back; nothing was changed: the host is suspended: moving house" in refused.err
    assert "--now" in refused.err
    assert not (sandbox / "motd").exists()

    assert console("resume", "nas").code == 0
    assert changed(fleet) == ['-suspend: {reason: "moving house"}']
    assert subject(fleet) == "Resume host nas\n\nIt was suspended: moving house"
    assert console("apply", "--yes").code == 0
    assert (sandbox / "motd").exists()


def test_now_does_it_all_the_same(fleet: Fleet, console: Console, sandbox: Path) -> None:
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, MOTD, "suspend: {reason: moving}\n")})
    assert "held back" not in console("plan", "--now").out
    assert console("apply", "--yes", "--now").code == 0
    assert (sandbox / "motd").exists()
    status = console("status")
    assert "converged, 1 resource" in status.out
    assert "    the host is suspended: moving\n" in status.out


def test_a_plan_that_was_saved_before_the_suspension_is_refused_with_the_reason(
    fleet: Fleet, console: Console, sandbox: Path, tmp_path: Path
) -> None:
    until = (datetime.now(UTC) + timedelta(days=1)).isoformat(timespec="seconds")
    head = f"suspend: {{until: '{until}', reason: moving}}\n"
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, MOTD, head)})
    saved = str(tmp_path / "plan.json")
    assert console("plan", "--now", "--out", saved).code == 0
    refused = console("apply", "--plan", saved, "--yes")
    assert refused.code == 5, refused
    assert "what the plan shows may not be done now; nothing was changed: the host is suspended until" in refused.err
    assert console("apply", "--plan", saved, "--yes", "--now").code == 0


def test_the_end_is_written_with_its_distance_from_utc(fleet: Fleet, console: Console, sandbox: Path) -> None:
    fleet.commit({"fleet.yaml": "timezone: Europe/Paris\n", "hosts/nas.yaml": host_file(sandbox, MOTD)})
    done = console("suspend", "nas", "--until", f"{LATER} 08:00")
    assert done.code == 0, done
    offset = datetime.fromisoformat(f"{LATER} 08:00").replace(tzinfo=ZoneInfo("Europe/Paris")).isoformat()
    assert changed(fleet) == [f'+suspend: {{until: "{offset}"}}']
    assert f"Suspend host nas until {datetime.fromisoformat(offset):%a %Y-%m-%d} 08:00 CE" in subject(fleet)
    assert f"the host is suspended until {datetime.fromisoformat(offset):%a %Y-%m-%d} 08:00 CE" in console("plan").out


def test_suspending_the_suspended_changes_what_is_given_and_nothing_else(fleet: Fleet, console: Console, sandbox: Path) -> None:
    head = "suspend:\n  reason: moving   # again\n# all the rest\n"
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, MOTD, head)})
    same = console("suspend", "nas")
    assert same.code == 0
    assert "says so already: there is nothing to commit" in same.out
    assert console("suspend", "nas", "--reason", "painting").code == 0
    assert changed(fleet) == ["-  reason: moving   # again", "+  reason: painting   # again"]
    assert console("suspend", "nas", "--until", f"{LATER}T08:00Z").code == 0
    assert changed(fleet) == [f'+  until: "{LATER}T08:00:00+00:00"']


def test_a_suspension_that_is_over_is_told_of_and_replaced(fleet: Fleet, console: Console, sandbox: Path) -> None:
    head = "suspend: {reason: moving, until: 2020-01-01}\n"
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, MOTD, head)})
    told = console("validate")
    assert told.code == 0
    assert "hosts/nas.yaml:3:34: warning: suspend: host nas is not suspended any more: until is over" in told.out + told.err
    assert "held back" not in console("plan").out
    assert console("suspend", "nas").code == 0
    assert changed(fleet) == ["-suspend: {reason: moving, until: 2020-01-01}", "+suspend: {}"]
    assert "the host is suspended" in console("plan").out


def test_a_host_among_others_in_one_file(fleet: Fleet, console: Console) -> None:
    text = "nas: {address: local, tags: [a, b]}\nweb:\n  # the web\n  address: local\n"
    fleet.commit({"hosts.yaml": text})
    assert console("suspend", "nas", "--reason", "a, b: {c}").code == 0
    assert changed(fleet)[1] == '+nas: {suspend: {reason: "a, b: {c}"}, address: local, tags: [a, b]}'
    assert console("suspend", "web").code == 0
    assert changed(fleet) == ["+  suspend: {}"]
    assert console("resume", "nas").code == 0
    assert console("resume", "web").code == 0
    assert (fleet.root / "hosts.yaml").read_text() == text


def test_a_project_is_suspended_in_its_own_file(fleet: Fleet, console: Console) -> None:
    fleet.commit({"hosts/nas.yaml": "address: local\n", "projects/site.yaml": PROJECT})
    done = console("suspend", "site", "--reason", "fair")
    assert done.code == 0, done
    assert "nothing is changed of it on nas" in done.out
    assert changed(fleet) == ["+suspend: {reason: fair}"]
    assert subject(fleet).startswith("Suspend project site\n")
    assert console("resume", "site").code == 0
    assert (fleet.root / "projects/site.yaml").read_text() == PROJECT


def test_where_a_host_and_a_project_bear_one_name_one_has_to_say_which(fleet: Fleet, console: Console) -> None:
    fleet.commit({"hosts/nas.yaml": "address: local\n", "projects/nas.yaml": PROJECT})
    refused = console("suspend", "nas")
    assert refused.code == 1
    assert "nas is a host and a project" in refused.err
    assert "host:nas or project:nas" in refused.err
    assert console("suspend", "project:nas").code == 0
    assert changed(fleet) == ["+suspend: {}"]
    assert subject(fleet) == "Suspend project nas"
    assert console("suspend", "host:nas").code == 0
    assert subject(fleet) == "Suspend host nas"


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("nass", 'there is no host or project "nass"'),
        ("host:nass", 'there is no host "nass"'),
        ("project:siet", 'there is no project "siet"'),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest_right_one(fleet: Fleet, console: Console, word: str, told: str) -> None:
    fleet.commit({"hosts/nas.yaml": "address: local\n", "projects/site.yaml": PROJECT})
    refused = console("resume", word)
    assert refused.code == 1
    assert told in refused.err
    assert "did you mean" in refused.err


def test_resuming_what_is_not_suspended_commits_nothing_and_tells_what_holds_it_all_the_same(
    fleet: Fleet, console: Console
) -> None:
    before = fleet.commit({"fleet.yaml": "suspend: {reason: holidays}\n", "hosts/nas.yaml": "address: local\n"})
    done = console("resume", "nas")
    assert done.code == 0
    assert "nas is not suspended" in done.out
    assert "the fleet is suspended: holidays; that stands in fleet.yaml" in done.out
    assert fleet.git("rev-parse", "HEAD").strip() == before


def test_a_dry_run_shows_the_commit_and_a_file_with_other_work_is_refused(fleet: Fleet, console: Console) -> None:
    before = fleet.commit({"hosts/nas.yaml": "address: local\n"})
    shown = console("suspend", "nas", "--dry-run")
    assert shown.code == 0
    assert "+suspend: {}" in shown.out
    (fleet.root / "hosts/nas.yaml").write_text("address: local\ntags: [mine]\n")
    refused = console("suspend", "nas")
    assert refused.code == 1
    assert "hosts/nas.yaml has changes that are not committed; nothing was changed" in refused.err
    assert fleet.git("rev-parse", "HEAD").strip() == before


def test_the_commit_can_go_to_a_branch_and_be_pushed(fleet: Fleet, console: Console, tmp_path: Path) -> None:
    before = fleet.commit({"hosts/nas.yaml": "address: local\n"})
    subprocess.run(["git", "init", "--quiet", "--bare", str(tmp_path / "origin.git")], check=True)
    fleet.git("remote", "add", "origin", str(tmp_path / "origin.git"))
    done = console("suspend", "nas", "--branch", "pause", "--push")
    assert done.code == 0, done
    assert fleet.git("rev-parse", "HEAD").strip() == before
    origin = ["git", "-C", str(tmp_path / "origin.git"), "show", "pause:hosts/nas.yaml"]
    assert b"suspend: {}" in subprocess.run(origin, capture_output=True, check=True).stdout


NOW = datetime(2026, 3, 28, 21, 15, 20, tzinfo=ZoneInfo("Europe/Paris"))


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("2h", "2026-03-28T23:16:00+01:00"),
        ("8h", "2026-03-29T06:16:00+02:00"),
        ("3d", "2026-03-31T22:16:00+02:00"),
        ("22:00", "2026-03-28T22:00:00+01:00"),
        ("8:00", "2026-03-29T08:00:00+02:00"),
        ("tomorrow 22:00", "2026-03-29T22:00:00+02:00"),
        ("2026-12-01", "2026-12-01T00:00:00+01:00"),
        ("2026-12-01T08:00", "2026-12-01T08:00:00+01:00"),
        ("2026-12-01 08:00:00Z", "2026-12-01T08:00:00+00:00"),
    ],
)
def test_an_end_can_be_said_in_several_ways(text: str, end: str) -> None:
    assert end_of(text, NOW).isoformat() == end


@pytest.mark.parametrize("text", ["", "soon", "2", "25:00", "2026-13-01", "2026-02-30", "2020-01-01", "0s", "999d", "\x1b[2J"])
def test_an_end_that_is_none_or_is_over_is_refused(text: str) -> None:
    with pytest.raises(CommandError) as refused:
        end_of(text, NOW)
    assert str(refused.value).startswith("--until: ")
    assert str(refused.value).isprintable()
