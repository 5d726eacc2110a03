"""Bundles and a host's own file become one manifest: which asks hold on a host, and which variables.

The rule, for resources and for variables alike: what the host's own file says decides, field by field; the rest comes from its
bundles, and these must agree. A bundle brings along the bundles that it names, as if the host had named them. Called by
`desired/load.py`; what is common to hosts with the same bundles is worked out once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from desired.files import Manifest
from desired.manifest import Ask, Key
from desired.memo import Memo
from desired.model import Place
from desired.report import Report
from desired.schema import BundleSettings, HostSettings
from desired.text import listing, meant, show, visible
from providers.base import Spec

Bundle: TypeAlias = Manifest[BundleSettings]
HostFile: TypeAlias = Manifest[HostSettings]


@dataclass(frozen=True)
class Shared:
    """What a set of bundles asks for together."""

    asks: Mapping[Key, tuple[Ask, ...]]
    """Usually one ask each; several where bundles differ, and then the host has to decide."""
    disputed: tuple[Key, ...]
    whole: bool
    """Whether every bundle was found, and read whole."""
    vars: Mapping[str, tuple[tuple[Any, Place], ...]]


class Merger:
    """Combines the bundles of one fleet for its hosts."""

    def __init__(
        self, bundles: Mapping[str, Bundle], fleet_vars: Mapping[str, Any], overlays: Overlays, report: Report
    ) -> None:
        self._bundles = bundles
        self._overlays = overlays
        self._fleet_vars = fleet_vars
        self._report = report
        self._shared: dict[tuple[str, ...], Shared] = {}
        self._partial: set[str] = set()
        """Bundles that name one that there is not."""
        self._brought: dict[str, tuple[str, ...]] = {}
        for name in bundles:
            self._bring(name)

    def asks(self, host: HostFile) -> list[Ask]:
        """What holds on `host`. Hosts with the same bundles get the same objects, except where their own files have a say."""
        shared = self._for(host)
        for key in shared.disputed:
            self._dispute(host, shared.asks[key], host.asks.get(key))
        merged = {key: asks[0] for key, asks in shared.asks.items()}
        for key, own in host.asks.items():
            merged[key] = self._overlays.get(merged[key], own) if key in merged else own
        return list(merged.values())

    def vars(self, host: HostFile) -> dict[str, Any]:
        """The variables of `host`: the fleet's, then its bundles', then its own."""
        shared = self._for(host)
        for name, values in shared.vars.items():
            if len(values) > 1 and name not in host.settings.vars:
                (value, place), (other, second) = values[:2]
                self._report.add(
                    second,
                    f"vars.{visible(name, 60)} is {show(other)} here and {show(value)} at {place}",
                    "let the bundles agree, or give it in the host's own file, which decides",
                    hosts=[host.name],
                )
        return {**self._fleet_vars, **{name: values[0][0] for name, values in shared.vars.items()}, **host.settings.vars}

    def whole(self, host: HostFile) -> bool:
        """Whether all that `host` is to be could be read: if not, what seems to be missing is no second mistake."""
        found = len(self._known(host, host.settings.bundles)) == len(host.settings.bundles)
        return host.whole and found and self._for(host).whole

    def _for(self, host: HostFile) -> Shared:
        names = self._known(host, host.settings.bundles)
        every = tuple(dict.fromkeys(inner for name in names for inner in self._brought[name]))
        if every not in self._shared:
            self._shared[every] = _share([self._bundles[name] for name in every], whole=self._partial.isdisjoint(every))
        return self._shared[every]

    def _known(self, manifest: Manifest[Any], names: Iterable[str]) -> list[str]:
        """Those of `names` that are bundles; the others are reported at the manifest that names them."""
        known = []
        for index, name in enumerate(names):
            if name in self._bundles:
                known.append(name)
            else:
                hint = meant(name, self._bundles, otherwise="bundles are the files in bundles/, named without .yaml")
                self._report.add(
                    manifest.where("bundles", index), f"there is no bundle {visible(name, 60) or show(name)}", hint
                )
        return known

    def _bring(self, start: str) -> None:
        """Finds the bundles that `start` brings along, itself last; reports those that bring themselves."""
        path: list[str] = []
        waiting: list[tuple[str, bool]] = [(start, False)]
        while waiting:
            name, finished = waiting.pop()
            if finished:
                path.pop()
                inner = [deep for one in self._inner(name) for deep in self._brought.get(one, ())]
                self._brought[name] = tuple(dict.fromkeys([*inner, name]))
            elif name in path:
                self._circle([*path[path.index(name) :], name])
            elif name not in self._brought:
                path.append(name)
                waiting.append((name, True))
                waiting.extend((one, False) for one in reversed(self._inner(name)))

    def _inner(self, name: str) -> list[str]:
        bundle = self._bundles[name]
        known = self._known(bundle, bundle.settings.bundles)
        if len(known) < len(bundle.settings.bundles):
            self._partial.add(name)
        return known

    def _circle(self, names: list[str]) -> None:
        bundle = self._bundles[names[0]]
        index = list(bundle.settings.bundles).index(names[1])
        message = f"bundles bring each other along in a circle: {' → '.join(names)}"
        self._report.add(bundle.where("bundles", index), message, "take one of them out")

    def _dispute(self, host: HostFile, asks: tuple[Ask, ...], own: Ask | None) -> None:
        """Reports the fields that bundles want differently and that the host's own file does not decide."""
        first = asks[0]
        decided = own.fields.keys() if own else frozenset()
        if decided and own and own.fields.get("ensure") == "absent":
            return
        for other in asks[1:]:
            fields = sorted(_differing(first, other) - decided)
            if fields:
                self._report.add(
                    other.place,
                    f"{visible(first.ref)} is asked for differently at {first.place}, in {listing(fields)}",
                    "let the bundles agree, or set these fields in the host's own file, which decides",
                    hosts=[host.name],
                )


