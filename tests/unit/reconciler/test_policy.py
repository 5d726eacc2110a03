"""Suspensions and windows as a hold: whom they concern, in what order, and that their reasons stay the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from desired.deploy.specs import specs_of, unknown
from desired.model import Fleet as Desired
from desired.model import Place, Resource
from desired.project import ProjectSettings
from providers.base import Spec
from reconciler.plan import Action, Cause, HostPlan, Plan
from reconciler.policy import fleet_suspended, policy_hold, project_of, suspended
from tests.fleet import Fleet
from tests.unit.desired.support import loaded
from tests.unit.reconciler.paper import file
from tests.unit.reconciler.test_draft_projects import release, runtime

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
LATER = datetime(2026, 12, 24, 12, 0, tzinfo=UTC)
UNIT = "/etc/systemd/system/site.service"
SITE = "source: /nowhere\nrevision: main\ndeploy: {host: nas, path: /srv/site}\nruntime: {systemd: deploy/site.service}\n"
FILES = {
    "fleet.yaml": "timezone: Europe/Paris\n",
    "hosts/nas.yaml": "address: nas\ntags: [prod]\n",
    "hosts/web.yaml": "address: web\n",
    "projects/site.yaml": SITE,
}


def fleet_with(fleet: Fleet, fleet_file: str = "", nas: str = "", site: str = "") -> Desired:
    added = {"fleet.yaml": fleet_file, "hosts/nas.yaml": nas, "projects/site.yaml": site}
    return loaded(fleet, {path: text + added.get(path, "") for path, text in FILES.items()})


def why(found: Desired, spec: Spec, host: str = "nas", now: datetime = NOW) -> str | None:
    return policy_hold(found, now)(found.hosts[host], Resource(spec, Place("hosts/nas.yaml", 1, 1)), "commit", None)


def test_without_policies_nothing_is_held(fleet: Fleet) -> None:
    found = fleet_with(fleet)
    assert why(found, file("/etc/motd")) is None
    assert why(found, release("site")) is None


def test_a_suspended_fleet_holds_everything_everywhere(fleet: Fleet) -> None:
    found = fleet_with(fleet, "suspend: {reason: moving house}\n")
    reason = "the fleet is suspended: moving house"
    assert [why(found, file("/x"), host) for host in ("nas", "web")] == [reason, reason]
    assert why(found, release("site")) == reason
    assert fleet_suspended(found, NOW) == suspended(found, found.hosts["web"], NOW) == reason


def test_a_suspended_host_holds_all_that_is_its_own_and_no_other_host(fleet: Fleet) -> None:
    found = fleet_with(fleet, nas="suspend: {until: 2026-12-01}\n")
    reason = "the host is suspended until Tue 2026-12-01 00:00 CET"
    assert why(found, file("/x")) == why(found, runtime("site")) == suspended(found, found.hosts["nas"], NOW) == reason
    assert why(found, file("/x"), "web") is None


def test_a_suspended_project_holds_what_belongs_to_it_and_nothing_else(fleet: Fleet) -> None:
    found = fleet_with(fleet, site="suspend: {reason: fair, until: 2026-12-01T08:00+01:00}\n")
    reason = "project site is suspended until Tue 2026-12-01 08:00 CET: fair"
    assert why(found, release("site")) == why(found, runtime("site")) == why(found, file(UNIT)) == reason
    assert why(found, file("/etc/motd")) is None
    assert why(found, release("shop")) is None
    assert why(found, file(UNIT), "web") is None  # a file of that host's own, by chance with the same name


def test_a_suspension_ends_by_itself_at_the_minute(fleet: Fleet) -> None:
    found = fleet_with(fleet, nas="suspend: {until: 2026-12-01T08:00}\n")
    end = datetime(2026, 12, 1, 7, 0, tzinfo=UTC)
    assert why(found, file("/x"), now=end - timedelta(seconds=1)) is not None
    assert why(found, file("/x"), now=end) is None


def test_windows_hold_hosts_and_projects_by_name_and_by_tag(fleet: Fleet) -> None:
    holidays = '{deny: "0 0 24 12 *", for: 3d, hosts: [tag:prod]}'
    nightly = '{allow: "0 22 * * *", for: 2h, projects: [site]}'
    found = fleet_with(fleet, f"windows: [{holidays}, {nightly}]\n")
    assert why(found, file("/x")) is None
    assert why(found, file("/x"), now=LATER) == "a window denies changes until Sun 2026-12-27 00:00 CET"
    assert why(found, file("/x"), "web", now=LATER) is None
    assert why(found, release("site")) == "outside the window; it opens Fri 2026-11-20 22:00 CET"
    assert why(found, release("site"), now=datetime(2026, 11, 20, 21, 30, tzinfo=UTC)) is None


def test_reasons_are_the_same_whatever_zone_now_is_in(fleet: Fleet) -> None:
    found = fleet_with(fleet, 'windows: [{allow: "0 22 * * *", for: 2h}]\n')
    there = NOW.astimezone(ZoneInfo("Asia/Tokyo"))
    assert (
        why(found, file("/x"), now=there) == why(found, file("/x")) == "outside the window; it opens Fri 2026-11-20 22:00 CET"
    )


@pytest.mark.parametrize("text", ["suspend: {until: 2026-11-21}\n", 'windows: [{deny: "0 0 * * *", for: 23h}]\n'])
def test_a_reason_stays_the_same_from_cycle_to_cycle(fleet: Fleet, text: str) -> None:
    found = fleet_with(fleet, text)
    reasons = {why(found, file("/x"), now=NOW + timedelta(minutes=minute)) for minute in range(0, 600, 7)}
    assert len(reasons) == 1


@pytest.mark.parametrize(
    ("ref", "project"),
    [
        *[(ref, "site") for ref in ("release:site", "runtime:site", "slot:site/blue", "route:site", f"file:{UNIT}")],
        *[(ref, None) for ref in ("file:/etc/motd", "service:site", "user:site", "package:apt/site")],
    ],
)
def test_it_is_known_what_belongs_to_a_project(fleet: Fleet, ref: str, project: str | None) -> None:
    found = fleet_with(fleet)
    assert project_of(found, found.hosts["nas"], ref) == project


def test_it_tells_its_own_reasons_from_those_of_others(fleet: Fleet) -> None:
    found = fleet_with(fleet, nas="suspend: {reason: moving}\n")
    hold = policy_hold(found, NOW)
    mine = hold(found.hosts["nas"], Resource(file("/x"), Place("hosts/nas.yaml")), "commit", None)
    made = [
        Action(ref=ref, action="change", cause=Cause(why="commit"), held=held)
        for ref, held in (("file:/x", mine), ("file:/y", "sync: observe"), ("file:/z", None))
    ]
    plan = Plan(hosts=(HostPlan(host="nas", actions=tuple(made)), HostPlan(host="web", actions=tuple(made))))
    assert hold.reasons(plan) == ["the host is suspended: moving"]
    assert [(host, action.ref) for host, action, _ in hold.held(plan)] == [("nas", "file:/x")]
    assert hold.count(plan) == 1


SLOTS: dict[str, Any] = {
    "strategy": "slots",
    "slots": {"blue": {"port": 8081}, "green": {"port": 8082}},
    "proxy": {"command": {"listen": 80, "switch": "true", "read": "echo blue"}},
}


@pytest.mark.parametrize("more", [{}, SLOTS, {"runtime": {"systemd": "deploy/site.service"}}], ids=["plain", "slots", "unit"])
@pytest.mark.parametrize("sync", ["enforce", "deploy", "observe", None])
def test_the_policy_of_a_project_is_that_of_all_that_belongs_to_it(more: dict[str, Any], sync: str | None) -> None:
    given = {"source": "/x", "revision": "main", "deploy": [{"host": "nas", "path": "/srv/site"}], "sync": sync} | more
    asked = list(specs_of(unknown("site", ProjectSettings.model_validate(given)), "/srv/site"))
    assert {one.spec.sync for one in asked} == {sync}
    assert len(asked) == {"strategy": 4, "runtime": 3}.get(next(iter(more), ""), 2)
