"""What is read from a project's compose files: which services there are, what each is made from, and what would go wrong."""

from __future__ import annotations

import contextlib
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desired.compose.read import ComposeProblem, compose_runner, compose_warnings, detect
from desired.project import ComposeSettings, ProjectSettings
from providers.runners.models import ComposeRunner
from providers.tree import Tree, TreeFile, tree_of

SHOP = {
    "compose.yaml": """
x-usual: &usual
  restart: unless-stopped
  env_file: [{path: .env}]
services:
  web:
    <<: *usual
    build: {context: ./app, dockerfile: ../docker/Dockerfile}
    image: "shop:${TAG:-1}"
    ports: ["127.0.0.1:${PORT}:80"]
    volumes: ["./conf:/etc/shop:ro", "./data:/data", "cache:/cache", "/srv/all:/all"]
    depends_on: {db: {condition: service_healthy}, migrate: {condition: service_completed_successfully}}
    secrets: [key]
  db:
    image: postgres
    restart: always
    volumes: [{type: bind, source: ./db.conf, target: /etc/db.conf}, {type: volume, source: cache, target: /c}]
    networks: [back]
  migrate: {image: postgres, restart: "no", healthcheck: {disable: true}, command: [migrate]}
  debug: {image: postgres, profiles: [debug]}
volumes: {cache: {}}
networks: {back: {}}
secrets: {key: {file: ./key.txt}}
""",
    "app/main.py": "1",
    "app/notes.md": "1",
    "app/.dockerignore": "# not for the image\n*.md\n",
    "docker/Dockerfile": "FROM scratch",
    "conf/shop.conf": "1",
    "db.conf": "1",
    "key.txt": "1",
    "README.md": "1",
    ".env": "TAG=2\nOTHER=1\n",
    ".sync_rev": "1",
}


def tree(files: dict[str, str], **sealed: str) -> Tree:
    """`sealed`: path, with _ for the dot, → version."""
    entries = [TreeFile(path, "0644", hashlib.sha256(text.encode()).hexdigest(), len(text)) for path, text in files.items()]
    entries += [TreeFile(path.replace("_", "."), "0600", f"sealed:{version}", 1) for path, version in sealed.items()]
    return tree_of("c" * 40, entries, lambda path: files[path].encode())


def project(**settings: Any) -> ProjectSettings:
    needed = {"source": "/srv/git/shop", "revision": "main", "deploy": [{"host": "nas", "path": "/srv/shop"}]}
    return ProjectSettings.model_validate(needed | settings)


SLOTS: dict[str, Any] = {"strategy": "slots", "proxy": {"caddy": {"site": "shop.lan"}}}


def runner(files: dict[str, str], settings: ComposeSettings | None = None, **more: Any) -> ComposeRunner:
    slot = more.pop("slot", None)
    sealed = more.pop("sealed", {})
    return compose_runner(settings or ComposeSettings(), "Shop.1", tree(files, **sealed), project(**more), slot)


def compose(text: str, **files: str) -> dict[str, str]:
    return {"compose.yaml": text, **files}


def remade(**changed: str) -> set[str]:
    """The services that are made anew when these files of the shop change."""
    before, after = (
        runner(SHOP).services,
        runner(SHOP | {name.replace("__", "/"): text for name, text in changed.items()}).services,
    )
    return {name for name in before if before[name] != after[name]}


def changed(path: str, text: str = "2") -> set[str]:
    return remade(**{path: text})


def test_services_are_found_with_what_they_are() -> None:
    found = runner(SHOP)
    assert set(found.services) == {"web", "db", "migrate"}
    assert (found.files, found.project, found.alone) == (("compose.yaml",), "shop1", True)
    assert (found.built, found.once) == (("web",), ("migrate",))


@pytest.mark.parametrize(
    ("path", "services"),
    [
        ("app/main.py", {"web"}),
        ("app/notes.md", set()),
        ("app/.dockerignore", {"web"}),
        ("docker/Dockerfile", {"web"}),
        ("conf/shop.conf", {"web"}),
        ("conf/more.conf", {"web"}),
        ("db.conf", {"db"}),
        ("key.txt", {"web"}),
        ("README.md", set()),
        (".sync_rev", set()),
        (".env", {"web"}),
        ("data/inside", {"web"}),
    ],
)
def test_a_service_is_made_anew_when_a_file_that_it_is_made_from_changes_and_not_otherwise(
    path: str, services: set[str]
) -> None:
    assert changed(path) == services


