"""One incident per cause: opened once, told seldom, closed once, whatever dies and starts again in between."""

from __future__ import annotations

import time

import pytest

from reconciler.cycle import Failure, Outcome
from reconciler.incidents.case import GATHER, MOST_MEMBERS, UPDATE
from reconciler.incidents.drifts import FLAPPING
from reconciler.loop.following import FollowProblem
from reconciler.loop.patience import FLAPPING_TIMES
from reconciler.plan import HostPlan
from tests.unit.reconciler.incidents.scene import (
    MOTD,
    Scene,
    action,
    failed,
    fates,
    healed,
    plan,
    silent,
    unknown,
)

TEN = [f"web{number}" for number in range(10)]


def test_a_fleet_that_is_as_it_should_be_is_never_spoken_of() -> None:
    scene = Scene("web0")
    for _ in range(20):
        scene.visit("web0")
        scene.wait(60)
    assert scene.told == []
    assert scene.paper.writes == 0


def test_ten_hosts_that_fall_silent_one_after_the_other_are_one_incident() -> None:
    scene = Scene(*TEN)
    for host in TEN:
        scene.visit(host)
    scene.wait(30)
    for host in TEN:
        scene.visit(host, silent(host))
        scene.wait(2)
    for host in TEN:
        scene.visit(host, silent(host))
        scene.wait(2)
    scene.wait(120)
    assert scene.stages == ["opened"]
    assert scene.last.event == "unreachable"
    assert scene.last.hosts == tuple(TEN)


def test_hosts_with_a_long_interval_belong_to_the_outage_that_they_notice_late() -> None:
    scene = Scene("web0", "nas")
    scene.visit("web0")
    scene.visit("nas")
    scene.wait(60, 5)
    for _ in range(60):  # the nas is asked once an hour
        scene.visit("web0", silent("web0"))
        scene.wait(60, 5)
    scene.visit("nas", silent("nas"))
    scene.wait(15)
    scene.visit("nas", silent("nas"))
    scene.wait(UPDATE * 2, 5)
    assert {telling.incident.id for telling in scene.told} == {scene.last.id}
    assert scene.stages == ["opened", "updated"]
    assert scene.last.hosts == ("nas", "web0")


def test_a_host_that_was_well_meanwhile_is_another_cause() -> None:
    scene = Scene("web0", "nas")
    for _ in range(60):
        scene.visit("web0", silent("web0"))
        scene.visit("nas")
        scene.wait(60, 5)
    for _ in range(3):
        scene.visit("nas", silent("nas"))
        scene.wait(60, 5)
    assert scene.stages == ["opened", "opened"]
    assert scene.told[0].incident.id != scene.last.id


def test_one_lost_packet_is_no_incident() -> None:
    scene = Scene("web0")
    scene.visit("web0", silent("web0"))
    scene.wait(60)
    scene.visit("web0")
    scene.wait(600)
    assert scene.told == []
    assert scene.desk.incidents == ()


def test_an_outage_is_over_when_the_host_has_answered_twice() -> None:
    scene = Scene("web0")
    for _ in range(2):
        scene.visit("web0", silent("web0"))
        scene.wait(60)
    scene.visit("web0")
    scene.wait(5)
    assert scene.stages == ["opened"]
    scene.visit("web0")
    scene.wait(5)
    assert scene.stages == ["opened", "closed"]
    assert scene.last.done == "well again"


def test_a_host_that_comes_and_goes_does_not_fill_the_chat() -> None:
    scene = Scene("web0")
    for _ in range(100):
        for _ in range(3):
            scene.visit("web0", silent("web0"))
            scene.wait(60, 5)
        for _ in range(3):
            scene.visit("web0")
            scene.wait(60, 5)
    assert len({telling.incident.id for telling in scene.told}) == 1
    assert len(scene.told) < 12


@pytest.mark.parametrize("kind", ["key", "login", "become"])
def test_a_host_that_refuses_us_is_told_at_the_first_try_with_what_to_do(kind: str) -> None:
    scene = Scene("web0", "web1")
    scene.visit("web0", silent("web0", kind))
    scene.wait(GATHER + 1)
    assert scene.stages == ["opened"]
    assert (scene.last.event, scene.last.severity, scene.last.members[0].hint) == ("unreachable", "error", "look")
    scene.visit("web0")
    scene.wait(1)
    assert scene.stages == ["opened", "closed"]


