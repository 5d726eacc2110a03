"""YAML 1.2, strict and bounded: every input gives a document or a mistake with its place, whichever parser reads it."""

from __future__ import annotations

import json
import resource
import time
from typing import Any

import pytest
import yaml as pyyaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from desired import yaml
from desired.model import Place
from desired.yaml import Document, parse

FRAGMENTS = (
    *[
        "a",
        "b",
        "key",
        " ",
        "  ",
        "\n",
        "\n  ",
        "\n- ",
        "- ",
        ": ",
        ":",
        "? ",
        "[",
        "]",
        "{",
        "}",
        ",",
        "&x ",
        "*x",
        "!t ",
        "é",
    ],
    *["|", "|\n  ", ">", "'", '"', "#", " #c", "~", "1", "0644", "true", "%", "@", "`", "\\", "\\n", "\t", "---\n", "...\n"],
    *["<<", "=", "-", "\r\n", "2026-01-02", "x:y", "http://a.b/c?d=e", "|-\n", ">+\n", "''", '""', "\\x41", "\\ud800", "null"],
)
yaml_like = st.lists(st.sampled_from(FRAGMENTS), max_size=20).map("".join)


def value(text: str) -> Any:
    document = parse(text.encode(), "f.yaml")
    assert not document.problems, [str(problem) for problem in document.problems]
    return document.value


def problem(data: str | bytes) -> str:
    document = parse(data.encode() if isinstance(data, str) else data, "f.yaml")
    assert len(document.problems) == 1, [str(found) for found in document.problems]
    return str(document.problems[0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("on", "on"),
        ("yes", "yes"),
        ("No", "No"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("2026-01-02", "2026-01-02"),
        ("12:30:00", "12:30:00"),
        ("1.26.*", "1.26.*"),
        ("1_000", "1_000"),
        ("0", 0),
        ("-7", -7),
        ("0o644", 0o644),
        ("0x1F", 31),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("1.2.3", "1.2.3"),
        ("=", "="),
        ("٣", "٣"),
        ('"1"', "1"),
        ("'true'", "true"),
        ('"\\e[1m"', "\x1b[1m"),
    ],
)
def test_words_mean_what_yaml_1_2_says(text: str, expected: object) -> None:
    found = value(f"a: {text}\n")["a"]
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "a: 0644",
            (
                "f.yaml:1:4: error: a number with a leading zero is octal to some and decimal to others: "
                'write it in quotes, "0644"'
            ),
        ),
        ("a: .inf", "f.yaml:1:4: error: infinity and not-a-number"),
        ("a: -.INF", "f.yaml:1:4: error: infinity and not-a-number"),
        ("a: .nan", "f.yaml:1:4: error: infinity and not-a-number"),
        ("a: 1e999", "f.yaml:1:4: error: the number is too large"),
        ("a: 9223372036854775808", "f.yaml:1:4: error: the number is too large"),
        (f"a: {'9' * 5000}", "f.yaml:1:4: error: the number is too large"),
        ("a: 1\nb: 2\na: 3", "f.yaml:3:1: error: the key a stands twice\n    first in line 1, column 1"),
        ("a: {b: 1, b: 2}", "f.yaml:1:11: error: the key b stands twice\n    first in line 1, column 5"),
        ("1: x", 'f.yaml:1:1: error: a key must be text\n    write it in quotes: "1"'),
        ("true: x", "f.yaml:1:1: error: a key must be text"),
        ("null: x", "f.yaml:1:1: error: a key must be text"),
        (": x", "f.yaml:1:1: error: a key must be text"),
        ("[a]: x", "f.yaml:1:1: error: a key must be text, not a list or a mapping"),
        ("? {a: b}\n: x", "f.yaml:1:3: error: a key must be text, not a list or a mapping"),
        (
            "a: {{ b }}",
            "f.yaml:1:5: error: a key must be text, not a list or a mapping\n    write a value that begins with {{ in quotes",
        ),
        ("a: &x 1\n*x : 2", "f.yaml:2:1: error: an alias (*) cannot be a key"),
        ("&x a: 1", "f.yaml:1:1: error: an anchor (&) cannot stand at a key"),
        ("a: *x", "f.yaml:1:4: error: there is no anchor &x above"),
        ("a: &x [*x]", "f.yaml:1:8: error: the alias *x stands inside the value that it repeats"),
        ("a: &x 1\nb: &x 2", "f.yaml:2:4: error: the anchor &x is given twice"),
        ("a: &x {b: 1}\nc: {<<: *x}", "f.yaml:2:5: error: merge keys (<<) are not part of YAML 1.2"),
        ("%YAML 1.1\n---\na: on", "f.yaml:1:1: error: directives (%YAML, %TAG) are not used here"),
        ("# first\n%TAG ! x\n---\na: 1", "f.yaml:2:1: error: directives (%YAML, %TAG) are not used here"),
        ("a: !!python/object/apply:os.system [id]", "f.yaml:1:4: error: tags (!) are not used here"),
        ("a: !vault secret", "f.yaml:1:4: error: tags (!) are not used here"),
        ("a: 1\n---\nb: 2", "f.yaml:2:1: error: a second document (---) in one file"),
        ("a:\n\t- b", "f.yaml:2:1: error: a tab cannot be used for indentation\n    use blanks"),
        ("a: b: c", "f.yaml:1:5: error: a colon with a blank behind it cannot stand here"),
        ("a: 'open", "f.yaml:1:4: error: the quote is never closed"),
        ("a: [1, 2", "f.yaml:1:4: error: the list that begins with [ lacks a comma or its ]"),
        ("a:\n  - b\n - c", "f.yaml:3:2: error: the indentation does not fit the lines above"),
        ("a: @b", "f.yaml:1:4: error: a word cannot begin with this character\n    write the value in quotes"),
        ('a: "\\q"', "f.yaml:1:6: error: an escape that YAML does not know"),
        ('a: "\\ud800"', "f.yaml:1:4: error: the text holds an escaped half of a character"),
        ('a: "\\0"', "f.yaml:1:4: error: the text holds an escaped NUL"),
        ('a: "\\UFFFFFFFF"', "f.yaml:1:"),
        ("| \n text", "f.yaml:1:1: error: a file cannot be one block of text"),
        (b"a: \xff", "f.yaml:1:4: error: the byte 0xff is not UTF-8"),
        (b"a: 1\nb: \xc3", "f.yaml:2:4: error: the byte 0xc3 is not UTF-8"),
        ("a: 1".encode("utf-16"), "f.yaml:1:1: error: the file is UTF-16\n    save it as UTF-8"),
        (b"a: x\0y", "f.yaml:1:5: error: the control character NUL cannot stand here\n    delete it"),
        ('a: "C:\\Users"', "f.yaml:1:9: error: an escape that is cut short"),
        ("[a]: b", "f.yaml:1:1: error: a key must be text, not a list or a mapping\n    write the key in quotes"),
        ("a: 1\n" + "x" * 1100 + ": 1", "f.yaml:2:1: error: a key of more than 1024 characters"),
        ("a: \x1b[1m", "f.yaml:1:4: error: the control character U+001B cannot stand here\n    delete it, or write it as"),
        ("a: x\u2028y", "f.yaml:1:5: error: the control character U+2028 cannot stand here"),
        (b"a: " + b"x" * (1 << 20), "f.yaml:1:1: error: the file has 1.0 MiB; the limit for YAML is 1 MiB"),
    ],
)
def test_what_is_refused_is_named_with_its_place(text: str | bytes, complaint: str) -> None:
    assert problem(text).startswith(complaint)


