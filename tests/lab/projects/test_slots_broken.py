"""Revisions that do not work: each is found out, never served for longer than it takes to see it, and tried once."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.fleet import Fleet
from tests.lab.hosts import LabHost
from tests.lab.load import under_load
from tests.lab.projects.slots import CANARY, DOCKERFILE, FAULT, NAME, PORT, SERVE, SHY, STRANGER, Site, compose_app

NEVER_STARTED = {
    "the build fails": ({"dockerfile": f"{DOCKERFILE}RUN exit 7\n"}, "exit code: 7"),
    "the container exits": ({"start": "echo out of milk\nexit 3\n"}, "out of milk"),
    "the container is not healthy": ({"start": f"echo revision >/www/index.html\n{SERVE}"}, "unhealthy"),
}
FAILED_ITS_TEST = {
    "it answers with an error": (FAULT, "500 Oops"),
    "it answers with something else": (STRANGER, "some other site"),
}


def broken(number: int, **ways: str) -> Mapping[str, str]:
    return compose_app(f"revision {number}", **ways)


@pytest.fixture
def site(docker_fleet: Fleet, docker_host: LabHost) -> Site:
    """With a revision that works."""
    site = Site(docker_fleet, docker_host).build()
    site.deploy("revision 1")
    return site


def assert_it_rests(site: Site) -> None:
    """It is not tried again: nothing is touched, but it is told of, every time."""
    before = site.state()
    again = site.apply()
    assert again.code == 3, again
    assert "failed its smoke test" in again.out, again
    plan = site.plan()
    assert plan.code == 1, plan
    assert "failed its smoke test" in plan.out, plan
    assert site.state() == before


@pytest.mark.parametrize("fault", NEVER_STARTED)
def test_what_does_not_start_gets_no_traffic_and_the_next_revision_goes_through(site: Site, fault: str) -> None:
    ways, words = NEVER_STARTED[fault]
    with under_load(site.address, PORT, NAME) as tally:
        site.release(broken(2, **ways))
        failed = site.apply()
    assert failed.code == 3, failed
    assert words in failed.out, failed
    assert tally.bodies.keys() == {"revision 1 in blue"}
    assert not tally.failures, tally
    assert site.plan().code == 2, "what may be no fault of the revision is tried again"
    site.deploy("revision 3")


@pytest.mark.parametrize("fault", FAILED_ITS_TEST)
def test_what_fails_on_its_own_port_gets_no_traffic_and_is_tried_once(site: Site, fault: str) -> None:
    start, words = FAILED_ITS_TEST[fault]
    with under_load(site.address, PORT, NAME) as tally:
        site.release(broken(2, start=start))
        failed = site.apply()
        assert failed.code == 3, failed
        assert words in failed.out, failed
        assert_it_rests(site)
        site.deploy("revision 3")
    assert {body.partition(" in ")[0] for body in tally.bodies} == {"revision 1", "revision 3"}
    assert not tally.failures, tally


@pytest.mark.parametrize("proxy", ["nginx", "caddy", "haproxy"])
def test_what_fails_through_the_proxy_is_switched_back_at_once(docker_fleet: Fleet, docker_host: LabHost, proxy: str) -> None:
    site = Site(docker_fleet, docker_host, proxy).build()
    site.deploy("revision 1")
    site.release(broken(2, start=SHY))
    back = site.apply()
    assert back.code == 7, back
    assert " 503 " in back.out, back
    assert "rolled back" in back.out, back
    assert site.serves() == "revision 1 in blue"
    assert_it_rests(site)
    assert site.serves() == "revision 1 in blue"
    site.deploy("revision 3")


def test_a_revision_that_failed_is_never_gone_back_to(site: Site) -> None:
    site.release(broken(2, start=SHY))
    assert site.apply().code == 7
    site.deploy("revision 3")
    back = site.run("rollback", "site", "--apply", "--yes")
    assert back.code == 0, back
    assert "passed over" in back.out, back
    assert site.serves().startswith("revision 1 in ")
    assert site.plan().code == 0


def test_the_rollback_from_a_revision_that_failed_brings_back_what_serves(site: Site) -> None:
    site.release(broken(2, start=FAULT))
    assert site.apply().code == 3
    warm = site.containers()["web_blue"]
    back = site.run("rollback", "site", "--apply", "--yes")
    assert back.code == 0, back
    assert site.serves() == "revision 1 in blue"
    assert site.containers()["web_blue"] == warm
    assert site.plan().code == 0


@pytest.mark.parametrize(("start", "code", "served"), [(FAULT, 3, ""), (SHY, 3, "revision 1 in blue")], ids=["own", "proxy"])
def test_a_first_revision_that_fails_has_nothing_to_go_back_to_and_the_second_goes_through(
    docker_fleet: Fleet, docker_host: LabHost, start: str, code: int, served: str
) -> None:
    site = Site(docker_fleet, docker_host).build()
    site.release(broken(1, start=start))
    failed = site.apply()
    assert failed.code == code, failed
    assert_it_rests(site)
    assert site.serves() == served
    site.deploy("revision 2")


def test_another_value_than_expected_stops_the_deployment_before_the_switch(site: Site) -> None:
    before = site.state()
    site.release(compose_app("revision 2"), env={"OWNER": "nobody"}, expect={"OWNER": "Archicratia"})
    stopped = site.apply()
    assert stopped.code == 3, stopped
    assert "OWNER" in stopped.out, stopped
    assert site.state() == before

    tree = compose_app("revision 3")
    tree["compose.yaml"] = tree["compose.yaml"].replace("environment: {", "environment: {OWNER: somebody, ")
    site.release(tree, env={"OWNER": "Archicratia"}, expect={"OWNER": "Archicratia"})
    stopped = site.apply()
    assert stopped.code == 3, stopped
    assert 'OWNER is expected to be "Archicratia", and is "somebody"' in stopped.out, stopped
    assert site.serves() == "revision 1 in blue"
    site.deploy("revision 4", env={"OWNER": "Archicratia"}, expect={"OWNER": "Archicratia"})
    assert CANARY not in "".join(site.said)