def test_a_laptop_that_is_away_is_spoken_of_after_its_own_time_only() -> None:
    scene = Scene("laptop")
    scene.visit("laptop")
    for _ in range(48):
        scene.wait(3600, 30)
        scene.visit("laptop", silent("laptop", intermittent=True), away_after=86400.0)
        if scene.now < scene.paper.writes + 86400 * 0.9:
            assert scene.told == []
    scene.wait(120)
    assert scene.stages == ["opened"]
    assert scene.last.opened < scene.now - 86400


def test_drift_that_was_put_right_at_once_is_one_message() -> None:
    scene = Scene("web0")
    scene.drift("web0")
    scene.wait(60)
    scene.visit("web0")
    scene.wait(600)
    assert scene.stages == ["opened"]
    assert scene.last.closed is not None
    assert scene.last.done == "put right"


def test_drift_that_is_only_reported_is_told_once_and_closed_when_it_is_gone() -> None:
    scene = Scene("web0")
    drifted = plan("web0", action(held="sync: observe"))
    for _ in range(100):
        scene.visit("web0", drifted)
        scene.wait(60, 5)
    assert scene.stages == ["opened"]
    scene.visit("web0")
    scene.wait(1)
    assert scene.stages == ["opened", "closed"]
    assert scene.last.done == "became right without us"


def test_a_flood_of_drifts_is_one_incident_that_counts_what_it_does_not_keep() -> None:
    scene = Scene(*TEN)
    for host in TEN:
        scene.visit(host, plan(host, *(action(f"file:/{number}", held="sync: observe") for number in range(100))))
        scene.wait(1)
    scene.wait(60)
    assert scene.stages == ["opened"]
    assert len(scene.last.members) == MOST_MEMBERS
    assert scene.last.more == 1000 - MOST_MEMBERS
    for host in TEN:
        scene.visit(host)
    scene.wait(1)
    assert scene.stages == ["opened", "closed"]
    assert scene.desk.incidents == ()
    assert scene.desk.drifts == ()


def test_drift_of_another_day_is_an_incident_of_its_own() -> None:
    scene = Scene("web0", "nas")
    drifted = plan("web0", action(held="sync: observe"))
    for _ in range(60):
        scene.visit("web0", drifted)
        scene.visit("nas")
        scene.wait(60, 5)
    scene.visit("nas", plan("nas", action(held="sync: observe")))
    scene.wait(60)
    assert scene.stages == ["opened", "opened"]


def test_what_drifts_each_time_it_was_put_right_is_told_as_flapping_once() -> None:
    scene = Scene("web0")
    for _ in range(60):
        scene.drift("web0")
        scene.wait(60, 5)
    flapping = [telling for telling in scene.told if telling.incident.members[0].what.endswith(FLAPPING)]
    assert scene.stages == ["opened", "updated"]
    assert len(flapping) == 1
    assert scene.paper.drifts
    records = sorted(scene.paper.drifts.values(), key=lambda record: record.first)
    assert [record.times for record in records[:4]] == [1, 2, 3, 4]
    assert [record.flapping for record in records[:4]] == [False] * (FLAPPING_TIMES - 1) + [True, True]


def test_a_commit_that_fails_on_twenty_hosts_is_one_incident() -> None:
    hosts = [f"web{number}" for number in range(20)]
    scene = Scene(*hosts)
    for number, host in enumerate(hosts):
        scene.visit(host, plan(host, action(why="commit")), failed(output=f"E: pid {number} on {host} at 14:0{number}"))
        scene.wait(0.5, 0.5)
    scene.wait(60)
    assert scene.stages == ["opened"]
    assert len(scene.last.hosts) == 20
    assert scene.last.severity == "error"


def test_a_failure_that_is_tried_a_hundred_times_is_told_once() -> None:
    scene = Scene("web0")
    for number in range(100):
        scene.visit(
            "web0", plan("web0", action(why="commit")), failed(output=f"E: disk full, {number} bytes, pid {number * 7}")
        )
        scene.wait(60, 5)
        scene.visit("web0", plan("web0", action(why="commit", held=f"it failed {number} times")))
        scene.wait(60, 5)
    scene.visit("web0")
    scene.wait(60, 5)
    assert scene.stages == ["opened", "closed"]


