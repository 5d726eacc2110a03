"""What was applied without a complaint and was not so when we looked: a failure only when that happens twice in a row.

Once, it may be somebody's edit between the step and the look, which the next cycle puts right (`loop/patience.py` lets it be
tried again at once). Kept by `desk.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator

from reconciler.incidents import findings
from reconciler.incidents.model import Finding
from reconciler.loop.report import CycleReport


class Unsettled:
    def __init__(self) -> None:
        self._once: dict[str, dict[str, tuple[Finding, float, str | None]]] = {}
        """Host → reference → what was found once, when, and at which commit."""

    def visited(self, report: CycleReport, told: Callable[[str], bool], drifting: Container[str] = ()) -> list[Finding]:
        """What counts now. `told`: whether a reference was told of already. `drifting`: what is told as drift that comes back,
        and as nothing else."""
        if report.outcome is None or report.outcome.status in ("busy", "stale"):
            return []
        known = self._once.pop(report.host, {})
        found = {finding.ref: finding for finding in findings.unsettled(report) if finding.ref not in drifting}
        new = {ref: (finding, report.began, report.commit) for ref, finding in found.items() if ref not in known}
        new = {ref: one for ref, one in new.items() if not told(ref)}
        if new:
            self._once[report.host] = new
        return [finding for ref, finding in found.items() if ref not in new]

    def waiting(self) -> Iterator[tuple[Finding, float, str | None]]:
        """What was found once."""
        for host in self._once.values():
            yield from host.values()

    def keep(self, hosts: Container[str]) -> None:
        """Forgets hosts that left the fleet."""
        self._once = {host: once for host, once in self._once.items() if host in hosts}
