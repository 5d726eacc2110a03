"""From the bytes of a YAML file to plain values that know where they stand: strict YAML 1.2, bounded, and never a traceback.

Two parsers turn text into events: libyaml's (through PyYAML) because it is twenty times as fast, and ruamel.yaml's pure one
where libyaml is missing or finds fault, because it follows YAML 1.2 and words its errors better. What events *mean* is decided
here alone, by one composer without recursion, so that both give the same document (a property test holds that). libyaml's own
composer is never used: deeply nested brackets crash it. Called by `desired/load.py`, once per blob.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

import yaml as pyyaml

from desired.model import Diagnostic, Place
from desired.scalars import NotPlain, resolve
from desired.text import visible

SIZE_LIMIT = 1 << 20
DEPTH_LIMIT = 64
NODE_LIMIT = 100_000
"""Values in one file, with every alias counted as what it stands for: a bomb of aliases ends here."""
_SECOND_OPINION_LIMIT = 64 << 10
"""Above this size libyaml's own message has to do: the pure parser would take seconds to find the same mistake."""

Loc: TypeAlias = Sequence[str | int]

_FORBIDDEN = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_FORBIDDEN_ESCAPED = re.compile("[\0\ud800-\udfff]")
_SURROGATES = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_DIRECTIVE = re.compile(r"(?:[ \t]*(?:#[^\r\n]*)?(?:\r\n|\r|\n))*%")
_HAS_LIBYAML: Final[bool] = bool(pyyaml.__with_libyaml__)


class Node:
    """Where one value stands, and the values in it."""

    __slots__ = ("children", "column", "key", "line", "size", "written")

    def __init__(self, line: int, column: int) -> None:
        self.line = line
        self.column = column
        self.key: tuple[int, int] | None = None
        """Line and column of the key that the value belongs to."""
        self.children: dict[str | int, Node] | None = None
        self.size = 1
        """Values in it, itself included and aliases expanded."""
        self.written: str | None = None
        """A number as it stands in the file, where it would be printed otherwise: 1.10, 1e10, 0x1F."""


@dataclass(frozen=True, slots=True)
class Document:
    """What a file says. `value` is made of dict (keys are text), list, str, int, float, bool and None."""

    file: str
    value: Any
    root: Node | None
    problems: tuple[Diagnostic, ...] = ()
    sound: bool = True
    """False when the file could not be read to its end; then `value` is None and `problems` says why."""

    def place(self, loc: Loc = ()) -> Place:
        """Where the value at `loc` stands, or as much of the way there as exists."""
        node = self._find(loc)
        return Place(self.file, node.line, node.column) if node else Place(self.file, 1, 1)

    def key_place(self, loc: Loc) -> Place:
        """Where the key of the value at `loc` stands; the value itself where it has none (items of a list)."""
        node = self._find(loc)
        if node is None or node.key is None:
            return self.place(loc)
        return Place(self.file, *node.key)

    def written(self, loc: Loc) -> str | None:
        """The number at `loc` as it was written, where that is not how it is printed."""
        node = self._find(loc)
        return node.written if node else None

    def _find(self, loc: Loc) -> Node | None:
        node = self.root
        for part in loc:
            if node is None or node.children is None or part not in node.children:
                break
            node = node.children[part]
        return node


class _Mark(Protocol):
    line: int
    column: int


