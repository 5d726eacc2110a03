"""What somebody who writes their first project file is told: the value as they wrote it, and how it is said here."""

from __future__ import annotations

import pytest

from tests.fleet import Fleet
from tests.unit.desired.support import HOST, mistake

NAS = "address: ops@nas.lan\ntags: [docker]\n"


def told(fleet: Fleet, **keys: str) -> str:
    """The one mistake in a project file with these keys."""
    written = {"source": "/srv/git/site.git", "revision": "main", "deploy": "{host: nas, path: /srv/site}", **keys}
    text = "".join(f"{key}: {value}\n" for key, value in written.items())
    return mistake(fleet, {"hosts/nas.yaml": NAS, "projects/site.yaml": text})


@pytest.mark.parametrize("revision", ["1.10", "1e10", "0x1F", "0o17", "1.0e3", "+5"])
def test_a_revision_that_looks_like_a_number_is_to_be_quoted_as_it_was_written(fleet: Fleet, revision: str) -> None:
    assert told(fleet, revision=revision) == (
        f'projects/site.yaml:2:11: error: revision: write it in quotes: "{revision}" (without them YAML reads a number), '
        f"found the number {revision}"
    )


def test_a_commit_id_of_digits_alone_is_shown_whole(fleet: Fleet) -> None:
    commit = "0123456789" * 4
    assert f'write it in quotes, "{commit}"' in told(fleet, revision=commit)


def test_so_is_the_version_of_a_package(fleet: Fleet) -> None:
    found = mistake(fleet, {"hosts/web.yaml": HOST + "packages: {apt: [{name: nginx, version: 1.10}]}\n"})
    assert '"1.10"' in found
    assert '"1.1"' not in found


@pytest.mark.parametrize(
    ("key", "value", "hint"),
    [
        ("ensure", "absent", "delete its file"),
        ("branch", "main", "write revision: BRANCH"),
        ("tag", "v1", "write revision: TAG"),
        ("repo", "/srv/git/site.git", "write source: URL"),
        ("host", "nas", "write deploy: {host: NAME, path: /srv/NAME}"),
        ("follows", "[service:docker]", "what comes first stands in needs"),
    ],
)
def test_a_word_of_another_tool_is_answered_with_ours(fleet: Fleet, key: str, value: str, hint: str) -> None:
    found = told(fleet, **{key: value})
    assert found.startswith(f"projects/site.yaml:4:1: error: there is no key {key} here")
    assert hint in found


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/etc", "belongs to the system"),
        ("/usr/bin", "belongs to the system"),
        ("/var/lib", "belongs to the system"),
        ("/proc/site", "belongs to the system"),
        ("/var/lib/reconciler", "keeps what it remembers"),
        ("/var/lib/reconciler/projects", "keeps what it remembers"),
    ],
)
def test_a_project_is_not_put_over_the_system(fleet: Fleet, path: str, reason: str) -> None:
    found = told(fleet, deploy=f"[{{host: nas, path: {path}}}]")
    assert found.startswith("projects/site.yaml:3:28: error: ")
    assert reason in found
    assert found.endswith("write a path like /srv/site")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"deploy": "{host: nas, tag: docker, path: /srv/site}"}, "3:9: error: deploy: say either host or tag"),
        ({"source": '""'}, "1:9: error: the source is empty"),
        ({"source": "ssh://git@host:0/x"}, "is refused: there is no port 0"),
        ({"needs": '[""]'}, '4:9: error: needs: "" is not the reference of a resource'),
        ({"needs": "[docker]"}, '4:9: error: needs: "docker" is not the reference of a resource'),
        ({"needs": "[service:docker]"}, "4:9: error: needs: service:docker is not declared"),
        ({"env": "{A: b}", "expect": "{A: c}"}, '5:13: error: expect: A is to be "c", and env: says "b"'),
    ],
)
def test_a_slip_is_told_where_it_was_made(fleet: Fleet, keys: dict[str, str], message: str) -> None:
    found = told(fleet, **keys)
    assert message in found
    assert "found nothing" not in found
