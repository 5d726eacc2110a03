"""Debian packages from the host's repositories.

All packages of a host that must come, go or change their version are changed in ONE transaction of apt, so that apt sees
the whole picture and maintainer scripts and triggers run once. Then every package has a step of its own: it looks whether
the package is as it should be (4 ms), and only if not it tries this one package alone. So one wrong name, one package whose
script fails, or one that would take others along fails alone, with apt's own words about it; the rest is installed, and
what needs the rest goes on. The common step fails only when nothing could be tried, because somebody else held dpkg's lock.

What may be removed is what was asked to go and what the preview showed (`Change.detail`); see the guard in `apt_shell.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Self, TypeAlias

from pydantic import Field, model_validator

from providers import dpkg
from providers.apt_preview import read_preview
from providers.apt_shell import APT
from providers.base import Answer, Change, Detail, Facts, Provider, Step
from providers.dpkg import PackageSpec, PackageState, Version
from providers.shell import Sh, lines, sh

TOGETHER = 1800
ALONE = 900
PackageChange: TypeAlias = Change[Any, PackageState]


class AptSpec(PackageSpec):
    prefix: ClassVar[str] = "apt/"

    version: Annotated[
        Version | None,
        Field(
            description="Exact, or a pattern with * and ?; of several that match apt's own choice or else the highest is taken",
            examples=["1.26.*", "1:9.2p1-2+deb12u3"],
        ),
    ] = None
    purge: Annotated[bool, Field(description="With ensure: absent, also remove the configuration files")] = False

    @model_validator(mode="after")
    def _purge_only_what_goes(self) -> Self:
        if self.purge and self.present:
            raise ValueError("purge only has a meaning together with ensure: absent")
        return self

    @property
    def wanted_version(self) -> str | None:
        return self.version

    @property
    def wants_purge(self) -> bool:
        return self.purge


def moves(change: PackageChange) -> bool:
    """Whether a package has to come, go or change; otherwise only a mark on it differs."""
    return change.action != "change" or bool(change.fields & {"status", "version"})


def order(change: PackageChange) -> tuple[str, str, str]:
    """What the shell functions are asked for: operation, name, version."""
    spec = change.spec
    if spec.present:
        return "install", spec.name, spec.wanted_version or ""
    return "purge" if spec.wants_purge else "remove", spec.name, ""


def begin(changes: Sequence[PackageChange]) -> Sh:
    """Says what the transaction may do beyond what apt does by itself."""
    removals = {change.spec.name for change in changes if change.action == "delete"}
    details = [change.detail for change in changes if change.detail is not None]
    shown = {name for detail in details for name in (*detail.removes, *detail.along)}
    removals |= shown - _kept(changes)
    held = {change.spec.name for change in changes if change.spec.hold is not None}
    downgrade = "--allow-downgrades" if any("version" in change.fields for change in changes) else ""
    return sh(
        "apt_begin @options@ @removals@ @held@",
        options=downgrade,
        removals=" ".join(sorted(removals)),
        held=" ".join(sorted(held)),
    )


def _kept(changes: Sequence[PackageChange]) -> frozenset[str]:
    """What is declared and shall not go: never taken along for another's sake, or the two would undo each other for ever."""
    declared = frozenset[str]().union(*(change.spec.declared for change in changes))
    return declared - {change.spec.name for change in changes if change.action == "delete"}


def told(details: Mapping[str, Detail], changes: Sequence[PackageChange]) -> Mapping[str, Detail]:
    """The preview with what the manifest makes of it. Where something that is kept would have to go, nothing is done. What left
    the repository is removed last, but what comes in its stead may take it along."""
    kept = _kept(changes)
    going = {change.spec.name for change in changes if change.action == "delete"}
    specs = {change.spec.ref: change.spec for change in changes}
    found = {}
    for ref, detail in details.items():
        if lost := sorted(kept.intersection(detail.removes)):
            found[ref] = Detail(unsure=f"it will be refused: {' and '.join(lost)} would have to go, which is declared too")
        elif specs[ref].present:
            found[ref] = replace(detail, along=tuple(sorted(going - specs[ref].declared)))
        else:
            found[ref] = detail
    return found