def test_a_service_is_made_anew_when_what_its_file_says_of_it_changes() -> None:
    assert changed("compose.yaml", SHOP["compose.yaml"].replace("[migrate]", "[migrate, all]")) == {"migrate"}
    assert changed("compose.yaml", SHOP["compose.yaml"].replace("{back: {}}", "{back: {internal: true}}")) == {"db"}
    assert changed("compose.yaml", "# a comment\n" + SHOP["compose.yaml"].replace("[back]", '["back"]')) == set()


def test_a_variable_counts_only_for_those_who_ask_for_it() -> None:
    text = "services: {a: {image: 'x:${TAG}'}, b: {image: 'x:$$TAG'}, c: {image: x, environment: [TAG]}, d: {image: x}}"
    one, two = (runner(compose(text, **{".env": f"TAG={tag}\nNOISE={tag * 2}\n"})).services for tag in "12")
    assert {name for name in one if one[name] != two[name]} == {"a", "c"}


def test_a_variable_in_an_encrypted_file_counts_by_the_version_of_that_file() -> None:
    text = "services: {a: {image: 'x:${TAG}'}, b: {image: x}, c: {image: x, env_file: .env}}"
    one, two = (runner(compose(text), sealed={"_env": version}).services for version in ("aa", "bb"))
    assert {name for name in one if one[name] != two[name]} == {"a", "c"}


def test_a_path_that_only_the_host_can_tell_counts_as_the_whole_tree() -> None:
    text = "services: {a: {image: x, volumes: ['${WHERE}/conf:/c']}, b: {image: x}}"
    one, two = (runner(compose(text, anything=content), sealed={"_env": "aa"}).services for content in "12")
    assert {name for name in one if one[name] != two[name]} == {"a"}
    one, two = (runner(compose(text, **{".env": "WHERE=./w", "w/conf": c, "other": "x"})).services for c in "12")
    assert {name for name in one if one[name] != two[name]} == {"a"}


def test_a_link_counts_with_what_it_leads_to() -> None:
    files = compose("services: {a: {image: x, volumes: ['./link:/c']}}", real="1", link="real")

    def digest(content: str) -> str:
        whole = files | {"real": content}
        entries = [
            TreeFile(path, "link" if path == "link" else "0644", hashlib.sha256(text.encode()).hexdigest(), len(text))
            for path, text in whole.items()
        ]
        linked = tree_of("c" * 40, entries, lambda path: whole[path].encode())
        return compose_runner(ComposeSettings(), "x", linked, project()).services["a"]

    assert digest("1") != digest("2")


def test_what_a_service_extends_and_what_is_included_counts_too() -> None:
    text = "include: [more/part.yaml]\nservices: {a: {extends: {file: base/base.yaml, service: root}}, b: {image: x}}"
    base = "services: {root: {image: x, volumes: ['./f:/f']}}"
    part = "services: {inner: {image: x, env_file: vars}}"
    files = compose(text) | {"base/base.yaml": base, "base/f": "1", "more/part.yaml": part, "more/vars": "A=1"}
    before = runner(files).services
    assert set(before) == {"a", "b", "inner"}
    for path, services in {"base/f": {"a"}, "more/vars": {"inner"}}.items():
        after = runner(files | {path: "2"}).services
        assert {name for name in before if before[name] != after[name]} == services


def test_files_are_found_as_compose_finds_them() -> None:
    plain = "services: {a: {image: x}}"
    assert runner({"docker-compose.yml": plain, "compose.yml": plain}).files == ("compose.yml",)
    both = {"docker-compose.yml": plain, "docker-compose.override.yml": "services: {b: {image: y}}"}
    assert runner(both).files == ("docker-compose.yml", "docker-compose.override.yml")
    assert set(runner(both).services) == {"a", "b"}
    assert runner({"prod.yaml": plain, ".env": "COMPOSE_FILE=prod.yaml"}).files == ("prod.yaml",)
    assert runner({"x/prod.yaml": plain}, ComposeSettings(files=("./x/prod.yaml",))).files == ("x/prod.yaml",)


