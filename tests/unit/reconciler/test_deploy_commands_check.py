"""What `project check` and `status` make of what hosts answered: nothing is called equal that is not proved to be."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desired.model import Address, Host, Place, Resource
from desired.project import Deployment, Project, ProjectSettings
from providers.base import Facts, Unknown
from providers.blue_green import RouteState, SlotState
from providers.releases.model import ReleaseSpec, ReleaseState
from providers.runtimes import RuntimeState
from reconciler.check import (
    Deployed,
    Expected,
    deployed,
    exit_code,
    host_report,
    release_words,
    status_code,
    with_distance,
)
from reconciler.draft import Doubt, Draft
from reconciler.errors import Exit
from reconciler.fleet_run import HostRun
from reconciler.plan import Action, Cause, HostPlan, UnknownResource
from reconciler.remembered import Remembered
from reconciler.render.deployed import check_document, check_lines, status_document, status_lines
from reconciler.render.lines import paint
from state.inventory import Inventory, Record
from state.snapshot import Snapshot

OLD, NEW, ELSE = "1" * 40, "2" * 40, "3" * 40
T_OLD, T_NEW = "a" * 32, "b" * 32
PLACE = Deployment("nas", "/srv/site", Place("projects/site.yaml", 4, 5))
NOTED = Remembered(releases={T_OLD: OLD, T_NEW: NEW})


def project(strategy: str = "mirror") -> Project:
    written: dict[str, Any] = {"source": "/srv/git/site", "revision": "main", "strategy": strategy}
    written["deploy"] = [{"host": "nas", "path": "/srv/site"}]
    if strategy == "slots":
        written["slots"] = {"active": "blue", "blue": {"port": 8081}, "green": {"port": 8082}}
    settings = ProjectSettings.model_validate(written)
    return Project("site", Place("projects/site.yaml"), settings, (PLACE,), lambda _: Place("projects/site.yaml"))


def action(ref: str, why: str = "commit", sign: str = "change") -> Action:
    cause = Cause.model_validate({"why": why})
    return Action.model_validate({"ref": ref, "action": sign, "cause": cause})


def run(answers: dict[str, Any], *actions: Action, blocked: str | None = None, strategy: str = "mirror") -> HostRun:
    """A host that asks for commit NEW, answered, and has these things to do."""
    spec = ReleaseSpec.model_validate({"name": "site", "strategy": strategy, "path": "/srv/site", "commit": NEW, "tree": T_NEW})
    resource = Resource(spec, PLACE.place, blocked=blocked)
    host = Host("nas", Place("hosts/nas.yaml"), Address("local"), resources=(resource,))
    reasons = {ref: answer.reason for ref, answer in answers.items() if isinstance(answer, Unknown)}
    reasons |= {spec.ref: blocked} if blocked else {}
    doubts = tuple(Doubt(resource, reason) for reason in reasons.values())
    inventory = Inventory(record=Record())
    draft = Draft(host, Snapshot(Facts(), inventory, answers, "digest"), inventory, doubts=doubts)
    return HostRun(host, draft=draft, plan=HostPlan(host="nas", actions=actions, resources=1))


def release(commit: str, tree: str = T_NEW, **fields: Any) -> ReleaseState:
    return ReleaseState.model_validate({"commit": commit, "tree": tree, **fields})


def check(host: HostRun, *, strategy: str = "mirror", noted: Remembered | None = None, expect: str | None = None) -> Deployed:
    expected = Expected("v1", expect) if expect else None
    return deployed(project(strategy), PLACE, host, noted, expected)


def told(*reports: Deployed) -> str:
    return paint(check_lines(reports))


def test_the_wanted_commit_as_it_was_left_is_equal() -> None:
    report = check(run({"release:site": release(NEW)}))
    assert (report.verdict, report.commit, report.wanted) == ("equal", NEW, NEW)
    assert told(report) == (
        f"site  main, which is commit {NEW[:10]}\n  ✓ nas  {NEW[:10]}  as in the source\n\n"
        "1 of 1 deployment as in the source.\n"
    )


def test_another_commit_differs_and_its_distance_is_told() -> None:
    report = with_distance(check(run({"release:site": release(OLD)}, action("release:site"))), lambda *_: (3, 1))
    assert (report.verdict, report.behind, report.ahead) == ("differs", 3, 1)
    assert f"✗ nas  {OLD[:10]}  3 commits behind and 1 commit ahead\n" in told(report)


def test_a_distance_that_cannot_be_told_is_not_none() -> None:
    report = with_distance(check(run({"release:site": release(OLD)})), lambda *_: None)
    assert report.behind is report.ahead is None
    assert "another commit" in told(report)


def test_the_right_commit_with_an_edited_file_differs() -> None:
    state = release(NEW, edited=("index.html",), missing=("a\x1b[31m",), modes=("b",), touched=2, added=("mine.txt",))
    report = check(run({"release:site": state}, action("release:site", "drift")))
    assert report.verdict == "differs"
    assert "drift: edited: index.html\n" in told(report)
    assert "missing: a\\x1b[31m" in told(report)
    assert "not the project's, left alone: mine.txt" in told(report)
    assert "2 more files may have been edited" in told(report)
    assert "the right commit, but not as we left it" in told(report)


def test_many_paths_are_counted() -> None:
    assert release_words(release(NEW, edited=tuple(map(str, range(25)))))[0].endswith("18, 19 and 5 more")


def test_what_runs_not_as_it_was_left_is_drift_too() -> None:
    report = check(run({"release:site": release(NEW)}, action("runtime:site", "drift", "create")))
    assert (report.verdict, report.drift) == ("differs", ("runtime:site is gone",))


def test_what_is_not_finished_differs_and_a_soak_that_is_over_does_not() -> None:
    unfinished = check(run({"release:site": release(NEW)}, action("runtime:site", "commit", "create")))
    assert (unfinished.verdict, unfinished.due) == ("differs", ("runtime:site",))
    assert "not finished" in told(unfinished)
    assert check(run({"release:site": release(NEW)}, action("slot:site/blue", "due"))).verdict == "equal"


def test_a_change_of_something_else_on_the_host_is_not_the_projects() -> None:
    assert check(run({"release:site": release(NEW)}, action("file:/etc/motd", "drift"))).verdict == "equal"


@pytest.mark.parametrize("commit", ["none", None])
def test_a_release_that_does_not_say_its_commit_is_unknown(commit: str | None) -> None:
    state = ReleaseState(tree="unfinished", commit=commit)
    assert check(run({"release:site": state})).verdict == "unknown"


def test_what_is_not_there_is_missing_and_what_cannot_be_told_is_unknown() -> None:
    assert check(run({"release:site": None})).verdict == "missing"
    unknown = check(run({"release:site": Unknown("the disk does not answer")}))
    assert (unknown.verdict, unknown.reason) == ("unknown", "the disk does not answer")
    assert check(run({})).verdict == "unknown"


def test_a_source_that_is_away_leaves_what_the_host_noted() -> None:
    host = run({}, blocked="the source is away")
    report = check(host, noted=Remembered(releases={T_OLD: OLD}))
    assert (report.verdict, report.commit, report.wanted, report.reason) == ("unknown", OLD, None, "the source is away")
    assert check(host, noted=NOTED).commit is None
    started = Remembered(releases=NOTED.releases, runtime=T_OLD)
    assert check(host, strategy="releases", noted=started).commit == OLD
    switched = Remembered(releases=NOTED.releases, slots={"blue": T_OLD, "green": T_NEW}, route="blue")
    assert check(host, strategy="slots", noted=switched).commit == OLD


def test_what_is_expected_counts_instead_of_the_files_revision() -> None:
    host = run({"release:site": release(OLD)}, action("release:site"))
    assert check(host, expect=OLD).verdict == "equal"
    assert check(host, expect=ELSE).verdict == "differs"
    edited = run({"release:site": release(OLD, edited=("x",))}, action("release:site"))
    assert check(edited, expect=OLD).verdict == "differs"


def slots(live: str | None, blue: str | None, green: str | None, newest: str = NEW) -> dict[str, Any]:
    answers: dict[str, Any] = {"release:site": release(newest)}
    answers |= {
        f"slot:site/{name}": SlotState(tree=tree, running=True) for name, tree in (("blue", blue), ("green", green)) if tree
    }
    return answers | {"route:site": RouteState.model_validate({"slot": live, "quarantine": (ELSE[:32],)})}


def test_with_slots_it_is_the_traffic_that_counts() -> None:
    prepared = check(run(slots("blue", T_OLD, T_NEW), strategy="slots"), strategy="slots", noted=NOTED)
    assert (prepared.verdict, prepared.commit, prepared.quarantine) == ("differs", OLD, 1)
    assert [(slot.slot, slot.commit, slot.traffic) for slot in prepared.slots] == [("blue", OLD, True), ("green", NEW, False)]
    assert f"blue has the traffic: {OLD[:10]}, running; green: {NEW[:10]}, running\n" in told(prepared)
    assert "1 release in quarantine there" in told(prepared)
    assert prepared.hint == "green holds it and waits for a commit that switches: reconcile switch site green"
    switched = check(run(slots("green", T_OLD, T_NEW), strategy="slots"), strategy="slots", noted=NOTED)
    assert (switched.verdict, switched.commit) == ("equal", NEW)


def test_slots_of_which_none_has_the_traffic_or_of_which_the_release_is_forgotten_are_unknown() -> None:
    nobody = check(run(slots(None, T_OLD, T_NEW), strategy="slots"), strategy="slots", noted=NOTED)
    assert (nobody.verdict, nobody.commit) == ("unknown", None)
    assert "no slot is known to have the traffic" in told(nobody)
    forgotten = check(run(slots("blue", T_OLD, T_NEW), strategy="slots"), strategy="slots")
    assert (forgotten.verdict, forgotten.commit) == ("unknown", None)
    assert "blue has the traffic: an earlier release, running" in told(forgotten)


def test_with_releases_it_is_the_current_one_that_counts() -> None:
    answers = {"release:site": release(NEW), "runtime:site": RuntimeState(tree=T_OLD, current=T_OLD)}
    report = check(run(answers, strategy="releases"), strategy="releases", noted=NOTED)
    assert (report.verdict, report.commit) == ("differs", OLD)


def away(*, intermittent: bool = False) -> HostRun:
    host = Host("nas", Place("hosts/nas.yaml"), Address("nas.lan"))
    plan = HostPlan(
        host="nas", problem="nobody answers", problem_kind="unreachable", hint="is it on?", intermittent=intermittent
    )
    return HostRun(host, plan=plan)


def test_a_host_that_could_not_be_asked_is_unreachable_or_away() -> None:
    report = check(away())
    assert (report.verdict, report.reason, report.hint, report.wanted) == ("unreachable", "nobody answers", "is it on?", None)
    assert "✗ nas  unreachable: nobody answers\n      is it on?\n" in told(report)
    assert check(away(intermittent=True)).verdict == "away"


def test_the_exit_code_says_the_worst_that_somebody_must_act_on() -> None:
    equal, differs = check(run({"release:site": release(NEW)})), check(run({"release:site": release(OLD)}))
    assert exit_code([]) is exit_code([equal]) is exit_code([equal, check(away(intermittent=True))]) is Exit.OK
    assert exit_code([equal, check(away())]) is Exit.UNREACHABLE
    assert exit_code([differs, check(away())]) is exit_code([check(run({"release:site": None}))]) is Exit.FAILED


def test_hosts_are_told_with_what_differs_on_them() -> None:
    good, bad = host_report(run({})), host_report(run({}, action("file:/etc/motd", "drift"), action("file:/etc/issue")))
    assert (good.state, bad.state, bad.changes, bad.drift) == ("converged", "drift", 2, ("file:/etc/motd",))
    pending = host_report(run({}, action("file:/etc/issue")))
    assert pending.state == "changes"
    unknown = run({})
    unknown.plan = HostPlan(host="nas", unknown=(UnknownResource(ref="file:/x", reason="y"),))
    assert host_report(unknown).state == "unknown"
    text = paint(status_lines(NEW, [good, bad, host_report(away()), host_report(away(intermittent=True))], []))
    assert text.splitlines() == [
        f"Fleet at commit {NEW[:10]}, 4 hosts",
        "",
        "nas  converged, 1 resource",
        "nas  drift in file:/etc/motd, 2 changes to apply",
        "nas  unreachable: nobody answers",
        "nas  away: nobody answers",
    ]
    codes = [
        status_code([report], []) for report in (good, pending, bad, host_report(away()), host_report(away(intermittent=True)))
    ]
    assert codes == [Exit.OK, Exit.FAILED, Exit.FAILED, Exit.UNREACHABLE, Exit.OK]


def test_the_documents_hold_every_field_that_the_page_describes() -> None:
    report, host = check(run({"release:site": release(NEW)})), host_report(run({}))
    document = status_document(NEW, [host], [report], Exit.OK)
    assert document["hosts"][0]["state"] == "converged"
    assert document["projects"] == check_document(NEW, [report], Exit.OK)["projects"]
    assert document["projects"][0]["verdict"] == "equal"


ANSWERS = st.sampled_from([None, Unknown("x"), release(NEW), release(OLD, T_OLD), release("none", "unfinished")])
TREES = st.sampled_from([None, T_OLD, T_NEW, "c" * 32])


@given(ANSWERS, TREES, TREES, st.sampled_from([None, "blue", "green"]), st.sampled_from([Remembered(), NOTED]), st.booleans())
def test_equal_means_that_the_wanted_commit_was_seen(
    answer: Any, blue: str | None, green: str | None, live: str | None, noted: Remembered, with_slots: bool
) -> None:
    answers = slots(live, blue, green) if with_slots else {}
    report = check(run(answers | {"release:site": answer}, strategy="slots"), strategy="slots", noted=noted)
    if report.verdict == "equal":
        assert report.commit == report.wanted == NEW
        assert not isinstance(answer, Unknown)
        serving = {"blue": blue, "green": green}.get(live or "")
        assert serving == T_NEW
    assert report.verdict != "missing" or answer is None
    assert told(report)