def test_a_commit_that_has_nothing_to_do_with_a_failure_is_no_news_and_one_that_fails_in_another_way_is() -> None:
    scene = Scene("web0")
    scene.visit("web0", plan("web0", action(why="commit")), failed(output="E: no such user 12"))
    scene.wait(60)
    scene.visit("web0", plan("web0", action(why="unfinished")), failed(output="E: no such user 13"), commit="d" * 40)
    scene.wait(60)
    assert scene.stages == ["opened"]
    scene.visit("web0", plan("web0", action(why="commit")), failed(output="E: is a directory"), commit="e" * 40)
    scene.wait(60)
    assert scene.stages == ["opened", "closed", "opened"]
    assert scene.told[0].incident.id != scene.last.id


@pytest.mark.parametrize("status", ["busy", "stale", "unreachable"])
def test_a_host_where_another_run_is_at_work_has_not_failed(status: str) -> None:
    scene = Scene("web0")
    outcome = Outcome(status, message="another run is at work on this host")  # type: ignore[arg-type]
    scene.visit("web0", plan("web0", action(why="commit")), outcome)
    scene.wait(60)
    assert scene.told == []


def test_a_run_that_a_newer_commit_called_off_has_not_failed() -> None:
    scene = Scene("web0")
    called_off = Outcome("failed", fates([MOTD], "unknown"), message="stopped between two steps")
    scene.visit("web0", plan("web0", action(why="commit")), called_off)
    scene.wait(60)
    assert scene.told == []


def test_a_rolled_back_deployment_is_told_once_with_the_response_that_failed() -> None:
    scene = Scene("web0")
    outcome = Outcome(
        "failed",
        {"release:site": "done", "route:site": "failed"},
        (Failure("route:site", "smoke test green of site", "failed", "GET / answered 502"),),
        rolled_back=("route:site",),
    )
    projects = {"site": "a" * 40}
    deploying = plan("web0", action("release:site", "commit"), action("route:site", "commit"))
    scene.visit(
        "web0", deploying, outcome, projects=projects, after=plan("web0", unknown=[unknown("route:site", refused=True)])
    )
    quarantined = plan("web0", unknown=[unknown("route:site", "commit aaaa is in quarantine (since 12:00)", refused=True)])
    for _ in range(50):
        scene.wait(60, 5)
        scene.visit("web0", quarantined, projects=projects)
    assert scene.stages == ["opened"]
    member = scene.last.members[0]
    assert (scene.last.event, scene.last.severity, member.lines) == ("failed", "error", ("GET / answered 502",))
    assert "serves again" in member.what
    scene.visit("web0", commit="d" * 40)
    scene.wait(1)
    assert scene.stages == ["opened", "closed"]


def test_what_cannot_be_told_is_told_after_three_cycles() -> None:
    scene = Scene("web0")
    dark = plan("web0", unknown=[unknown(f"file:/{number}", f"no answer within {number} s") for number in range(30)])
    for cycle in range(6):
        assert scene.told == [] or cycle > 2
        scene.visit("web0", dark)
        scene.wait(60, 5)
    assert scene.stages == ["opened"]
    assert (scene.last.event, scene.last.severity, len(scene.last.members)) == ("failed", "warning", 30)


def test_a_blocked_project_is_told_as_a_source_and_not_again_for_each_host() -> None:
    scene = Scene("web0", "web1")
    problem = FollowProblem("project", "site", "gitea.lan does not answer")
    for _ in range(5):
        scene.follow(problem)
        for host in scene.hosts:
            scene.visit(host, plan(host, unknown=[unknown("release:site", "its source", refused=True)]))
        scene.wait(60, 5)
    assert scene.stages == ["opened"]
    assert scene.last.event == "source"
    scene.follow()
    scene.wait(1)
    assert scene.stages == ["opened", "closed"]


def test_a_server_that_blocks_five_projects_is_one_cause() -> None:
    scene = Scene("web0")
    problems = [FollowProblem("project", name, f"{name}: gitea.lan does not answer") for name in "abcde"]
    for _ in range(3):
        scene.follow(*problems)
        scene.wait(60, 5)
    assert scene.stages == ["opened"]
    assert len(scene.last.members) == 5


def test_trouble_with_git_names_the_commit_that_cannot_be_used() -> None:
    scene = Scene("web0")
    scene.follow(FollowProblem("unsigned", "", "it is not signed", "", "1" * 40))
    scene.wait(GATHER + 1)
    assert scene.last.commit == "1" * 40
    scene.follow(FollowProblem("unsigned", "", "it is not signed", "", "2" * 40))
    scene.wait(UPDATE + 1)
    assert (scene.stages, scene.last.commit) == (["opened", "updated"], "2" * 40)
    scene.restart()
    assert scene.paper.incidents[scene.last.id].commit == "2" * 40


