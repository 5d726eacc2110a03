"""A loop on paper: hosts whose cycles come out as a test says, a clock, and a chat that keeps what it was told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from desired.model import Address, Fleet, Host, Place, Resource
from providers.files import FileSpec
from reconciler.cycle import Failure, Outcome
from reconciler.incidents.desk import Desk
from reconciler.incidents.model import DriftRecord, Incident, Telling
from reconciler.loop.following import Followed, FollowProblem
from reconciler.loop.report import CycleReport
from reconciler.plan import Action, Cause, HostPlan, UnknownResource
from reconciler.work import Fate

START = 1_800_000_000.0
COMMIT = "c" * 40
MOTD = "file:/etc/motd"
Why = Literal["commit", "drift", "unfinished", "pruned", "follows", "pending", "due"]


def action(ref: str = MOTD, why: Why = "drift", held: str | None = None, **more: Any) -> Action:
    return Action(
        ref=ref, action=more.pop("action", "change"), cause=Cause(why=why, place="hosts/a.yaml:3:1"), held=held, **more
    )


def plan(host: str, *actions: Action, unknown: Sequence[UnknownResource] = ()) -> HostPlan:
    return HostPlan(host=host, resources=5, applied=COMMIT, actions=actions, unknown=tuple(unknown))


def silent(host: str, kind: str = "unreachable", *, words: str = "no answer", intermittent: bool = False) -> HostPlan:
    return HostPlan.model_validate(
        {"host": host, "problem": words, "problem_kind": kind, "hint": "look", "intermittent": intermittent}
    )


def unknown(ref: str, reason: str = "a dead disk", *, refused: bool = False) -> UnknownResource:
    return UnknownResource(ref=ref, reason=reason, refused=refused)


def fates(refs: Iterable[str], fate: Fate = "done") -> dict[str, Fate]:
    return dict.fromkeys(refs, fate)


def healed(*refs: str) -> Outcome:
    return Outcome("converged", fates(refs or (MOTD,)))


def failed(ref: str = MOTD, output: str = "E: broken", title: str = "write it", fate: Fate = "failed") -> Outcome:
    return Outcome("failed", {ref: fate}, (Failure(ref, title, fate, output),))


class Paper:
    """The history: keeps the newest form of everything, and forgets nothing."""

    def __init__(self) -> None:
        self.incidents: dict[str, Incident] = {}
        self.drifts: dict[str, DriftRecord] = {}
        self.writes = 0

    def save_incident(self, incident: Incident) -> None:
        self.writes += 1
        self.incidents[incident.id] = Incident.model_validate_json(incident.model_dump_json())

    def save_drift(self, drift: DriftRecord) -> None:
        self.writes += 1
        self.drifts[drift.id] = DriftRecord.model_validate_json(drift.model_dump_json())


class Scene:
    """The desk, and everything around it."""

    def __init__(self, *hosts: str) -> None:
        self.now = START
        self.paper = Paper()
        self.told: list[Telling] = []
        self.hosts = list(hosts)
        self.desk = self._desk()
        self.desk.ticked(self.now)
        if hosts:
            self.follow()

    def _desk(self) -> Desk:
        heals = [(d.host, d.ref, d.ended) for d in self.paper.drifts.values() if d.how == "healed" and d.ended is not None]
        desk = Desk(
            self.paper,
            opened=[incident for incident in self.paper.incidents.values() if incident.closed is None],
            drifts=[drift for drift in self.paper.drifts.values() if drift.ended is None],
            heals=heals,
        )
        desk.tell = self.told.append
        return desk

    def restart(self, away: float = 0.0, *, looks: bool = True) -> None:
        """As after `kill -9`: nothing survives but what was saved. `looks`: at the repository, and all is well there."""
        self.now += away
        self.desk = self._desk()
        if looks:
            self.desk.ticked(self.now)
            self.follow()

    def follow(self, *problems: FollowProblem, read: float | None = None) -> None:
        place = Place("hosts/a.yaml")
        motd = (Resource(FileSpec(name="/etc/motd", content="hello\n"), place),)
        hosts = {name: Host(name, place, Address(name), resources=motd) for name in self.hosts}
        fleet = Fleet(COMMIT, hosts) if hosts else None
        self.desk.followed(Followed(fleet, COMMIT, "subject", COMMIT, "url", "main", read or self.now, problems))

    def visit(self, host: str, found: HostPlan | None = None, outcome: Outcome | None = None, **more: Any) -> None:
        after = more.pop("after", None)
        if after is None and outcome is not None and outcome.status == "converged":
            after = plan(host)
        report = CycleReport(
            "0" * 12, host, more.pop("commit", COMMIT), self.now, 0.5, found or plan(host), outcome, after, **more
        )
        self.desk.visited(report)

    def drift(self, host: str, ref: str = MOTD, **more: Any) -> None:
        """Found and put right in one cycle."""
        self.visit(host, plan(host, action(ref)), healed(ref), **more)

    def wait(self, seconds: float, step: float = 1.0) -> None:
        for _ in range(round(seconds / step)):
            self.now += step
            self.desk.ticked(self.now)

    @property
    def stages(self) -> list[str]:
        return [telling.stage for telling in self.told]

    @property
    def last(self) -> Incident:
        return self.told[-1].incident
