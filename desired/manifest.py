"""The sections of a manifest (`files:`, `packages: {apt: …}`) as `Ask`s: what one file asks of one resource, and where.

The sections are those of the registered kinds and stand nowhere else. An `Ask` is validated when its spec is first wanted, not
when it is read, because what a host's file says of a resource may only be complete together with what its bundle says.
Built by `desired/files.py`, combined by `desired/merge.py`.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

from pydantic import ValidationError

from desired.explain import complaints
from desired.model import Diagnostic, Place
from desired.report import Report
from desired.source import ancestors
from desired.text import meant, show, visible
from desired.yaml import Document, Loc
from providers.base import Provider, Spec
from providers.registry import PROVIDERS
from providers.sealed import SealableSpec

AnyProvider: TypeAlias = Provider[Any, Any]
Key: TypeAlias = tuple[str, str]
"""Section and name: what makes two asks be about one resource."""

SECTIONS: Mapping[str, AnyProvider | Mapping[str, AnyProvider]]


def _sections() -> dict[str, AnyProvider | dict[str, AnyProvider]]:
    tree: dict[str, AnyProvider | dict[str, AnyProvider]] = {}
    for provider in PROVIDERS:
        group, _, name = provider.section.partition(".")
        if not name:
            tree[group] = provider
            continue
        inner = tree.setdefault(group, {})
        assert isinstance(inner, dict), f"{provider.section} stands inside a section that is a kind itself"
        inner[name] = provider
    return tree


SECTIONS = _sections()


@dataclass(frozen=True, slots=True)
class Layer:
    """The fields that one file gives a resource."""

    document: Document
    loc: tuple[str | int, ...]
    fields: Mapping[str, Any]
    listed: bool
    """Written as an item of a list rather than under its name."""

    @property
    def place(self) -> Place:
        """Where the resource is named."""
        if self.listed:
            return self.document.place((*self.loc, "name"))
        return self.document.key_place(self.loc)


@dataclass(eq=False)
class Ask:
    """What is asked of one resource: by one file, or by a host's laid over a bundle's (`layers`, the deciding one first)."""

    provider: AnyProvider
    name: str
    fields: Mapping[str, Any]
    layers: tuple[Layer, ...]
    told: frozenset[str] = frozenset()
    """Messages of the bundle's own problems, which are not told again for every host."""

    @property
    def key(self) -> Key:
        return (self.provider.section, self.name)

    @cached_property
    def place(self) -> Place:
        return self.layers[0].place

    @cached_property
    def ref(self) -> str:
        return self.spec.ref if self.spec else self._written_ref

    @property
    def _written_ref(self) -> str:
        return f"{self.provider.spec.kind}:{self.provider.spec.prefix}{self.name}"

    @cached_property
    def spec(self) -> Spec | None:
        """The validated spec; None when there are `problems`."""
        return None if isinstance(self._outcome, tuple) else self._outcome

    @cached_property
    def path(self) -> str | None:
        """The path that the resource owns on the host, in its plain form."""
        path = self.provider.path(self.spec) if self.spec else None
        return posixpath.normpath("/" + path.lstrip("/")) if path else None

    @cached_property
    def ancestors(self) -> tuple[str, ...]:
        """The folders on the way to `path`, by its letters alone."""
        return ("/", *ancestors(self.path)) if self.path else ()

    @cached_property
    def links(self) -> tuple[str, ...]:
        """References that the resource needs by its nature."""
        return tuple(self.provider.links(self.spec)) if self.spec else ()

    @property
    def problems(self) -> tuple[Diagnostic, ...]:
        found = self._outcome if isinstance(self._outcome, tuple) else ()
        return tuple(problem for problem in found if problem.message not in self.told)

    def where(self, loc: Loc, *, at_key: bool = False) -> Place:
        """Where the value (or key) at `loc` among the fields was written."""
        if not loc or loc[0] == "name":
            return self.place
        layer = self._layer(loc)
        full = (*layer.loc, *loc)
        return layer.document.key_place(full) if at_key else layer.document.place(full)

    def _layer(self, loc: Loc) -> Layer:
        """The file that says what stands at `loc`."""
        return next((layer for layer in self.layers if loc and loc[0] in layer.fields), self.layers[0])

    def _spelled(self, loc: Loc) -> str | None:
        layer = self._layer(loc)
        return layer.document.written((*layer.loc, *loc))

    @cached_property
    def _outcome(self) -> Spec | tuple[Diagnostic, ...]:
        data = {**self.fields, "name": self.name}
        try:
            spec: Spec = self.provider.spec.model_validate(data)
        except ValidationError as error:
            found = complaints(error, data, self.provider.spec, visible(self._written_ref), written=self._spelled)
            return tuple(Diagnostic(self.where(one.loc, at_key=one.at_key), one.message, one.hint) for one in found)
        return spec


