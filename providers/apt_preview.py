"""Reads what `apt_preview` (in `apt_shell.py`) printed: apt's own simulation of the one transaction, per package that was
asked for.

apt says what comes and what goes, but not for whose sake. With several packages in one transaction its list of dependencies
is asked too, and what comes along is told at the package that needs it, what goes at the package that it needed or that
conflicts with it. Where that cannot be found out it stands at the first package: nothing that apt would do is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from providers.base import Change, Detail
from providers.dpkg import PackageState

_INSTALL = re.compile(r"Inst (\S+)(?: \[(\S+)\])? \((\S+)[ )]")
_REMOVE = re.compile(r"(?:Remv|Purg) (\S+)")
_UNMET = re.compile(r" (\S+ : \S.*)")
"""What apt says of a package that cannot be installed: `lonely : Depends: nowhere but it is not installable`."""
_RELATION = re.compile(r"[ |]{2}(\w+): <?([^\s>]+)>?")
_NEEDS = {"Depends", "PreDepends", "Recommends"}
_DISLIKES = {"Conflicts", "Breaks", "Replaces"}
Graph: TypeAlias = Mapping[str, set[str]]


@dataclass(slots=True)
class Preview:
    """The output of `apt_preview`, taken apart."""

    stale: bool = False
    native: str = ""
    lacking: dict[str, str] = field(default_factory=dict)
    status: int = 0
    complaints: list[str] = field(default_factory=list)
    unmet: list[str] = field(default_factory=list)
    """The dependencies for which apt found no way; they say more than its complaints."""
    comes: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Package → version before (empty when it is new) and after, in apt's order."""
    goes: list[str] = field(default_factory=list)
    needs: dict[str, set[str]] = field(default_factory=dict)
    dislikes: dict[str, set[str]] = field(default_factory=dict)


def read_preview(out: bytes, changes: Mapping[str, Change[Any, PackageState]]) -> Mapping[str, Detail]:
    """Per reference what the transaction means for it. `changes` are those that move a package, by name."""
    preview = take_apart(out.decode("utf-8", "backslashreplace").split("\n"))
    if preview is None:
        return {change.spec.ref: Detail(unsure="the simulation by apt gave no readable answer") for change in changes.values()}
    asked = {name.removesuffix(f":{preview.native}"): change for name, change in changes.items()}
    companions = attribute(preview, [name for name in asked if name not in preview.lacking])
    return {
        change.spec.ref: _detail(preview, name, change, companions.get(name, ([], [])), together=len(companions) > 1)
        for name, change in asked.items()
    }


def _refusal(preview: Preview, *, together: bool) -> str:
    reason = "; ".join(preview.unmet or preview.complaints) or f"it ended with status {preview.status}"
    if together:
        return f"apt would refuse all of it together: {reason}; each is then tried alone"
    return f"apt would refuse: {reason}"


def take_apart(lines: Iterable[str]) -> Preview | None:
    """None when the output was cut or is not what `apt_preview` prints."""
    preview = Preview()
    part = package = ""
    for line in lines:
        if line.startswith("= "):
            part, _, value = line.removeprefix("= ").partition(" ")
            if part in {"stale", "fresh"}:
                preview.stale, preview.native = part == "stale", value
            elif part == "simulation":
                preview.status = int(value) if re.fullmatch(r"[0-9]{1,3}", value, re.ASCII) else 1
            elif part == "end":
                return preview if preview.native else None
        elif part in {"stale", "fresh"}:
            name, _, reason = line.partition(" ")
            preview.lacking[name.removesuffix(f":{preview.native}")] = reason
        elif part == "simulation":
            _read_simulated(preview, line)
        elif part == "depends":
            package = _read_relation(preview, package, line)
    return None


def _read_simulated(preview: Preview, line: str) -> None:
    if found := _INSTALL.match(line):
        preview.comes[found[1]] = (found[2] or "", found[3])
    elif found := _REMOVE.match(line):
        preview.goes.append(found[1])
    elif found := _UNMET.match(line):
        preview.unmet.append(found[1])
    elif line.startswith("E: ") and not line.startswith("E: The following information"):
        preview.complaints.append(line.removeprefix("E: "))


def _read_relation(preview: Preview, package: str, line: str) -> str:
    """One line of `apt-cache depends`; answers the package that the next line is about."""
    if line[:1] not in {" ", "|", ""}:
        return line
    if found := _RELATION.match(line):
        graph = preview.needs if found[1] in _NEEDS else preview.dislikes if found[1] in _DISLIKES else {}
        graph.setdefault(package, set()).add(found[2])
    elif line.startswith("    "):  # who provides the virtual package of the line before
        preview.needs.setdefault(package, set()).add(line.strip())
    return package


def attribute(preview: Preview, asked: list[str]) -> Mapping[str, tuple[list[str], list[str]]]:
    """Per package that apt was asked for: what comes and what goes with it. Every package that moves stands at exactly one."""
    companions: dict[str, tuple[list[str], list[str]]] = {name: ([], []) for name in asked}
    if not asked:
        return companions
    backwards: dict[str, set[str]] = {}
    for package, needed in preview.needs.items():
        for other in needed:
            backwards.setdefault(other, set()).add(package)
    reach = {name: _reachable(name, preview.needs, preview.comes) for name in asked}
    fall = {name: _reachable(name, backwards, preview.goes) for name in asked}
    for package in preview.comes:
        if package not in companions:
            owner = next((name for name in asked if package in reach[name]), asked[0])
            companions[owner][0].append(package)
    for package in preview.goes:
        if package not in companions:
            owner = next((name for name in asked if name in preview.goes and package in fall[name]), "") or next(
                (name for name in asked if any(package in preview.dislikes.get(other, ()) for other in {name, *reach[name]})),
                asked[0],
            )
            companions[owner][1].append(package)
    return companions


def _reachable(start: str, graph: Graph, within: Iterable[str]) -> set[str]:
    allowed, found, waiting = set(within), set[str](), [start]
    while waiting:
        for other in graph.get(waiting.pop(), set()) & allowed - found:
            found.add(other)
            waiting.append(other)
    return found


def _detail(
    preview: Preview, name: str, change: Change[Any, PackageState], companions: tuple[list[str], list[str]], *, together: bool
) -> Detail:
    if name in preview.lacking:
        first = (
            "apt-get update comes first, its lists are missing or older than the repositories; now: " if preview.stale else ""
        )
        last = "" if preview.stale else " (apt-get update is tried first)"
        return Detail(unsure=f"{first}{preview.lacking[name]}{last}")
    if preview.status:
        return Detail(unsure=_refusal(preview, together=together))
    before, after = preview.comes.get(name, ("", ""))
    version = f"version {before} → {after}" if before else f"version {after}"
    comes, goes = companions
    return Detail(
        notes=(version,) if after else (),
        removes=tuple(goes),
        brings=tuple(_with_versions(package, preview.comes[package]) for package in comes),
        unsure="apt-get update comes first, so versions may be newer" if preview.stale and change.spec.present else None,
    )


def _with_versions(package: str, versions: tuple[str, str]) -> str:
    before, after = versions
    return f"{package} {before} → {after}" if before else package
