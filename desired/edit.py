"""Changing one value in a YAML file of the fleet, so that the commit shows that one value and nothing else.

The value's span in the text is replaced, and the result is read again: it must say exactly what the old file said but for the
one value. Where that does not work out (block scalars, anchors) the file goes through ruamel.yaml's round trip, and is held to
the same. Pure; called by the commands that edit a project (`reconciler/cli/editing.py`) before they commit.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

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


class NotEditable(RepositoryError):
    """The value cannot be changed by us without changing something else: it has to be done by hand."""


def set_value(data: bytes, loc: Sequence[str], value: str, file: str) -> bytes:
    """`data` with the text `value` at `loc` (`("slots", "active")`), where the mapping that holds it must exist.

    Raises `NotEditable` where that cannot be had without changing anything else, and then says what to do.
    """
    document = parse(data, file)
    if not document.sound or document.problems or not isinstance(_at(document.value, loc[:-1]), dict):
        raise _by_hand(file, loc, value)
    if _at(document.value, loc) == value:
        return data
    wanted = _with(document.value, loc, value)
    for attempt in _attempts(data, document, loc, value):
        again = parse(attempt, file)
        if again.sound and not again.problems and _same(again.value, wanted):
            return attempt
    raise _by_hand(file, loc, value)


def _by_hand(file: str, loc: Sequence[str], value: str) -> NotEditable:
    return NotEditable(
        f"{'.'.join(loc)} in {visible(file)} cannot be set without changing something else in the file",
        f"write {show(value)} there by hand, and commit it",
    )


def _attempts(data: bytes, document: Document, loc: Sequence[str], value: str) -> Iterator[bytes]:
    """The smallest change first; each is judged by the caller."""
    text = data.decode()
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    text = text.removeprefix(mark)
    holder = _node(document.root, loc[:-1])
    node = _node(holder, loc[-1:])
    if node is not None:
        edited = _replaced(text, node, value)
    else:
        edited = _inserted(text, holder, loc, value) if holder is not None else None
    if edited is not None:
        yield (mark + edited).encode()
    round_trip = _round_trip(text, loc, value)
    if round_trip is not None:
        yield (mark + round_trip).encode()


def _replaced(text: str, node: Node, value: str) -> str | None:
    """With another value where `node` stands; the kind of quotes stays, if there are any."""
    start = _offset(text, node.line, node.column)
    if start is None:
        return None
    first = text[start : start + 1]
    span = {"'": _SINGLE, '"': _DOUBLE}.get(first)
    if span is None:
        end = _plain_end(text, start)
        gap = " " if end == start and text[start - 1 : start] == ":" else ""  # a key without a value
        return text[:start] + gap + written(value) + text[end:]
    match = span.match(text, start)
    return text[:start] + written(value, first) + text[match.end() :] if match else None


def _plain_end(text: str, start: int) -> int:
    """Where a plain value of one word, or of several on one line, ends."""
    end_of_line = match.start() if (match := _BREAK.search(text, start)) else len(text)
    line = text[start:end_of_line]
    whole = re.split(r"[ \t]+#|[ \t]*$", line, maxsplit=1)[0]
    if whole and not set(whole) & set(",[]{}"):
        return start + len(whole)
    word = _BARE.match(text, start)
    return word.end() if word else start


def _inserted(text: str, holder: Node, loc: Sequence[str], value: str) -> str | None:
    """With a key that was not there: the first in its mapping, or the last in the file where it is one of the file's own."""
    line_break = match[0] if (match := _BREAK.search(text)) else "\n"
    key = f"{loc[-1]}: {written(value)}"
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


def _round_trip(text: str, loc: Sequence[str], value: str) -> str | None:
    """What ruamel.yaml makes of the file with the value set; None where it cannot."""
    from ruamel.yaml import YAML  # slow to import, and seldom needed
    from ruamel.yaml.error import YAMLError
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    yaml = YAML(typ="rt", pure=True)
    yaml.preserve_quotes = True
    yaml.width = 1 << 20
    yaml.indent(mapping=2, sequence=4, offset=2)
    out = io.StringIO()
    try:
        root = yaml.load(text)
        _at(root, loc[:-1])[loc[-1]] = value if _is_plain(value) else DoubleQuotedScalarString(value)
        yaml.dump(root, out)
    except (YAMLError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None
    line_break = match[0] if (match := _BREAK.search(text)) else "\n"
    return out.getvalue().replace("\n", line_break)


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


def _with(value: dict[str, Any], loc: Sequence[str], new: str) -> dict[str, Any]:
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