def test_paths_start_from_the_folder_of_the_first_file() -> None:
    files = {"x/c.yaml": "services: {a: {image: x, volumes: ['./f:/f', '../../out:/o']}}", "x/f": "1", "f": "1"}
    settings = ComposeSettings(files=("x/c.yaml",))
    before = runner(files, settings).services
    assert runner(files | {"f": "2"}, settings).services == before
    assert runner(files | {"x/f": "2"}, settings).services != before


def test_only_what_is_asked_for_is_started() -> None:
    assert set(runner(SHOP, ComposeSettings(profiles=("debug",))).services) == {"web", "db", "migrate", "debug"}
    assert set(runner(SHOP, ComposeSettings(services=("db",))).services) == {"db"}


def test_a_slot_that_is_a_service_shares_its_compose_project_with_the_other() -> None:
    text = "services: {web_blue: {depends_on: [api]}, web_green: {image: x}, api: {depends_on: [db]}, db: {image: x}}"
    slots = {"blue": {"port": 8081, "service": "web_blue"}, "green": {"port": 8082, "service": "web_green"}}
    found = runner(compose(text), slot="blue", slots=slots, **SLOTS)
    assert (set(found.services), found.alone, found.project) == ({"web_blue"}, False, "shop1")
    assert found.depends == ("api", "db")
    assert found.env == {"SLOT": "blue", "PORT": "8081"}


def test_a_slot_without_a_service_has_a_compose_project_of_its_own() -> None:
    slots = {"blue": {"port": 8081}, "green": {"port": 8082, "env": {"COLOUR": "g"}}}
    blue, green = (runner(SHOP, slot=slot, slots=slots, **SLOTS) for slot in ("blue", "green"))
    assert (blue.project, green.project, blue.alone) == ("shop1-blue", "shop1-green", True)
    assert green.env == {"COLOUR": "g", "SLOT": "green", "PORT": "8082"}
    assert {name for name in blue.services if blue.services[name] != green.services[name]} == {"web"}


def test_how_many_containers_a_service_has_is_known_or_left_open() -> None:
    text = (
        "services: {a: {image: x, scale: 3}, b: {image: x, deploy: {replicas: 2}}, c: {image: x, scale: '${N}'}, d: {image: x}}"
    )
    assert runner(compose(text), sealed={"_env": "aa"}).replicas == {"a": 3, "b": 2, "c": -1}


@pytest.mark.parametrize(
    ("files", "settings", "message", "hint"),
    [
        ({}, {}, "no compose file", "commit a compose.yaml"),
        (SHOP, {"services": ("wep",)}, "there is no service wep in compose.yaml", "did you mean web?"),
        (SHOP, {"files": ("prod.yaml",)}, "prod.yaml is not in the project's tree", ""),
        (compose("services:\n  a: {image: [\n"), {}, "compose.yaml:3:1: ", ""),
        (compose("services: {a: {<<: *b}}"), {}, "compose.yaml:1:20: this is not YAML: found undefined alias", ""),
        (compose("services: {a: 1}"), {}, "services.a is to be a mapping, and is the number 1", ""),
        (compose("services: {}"), {}, "has no services", ""),
        (compose("services: {'a b': {image: x}}"), {}, '"a b" cannot be the name of a service', ""),
        (compose("services: {a: {image: x, profiles: [p]}}"), {}, "belong to profiles", "name a profile"),
        (compose("services: {a: {extends: {service: b}}}"), {}, "which is not in compose.yaml", ""),
        (compose("include: [compose.yaml]\nservices: {a: {image: x}}"), {}, "includes it again", ""),
        (compose("[" * 2000), {}, "compose.yaml:1:", ""),
    ],
)
def test_a_mistake_is_told_with_its_file_and_what_to_do(
    files: dict[str, str], settings: dict[str, Any], message: str, hint: str
) -> None:
    with pytest.raises(ComposeProblem) as problem:
        runner(files, ComposeSettings(**settings))
    assert message in str(problem.value)
    assert hint in problem.value.hint


def warnings(files: dict[str, str], **more: Any) -> tuple[str, ...]:
    return compose_warnings(ComposeSettings(), tree(files), project(**{"env": {"PORT": "80"}, **more}))


