"""`history`, `drift`, `why` and `status --last`: what people are told of the past, with one and without."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli.entry import run
from reconciler.cli.screen import Screen
from reconciler.history.store import History
from reconciler.incidents.model import Member
from tests.fleet import Fleet, Result
from tests.unit.cli.console import UNREACHABLE, Console, host_file, text_of
from tests.unit.history.happened import (
    MOTD,
    NOON,
    action,
    applied,
    drift,
    gone,
    host_view,
    incident,
    plan,
    report,
    view,
)

MINUTE, DAY = 60.0, 86400.0
NOW = NOON + 600
HOSTILE = "\x1b[31mred\x1b]0;title\x07\u202e"
Tells = Callable[..., Result]


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ten past noon, in UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr(time, "time", lambda: NOW)
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def tells(console: Console, state: Path) -> Tells:
    """A command with the history of `state`."""
    return lambda *arguments: console(*arguments, "--state", str(state))


@pytest.fixture
def past(state: Path) -> None:
    """Two days of a small fleet."""
    history = History.open(state, now=NOON)
    made = applied(action("package:apt/nginx", sign="create"), action(sign="create"), number=1, at=NOON - 2 * DAY)
    history.save_report(made)
    site = (action("release:site", sign="create"), action("slot:site/green"))
    history.save_report(applied(*site, host="web", number=2, at=NOON - DAY, projects={"site": "c" * 40}))
    history.save_report(report(gone("web", problem=f"no route {HOSTILE}"), number=3, at=NOON - 3600))
    diff = ("@@ -1 +1 @@", f"-{HOSTILE}", "+welcome")
    history.save_report(replace(applied(action(why="drift", diff=diff), number=4, at=NOON), after=plan()))
    history.save_report(applied(action("service:ssh"), fate="failed", output=f"E: broken\n{HOSTILE}", number=5, at=NOON + 60))
    history.save_drift(drift("d1", first=NOON - MINUTE, last=NOON, ended=NOON))
    shown: dict[str, Any] = {
        "fields": ("mode: 0644 → 0600",),
        "diff": ("-a", "+b"),
        "held": "sync: deploy",
        "evidence": ("ada from 10.0.0.7",),
    }
    history.save_drift(drift("d2", ref="file:/etc/ssh/sshd_config", host="web", last=NOW, times=3, flapping=True, **shown))
    history.save_drift(drift("d3", ref="service:ssh", kind="pending", last=NOW))
    history.save_drift(drift("d4", ref="sysctl:vm.swappiness", ended=NOON + 120, how="vanished"))
    history.save_incident(incident("k3f9", opened=NOON + 1, hosts=("nas", "web")))
    unreachable = Member(host="web", what="nobody answers", since=NOON - 3600, seen=NOON, ended=NOON, how="recovered")
    over: dict[str, Any] = {"opened": NOON - 3600, "told": NOON - 3500, "closed": NOON, "done": "well again"}
    history.save_incident(incident("p77q", event="unreachable", members=(unreachable,), **over))
    behind = {"behind": 3, "commit": "1" * 40, "reasons": ("sync: deploy",), "drifted": 1, "held": 1}
    hosts = (
        host_view("nas", tags=("prod",), resources=3),
        host_view("web", status="drifted", **behind),
        host_view("laptop", status="away", problem="no route", intermittent=True, seen=NOON - DAY, since=NOON - DAY),
    )
    history.save_view(view(*hosts, at=NOW - 5))
    assert history.flush()
    assert history.dropped == 0
    history.close()


ALL = """\
2026-11-18 12:00  nas     ✓ created package:apt/nginx, file:/etc/motd  000000000001
2026-11-19 12:00  web     ✓ deployed site cccccccccc  000000000002
2026-11-20 11:00  web     ✗ unreachable: no route \\x1b[31mred\\x1b]0;title\\x07\\u202e  000000000003
2026-11-20 11:00  web     ✗ incident opened: unreachable: nobody answers  p77q
2026-11-20 12:00  nas     ✓ put right file:/etc/motd  000000000004
2026-11-20 12:00  web     ✓ incident closed: well again  p77q
2026-11-20 12:00  nas +1  ✗ incident opened: drift: file:/etc/motd: it was edited and 1 more on 2 hosts  k3f9
2026-11-20 12:01  nas     ✗ failed: service:ssh  000000000005
2026-11-20 12:02  nas     · drift in sysctl:vm.swappiness is over: it became right without us  d4
"""


@pytest.mark.usefixtures("past")
def test_history_tells_what_happened_one_line_for_each_newest_last(tells: Tells) -> None:
    done = tells("history")
    assert done.code == 0, done
    assert done.out == ALL
    assert done.err == ""


@pytest.mark.usefixtures("past")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["web"], ["000000000002", "000000000003", "p77q", "p77q", "k3f9"]),
        (["tag:prod"], ["000000000001", "000000000004", "k3f9", "000000000005", "d4"]),
        ([MOTD], ["000000000001", "000000000004", "k3f9"]),
        ([MOTD, "service:ssh", "nas"], ["000000000001", "000000000004", "k3f9", "000000000005"]),
        (["site"], ["000000000002"]),
        (["slot:site/green"], ["000000000002"]),
        (["site", "nas"], []),
        (["--limit", "2"], ["000000000005", "d4"]),
        (["--since", "1h30m", "web"], ["000000000003", "p77q", "p77q", "k3f9"]),
        (["--since", "2026-11-20T12:01"], ["000000000005", "d4"]),
    ],
    ids=" ".join,
)
def test_words_choose_from_the_history(tells: Tells, words: list[str], told: list[str]) -> None:
    done = tells("history", *words)
    assert done.code == 0, done
    assert [line.split()[-1] for line in done.out.splitlines()] == told
    assert [event["id"] for event in tells("history", *words, "--json").json()["events"]] == told
    assert ("note: nothing is told" in done.err) == (not told)


@pytest.mark.usefixtures("past")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["wbe"], "did you mean web?"),
        (["file:/etc/mot"], "did you mean file:/etc/motd?"),
        (["tag:prd"], "did you mean tag:prod?"),
        (["ffffffffffff"], "knows no run ffffffffffff"),
        (["--since", "yesterday"], "neither a duration nor a moment"),
    ],
    ids=" ".join,
)
def test_a_wrong_word_is_answered_with_the_nearest_right_one(tells: Tells, words: list[str], said: str) -> None:
    done = tells("history", *words)
    assert done.code == 1
    assert said in done.err


@pytest.mark.usefixtures("past")
def test_a_run_is_told_with_causes_diffs_steps_and_output(tells: Tells) -> None:
    assert tells("history", "000000000004").out.splitlines() == [
        "Run 000000000004 on nas, 2026-11-20 12:00:00",
        "  converged, took 1.5 s, at commit 5f2c81a90b of the fleet",
        "",
        "  ✓ ~ file:/etc/motd  change  done",
        "      drift: it was not what had been left there, hosts/nas.yaml:9:3",
        "      content: 0123456789ab → ba9876543210",
        "      @@ -1 +1 @@",
        "      -\\x1b[31mred\\x1b]0;title\\x07\\u202e",
        "      +welcome",
        "",
        "Steps",
        "  ✓ step for file:/etc/motd  done",
    ]
    failed = tells("history", "000000000005").out
    assert "✗ step for service:ssh  failed\n      E: broken\n      \\x1b[31mred" in failed
    document = tells("history", "000000000005", "--json").json()
    assert document["cycle"]["steps"][0]["output"] == f"E: broken\n{HOSTILE}"


def test_what_was_over_before_anybody_was_told_is_one_line(state: Path, tells: Tells) -> None:
    history = History.open(state, now=NOON)
    told: dict[str, Any] = {"closed": NOON + 15, "told": NOON + 15, "done": "put right"}
    history.save_report(replace(applied(action(why="drift"), number=4, at=NOON), after=plan()))
    history.save_incident(incident("k3f9", **told))
    site = Member(host="nas", ref="release:site", what="site is at 1a2b3c4d5e", since=NOON, seen=NOON, ended=NOON)
    told |= {"opened": NOON + 1, "done": ""}
    history.save_incident(incident("d0d0", event="deployed", severity="info", members=(site,), **told))
    history.close()
    assert (
        tells("history").out
        == """\
