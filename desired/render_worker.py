"""The child process that renders templates: the only place where text from the repository is more than data.

Started by `desired/render.py` as `python -P -m desired.render_worker` in `/`, with limits on memory, processor time and output
that it sets itself before it reads anything. A sandboxed Jinja environment without access to files; what a template includes is
asked for on stdout. One JSON value per line on both pipes: first a batch comes in, then one answer goes out per job.

    in    {"fleet": {…}, "hosts": {name: {…}}, "templates": [[name, text], …], "jobs": [[template, host, {part: digest}], …]}
    out   {"job": n, "text": …, "uses": […], "includes": […]}  or  {"job": n, "same": m, …}  or  {"job": n, "error": …}
    out   {"include": name}      in   {"text": …} or {"error": …}
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from jinja2 import (
    StrictUndefined,
    TemplateError,
    TemplateNotFound,
    TemplateRuntimeError,
    TemplateSyntaxError,
    Undefined,
    UndefinedError,
    meta,
)
from jinja2.loaders import FunctionLoader
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing

from desired.secrets.names import MARKS, marker, secret_path
from desired.source import Unusable
from desired.text import meant, visible

MEMORY_LIMIT = 768 << 20
SECONDS_LIMIT = 3
"""Of processor time, per template and host."""
OUTPUT_LIMIT = 8 << 20
NAMES = ("host", "vars", "fleet", "hosts")
"""What a template can see."""

_TEMPLATE_FAILURES = (
    TemplateError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What expressions in a template can raise. Anything else ends this process, and the parent charges it to the template."""


class _Undefined(StrictUndefined):
    """Fails on any use, and says which name was probably meant."""

    @property
    def _undefined_message(self) -> str:
        if self._undefined_hint:
            return self._undefined_hint
        name = visible(str(self._undefined_name), 60)
        if self._undefined_obj is missing:
            return f"there is no {name} here\n{meant(name, (*NAMES, 'secret'))}"
        if isinstance(self._undefined_obj, dict):
            return f"there is no {name} in this mapping\n{meant(name, map(str, self._undefined_obj))}"
        return f"{visible(type(self._undefined_obj).__name__)} has no {name}"


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox, in which a key of a mapping comes before a method of the same name (`vars.items`)."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)


