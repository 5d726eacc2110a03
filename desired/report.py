"""Collects what is wrong in a repository, so that one run reports everything, once, in the order of the files.

Every part of the loader adds to a `Report`; `desired/load.py` turns it into `Invalid` or into the fleet's warnings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Literal

from desired.model import Diagnostic, Place
from desired.text import listing


class Report:
    """A growing set of diagnostics. The same one on many hosts is told once, with the hosts' names."""

    def __init__(self) -> None:
        self._hosts: dict[Diagnostic, dict[str, None]] = {}
        self._claims: set[Diagnostic] = set()

    def add(
        self,
        place: Place,
        message: str,
        hint: str = "",
        *,
        hosts: Iterable[str] = (),
        severity: Literal["error", "warning"] = "error",
    ) -> None:
        self._hosts.setdefault(Diagnostic(place, message, hint, severity), {}).update(dict.fromkeys(hosts))

    def claim(self, diagnostic: Diagnostic) -> None:
        """Adds one that explains everything else which may be found at the same place."""
        self._hosts.setdefault(diagnostic, {})
        self._claims.add(diagnostic)

    def extend(self, other: Report, hosts: Iterable[str] = ()) -> None:
        """Takes over what another report found; `hosts` are those that are concerned by it."""
        names = dict.fromkeys(hosts)
        for diagnostic, known in other._hosts.items():
            self._hosts.setdefault(diagnostic, {}).update(known | names)
        self._claims |= other._claims

    @property
    def errors(self) -> int:
        return sum(diagnostic.severity == "error" for diagnostic in self._hosts)

    def __bool__(self) -> bool:
        return bool(self._hosts)

    def __iter__(self) -> Iterator[Diagnostic]:
        """In order of place; where something was claimed, nothing else."""
        claimed = {diagnostic.place for diagnostic in self._claims}
        for diagnostic, hosts in sorted(self._hosts.items(), key=lambda item: item[0]):
            if diagnostic in self._claims or diagnostic.place not in claimed:
                yield _with_hosts(diagnostic, list(hosts))


def _with_hosts(diagnostic: Diagnostic, hosts: list[str]) -> Diagnostic:
    if not hosts or (len(hosts) == 1 and diagnostic.place.file.startswith("hosts")):
        return diagnostic
    names = f"host {hosts[0]}" if len(hosts) == 1 else f"hosts {listing(hosts, 4)}"
    return replace(diagnostic, message=f"{diagnostic.message} ({names})")
