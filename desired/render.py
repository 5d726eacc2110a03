"""Renders the templates of a whole fleet in one child process, and survives whatever a template does to that child.

Called by `desired/content.py` with all renderings that a load needs. Each is identified by its template and by those parts of
the context that the template looks at, so hosts that look alike to a template share one rendering (and one object in memory),
and the next load renders only what a commit changed. The child is `desired/render_worker.py`.
"""

from __future__ import annotations

import hashlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

from desired.memo import Memo
from desired.text import visible

ANSWER_SECONDS = 20.0
"""How long one rendering may take by the clock; the child limits its own processor time to much less."""
START_SECONDS = 30.0
STOPPED_LIMIT = 5
"""Templates that may end the child before the rest is given up."""
LINE_LIMIT = 64 << 20
"""Bytes of one answer: the child's output limit in its longest JSON form."""

_ROOT = Path(__file__).resolve().parents[1]


class Template(NamedTuple):
    """A template's text. `name` is its path in the repository, or a word for inline content."""

    name: str
    text: str


class Job(NamedTuple):
    template: Template
    host: str


@dataclass(frozen=True, slots=True)
class Rendered:
    body: bytes
    includes: tuple[str, ...] = ()
    """Paths of the files that were included."""
    secret: bool = False
    """It has places for secrets in it (`desired.secrets.names.marker`)."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a template could not be rendered, and where: `line` of the template `name`, 0 for the whole."""

    message: str
    hint: str
    name: str
    line: int
    missing: bool = False
    """It looks for a name that is not there."""


class Context:
    """What templates see: every host's view, the fleet's variables. With digests, so that equal parts are known as equal."""

    def __init__(self, hosts: Mapping[str, Mapping[str, Any]], fleet: Mapping[str, Any]) -> None:
        self.hosts = hosts
        self.fleet = fleet
        everywhere = {"fleet": _digest(fleet), "hosts": _digest(hosts)}
        self.digests = {
            name: {"host": _digest(view), "vars": _digest(view["vars"]), **everywhere} for name, view in hosts.items()
        }