def test_a_source_that_does_not_answer_is_the_fault_of_no_commit() -> None:
    scene = Scene("web0")
    for _ in range(3):
        scene.follow(FollowProblem("unreachable", "", "no route"))
        scene.wait(60)
    assert scene.last.commit is None


EDITED = Outcome("failed", {MOTD: "done"}, unconverged={MOTD: ("content",)})


def test_what_somebody_edits_while_it_is_applied_and_the_next_cycle_puts_right_is_no_failure() -> None:
    scene = Scene("web0")
    scene.visit("web0", plan("web0", action(why="commit")), EDITED, after=plan("web0", action()))
    scene.wait(8)
    scene.drift("web0")
    scene.wait(600)
    assert [telling.incident.event for telling in scene.told] == ["drift"]
    assert scene.last.done == "put right"


@pytest.mark.parametrize("between", [None, Outcome("busy"), Outcome("stale")])
def test_what_differs_twice_in_a_row_after_it_was_applied_has_failed(between: Outcome | None) -> None:
    scene = Scene("web0")
    for outcome in (EDITED, between, EDITED):
        scene.visit("web0", plan("web0", action(why="commit")), outcome, after=plan("web0", action(why="unfinished")))
        scene.wait(8)
    scene.wait(GATHER)
    assert [telling.incident.event for telling in scene.told] == ["failed"]
    assert "not as it should be after it was applied" in scene.last.members[0].what


def test_one_pass_tells_at_once_what_differs_after_it_was_applied() -> None:
    scene = Scene("web0")
    scene.visit("web0", plan("web0", action(why="commit")), EDITED, after=plan("web0", action(why="unfinished")))
    scene.desk.flush(scene.now)
    assert [telling.incident.event for telling in scene.told] == ["failed"]


def test_of_two_controllers_only_the_one_that_did_it_tells_of_it() -> None:
    one, other = Scene("web0"), Scene("web0")
    drifted = plan("web0", action())
    for outcome in (Outcome("busy"), Outcome("stale")):
        other.visit("web0", drifted, outcome, after=None)
        other.wait(10)
    one.drift("web0")
    deploying = plan("web0", action("release:site", "commit"), action("route:site", "commit"))
    done = Outcome("converged", fates(["release:site", "route:site"]))
    other.visit("web0", deploying, Outcome("busy"), projects={"site": "e" * 40})
    one.visit("web0", deploying, done, projects={"site": "e" * 40})
    for scene in (one, other):
        scene.wait(30)
        scene.visit("web0", projects={"site": "e" * 40})
        scene.wait(600)
    assert [telling.incident.event for telling in one.told] == ["drift", "deployed"]
    assert other.told == []
    assert other.paper.drifts == {}


def test_what_another_run_leaves_as_it_is_is_told_after_all() -> None:
    scene = Scene("web0")
    scene.visit("web0", plan("web0", action()), Outcome("busy"))
    scene.wait(10)
    scene.drift("web0")
    scene.wait(GATHER + 1)
    assert scene.last.done == "put right"
    held = Scene("web0")
    for _ in range(70):
        held.visit("web0", plan("web0", action()), Outcome("busy"))
        held.wait(10)
    assert held.stages == ["opened"]


def test_another_trouble_in_the_same_place_is_not_taken_for_a_newer_commit() -> None:
    scene = Scene("web0")
    for words in ("the disk is full", "no such user"):
        scene.visit("web0", plan("web0", action()), failed(output=words))
        scene.wait(30)
    assert "something else is wrong there now" in [telling.incident.done for telling in scene.told]


def test_a_source_is_stale_since_it_was_read_last() -> None:
    scene = Scene("web0")
    read = scene.now - 100
    for _ in range(12):
        scene.follow(FollowProblem("unreachable", "", "no route"), read=read)
        scene.wait(60, 5)
    assert scene.stages == ["opened"]
    assert scene.last.opened == read


