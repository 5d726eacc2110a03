"""Files of projects/: what may be written, what it means, and how mistakes are worded. Nothing is fetched here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from desired.load import Cache
from desired.model import Fleet as Desired
from desired.project import (
    CommandSettings,
    ComposeSettings,
    Project,
    ProjectSettings,
    SecretFile,
    SlotSettings,
    SlotsSettings,
    SystemdSettings,
)
from providers.smoke import Smoke
from tests.fleet import Fleet
from tests.unit.desired.support import Files, loaded, mistake, mistakes

ENCRYPTED = b"age-encryption.org/v1\n"
NAS = "address: ops@nas.lan\nbecome: sudo\ntags: [docker, prod]\n"
SITE = "source: ssh://git@gitea.lan/me/site.git\nrevision: main\ndeploy: [{host: nas, path: /srv/site}]\n"
DESIGN = """\
source: ssh://git@gitea.lan/me/site.git   # or https, or a path
revision: 214f930e56                      # commit, tag or branch
deploy:
  - {host: nas, path: /volume2/docker/site}   # or tag: docker
strategy: slots                           # mirror · checkout · releases · slots
exclude: [.git, docs/]
env: {PUBLIC_OWNER: Archicratia}          # plain values, written to .env beside the secrets
secrets: {.env: secrets/site.env.age}     # decrypted in memory, mode 0600 on the host
runtime: {compose: docker-compose.yml}    # compose · systemd · command · none
slots:
  active: green                           # blue · green · auto
  blue: {port: 8081, service: web_blue}
  green: {port: 8082, service: web_green}
smoke:                                    # asked on the slot's own port, through the SSH connection
  - {http: /, status: 200, contains: "<title>"}