def test_a_byte_order_mark_and_other_line_ends_are_no_problem() -> None:
    document = parse(b"\xef\xbb\xbfa: 1\r\nb:\r\n  - c\r\n", "f.yaml")
    assert document.value == {"a": 1, "b": ["c"]}
    assert document.place(("b", 0)) == Place("f.yaml", 3, 5)


def test_an_empty_file_and_one_with_only_comments_say_nothing() -> None:
    assert value("") is None
    assert value("# a remark\n\n") is None


def test_every_key_and_value_knows_its_place() -> None:
    document = parse("é: 1\nfiles:\n  /a: {mode: '0644', list: [x, y]}\n".encode(), "hosts/nas.yaml")

    assert str(document.key_place(("files", "/a"))) == "hosts/nas.yaml:3:3"
    assert str(document.place(("files", "/a"))) == "hosts/nas.yaml:3:7"
    assert str(document.key_place(("files", "/a", "mode"))) == "hosts/nas.yaml:3:8"
    assert str(document.place(("files", "/a", "mode"))) == "hosts/nas.yaml:3:14"
    assert str(document.place(("files", "/a", "list", 1))) == "hosts/nas.yaml:3:32"
    assert str(document.place(("é",))) == "hosts/nas.yaml:1:4"


def test_a_place_that_does_not_exist_is_that_of_what_surrounds_it() -> None:
    document = parse(b"a:\n  b: {c: 1}\n", "f.yaml")
    assert document.place(("a", "b", "missing", 7)) == document.place(("a", "b"))
    assert parse(b"", "f.yaml").place(("a",)) == Place("f.yaml", 1, 1)


def test_what_an_alias_repeats_keeps_its_own_place_and_the_alias_has_one() -> None:
    document = parse(b"a: &x {k: 1}\nb: *x\n", "f.yaml")
    assert document.value == {"a": {"k": 1}, "b": {"k": 1}}
    assert document.place(("b",)) == Place("f.yaml", 2, 4)
    assert document.place(("b", "k")) == Place("f.yaml", 1, 11)


def test_several_mistakes_in_one_file_are_all_named() -> None:
    document = parse(b"a: 0644\na: 1\n7: x\nb: !t y\n", "f.yaml")
    assert [found.place.line for found in document.problems] == [1, 2, 3, 4]