def read_sections(document: Document, loc: Loc, data: Mapping[str, Any], report: Report) -> dict[Key, Ask]:
    """The asks in those keys of `data` (which stands at `loc`) that are sections."""
    asks: dict[Key, Ask] = {}
    for group, content in data.items():
        section = SECTIONS.get(group)
        if section is None or content is None:
            continue
        if isinstance(section, Provider):
            _read(document, (*loc, group), content, section, asks, report)
        elif not isinstance(content, dict):
            message = f"{group}: expected a mapping with {' or '.join(section)}, found {show(content)}"
            report.add(document.place((*loc, group)), message, f"write {group}: {{{next(iter(section))}: […]}}")
        else:
            for name, inner in content.items():
                if name in section:
                    _read(document, (*loc, group, name), inner, section[name], asks, report)
                else:
                    place = document.key_place((*loc, group, name))
                    report.add(place, f"there is no section {visible(f'{group}.{name}', 60)}", meant(name, section))
    return asks


def _read(
    document: Document, loc: tuple[str | int, ...], content: Any, provider: AnyProvider, asks: dict[Key, Ask], report: Report
) -> None:
    """Adds the asks of one section, in either of its two forms."""
    match content:
        case None:
            return
        case dict():
            layers = _named(document, loc, content, provider, report)
        case list():
            layers = _listed(document, loc, content, report)
        case _:
            report.add(document.place(loc), f"{provider.section}: expected a mapping or a list of names, found {show(content)}")
            return
    for name, layer in layers:
        ask = Ask(provider, name, layer.fields, (layer,))
        if first := asks.get(ask.key):
            report.add(layer.place, f"{visible(name)} stands twice in {provider.section}", f"first at {first.place}")
            continue
        asks[ask.key] = ask
        if layer.fields.get("follows") and type(provider).refresh is Provider.refresh:
            message = f"follows has no effect on a {provider.spec.kind} beyond the order: it is never refreshed"
            report.add(document.key_place((*layer.loc, "follows")), message, "write needs instead", severity="warning")
        refuse_secrets(document, layer.loc, layer.fields, report, but=provider.spec)


def _named(
    document: Document, loc: tuple[str | int, ...], content: dict[str, Any], provider: AnyProvider, report: Report
) -> Iterator[tuple[str, Layer]]:
    shorthand = provider.spec.shorthand
    for name, given in content.items():
        inner, fields = (*loc, name), {} if given is None else given
        if shorthand is not None and isinstance(fields, (str, int, float)):
            fields = {shorthand: fields}
        if not isinstance(fields, dict):
            message = f"{visible(name, 60)}: expected a mapping of its fields, found {show(fields)}"
            report.add(document.place(inner), message, "write {} for all defaults")
        elif "name" in fields:
            report.add(
                document.key_place((*inner, "name")), f"the name is already given: {visible(name, 60)}", "delete this key"
            )
        else:
            yield name, Layer(document, inner, fields, listed=False)


def _listed(document: Document, loc: tuple[str | int, ...], content: list[Any], report: Report) -> Iterator[tuple[str, Layer]]:
    for index, item in enumerate(content):
        inner = (*loc, index)
        fields = {"name": item} if isinstance(item, str) else item
        if not isinstance(fields, dict):
            hint = f'write it in quotes: "{item}"' if isinstance(item, (int, float)) else ""
            report.add(document.place(inner), f"expected a name, or a mapping with name, found {show(item)}", hint)
        elif not isinstance(name := fields.get("name"), str):
            message = f"name: expected text, found {show(name)}" if "name" in fields else "name is missing"
            report.add(document.place((*inner, "name")), message)
        else:
            yield name, Layer(document, inner, {key: value for key, value in fields.items() if key != "name"}, listed=True)


def refuse_secrets(
    document: Document, loc: Loc, value: Any, report: Report, *, inside: bool = False, but: type[Spec] | None = None
) -> None:
    """Complains of every `{secret: NAME}` in the values of `value`; `inside`, of `value` itself too. `but`: a kind whose
    content may be one."""
    if not isinstance(value, (dict, list)):
        return
    if inside and isinstance(value, dict) and value.keys() == {"secret"} and isinstance(value["secret"], str):
        hint = 'it can stand in: content of a file, url of alerts, token of a project; in templates write {{ secret("NAME") }}'
        report.claim(Diagnostic(document.place(loc), "a secret cannot stand here", hint))
        return
    open_to_one = but.sealable if but is not None and issubclass(but, SealableSpec) else None
    for part, inner in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(inner, (dict, list)) and part != open_to_one:
            refuse_secrets(document, (*loc, part), inner, report, inside=True)
