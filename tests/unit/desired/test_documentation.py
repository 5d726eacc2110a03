"""The examples in docs/repository.md are one valid fleet, and show what the text says."""

from __future__ import annotations

import re
from pathlib import Path

from tests.fleet import Fleet
from tests.unit.desired.support import ENCRYPTED, loaded

TEXT = (Path(__file__).parents[3] / "docs" / "repository.md").read_text()
BLOCKS = re.findall(r"^```(?:yaml|jinja)\n(?:# |\{# )(\S+)(?: #\})?\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


def test_the_examples_are_a_valid_fleet(fleet: Fleet) -> None:
    assert [name for name, _ in BLOCKS] == [
        "fleet.yaml",
        "hosts/web.yaml",
        "hosts.yaml",
        "bundles/base.yaml",
        "files/app.conf.j2",
    ]
    more: dict[str, str | bytes | None] = {
        "files/issue": "hello\n",
        "files/footer": "# end",
        "secrets/alerts/chat.age": ENCRYPTED,
    }
    found = loaded(fleet, {**dict(BLOCKS), **more})

    assert sorted(found.hosts) == ["laptop", "nas", "web"]
    assert found.warnings == ()
    bodies = {resource.ref: resource.spec.body for resource in found.hosts["web"].resources}
    assert bodies["file:/etc/motd"] == b"welcome to web\n"
    assert bodies["file:/etc/app.conf"] == (
        b"# web at ops@web.lan:22, in production\n\nzone = Europe/Paris\nadmin = ops@example.org\n"
        b"\npeer = laptop\n\npeer = nas\n\npeer = web\n\n# end\n"
    )


def test_every_key_of_a_host_and_of_the_fleet_is_shown() -> None:
    from desired.schema import FleetSettings, HostSettings

    shown = {name: set(re.findall(r"^([a-z_]+):", text, re.MULTILINE)) for name, text in BLOCKS}
    assert set(FleetSettings.model_fields) - shown["fleet.yaml"] == {"signers"}
    assert set(HostSettings.model_fields) - shown["hosts/web.yaml"] == {"type"}
