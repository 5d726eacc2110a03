"""Changing one value in a YAML file of the fleet, so that the commit shows that one value and nothing else.

The value's span in the text is replaced or taken out, and the result is read again: it must say exactly what the old file said
but for the one value. Where that does not work out (block scalars, anchors) the file goes through ruamel.yaml's round trip, and
is held to the same. Pure; called by the commands that edit the fleet (`reconciler/cli/editing.py`) before they commit.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

import yaml as pyyaml

from desired.model import RepositoryError
from desired.scalars import NotPlain, resolve
from desired.text import show, visible
from desired.yaml import Document, Node, parse

_BREAK: Final = re.compile(r"\r\n|\r|\n")
_SINGLE: Final = re.compile(r"'(?:[^']|'')*'")
_DOUBLE: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BARE: Final = re.compile(r"[^\s,\[\]{}#]+")
"""A plain value that is no text, or an alias."""
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./@+=~^-]*")
"""Words that no version of YAML reads as syntax, wherever they stand; stricter than it would have to be."""
_TEXT_TAG: Final = "tag:yaml.org,2002:str"
_MOST_LINES: Final = 50
"""Lines of a value that we take out; a longer one is for a person."""

Value: TypeAlias = str | Mapping[str, str]
"""A text, or a small mapping of texts, which is written on one line."""


class NotEditable(RepositoryError):
    """The value cannot be changed by us without changing something else: it has to be done by hand."""


def set_value(data: bytes, loc: Sequence[str], value: Value, file: str) -> bytes:
    """`data` with `value` at `loc` (`("slots", "active")`), where the mapping that holds it must exist.

    Raises `NotEditable` where that cannot be had without changing anything else, and then says what to do.
    """
    document = parse(data, file)
    by_hand = NotEditable(
        f"{'.'.join(loc)} in {visible(file)} cannot be set without changing something else in the file",
        f"write {show(value) if isinstance(value, str) else flow(value)} there by hand, and commit it",
    )
    if not document.sound or document.problems or not isinstance(_at(document.value, loc[:-1]), dict):
        raise by_hand
    new = value if isinstance(value, str) else dict(value)
    if _at(document.value, loc) == new:
        return data
    return _first_right(data, file, _with(document.value, loc, new), _settings(document, loc, value), by_hand)


def take_out(data: bytes, loc: Sequence[str], file: str) -> bytes:
    """`data` without the key at `loc`, and without what is behind it. As `set_value` otherwise."""
    document = parse(data, file)
    by_hand = NotEditable(
        f"{'.'.join(loc)} in {visible(file)} cannot be taken out without changing something else in the file",
        "take it out by hand, and commit that",
    )
    holder = _at(document.value, loc[:-1])
    if not document.sound or document.problems:
        raise by_hand
    if not isinstance(holder, dict) or loc[-1] not in holder:
        return data
    return _first_right(data, file, _without(document.value, loc), _removals(document, loc), by_hand)


_Attempts: TypeAlias = Callable[[str], Iterator[str]]


def _first_right(data: bytes, file: str, wanted: Any, attempts: _Attempts, otherwise: NotEditable) -> bytes:
    """The first attempt that says what is wanted, and nothing else."""
    text = data.decode()
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    for attempt in attempts(text.removeprefix(mark)):
        new = (mark + attempt).encode()
        again = parse(new, file)
        if again.sound and not again.problems and _same(again.value, wanted):
            return new
    raise otherwise


def _settings(document: Document, loc: Sequence[str], value: Value) -> _Attempts:
    """The smallest change first; each is judged by the caller."""
    holder = _node(document.root, loc[:-1])
    node = _node(holder, loc[-1:])

    def attempts(text: str) -> Iterator[str]:
        if node is not None:
            edited = _replaced(text, node, value)
        else:
            edited = _inserted(text, holder, loc, value) if holder is not None else None
        if edited is not None:
            yield edited
        yield from _round_trip(text, lambda root: _put(root, loc, value))

    return attempts


def _removals(document: Document, loc: Sequence[str]) -> _Attempts:
    """From a line of a block mapping, or from between the braces of one on a line."""
    node = _node(document.root, loc)

    def attempts(text: str) -> Iterator[str]:
        if node is not None and node.key is not None and (start := _offset(text, *node.key)) is not None:
            begin = max(text.rfind("\n", 0, start), text.rfind("\r", 0, start)) + 1
            if not text[begin:start].strip(" "):
                for end in _line_ends(text, start):
                    yield text[:begin] + text[end:]
            else:
                yield from _cut_from_flow(text, start)
        yield from _round_trip(text, lambda root: _at(root, loc[:-1]).pop(loc[-1]))

    return attempts


def _line_ends(text: str, start: int) -> Iterator[int]:
    """Where the lines end that a value may take: its first, and each after it."""
    for number, match in enumerate(_BREAK.finditer(text, start)):
        if number >= _MOST_LINES:
            return
        yield match.end()
    yield len(text)


def _cut_from_flow(text: str, start: int) -> Iterator[str]:
    """Without the item at `start`, and the comma before or behind it."""
    comma = re.compile(r",[ \t]*\Z").search(text, 0, start)
    for match in re.finditer(r"[ \t]*(,[ \t]*|(?=\}))", text[start : start + 10_000]):
        if comma is None and match[1]:
            yield text[:start] + text[start + match.end() :]
        elif comma is not None:
            yield text[: comma.start()] + text[start + match.start() :]


def _replaced(text: str, node: Node, value: Value) -> str | None:
    """With another value where `node` stands; the kind of quotes stays, if there are any."""
    start = _offset(text, node.line, node.column)
    if start is None:
        return None
    first = text[start : start + 1]
    span = {"'": _SINGLE, '"': _DOUBLE}.get(first)
    if span is None:
        end = _plain_end(text, start)
        gap = " " if end == start and text[start - 1 : start] == ":" else ""  # a key without a value
        return text[:start] + gap + _value(value) + text[end:]
    match = span.match(text, start)
    return text[:start] + _value(value, first) + text[match.end() :] if match else None


def _plain_end(text: str, start: int) -> int:
    """Where a plain value of one word, or of several on one line, ends."""
    end_of_line = match.start() if (match := _BREAK.search(text, start)) else len(text)
    line = text[start:end_of_line]
    whole = re.split(r"[ \t]+#|[ \t]*$", line, maxsplit=1)[0]
    if whole and not set(whole) & set(",[]{}"):
        return start + len(whole)
    word = _BARE.match(text, start)
    return word.end() if word else start


def _inserted(text: str, holder: Node, loc: Sequence[str], value: Value) -> str | None:
    """With a key that was not there: the first in its mapping, or the last in the file where it is one of the file's own."""
    line_break = match[0] if (match := _BREAK.search(text)) else "\n"
    key = f"{loc[-1]}: {_value(value)}"
    children = list((holder.children or {}).values())
    if not children or children[0].key is None:
        return None
    start, column = _offset(text, *children[0].key), children[0].key[1]
    if start is None:
        return None
    begin = max(text.rfind("\n", 0, start), text.rfind("\r", 0, start)) + 1
    if text[begin:start].strip(" "):  # a flow mapping: {blue: …}
        return f"{text[:start]}{key}, {text[start:]}"
    if len(loc) == 1:
        gap = "" if not text or text.endswith(("\n", "\r")) else line_break
        return f"{text}{gap}{key}{line_break}"
    after = _below_key(text, holder, begin)
    return f"{text[:after]}{' ' * (column - 1)}{key}{line_break}{text[after:]}"


