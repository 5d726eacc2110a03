"""Which alert is told of which incident, and when: events, hosts, severity, quiet hours, digests. Pure.

Asked by `lane.py`. An alert with `hosts` hears of the part of an incident that is about them, and of nothing that concerns no
host. Times of day are in the fleet's time zone, also on the days on which clocks are changed.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from desired.policies import Alert
from desired.values import selected
from reconciler.incidents.model import Incident, Severity

GRAVITY: dict[Severity, int] = {"info": 0, "warning": 1, "error": 2}
_LINES, _LINES_OF = 40, 20
"""Lines of an incident that are kept, and of how many members at most: more never stands in a message."""


def meant(alert: Alert, incident: Incident) -> Incident | None:
    """The part of the incident that the alert is for; None: nothing."""
    if GRAVITY[incident.severity] < GRAVITY[alert.severity] or not _heard(alert, incident):
        return None
    if not alert.hosts:
        return _light(incident)
    members = tuple(member for member in incident.members if member.host and selected(alert.hosts, member.host, member.tags))
    if not members:
        return None
    closed = incident.closed
    if closed is None and all(member.ended is not None for member in members):
        closed = max(member.ended or 0.0 for member in members)
    return _light(incident.model_copy(update={"members": members, "closed": closed}))


def _heard(alert: Alert, incident: Incident) -> bool:
    """`recovered` alone asks for the end of everything; beside others, for theirs."""
    return incident.event in alert.events or (incident.closed is not None and set(alert.events) == {"recovered"})


def closings(alert: Alert) -> bool:
    """Whether the alert wants to know that something is over."""
    return "recovered" in alert.events


def _light(incident: Incident) -> Incident:
    """Without lines that no message shows, so that a flood does not fill memory and history."""
    left = _LINES
    members = []
    for number, member in enumerate(incident.members):
        kept = member.lines[-left:] if number < _LINES_OF and left else ()
        left -= len(kept)
        members.append(member if len(kept) == len(member.lines) else member.model_copy(update={"lines": kept}))
    return incident.model_copy(update={"members": tuple(members)})


def quiet_until(alert: Alert, severity: Severity, now: float, zone: ZoneInfo) -> float | None:
    """When the quiet hours end that `now` is in; None: it is not quiet, or not for something that grave."""
    quiet = alert.quiet
    if quiet is None or (quiet.unless is not None and GRAVITY[severity] >= GRAVITY[quiet.unless]):
        return None
    today = datetime.fromtimestamp(now, zone).date()
    for day in (today - timedelta(days=1), today):
        begin = _at(day, quiet.start, zone)
        end = _at(day if quiet.start < quiet.end else day + timedelta(days=1), quiet.end, zone)
        if begin <= now < end:
            return end
    return None


def next_digest(at: time, after: float, zone: ZoneInfo) -> float:
    """The first moment later than `after` at which it is that time of day."""
    day = datetime.fromtimestamp(after, zone).date()
    moments = (_at(day + timedelta(days=days), at, zone) for days in (0, 1, 2))
    return next(moment for moment in moments if moment > after)


def _at(day: date, clock: time, zone: ZoneInfo) -> float:
    """A time that a day does not have (clocks go forward) is as much later; one that it has twice is the first."""
    return datetime.combine(day, clock, zone).astimezone(UTC).timestamp()
