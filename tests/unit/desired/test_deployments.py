"""From projects to resources on hosts: trees, order, what blocks a project, and what stays the same from cycle to cycle."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from desired.deploy.expand import expand
from desired.git import commit_source, open_repository
from desired.load import load
from providers.files import FileSpec
from providers.releases.model import ReleaseSpec
from providers.runners.models import CommandRunner, SystemdRunner
from providers.runtimes import RuntimeSpec
from providers.slots import SlotSpec
from providers.tree import SENTINEL
from tests.fleet import Fleet
from tests.unit.desired.origin import Origin
from tests.unit.desired.works import NAS, Works, blocked, resources, tree, warnings

SLOTS = "strategy: slots\nproxy: {caddy: {site: site.lan}}\nslots: {blue: {port: 8081}, green: {port: 8082}}\n"
COMMAND = "runtime: {command: {start: ./start, stop: ./stop}}\n"


@pytest.fixture
def works(fleet: Fleet, tmp_path: Path) -> Works:
    works = Works.create(fleet, tmp_path)
    works.origin.commit({"index.html": "<title>one</title>\n", "docs/a.md": "a\n", "start": "#!/bin/sh\n"})
    (works.origin.root / "start").chmod(0o755)
    works.origin.commit({})
    return works


def test_a_mirror_is_the_tree_of_the_commit_and_its_id(works: Works) -> None:
    found = works.deploy()
    commit = works.origin.git("rev-parse", "HEAD")
    installed = tree(found)
    assert [(file.path, file.mode) for file in installed.files] == [
        (SENTINEL, "0644"),
        ("docs/a.md", "0644"),
        ("index.html", "0644"),
        ("start", "0755"),
    ]
    assert installed.read(SENTINEL) == f"{commit}\n".encode()
    assert installed.read("index.html") == b"<title>one</title>\n"
    assert all(file.digest == hashlib.sha256(installed.read(file.path)).hexdigest() for file in installed.files)
    assert list(resources(found)) == ["release:site", "runtime:site"]
    assert found.deployed["site"].commit == commit
    assert found.warnings == ()


def test_the_specs_say_what_the_file_says(works: Works) -> None:
    found = works.deploy("strategy: releases\nkeep: 3\nfolder: app\nowner: www-data\nshared: [data/]\nsync: observe\n")
    release, runtime = (one.spec for one in resources(found).values())
    assert isinstance(release, ReleaseSpec)
    assert (release.strategy, release.path, release.keep, release.folder) == ("releases", "/srv/site", 3, "app")
    assert (release.owner, release.shared, release.sync, release.origin) == (
        "www-data",
        ("data/",),
        "observe",
        str(works.origin.root),
    )
    assert isinstance(runtime, RuntimeSpec)
    assert (runtime.tree, runtime.commit, runtime.strategy) == (release.tree, release.commit, "releases")


def test_a_checkout_says_its_commit_by_itself_and_knows_its_branch(works: Works) -> None:
    found = works.deploy("strategy: checkout\n")
    spec = resources(found)["release:site"].spec
    assert isinstance(spec, ReleaseSpec)
    assert spec.branch == "main"
    assert SENTINEL not in {file.path for file in tree(found).files}


def test_what_is_excluded_stays_where_it_is(works: Works) -> None:
    assert {file.path for file in tree(works.deploy("exclude: [docs/, '*.html']\n")).files} == {SENTINEL, "start"}


def test_slots_become_a_release_two_slots_and_a_route(works: Works) -> None:
    found = resources(works.deploy(SLOTS + COMMAND))
    assert list(found) == ["release:site", "slot:site/blue", "slot:site/green", "route:site"]
    assert found["route:site"].needs == {"release:site", "slot:site/blue", "slot:site/green"}
    green = found["slot:site/green"].spec
    assert isinstance(green, SlotSpec)
    assert isinstance(green.runner, CommandRunner)
    assert (green.port, green.runner.env) == (8082, {"SLOT": "green", "PORT": "8082"})


def test_a_systemd_unit_travels_as_a_file_of_its_own(works: Works) -> None:
    works.origin.commit({"deploy/site.service": "[Service]\nExecStart=/srv/site/start\n"})
    found = resources(works.deploy("runtime: {systemd: deploy/site.service}\n"))
    unit, runtime = found["file:/etc/systemd/system/site.service"], found["runtime:site"]
    assert isinstance(unit.spec, FileSpec)
    assert unit.spec.body == b"[Service]\nExecStart=/srv/site/start\n"
    assert unit.place.file == "projects/site.yaml"
    assert unit.ref in runtime.needs & runtime.follows
    assert isinstance(runtime.spec, RuntimeSpec)
    assert runtime.spec.runner == SystemdRunner(unit="site.service")


def test_a_unit_that_the_project_lacks_is_told(works: Works) -> None:
    found = works.deploy("runtime: {systemd: deploy/site.service}\n")
    assert set(blocked(found)) == {"release:site", "file:/etc/systemd/system/site.service", "runtime:site"}
    assert "the unit file deploy/site.service is not in the project" in warnings(found)[0]


def test_plain_values_and_secrets_stand_in_one_closed_file(works: Works) -> None:
    found = works.deploy("env: {A: x y}\nsecrets: {.env: secrets/site.age}\n", site="B=hidden-value")
    installed = tree(found)
    (env,) = [file for file in installed.files if file.path == ".env"]
    assert installed.read(".env") == b"A='x y'\nB=hidden-value\n"
    assert (env.mode, env.size) == ("0600", len(installed.read(".env")))
    assert env.digest.startswith("sealed:")
    assert len(env.digest) == len("sealed:") + 16
    assert "hidden-value" not in repr(found) + resources(found)["release:site"].spec.model_dump_json()


def test_the_digest_of_a_secret_file_comes_from_the_version_and_not_from_the_value(works: Works) -> None:
    first = tree(works.deploy("secrets: {.env: secrets/site.age}\n", site="B=hidden-value"))
    again = tree(works.deploy("secrets: {.env: secrets/site.age}\n", site="B=hidden-value"))
    assert first.read(".env") == again.read(".env")
    assert first.digest != again.digest


def test_a_sealed_file_travels_as_it_is(works: Works) -> None:
    text = "secrets: {.env.age: {file: secrets/site.age, sealed: true, identity: /root/key}}\n"
    installed = tree(works.deploy(text, site="B=hidden-value"))
    assert works.key.opens(installed.read(".env.age")) == b"B=hidden-value"
    (file,) = [file for file in installed.files if file.path == ".env.age"]
    assert (file.mode, file.digest) == ("0600", hashlib.sha256(installed.read(".env.age")).hexdigest())


@pytest.mark.parametrize(
    ("files", "more", "complaint"),
    [
        ({".env": "A=1\n"}, "env: {A: x}\n", "the project carries a file .env of its own, and env: and secrets: make one"),
        ({SENTINEL: "x\n"}, "", "the project carries a file .sync_rev of its own"),
        ({".env/a": "x\n"}, "env: {A: x}\n", ".env is to be made, and is a folder in the project: it holds .env/a"),
    ],
)
def test_a_file_is_either_the_projects_or_made_for_the_host(
    works: Works, files: dict[str, str], more: str, complaint: str
) -> None:
    works.origin.commit(dict(files))
    found = works.deploy(more)
    assert complaint in blocked(found)["release:site"]
    assert blocked(works.deploy(f"{more}exclude: [/{next(iter(files)).split('/')[0]}]\n")) == {}


@pytest.mark.parametrize(
    ("env", "secret", "complaint"),
    [
        ("env: {A: one}\n", "B=2", 'A is to be "two", and env: says "one"'),
        ("", "A=hidden-value", 'A is to be "two", and the secret has another value'),
        ("", "B=2", 'A is to be "two", and nothing sets it'),
        ("env: {A: two}\n", "A=two", "A stands in env: and in secrets/site.age"),
    ],
)
def test_a_wrong_value_stops_the_deployment_and_no_secret_is_told(works: Works, env: str, secret: str, complaint: str) -> None:
    found = works.deploy(f"{env}secrets: {{.env: secrets/site.age}}\nexpect: {{A: two}}\n", site=secret)
    assert complaint in blocked(found)["runtime:site"]
    assert "hidden-value" not in "".join(warnings(found))


def test_a_right_value_does_not(works: Works) -> None:
    text = "env: {B: one}\nsecrets: {.env: secrets/site.age}\nexpect: {A: two words, B: one}\n"
    assert blocked(works.deploy(text, site='A="two words"')) == {}


def test_a_secret_in_plain_text_blocks_the_project_and_no_other(works: Works, tmp_path: Path) -> None:
    other = Origin.create(tmp_path / "other")
    other.commit({"index.html": "x"})
    token = "ghp_" + "R4nd0mQx7ZtLk2VbYw9HsPcMe3Ud5Fj8Ga1N"
    works.origin.commit({"config.py": f"TOKEN = '{token}'\n"})
    found = works.cycle({"projects/site.yaml": works.project(), "projects/b.yaml": works.project(path="/srv/b", origin=other)})
    assert set(blocked(found)) == {"release:site", "runtime:site"}
    assert "config.py:1 (a GitHub token)" in blocked(found)["release:site"]
    assert token not in "".join(warnings(found))
    assert any("site:config.py:1:1" in line and "allow it with a line in secrets/allow" in line for line in warnings(found))

    warned = works.cycle({"fleet.yaml": "secret_scan: warn\n"})
    assert blocked(warned) == {}
    assert any("config.py:1:1: warning" in line for line in warnings(warned))
    assert not [line for line in warnings(works.cycle({"fleet.yaml": "secret_scan: off\n"})) if "config.py" in line]


def test_a_finding_that_is_none_is_allowed_by_its_fingerprint(works: Works) -> None:
    works.origin.commit({"config.py": "TOKEN = 'ghp_R4nd0mQx7ZtLk2VbYw9HsPcMe3Ud5Fj8Ga1N'\n"})
    (line,) = [line for line in warnings(works.deploy()) if "config.py:1:1" in line]
    fingerprint = line.split("secrets/allow: ")[1].split()[0]
    assert blocked(works.cycle({"secrets/allow": f"{fingerprint}  # made up\n"})) == {}


def test_a_source_that_does_not_answer_keeps_its_last_commit(works: Works) -> None:
    before = works.deploy()
    works.origin.root.rename(works.origin.root.with_name("away"))
    found = works.cycle()
    assert blocked(found) == {}
    assert tree(found) == tree(before)
    (told,) = warnings(found)
    assert told.startswith("projects/site.yaml:1:9: warning: site: there is no repository at ")
    assert f"{tree(before).commit[:10]}, which it was on 20" in told
    assert "stays in force" in told


def test_a_checkout_stays_on_its_branch_while_its_source_is_away(works: Works) -> None:
    before = works.deploy("strategy: checkout\n")
    works.origin.root.rename(works.origin.root.with_name("away"))
    assert resources(works.cycle())["release:site"].spec == resources(before)["release:site"].spec


def test_a_source_that_never_answered_blocks_its_project(works: Works) -> None:
    works.origin.root.rename(works.origin.root.with_name("away"))
    found = works.deploy()
    assert set(blocked(found)) == {"release:site", "runtime:site"}
    assert "is left as it is: there is no repository at" in warnings(found)[0]
    assert found.deployed == {}


def test_a_branch_that_is_gone_or_rewritten_leaves_the_project_as_it_is(works: Works) -> None:
    works.deploy(SLOTS + COMMAND)
    works.origin.git("commit", "--quiet", "--amend", "--message", "another")
    found = works.cycle()
    assert set(blocked(found)) == {"release:site", "slot:site/blue", "slot:site/green", "route:site"}
    assert "was rewritten" in blocked(found)["route:site"]
    works.origin.git("branch", "-m", "main", "trunk")
    gone = works.cycle()
    assert set(blocked(gone)) == set(blocked(found))
    assert "the branch main is gone" in blocked(gone)["release:site"]


def test_a_commit_that_cannot_be_deployed_whole_is_not_deployed_at_all(works: Works) -> None:
    works.origin.commit({"film.mp4": "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"})
    assert "film.mp4" in blocked(works.deploy())["release:site"]
    assert blocked(works.deploy("exclude: ['*.mp4']\n")) == {}


def test_a_secret_that_cannot_be_opened_blocks_its_project(works: Works) -> None:
    stranger = type(works.key).make()
    found = works.cycle(
        {
            "projects/site.yaml": works.project("secrets: {.env: secrets/site.age}\n"),
            "secrets/site.age": stranger.encrypt(b"A=1"),
        }
    )
    assert "secrets/site.age cannot be opened" in blocked(found)["release:site"]


def test_nothing_changes_from_one_cycle_to_the_next_but_what_did(works: Works) -> None:
    first = resources(works.deploy("env: {A: b}\n"))
    second = resources(works.cycle())
    assert [second[ref].spec for ref in second] == [first[ref].spec for ref in first]
    assert all(second[ref] is first[ref] for ref in first)
    works.origin.commit({"index.html": "two"})
    third = resources(works.cycle())
    assert third["release:site"].spec.digest() != first["release:site"].spec.digest()


def test_only_the_projects_of_the_hosts_that_are_meant_are_fetched(works: Works) -> None:
    works.origin.root.rename(works.origin.root.with_name("away"))
    works.fleet.commit({"fleet.yaml": "", "hosts/nas.yaml": NAS, "hosts/web.yaml": "address: web\n"})
    works.fleet.commit({"projects/site.yaml": works.project()})
    fleet = load(commit_source(open_repository(works.fleet.root)))
    assert expand(fleet, works.sources, works.vault, works.scanner, ["web"]).warnings == ()
    assert expand(fleet, works.sources, works.vault, works.scanner, ["nas"]).warnings != ()