def test_deletions_over_the_budget_wait_for_a_person_and_windows_do_not() -> None:
    scene = Scene("web0")
    over = "too many deletions: 9 deletions in the whole fleet, and 5 are allowed"
    scene.visit(
        "web0", plan("web0", action(why="pruned", held=over), action("file:/b", why="commit", held="outside the window"))
    )
    scene.wait(60)
    assert scene.stages == ["opened"]
    assert scene.last.event == "held"
    assert len(scene.last.members) == 1
    scene.visit("web0", plan("web0", action("file:/b", why="commit", held="suspended: moving house")))
    scene.wait(1)
    assert scene.stages == ["opened", "closed"]


def test_a_deployment_is_told_once_over_its_hosts() -> None:
    scene = Scene(*TEN)
    for host in TEN[:9]:
        change = action("release:site", "commit", notes=("brings 2 commits:", "  abc fix"))
        scene.visit(host, plan(host, change), healed("release:site"), projects={"site": "a" * 40})
        scene.wait(1)
    scene.wait(60)
    assert scene.stages == ["opened"]
    assert (scene.last.event, scene.last.severity, len(scene.last.hosts)) == ("deployed", "info", 9)
    assert scene.last.closed is not None
    assert scene.last.members[0].lines[0] == "brings 2 commits:"
    scene.visit(TEN[9], plan(TEN[9], action("release:site", "commit")), healed("release:site"), projects={"site": "a" * 40})
    scene.wait(UPDATE * 2, 5)
    assert scene.stages == ["opened", "updated"]
    assert len(scene.last.hosts) == 10


def test_a_restart_tells_nothing_twice() -> None:
    scene = Scene("web0", "web1")
    drifted = plan("web0", action(held="sync: observe"))
    for _ in range(20):
        scene.visit("web0", drifted)
        for _ in range(2):
            scene.visit("web1", silent("web1"))
            scene.wait(120, 5)
        scene.restart(away=600)
    assert scene.stages == ["opened", "opened"]
    assert {telling.incident.event for telling in scene.told} == {"drift", "unreachable"}


def test_what_ended_while_nobody_looked_is_closed_by_the_first_look_and_not_before() -> None:
    scene = Scene("web0", "web1")
    scene.visit("web0", plan("web0", action(held="sync: observe")))
    scene.visit("web1", plan("web1", action(why="commit")), failed())
    scene.wait(60)
    scene.restart(away=3600)
    scene.wait(300, 5)
    assert scene.stages == ["opened", "opened"]
    scene.visit("web0")
    scene.wait(1)
    assert scene.stages == ["opened", "opened", "closed"]
    scene.visit("web1")
    scene.wait(1)
    assert scene.stages == ["opened", "opened", "closed", "closed"]


def test_what_was_seen_and_not_told_when_the_controller_was_killed_is_told_afterwards() -> None:
    scene = Scene("web0")
    scene.visit("web0", plan("web0", action(held="sync: observe")))
    scene.restart()
    scene.visit("web0", plan("web0", action(held="sync: observe")))
    scene.wait(60)
    assert scene.stages == ["opened"]


def test_an_incident_about_a_host_that_left_the_fleet_is_closed() -> None:
    scene = Scene("web0", "web1")
    for _ in range(3):
        scene.visit("web0", silent("web0"))
        scene.wait(60, 5)
    scene.hosts.remove("web0")
    scene.follow()
    scene.wait(1)
    assert scene.stages == ["opened", "closed"]
    assert scene.last.done == "left the fleet"


def test_a_clock_that_is_set_neither_hurries_nor_delays_a_message() -> None:
    for jump in (-86400.0, 86400.0):
        scene = Scene("web0")
        scene.visit("web0", plan("web0", action(held="sync: observe")))
        scene.wait(GATHER - 5)
        scene.now += jump
        scene.wait(2)
        assert scene.told == []
        scene.wait(10)
        assert scene.stages == ["opened"]


def test_one_pass_tells_what_it_found_at_its_end() -> None:
    scene = Scene("web0", "web1")
    scene.visit("web0", silent("web0"))
    scene.drift("web1")
    scene.desk.flush(scene.now)
    assert scene.stages == ["opened", "opened"]


def test_a_quiet_report_costs_microseconds_however_much_is_open_elsewhere() -> None:
    scene = Scene(*TEN)
    scene.visit("web0", plan("web0", *(action(f"file:/{number}", held="sync: observe") for number in range(500))))
    scene.wait(30)
    quiet: HostPlan = plan("web1")
    began = time.perf_counter()
    for _ in range(2000):
        scene.visit("web1", quiet)
    assert (time.perf_counter() - began) / 2000 < 100e-6
