"""When changes may be made: windows that begin by crontab and last a while, in a time zone with its summer time.

Pure: `now` is passed in. A window lasts as long as it says: six hours are six hours, also in the night in which the clocks are
changed. A beginning that the clocks skip comes as much later as they jump; one that they show twice comes the first time,
unless it is for every hour. Called by `reconciler/policy.py`; the models are in `policies.py`.

APScheduler is not asked: its weekdays are not cron's, a day of the month and one of the week must both hold with it, and it
looks forward only, where the question is which window began last.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cached_property, lru_cache
from typing import Final, Literal
from zoneinfo import ZoneInfo

from desired.values import selected
from providers.schedule import numbers

_NICKNAMES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_CYCLE: Final = 28 * 366
"""Days after which every date has fallen on every day of the week."""
_DAY: Final = timedelta(days=1)
_YEARS: Final = timedelta(days=15 * 366)
_FAR: Final = 5000
"""How many beginnings are looked at, in how many years at most, before it is said that no end is in sight."""
_STEPS: Final = 500
"""How often one window ends and another one is in the way."""
NEVER: Final = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Cron:
    """A checked schedule, as cron understands it: where a day of the month and one of the week are given, either will do."""

    text: str

    @cached_property
    def _fields(self) -> tuple[frozenset[int], ...]:
        return numbers(_NICKNAMES.get(self.text, self.text))

    @cached_property
    def _either(self) -> bool:
        _, _, day, _, weekday = _NICKNAMES.get(self.text, self.text).split()
        return not (day.startswith("*") or weekday.startswith("*"))

    @cached_property
    def every_hour(self) -> bool:
        return len(self._fields[1]) == 24

    @cached_property
    def times(self) -> tuple[tuple[int, int], ...]:
        """Hour and minute of each beginning on a day that it has."""
        minutes, hours, *_ = self._fields
        return tuple((hour, minute) for hour in sorted(hours) for minute in sorted(minutes))

    @property
    def ever(self) -> bool:
        """Whether there is any day on which it begins."""
        begin = date(2000, 1, 1)
        return any(self.on(begin + timedelta(days=number)) for number in range(_CYCLE))

    def on(self, day: date) -> bool:
        """Whether it begins on a day."""
        _, _, days, months, weekdays = self._fields
        if day.month not in months:
            return False
        of_week = day.isoweekday() in weekdays or (day.isoweekday() == 7 and 0 in weekdays)
        of_month = day.day in days
        return of_month or of_week if self._either else of_month and of_week


@dataclass(frozen=True)
class Window:
    """A span of time that comes again and again, and whom it concerns."""

    kind: Literal["allow", "deny"]
    cron: Cron
    seconds: int
    """How long it lasts."""
    zone: ZoneInfo
    hosts: tuple[str, ...] = ()
    """Names and `tag:NAME`; empty: all."""
    projects: tuple[str, ...] = ()
    """Empty: everything on the hosts, projects or not."""

    @property
    def lasts(self) -> timedelta:
        return timedelta(seconds=self.seconds)

    def concerns(self, host: str, tags: tuple[str, ...], project: str | None) -> bool:
        return selected(self.hosts, host, tags) and (not self.projects or project in self.projects)

    def _latest(self, now: datetime) -> datetime | None:
        """The last beginning up to `now`, where it may still be open."""
        oldest = (now - self.lasts).astimezone(self.zone).date() - 2 * _DAY
        latest = None
        for day in _days(now.astimezone(self.zone).date(), -1):
            if day < oldest:
                break
            begins = _begins(self.cron, self.zone, day)
            if count := bisect_right(begins, now):
                latest = begins[count - 1] if latest is None else max(latest, begins[count - 1])
                oldest = max(oldest, day - 2 * _DAY)  # what the clocks skip may come on a later day
        return latest

    def holds(self, now: datetime) -> bool:
        """Whether it is open."""
        latest = self._latest(now)
        return latest is not None and now < latest + self.lasts

    def end(self, now: datetime) -> datetime:
        """When the span ends that `now` lies in, with those that follow it without a gap; NEVER where that is not in sight."""
        latest = self._latest(now)
        assert latest is not None
        end, count = latest + self.lasts, 0
        for day in _days(latest.astimezone(self.zone).date(), 1):
            for begin in _begins(self.cron, self.zone, day):
                if begin > end:
                    return end
                end = max(end, begin + self.lasts)
                count += 1
            if count > _FAR or end - now > _YEARS:
                return NEVER
            if end.astimezone(self.zone).date() < day - _DAY:
                return end
        return NEVER

    def next(self, now: datetime) -> datetime | None:
        """When it begins after `now`; None: not within the years that are looked at."""
        first = now.astimezone(self.zone).date() - 2 * _DAY
        for day in _days(first, 1):
            if day - first > _YEARS:
                break
            if begins := _begins(self.cron, self.zone, day)[-1:]:
                if begins[0] <= now:
                    continue
                near = (begin for number in range(3) for begin in _begins(self.cron, self.zone, day + number * _DAY))
                return min(begin for begin in near if begin > now)
        return None


def _days(first: date, step: int) -> Iterator[date]:
    return (first + number * step * _DAY for number in range(_CYCLE))


@lru_cache(maxsize=4096)
def _begins(cron: Cron, zone: tzinfo, day: date) -> tuple[datetime, ...]:
    """The moments at which a window begins on a day of its zone, in UTC and in order. A time that the clocks skip is as much
    later as they jump, which may be on the next day."""
    if not cron.on(day):
        return ()
    found = set()
    for hour, minute in cron.times:
        for fold in (0, 1) if cron.every_hour else (0,):
            local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone, fold=fold)
            begin = local.astimezone(UTC)
            if fold == 0 or begin.astimezone(zone).replace(fold=0) == local.replace(fold=0):
                found.add(begin)
    return tuple(sorted(found))


def closed(windows: Sequence[Window], now: datetime, host: str, tags: tuple[str, ...], project: str | None) -> str | None:
    """Why nothing may be changed at `now`, and until when; None: it may. `deny` wins; with any `allow` that concerns it,
    changes wait for one. The reason stays the same from minute to minute; its times are in the time zone of `now`."""
    mine = [window for window in windows if window.concerns(host, tags, project)]
    allows = [window for window in mine if window.kind == "allow"]
    denies = [window for window in mine if window.kind == "deny"]
    denied = any(window.holds(now) for window in denies)
    if not denied and (not allows or any(window.holds(now) for window in allows)):
        return None
    opening = _opening(allows, denies, now)
    if denied:
        return "a window denies changes" + (f" until {shown(opening, now)}" if opening else "; no end is in sight")
    return "outside the window; " + (f"it opens {shown(opening, now)}" if opening else "no opening is in sight")


def _opening(allows: Sequence[Window], denies: Sequence[Window], now: datetime) -> datetime | None:
    """The first moment from `now` on at which changes may be made."""
    for _ in range(_STEPS):
        if ends := [window.end(now) for window in denies if window.holds(now)]:
            if (now := max(ends)) == NEVER:
                return None
        elif allows and not any(window.holds(now) for window in allows):
            coming = [begin for window in allows if (begin := window.next(now)) is not None]
            if not coming:
                return None
            now = min(coming)
        else:
            return now
    return None


def shown(moment: datetime, now: datetime) -> str:
    """The day and the time, to the minute where that is exact."""
    local = moment.astimezone(now.tzinfo)
    return local.strftime("%a %Y-%m-%d %H:%M:%S %Z" if local.second else "%a %Y-%m-%d %H:%M %Z")
