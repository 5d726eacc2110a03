"""Policies against the fleet: do the hosts, tags, projects, kinds and fields that they name exist?

Called by `desired/load.py` when all files are read. Each mistake comes with its place and the nearest right name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from desired.files import FleetFile
from desired.ignoring import fields_of, kinds_meant, matcher, words_of
from desired.merge import HostFile
from desired.model import Place
from desired.policies import Alert, IgnoreRule, Policies, Suspension
from desired.report import Report
from desired.schema import FleetSettings
from desired.text import meant, visible
from desired.values import TAG
from desired.yaml import Loc
from providers.registry import PROJECT_PROVIDERS, PROVIDERS

_REFERENCE = re.compile(r"[a-z*?\[][^:]*:.+", re.DOTALL)


def policies_of(settings: FleetSettings) -> Policies:
    """The policies of fleet.yaml, with every time in its time zone."""
    zone = ZoneInfo(settings.timezone)
    return Policies(
        timezone=zone,
        windows=tuple(window.window(zone) for window in settings.windows),
        rollout=settings.rollout,
        ignore=settings.ignore,
        suspend=settings.suspend.within(zone) if settings.suspend is not None else None,
    )


def alerts_of(settings: FleetSettings) -> tuple[Alert, ...]:
    """The alerts, each with a name: its own, or its place in the list."""
    return tuple(
        alert if alert.name else alert.model_copy(update={"name": str(number)})
        for number, alert in enumerate(settings.alerts, start=1)
    )


@dataclass(frozen=True, slots=True)
class _At:
    """One item of a list in fleet.yaml: where a value in it stands."""

    where: Callable[[Loc], Place]
    item: tuple[str | int, ...]

    def __call__(self, *loc: str | int) -> Place:
        return self.where((*self.item, *loc))


@dataclass(frozen=True, slots=True)
class Named:
    """What there is to be named."""

    hosts: Mapping[str, HostFile]
    projects: Collection[str]
    references: Collection[str]
    whole: bool
    """False where some resources could not be read, and what seems to be missing may stand there."""

    @property
    def tagged(self) -> bool:
        """Whether the tags of all hosts are known."""
        return all(host.whole for host in self.hosts.values())

    @property
    def tags(self) -> set[str]:
        return {tag for host in self.hosts.values() for tag in host.settings.tags}


class PolicyChecks:
    """The checks of one load."""

    def __init__(self, named: Named, policies: Policies, now: datetime, report: Report) -> None:
        self._named = named
        self._policies = policies
        self._now = now
        self._report = report

    def fleet(self, file: FleetFile) -> None:
        """Everything in fleet.yaml."""
        settings = file.settings
        for index, window in enumerate(settings.windows):
            at = _At(file.where, ("windows", index))
            self._hosts(window.hosts, at)
            self._projects(window.projects, at)
        for index, rule in enumerate(settings.ignore):
            at = _At(file.where, ("ignore", index))
            self._hosts(rule.hosts, at)
            self._rule(rule, at)
        if settings.rollout is not None and isinstance(settings.rollout.canary, str):
            self._host(settings.rollout.canary, file.where(("rollout", "canary")))
        self._alerts(settings, file.where)
        self.suspension(settings.suspend, file.where(("suspend", "until")), "the fleet")

    def _alerts(self, settings: FleetSettings, where: Callable[[Loc], Place]) -> None:
        known: dict[str, int] = {}
        for index, alert in enumerate(alerts_of(settings)):
            at = _At(where, ("alerts", index))
            self._hosts(alert.hosts, at)
            if (first := known.setdefault(alert.name, index)) != index:
                message = f"alert {visible(alert.name)} is there already, as number {first + 1} of the list"
                place = at("name") if settings.alerts[index].name else at()
                self._report.add(place, message, "give each a name of its own")

    def suspension(self, suspend: Suspension | None, place: Place, what: str) -> None:
        """One that is over is no mistake, and worth a word."""
        if suspend is None or suspend.within(self._policies.timezone).holds(self._now):
            return
        message = f"suspend: {visible(what)} is not suspended any more: until is over"
        self._report.add(place, message, "take suspend out", severity="warning")

    def _hosts(self, selectors: Iterable[str], at: _At) -> None:
        for number, selector in enumerate(selectors):
            self._host(selector, at("hosts", number))

    def _host(self, selector: str, place: Place) -> None:
        """A host's name, or tag:NAME."""
        named = self._named
        if selector.startswith(TAG):
            tag = selector.removeprefix(TAG)
            if tag not in named.tags and named.tagged:
                hint = meant(tag, named.tags, "no host has any tag" if not named.tags else "")
                self._report.add(place, f"no host has the tag {visible(tag, 60)}", hint)
        elif selector not in named.hosts:
            near = f"write {TAG}{visible(selector, 60)} for the hosts with this tag" if selector in named.tags else ""
            hint = near or meant(selector, named.hosts)
            self._report.add(place, f"there is no host {visible(selector, 60)}", hint)

    def _projects(self, names: Iterable[str], at: _At) -> None:
        for number, name in enumerate(names):
            if name not in self._named.projects:
                nothing = "the fleet has no project" if not self._named.projects else ""
                hint = meant(name, self._named.projects, nothing)
                self._report.add(at("projects", number), f"there is no project {visible(name, 60)}", hint)

    def _rule(self, rule: IgnoreRule, at: _At) -> None:
        pattern = rule.resource
        if not _REFERENCE.fullmatch(pattern):
            message = f'resource: "{visible(pattern, 60)}" is not the reference of a resource'
            self._report.add(at("resource"), message, "write its kind and its name, as in file:/etc/motd or file:/etc/*")
            return
        kinds = kinds_meant(pattern)
        if not kinds:
            word = pattern.partition(":")[0]
            words = sorted({provider.spec.kind for provider in (*PROVIDERS, *PROJECT_PROVIDERS)})
            self._report.add(at("resource"), f"resource: there is no kind {visible(word, 60)}", meant(word, words))
            return
        known = {word for kind in kinds for word in words_of(kind)}
        for number, name in enumerate(rule.fields):
            if not any(fields_of(kind, name) for kind in kinds):
                message = f"fields: {visible(pattern, 60)} has no field {visible(name, 60)} that may differ"
                self._report.add(at("fields", number), message, meant(name, known))
        if rule.paths and all(kind.spec.kind != "release" for kind in kinds):
            message = "paths are files of a deployed tree, and belong to release:NAME alone"
            self._report.add(at("paths"), message, "name other resources one by one, or with *: resource: file:/etc/*")
        self._matches(pattern, at)

    def _matches(self, pattern: str, at: _At) -> None:
        matches = matcher(pattern)
        if self._named.whole and not any(map(matches, self._named.references)):
            hint = meant(pattern, self._named.references, " ").strip()
            message = f"resource: {visible(pattern, 60)} is nowhere in the fleet: the rule has no effect"
            self._report.add(at("resource"), message, hint, severity="warning")
