"""One cause, one message: what a mistake hides elsewhere is not a second mistake. And what leads to nothing says so."""

from __future__ import annotations

import pytest

from tests.fleet import Fleet
from tests.unit.desired.support import HOST, Files, loaded, mistake, mistakes

USER = "files: {/x: {source: files/x.j2, needs: ['package:apt/nginx']}}\n"
TEMPLATE = {"files/x.j2": "{{ vars.zone }}\n"}
BASE = "vars: {zone: UTC}\npackages: {apt: [nginx]}\n"


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (
            {"hosts/web.yaml": HOST + "bundles: [base]\n" + USER, "bundles/base.yaml": BASE + "files: ["},
            "bundles/base.yaml:3:9",
        ),
        ({"hosts/web.yaml": HOST + "bundles: [bse]\n" + USER, "bundles/base.yaml": BASE}, "hosts/web.yaml:2:11"),
        (
            {"hosts/web.yaml": HOST + "bundles: [a]\n" + USER, "bundles/a.yaml": "bundles: [bse]\n", "bundles/base.yaml": BASE},
            "bundles/a.yaml:1:11",
        ),
        ({"hosts/web.yaml": HOST + "vars: {zone: UTC}\npackges: {apt: [nginx]}\n" + USER}, "hosts/web.yaml:3:1"),
        ({"hosts/web.yaml": HOST + "var: {zone: UTC}\npackages: {apt: [nginx]}\n" + USER}, "hosts/web.yaml:2:1"),
        ({"hosts/web.yaml": HOST + "vars: [zone]\npackages: {apt: [nginx]}\n" + USER}, "hosts/web.yaml:2:7"),
        ({"hosts/web.yaml": HOST + "packages: {apt: [nginx]}\n" + USER, "fleet.yaml": "vars: zone\n"}, "fleet.yaml:1:7"),
        ({"hosts/web.yaml": HOST + "vars: {zone: UTC}\npackages: [nginx]\n" + USER}, "hosts/web.yaml:3:11"),
    ],
)
def test_what_a_mistake_hides_is_not_a_second_mistake(fleet: Fleet, files: Files, told: str) -> None:
    assert mistake(fleet, {**TEMPLATE, **files}).startswith(f"{told}: error: ")


def test_a_host_that_cannot_be_read_is_not_missing_in_the_templates_of_others(fleet: Fleet) -> None:
    files = {
        "hosts/web.yaml": HOST + "files: {/x: {source: files/x.j2}}\n",
        "hosts/db.yaml": "address: [",
        "files/x.j2": "{{ hosts.db.vars.port }}\n",
    }
    assert mistake(fleet, files).startswith("hosts/db.yaml:1:11: error: ")


def test_but_other_mistakes_on_the_same_host_are_told(fleet: Fleet) -> None:
    files = {
        "hosts/web.yaml": HOST
        + "bundles: [bse]\nfiles: {/x: {source: files/x.j2}, /y: {content: x, mode: 99}, /z: {source: files/z}}\n",
        "files/x.j2": "{% if %}\n",
    }
    assert [one.partition(": error")[0] for one in mistakes(fleet, files)] == [
        "files/x.j2:1:1",
        *["hosts/web.yaml:2:11", "hosts/web.yaml:3:58", "hosts/web.yaml:3:76"],
    ]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("fleet.yml", "fleet.yml: error: this is read by the name fleet.yaml\n    rename the file to fleet.yaml"),
        ("hosts.yml", "hosts.yml: error: this is read by the name hosts.yaml"),
        ("hosts.yaml/web", "hosts.yaml: error: this has to be a file"),
        ("hosts/db.yaml/x", "hosts/db.yaml/x: error: files in subfolders of hosts/ are not read"),
    ],
)
def test_what_looks_like_ours_and_is_not_read_is_a_mistake(fleet: Fleet, path: str, told: str) -> None:
    assert mistake(fleet, {"hosts/web.yaml": HOST, path: "{}"}).startswith(told)


@pytest.mark.parametrize(
    ("manifest", "told"),
    [
        (
            "files: {/a: {content: x, follows: ['file:/b']}, /b: {content: x}}\n",
            "hosts/web.yaml:2:26: warning: follows has no effect on a file beyond the order: it is never refreshed",
        ),
        ("services: [ssh]\n", "hosts/web.yaml:2:12: warning: service:ssh: nothing is asked for, so nothing is done"),
        (
            "files: {/a: {content: 'I am {{ host.name }}'}}\n",
            "hosts/web.yaml:2:23: warning: content: this looks like a template, and is installed as it stands",
        ),
    ],
)
def test_what_leads_to_nothing_says_so(fleet: Fleet, manifest: str, told: str) -> None:
    (warning,) = loaded(fleet, {"hosts/web.yaml": HOST + manifest}).warnings
    assert str(warning).startswith(told)


@pytest.mark.parametrize(
    "manifest",
    [
        "services: {ssh: {follows: ['file:/a']}}\nfiles: {/a: {content: x}}\n",
        "services: {ssh: {ensure: absent}}\n",
        "files: {/a: {content: '{{ host.name }}', template: false}}\n",
        "files: {/a: {content: '{{ .Values.name }} ${x} {x}'}}\n",
        "commands: {a: {run: x, creates: /x, follows: ['file:/a']}}\nfiles: {/a: {content: x}}\n",
    ],
)
def test_what_is_meant_is_not_warned_about(fleet: Fleet, manifest: str) -> None:
    assert loaded(fleet, {"hosts/web.yaml": HOST + manifest}).warnings == ()
