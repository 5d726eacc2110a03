"""Findings, drift records and incidents, as plain data. What is kept of them is in `reconciler/history/`.

    CycleReport ──findings.py──▶ Finding ──desk.py──▶ Incident ──▶ Telling ──reconciler/alerts/──▶ chat

A `Finding` is one thing that is wrong now, at one host and resource. An `Incident` is one cause, over all findings that
share it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from desired.schema import Event
from providers.base import Model, Seq

Severity = Literal["info", "warning", "error"]
Stage = Literal["opened", "updated", "reminded", "closed"]
HowEnded = Literal["healed", "vanished", "accepted", "recovered", "superseded", "replaced", "gone", ""]
"""healed: we put it right · vanished: it became right without us · accepted: git now asks for what is there · recovered: the
host or source answers again, or the next try succeeded · superseded: a newer commit asks for something else · replaced:
something else is wrong there now, which is told on its own · gone: the host or resource left the fleet."""
ENDINGS: Mapping[HowEnded, str] = MappingProxyType(
    {
        "healed": "put right",
        "vanished": "became right without us",
        "accepted": "git now asks for what is there",
        "recovered": "well again",
        "superseded": "a newer commit asks for something else",
        "replaced": "something else is wrong there now",
        "gone": "left the fleet",
    }
)
"""The same in words, for messages and for the history."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong now."""

    event: Event
    group: str
    """What findings of one cause have in common besides the event: the commit that failed, the source, or nothing."""
    host: str
    """Empty for what concerns no host: the fleet's own repository."""
    ref: str
    """Resource, or empty for the host as a whole."""
    severity: Severity
    what: str
    """One sentence without a time or a number that changes from cycle to cycle."""
    hint: str = ""
    """What to do."""
    lines: tuple[str, ...] = ()
    """A short diff, or the last words of the host."""
    tags: tuple[str, ...] = ()
    standing: bool = False
    """It was found by looking, not by trying: where a try has told more, its words stay."""
    evidence: tuple[str, ...] = ()
    """Who may have done it, in words."""
    commit: str | None = None
    """Of the fleet's repository: the commit that cannot be used."""

    @property
    def key(self) -> tuple[str, str, str, str]:
        return (self.event, self.group, self.host, self.ref)


class Member(Model):
    """A finding as part of an incident, with its times."""

    host: str = ""
    ref: str = ""
    what: str
    hint: str = ""
    lines: Seq[str] = ()
    tags: Seq[str] = ()
    since: float
    """First seen, seconds since 1970."""
    seen: float
    ended: float | None = None
    how: HowEnded = ""
    evidence: Seq[str] = ()
    """Who may have done it, in words."""
    times: int = 1
    """How often it came back within the incident."""


class Incident(Model):
    """One cause, from its opening to its closing."""

    id: str
    """Short and unique: what people name it by."""
    event: Event
    group: str = ""
    severity: Severity = "warning"
    opened: float
    """When the first finding was seen."""
    told: float | None = None
    """When it was first given to the alerts; None while more findings of the same cause are awaited."""
    touched: float
    """When a message about it was last given to the alerts."""
    closed: float | None = None
    members: Seq[Member] = ()
    done: str = ""
    """What was done about it, in a sentence."""
    commit: str | None = None
    more: int = 0
    """Members beyond those that are kept here."""
    reopened: int = 0
    """How often it came back after it was over."""
    tellings: int = 0
    """How often something about it was given to the alerts."""
    said: Literal["", "opened", "closed"] = ""
    """What the alerts were given last: that it is there, or that it is over."""

    @property
    def open_members(self) -> tuple[Member, ...]:
        return tuple(member for member in self.members if member.ended is None)

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(sorted({member.host for member in self.members if member.host}))

    @property
    def tags(self) -> frozenset[str]:
        return frozenset(tag for member in self.members for tag in member.tags)


@dataclass(frozen=True, slots=True)
class Telling:
    """Something to be said about an incident, as it is now.

    `opened` comes once, with the incident already closed where it was over before it was told; `updated` also says that what
    was told to be over is back.
    """

    incident: Incident
    stage: Stage
    at: float


class DriftRecord(Model):
    """One difference between a host and what it should be, from the first time it was seen to its end."""

    id: str
    """Short and unique."""
    host: str
    ref: str
    kind: Literal["drift", "pending"]
    """drift: the host moved · pending: git moved, and it is not done yet."""
    fields: Seq[str] = ()
    """What differs, in words: "content", "mode: 0644 → 0600"."""
    diff: Seq[str] = ()
    first: float
    last: float
    ended: float | None = None
    how: HowEnded = ""
    commit: str | None = None
    """The fleet's commit that asks for it."""
    place: str = ""
    """file:line:column of it."""
    held: str = ""
    """Why it is not put right."""
    evidence: Seq[str] = ()
    times: int = 1
    """How often it came back after it was healed, itself included."""
    flapping: bool = False