2026-11-20 12:00  nas  ✓ put right file:/etc/motd  000000000004
2026-11-20 12:00  nas  ✓ incident closed: drift: file:/etc/motd: it was edited (put right)  k3f9
2026-11-20 12:00  nas  · deployed: release:site: site is at 1a2b3c4d5e  d0d0
"""
    )


@pytest.mark.usefixtures("past")
def test_an_incident_is_told_with_its_findings(tells: Tells) -> None:
    assert tells("history", "p77q").out.splitlines() == [
        "Incident p77q, unreachable, 2026-11-20 11:00:00, closed after 1 hour",
        "  1 finding on 1 host",
        "  well again",
        "",
        "  ✓ web  nobody answers",
        "      2026-11-20 11:00 to 2026-11-20 12:00: it is well again",
    ]
    assert "open since 2026-11-20 12:00:01" in tells("history", "k3f9").out
    assert tells("history", "k3f9", "--json").json()["incident"]["members"][1]["host"] == "web"


@pytest.mark.usefixtures("past")
@pytest.mark.parametrize(
    "command", [["history"], ["history", "000000000004"], ["drift", "--all"], ["status", "--last"]], ids=" ".join
)
def test_everything_is_readable_in_80_columns_and_harmless(fleet: Fleet, state: Path, command: list[str]) -> None:
    screen = Screen(io.StringIO(), io.StringIO(), io.StringIO(), width=80)
    run([*command, "--state", str(state)], screen)
    lines = text_of(screen.out).splitlines()
    assert lines
    assert [line for line in lines if len(line) > 80] == []
    assert all(line.isprintable() for line in lines)


@pytest.mark.usefixtures("past")
def test_drift_tells_what_differs_since_when_and_why_it_stays(tells: Tells) -> None:
    done = tells("drift")
    assert done.code == 0
    assert done.out.splitlines() == [
        "nas",
        "  · service:ssh  pending since 2026-11-20 12:00 (10 minutes)",
        "      content",
        "      seen just now",
        "",
        "web",
        "  ✗ file:/etc/ssh/sshd_config  drift, flapping since 2026-11-20 12:00 (10 minutes)",
        "      mode: 0644 → 0600",
        "      seen just now",
        "      it came back 2 times after it was put right",
        "      not put right: sync: deploy",
        "      perhaps: ada from 10.0.0.7",
        "      -a",
        "      +b",
        "",
        "1 drifted, 1 change pending on 2 hosts.",
        "The loop last asked a host 10 minutes ago, and gave a sign of life 5 seconds ago.",
    ]
    assert done.err == ""
    assert tells("drift", "--detailed-exitcode").code == 2
    assert tells("drift", "nas", "--detailed-exitcode").code == 0
    assert [one["id"] for one in tells("drift", "tag:prod", "--json").json()["drifts"]] == ["d3"]


@pytest.mark.usefixtures("past")
def test_drift_that_is_over_is_told_with_its_end(tells: Tells) -> None:
    out = tells("drift", "nas", "--all").out
    assert "  ✓ file:/etc/motd  drift since 2026-11-20 11:59 (11 minutes)" in out
    assert "      over since 2026-11-20 12:00: it was put right" in out
    assert "      over since 2026-11-20 12:02: it became right without us" in out


@pytest.mark.usefixtures("past")
def test_a_loop_that_stands_still_is_told(tells: Tells, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW + 3 * 3600)
    for command in (["drift"], ["status", "--last"]):
        assert "the loop has given no sign of life for 3 hours" in tells(*command).err


@pytest.mark.usefixtures("past")
def test_the_last_look_is_told_without_asking_a_host(tells: Tells) -> None:
    done = tells("status", "--last")
    assert done.code == 3
    assert done.out.splitlines() == [
        "Fleet at commit 5f2c81a90b (Say welcome), 3 hosts",
        "  as the loop saw it 5 seconds ago; it follows main of /srv/fleet",
        "",
        "nas     converged, 3 resources; since 2026-11-20 12:00 (10 minutes)",
        "web     1 drifted, 1 held back; since 2026-11-20 12:00 (10 minutes)",
        "        behind by 3 commits: applied 1111111111",
        "        held back: sync: deploy",
        "laptop  away: no route; since 2026-11-19 12:00 (1 day); last seen 1 day ago",
    ]
    assert tells("status", "--last", "nas", "laptop").code == 0
    document = tells("status", "--last", "tag:prod", "--json").json()
    assert [host["host"] for host in document["last"]["hosts"]] == ["nas"]
    assert document["exit_code"] == 0


@pytest.mark.parametrize("command", ["history", "drift", "status --last"])
def test_without_a_history_it_is_said_where_one_would_be(tells: Tells, state: Path, command: str) -> None:
    done = tells(*command.split())
    assert done.code == 1
    assert f"there is no history in {state}" in done.err
    assert not state.exists()


@pytest.mark.parametrize("command", ["history", "drift", "status --last"])
def test_a_history_that_cannot_be_read_is_a_sentence(tells: Tells, state: Path, command: str) -> None:
    state.mkdir()
    (state / "history.db").write_bytes(b"nothing that one knows" * 100)
    done = tells(*command.split())
    assert done.code == 1
    assert "is no history: it is no database" in done.err
    assert (state / "history.db").exists()


@pytest.mark.usefixtures("past")
def test_status_says_how_far_behind_a_host_is_and_when_it_was_seen(
    fleet: Fleet, tells: Tells, state: Path, sandbox: Path
) -> None:
    text = host_file(sandbox, "files: {@/motd: {content: hello}}\n")
    first = fleet.commit({"fleet.yaml": "", "hosts/nas.yaml": text, "hosts/web.yaml": UNREACHABLE})
    assert tells("status", "nas").code == 3
    assert Console(fleet)("apply", "nas", "--yes").code == 0
    for _ in range(2):
        fleet.commit({}, "another thing")
    history = History.open(state, now=NOW)
    history.save_view(view(host_view("nas"), host_view("web", status="unreachable", commit=first, seen=NOON - DAY)))
    history.close()

    done = tells("status")

    assert done.code == 4, done
    nas, web = done.out.splitlines()[2:4]
    assert nas == f"nas  converged, 1 resource  since 2026-11-20 12:00, behind by 2 commits, applied {first[:10]}"
    assert web.startswith(
        "web  unreachable: 127.0.0.1:1 refuses the connection  since 2026-11-20 12:00, last seen 2026-11-19 12:00"
    )
    assert f"behind by 2 commits, applied {first[:10]}" in web
    hosts = tells("status", "--json").json()["hosts"]
    assert [(host["behind"], host["seen"], host["since"]) for host in hosts] == [(2, NOW, NOON), (2, NOON - DAY, NOON)]


def test_a_broken_history_takes_nothing_from_what_hosts_answer(fleet: Fleet, tells: Tells, state: Path, sandbox: Path) -> None:
    fleet.commit({"fleet.yaml": "", "hosts/nas.yaml": host_file(sandbox, "files: {}\n")})
    state.mkdir()
    (state / "history.db").write_bytes(b"x" * 200)
    done = tells("status")
    assert done.code == 0
    assert "nas  converged" in done.out
    assert "is no history" in done.err


# why


BASE = "files:\n  /etc/motd:\n    content: hello\nsysctl:\n  vm.swappiness: 10\n"
SITE = "source: /srv/site.git\nrevision: v1\ndeploy: [{host: nas, path: /srv/site}]\n"


@pytest.fixture
def commits(fleet: Fleet) -> dict[str, str]:
    """A fleet with a past of its own."""
    nas = "address: nas\nbundles: [base]\ncommands: {tell: {run: echo, creates: /a, follows: ['file:/etc/motd']}}\n"
    files = {"fleet.yaml": "", "hosts/nas.yaml": nas, "hosts/web.yaml": "address: web\nbundles: [base]\n"}
    made = {"begin": fleet.commit({**files, "bundles/base.yaml": BASE, "projects/site.yaml": SITE}, "Begin")}
    made["welcome"] = fleet.commit({"bundles/base.yaml": BASE.replace("hello", "welcome")}, "Say welcome")
    made["less"] = fleet.commit({"bundles/base.yaml": BASE.replace("hello", "welcome").partition("sysctl")[0]}, "Less")
    made["release"] = fleet.commit({"projects/site.yaml": SITE.replace("v1", "v2")}, f"Release {HOSTILE}")
    return made


@pytest.mark.usefixtures("past")
def test_why_tells_the_line_its_author_the_neighbours_and_what_happened(tells: Tells, commits: dict[str, str]) -> None:
    out = tells("why", MOTD).out
    head, _, happened = out.partition("\nWhat happened\n")
    lines = [line for line in head.splitlines() if "ada@example.org" not in line]
    assert lines == [
        "file:/etc/motd",
        "  asked for by bundles/base.yaml:2:3, bundle base",
        "      /etc/motd:",
        "          Begin",
        "      what stands below it was last changed by",
        "          Say welcome",
        "      on nas, web",
        "      needed by command:tell",
    ]
    assert f"commit {commits['begin'][:10]}  " in head
    assert "Ada <ada@example.org>" in head
    assert happened.splitlines() == [
        "  2026-11-18 12:00  nas  ✓ created (commit 5f2c81a90b in force)  000000000001",
        "  2026-11-20 12:00  nas  ✓ put right: it was not as it had been left  000000000004",
    ]


@pytest.mark.usefixtures("past")
def test_why_of_a_project_tells_its_revision_and_its_deployments(tells: Tells, commits: dict[str, str]) -> None:
    for word in ("site", "release:site"):
        out = tells("why", word).out
        assert "asked for by projects/site.yaml:2:11, project site\n      revision: v2\n" in out
        assert f"commit {commits['release'][:10]}" in out
        assert "Release \\x1b[31mred" in out
        assert "2026-11-19 12:00  web  ✓ site cccccccccc: deployed  000000000002" in out
    document = tells("why", "site", "--json").json()
    assert document["asked"][0]["author"]["commit"] == commits["release"]
    assert [one["commit"] for one in document["history"]["deployments"]] == ["c" * 40]


@pytest.mark.usefixtures("past")
def test_why_explains_what_left_the_repository(tells: Tells, commits: dict[str, str]) -> None:
    out = tells("why", "sysctl:vm.swappiness").out
    assert f"nothing in commit {commits['release'][:10]} asks for it" in out
    assert f"commit {commits['less'][:10]}" in out
    assert "the drift is over: it became right without us" in out
    assert tells("why", "sysctl:vm.swappiness", "--json").json()["removed"]["subject"] == "Less"


def test_why_works_without_a_history_and_says_so(tells: Tells, fleet: Fleet, commits: dict[str, str]) -> None:
    assert "There is no history here: what happened to it is not known." in tells("why", MOTD).out
    assert tells("why", "sysctl:vm.swappiness").code == 0
    fleet.commit({"projects/site.yaml": None}, "No site")
    assert "No site" in tells("why", "site").out
    assert tells("why", MOTD, "--json").json()["history"] is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["file:/etc/mot"], "did you mean file:/etc/motd?"),
        (["sit"], "did you mean site?"),
        (["package:apt/nothing"], "nothing is known of it"),
        (["nonsense"], "nothing is known of it"),
        (["nas"], "nas is a host"),
        ([MOTD, "--host", "wbe"], "did you mean web?"),
        (["command:tell", "--host", "web"], "it is asked for on nas"),
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("commits")
def test_why_of_a_wrong_word_names_the_nearest(tells: Tells, words: list[str], said: str) -> None:
    done = tells("why", *words)
    assert done.code == 1
    assert said in done.err


def test_why_tells_who_changed_a_block_after_its_first_line(tells: Tells, commits: dict[str, str]) -> None:
    asked = tells("why", MOTD, "--json").json()["asked"]
    assert [(one["author"]["commit"], one["changed"]["commit"]) for one in asked] == [(commits["begin"], commits["welcome"])]
    out = tells("why", MOTD).out
    assert f"what stands below it was last changed by\n      commit {commits['welcome'][:10]}" in out


@pytest.mark.usefixtures("past")
def test_no_command_of_the_past_needs_a_repository_but_why(state: Path, tmp_path: Path) -> None:
    for command in (["history"], ["drift"], ["status", "--last"]):
        screen = Screen(io.StringIO(), io.StringIO(), io.StringIO())
        assert run(["-C", str(tmp_path), *command, "--state", str(state)], screen) in (0, 3)
        assert text_of(screen.out)