def marks(change: PackageChange) -> list[Sh]:
    """What is left to do when the package itself is as it should be. apt drops the hold of a package that it changes."""
    spec, before = change.spec, change.before
    words = []
    if spec.present and spec.hold and (moves(change) or not (before and before.hold)):
        words.append("hold")
    if spec.present and spec.hold is False and (before is None or before.hold):
        words.append("unhold")
    if spec.present and before is not None and before.manual is False:
        words.append("manual")
    return [sh("apt_mark @word@ @name@ || return", word=word, name=spec.name) for word in words]


def title(change: PackageChange) -> str:
    name, version = change.spec.name, change.spec.wanted_version
    if change.action == "delete":
        return f"purge {name}" if change.spec.wants_purge else f"remove {name}"
    if change.action == "create":
        return f"install {name} {version}" if version else f"install {name}"
    if "status" in change.fields:
        return f"repair {name}"
    if "version" in change.fields:
        return f"change {name} to version {version}"
    if "hold" in change.fields:
        return f"{'hold' if change.spec.hold else 'unhold'} {name}"
    return f"keep {name} when nothing else needs it"


def alone(change: PackageChange, allowed: Sh, *, after_common_step: bool) -> Step:
    """The step of one package. After the common step the lists are as good as they get, and the network had its chance."""
    run = [allowed]
    if after_common_step:
        run.append(sh('apt_updated=yes apt_options="$apt_options -o Acquire::Retries=0 -o Acquire::http::Timeout=10"'))
    if moves(change):
        run.append(sh("apt_alone @order@ || return", order=order(change)))
    return Step((change.spec.ref,), title(change), lines([*run, *marks(change)]), timeout=ALONE)


class Apt(Provider[AptSpec, PackageState]):
    name = "apt"
    section = "packages.apt"
    rank = 40
    library = APT
    tools = ("apt-get", "apt-cache", "apt-mark", "dpkg", "dpkg-query")
    spec = AptSpec
    state = PackageState

    def probe(self, specs: Sequence[AptSpec]) -> Sh:
        return dpkg.ask(specs)

    def parse(self, out: bytes, specs: Sequence[AptSpec]) -> Mapping[str, Answer[PackageState]]:
        return dpkg.read(out, specs)

    def want(self, spec: AptSpec) -> PackageState | None:
        return dpkg.wanted(spec)

    def steps(self, changes: Sequence[Change[AptSpec, PackageState]], facts: Facts) -> Iterable[Step]:
        moving = [change for change in changes if moves(change)]
        allowed = begin(moving)
        if len(moving) > 1:
            words = [word for change in moving for word in order(change)]
            yield Step(
                tuple(change.spec.ref for change in moving),
                _common_title(moving),
                lines([allowed, sh("apt_attempt @words@\nreturn 0", words=words)]),
                timeout=TOGETHER,
            )
        for change in changes:
            yield alone(change, allowed, after_common_step=len(moving) > 1 and moves(change))

    def look(self, changes: Sequence[Change[AptSpec, PackageState]]) -> Sh | None:
        moving = [change for change in changes if moves(change)]
        if not moving:
            return None
        words = [word for change in moving for word in order(change)]
        return lines([APT, begin(moving), sh("apt_preview @words@", words=words)])

    def seen(self, out: bytes, changes: Sequence[Change[AptSpec, PackageState]]) -> Mapping[str, Detail]:
        moving = [change for change in changes if moves(change)]
        return told(read_preview(out, {change.spec.name: change for change in moving}), moving)

    def adjust(self, spec: AptSpec, neighbours: Mapping[str, str | None]) -> AptSpec:
        return spec.beside(neighbours)


def _common_title(changes: Sequence[PackageChange]) -> str:
    """For the plan: what comes, then what goes, a few names of each."""
    parts = []
    for word, names in (
        ("install", [change.spec.name for change in changes if change.spec.present]),
        ("remove", [change.spec.name for change in changes if not change.spec.present]),
    ):
        if names:
            more = f" and {len(names) - 4} more" if len(names) > 4 else ""
            parts.append(f"{word} {', '.join(names[:4])}{more}")
    return ", ".join(parts) + " together"
