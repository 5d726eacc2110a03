"""What runs from a project is found in its tree, or said in its file; what cannot work is told before any host is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from providers.runners.models import ComposeRunner, NoRunner, Runner
from providers.runtimes import RuntimeSpec
from providers.slots import SlotSpec
from tests.fleet import Fleet
from tests.unit.desired.origin import Origin
from tests.unit.desired.works import Works, blocked, resources, warnings

COMPOSE = "services:\n  web: {image: nginx, ports: ['127.0.0.1:80:80']}\n  db: {image: postgres}\n"
TWO = """\
services:
  web_blue: {build: ., ports: ['127.0.0.1:8081:80']}
  web_green: {build: ., ports: ['127.0.0.1:8082:80']}
"""
SLOTS = "strategy: slots\nproxy: {caddy: {site: site.lan}}\n"
SERVICES = "slots: {blue: {port: 8081, service: web_blue}, green: {port: 8082, service: web_green}}\n"
PORTS = "slots: {blue: {port: 8081}, green: {port: 8082}}\n"


@pytest.fixture
def works(fleet: Fleet, tmp_path: Path) -> Works:
    works = Works.create(fleet, tmp_path)
    works.origin.commit({"Dockerfile": "FROM scratch\n", "compose.yaml": COMPOSE, "two.yaml": TWO})
    return works


def runner(works: Works, more: str, ref: str = "runtime:site") -> Runner:
    found = works.deploy(more)
    spec = resources(found)[ref].spec
    assert not blocked(found), warnings(found)
    assert isinstance(spec, (RuntimeSpec, SlotSpec))
    return spec.runner


def test_a_compose_file_in_the_tree_is_started_without_a_word(works: Works) -> None:
    found = runner(works, "")
    assert isinstance(found, ComposeRunner)
    assert (found.files, found.project, sorted(found.services)) == (("compose.yaml",), "site", ["db", "web"])


def test_what_was_found_is_said(works: Works) -> None:
    assert works.deploy().deployed["site"].capabilities == ("compose.yaml with 2 services (db, web)",)
    assert works.deploy("runtime: none\n").deployed["site"].capabilities == (
        "compose.yaml with 2 services (db, web): not used",
    )


def test_nothing_runs_where_the_file_says_none_or_the_tree_has_nothing(works: Works) -> None:
    assert runner(works, "runtime: none\n") == NoRunner()
    works.origin.commit({"compose.yaml": None})
    assert runner(works, "") == NoRunner()


def test_the_file_may_name_another_one(works: Works) -> None:
    found = runner(works, "runtime: {compose: {files: two.yaml, project: other, services: [web_blue]}}\n")
    assert isinstance(found, ComposeRunner)
    assert (found.files, found.project, list(found.services)) == (("two.yaml",), "other", ["web_blue"])


def test_each_slot_is_a_service_of_one_compose_project(works: Works) -> None:
    text = SLOTS + SERVICES + "runtime: {compose: two.yaml}\n"
    blue, green = runner(works, text, "slot:site/blue"), runner(works, text, "slot:site/green")
    assert isinstance(blue, ComposeRunner)
    assert isinstance(green, ComposeRunner)
    assert (list(blue.services), list(green.services)) == (["web_blue"], ["web_green"])
    assert blue.project == green.project
    assert not blue.alone


def test_or_a_compose_project_of_its_own(works: Works) -> None:
    found = runner(works, SLOTS + PORTS, "slot:site/green")
    assert isinstance(found, ComposeRunner)
    assert found.alone
    assert found.project != runner(works, SLOTS + PORTS, "slot:site/blue").model_dump()["project"]
    assert found.env == {"SLOT": "green", "PORT": "8082"}


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ("runtime: {compose: compse.yaml}\n", "compse.yaml"),
        ("runtime: {compose: {services: [wbe]}}\n", "there is no service wbe"),
        (SLOTS + SERVICES, "there is no service web_blue"),
    ],
)
def test_what_the_tree_does_not_hold_blocks_the_project(works: Works, more: str, complaint: str) -> None:
    assert complaint in blocked(works.deploy(more))["release:site"]


def test_slots_need_something_that_runs(works: Works) -> None:
    works.origin.commit({"compose.yaml": None})
    assert "nothing would run in the slots" in blocked(works.deploy(SLOTS + PORTS))["route:site"]


def test_a_compose_file_that_cannot_be_read_blocks_only_those_who_use_it(works: Works) -> None:
    works.origin.commit({"compose.yaml": "services: ["})
    assert "compose.yaml" in blocked(works.deploy())["runtime:site"]
    assert blocked(works.deploy("runtime: none\n")) == {}


def test_what_would_go_wrong_later_is_a_warning(works: Works) -> None:
    works.origin.commit({"compose.yaml": "services: {web: {image: nginx, volumes: ['./data:/data']}}\n"})
    (told,) = warnings(works.deploy("strategy: releases\n"))
    assert told.startswith("projects/site.yaml:1:1: warning: site: web keeps data in ./data")
    assert warnings(works.deploy("strategy: releases\nshared: [data/]\n")) == []


def test_two_projects_do_not_share_a_compose_project_on_a_host(works: Works, tmp_path: Path) -> None:
    other = Origin.create(tmp_path / "other")
    other.commit({"compose.yaml": COMPOSE})
    shared = "runtime: {compose: {project: app}}\n"
    found = works.cycle(
        {"projects/site.yaml": works.project(shared), "projects/zoo.yaml": works.project(shared, path="/srv/zoo", origin=other)}
    )
    assert set(blocked(found)) == {"release:zoo", "runtime:zoo"}
    assert "its compose project on nas would be app, as that of site is" in blocked(found)["release:zoo"]
