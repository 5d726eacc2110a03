"""One value of a YAML file is set, and everything else in it stays: comments, order, quotes, line ends."""

from __future__ import annotations

import difflib
from typing import Any

import pytest
import yaml as pyyaml
from hypothesis import given
from hypothesis import strategies as st

from desired.edit import NotEditable, set_value
from desired.yaml import parse

PROJECT = """\
# The site, as Ada wants it.
source: ssh://git@gitea.lan/me/site.git   # the one on the NAS
revision: 214f930e56   # since Tuesday
deploy:
- {host: nas, path: "/volume2/docker/site"}
slots:
    # blue was here first
    blue:  {port: 8081}
    green: {port: 8082}
"""
KEYS = st.from_regex(r"[a-z][a-z_]{0,7}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20) | st.sampled_from(
    [
        "no",
        "1e10",
        "12345678",
        "0123",
        "null",
        "~",
        "",
        "2026-01-02",
        "1:30",
        "a: b",
        "# x",
        "- a",
        "*a",
        "'",
        '"',
        "\\",
        "a\nb",
    ]
)
VALUES = st.recursive(
    TEXTS | st.integers(-(2**31), 2**31) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def edited(text: str, value: str, *loc: str) -> str:
    return set_value(text.encode(), loc or ("revision",), value, "projects/site.yaml").decode()


def read(text: str) -> Any:
    document = parse(text.encode(), "x.yaml")
    assert document.sound, document.problems
    return document.value


def changed_lines(old: str, new: str) -> list[str]:
    lines = difflib.ndiff(old.splitlines(keepends=True), new.splitlines(keepends=True))
    return [line for line in lines if line[0] in "+-"]


def test_only_the_line_with_the_value_changes() -> None:
    assert changed_lines(PROJECT, edited(PROJECT, "v2.1")) == [
        "- revision: 214f930e56   # since Tuesday\n",
        "+ revision: v2.1   # since Tuesday\n",
    ]


def test_what_is_already_so_stays_byte_for_byte() -> None:
    assert edited(PROJECT, "214f930e56") == PROJECT


def test_a_key_that_was_not_there_comes_first_in_its_mapping_and_above_its_comments() -> None:
    assert changed_lines(PROJECT, edited(PROJECT, "green", "slots", "active")) == ["+     active: green\n"]
    assert "slots:\n    active: green\n    # blue was here first\n" in edited(PROJECT, "green", "slots", "active")


def test_a_key_of_the_file_that_was_not_there_comes_last() -> None:
    assert edited("# only this\nsource: /srv/site", "main") == "# only this\nsource: /srv/site\nrevision: main\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("revision: '214f'\n", "revision: 'v2'\n"),
        ('revision: "214f" # why\n', 'revision: "v2" # why\n'),
        ("{source: x, revision: 214f, keep: 5}\n", "{source: x, revision: v2, keep: 5}\n"),
        ("revision: 12345678\n", "revision: v2\n"),
        ("revision: the old one # x\n", "revision: v2 # x\n"),
        ("revision: null\n", "revision: v2\n"),
        ("revision:\nkeep: 5\n", "revision: v2\nkeep: 5\n"),
        ("source: &s x\nrevision: *s\n", "source: &s x\nrevision: v2\n"),
        ("\ufeffrevision: a\r\nkeep: 5\r\n", "\ufeffrevision: v2\r\nkeep: 5\r\n"),
        ("---\nrevision: a\n...\n", "---\nrevision: v2\n...\n"),
        ("é: ü\nrevision: 'ö' # ä\n", "é: ü\nrevision: 'v2' # ä\n"),
        ("revision: >-\n  folded\n  text\nkeep: 5 # x\n", "revision: >-\n  v2\nkeep: 5 # x\n"),
        ("revision: &r a\nother: *r\n", "revision: v2\nother: &r a\n"),
    ],
)
def test_the_way_a_value_is_written_is_kept_where_it_can_be(before: str, after: str) -> None:
    assert edited(before, "v2") == after


def test_a_flow_mapping_gets_a_new_key_in_front() -> None:
    before = "slots: {blue: {port: 1}, green: {port: 2}} # both\n"
    after = "slots: {active: blue, blue: {port: 1}, green: {port: 2}} # both\n"
    assert edited(before, "blue", "slots", "active") == after


@pytest.mark.parametrize(
    "value",
    ["12345678", "1e10", "123e4567", "no", "Yes", "on", "null", "~", "true", "0o17", "0x1f", "1_000", "1:30", "2026-01-02"],
)
def test_what_yaml_would_read_as_something_else_gets_quotes(value: str) -> None:
    after = edited("revision: main\n", value)
    assert after in (f'revision: "{value}"\n', f"revision: {value}\n")
    assert read(after) == {"revision": value}
    assert pyyaml.safe_load(after) == {"revision": value}
    if value in {"12345678", "1e10", "123e4567", "no", "null", "true"}:
        assert '"' in after or value == "123e4567"


@pytest.mark.parametrize("text", ["- a list\n", "revision: [\n", "revision: a\nrevision: b\n", "", "slots: 5\n", "\xff"])
def test_a_file_that_cannot_be_edited_safely_is_left_to_the_person(text: str) -> None:
    with pytest.raises(NotEditable, match=r"projects/site.yaml cannot be set") as caught:
        set_value(text.encode("latin-1"), ("slots", "active"), "green", "projects/site.yaml")
    assert "by hand" in caught.value.hint


@pytest.mark.parametrize("value", ["\ud800", "\0"])
def test_what_no_file_of_a_fleet_may_hold_is_never_written(value: str) -> None:
    with pytest.raises(NotEditable):
        edited(PROJECT, value)


@given(
    st.dictionaries(KEYS, VALUES, min_size=1, max_size=5), st.data(), TEXTS, st.booleans(), st.sampled_from("'\"|>") | st.none()
)
def test_exactly_one_value_changes_whatever_the_file_holds(
    content: dict[str, Any], data: st.DataObject, value: str, flow: bool, style: str | None
) -> None:
    text = pyyaml.safe_dump(content, default_flow_style=flow, default_style=style, allow_unicode=True, sort_keys=False)
    document = parse(text.encode(), "x.yaml")
    if document.problems or not isinstance(document.value, dict):
        return
    key = data.draw(st.sampled_from(sorted(document.value)))
    after = read(edited(text, value, key))
    assert repr(after) == repr({**document.value, key: value})


@given(TEXTS, st.text("#: ,[]{}'\"x", max_size=8))
def test_a_comment_behind_the_value_survives(value: str, comment: str) -> None:
    before = f"a: 1\nrevision: old # {comment}\nz: [1, 2]\n"
    after = edited(before, value)
    assert after.startswith("a: 1\nrevision: ")
    assert after.endswith(f" # {comment}\nz: [1, 2]\n")
    assert read(after) == {"a": 1, "revision": value, "z": [1, 2]}


@given(st.from_regex(r"[0-9a-f]{40}", fullmatch=True) | st.from_regex(r"[0-9a-e]{7,10}", fullmatch=True))
def test_a_commit_id_stays_text(commit: str) -> None:
    after = edited(PROJECT, commit)
    assert read(after)["revision"] == commit
    assert pyyaml.safe_load(after)["revision"] == commit
    assert len(changed_lines(PROJECT, after)) == 2 or commit == "214f930e56"
