"""What the history tells: cycles, actions, steps, deployments, as plain data. docs/history.md describes the JSON of all of it.

Made by `reader.py`; shown by `reconciler/render/`, served by `reconciler/serve/`. Text from hosts is raw here, without secrets:
whoever shows it escapes it.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from providers.base import Model, Seq
from reconciler.plan import FieldChange, UnknownResource

BEGUN, BROKEN_OFF = "begun", "broken off"
"""Statuses of a cycle that has not ended: it may still be at work, or the loop was killed."""
_OF_PROJECTS = ("release", "slot", "route", "runtime")


def project_of(ref: str) -> str:
    """`site` for `release:site` and `slot:site/green`, nothing for what belongs to no project."""
    kind, _, name = ref.partition(":")
    return name.partition("/")[0] if kind in _OF_PROJECTS else ""


class ActionRecord(Model):
    """One planned action, and what became of it."""

    run: str
    host: str
    at: float
    """When its cycle began."""
    commit: str | None = None
    """The fleet's commit that was in force."""
    ref: str
    project: str = ""
    action: str
    verb: str = ""
    why: str
    """As in a plan: commit, drift, unfinished, pruned, follows, pending, due."""
    place: str = ""
    follows: Seq[str] = ()
    held: str = ""
    """Why it was not tried."""
    fate: str = ""
    """done, failed, late, skipped, unknown, unconverged, begun, broken off; empty: it was not tried."""
    fields: Seq[FieldChange] = ()
    diff: Seq[str] = ()
    notes: Seq[str] = ()
    removes: Seq[str] = ()
    brings: Seq[str] = ()
    unsure: str | None = None


class StepRun(Model):
    """One step that was sent to the host."""

    refs: Seq[str] = ()
    title: str = ""
    fate: str = ""
    output: str = ""


class DeploymentRecord(Model):
    """A revision of a project that was brought to a host."""

    run: str
    project: str
    host: str
    at: float
    commit: str
    status: str
    """done, failed, rolled back."""


class CycleRecord(Model):
    """One cycle of one host that found or did something, or found the host in another condition than before."""

    run: str
    host: str
    commit: str | None = None
    began: float
    seconds: float
    status: str
    """converged, failed, rolled back, stale, busy, unreachable, begun (and not ended yet), broken off (the loop was killed in
    the middle; something was tried) · found, held, unknown, as asked (nothing was) · unreachable, away, key, login, become,
    fault (the host could not be asked)."""
    problem: str | None = None
    problem_kind: str | None = None
    hint: str = ""
    resources: int = 0
    applied: str | None = None
    unknown: Seq[UnknownResource] = ()
    released: dict[str, str] = Field(default_factory=dict)
    warnings: Seq[str] = ()
    projects: dict[str, str] = Field(default_factory=dict)
    message: str = ""
    advice: str = ""
    unconverged: dict[str, Seq[str]] = Field(default_factory=dict)
    rolled_back: Seq[str] = ()
    evidence: dict[str, Any] | None = None
    actions: Seq[ActionRecord] = ()
    steps: Seq[StepRun] = ()
    """Only where one cycle is asked for."""
    deployments: Seq[DeploymentRecord] = ()

    @property
    def tried(self) -> tuple[ActionRecord, ...]:
        return tuple(action for action in self.actions if action.fate)
