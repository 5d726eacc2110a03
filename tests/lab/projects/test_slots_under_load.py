"""Visitors notice nothing: a proxy under continuous requests while slots are prepared, switched, switched back and stopped."""

from __future__ import annotations

import time

import pytest

from tests.fleet import Fleet
from tests.lab.hosts import LabHost
from tests.lab.projects.slots import FRONTS, NAME, PORT, RUNTIMES, Site, compose_app, own_app
from tests.lab.projects.workshop import visitors


@pytest.mark.parametrize("proxy", FRONTS)
def test_not_one_request_fails_while_revisions_come_and_go(docker_fleet: Fleet, docker_host: LabHost, proxy: str) -> None:
    site = Site(docker_fleet, docker_host, proxy).build()
    site.deploy("revision 1")
    with visitors(docker_host, PORT, NAME) as tally:
        for number in (2, 3, 4):
            site.deploy(f"revision {number}")
    assert {body.partition(" in ")[0] for body in tally.bodies} == {f"revision {number}" for number in (1, 2, 3, 4)}
    warm = site.containers()
    with visitors(docker_host, PORT, NAME) as tally:
        back = site.run("rollback", "site", "--apply", "--yes")
        assert back.code == 0, back
        assert site.serves() == "revision 3 in blue"
    assert tally.bodies.keys() == {"revision 4 in green", "revision 3 in blue"}
    assert site.containers() == warm, "going back to a slot that is still there builds and starts nothing"
    assert site.plan().code == 0


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_site_without_containers_is_switched_the_same_way(docker_fleet: Fleet, docker_host: LabHost, runtime: str) -> None:
    site = Site(docker_fleet, docker_host, settings={"runtime": RUNTIMES[runtime]}, slots=("", "")).build()
    site.release(own_app("revision 1"))
    site.converge()
    with visitors(docker_host, PORT, NAME) as tally:
        for number in (2, 3):
            site.release(own_app(f"revision {number}"))
            site.converge()
            assert site.serves().startswith(f"revision {number} in ")
        back = site.run("rollback", "site", "--apply", "--yes")
        assert back.code == 0, back
    assert tally.bodies.keys() == {"revision 1 in blue", "revision 2 in green", "revision 3 in blue"}
    assert site.serves() == "revision 2 in green"
    assert site.plan().code == 0


def test_a_pinned_slot_is_prepared_and_gets_the_traffic_by_a_commit_alone(docker_fleet: Fleet, docker_host: LabHost) -> None:
    site = Site(docker_fleet, docker_host, "haproxy", active="blue").build()
    site.deploy("revision 1")
    with visitors(docker_host, PORT, NAME) as tally:
        site.release(compose_app("revision 2"))
        site.converge()
        assert site.answers(8082) == "revision 2 in green"
    assert tally.bodies.keys() == {"revision 1 in blue"}
    prepared = site.containers()
    with visitors(docker_host, PORT, NAME) as tally:
        switched = site.run("switch", "site", "green", "--apply", "--yes")
        assert switched.code == 0, switched
        assert site.serves() == "revision 2 in green"
        assert site.plan().code == 0
        back = site.run("rollback", "site", "--apply", "--yes")
        assert back.code == 0, back
        assert site.serves() == "revision 1 in blue"
        assert site.plan().code == 0
    assert tally.bodies.keys() == {"revision 1 in blue", "revision 2 in green"}
    assert site.containers() == prepared, "a switch starts nothing"


def test_the_old_slot_is_stopped_when_its_soak_is_over_and_can_still_be_gone_back_to(
    docker_fleet: Fleet, docker_host: LabHost
) -> None:
    site = Site(docker_fleet, docker_host, "caddy", soak="20s").build()
    site.deploy("revision 1")
    with visitors(docker_host, PORT, NAME):
        site.deploy("revision 2")
        settled = time.monotonic()
        assert site.answers(8081) == "revision 1 in blue", "the old slot stays warm"
        while (plan := site.plan()).code == 0 and time.monotonic() < settled + 60:
            time.sleep(2)
        assert plan.code == 2, plan
        assert "slot:site/blue" in plan.out
        site.converge()
        assert site.answers(8081) == ""
        back = site.run("rollback", "site", "--apply", "--yes")
        assert back.code == 0, back
        assert site.serves() == "revision 1 in blue"
