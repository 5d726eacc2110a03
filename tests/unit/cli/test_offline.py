"""Commands that ask no host: diff and schema; and the demo, which makes its own."""

from __future__ import annotations

import io
import json
import re
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

import reconciler.demo
from reconciler.cli.entry import run
from reconciler.cli.screen import Screen
from reconciler.render.json_schema import schema_of
from tests.fleet import Fleet
from tests.unit.cli.console import UNREACHABLE, Console, text_of

FILES = 'files:\n  /etc/motd: {content: "one\\n"}\n  /etc/issue: {content: "x\\n"}\n'
LATER = 'files:\n  /etc/motd: {content: "two\\n", mode: "0644"}\n  /etc/new: {content: "x\\n"}\n'


def test_diff_tells_which_resources_a_commit_touches(fleet: Fleet, console: Console) -> None:
    fleet.commit({"hosts/a.yaml": UNREACHABLE + FILES, "hosts/b.yaml": UNREACHABLE})
    fleet.commit(
        {
            "hosts/a.yaml": UNREACHABLE + LATER,
            "hosts/b.yaml": None,
            "hosts/c.yaml": UNREACHABLE,
            "fleet.yaml": "max_deletions: 9\n",
        }
    )
    difference = console("diff", "HEAD~1")
    assert difference.code == 0, difference
    assert "fleet.yaml\n  max_deletions: 5 → 9\n" in difference.out
    assert "  ~ file:/etc/motd  hosts/a.yaml:3:3\n      mode: none → 0644\n" in difference.out
    assert "      -one\n      +two\n" in difference.out
    assert "  - file:/etc/issue" in difference.out
    assert "  + file:/etc/new" in difference.out
    assert "- b  no longer in the fleet" in difference.out
    assert "+ c  new host" in difference.out
    assert difference.out.endswith("\n1 added, 1 changed, 1 removed on 3 hosts.\n")
    assert "+two" not in console("diff", "HEAD~1", "--no-diff").out


def test_diff_of_a_commit_with_itself_is_empty(fleet: Fleet, console: Console) -> None:
    fleet.commit({"hosts/a.yaml": UNREACHABLE + FILES})
    assert console("diff", "HEAD").out.endswith("\nNo difference in what is asked for.\n")
    assert console.json("diff", "HEAD")["hosts"] == []


def test_diff_compares_with_the_working_tree_and_speaks_json(fleet: Fleet, console: Console) -> None:
    commit = fleet.commit({"hosts/a.yaml": UNREACHABLE + FILES})
    fleet.write({"hosts/a.yaml": UNREACHABLE + LATER})
    document = console("diff", "HEAD", "--worktree", "--json").json()
    assert (document["old"], document["new"]) == (commit, None)
    assert [one["ref"] for one in document["hosts"][0]["resources"]] == ["file:/etc/issue", "file:/etc/motd", "file:/etc/new"]


def references(schema: Any) -> set[str]:
    return set(re.findall(r'"\$ref": "#/\$defs/([^"]+)"', json.dumps(schema)))


@pytest.mark.parametrize("sort", ["fleet", "host", "hosts", "bundle", "project"])
def test_a_schema_is_complete_in_itself(sort: Any, console: Console) -> None:
    schema = console("schema", sort).json()
    assert schema == schema_of(sort)
    assert references(schema) <= set(schema["$defs"])


def test_the_schema_of_a_host_knows_settings_sections_and_fields() -> None:
    schema = schema_of("host")
    assert schema["required"] == ["address"]
    assert schema["additionalProperties"] is False
    assert {"become", "files", "packages", "services"} <= set(schema["properties"])
    assert "apt" in schema["properties"]["packages"]["properties"]
    file = schema["$defs"]["FileSpec"]
    assert "name" not in file["properties"]
    assert file["properties"]["mode"]["description"]


def test_only_in_a_bundle_a_resource_must_be_complete() -> None:
    assert schema_of("bundle")["$defs"]["CommandSpec"]["required"] == ["run"]
    assert "required" not in schema_of("host")["$defs"]["CommandSpec"]


def test_the_demo_tells_the_whole_story_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciler.demo, "FOLDER", tmp_path / "demo")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    picture = tmp_path / "demo.svg"
    screen = Screen(io.StringIO(), io.StringIO(), io.StringIO())
    begin = time.monotonic()
    assert run(["demo", "--svg", str(picture)], screen) == 0, text_of(screen.err)
    assert time.monotonic() - begin < 30
    told = text_of(screen.out)
    story = ["3 to create", "demo: converged", "demo: nothing to do", "drift: ", "-log = debug", "workers = 4", "no longer in"]
    positions = [told.find(words) for words in story]
    assert -1 not in positions
    assert positions == sorted(positions)
    assert "\x1b" not in told
    assert not (tmp_path / "demo").exists()
    assert not (tmp_path / "home").exists()
    drawn = "".join(ET.parse(picture).getroot().itertext()).replace("\xa0", " ")
    assert "$ reconcile plan" in drawn


def test_a_demo_that_is_kept_can_be_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciler.demo, "FOLDER", tmp_path / "demo")
    screen = Screen(io.StringIO(), io.StringIO(), io.StringIO())
    assert run(["demo", "--keep"], screen) == 0
    assert run(["-C", str(tmp_path / "demo/fleet"), "plan", "--detailed-exitcode"], screen) == 0


def test_a_comparison_says_which_of_the_two_is_not_valid(fleet: Fleet, console: Console) -> None:
    fleet.commit({"hosts/nas.yaml": "address: local\nbogus: 1\n"})
    fleet.commit({"hosts/nas.yaml": "address: local\n"})
    result = console("diff", "HEAD~1")
    assert result.code == 1, result
    assert result.err.startswith("HEAD~1 is not valid:\nhosts/nas.yaml:2:1: error: there is no key bogus here"), result


def test_a_fleet_in_a_folder_of_a_larger_repository_is_found_by_its_folder(fleet: Fleet, console: Console) -> None:
    fleet.commit({"machines/fleet.yaml": "", "machines/hosts/nas.yaml": "address: local\n"})
    fleet.write({"elsewhere": "x"})
    assert console("validate", folder=fleet.root / "machines").out == "valid: 1 host, 0 resources\n"
    assert "there is one in machines: name it with -C" in console("validate").out
