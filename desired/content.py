"""Puts contents into specs: files of the repository as they are, inline text, and rendered templates.

Which field names a file is said by the kind (`Spec.blobs`); a kind with the fields `content` and `template` may also carry its
text inline. Called by `desired/load.py` once all hosts are arranged, so that every rendering of the fleet goes to the child
process in one batch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from desired.graph import Arranged, Arrangement
from desired.memo import Memo
from desired.model import Place, Resource
from desired.render import Context, Failure, Job, RenderCache, Template, render
from desired.report import Report
from desired.secrets.names import MARKS, read_secret, secret_path, split_at_markers
from desired.source import FILE_LIMIT, PACKAGE_LIMIT, TEXT_LIMIT, Source, Unusable, repository_path
from desired.text import visible
from providers.base import Spec
from providers.sealed import Reference, SealableSpec, Sealed, SecretName

_LOOKS_LIKE_A_TEMPLATE = re.compile(r"\{\{ ?(?:host|vars|fleet|hosts|secret)\b[^{}\n]*\}\}|\{% ?(?:if|for|set|include)\b")
INCLUDABLE = "files/"
"""Where a file has to lie to be included by a template."""
CLOSED_MODE = "0600"
"""Of a file that holds a secret, where its manifest gives none."""
Body: TypeAlias = bytes | Sealed


@dataclass
class ContentCache:
    """What earlier loads read and rendered."""

    blobs: Memo[str, bytes] = field(default_factory=Memo)
    renders: RenderCache = field(default_factory=RenderCache)

    def turn(self) -> None:
        self.blobs.turn()
        self.renders.turn()


@dataclass(frozen=True, slots=True)
class _Text:
    """A template, and where the field stands that asks for it."""

    template: Template
    place: Place


class Contents:
    """The contents of one fleet at one commit. `used` collects the files that were needed."""

    def __init__(self, source: Source, cache: ContentCache, report: Report, doubtful: Collection[str] = ()) -> None:
        """`doubtful`: hosts whose files could not all be read. What a template finds missing there is no second mistake."""
        self._doubtful = doubtful
        self._source = source
        self._cache = cache
        self._report = report
        self._bodies: dict[Body, Body] = {}
        self._specs: dict[tuple[int, int], Spec] = {}
        self._resources: dict[tuple[int, int], Resource] = {}
        self._wanted: dict[int, Body | _Text | None] = {}
        """By identity of the spec: hosts that share a bundle share its specs."""
        self.used: dict[str, str] = {}
        self.secrets: dict[str, bytes] = {}
        """The encrypted files that were needed."""

    def fill(self, arrangements: Mapping[str, Arrangement], context: Callable[[], Context]) -> dict[str, tuple[Resource, ...]]:
        """The resources of every host, in order, with their bodies. `context` is only called if there is a template."""
        jobs: list[tuple[Job, Arranged, _Text]] = []
        for host, arrangement in arrangements.items():
            for arranged in arrangement.resources:
                wanted = self._want(arranged)
                if isinstance(wanted, _Text):
                    jobs.append((Job(wanted.template, host), arranged, wanted))
        rendered = self._render(jobs, context) if jobs else {}
        return {
            host: tuple(
                self._resource(arranged, self._body(arranged, rendered.get((host, id(arranged)))))
                for arranged in arrangement.resources
            )
            for host, arrangement in arrangements.items()
        }

    def _body(self, arranged: Arranged, rendered: Body | None) -> Body | None:
        wanted = self._wanted[id(arranged.spec)]
        return rendered if isinstance(wanted, _Text) else wanted

    def _resource(self, arranged: Arranged, body: Body | None) -> Resource:
        key = (id(arranged), id(body))
        if key not in self._resources:
            spec = arranged.spec if body is None else self._filled(arranged.spec, body)
            self._resources[key] = Resource(spec, arranged.ask.place, arranged.needs, arranged.follows)
        return self._resources[key]

    def _filled(self, spec: Spec, body: Body) -> Spec:
        """The spec with its body; one object for all hosts that have both in common."""
        key = (id(spec), id(body))
        if key not in self._specs:
            self._specs[key] = spec.with_body(body) if isinstance(body, bytes) else _sealed(spec, body)
        return self._specs[key]

    def _want(self, arranged: Arranged) -> Body | _Text | None:
        key = id(arranged.spec)
        if key not in self._wanted:
            try:
                self._wanted[key] = self._find(arranged)
            except Unusable as error:
                secret = isinstance(getattr(arranged.spec, "content", None), SecretName)
                blobs = "content" if secret else arranged.spec.blobs or "content"
                self._report.add(arranged.ask.where((blobs,)), f"{blobs}: {error}", error.hint)
                self._wanted[key] = None
        return self._wanted[key]

    def _find(self, arranged: Arranged) -> Body | _Text | None:
        """The body of a resource, or the template that it comes from."""
        spec = arranged.spec
        if not spec.present:
            return None
        fields = type(spec).model_fields
        named = getattr(spec, spec.blobs) if spec.blobs else None
        if isinstance(named, str):
            path = repository_path(named)
            if _is_template(spec, by_name=path.endswith(".j2")):
                return _Text(Template(path, self._text(path)), arranged.ask.where((spec.blobs or "",)))
            return self._read(path, PACKAGE_LIMIT if path.endswith(".deb") else FILE_LIMIT)
        content = getattr(spec, "content", None) if {"content", "template"} <= fields.keys() else None
        if isinstance(content, SecretName):
            self._refuse_readers(arranged)
            return self._shared(Sealed((self._reference(content.secret),)))
        if not isinstance(content, str):
            return None
        if _is_template(spec, by_name=False):
            place = arranged.ask.where(("content",))
            return _Text(Template(str(place), content), place)
        if "template" not in spec.model_fields_set and _LOOKS_LIKE_A_TEMPLATE.search(content):
            message = "content: this looks like a template, and is installed as it stands"
            hint = "add template: true to have it rendered, or template: false to say that it is meant so"
            self._report.add(arranged.ask.where(("content",)), message, hint, severity="warning")
        return self._shared(content.encode())

    def _reference(self, name: str) -> Reference:
        path = secret_path(name)
        if path not in self.secrets:
            self.secrets[path] = read_secret(self._source, path)
            self.used[path] = self._source[path].id
        return Reference(path, self.used[path])

    def _refuse_readers(self, arranged: Arranged) -> None:
        """What everybody on the host may read is no secret there, and could not be kept out of previews later."""
        mode = getattr(arranged.spec, "mode", None)
        if isinstance(mode, str) and int(mode, 8) & 0o007:
            message = f"mode: {mode} opens a file with a secret in it to everybody on the host"
            hint = f"leave mode out ({CLOSED_MODE}), or end it with 0, as in 0640"
            self._report.add(arranged.ask.where(("mode",)), message, hint)

    def _read(self, path: str, limit: int) -> bytes:
        entry = self._source.check(path, limit)
        self.used[path] = entry.id
        data = self._cache.blobs.get(entry.id)
        if data is None:
            data = self._source.read(path, limit)
            self._cache.blobs.put(entry.id, data)
        return data

    def _text(self, path: str) -> str:
        try:
            return self._read(path, TEXT_LIMIT).decode()
        except UnicodeDecodeError as error:
            raise Unusable(
                f"the template {visible(path)} is not UTF-8", "set template: false to install it as it is"
            ) from error

    def _include(self, name: str) -> str:
        """A file that a template includes."""
        try:
            path = repository_path(name)
            if path != name or not path.startswith(INCLUDABLE):
                raise Unusable(f"only files below {INCLUDABLE} can be included, by their path in the repository")
            return self._text(path)
        except Unusable as error:
            raise LookupError(f"{error}\n{error.hint}") from error

    def _render(self, jobs: list[tuple[Job, Arranged, _Text]], context: Callable[[], Context]) -> dict[tuple[str, int], Body]:
        results = render([job for job, _, _ in jobs], context(), self._include, self._cache.renders)
        bodies: dict[tuple[str, int], Body] = {}
        for (job, arranged, text), result in zip(jobs, results, strict=True):
            if isinstance(result, Failure):
                self._fail(result, text, job.host)
                continue
            try:
                body = self._secret_text(result.body.decode(), arranged) if result.secret else result.body
            except Unusable as error:
                self._report.add(text.place, str(error), error.hint, hosts=[job.host])
                continue
            bodies[job.host, id(arranged)] = self._shared(body)
            for path in result.includes:
                self.used[path] = self._source[path].id
        return bodies

    def _secret_text(self, text: str, arranged: Arranged) -> Sealed:
        """A rendered template with its secrets' places."""
        if not isinstance(arranged.spec, SealableSpec):
            raise Unusable(f"a {arranged.spec.kind} cannot hold a secret", "secrets can stand in files")
        pieces: list[bytes | Reference] = []
        for number, piece in enumerate(split_at_markers(text)):
            if any(mark in piece for mark in MARKS):
                raise Unusable("the template changes a secret", 'put it in as it is: {{ secret("NAME") }}')
            pieces.append(self._reference(piece) if number % 2 else piece.encode())
        self._refuse_readers(arranged)
        return Sealed(tuple(pieces))

    def _fail(self, failure: Failure, text: _Text, host: str) -> None:
        """Reports a template that failed, in its own line where it is a file."""
        if failure.missing and (host in self._doubtful or (self._doubtful and "hosts" in text.template.text)):
            return
        if failure.name in self._source:
            place, message = Place(failure.name, failure.line, 1 if failure.line else 0), failure.message
        else:
            place, message = text.place, f"line {failure.line} of the content: {failure.message}"
        self._report.add(place, message, failure.hint, hosts=[host])

    def _shared(self, body: Body) -> Body:
        """Equal contents as one object."""
        return self._bodies.setdefault(body, body)


def _sealed(spec: Spec, sealed: Sealed) -> Spec:
    assert isinstance(spec, SealableSpec)
    closed = {"mode": CLOSED_MODE} if getattr(spec, "mode", None) is None else {}
    return spec.with_sealed(sealed, **closed)


def _is_template(spec: Spec, *, by_name: bool) -> bool:
    """`template` decides where it is given; otherwise the ending of the file's name does."""
    if "template" not in type(spec).model_fields:
        return False
    given = getattr(spec, "template", None)
    return given if isinstance(given, bool) and "template" in spec.model_fields_set else by_name
