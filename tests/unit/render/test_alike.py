"""A plan of many hosts is as long as what is different in it, and never hides a deletion behind "as on"."""

from __future__ import annotations

from desired.model import Address, Host, Place
from reconciler.cycle import Outcome
from reconciler.fleet_run import HostRun
from reconciler.plan import Action, Cause, HostPlan, Plan
from reconciler.render.lines import paint
from reconciler.render.outcome import outcome_lines
from reconciler.render.terminal import plan_lines
from tests.unit.render.sample import COMMIT

MOTD = Action(
    ref="file:/etc/motd",
    action="create",
    cause=Cause(why="commit", place="bundles/base.yaml:2:3"),
    diff=("@@ -0,0 +1 @@", "+hi"),
)
OLD = Action(
    ref="directory:/srv",
    action="change",
    cause=Cause(why="commit", place="bundles/base.yaml:4:3"),
    deletions=("file:/srv/a", "file:/srv/b"),
)


def own(name: str) -> Action:
    return Action(ref="file:/etc/name", action="create", cause=Cause(why="commit", place=f"hosts/{name}.yaml:2:3"))


def shown(*hosts: HostPlan) -> str:
    return paint(plan_lines(Plan(commit=COMMIT, hosts=hosts)))


def test_hosts_that_are_alike_are_told_together() -> None:
    web = [HostPlan(host=f"web{number}", actions=(MOTD,)) for number in range(3)]
    assert shown(web[0], HostPlan(host="db", resources=2), *web[1:]) == (
        "Plan for commit 1a2b3c4d5e, 4 hosts\n"
        "\n"
        "web0, web1, web2  (3 hosts, all alike)\n"
        "  + file:/etc/motd  create  bundles/base.yaml:2:3\n"
        "      +hi\n"
        "\n"
        "db: nothing to do, 2 resources as asked\n"
        "\n"
        "3 to create on 3 hosts.\n"
    )


def test_what_is_the_same_on_a_host_above_takes_one_line() -> None:
    text = shown(HostPlan(host="a", actions=(MOTD, own("a"))), HostPlan(host="b", actions=(MOTD, own("b"))))
    assert "a\n  + file:/etc/motd  create  bundles/base.yaml:2:3\n      +hi\n" in text
    assert "b\n  + file:/etc/motd  create  as on a\n  + file:/etc/name  create  hosts/b.yaml:2:3\n" in text


def test_another_reason_or_another_difference_is_told_in_full() -> None:
    drift = MOTD.model_copy(update={"cause": Cause(why="drift", place="bundles/base.yaml:2:3")})
    other = MOTD.model_copy(update={"diff": ("@@ -0,0 +1 @@", "+ho")})
    text = shown(*(HostPlan(host=name, actions=(one,)) for name, one in (("a", MOTD), ("b", drift), ("c", other))))
    assert "as on" not in text
    assert "alike" not in text


def test_deletions_are_told_on_every_host() -> None:
    text = shown(HostPlan(host="a", actions=(OLD, own("a"))), HostPlan(host="b", actions=(OLD, own("b"))))
    assert text.count("deletes: file:/srv/a, file:/srv/b (counts as 2 deletions)") == 2


def test_hosts_with_unlike_doubts_or_warnings_are_not_alike() -> None:
    text = shown(HostPlan(host="a", actions=(OLD,)), HostPlan(host="b", actions=(OLD,), warnings=("look here",)))
    assert "alike" not in text
    assert "look here" in text


def test_of_hosts_that_could_not_be_asked_nobody_says_that_there_is_nothing_to_do() -> None:
    away = HostPlan(host="a", problem="no route", problem_kind="unreachable")
    assert shown(away).endswith("\n1 host could not be asked.\n")
    assert shown(away, HostPlan(host="b")).endswith("\nNothing to do on 1 host; 1 host could not be asked.\n")
    assert "\x1b[32m1 host" not in paint(plan_lines(Plan(hosts=(away,))), color=True)


def test_outcomes_that_are_alike_are_told_together() -> None:
    runs = [
        HostRun(
            Host(name, Place(f"hosts/{name}.yaml"), Address("local")),
            plan=HostPlan(host=name, actions=(MOTD,)),
            outcome=Outcome("converged", {MOTD.ref: "done"}),
        )
        for name in ("web1", "web2")
    ]
    assert paint(outcome_lines(runs)) == (
        "web1, web2: converged, 1 of 1 change done  (2 hosts, all alike)\n"
        "  ✓ file:/etc/motd  created\n"
        "\n"
        "2 of 2 hosts converged.\n"
    )
