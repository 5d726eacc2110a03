"""What `reconcile suspend` and `resume` do. Called by `suspend.py` and `resume.py`, which hold the options."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from desired.policies import Suspension
from desired.values import duration, moment
from desired.windows import shown
from reconciler.cli.editing import HostFile, ProjectFile, Terms, carry_out, edited, open_host_or_project, refuse_terms
from reconciler.cli.screen import Screen
from reconciler.errors import CommandError, Exit
from reconciler.policy import fleet_suspended, suspended
from reconciler.render.lines import BLANK, Line, line
from reconciler.text import visible

_CLOCK = re.compile(r"(tomorrow )?([01]?[0-9]|2[0-3]):([0-5][0-9])")
_MINUTE = timedelta(minutes=1)


def suspend_one(folder: Path, word: str, reason: str | None, until: str | None, terms: Terms, screen: Screen) -> Exit:
    file = open_host_or_project(folder, word)
    refuse_terms(file, terms, screen)
    now = _now(file)
    if reason is not None and (not reason.isprintable() or not reason.strip()):
        raise CommandError("the reason is empty, or more than one line", "leave --reason away, or say it in one line")
    given = {} if reason is None else {"reason": reason}
    if until is not None:
        given["until"] = end_of(until, now).isoformat()
    known = _suspension(file)
    if known is not None and known.holds(now):
        edit = edited(file, {("suspend", key): value for key, value in given.items()})
        wanted = known.model_copy(update=Suspension.model_validate(given).model_dump(include=set(given)))
    else:
        edit = edited(file, {("suspend",): given}, without=[("suspend",)])
        wanted = Suspension.model_validate(given)
    message = f"Suspend {_what(file)}{_until(wanted, now)}\n" + (f"\n{wanted.reason}\n" if wanted.reason else "")
    return carry_out(file, edit, message, terms, screen, _suspend_told(file, wanted, now))


def resume_one(folder: Path, word: str, terms: Terms, screen: Screen) -> Exit:
    file = open_host_or_project(folder, word)
    refuse_terms(file, terms, screen)
    now, known = _now(file), _suspension(file)
    edit = edited(file, {}, without=[("suspend",)])
    was = f"\nIt was suspended{_until(known, now)}{_because(known)}\n" if known is not None else ""
    return carry_out(file, edit, f"Resume {_what(file)}\n{was}", terms, screen, _resume_told(file, known, now))


def _now(file: HostFile | ProjectFile) -> datetime:
    return datetime.now(file.fleet.policies.timezone)


def _suspension(file: HostFile | ProjectFile) -> Suspension | None:
    return file.host.suspend if isinstance(file, HostFile) else file.project.settings.suspend


def end_of(text: str, now: datetime) -> datetime:
    """What is meant by --until: a duration from now on, a time of day that comes, or a moment. To the minute, and aware."""
    try:
        end = _coming(text, now)
    except ValueError as error:
        hint = 'write 2h or 3d, "18:00", "tomorrow 08:00", 2026-12-01, or 2026-12-01T08:00+01:00'
        raise CommandError(f'--until: "{visible(text)}" is no time: {error}', hint) from error
    if end <= now:
        raise CommandError(f"--until: {shown(end, now)} is over already", f"it is {shown(now.replace(second=0), now)} now")
    return end


def _coming(text: str, now: datetime) -> datetime:
    zone = now.tzinfo
    if match := _CLOCK.fullmatch(text):
        wall = now.replace(hour=int(match[2]), minute=int(match[3]), second=0, microsecond=0, tzinfo=None, fold=0)
        if match[1] or wall.replace(tzinfo=zone) <= now:
            wall += timedelta(days=1)
        return wall.replace(tzinfo=zone)
    if text[:4].isdigit() and "-" in text:
        found = moment(text)
        return found if found.tzinfo is not None else found.replace(tzinfo=zone)
    end = (now.astimezone(UTC) + timedelta(seconds=duration(text))).astimezone(zone)
    rest = timedelta(seconds=end.second, microseconds=end.microsecond)
    return end if not rest else (end.astimezone(UTC) + _MINUTE - rest).astimezone(zone)


def _what(file: HostFile | ProjectFile) -> str:
    return f"{'host' if isinstance(file, HostFile) else 'project'} {file.name}"


def _until(suspension: Suspension, now: datetime) -> str:
    return f" until {shown(suspension.until, now)}" if suspension.until is not None else ""


def _because(suspension: Suspension) -> str:
    return f": {suspension.reason}" if suspension.reason else ""


def _suspend_told(file: HostFile | ProjectFile, wanted: Suspension, now: datetime) -> Iterator[Line]:
    end = _until(wanted, now) or f" until: reconcile resume {file.name}"
    yield line((file.name, "bold"), f": nothing is changed{_where(file)}{end}; what differs is still reported")
    yield BLANK


def _where(file: HostFile | ProjectFile) -> str:
    if isinstance(file, HostFile):
        return " there"
    return f" of it on {', '.join(file.hosts[:3]) or 'any host'}" + (" and others" if file.hosts[3:] else "")


def _resume_told(file: HostFile | ProjectFile, known: Suspension | None, now: datetime) -> Iterator[Line]:
    if known is None:
        yield line((file.name, "bold"), " is not suspended")
    else:
        over = "" if known.holds(now) else ", which is over"
        yield line((file.name, "bold"), f" was suspended{_until(known, now)}{over}{_because(known)}")
    yield from (line(("note: ", "yellow"), note) for note in _also(file, now))
    yield BLANK


def _also(file: HostFile | ProjectFile, now: datetime) -> Iterator[str]:
    """What holds it back all the same."""
    fleet = file.fleet
    if (whole := fleet_suspended(fleet, now)) is not None:
        yield f"{whole}; that stands in fleet.yaml"
    elif isinstance(file, ProjectFile):
        for name in file.hosts:
            if (held := suspended(fleet, fleet.hosts[name], now)) is not None:
                yield f"on {name}, {held}"
