"""Windows against a slow oracle that walks through time minute by minute, and the nights in which clocks are changed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from desired.windows import Cron, Window, closed, shown

PARIS = ZoneInfo("Europe/Paris")
MINUTE = timedelta(minutes=1)
NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


def at(text: str, zone: ZoneInfo = PARIS) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


def window(kind: str, cron: str, hours: float, zone: ZoneInfo = PARIS, **whom: tuple[str, ...]) -> Window:
    assert kind in ("allow", "deny")
    return Window("allow" if kind == "allow" else "deny", Cron(cron), round(hours * 3600), zone, **whom)


def why(
    now: datetime, *windows: Window, host: str = "nas", tags: tuple[str, ...] = (), project: str | None = None
) -> str | None:
    return closed(windows, now, host, tags, project)


# The oracle: it knows nothing of days, only one minute after the other.


@cache
def has(field: str, number: int, first: int, last: int) -> bool:
    """Whether a field of crontab holds a number."""
    for item in field.split(","):
        span, _, step = item.partition("/")
        if span == "*":
            low, high = first, last
        else:
            words = [NAMES.index(word) if word in NAMES else int(word) for word in span.split("-")]
            low, high = words[0], words[-1]
        if low <= number <= high and (number - low) % int(step or 1) == 0:
            return True
    return False


def begins(cron: str, wall: datetime) -> bool:
    minute, hour, day, month, weekday = cron.split()
    if not (has(minute, wall.minute, 0, 59) and has(hour, wall.hour, 0, 23) and has(month, wall.month, 1, 12)):
        return False
    sunday_first = (wall.weekday() + 1) % 7
    of_week = has(weekday, sunday_first, 0, 7) or (sunday_first == 0 and has(weekday, 7, 0, 7))
    of_month = has(day, wall.day, 1, 31)
    if day.startswith("*") or weekday.startswith("*"):
        return of_month and of_week
    return of_month or of_week


@cache
def walls(zone: str, first: datetime, last: datetime) -> tuple[tuple[datetime, datetime, bool], ...]:
    """Each minute with what a clock on the wall shows, and whether it has shown that before. Minutes that the clock skips come
    as much later as it jumps."""
    found = []
    seen: set[datetime] = set()
    now, before = first, None
    while now <= last:
        wall = now.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0)
        if before is not None and wall > before + MINUTE:
            skipped, count = before + MINUTE, 0
            while skipped < wall:
                found.append((now + count * MINUTE, skipped, False))
                skipped, count = skipped + MINUTE, count + 1
        found.append((now, wall, wall in seen))
        seen.add(wall)
        now, before = now + MINUTE, wall
    return tuple(found)


def oracle(one: Window, first: datetime, last: datetime) -> set[datetime]:
    """The minutes in which a window is open."""
    every_hour = all(has(one.cron.text.split()[1], hour, 0, 23) for hour in range(24))
    opened: set[datetime] = set()
    for moment, wall, again in walls(one.zone.key, first - timedelta(days=2), last):
        if begins(one.cron.text, wall) and (every_hour or not again):
            opened.update(moment + count * MINUTE for count in range(one.seconds // 60))
    return {moment for moment in opened if first <= moment <= last}


NIGHTS = {
    "Europe/Paris": (datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)),
    "America/New_York": (datetime(2026, 3, 8, 6, tzinfo=UTC), datetime(2026, 11, 1, 5, tzinfo=UTC)),
    "Australia/Lord_Howe": (datetime(2026, 4, 4, 15, tzinfo=UTC), datetime(2026, 10, 3, 15, tzinfo=UTC)),
    "America/Santiago": (datetime(2026, 4, 5, 3, tzinfo=UTC), datetime(2026, 9, 6, 4, tzinfo=UTC)),
    "Asia/Kolkata": (datetime(2026, 2, 28, 18, tzinfo=UTC),),
}
"""Where clocks jump by an hour, by half an hour, at midnight, and never."""
PLACES = st.sampled_from([(zone, night) for zone, nights in NIGHTS.items() for night in nights])


@st.composite
def field(draw: st.DrawFn, first: int, last: int) -> str:
    low = draw(st.integers(first, last))
    high = draw(st.integers(low, last))
    step = draw(st.integers(1, 20))
    return draw(st.sampled_from(["*", "*", str(low), f"{low}-{high}", f"{low},{high}", f"*/{step}", f"{low}-{high}/{step}"]))


CRONS = st.builds(
    " ".join, st.tuples(field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 7) | st.sampled_from(NAMES))
) | st.builds("{} {} * * *".format, st.integers(0, 59), st.integers(0, 4))


@settings(max_examples=25, deadline=None)
@given(PLACES, CRONS, st.integers(1, 36 * 60), st.sampled_from([-60, -7, 0, 60]))
@example(("Europe/Paris", datetime(2026, 3, 29, tzinfo=UTC)), "30 2 * * *", 45, 0)
@example(("Europe/Paris", datetime(2026, 10, 25, tzinfo=UTC)), "30 2 * * *", 45, 0)
@example(("Europe/Paris", datetime(2026, 10, 25, tzinfo=UTC)), "30 * * * *", 15, 0)
@example(("America/Santiago", datetime(2026, 9, 6, 4, tzinfo=UTC)), "30 0 * * *", 60, 0)
def test_a_window_is_open_in_exactly_the_minutes_that_the_slow_oracle_says(
    place: tuple[str, datetime], cron: str, minutes: int, shift: int
) -> None:
    zone, night = place
    first, last = night + timedelta(minutes=shift) - timedelta(hours=3), night + timedelta(hours=9)
    one = window("deny", cron, minutes / 60, ZoneInfo(zone))
    expected = oracle(one, first, last)
    for moment in minutes_between(first, last, 7):
        assert (why(moment, one) is not None) == (moment in expected), moment


@settings(max_examples=20, deadline=None)
@given(PLACES, st.lists(st.tuples(st.sampled_from(["allow", "deny"]), CRONS, st.integers(1, 600)), min_size=1, max_size=4))
def test_deny_wins_over_allow_and_with_any_allow_everything_else_is_closed(
    place: tuple[str, datetime], written: list[tuple[str, str, int]]
) -> None:
    zone, night = place
    first, last = night - timedelta(hours=2), night + timedelta(hours=6)
    windows = [window(kind, cron, minutes / 60, ZoneInfo(zone)) for kind, cron, minutes in written]
    opened = {number: oracle(one, first, last) for number, one in enumerate(windows)}
    allows = [number for number, one in enumerate(windows) if one.kind == "allow"]
    denies = [number for number, one in enumerate(windows) if one.kind == "deny"]
    free = {
        moment
        for moment in minutes_between(first, last, 1)
        if (not allows or any(moment in opened[number] for number in allows))
        and not any(moment in opened[number] for number in denies)
    }
    for moment in minutes_between(first, last, 23):
        reason = why(moment, *windows)
        assert (reason is None) == (moment in free), moment
        opening = min((one for one in free if one > moment), default=None)
        if reason is not None and opening is not None:
            assert reason.endswith(shown(opening, moment)), moment


@settings(max_examples=12, deadline=None)
@given(PLACES, st.lists(st.tuples(st.sampled_from(["allow", "deny"]), CRONS, st.integers(1, 600)), min_size=1, max_size=3))
def test_the_reason_changes_only_where_a_window_begins_or_ends(
    place: tuple[str, datetime], written: list[tuple[str, str, int]]
) -> None:
    zone, night = place
    windows = [window(kind, cron, minutes / 60, ZoneInfo(zone)) for kind, cron, minutes in written]
    first, last = night - timedelta(minutes=30), night + timedelta(hours=2)
    state = [oracle(one, first, last) for one in windows]
    before: tuple[list[bool], str | None] | None = None
    for moment in minutes_between(first, last, 1):
        reason = why(moment.astimezone(ZoneInfo(zone)), *windows)
        now = ([moment in opened for opened in state], reason)
        if before is not None and now[0] == before[0] and "no " not in (reason or ""):
            assert reason == before[1], moment
        before = now


def minutes_between(first: datetime, last: datetime, step: int) -> Iterator[datetime]:
    while first <= last:
        yield first
        first += step * MINUTE


def test_outside_of_an_allow_window_it_is_said_when_it_opens() -> None:
    nightly = window("allow", "0 22 * * *", 6)
    assert why(at("2026-11-20 13:00"), nightly) == "outside the window; it opens Fri 2026-11-20 22:00 CET"
    assert why(at("2026-11-20 22:00"), nightly) is None
    assert why(at("2026-11-21 03:59"), nightly) is None
    assert why(at("2026-11-21 04:00"), nightly) == "outside the window; it opens Sat 2026-11-21 22:00 CET"


def test_a_deny_window_says_until_when() -> None:
    holidays = window("deny", "0 0 24 12 *", 72)
    assert why(at("2026-12-25 13:00"), holidays) == "a window denies changes until Sun 2026-12-27 00:00 CET"
    assert why(at("2026-12-27 00:00"), holidays) is None


def test_until_is_when_changes_may_really_be_made_and_not_when_one_of_several_windows_ends() -> None:
    windows = (window("allow", "0 22 * * *", 2), window("deny", "0 0 * * 6", 24), window("deny", "0 23 * * 6", 2))
    assert why(at("2026-11-21 10:00"), *windows) == "a window denies changes until Sun 2026-11-22 22:00 CET"


def test_what_never_opens_is_said_to_have_no_end_in_sight() -> None:
    assert why(at("2026-11-20 13:00"), window("deny", "* * * * *", 1)) == "a window denies changes; no end is in sight"
    never = (window("allow", "0 22 * * *", 1), window("deny", "0 22 * * *", 1))
    assert why(at("2026-11-20 13:00"), *never) == "outside the window; no opening is in sight"


def test_times_are_told_in_the_time_zone_of_the_reader() -> None:
    nightly = window("allow", "0 22 * * *", 6)
    now = at("2026-11-20 13:00").astimezone(ZoneInfo("America/New_York"))
    assert why(now, nightly) == "outside the window; it opens Fri 2026-11-20 16:00 EST"


def test_six_hours_are_six_hours_in_the_night_in_which_the_clocks_go_forward_and_back() -> None:
    nightly = window("deny", "0 22 * * *", 6)
    assert why(at("2026-03-29 04:59"), nightly) == "a window denies changes until Sun 2026-03-29 05:00 CEST"
    assert why(at("2026-03-29 05:00"), nightly) is None
    assert why(at("2026-10-25 02:59").replace(fold=1), nightly) == "a window denies changes until Sun 2026-10-25 03:00 CET"
    assert why(at("2026-10-25 03:00"), nightly) is None


def test_a_window_that_begins_in_an_hour_that_the_clocks_skip_still_happens() -> None:
    early = window("allow", "30 2 * * *", 1)
    assert why(at("2026-03-29 01:59"), early) == "outside the window; it opens Sun 2026-03-29 03:30 CEST"
    assert why(at("2026-03-29 03:30"), early) is None
    assert why(at("2026-03-29 04:30"), early) is not None


def test_a_time_that_clocks_show_twice_is_the_first_of_the_two() -> None:
    early = window("allow", "30 2 * * *", 0.5)
    assert why(at("2026-10-25 02:30"), early) is None
    assert why(at("2026-10-25 02:30").replace(fold=1), early) is not None


def test_weekdays_are_those_of_cron() -> None:
    saturday, sunday, monday = at("2026-11-21 12:00"), at("2026-11-22 12:00"), at("2026-11-23 12:00")
    for word in ("0", "7", "sun"):
        days = [why(day, window("deny", f"0 0 * * {word}", 24)) is not None for day in (saturday, sunday, monday)]
        assert days == [False, True, False], word


def test_of_a_day_of_the_month_and_one_of_the_week_either_will_do() -> None:
    either = window("deny", "0 0 13 * 5", 24)
    assert why(at("2026-11-20 12:00"), either) is not None  # a Friday
    assert why(at("2026-12-13 12:00"), either) is not None  # the 13th, a Sunday
    assert why(at("2026-11-24 12:00"), either) is None


@pytest.mark.parametrize("word", ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"])
def test_the_words_of_cron_are_known(word: str) -> None:
    assert Cron(word).ever


@pytest.mark.parametrize(("text", "ever"), [("0 0 30 2 *", False), ("0 0 31 4,6 *", False), ("0 0 29 2 *", True)])
def test_a_schedule_for_a_day_that_there_is_not_never_comes(text: str, ever: bool) -> None:
    assert Cron(text).ever is ever


def test_a_window_concerns_whom_it_names() -> None:
    now = at("2026-11-20 12:00")
    cases: list[tuple[dict[str, tuple[str, ...]], bool]] = [
        ({}, True),
        ({"hosts": ("nas",)}, True),
        ({"hosts": ("tag:prod",)}, True),
        ({"hosts": ("web", "tag:dev")}, False),
        ({"projects": ("site",)}, True),
        ({"projects": ("shop",)}, False),
        ({"hosts": ("web",), "projects": ("site",)}, False),
    ]
    for whom, concerned in cases:
        one = window("deny", "0 0 * * *", 24, PARIS, **whom)
        assert (why(now, one, tags=("prod",), project="site") is not None) == concerned, whom


def test_what_belongs_to_no_project_is_not_concerned_by_windows_of_projects() -> None:
    one = window("deny", "0 0 * * *", 24, projects=("site",))
    assert why(at("2026-11-20 12:00"), one) is None