def _aliases(levels: int) -> bytes:
    rows = [b"l0: &l0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [b"l%d: &l%d [%s]" % (n, n, b", ".join([b"*l%d" % (n - 1)] * 10)) for n in range(1, levels)]
    return b"\n".join(rows)


BOMBS = {
    "brackets": b"[" * 50_000 + b"]" * 50_000,
    "braces": b"{a: " * 20_000 + b"}" * 20_000,
    "unclosed brackets": b"[" * 1_000_000,
    "dashes": b"- " * 400_000,
    "indentation": b"\n".join(b" " * n + b"a:" for n in range(1000)),
    "aliases": _aliases(12),
    "merge keys": b"a0: &a0 {x: 1}\n"
    + b"\n".join(b"a%d: &a%d {<<: [*a%d, *a%d]}" % (n, n, n - 1, n - 1) for n in range(1, 500)),
    "values": b"a: [" + b"1," * 500_000 + b"]",
    "keys": b"\n".join(b"k%d: 1" % n for n in range(90_000)) + b"\nk1: 2",
    "an endless quote": b'a: "' + b"x" * 1_000_000,
    "a long number": b"a: " + b"1" * 1_000_000,
    "question marks": b"? " * 400_000,
    "anchors": b"\n".join(b"- &a%d x" % n for n in range(60_000)) + b"\n- *nothing",
}


@pytest.mark.parametrize("data", BOMBS.values(), ids=BOMBS.keys())
def test_a_bomb_is_defused_in_a_moment_and_in_little_memory(data: bytes) -> None:
    started, memory = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    document = parse(data, "bomb.yaml")

    assert document.problems
    assert document.problems[0].place.line >= 1
    assert time.process_time() - started < 3
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 200 << 10


@given(st.binary(max_size=200))
def test_any_bytes_give_a_document_or_a_mistake(data: bytes) -> None:
    _is_total(parse(data, "f.yaml"))


@given(yaml_like)
@settings(max_examples=300)
def test_any_text_that_looks_like_yaml_gives_a_document_or_a_mistake(text: str) -> None:
    _is_total(parse(text.encode(), "f.yaml"))


def _is_total(document: Document) -> None:
    assert document.sound or document.problems
    assert all(found.place.line >= 1 and found.place.column >= 1 and found.message for found in document.problems)
    assert _plain(document.value)


def _plain(found: object) -> bool:
    if isinstance(found, dict):
        return all(type(key) is str and _plain(inner) for key, inner in found.items())
    if isinstance(found, list):
        return all(map(_plain, found))
    return found is None or type(found) in (bool, int, float) or (type(found) is str and bool(found.encode() or not found))


def _composed(events: Any) -> Any:
    """What one parser's events mean; None where it complains."""
    composer = yaml._Composer("f.yaml")
    try:
        composer.run(events)
    except (yaml._Fatal, pyyaml.YAMLError):
        return None
    return None if composer.problems else (composer.value, _key_places(composer.root))


def _places(node: yaml.Node | None) -> object:
    if node is None:
        return None
    return (node.line, node.column, node.key, {part: _places(inner) for part, inner in (node.children or {}).items()})


def _key_places(node: yaml.Node | None) -> object:
    """Where keys stand. (A value that is left out has no place of its own, and each parser gives it another one.)"""
    children = (node and node.children) or {}
    return {part: (inner.key, _key_places(inner)) for part, inner in children.items()}


@given(yaml_like)
@settings(max_examples=500)
@example("a: [1, {b: c}]\n? d\n: |\n  e\n")
def test_both_parsers_give_the_same_document(text: str) -> None:
    fast = _composed(pyyaml.parse(text.encode(), Loader=pyyaml.CSafeLoader))
    pure = _composed(yaml._pure_events(text))
    if fast is not None and pure is not None:
        assert fast == pure


json_like = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), json_like, max_size=4))
def test_json_is_yaml(data: dict[str, Any]) -> None:
    text = json.dumps(data)
    document = parse(text.encode(), "f.yaml")
    if "\\u0000" not in text and "\\ud" not in text and "\x7f" not in text:
        assert not document.problems
        assert document.value == data


def test_without_libyaml_files_are_read_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"a: [1, {b: c}]\n"
    fast = parse(text, "f.yaml")
    monkeypatch.setattr(yaml, "_HAS_LIBYAML", False)
    slow = parse(text, "f.yaml")
    assert (slow.value, _places(slow.root)) == (fast.value, _places(fast.root))
    assert str(parse(b"a: 'x", "f.yaml").problems[0]).startswith("f.yaml:1:4: error: the quote is never closed")


def test_a_character_that_json_wrote_as_two_escapes_is_one_character() -> None:
    assert value(json.dumps({"a 😀": ["😀", "x"]})) == {"a 😀": ["😀", "x"]}
    assert "an escaped half of a character" in problem('a: "\\ud83d x"')


def test_a_mistake_at_the_end_of_a_large_file_is_told_within_a_second() -> None:
    lines = "".join(f"  key{number}: [a, b, {{c: d}}]\n" for number in range(8500))
    start = time.monotonic()
    assert problem(f"vars:\n{lines}  x: 'open\n").startswith("f.yaml:8502:6: error: the quote is never closed")
    assert time.monotonic() - start < 1
