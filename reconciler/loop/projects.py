"""What of each project is on a host, for the loop's view. Called by `reconciler/loop/host.py` when something has changed
there."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Literal

from desired.deploy.expand import Deployed as Wanted
from desired.model import Fleet, Host
from desired.sources.model import SourceProblem
from reconciler.check import Deployed, deployed
from reconciler.draft import Draft
from reconciler.fleet_run import HostRun
from reconciler.loop.view import ProjectView
from reconciler.plan import HostPlan
from reconciler.remembered import ask
from state.channel import Channel

ProjectStatus = Literal["current", "pending", "drifted", "failed", "quarantined", "unknown"]
SECONDS = 60.0
_WORDS: Mapping[str, ProjectStatus] = {"equal": "current", "differs": "pending", "missing": "pending"}
_NOTED = frozenset({"slots", "releases"})
"""Strategies of which only the host's own notes tell the commit."""


async def project_views(channel: Channel, fleet: Fleet, host: Host, drafted: Draft, plan: HostPlan) -> tuple[ProjectView, ...]:
    """Raises `HostError` and `TimeoutError` where the host could not be asked."""
    places = [
        (project, place) for project in fleet.projects.values() for place in project.deployments if place.host == host.name
    ]
    names = [project.name for project, _ in places if project.settings.strategy in _NOTED]
    async with asyncio.timeout(SECONDS):
        noted = await ask(channel, names, host.inventory) if names else {}
    run = HostRun(host, draft=drafted, plan=plan)
    reports = [deployed(project, place, run, noted.get(project.name)) for project, place in places]
    return tuple([await _view(report, fleet.deployed.get(report.project)) for report in reports])


async def _view(report: Deployed, wanted: Wanted | None) -> ProjectView:
    behind = 0 if report.commit is not None and report.commit == report.wanted else None
    if behind is None and report.commit is not None and wanted is not None:
        behind = await asyncio.to_thread(_behind, report.commit, wanted)
    return ProjectView(
        project=report.project,
        wanted=report.wanted or "",
        deployed=report.commit or "",
        behind=behind,
        slot=next((slot.slot for slot in report.slots if slot.traffic), ""),
        status=_status(report),
    )


def _behind(commit: str, wanted: Wanted) -> int | None:
    try:
        found = wanted.commits(commit, 1)
    except SourceProblem:
        return None
    return None if found.direction == "back" else found.count


def _status(report: Deployed) -> ProjectStatus:
    if report.quarantine and report.verdict != "equal":
        return "quarantined"
    if report.drift:
        return "drifted"
    return _WORDS.get(report.verdict, "unknown")