def _below_key(text: str, holder: Node, otherwise: int) -> int:
    """The line below the mapping's own key: above comments that belong to what comes first in it."""
    key = _offset(text, *holder.key) if holder.key is not None else None
    match = _BREAK.search(text, key) if key is not None else None
    return min(match.end(), otherwise) if match else otherwise


def _value(value: Value, quote: str = "") -> str:
    return written(value, quote) if isinstance(value, str) else flow(value)


def flow(value: Mapping[str, str]) -> str:
    """A mapping of texts on one line; its keys are plain words."""
    return "{" + ", ".join(f"{key}: {written(text)}" for key, text in value.items()) + "}"


def written(value: str, quote: str = "") -> str:
    """`value` as YAML, within one line: quoted where any reader of YAML could take it for something else than this text."""
    if quote == "'" and value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    if not quote and _is_plain(value):
        return value
    return json.dumps(value, ensure_ascii=not value.isprintable())


def _is_plain(value: str) -> bool:
    """Text for YAML 1.2 and for 1.1 (`no`, `1:30`, `2026-01-02`) alike, and not nearly a number (`1e10`, `0123`)."""
    if not _PLAIN.fullmatch(value):
        return False
    try:
        if not isinstance(resolve(value), str):
            return False
    except NotPlain:
        return False
    tag: str = pyyaml.resolver.Resolver().resolve(pyyaml.ScalarNode, value, (True, False))  # type: ignore[no-untyped-call]
    return tag == _TEXT_TAG