def _digest(value: object) -> str:
    """Of the value in its order, because a template can tell that."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:32]


@dataclass
class RenderCache:
    """What earlier loads rendered."""

    uses: Memo[Template, tuple[str, ...]] = field(default_factory=Memo)
    """The parts of the context that a template looks at."""
    rendered: Memo[tuple[Any, ...], tuple[Rendered, tuple[tuple[str, str], ...]]] = field(default_factory=Memo)
    """Template and digests of these parts → the rendering, and the included files with their texts."""

    def turn(self) -> None:
        self.uses.turn()
        self.rendered.turn()


Include = Callable[[str], str]
"""The text of a file that a template includes; raises `LookupError` with a sentence."""


def render(jobs: Sequence[Job], context: Context, include: Include, cache: RenderCache) -> list[Rendered | Failure]:
    """One result per job, in order. `RuntimeError` only when the child cannot be started at all."""
    results: dict[int, Rendered | Failure] = {}
    waiting: list[int] = []
    for number, job in enumerate(jobs):
        known = _from_cache(job, context, include, cache)
        if known is None:
            waiting.append(number)
        else:
            results[number] = known
    stopped = 0
    while waiting:
        if stopped == STOPPED_LIMIT:
            results.update({number: _not_tried(jobs[number].template) for number in waiting})
            break
        batch = _Batch([jobs[number] for number in waiting], context, include, cache)
        found, charged = batch.run()
        results.update({waiting[position]: result for position, result in found.items()})
        if charged is not None:
            stopped += 1
            template = jobs[waiting[charged]].template
            failure = Failure(batch.verdict, "", template.name, 0)
            results.update(
                {number: failure for number in waiting if number not in results and jobs[number].template == template}
            )
        waiting = [number for number in waiting if number not in results]
    return [results[number] for number in range(len(jobs))]


def _not_tried(template: Template) -> Failure:
    return Failure(f"not rendered, because {STOPPED_LIMIT} other templates had to be stopped", "", template.name, 0)


def _key(job: Job, uses: Iterable[str], context: Context) -> tuple[Any, ...]:
    digests = context.digests[job.host]
    return (job.template, *(digests[part] for part in uses))


def _from_cache(job: Job, context: Context, include: Include, cache: RenderCache) -> Rendered | None:
    uses = cache.uses.get(job.template)
    known = None if uses is None else cache.rendered.get(_key(job, uses, context))
    if known is None:
        return None
    rendered, included = known
    for name, text in included:
        try:
            if include(name) != text:
                return None
        except LookupError:
            return None
    return rendered


class _Died(Exception):
    """The child is gone, or has been ended because it did not answer."""


class _Batch:
    """One child and the jobs it is given."""

    def __init__(self, jobs: Sequence[Job], context: Context, include: Include, cache: RenderCache) -> None:
        self._jobs = jobs
        self._context = context
        self._include = include
        self._cache = cache
        self._results: dict[int, Rendered | Failure] = {}
        self._bodies: dict[bytes, bytes] = {}
        self.verdict = ""

    def run(self) -> tuple[dict[int, Rendered | Failure], int | None]:
        """Results by position, and the position of the job that the child died of, if it did."""
        with tempfile.TemporaryFile() as errors, _Child(errors.fileno()) as child:
            try:
                child.receive(START_SECONDS)
            except _Died as error:
                errors.seek(0)
                last = visible(errors.read(100_000).decode("utf-8", "replace").strip().rpartition("\n")[2], 300)
                raise RuntimeError(f"the process that renders templates did not start: {last or error}") from error
            try:
                child.send(self._message())
                while len(self._results) < len(self._jobs):
                    self._take(child, child.receive(ANSWER_SECONDS))
            except (LookupError, TypeError, AttributeError):  # what a template made of its process is not trusted to keep form
                self.verdict = "the template was stopped: it did not answer properly"
                return self._results, len(self._results)
            except _Died as error:
                self.verdict = f"the template was stopped: {error}"
                return self._results, len(self._results)
        return self._results, None

    def _message(self) -> dict[str, Any]:
        templates = {template: index for index, template in enumerate(dict.fromkeys(job.template for job in self._jobs))}
        jobs = [[templates[job.template], job.host, self._context.digests[job.host]] for job in self._jobs]
        return {"fleet": self._context.fleet, "hosts": self._context.hosts, "templates": list(templates), "jobs": jobs}

    def _take(self, child: _Child, answer: dict[str, Any]) -> None:
        if "include" in answer:
            try:
                child.send({"text": self._include(answer["include"])})
            except LookupError as error:
                child.send({"error": str(error.args[0])})
            return
        number = len(self._results)
        if "error" in answer:
            message, hint = visible(answer["error"], 400), visible(answer["hint"], 200)
            failure = Failure(message, hint, answer["name"], answer["line"] or 0, missing=answer["missing"])
            self._results[number] = failure
        elif "same" in answer:
            self._results[number] = self._results[answer["same"]]
        else:
            body = answer["text"].encode()
            rendered = Rendered(self._bodies.setdefault(body, body), tuple(answer["includes"]), secret=bool(answer["secret"]))
            self._results[number] = rendered
            job = self._jobs[number]
            self._cache.uses.put(job.template, tuple(answer["uses"]))
            included = tuple((name, self._include(name)) for name in rendered.includes)
            self._cache.rendered.put(_key(job, answer["uses"], self._context), (rendered, included))


class _Child:
    """The process and its two pipes, with a deadline on everything."""

    def __init__(self, errors: int) -> None:
        environment = {"PYTHONPATH": str(_ROOT), "PYTHONUTF8": "1", "LC_ALL": "C"}
        if "LD_LIBRARY_PATH" in os.environ:
            environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "desired.render_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd="/",
            env=environment,
            bufsize=0,
        )
        assert self._process.stdin and self._process.stdout
        self._in, self._out = self._process.stdin, self._process.stdout
        os.set_blocking(self._in.fileno(), False)
        os.set_blocking(self._out.fileno(), False)
        self._writable, self._readable = select.poll(), select.poll()
        self._writable.register(self._in, select.POLLOUT)
        self._readable.register(self._out, select.POLLIN)
        self._buffer = bytearray()
        self._scanned = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._in.close()
        self._out.close()

    def send(self, value: dict[str, Any]) -> None:
        data = memoryview(json.dumps(value).encode() + b"\n")
        deadline = time.monotonic() + START_SECONDS
        while data:
            self._wait(self._writable, deadline)
            try:
                data = data[os.write(self._in.fileno(), data) :]
            except BrokenPipeError as error:
                raise self._death() from error

    def receive(self, seconds: float) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while (end := self._buffer.find(b"\n", self._scanned)) < 0:
            self._scanned = len(self._buffer)
            self._wait(self._readable, deadline)
            piece = os.read(self._out.fileno(), 1 << 20)
            if not piece:
                raise self._death()
            self._buffer += piece
            if len(self._buffer) > LINE_LIMIT:
                raise _Died("it wrote too much")
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._scanned = 0
        try:
            answer = json.loads(line)
        except ValueError as error:
            raise _Died("it did not answer properly") from error
        if not isinstance(answer, dict):
            raise _Died("it did not answer properly")
        return answer

    def _wait(self, pipe: select.poll, deadline: float) -> None:
        if not pipe.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise _Died("it took too long")

    def _death(self) -> _Died:
        try:
            status = self._process.wait(5)
        except subprocess.TimeoutExpired:
            return _Died("it closed its output")
        if status in (-signal.SIGXCPU, -signal.SIGKILL):
            return _Died("it took too much processor time or memory")
        return _Died(f"the process that rendered it ended with {status}")