class _Secret:
    """What `secret("NAME")` gives. The value is not known here: all that can be done with it is to put it out."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def _refuse(self, *_: object) -> Any:
        raise TemplateRuntimeError(
            'a secret can only be put out as it is\nwrite {{ secret("NAME") }}, without filters and tests'
        )

    __str__ = __repr__ = __bool__ = __eq__ = __hash__ = __len__ = __iter__ = __add__ = __radd__ = __mod__ = __format__ = _refuse


def _secret(name: Any) -> _Secret:
    if not isinstance(name, str):
        raise TemplateRuntimeError('a secret is asked for by its name, as in {{ secret("db") }}')
    try:
        secret_path(name)
    except Unusable as error:
        raise TemplateRuntimeError(f"{error}\n{error.hint}") from error
    return _Secret(name)


def _printable(value: Any) -> Any:
    """Refuses what would print as an address in memory: another one every time."""
    if isinstance(value, _Secret):
        return marker(value.name)
    if value is None or isinstance(value, (str, int, float, list, tuple, dict, Undefined)):
        return value
    what = "a function, which has to be called with ()" if callable(value) else "no plain value; add | list or | join"
    raise TemplateRuntimeError(f"this is {what}")


class Worker:
    """Renders one batch. `ask` fetches an included file from the parent."""

    def __init__(self, batch: dict[str, Any], ask: Callable[[str], str]) -> None:
        self._hosts: dict[str, Any] = batch["hosts"]
        self._fleet = batch["fleet"]
        self._templates: list[tuple[str, str]] = [(name, text) for name, text in batch["templates"]]
        self._jobs = batch["jobs"]
        self._ask = ask
        self._main = ("", "")
        self._included: dict[str, str] = {}
        self._includes: dict[str, None] = {}
        self._uses: dict[int, list[str]] = {}
        self._done: dict[tuple[Any, ...], int] = {}
        self._environment = _Environment(
            loader=FunctionLoader(self._load),
            undefined=_Undefined,
            finalize=_printable,
            keep_trailing_newline=True,
            autoescape=False,
            cache_size=-1,
        )
        # A template has to give the same text every time, or its file would drift for ever.
        del self._environment.filters["random"], self._environment.globals["lipsum"]
        self._environment.globals["secret"] = _secret

    def answers(self) -> Iterator[dict[str, Any]]:
        for number, (index, host, digests) in enumerate(self._jobs):
            _allow_seconds(SECONDS_LIMIT)
            self._main, self._includes = self._templates[index], {}
            try:
                answer = self._render(number, index, host, digests)
            except _TEMPLATE_FAILURES as error:
                answer = _failure(error, self._main[0], {self._main[0], *self._includes})
            yield {"job": number, **answer}

    def _render(self, number: int, index: int, host: str, digests: dict[str, str]) -> dict[str, Any]:
        name, text = self._main
        if index not in self._uses:
            syntax = self._environment.parse(text, name, name)
            alone = next(meta.find_referenced_templates(syntax), "") == ""
            self._uses[index] = sorted(meta.find_undeclared_variables(syntax) & set(NAMES)) if alone else list(NAMES)
        uses = self._uses[index]
        key = (index, *(digests[part] for part in uses))
        if key in self._done:
            return {"same": self._done[key]}
        view = self._hosts[host]
        context = {"host": view, "vars": view["vars"], "fleet": self._fleet, "hosts": self._hosts}
        pieces, size = [], 0
        for piece in self._environment.get_template(name).generate(context):
            size += len(piece)
            if size > OUTPUT_LIMIT:
                raise TemplateRuntimeError(f"the result has more than {OUTPUT_LIMIT >> 20} MiB")
            pieces.append(piece)
        result = "".join(pieces)
        result.encode()
        if not self._includes:
            self._done[key] = number
        secret = any(mark in result for mark in MARKS)
        return {"text": result, "uses": uses, "includes": list(self._includes), "secret": secret}

    def _load(self, name: str) -> tuple[str, str, Callable[[], bool]]:
        """Jinja's way to a template: the one being rendered is at hand, what it includes has to be asked for once."""

        def current() -> bool:
            """Asked by Jinja before it takes a template that it has compiled already; so every use is noted here."""
            if name != self._main[0]:
                self._includes[name] = None
            return name == self._main[0] or name in self._included

        if name == self._main[0]:
            return self._main[1], name, current
        self._includes[name] = None
        if name not in self._included:
            self._included[name] = self._ask(name)
        return self._included[name], name, current


def _failure(error: BaseException, template: str, known: set[str]) -> dict[str, Any]:
    """What went wrong and in which line of which template."""
    if isinstance(error, TemplateSyntaxError):
        name = error.name if error.name in known else template
        return {"error": str(error.message).rstrip("."), "hint": "", "name": name, "line": error.lineno, "missing": False}
    name, line = _last_line(error.__traceback__, known) or (template, 0)
    match error:
        case RecursionError():
            message = "it includes or calls itself without end"
        case MemoryError():
            message = f"it needs more than {MEMORY_LIMIT >> 20} MiB of memory"
        case TemplateNotFound():
            message = str(error.message)
        case TemplateError():
            message = str(error.message)
        case _:
            message = f"{type(error).__name__}: {error}"
    sentence, _, hint = message.partition("\n")
    missing = isinstance(error, UndefinedError)
    return {"error": sentence[:1000], "hint": hint[:1000], "name": name, "line": line, "missing": missing}


def _last_line(trace: TracebackType | None, known: set[str]) -> tuple[str, int] | None:
    """The innermost frame that is a template's: Jinja gives them the template's name and lines."""
    found = None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename in known:
            found = trace.tb_frame.f_code.co_filename, trace.tb_lineno
        trace = trace.tb_next
    return found


def _allow_seconds(more: int) -> None:
    """Moves the limit of processor time ahead; going beyond it ends this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = int(usage.ru_utime + usage.ru_stime) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (used + more, resource.RLIM_INFINITY))


def _confine() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    sys.set_int_max_str_digits(4300)


def main() -> None:
    _confine()

    def send(value: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(value) + "\n")
        sys.stdout.flush()

    def ask(name: str) -> str:
        send({"include": name})
        answer = json.loads(sys.stdin.readline())
        if "error" in answer:
            raise TemplateNotFound(name, answer["error"])
        return str(answer["text"])

    send({"ready": True})
    line = sys.stdin.readline()
    if line:
        for answer in Worker(json.loads(line), ask).answers():
            send(answer)


if __name__ == "__main__":
    main()
