"""Who is told of what, and when."""

from __future__ import annotations

from datetime import datetime, time

import pytest

from desired.values import Event
from reconciler.alerts.choose import meant, next_digest, quiet_until
from reconciler.incidents.model import Severity
from tests.unit.reconciler.alerts.stories import PARIS, alert, incident, member, over


def at(text: str, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=PARIS, fold=fold).timestamp()


@pytest.mark.parametrize(("least", "heard"), [("info", 3), ("warning", 2), ("error", 1)])
def test_severity_means_at_least_that_grave(least: Severity, heard: int) -> None:
    incidents = [incident(severity=severity) for severity in ("info", "warning", "error")]
    assert sum(meant(alert(severity=least), one) is not None for one in incidents) == heard


def test_only_the_events_that_were_asked_for_are_told() -> None:
    asked: tuple[Event, ...] = ("failed", "unreachable")
    assert meant(alert(events=asked), incident(event="failed")) is not None
    assert meant(alert(events=asked), incident(event="drift")) is None


def test_recovered_alone_asks_for_the_end_of_everything() -> None:
    ends = alert(events=("recovered",))
    assert meant(ends, incident()) is None
    assert meant(ends, over(incident())) is not None


def test_an_alert_for_some_hosts_hears_only_of_them() -> None:
    one = incident("a1", member("nas"), member("web1", tags=("prod",)), member("web2"))
    chosen = meant(alert(hosts=("nas", "tag:prod")), one)
    assert chosen is not None
    assert chosen.hosts == ("nas", "web1")
    assert meant(alert(hosts=("web9",)), one) is None


def test_what_concerns_no_host_is_not_for_an_alert_that_names_some() -> None:
    source = incident("a1", member("", ""), event="source")
    assert meant(alert(), source) is not None
    assert meant(alert(hosts=("nas",)), source) is None


def test_it_is_over_for_an_alert_when_it_is_over_on_its_hosts() -> None:
    ended = member("nas", ended=5.0)
    one = incident("a1", ended, member("web1"))
    mine = meant(alert(hosts=("nas",)), one)
    assert mine is not None
    assert mine.closed == 5.0
    assert meant(alert(), one) is not None
    assert one.closed is None


def test_a_flood_is_kept_without_its_thousand_diffs() -> None:
    lines = tuple(f"+{number}" for number in range(10))
    one = incident("a1", *(member(f"web{number}", lines=lines) for number in range(1000)))
    kept = meant(alert(), one)
    assert kept is not None
    assert len(kept.members) == 1000
    assert sum(len(each.lines) for each in kept.members) <= 40


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-11-20T21:59", None),
        ("2026-11-20T22:00", "2026-11-21T07:00"),
        ("2026-11-21T06:59", "2026-11-21T07:00"),
        ("2026-11-21T07:00", None),
        ("2026-10-25T01:00", "2026-10-25T07:00"),  # the night in which clocks go back
        ("2026-03-28T23:00", "2026-03-29T07:00"),  # and the one in which they go forward
    ],
)
def test_quiet_hours_may_go_over_midnight(now: str, until: str | None) -> None:
    quiet = alert(quiet=("22:00", "07:00"))
    assert quiet_until(quiet, "warning", at(now), PARIS) == (at(until) if until else None)


def test_quiet_hours_within_a_day() -> None:
    quiet = alert(quiet=("12:00", "14:00"))
    assert quiet_until(quiet, "warning", at("2026-11-20T13:00"), PARIS) == at("2026-11-20T14:00")
    assert quiet_until(quiet, "warning", at("2026-11-20T14:30"), PARIS) is None


def test_what_is_grave_enough_is_told_at_night() -> None:
    quiet = alert(quiet=("22:00", "07:00", "error"))
    assert quiet_until(quiet, "error", at("2026-11-20T23:00"), PARIS) is None
    assert quiet_until(quiet, "warning", at("2026-11-20T23:00"), PARIS) is not None


@pytest.mark.parametrize(
    ("after", "then"),
    [
        ("2026-11-20T07:59", "2026-11-20T08:00"),
        ("2026-11-20T08:00", "2026-11-21T08:00"),
        ("2026-10-24T12:00", "2026-10-25T08:00"),
        ("2026-03-28T12:00", "2026-03-29T08:00"),
        ("2026-12-31T23:59", "2027-01-01T08:00"),
    ],
)
def test_the_digest_comes_at_its_time_of_day_all_year(after: str, then: str) -> None:
    assert next_digest(time(8), at(after), PARIS) == at(then)


def test_a_digest_at_a_time_that_a_day_does_not_have_comes_all_the_same() -> None:
    assert next_digest(time(2, 30), at("2026-03-29T00:00"), PARIS) == at("2026-03-29T03:30")