class Overlays:
    """The same two asks laid over each other give the same object, also from one load to the next."""

    def __init__(self) -> None:
        self._known: Memo[tuple[int, int], tuple[Ask, Ask, Ask]] = Memo()

    def get(self, base: Ask, top: Ask) -> Ask:
        key = (id(base), id(top))
        known = self._known.get(key)
        if known is None:
            known = (base, top, overlay(base, top))
            self._known.put(key, known)
        return known[2]

    def turn(self) -> None:
        self._known.turn()


def _share(bundles: list[Bundle], *, whole: bool) -> Shared:
    asks: dict[Key, tuple[Ask, ...]] = {}
    values: dict[str, tuple[tuple[Any, Place], ...]] = {}
    for bundle in bundles:
        for key, ask in bundle.asks.items():
            known = asks.get(key, ())
            if all(_differing(ask, other) for other in known):
                asks[key] = (*known, ask)
        for name, value in bundle.settings.vars.items():
            others = values.get(name, ())
            if all(_unlike(value, other) for other, _ in others):
                values[name] = (*others, (value, bundle.where("vars", name)))
    disputed = tuple(key for key, several in asks.items() if len(several) > 1)
    return Shared(asks, disputed, whole and all(bundle.whole for bundle in bundles), values)


def _unlike(value: object, other: object) -> bool:
    return value != other or type(value) is not type(other)


def _differing(ask: Ask, other: Ask) -> set[str]:
    """The fields in which two asks for one resource differ, after normalising; by their text when one of them is invalid."""
    if ask.spec is None or other.spec is None:
        return {name for name in ask.fields.keys() | other.fields.keys() if ask.fields.get(name) != other.fields.get(name)}
    if ask.fields == other.fields:
        return set()
    fields = type(ask.spec).model_fields
    return {field.alias or name for name, field in fields.items() if getattr(ask.spec, name) != getattr(other.spec, name)}


def overlay(base: Ask, top: Ask) -> Ask:
    """What a host's file (`top`) says of a resource, completed by what its bundle (`base`) says.

    A field without a value takes the bundle's away; `ensure: absent` takes all of them away. A text given as `content` replaces
    one given as `source`, and the other way round: they are two ways to say one thing.
    """
    if top.fields.get("ensure") == "absent":
        return top
    kept = {name: value for name, value in base.fields.items() if name not in top.fields and name not in _replaced(top)}
    own = {name: value for name, value in top.fields.items() if value is not None or name not in base.fields}
    told = frozenset(problem.message for problem in base.problems)
    return Ask(top.provider, top.name, {**kept, **own}, (*top.layers, *base.layers), told)


def _replaced(top: Ask) -> set[str]:
    """The bundle's fields that make no sense beside what the host's file gives."""
    spec: type[Spec] = top.provider.spec
    ways = {spec.blobs, "content"} & spec.model_fields.keys()
    if len(ways) < 2 or not ways & top.fields.keys():
        return set()
    return {name for name in (*ways, "template") if name is not None and name not in top.fields}