class _Fatal(Exception):
    """The file cannot be read any further."""

    def __init__(self, mark: _Mark | None, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.line = mark.line + 1 if mark else 1
        self.column = mark.column + 1 if mark else 1
        self.hint = hint


def parse(data: bytes, file: str) -> Document:
    """The document in `data`. Total: whatever the bytes are, there is a `Document`, with `problems` where it is not sound."""
    composer = _Composer(file)
    try:
        text = _decode(data)
        if match := _DIRECTIVE.match(text):
            raise _at(text, match.end() - 1, "directives (%YAML, %TAG) are not used here", "delete the line")
        try:
            composer.run(_events(text))
        except pyyaml.YAMLError as error:
            if len(data) > _SECOND_OPINION_LIMIT:
                raise _syntax(error) from error
            composer = _Composer(file)
            composer.run(_pure_events(text, error))
    except _Fatal as fatal:
        composer.problem(fatal.line, fatal.column, str(fatal), fatal.hint)
        return Document(file, None, None, tuple(composer.problems), sound=False)
    return Document(file, composer.value, composer.root, tuple(composer.problems))


def _decode(data: bytes) -> str:
    if len(data) > SIZE_LIMIT:
        raise _Fatal(
            None, f"the file has {len(data) / SIZE_LIMIT:.1f} MiB; the limit for YAML is 1 MiB", "split it into bundles"
        )
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise _Fatal(None, "the file is UTF-16", "save it as UTF-8")
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        valid = data[: error.start].decode("utf-8")
        raise _at(valid, len(valid), f"the byte 0x{data[error.start]:02x} is not UTF-8", "save the file as UTF-8") from error
    if match := _FORBIDDEN.search(text):
        code = ord(match[0])
        name = f"U+{code:04X}" if code else "NUL"
        escape = f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
        hint = f'delete it, or write it as an escape in double quotes: "{escape}"' if code else "delete it"
        raise _at(text, match.start(), f"the control character {name} cannot stand here", hint)
    return text


def _at(text: str, offset: int, message: str, hint: str = "") -> _Fatal:
    """`_Fatal` at a character offset."""
    fatal = _Fatal(None, message, hint)
    before = re.split(r"\r\n|\r|\n", text[:offset])
    fatal.line, fatal.column = len(before), len(before[-1]) + 1
    return fatal


def _events(text: str) -> Iterator[Any]:
    if not _HAS_LIBYAML:
        return _pure_events(text)
    return iter(pyyaml.parse(text.encode(), Loader=pyyaml.CSafeLoader))


def _pure_events(text: str, first_opinion: Exception | None = None) -> Iterator[Any]:
    """Events of ruamel's pure parser, whose complaints come out as `_Fatal`, whatever their type."""
    from ruamel.yaml import YAML  # only needed for files with mistakes, and slow to import
    from ruamel.yaml.error import YAMLError

    try:
        yield from YAML(typ="safe", pure=True).parse(text)
    except YAMLError as error:
        raise _syntax(error) from error
    except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        # ruamel's scanner lets some of its own slips through on broken text ("\UFFFFFFFF" is an OverflowError).
        raise _syntax(first_opinion or error) from error


_KEY_LIMIT = 1024
_NO_COLON = "could not find expected ':'"
_WORDING: Final = (
    ("\\t' that cannot start any token", "a tab cannot be used for indentation", "use blanks"),
    ("cannot start any token", "a word cannot begin with this character", "write the value in quotes"),
    (
        "mapping values are not allowed",
        'a colon with a blank behind it cannot stand here ("key: value" inside a value?)',
        "quote it",
    ),
    (_NO_COLON, "a key without a colon", "write key: value"),
    ("found '<stream end>'", "the file ends in the middle of a value", "close what was opened"),
    ("unexpected end of stream", "the quote is never closed", ""),
    ("unknown escape character", "an escape that YAML does not know", r"write \\ for a backslash, or use single quotes"),
    ("hexdecimal", "an escape that is cut short", r"write \\ for a backslash, or use single quotes"),
    ("expected ',' or ']'", "the list that begins with [ lacks a comma or its ]", ""),
    ("expected ',' or '}'", "the mapping that begins with { lacks a comma or its }", ""),
    ("expected <block end>", "the indentation does not fit the lines above", "align it with them"),
    ("expected a block", "the indentation does not fit the lines above", "align it with them"),
    ("expected the node content", "a value is missing before this character", "write the value in quotes if it is text"),
    ("found undefined tag handle", "tags (!) are not used here", "delete the tag, or write the value in quotes"),
)


def _syntax(error: Exception) -> _Fatal:
    """A parser's complaint in plain words, at the place where the mistake is."""
    problem, context = str(getattr(error, "problem", None) or ""), str(getattr(error, "context", None) or "")
    begin = getattr(error, "context_mark", None)
    mark = getattr(error, "problem_mark", None) or begin
    if mark is None:
        return _Fatal(None, f"this is not YAML: {visible(str(error), 100)}")
    if _NO_COLON in problem and begin is not None and begin.line == mark.line and mark.column - begin.column > _KEY_LIMIT:
        return _Fatal(begin, f"a key of more than {_KEY_LIMIT} characters", "YAML takes no longer ones")
    for sign, message, hint in _WORDING:
        if sign in problem:
            begun = begin if "quote" in message or "begins with" in message else None
            return _Fatal(begun or mark, message, hint)
    return _Fatal(mark, f"this is not YAML: {visible(problem, 100)} {visible(context, 60)}".rstrip())


_BLOCK_STYLES: Final = ("|", ">")
_AWAIT_KEY: Final = object()
_DROP: Final = object()


class _Frame:
    """A mapping or list that is not finished."""

    __slots__ = ("anchor", "key", "key_mark", "node", "value")

    def __init__(self, value: dict[str, Any] | list[Any], node: Node, anchor: str | None) -> None:
        self.value = value
        self.node = node
        self.anchor = anchor
        self.key: object = _AWAIT_KEY
        self.key_mark = (0, 0)


class _Composer:
    """Builds the value from events. `problems` collects what is wrong but does not hinder reading on."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.value: Any = None
        self.root: Node | None = None
        self.problems: list[Diagnostic] = []
        self._stack: list[_Frame] = []
        self._anchors: dict[str, tuple[Any, Node] | None] = {}
        self._documents = 0
        self._size = 0

    def problem(self, line: int, column: int, message: str, hint: str = "") -> None:
        self.problems.append(Diagnostic(Place(self.file, line, column), message, hint))

    def run(self, events: Iterable[Any]) -> None:
        for event in events:
            match type(event).__name__:
                case "ScalarEvent":
                    self._scalar(event)
                case "MappingStartEvent":
                    self._begin(event, {})
                case "SequenceStartEvent":
                    self._begin(event, [])
                case "MappingEndEvent" | "SequenceEndEvent":
                    self._end()
                case "AliasEvent":
                    self._alias(event)
                case "DocumentStartEvent":
                    self._documents += 1
                    if self._documents > 1:
                        raise _Fatal(event.start_mark, "a second document (---) in one file", "write it to a file of its own")

    def _scalar(self, event: Any) -> None:
        mark, text = event.start_mark, event.value
        plain = event.implicit[0]
        line, column = mark.line + 1, mark.column + 1
        if not self._stack and event.style in _BLOCK_STYLES:
            raise _Fatal(mark, "a file cannot be one block of text", "write a mapping, as in key: value")
        if event.tag is not None:
            self._refuse_tag(event)
        elif not plain and event.style == '"' and (match := _FORBIDDEN_ESCAPED.search(text := _joined(text))):
            self.problem(line, column, f"the text holds an escaped {'NUL' if match[0] == chr(0) else 'half of a character'}")
            text = _FORBIDDEN_ESCAPED.sub("\ufffd", text)
        if self._stack and isinstance(self._stack[-1].value, dict) and self._stack[-1].key is _AWAIT_KEY:
            self._key(event, text, line, column)
            return
        value: Any = text
        if plain:
            try:
                value = resolve(text)
            except NotPlain as refused:
                self.problem(line, column, str(refused))
        node = Node(line, column)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and str(value) != text:
            node.written = text
        self._count(1, mark)
        self._remember(event, value, node)
        self._put(value, node)

    def _key(self, event: Any, text: str, line: int, column: int) -> None:
        frame = self._stack[-1]
        assert isinstance(frame.value, dict) and frame.node.children is not None
        frame.key, frame.key_mark = text, (line, column)
        plain = event.implicit[0]
        if event.anchor is not None:
            self.problem(line, column, "an anchor (&) cannot stand at a key")
        if plain and text == "<<":
            self.problem(line, column, "merge keys (<<) are not part of YAML 1.2", "repeat the keys, or share them in a bundle")
            frame.key = _DROP
        elif text in frame.value:
            first = frame.node.children[text].key or (0, 0)
            self.problem(line, column, f"the key {visible(text)} stands twice", f"first in line {first[0]}, column {first[1]}")
            frame.key = _DROP
        elif plain and not _is_text(text):
            self.problem(line, column, "a key must be text", f'write it in quotes: "{visible(text)}"')

    def _begin(self, event: Any, value: dict[str, Any] | list[Any]) -> None:
        if event.tag is not None:
            self._refuse_tag(event)
        if len(self._stack) == DEPTH_LIMIT:
            raise _Fatal(event.start_mark, f"nested more than {DEPTH_LIMIT} levels deep")
        if self._stack and isinstance(self._stack[-1].value, dict) and self._stack[-1].key is _AWAIT_KEY:
            hint = "write a value that begins with {{ in quotes" if isinstance(value, dict) else "write the key in quotes"
            raise _Fatal(event.start_mark, "a key must be text, not a list or a mapping", hint)
        node = Node(event.start_mark.line + 1, event.start_mark.column + 1)
        node.children = {}
        self._count(1, event.start_mark)
        self._remember(event, None, None)
        self._stack.append(_Frame(value, node, event.anchor))

    def _end(self) -> None:
        frame = self._stack.pop()
        if frame.anchor is not None:
            self._anchors[frame.anchor] = (frame.value, frame.node)
        self._put(frame.value, frame.node)

    def _alias(self, event: Any) -> None:
        mark = event.start_mark
        if self._stack and isinstance(self._stack[-1].value, dict) and self._stack[-1].key is _AWAIT_KEY:
            raise _Fatal(mark, "an alias (*) cannot be a key")
        if event.anchor not in self._anchors:
            raise _Fatal(
                mark, f"there is no anchor &{visible(event.anchor, 40)} above", "write the value in quotes if it is text"
            )
        known = self._anchors[event.anchor]
        if known is None:
            raise _Fatal(mark, f"the alias *{visible(event.anchor, 40)} stands inside the value that it repeats")
        value, origin = known
        node = Node(mark.line + 1, mark.column + 1)
        node.children, node.size = origin.children, origin.size
        self._count(origin.size, mark)
        self._put(value, node)

    def _put(self, value: Any, node: Node) -> None:
        """Hands a finished value to the list or mapping that it stands in."""
        if not self._stack:
            self.value, self.root = value, node
            return
        frame = self._stack[-1]
        assert frame.node.children is not None
        frame.node.size += node.size
        if isinstance(frame.value, list):
            frame.node.children[len(frame.value)] = node
            frame.value.append(value)
            return
        if frame.key is not _DROP:
            assert isinstance(frame.key, str)
            node.key = frame.key_mark
            frame.value[frame.key] = value
            frame.node.children[frame.key] = node
        frame.key = _AWAIT_KEY

    def _count(self, size: int, mark: _Mark) -> None:
        self._size += size
        if self._size > NODE_LIMIT:
            raise _Fatal(mark, f"more than {NODE_LIMIT} values in one file, aliases counted as what they repeat")

    def _remember(self, event: Any, value: Any, node: Node | None) -> None:
        if event.anchor is None:
            return
        if event.anchor in self._anchors:
            mark = event.start_mark
            self.problem(mark.line + 1, mark.column + 1, f"the anchor &{visible(event.anchor, 40)} is given twice")
        self._anchors[event.anchor] = None if node is None else (value, node)

    def _refuse_tag(self, event: Any) -> None:
        mark = event.start_mark
        self.problem(
            mark.line + 1,
            mark.column + 1,
            "tags (!) are not used here",
            "delete the tag, or write the value in quotes if it is text",
        )


def _joined(text: str) -> str:
    r"""`text` with a character that JSON wrote as two escapes (`\ud83d\ude00`) as the one that it is."""
    return _SURROGATES.sub(lambda pair: pair[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le"), text)


def _is_text(text: str) -> bool:
    try:
        return isinstance(resolve(text), str)
    except NotPlain:
        return False