def test_data_that_lies_in_a_release_is_told_before_it_is_lost() -> None:
    lost = ("web keeps data in ./data, which would be lost with the release: add data to shared",)
    assert warnings(SHOP, strategy="releases") == lost
    assert warnings(SHOP, strategy="releases", shared=["data/"]) == ()
    assert warnings(SHOP, strategy="mirror") == ()


def test_what_two_slots_cannot_both_have_is_told() -> None:
    slots = {"blue": {"port": 1}, "green": {"port": 2}}
    text = "services: {a: {image: x, container_name: a, ports: ['80:80', '${PORT}:81', {published: 82, target: 82}, '83']}}"
    told = warnings(compose(text), slots=slots, **SLOTS)
    assert ["container_name" in told[0], "port 80 " in told[1], "port 82 " in told[2]] == [True, True, True]
    assert len(told) == 3


def test_a_container_cannot_read_what_stays_encrypted() -> None:
    secret = {".env.age": {"file": "secrets/shop.age", "sealed": True, "identity": "/etc/age/key"}}
    [told] = warnings(compose("services: {a: {image: x, env_file: .env}}"), secrets=secret)
    assert "stays encrypted" in told
    sealed = compose_runner(ComposeSettings(), "x", tree(compose("services: {a: {image: x}}")), project(secrets=secret)).sealed
    assert sealed == {".env.age": "/etc/age/key"}


def test_variables_that_nothing_sets_are_told_and_those_beside_a_compose_file_in_a_folder_count() -> None:
    text = "services: {web: {image: 'web:${TAG}', ports: ['${PORT:?}:80'], command: '$$A ${B:-b} ${C:+c} $HOME ${D:-${E:-e}}'}}"
    required, empty = compose_warnings(ComposeSettings(), tree(compose(text)), project())
    assert required.startswith("compose.yaml does not start without PORT, and nothing sets that")
    assert empty.startswith("compose.yaml asks for TAG, and nothing sets that")
    below = ComposeSettings(files=("app/compose.yaml",))
    files = {"app/compose.yaml": text, "app/.env": "TAG=1\nPORT=80\n"}
    assert compose_warnings(below, tree(files), project()) == ()
    assert runner(files, below).services != runner(files | {"app/.env": "TAG=2\nPORT=80\n"}, below).services


def test_a_file_with_variables_that_is_not_there_is_told() -> None:
    files = compose("services: {web: {image: web, env_file: [web.env, {path: other.env, required: false}]}}")
    (told,) = warnings(files)
    assert told.startswith("web reads web.env by env_file, and that is not in the project")
    assert warnings(files | {"web.env": ""}) == ()
    assert warnings(files, secrets={"web.env": "secrets/web.age"}) == ()


@pytest.mark.parametrize("bond", ["network_mode: 'service:db'", "volumes_from: [db]", "depends_on: {db: {restart: true}}"])
def test_what_cannot_go_on_without_the_container_of_another_service_is_made_anew_with_it(bond: str) -> None:
    files = compose(
        f"services: {{db: {{image: db, volumes: ['./db.conf:/c']}}, app: {{image: app, {bond}}}, web: {{image: web}}}}"
    )
    before, after = (runner(files | {"db.conf": text}).services for text in "12")
    assert {name for name in before if before[name] != after[name]} == {"db", "app"}


def test_services_that_are_not_started_are_known_as_those_of_the_files() -> None:
    assert runner(SHOP).others == ("debug",)
    assert runner(SHOP, ComposeSettings(services=("web",))).others == ("db", "debug", "migrate")


def test_the_plan_says_what_the_project_can_do() -> None:
    assert detect(tree(SHOP)) == "compose.yaml with 4 services (db, debug, migrate, web); web is built from ./app"
    assert detect(tree({"index.html": ""})) is None


@given(st.binary(max_size=200) | st.text(alphabet="services:{}[]&*<!|>-\n 'ab\"$", max_size=60).map(str.encode))
def test_no_file_can_break_the_reader(data: bytes) -> None:
    broken = tree_of("c" * 40, [TreeFile("compose.yaml", "0644", "0" * 64, len(data))], lambda _: data)
    with contextlib.suppress(ComposeProblem):
        assert compose_runner(ComposeSettings(), "x", broken, project()).services
