"""The example `nas-blue-green` on a real host: two slots behind a proxy that is switched, under requests that never pause."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fleet import Fleet
from tests.lab.hosts import LabHost
from tests.lab.projects.edition import (
    PLACE,
    PORTS,
    SITE,
    containers,
    page,
    port_of_other,
    read,
    release_of_current,
    served,
    set_up,
    slot,
)
from tests.lab.projects.workshop import Project, applied, checked, visitors


@pytest.fixture
def fleet(docker_fleet: Fleet) -> Fleet:
    return docker_fleet


@pytest.fixture
def project(fleet: Fleet, docker_host: LabHost, tmp_path: Path) -> Project:
    """Set up, and deployed for the first time."""
    project, site = set_up(fleet, docker_host, tmp_path)
    fleet.commit({"projects/site.yaml": site})
    applied(fleet)
    return project


def test_a_merge_becomes_the_site_without_one_lost_request_and_goes_back_in_a_moment(
    fleet: Fleet, docker_host: LabHost, project: Project
) -> None:
    host, first, first_slot = docker_host, project.git("rev-parse", "HEAD"), slot(docker_host)
    assert served(host) == "First printing."
    assert host.sh(f"ls {PLACE}/releases/*/app") == "Dockerfile\ndocker-compose.yml\nsite"
    with visitors(host, 80, SITE):
        second = project.commit({"site/index.html": page("Second printing.")}, "A second printing")
        assert "A second printing" in fleet.plan().out
        applied(fleet)
        assert (served(host), slot(host) != first_slot) == ("Second printing.", True)
        assert checked(fleet)["nas"]["commit"] == second
        assert release_of_current(host).endswith(second[:7])

        warm = containers(host)
        back = fleet.run("rollback", "site", "--to", first, "--apply", "--yes")
        assert back.code == 0, back
        assert (served(host), slot(host)) == ("First printing.", first_slot)
        assert containers(host) == warm, "going back is a switch, and nothing is made anew"
        assert release_of_current(host).endswith(first[:7])
        assert fleet.plan().code == 0, "nothing fights it"
        assert fleet.run("project", "check", "--expect", first).code == 0

        forth = fleet.run("deploy", "site", "main", "--apply", "--yes")
        assert forth.code == 0, forth
        assert (served(host), slot(host) != first_slot) == ("Second printing.", True)

    host.sh(
        f"site-proxy {port_of_other(slot(host))}; echo hotfix >>$(ls -d {PLACE}/releases/*-{second[:7]})/app/site/index.html"
    )
    planned = fleet.plan().out
    assert "route:site" in planned
    assert "site/index.html" in planned
    pulled = fleet.run("pull", "site", "--push", "--yes")
    assert pulled.code == 0, pulled
    assert "+hotfix" in project.pulled()
    applied(fleet)
    assert (served(host), slot(host) != first_slot) == ("Second printing.", True)


def test_what_fails_its_checks_never_gets_the_traffic(fleet: Fleet, docker_host: LabHost, project: Project) -> None:
    host, first_slot, compose = docker_host, slot(docker_host), project.read("docker-compose.yml")
    with visitors(host, 80, SITE) as tally:
        project.commit({"site/index.html": page("Broken.", title="titel")}, "Mistype the title")
        failed = fleet.apply()
        assert failed.code == 3, failed
        assert "<titel>Site" in failed.out, "what it answered instead is told"
        before = containers(host)
        again = fleet.apply()
        assert again.code == 3, again
        assert "it is not tried again" in again.out
        assert "<titel>Site" not in again.out, "once is enough"
        assert containers(host) <= before, "it is not started again"

        wrong = compose.replace("[PUBLIC_OWNER, PUBLIC_REPO]", "{PUBLIC_OWNER: archive}")
        project.commit({"site/index.html": page("Wrong."), "docker-compose.yml": wrong}, "Lower-case the owner")
        failed = fleet.apply()
        assert failed.code == 3, failed
        assert "PUBLIC_OWNER" in failed.out
        assert slot(host) == first_slot

        project.commit({"site/index.html": page("Third printing."), "docker-compose.yml": compose}, "Mend both")
        applied(fleet)
        assert (served(host), slot(host) != first_slot) == ("Third printing.", True)
        assert "/Archive/site/issues/new" in read(host, "/propose.html")
    assert {body.rpartition("<p>")[2] for body in tally.bodies} == {"First printing.", "Third printing."}


def test_nginx_may_be_the_proxy_itself(fleet: Fleet, docker_host: LabHost, project: Project) -> None:
    head, _, rest = (fleet.root / "projects/site.yaml").read_text().partition("proxy:\n")
    _, _, tail = rest.partition("keep: 5")
    fleet.commit({"projects/site.yaml": f"{head}proxy: {{nginx: {{site: edition.lan, ipv6: false}}}}\nkeep: 5{tail}"})
    applied(fleet)
    with visitors(docker_host, 80, "edition.lan"):
        project.commit({"site/index.html": page("Second printing.")}, "A second printing")
        applied(fleet)
        assert "Second printing." in read(docker_host, site="edition.lan")
        traffic = next(one["slot"] for one in checked(fleet)["nas"]["slots"] if one["traffic"])
        switched = fleet.run("switch", "site", next(name for name in PORTS.values() if name != traffic), "--apply", "--yes")
        assert switched.code == 0, switched
        assert "First printing." in read(docker_host, site="edition.lan")
