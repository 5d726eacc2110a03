"""Reads the files of a fleet, each on its own: fleet.yaml, hosts and bundles become settings, variables and asks.

Everything here depends on one file alone, so its result is kept by blob id and a commit costs only the files that it changed.
What needs several files (bundles on hosts, references, templates) comes after, in `merge`, `graph` and `content`. Called by
`desired/load.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from desired.explain import Complaint, complaints
from desired.manifest import SECTIONS, Ask, Key, read_sections, refuse_secrets
from desired.model import Place
from desired.report import Report
from desired.schema import NAME, BundleSettings, FleetSettings, HostSettings
from desired.text import nearest, show, visible
from desired.yaml import Document, Loc
from providers.base import Model

SettingsT = TypeVar("SettingsT", bound=Model)


@dataclass(eq=False)
class Manifest(Generic[SettingsT]):
    """What one file says of one host or of one bundle."""

    name: str
    document: Document
    loc: tuple[str | int, ...]
    settings: SettingsT
    asks: Mapping[Key, Ask]
    whole: bool = True
    """False where a part of it could not be read: what seems to be missing may stand there."""

    @property
    def place(self) -> Place:
        return self.document.key_place(self.loc) if self.loc else Place(self.document.file, 1, 1)

    def where(self, *loc: str | int) -> Place:
        return self.document.place((*self.loc, *loc))

    def where_key(self, *loc: str | int) -> Place:
        return self.document.key_place((*self.loc, *loc))


@dataclass(eq=False)
class Read(Generic[SettingsT]):
    """What one file yielded: the hosts or bundles in it, and what is wrong with them."""

    manifests: list[Manifest[SettingsT]] = field(default_factory=list)
    report: Report = field(default_factory=Report)


@dataclass(frozen=True, slots=True)
class FleetFile:
    """What fleet.yaml says. `whole` as in `Manifest`."""

    settings: FleetSettings = field(default_factory=FleetSettings)
    report: Report = field(default_factory=Report)
    whole: bool = True
    secrets: Mapping[str, Place] = field(default_factory=dict)
    """Names of secrets that the settings use, and where."""
    where: Callable[[Loc], Place] = lambda _: Place("fleet.yaml")
    """Where a value stands."""


def read_fleet(document: Document) -> FleetFile:
    """The settings of fleet.yaml, or defaults where they are wrong."""
    report = _begin(document)
    data = document.value or {}
    if not isinstance(data, dict):
        report.add(document.place(), f"expected a mapping of settings, found {show(data)}")
        data = {}
    given = {key: value for key, value in data.items() if value is not None}
    settings, whole = _settings(document, (), given, FleetSettings, report)
    _refuse_secrets(document, (), {key: value for key, value in data.items() if key != "alerts"}, report)
    secrets = {
        alert.url["secret"]: document.place(("alerts", index, "url"))
        for index, alert in enumerate(settings.alerts)
        if isinstance(alert.url, dict)
    }
    return FleetFile(settings, report, whole and document.sound, secrets, document.place)


def unread(path: str, name: str, model: type[SettingsT]) -> Manifest[SettingsT]:
    """Stands in for the host or bundle of a file that could not be read, so that what names it is no mistake as well."""
    settings = model.model_validate({"address": "local"} if "address" in model.model_fields else {})
    return Manifest(name, Document(path, None, None), (), settings, {}, whole=False)


def read_host(document: Document, name: str) -> Read[HostSettings]:
    """The one host of hosts/NAME.yaml."""
    read = Read[HostSettings](report=_begin(document))
    if document.sound:
        _manifest(document, (), name, document.value, HostSettings, read)
    else:
        read.manifests.append(unread(document.file, name, HostSettings))
    return read


def read_hosts(document: Document) -> Read[HostSettings]:
    """All hosts of hosts.yaml: name → host."""
    read = Read[HostSettings](report=_begin(document))
    data = document.value or {}
    if not isinstance(data, dict):
        read.report.add(document.place(), f"expected a mapping from names to hosts, found {show(data)}")
        return read
    for name, content in data.items():
        _manifest(document, (name,), name, content, HostSettings, read)
    return read


def read_bundle(document: Document, name: str) -> Read[BundleSettings]:
    """The bundle of bundles/NAME.yaml. Its resources have to be complete by themselves."""
    read = Read[BundleSettings](report=_begin(document))
    if document.sound:
        _manifest(document, (), name, document.value, BundleSettings, read)
    else:
        read.manifests.append(unread(document.file, name, BundleSettings))
    for manifest in read.manifests:
        for ask in manifest.asks.values():
            for problem in ask.problems:
                read.report.add(problem.place, problem.message, problem.hint)
    return read


def _begin(document: Document) -> Report:
    report = Report()
    for problem in document.problems:
        report.claim(problem)
    return report


def _manifest(
    document: Document, loc: tuple[str | int, ...], name: str, data: Any, model: type[SettingsT], read: Read[SettingsT]
) -> None:
    """Adds the host or bundle at `loc` to what was read."""
    report = read.report
    if not NAME.fullmatch(name):
        what = "bundle" if model is BundleSettings else "host"
        report.add(
            document.key_place(loc),
            f'"{visible(name, 60)}" cannot be the name of a {what}',
            "letters, digits, dots, dashes and underscores, beginning with a letter or digit",
        )
        return
    if data is None:
        data = {}
    if not isinstance(data, dict):
        hint = "write {address: …}" if isinstance(data, str) and loc else ""
        report.add(document.place(loc), f"expected a mapping, found {show(data)}", hint)
        read.manifests.append(unread(document.file, name, model))
        return
    plain = {key: value for key, value in data.items() if key not in SECTIONS and value is not None}
    settings, whole = _settings(document, loc, plain, model, report)
    _refuse_secrets(document, loc, plain, report)
    before = report.errors
    asks = read_sections(document, loc, data, report)
    read.manifests.append(Manifest(name, document, loc, settings, asks, whole and report.errors == before))


def _refuse_secrets(document: Document, loc: Loc, data: dict[str, Any], report: Report) -> None:
    """In settings any value may be tried as a secret, but `vars` is a mapping in which `secret` is a name like any other."""
    for key, value in data.items():
        refuse_secrets(document, (*loc, key), value, report, inside=key != "vars")


def _loses(complaint: Complaint, sections: Iterable[str]) -> bool:
    """Whether others may miss what is wrong here: variables, bundles, or a section whose name is misspelt."""
    key = str(complaint.loc[0]) if complaint.loc else ""
    if complaint.at_key and len(complaint.loc) == 1:
        key = nearest(key, ["vars", "bundles", *sections])
        return bool(key)
    return key in ("vars", "bundles")


def _settings(
    document: Document, loc: Loc, data: dict[str, Any], model: type[SettingsT], report: Report
) -> tuple[SettingsT, bool]:
    """The validated settings, and whether nothing is lost that others could miss. Wrong ones are reported and left at their
    defaults, so that the rest can be checked too."""
    try:
        return model.model_validate(data), True
    except ValidationError as error:
        sections = () if model is FleetSettings else SECTIONS
        wrong: set[str | int] = set()
        whole = True
        for one in complaints(error, data, model, more_keys=sections, written=lambda at: document.written((*loc, *at))):
            place = document.key_place((*loc, *one.loc)) if one.at_key or not one.loc else document.place((*loc, *one.loc))
            report.add(place, one.message, one.hint)
            wrong.update(one.loc[:1])
            whole = whole and not _loses(one, sections)
    rest = {key: value for key, value in data.items() if key not in wrong}
    if "address" in model.model_fields:
        rest.setdefault("address", "local")
    return model.model_validate(rest), whole
