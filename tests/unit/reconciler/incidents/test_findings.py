"""What a cycle came to, as things that are wrong; and what two error texts have in common."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desired.values import EVENTS
from reconciler import cycle
from reconciler.cycle import Failure, Outcome
from reconciler.incidents import findings
from reconciler.incidents.findings import MOST_LINES, fingerprint
from reconciler.loop.following import Followed, FollowProblem
from reconciler.loop.report import CycleReport
from reconciler.plan import HostPlan
from tests.unit.reconciler.incidents.scene import COMMIT, MOTD, action, failed, plan, silent, unknown

SAME = [
    ("E: lock held by pid 123", "E: lock held by pid 98765"),
    ("at 14:05:12.123 it failed", "at 09:00:00.001 it failed"),
    ("2026-03-05T14:02:11Z refused", "2027-12-24T00:00:00Z refused"),
    ("cannot write /tmp/tmp.Xa81kQ/x", "cannot write /tmp/tmp.9pPqLm/y"),
    ("cannot write /etc/.motd.Zk3P9q", "cannot write /etc/.motd.Aa00bB"),
    ("tree 0f3a9b7c21 is bad", "tree 99b7c210f3 is bad"),
    ("only 1,024 of 2,048 bytes", "only 7 of 9 bytes"),
    ("No Space Left", "no  space left"),
]
OTHER = [
    ("no such user", "no such group"),
    ("cannot write /etc/motd", "cannot write /etc/issue"),
    ("disk full", "disk is read-only"),
]


def report(found: HostPlan, outcome: Outcome | None = None, after: HostPlan | None = None, **more: str) -> CycleReport:
    return CycleReport("0" * 12, found.host, COMMIT, 1.0, 1.0, found, outcome, after, projects=more)


@pytest.mark.parametrize(("one", "other"), SAME)
def test_texts_that_differ_in_what_changes_from_time_to_time_are_the_same(one: str, other: str) -> None:
    assert fingerprint(one) == fingerprint(other)


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_texts_that_say_something_else_are_not_the_same(one: str, other: str) -> None:
    assert fingerprint(one) != fingerprint(other)


def test_the_name_of_the_host_in_an_error_makes_no_other_error_of_it() -> None:
    assert fingerprint("web-a: no route to web-a", "web-a") == fingerprint("nas: no route to nas", "nas")
    assert fingerprint("a gate is a gate", "a") != fingerprint("b gbte is b gbte", "b")


@given(st.text(), st.text(max_size=5))
def test_every_text_has_a_fingerprint(text: str, name: str) -> None:
    assert len(fingerprint(text, name)) == 10
    assert fingerprint(text, name) == fingerprint(f"{text} ", name) or len(text) >= findings.LONGEST_TEXT


def test_a_refresh_that_failed_is_a_failure_of_what_was_to_be_refreshed() -> None:
    outcome = Outcome("failed", {}, (Failure("refresh service:ssh", "restart ssh", "late", "x\n" * 50),))
    (found,) = findings.tried(report(plan("a", action("service:ssh", "follows", action="refresh")), outcome))
    assert (found.ref, found.what, found.group) == ("service:ssh", "restart ssh took too long", f"commit:{COMMIT[:12]}")
    assert len(found.lines) <= MOST_LINES + 1


def test_a_drift_that_cannot_be_put_right_is_grouped_by_its_error_and_not_by_the_commit() -> None:
    one, other = (
        next(findings.tried(report(plan(host, action()), failed(output=f"{host}: disk full")))) for host in ("web-a", "nas")
    )
    assert one.group == other.group
    assert COMMIT[:12] not in one.group


def test_what_still_differs_after_it_was_applied_is_a_failure() -> None:
    tried = report(plan("a", action(why="commit")), Outcome("failed", {MOTD: "done"}, unconverged={MOTD: ("mode",)}))
    assert list(findings.tried(tried)) == []
    (found,) = findings.unsettled(tried)
    assert found.lines == ("mode",)
    assert "not as it should be" in found.what


def test_a_full_disk_is_a_failure_of_the_host() -> None:
    (found,) = findings.tried(
        report(plan("a", action(why="commit")), Outcome("failed", message="the disk is full", hint="free it"))
    )
    assert (found.ref, found.hint) == ("", "free it")


def test_what_is_left_cannot_be_told_where_nobody_looked_after_an_apply() -> None:
    assert findings.remaining(report(plan("a", action()), Outcome("unreachable", {MOTD: "unknown"}))) is None
    assert findings.remaining(report(silent("a"))) is None
    assert findings.remaining(report(plan("a", action()), Outcome("busy"))) == frozenset({MOTD})
    assert findings.remaining(report(plan("a", action(), unknown=[unknown("file:/x")]))) == frozenset({MOTD, "file:/x"})


def test_a_fault_of_our_own_is_a_failure_and_over_when_the_host_is_reached() -> None:
    found = findings.problem(report(silent("a", "fault", words="a fault of reconciler itself: KeyError")))
    assert found is not None
    assert found.event == "failed"
    assert findings.right(report(plan("a", action(held="sync: observe"))), "", None, found.group)


def test_a_deployment_is_none_before_all_of_the_project_is_there() -> None:
    deploying = plan("a", action("release:site", "commit"), action("route:site", "commit"))
    done = Outcome("converged", {"release:site": "done", "route:site": "done"})
    assert list(findings.deployed(report(deploying, done, plan("a"), site=COMMIT)))
    assert not list(findings.deployed(report(deploying, done, plan("a", action("route:site", "commit")), site=COMMIT)))
    assert not list(findings.deployed(report(deploying, done, None, site=COMMIT)))
    assert not list(findings.deployed(report(plan("a", action("release:site")), done, plan("a"), site=COMMIT)))


@pytest.mark.parametrize(
    "kind", ["unreachable", "vanished", "rewritten", "refused", "invalid", "unsigned", "secrets", "project"]
)
def test_every_problem_of_a_source_is_told(kind: str) -> None:
    problem = FollowProblem(kind, "", "words", "hint", COMMIT)  # type: ignore[arg-type]
    (found,) = findings.of_source(Followed(None, None, "", None, "url", "main", None, (problem,)))
    assert (found.event, found.what, found.hint, found.commit) == ("source", "words", "hint", COMMIT)
    assert found.event in EVENTS


def test_a_run_that_was_called_off_is_known_by_the_words_of_the_cycle() -> None:
    assert cycle._STOPPED["cancelled"][1] == findings.CANCELLED
