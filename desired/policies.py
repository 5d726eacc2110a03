"""Policies as they are written: suspensions, windows, rollouts, differences that do not count, and where incidents are told.

The models are part of fleet.yaml (`schema.py`) and of host and project files; `Policies` is what a `Fleet` hands on. What they
name (hosts, tags, projects, kinds) is checked against the fleet by `desired/policy_checks.py`. `reconciler/policy.py` acts on
suspensions and windows, the loop on rollouts, `reconciler/alerts/` on alerts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Annotated, Any, Literal, Self, TypeAlias
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from desired.values import EVENTS, Clock, Duration, Event, LongDuration, Moment, Name, Selector, Severity, Zone
from desired.windows import Cron, Window
from providers.base import Line, Model, Seq
from providers.schedule import Schedule


class Suspension(Model):
    """Nothing is changed; what differs is reported all the same."""

    reason: Annotated[Line, Field(description="Why, for whoever wonders")] = ""
    until: Annotated[Moment | None, Field(description="When it ends by itself; default: when it is taken out")] = None

    def within(self, zone: tzinfo) -> Suspension:
        """With an `until` that says where on earth it is meant: without that, it is a time in the fleet's time zone."""
        if self.until is None or self.until.tzinfo is not None:
            return self
        return self.model_copy(update={"until": self.until.replace(tzinfo=zone)})

    def holds(self, now: datetime) -> bool:
        """Whether it is in force at `now`. `until` has to be aware: see `within`."""
        return self.until is None or now < self.until


def _cron(schedule: str) -> str:
    if schedule == "@reboot":
        raise ValueError("a window cannot begin at @reboot: write when, as in 0 22 * * *")
    if not Cron(schedule).ever:
        raise ValueError(f'"{schedule}" never comes: there is no such day')
    return schedule


_WindowCron: TypeAlias = Annotated[Schedule, AfterValidator(_cron), Field(examples=["0 22 * * *", "@daily"])]


class WindowSettings(Model):
    """When changes may be made, or may not: one of `allow` and `deny`, and for how long."""

    allow: Annotated[_WindowCron | None, Field(description="Changes may be made from these times on, as in crontab")] = None
    deny: Annotated[_WindowCron | None, Field(description="Changes may not be made from these times on, as in crontab")] = None
    lasts: Annotated[Duration, Field(alias="for", description="How long, from each of these times on", examples=["6h"])]
    hosts: Annotated[Seq[Selector], Field(description="For these hosts; default: all")] = ()
    projects: Annotated[Seq[Name], Field(description="For these projects alone; default: everything on the hosts")] = ()
    timezone: Annotated[Zone | None, Field(description="Default: the fleet's")] = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.allow is None) == (self.deny is None):
            raise ValueError("say either allow or deny")
        return self

    def window(self, zone: ZoneInfo) -> Window:
        """As it is asked. `zone`: the fleet's."""
        zone = zone if self.timezone is None else ZoneInfo(self.timezone)
        schedule = self.allow or self.deny or ""
        return Window("allow" if self.allow else "deny", Cron(schedule), self.lasts, zone, self.hosts, self.projects)


def _canary(value: object) -> object:
    if value is True or (isinstance(value, str) and value):
        return value
    raise ValueError("expected the name of a host, tag:NAME, or true")


class Rollout(Model):
    """How a new commit goes over the hosts."""

    canary: Annotated[
        Literal[True] | Selector | None,
        BeforeValidator(_canary),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"const": True}], "examples": ["web1", "tag:canary", True]}),
        Field(description="Who gets it first: a host, tag:NAME, or true for any one; the others follow when it went well"),
    ] = None
    max_parallel: Annotated[int | None, Field(ge=1, description="Hosts that are changed at the same time; default: all")] = None
    max_failures: Annotated[int, Field(ge=0, description="When more hosts than this fail, no further one is changed")] = 0


class IgnoreRule(Model):
    """Differences that do not count. Without `fields` and `paths`: that the resource is there is enough."""

    resource: Annotated[Line, Field(description="A reference, with * for anything", examples=["file:/etc/*", "user:ops"])]
    fields: Annotated[Seq[Line], Field(description="What may differ", examples=[["mode", "owner"]])] = ()
    paths: Annotated[
        Seq[Line], Field(description="Of a deployed tree (release:NAME): files that may differ, as in .gitignore")
    ] = ()
    hosts: Annotated[Seq[Selector], Field(description="On these hosts; default: all")] = ()


class HistorySettings(Model):
    """What is kept of the past."""

    keep: Annotated[LongDuration, Field(description="For how long", examples=["90d"])] = 90 * 86400


class Quiet(Model):
    """Hours in which nothing is told, in the fleet's time zone; what happens then is told after them, if it still stands."""

    start: Annotated[Clock, Field(alias="from")]
    end: Annotated[Clock, Field(alias="to", description="Before `from`: on the next day")]
    unless: Annotated[Severity | None, Field(description="What is at least this grave is told all the same")] = None

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.start == self.end:
            raise ValueError("from and to are the same time: that is no span")
        return self


def _alert_url(value: object) -> object:
    if isinstance(value, str) and "://" in value:
        return value
    if isinstance(value, dict) and set(value) == {"secret"} and isinstance(value["secret"], str) and value["secret"]:
        return value
    raise ValueError("expected an Apprise URL, or {secret: NAME}")


AlertUrl: TypeAlias = Annotated[
    Any,
    BeforeValidator(_alert_url),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "format": "uri"},
                {
                    "type": "object",
                    "properties": {"secret": {"type": "string"}},
                    "required": ["secret"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]


class Alert(Model):
    """One place where incidents are reported."""

    url: Annotated[AlertUrl, Field(description="Any Apprise URL, or {secret: NAME} for secrets/NAME.age")]
    name: Annotated[Name, Field(description="What it is called in logs and metrics; default: its place in the list")] = ""
    events: Annotated[Seq[Event], Field(description="What is reported there; default: everything")] = EVENTS
    hosts: Annotated[Seq[Selector], Field(description="Of which hosts; default: all")] = ()
    severity: Annotated[Severity, Field(description="At least this grave; default: everything")] = "info"
    quiet: Annotated[Quiet | None, Field(description="Hours in which nothing is told")] = None
    digest: Annotated[Clock | None, Field(description="One message a day at this time, instead of one per incident")] = None
    remind: Annotated[Duration, Field(description="How often an open incident is told again", examples=["24h"])] = 86400


@dataclass(frozen=True, slots=True)
class Policies:
    """What a fleet says about when and how changes are made."""

    timezone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    windows: tuple[Window, ...] = ()
    rollout: Rollout | None = None
    ignore: tuple[IgnoreRule, ...] = ()
    suspend: Suspension | None = None
