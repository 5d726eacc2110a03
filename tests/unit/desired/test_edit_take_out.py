"""A key is taken out of a YAML file, or a small mapping is put in, and everything else stays as it was."""

from __future__ import annotations

from typing import Any

import pytest
import yaml as pyyaml
from hypothesis import assume, given, reject
from hypothesis import strategies as st

from desired.edit import NotEditable, set_value, take_out
from desired.yaml import parse
from tests.unit.desired.test_edit import KEYS, TEXTS, VALUES

HOST = """\
# The NAS.
address: root@nas   # in the cellar
suspend:   # for now
  reason: moving   # again
  # not for long
  until: 2026-12-01
# what it holds
files: {}
"""


def without(text: str, *loc: str) -> str:
    return take_out(text.encode(), loc, "hosts/nas.yaml").decode()


def put(text: str, value: dict[str, str], *loc: str) -> str:
    return set_value(text.encode(), loc, value, "hosts/nas.yaml").decode()


def read(text: str) -> Any:
    document = parse(text.encode(), "hosts/nas.yaml")
    assert document.problems == ()
    return document.value


def test_only_the_lines_of_the_key_go() -> None:
    assert without(HOST, "suspend") == "# The NAS.\naddress: root@nas   # in the cellar\n# what it holds\nfiles: {}\n"
    assert without(HOST, "suspend", "until") == HOST.replace("  until: 2026-12-01\n", "")
    assert without(HOST, "suspend", "reason") == HOST.replace("  reason: moving   # again\n", "")


def test_what_is_not_there_is_no_change() -> None:
    assert without(HOST, "sync") == HOST
    assert without(HOST, "nas", "suspend") == HOST


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("suspend: {reason: a}\na: 1\n", "a: 1\n"),
        ("a: 1\nsuspend: {reason: a}", "a: 1\n"),
        ("a: 1\r\nsuspend:\r\n  reason: a\r\nb: 2\r\n", "a: 1\r\nb: 2\r\n"),
        ('a: 1\nsuspend:\n  reason: "two\n    lines"\n\nb: 2\n', "a: 1\n\nb: 2\n"),
        ("a: 1\nsuspend:\n  reason: |\n    x: 1\n    y: 2\nb: 2\n", "a: 1\nb: 2\n"),
        ("a: 1\nsuspend: {\n  reason: a,\n  until: b }\nb: 2\n", "a: 1\nb: 2\n"),
        ("\ufeffa: 1\nsuspend: {}\n", "\ufeffa: 1\n"),
        ("{a: 1, suspend: {reason: 'x, y}'}, b: 2}\n", "{a: 1, b: 2}\n"),
        ("{suspend: {reason: a}, b: 2}\n", "{b: 2}\n"),
        ("{a: 1, suspend: {reason: a}}\n", "{a: 1}\n"),
    ],
)
def test_a_key_goes_in_whatever_way_it_is_written(before: str, after: str) -> None:
    assert without(before, "suspend") == after


def test_a_mapping_is_put_in_on_one_line() -> None:
    assert put("a: 1  # one\n", {"reason": "no: more", "until": "2026-12-01"}, "suspend") == (
        'a: 1  # one\nsuspend: {reason: "no: more", until: "2026-12-01"}\n'
    )
    assert put("nas:\n  # first\n  a: 1\n", {}, "nas", "suspend") == "nas:\n  suspend: {}\n  # first\n  a: 1\n"
    assert put("nas: {a: 1}\n", {"reason": "x"}, "nas", "suspend") == "nas: {suspend: {reason: x}, a: 1}\n"
    assert put("suspend:\na: 1\n", {"reason": "x"}, "suspend") == "suspend: {reason: x}\na: 1\n"


@pytest.mark.parametrize("text", ["a: [\n", "a: 1\na: 2\n", "\xff"])
def test_a_file_that_cannot_be_read_is_left_to_the_person(text: str) -> None:
    with pytest.raises(NotEditable) as refused:
        take_out(text.encode("latin-1"), ("suspend",), "hosts/nas.yaml")
    assert "take it out by hand" in refused.value.hint


def test_what_others_refer_to_stays_with_them() -> None:
    assert read(without("x: &s {reason: a}\nsuspend: *s\ny: *s\n", "suspend")) == {"x": {"reason": "a"}, "y": {"reason": "a"}}
    assert without("- a\n", "suspend") == "- a\n"


@given(st.dictionaries(KEYS, VALUES, max_size=4), st.dictionaries(KEYS, VALUES, max_size=3), st.booleans(), st.data())
def test_exactly_one_key_goes_whatever_the_file_holds(
    others: dict[str, Any], inner: dict[str, Any], flow: bool, data: st.DataObject
) -> None:
    whole = {**others, "suspend": inner}
    keys = data.draw(st.permutations(list(whole)))
    text = pyyaml.safe_dump({key: whole[key] for key in keys}, sort_keys=False, default_flow_style=flow, allow_unicode=True)
    before = parse(text.encode(), "f")
    assume(not before.problems)
    try:
        after = take_out(text.encode(), ("suspend",), "f")
    except NotEditable:
        reject()
    assert (parse(after, "f").value or {}) == {key: value for key, value in before.value.items() if key != "suspend"}


@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=4), TEXTS)
def test_what_was_put_in_and_taken_out_again_leaves_the_file_as_it_was(others: dict[str, Any], reason: str) -> None:
    text = pyyaml.safe_dump({key: value for key, value in others.items() if key != "suspend"} | {"last": 1}, sort_keys=False)
    assume(not parse(text.encode(), "f").problems)
    try:
        there = set_value(text.encode(), ("suspend",), {"reason": reason}, "f")
    except NotEditable:
        reject()
    assert parse(there, "f").value["suspend"] == {"reason": reason}
    assert take_out(there, ("suspend",), "f") == text.encode()