proxy: {caddy: {site: site.lan}}          # caddy · nginx · haproxy · command
keep: 5                                   # releases kept
"""
SLOTS = SITE + "strategy: slots\nproxy: {caddy: {site: site.lan}}\n"
TWO = "slots: {blue: {port: 8081}, green: {port: 8082}}\n"


def fleet_of(text: str, **more: str | bytes) -> Files:
    """A host, a project, and other files, whose names are written with __ for / and _DOT_ for a dot."""
    others = {name.replace("__", "/").replace("_DOT_", "."): content for name, content in more.items()}
    return {"hosts/nas.yaml": NAS, "projects/site.yaml": text, **others}


def project_of(fleet: Fleet, text: str, **more: str | bytes) -> Project:
    found = loaded(fleet, fleet_of(text, **more))
    assert found.warnings == ()
    project = found.projects["site"]
    assert isinstance(project, Project)
    return project


def test_the_example_of_the_design_is_read(fleet: Fleet) -> None:
    found = loaded(fleet, fleet_of(DESIGN, secrets__site_DOT_env_DOT_age=ENCRYPTED))
    site = found.projects["site"]
    assert found.warnings == ()
    assert [(one.host, one.path, str(one.place)) for one in site.deployments] == [
        ("nas", "/volume2/docker/site", "projects/site.yaml:4:5")
    ]
    settings = site.settings
    assert (settings.strategy, settings.revision, settings.keep) == ("slots", "214f930e56", 5)
    assert settings.secrets[".env"].file == "secrets/site.env.age"
    assert settings.runtime.compose.files == ("docker-compose.yml",)
    assert (settings.slots.active, settings.slots.green.port, settings.slots.green.service) == ("green", 8082, "web_green")
    assert settings.smoke == (Smoke(http="/", status=(200,), contains="<title>"),)
    assert found.secrets == {"secrets/site.env.age": ENCRYPTED}
    assert {"projects/site.yaml", "secrets/site.env.age"} <= found.tree.keys()
    assert str(site.where(("slots", "green", "port"))) == "projects/site.yaml:13:17"


def test_three_lines_are_enough_for_a_mirror(fleet: Fleet) -> None:
    settings = project_of(fleet, SITE).settings
    assert (settings.strategy, settings.runtime, settings.keep, settings.exclude) == ("mirror", None, 5, ())


def test_a_tag_means_every_host_that_has_it(fleet: Fleet) -> None:
    text = SITE.replace("host: nas", "tag: docker")
    found = project_of(fleet, text, hosts__web_DOT_yaml="address: web\ntags: [docker]\n", hosts__db_DOT_yaml="address: db\n")
    assert [one.host for one in found.deployments] == ["nas", "web"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("runtime: compose", {"compose": {}}),
        ("runtime: {compose: }", {"compose": {}}),
        ("runtime: {compose: a.yml}", {"compose": {"files": ("a.yml",)}}),
        ("runtime: {compose: [a.yml, ./b.yml]}", {"compose": {"files": ("a.yml", "b.yml")}}),
        ("runtime: {compose: {files: a.yml, pull: always}}", {"compose": {"files": ("a.yml",), "pull": "always"}}),
        ("runtime: {systemd: deploy/site.service}", {"systemd": {"unit": "deploy/site.service"}}),
        ("runtime: {command: ./start.sh}", {"command": {"start": "./start.sh"}}),
        ("runtime: {command: {start: ./start.sh, stop: ./stop.sh}}", {"command": {"start": "./start.sh", "stop": "./stop.sh"}}),
    ],
)
def test_a_runtime_may_be_written_short(fleet: Fleet, text: str, expected: dict[str, object]) -> None:
    runtime = project_of(fleet, f"{SITE}{text}\n").settings.runtime
    assert runtime is not None
    assert runtime != "none"
    assert runtime.model_dump(exclude_unset=True, exclude_none=True) == expected


def test_none_and_nothing_are_two_different_runtimes(fleet: Fleet) -> None:
    assert project_of(fleet, SITE + "runtime: none\n").settings.runtime == "none"
    assert project_of(fleet, SITE + "runtime:\n").settings.runtime is None


def test_one_place_to_deploy_to_needs_no_list(fleet: Fleet) -> None:
    text = SITE.replace("[{host: nas, path: /srv/site}]", "{host: nas, path: /srv/site}")
    assert [one.path for one in project_of(fleet, text).deployments] == ["/srv/site"]


def test_the_same_host_by_two_tags_is_one_deployment(fleet: Fleet) -> None:
    text = SITE.replace("[{host: nas, path: /srv/site}]", "[{tag: docker, path: /srv/site}, {tag: prod, path: /srv/site}]")
    assert len(project_of(fleet, text).deployments) == 1


WRONG = [
    ("sourse: x", "projects/site.yaml:4:1: error: there is no key sourse here\n    did you mean source?"),
    ("keep: many", 'projects/site.yaml:4:7: error: keep: expected a whole number, found "many"'),
    ("strategy: blue-green", '4:11: error: strategy: expected mirror, checkout, releases or slots, found "blue-green"'),
    (
        "runtime: composer",
        '4:10: error: runtime: expected compose, {systemd: UNIT-FILE}, {command: …} or none, found "composer"',
    ),
    ("runtime: systemd", "4:10: error: runtime: systemd needs the unit file: write {systemd: deploy/site.service}"),
    ("runtime: {compos: {}}", "4:11: error: there is no key compos here\n    did you mean compose?"),
    ("runtime: {compose: {file: x}}", "4:21: error: there is no key file here\n    did you mean files?"),
    (
        "runtime: {compose: {pull: maybe}}",
        '4:27: error: runtime.compose.pull: expected missing, always or never, found "maybe"',
    ),
    ("runtime: {compose: a.yml, command: b}", "4:10: error: runtime: say one of compose, systemd and command"),
    ("runtime: {systemd: site.timer}", "4:20: error: runtime.systemd"),
    ("runtime: {systemd: site@.service}", "4:20: error: site@.service is a template, and there are no slots"),
    ("runtime: {compose: ../a.yml}", "4:20: error: runtime.compose"),
    ("runtime: {compose: .git/config}", ".git is left to git"),
    ("needs: [service:ngnix]", "4:9: error: needs: service:ngnix is not declared on a host that this goes to"),
    ("needs: [release:site]", "4:9: error: needs: release:site is part of this project"),
    ("folder: app", "4:1: error: folder is a folder in each release, and with strategy: mirror there are none"),
    ("strategy: releases\nfolder: /app", "5:9: error: folder: /app is an absolute path"),
    ("slots: {blue: {port: 1}, green: {port: 2}}", "4:1: error: slots belongs to strategy: slots, and this project has mirror"),
    ("proxy: {caddy: {site: a.lan}}", "4:1: error: proxy belongs to strategy: slots, and this project has mirror"),
    ("smoke: [{http: /}]", "4:9: error: without slots a smoke test has no port of its own"),
    ("smoke: [{port: 80, stauts: 200}]", "4:20: error: there is no key stauts here\n    did you mean status?"),
    ("env: {2X: a}", '4:7: error: "2X" cannot be the name of a variable'),
    ("env: {PORT: 80}", 'env.PORT: write it in quotes: "80" (without them YAML reads a number)'),
    ("env: {A: b}\nexpect: {AA: b}", "5:10: error: expect: nothing sets AA"),
    ("secrets: {.env: secrets/site.env.age}", "4:17: error: secrets/site.env.age is not in the repository"),
    ("secrets: {.env: files/site.env}", '4:17: error: "files/site.env" is no encrypted file of the fleet'),
    ("secrets: {./.env: secrets/x.age}", '4:11: error: secrets: "./.env" is not the plain form of a path\n    write .env'),
    ("secrets: {../.env: secrets/x.age}", "4:11: error: secrets: ../.env leads out of its folder"),
    ("secrets: {.sync_rev: secrets/x.age}", "4:11: error: secrets: .sync_rev is where the commit of the tree is noted"),
    ("secrets: {a: secrets/x.age, a/b: secrets/x.age}", "4:29: error: secrets: a is a file, and a/b would lie in it"),
    ("shared: [data]\nsecrets: {data/k: secrets/x.age}", "5:11: error: secrets: data/k lies in data, which is shared"),
    ("secrets: {.env.age: {file: secrets/x.age, sealed: true}}", "4:21: error: nothing could open .env.age on the host"),
    ("secrets: {.env: {file: secrets/x.age, sealed: true, identity: /k}}", "4:11: error: .env stays encrypted on the host"),
    ("secrets: {.env: {file: secrets/x.age, identity: /k}}", "4:39: error: identity is for a file that stays encrypted"),
    ("token: {secret: gitea}", "4:1: error: token has no meaning for this source: only an https source takes one"),
    ("owner: 'a:b'", "4:8: error: owner: expected the name of an account"),
]


@pytest.mark.parametrize(("text", "complaint"), WRONG, ids=[text for text, _ in WRONG])
def test_a_wrong_line_is_named_with_place_value_and_remedy(fleet: Fleet, text: str, complaint: str) -> None:
    found = mistakes(fleet, fleet_of(f"{SITE}{text}\n", secrets__x_DOT_age=ENCRYPTED))
    assert complaint in found[0], found


WRONG_SLOTS = [
    ("", "projects/site.yaml:4:11: error: slots are missing\n    add slots:"),
    ("slots: {blue: {port: 8081}}", "6:8: error: green is missing"),
    ("slots: {blue: {port: 8081}, green: {port: 8081}}", "6:43: error: both slots have the port 8081"),
    (
        "slots: {active: red, blue: {port: 1}, green: {port: 2}}",
        '6:17: error: slots.active: expected blue, green or auto, found "red"',
    ),
    ("slots: {blue: {port: 0}, green: {port: 2}}", "6:22: error: slots.blue.port: expected at least 1, found the number 0"),
    ("slots: {blue: {port: 1, service: a}, green: {port: 2}}", "6:34: error: slots.blue is a service of the compose file and"),
    ("slots: {blue: {port: 1, service: a}, green: {port: 2, service: a}}", "6:64: error: both slots are the service a"),
    ("slots: {blue: {port: 1, env: {PORT: x}}, green: {port: 2}}", "6:31: error: PORT is set for each slot by itself"),
    (TWO + "runtime: none", "7:10: error: nothing would run in the slots"),
    (
        TWO + "runtime: {systemd: a.service}",
        "7:20: error: two slots cannot share the unit a.service\n    make it a template, a@",
    ),
    (TWO + "runtime: {command: ./start}", "7:20: error: a command in slots needs one to stop it"),
]


@pytest.mark.parametrize(("text", "complaint"), WRONG_SLOTS, ids=[text for text, _ in WRONG_SLOTS])
def test_slots_that_do_not_fit_together_are_named(fleet: Fleet, text: str, complaint: str) -> None:
    found = mistakes(fleet, fleet_of(f"{SLOTS}{text}\n"))
    assert complaint in found[0], found


def test_slots_without_a_proxy_lead_nowhere(fleet: Fleet) -> None:
    assert "slots need a proxy" in mistake(fleet, fleet_of(f"{SITE}strategy: slots\n{TWO}"))


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("http://host/a.git", "http is not encrypted"),
        ("git://host/a.git", "git is not spoken"),
        ("file:///srv/a.git", "file is not spoken"),
        ("ext::sh -c id", "ext is not spoken"),
        ("../site", "it is neither a URL that we speak nor an absolute path"),
        ("-oProxyCommand=id", "it begins with a dash"),
        ("https://me:token@host/a.git", "has a login in its URL, where everybody could read it"),
        ("https://token@host/a.git", "has a login in its URL, where everybody could read it"),
        ("ssh://git:word@host/a.git", "has a login in its URL, where everybody could read it"),
    ],
)
def test_a_source_is_ssh_https_or_a_path_and_holds_no_login(fleet: Fleet, source: str, complaint: str) -> None:
    text = SITE.replace("ssh://git@gitea.lan/me/site.git", f"'{source}'")
    found = mistake(fleet, fleet_of(text))
    assert found.startswith("projects/site.yaml:1:9: error: the source ")
    assert complaint in found
    assert "token@" not in found
    assert ":word@" not in found


@pytest.mark.parametrize("revision", ["-x", "a..b", "main~1", "a b", "refs/heads/*", "HEAD@{1}", "a:b"])
def test_a_revision_is_a_plain_name(fleet: Fleet, revision: str) -> None:
    found = mistake(fleet, fleet_of(SITE.replace("revision: main", f"revision: '{revision}'")))
    assert found.startswith(f'projects/site.yaml:2:11: error: revision: "{revision}" cannot be a revision')


@pytest.mark.parametrize(
    ("deploy", "complaint"),
    [
        ("[]", "3:9: error: deploy: it goes nowhere: write [{host: NAME, path: /srv/NAME}]"),
        ("[{path: /srv/site}]", "3:10: error: deploy.0: say either host or tag"),
        ("[{host: nas, tag: docker, path: /srv/site}]", "3:10: error: deploy.0: say either host or tag"),
        ("[{host: nsa, path: /srv/site}]", "3:17: error: there is no host nsa\n    did you mean nas?"),
        ("[{host: nas, path: srv/site}]", "3:28: error: deploy.0.path: expected an absolute path, as in /srv/site"),
        ("[{host: nas, path: /srv//site/}]", '3:28: error: deploy.0.path: a path stands without "//"'),
        ("[{host: nas, path: /srv/../site}]", '3:28: error: deploy.0.path: a path stands without "//"'),
        ("[{host: nas, path: /}]", "3:28: error: deploy.0.path: the root directory itself is not managed"),
        ("[{host: nas, path: /a}, {tag: prod, path: /b}]", "3:33: error: site goes to nas twice: here to /b"),
    ],
)
def test_where_a_project_goes_is_checked(fleet: Fleet, deploy: str, complaint: str) -> None:
    found = mistakes(fleet, fleet_of(SITE.replace("[{host: nas, path: /srv/site}]", deploy)))
    assert complaint in found[0], found


def test_a_tag_that_no_host_has_is_a_warning(fleet: Fleet) -> None:
    found = loaded(fleet, fleet_of(SITE.replace("host: nas", "tag: dokcer")))
    assert [str(one) for one in found.warnings] == [
        "projects/site.yaml:3:16: warning: no host has the tag dokcer: it goes nowhere\n    did you mean docker?"
    ]
    assert found.projects["site"].deployments == ()


def test_all_mistakes_of_a_project_are_told_in_one_run(fleet: Fleet) -> None:
    text = "sourse: /srv/a.git\nrevision: -x\ndeploy: [{host: nsa, path: b}]\nstrategy: slot\nkeep: 0\nenv: {1: a}\n"
    found = mistakes(fleet, fleet_of(text))
    assert [line.split(":")[1] for line in found] == ["1", "2", "3", "4", "5", "6"]


def test_a_project_that_cannot_be_read_is_no_second_mistake_for_those_that_need_it(fleet: Fleet) -> None:
    host = NAS + "files: {/etc/x: {content: x, needs: [release:site]}}\n"
    assert "this is not YAML" in mistake(fleet, {"hosts/nas.yaml": host, "projects/site.yaml": "source\n: x\n"})


def test_projects_differ_in_more_than_case(fleet: Fleet) -> None:
    found = mistake(fleet, fleet_of(SITE, projects__Site_DOT_yaml=SITE.replace("/srv/site", "/srv/other")))
    assert "is already described at projects/Site.yaml:1:1 (as Site)" in found


def test_a_project_file_is_found_by_the_ending_yaml(fleet: Fleet) -> None:
    assert "projects/ is read by the ending .yaml" in mistake(fleet, fleet_of(SITE, projects__b_DOT_yml=SITE))


def test_an_unchanged_project_is_read_once(fleet: Fleet) -> None:
    cache = Cache()

    def settings(found: Desired) -> object:
        return found.projects["site"].settings

    first = settings(loaded(fleet, fleet_of(SITE), cache))
    assert settings(loaded(fleet, {"hosts/nas.yaml": NAS + "vars: {a: b}\n"}, cache)) is first


PAGE = (Path(__file__).parents[3] / "docs" / "projects.md").read_text()
EXAMPLES = dict(re.findall(r"^```yaml\n# (projects/\S+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))


def test_the_examples_of_the_documentation_are_valid(fleet: Fleet) -> None:
    hosts = {"hosts/nas.yaml": NAS + "services: {docker: {running: true}}\n", "hosts/web.yaml": "address: web\ntags: [web]\n"}
    hosts["hosts/web.yaml"] += "services: {docker: {running: true}}\n"
    names = ("site.env", "git/shop", "mail/key", "mail.env")
    secrets = {f"secrets/{name}.age": ENCRYPTED for name in names}
    found = loaded(fleet, {**hosts, **secrets, **EXAMPLES})
    assert found.warnings == ()
    assert list(found.projects) == ["handbook", "mail", "shop", "site"]


def test_every_field_of_a_project_is_documented() -> None:
    shown = {key for text in EXAMPLES.values() for key in re.findall(r"^([a-z]+):", text, re.MULTILINE)}
    assert shown == set(ProjectSettings.model_fields)
    for model in (ComposeSettings, SystemdSettings, CommandSettings, SlotsSettings, SlotSettings, SecretFile, Smoke):
        assert not [name for name in model.model_fields if not re.search(rf"\b{name}\b", PAGE)]
