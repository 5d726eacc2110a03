"""Whether an answer is the one that was expected, and how a wrong one is told. Pure; used by `ask.py`.

Whatever a host said goes through `visible` here, and through `redact` before it is shortened: a secret that was cut in two
would not be found by the sinks any more.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from providers.secret import redact
from providers.smoke import Smoke
from reconciler.smoke.http import BODY_LIMIT, Answer, Question
from reconciler.text import shorten, visible

SHOWN = 2000
"""Characters of a wrong answer's body that are shown."""
_TELLING = ("content-type", "content-length", "location", "server", "retry-after", "www-authenticate")
_MISSING = object()


def wrong(smoke: Smoke, answer: Answer, seconds: float) -> str:
    """What is not as expected, in words; empty when everything is."""
    return "; ".join(_faults(smoke, answer, seconds))


def _faults(smoke: Smoke, answer: Answer, seconds: float) -> Iterator[str]:
    if answer.status is None or not answer.whole:
        yield answer.trouble or "the answer is not complete"
    if answer.status is not None:
        if smoke.status is None:
            if answer.status >= 500:
                yield f"status {answer.status}, expected one below 500"
        elif answer.status not in smoke.status:
            one_of = "one of " if len(smoke.status) > 1 else ""
            yield f"status {answer.status}, expected {one_of}{', '.join(map(str, smoke.status))}"
        yield from _wrong_headers(smoke, answer)
        if smoke.contains is not None and smoke.contains.encode() not in answer.body:
            where = f"the first {BODY_LIMIT >> 20} MiB of the body" if answer.cut else "the body"
            yield f"{where} does not contain {_quoted(smoke.contains)}"
        if smoke.fields:
            yield from _wrong_fields(smoke, answer)
        yield from late(smoke, seconds)


def late(smoke: Smoke, seconds: float) -> Iterator[str]:
    if smoke.within is not None and seconds * 1000 > smoke.within:
        yield f"it took {seconds * 1000:.0f} ms, more than {smoke.within}"


def _wrong_headers(smoke: Smoke, answer: Answer) -> Iterator[str]:
    for name, text in smoke.headers.items():
        found = answer.header(name)
        if found is None:
            yield f"there is no header {name}"
        elif text.lower() not in found.lower():
            yield f"the header {name} is {_quoted(found)} and does not contain {_quoted(text)}"


def _wrong_fields(smoke: Smoke, answer: Answer) -> Iterator[str]:
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        yield f"the body is no JSON{' within its first MiB' if answer.cut else ''}"
        return
    for path, expected in smoke.fields.items():
        found = _field(document, path)
        if found is _MISSING:
            yield f"{visible(path)} is missing"
        elif not _same(found, expected):
            yield f"{visible(path)} is {_json(found)}, expected {_json(expected)}"


def _field(document: Any, path: str) -> Any:
    """The value at a dotted path. A key that holds dots itself is found too."""
    if isinstance(document, dict) and path in document:
        return document[path]
    head, dot, rest = path.partition(".")
    while dot:
        inner = _part(document, head)
        found = _MISSING if inner is _MISSING else _field(inner, rest)
        if found is not _MISSING or not isinstance(document, dict):
            return found
        more, dot, rest = rest.partition(".")
        head = f"{head}.{more}"
    return _part(document, path)


def _part(document: Any, key: str) -> Any:
    if isinstance(document, dict):
        return document.get(key, _MISSING)
    if isinstance(document, list) and key.isascii() and key.isdecimal() and len(key) < 8 and int(key) < len(document):
        return document[int(key)]
    return _MISSING


def _same(found: Any, expected: Any) -> bool:
    """As JSON compares: `true` is not 1, and 1 is 1.0."""
    if isinstance(found, dict) and isinstance(expected, dict):
        return found.keys() == expected.keys() and all(_same(found[key], expected[key]) for key in found)
    if isinstance(found, list) and isinstance(expected, (list, tuple)):
        return len(found) == len(expected) and all(map(_same, found, expected))
    return isinstance(found, bool) == isinstance(expected, bool) and bool(found == expected)


def _json(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except RecursionError:
        return "something nested too deeply to show"
    return shorten(visible(redact(text)), 200)


def _quoted(text: str) -> str:
    return f'"{shorten(visible(redact(text)), 200)}"'


def transcript(question: Question | None, answer: Answer, named: Smoke) -> str:
    """What was asked and what came: a few lines for the person who has to find out why."""
    lines = []
    if question is not None:
        host = next(value for name, value in question.headers if name == "Host")
        lines.append(f"> {question.method} {question.target} HTTP/1.1, Host: {host}")
    if answer.status is not None:
        lines.append(f"< HTTP/1.1 {answer.status} {_line(answer.reason)}".rstrip())
        telling = {*_TELLING, *(name.lower() for name in named.headers)}
        lines += [
            f"< {_line(name)}: {_line(value)}" for name, value in answer.headers[:100] if name.decode("latin-1") in telling
        ]
    if answer.body:
        text = redact(answer.body.decode("utf-8", "surrogateescape")).replace("\r\n", "\n")
        lines.append(visible(text[:SHOWN], lines=True).rstrip("\n"))
        if len(text) > SHOWN or answer.cut:
            lines.append(f"… ({'more than ' if answer.cut else ''}{len(answer.body)} bytes in all)")
    return "\n".join(lines)


def _line(text: bytes) -> str:
    return shorten(visible(redact(text.decode("utf-8", "surrogateescape"))), 300)
