"""What the fleet's own word holds back: suspensions and windows, as the hold that a plan is made with.

Called by `plan`, `apply` and `status` (`reconciler/fleet_run.py`), and by the loop in each cycle, which passes its `now`. A
resource obeys its host and the fleet; what belongs to a project also obeys the project. A resource's own `sync` is judged
before anything is asked here (`draft.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

from desired.model import Fleet, Host, Resource
from desired.policies import Suspension
from desired.projects import references
from desired.windows import closed, shown
from reconciler.draft import AnyChange, Why
from reconciler.plan import Action, Plan

_OF_PROJECTS = frozenset(("release", "runtime", "slot", "route"))
"""Kinds that belong to the project whose name they bear, also where it has left the host."""


def fleet_suspended(fleet: Fleet, now: datetime) -> str | None:
    """Why nothing is changed anywhere."""
    return _suspended("the fleet", fleet.policies.suspend, now.astimezone(fleet.policies.timezone))


def suspended(fleet: Fleet, host: Host, now: datetime) -> str | None:
    """Why nothing is changed on a host: it, or the whole fleet, is suspended."""
    local = now.astimezone(fleet.policies.timezone)
    return fleet_suspended(fleet, local) or _suspended("the host", host.suspend, local)


def project_suspended(fleet: Fleet, project: str, now: datetime) -> str | None:
    """Why nothing of a project is changed anywhere."""
    known = fleet.projects.get(project)
    local = now.astimezone(fleet.policies.timezone)
    return _suspended(f"project {project}", known.settings.suspend, local) if known is not None else None


def _suspended(what: str, suspend: Suspension | None, now: datetime) -> str | None:
    if suspend is None or not suspend.holds(now):
        return None
    until = f" until {shown(suspend.until, now)}" if suspend.until is not None else ""
    return f"{what} is suspended{until}" + (f": {suspend.reason}" if suspend.reason else "")


def project_of(fleet: Fleet, host: Host, ref: str) -> str | None:
    """The project that a resource belongs to."""
    kind, _, name = ref.partition(":")
    if kind in _OF_PROJECTS:
        return name.partition("/")[0]
    if kind == "file":  # the systemd unit that a project brings
        for project in fleet.projects.values():
            here = any(one.host == host.name for one in project.deployments)
            if here and ref in references(project.name, project.settings):
                return str(project.name)
    return None


class PolicyHold:
    """Suspensions and windows at one moment: a `Hold` (`draft.py`) whose answers never change."""

    def __init__(self, fleet: Fleet, now: datetime) -> None:
        self._fleet = fleet
        self._now = now.astimezone(fleet.policies.timezone)
        self._known: dict[tuple[str, str | None], str | None] = {}

    def __call__(self, host: Host, resource: Resource, why: Why | Literal["follows"], change: AnyChange | None) -> str | None:
        project = project_of(self._fleet, host, resource.ref)
        key = (host.name, project)
        if key not in self._known:
            self._known[key] = self._reason(host, project)
        return self._known[key]

    def _reason(self, host: Host, project: str | None) -> str | None:
        found = suspended(self._fleet, host, self._now)
        if found is None and project is not None:
            found = project_suspended(self._fleet, project, self._now)
        return found or closed(self._fleet.policies.windows, self._now, host.name, host.tags, project)

    def held(self, plan: Plan) -> Iterator[tuple[str, Action, str]]:
        """What this hold keeps back in a plan that was made with it: host, action, reason."""
        mine = {(name, reason) for (name, _), reason in self._known.items() if reason}
        for host in plan.hosts:
            for action in host.actions:
                if action.held is not None and (host.host, action.held) in mine:
                    yield host.host, action, action.held

    def reasons(self, plan: Plan) -> list[str]:
        """Why it keeps something back, each reason once."""
        return list(dict.fromkeys(reason for _, _, reason in self.held(plan)))

    def count(self, plan: Plan) -> int:
        return sum(1 for _ in self.held(plan))


def policy_hold(fleet: Fleet, now: datetime) -> PolicyHold:
    """The hold for one plan. `now` is aware."""
    return PolicyHold(fleet, now)