def _put(root: Any, loc: Sequence[str], value: Value) -> None:
    """Sets the value in what ruamel.yaml has read."""
    from ruamel.yaml.comments import CommentedMap

    if isinstance(value, str):
        _at(root, loc[:-1])[loc[-1]] = _ruamel(value)
        return
    mapping = CommentedMap({key: _ruamel(text) for key, text in value.items()})
    mapping.fa.set_flow_style()
    _at(root, loc[:-1])[loc[-1]] = mapping


def _ruamel(value: str) -> str:
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    return value if _is_plain(value) else DoubleQuotedScalarString(value)


def _round_trip(text: str, change: Callable[[Any], object]) -> Iterator[str]:
    """What ruamel.yaml makes of the file with the change; nothing where it cannot."""
    from ruamel.yaml import YAML  # slow to import, and seldom needed
    from ruamel.yaml.error import YAMLError

    yaml = YAML(typ="rt", pure=True)
    yaml.preserve_quotes = True
    yaml.width = 1 << 20
    yaml.indent(mapping=2, sequence=4, offset=2)
    out = io.StringIO()
    try:
        root = yaml.load(text)
        change(root)
        yaml.dump(root, out)
    except (YAMLError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return
    line_break = match[0] if (match := _BREAK.search(text)) else "\n"
    yield out.getvalue().replace("\n", line_break)


def _offset(text: str, line: int, column: int) -> int | None:
    """Where a place that counts from 1 lies in the text."""
    start = 0
    for _ in range(line - 1):
        match = _BREAK.search(text, start)
        if match is None:
            return None
        start = match.end()
    return start + column - 1


def _node(node: Node | None, loc: Sequence[str]) -> Node | None:
    for part in loc:
        node = (node.children or {}).get(part) if node is not None else None
    return node


def _at(value: Any, loc: Sequence[str]) -> Any:
    for part in loc:
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _without(value: dict[str, Any], loc: Sequence[str]) -> dict[str, Any]:
    first, *rest = loc
    if rest:
        return {**value, first: _without(value[first], rest)}
    return {key: item for key, item in value.items() if key != first}


def _with(value: dict[str, Any], loc: Sequence[str], new: Any) -> dict[str, Any]:
    """A copy along the way to `loc`; an alias elsewhere keeps the old value."""
    first, *rest = loc
    return {**value, first: _with(value[first], rest, new) if rest else new}


def _same(one: Any, other: Any) -> bool:
    """Equal in value and type, all the way down: to Python, 1 is True."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(item, other[key]) for key, item in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)
