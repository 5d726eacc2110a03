"""The types of values that several settings share: names, durations, moments, times of day, time zones, who is meant.

Used by the models in `schema.py`, `policies.py` and `project.py`. Each type says in one sentence what it expects; a reader
never meets pydantic's own words.
"""

from __future__ import annotations

import re
from datetime import datetime, time
from functools import partial
from typing import Annotated, Any, Literal, TypeAlias
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BeforeValidator, WithJsonSchema

from desired.text import nearest, visible

Event: TypeAlias = Literal["drift", "failed", "recovered", "deployed", "unreachable", "source", "held"]
EVENTS: tuple[Event, ...] = ("drift", "failed", "recovered", "deployed", "unreachable", "source", "held")
"""drift: the host moved · failed: an apply or a smoke test · recovered: what was told is over · deployed: a new revision of a
project is there · unreachable: a host cannot be asked · source: the fleet's or a project's repository cannot be used as it is ·
held: something waits for a person (deletions over the budget, a rollout that stopped)."""

Severity: TypeAlias = Literal["info", "warning", "error"]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}", re.ASCII)
TAG = "tag:"
"""Put before a name where hosts are meant, it means every host with that tag."""
_DURATION = re.compile(r"(?:([0-9]{1,6})d)?(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,6})s)?", re.ASCII)
_SECONDS = (86400, 3600, 60, 1)
_YEAR = 366
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?(?:Z|[+-]\d\d:\d\d)?)?", re.ASCII)
_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", re.ASCII)
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,3}", re.ASCII)


def duration(value: object, days: int = _YEAR) -> int:
    """Seconds; `ValueError` with a sentence for who wrote it."""
    if isinstance(value, str) and value and (match := _DURATION.fullmatch(value)):
        seconds = sum(int(count) * unit for count, unit in zip(match.groups(), _SECONDS, strict=True) if count)
        if 1 <= seconds <= days * 86400:
            return seconds
        raise ValueError(f"a duration is between 1s and {days}d")
    raise ValueError("expected a duration with its unit, as in 30s, 1m, 2h or 1h30m")


def moment(value: object) -> datetime:
    """A date with or without its time and its distance from UTC. Without the latter it is naive: in the fleet's time zone."""
    if isinstance(value, datetime):
        return value
    if isinstance(value, str) and _MOMENT.fullmatch(value) and "1970" <= value[:4] <= "8999":
        try:
            return datetime.fromisoformat(value)
        except ValueError as error:
            raise ValueError("there is no such day or time") from error
    raise ValueError("expected a day or a moment, as in 2026-12-01 or 2026-12-01T08:00:00+01:00")


def _clock(value: object) -> time:
    if isinstance(value, time):
        return value
    if isinstance(value, str) and (match := _CLOCK.fullmatch(value)):
        return time(int(match[1]), int(match[2]))
    raise ValueError('expected a time of day, as in "22:00"')


def _zone(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("expected the name of a time zone, as in Europe/Paris")
    if _ZONE.fullmatch(value) and zone_named(value) is not None:
        return value
    near = nearest(value, available_timezones())
    raise ValueError(f'there is no time zone "{visible(value, 60)}"' + (f"; did you mean {near}?" if near else ""))


def zone_named(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # no such name, no file of the right form, a folder
        return None


def _name(value: object) -> object:
    if isinstance(value, str) and NAME.fullmatch(value):
        return value
    raise ValueError("expected a name of letters, digits, dots, dashes and underscores that begins with a letter or digit")


def _selector(value: object) -> object:
    if isinstance(value, str) and NAME.fullmatch(value.removeprefix(TAG)):
        return value
    raise ValueError("expected the name of a host, or tag:NAME")


def selected(selectors: tuple[str, ...], host: str, tags: tuple[str, ...]) -> bool:
    """Whether a host is meant; an empty list means every host."""
    return not selectors or host in selectors or any(TAG + tag in selectors for tag in tags)


def _as_text(*examples: str) -> Any:
    return WithJsonSchema({"type": "string", "examples": list(examples)})


Name: TypeAlias = Annotated[str, BeforeValidator(_name)]
Duration: TypeAlias = Annotated[int, BeforeValidator(duration), _as_text("30s", "1m")]
LongDuration: TypeAlias = Annotated[int, BeforeValidator(partial(duration, days=10 * _YEAR)), _as_text("90d")]
Moment: TypeAlias = Annotated[datetime, BeforeValidator(moment), _as_text("2026-12-01", "2026-12-01T08:00:00+01:00")]
Clock: TypeAlias = Annotated[time, BeforeValidator(_clock), _as_text("22:00")]
Zone: TypeAlias = Annotated[str, BeforeValidator(_zone), _as_text("Europe/Paris")]
Selector: TypeAlias = Annotated[str, BeforeValidator(_selector), _as_text("nas", "tag:prod")]
