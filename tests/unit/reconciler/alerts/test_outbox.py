"""What is told arrives once and in order, whatever happens to the chat or to us; what is overtaken never does."""

from __future__ import annotations

import pytest

from reconciler.alerts.lane import OLDEST, SUM_UP
from reconciler.alerts.model import Receipt
from tests.unit.reconciler.alerts.stories import (
    DAY,
    HOUR,
    NOON,
    Town,
    alert,
    flood,
    incident,
    member,
    over,
)

DRIFT = "drift of file:/etc/motd on nas"


async def test_an_incident_is_opened_reminded_of_once_a_day_and_closed() -> None:
    town = Town()
    await town.told(incident())
    for _ in range(50):
        town.wait(HOUR)
        await town.deliver()
    await town.told(over(incident(), NOON + 51 * HOUR), "closed")
    town.wait(30 * DAY)
    await town.deliver()
    assert town.room().titles == [f"Opened: {DRIFT}", f"Still: {DRIFT}", f"Still: {DRIFT}", f"Over: {DRIFT}"]


async def test_reminders_come_as_often_as_the_alert_says() -> None:
    town = Town(alert(remind="6h"))
    await town.told(incident())
    for _ in range(24):
        town.wait(HOUR)
        await town.deliver()
    assert len(town.room().titles) == 1 + 4


async def test_what_the_desk_tells_twice_is_said_once() -> None:
    town = Town()
    await town.told(incident())
    await town.told(incident())
    await town.told(incident(), "reminded")
    assert len(town.room().titles) == 1


async def test_an_update_is_told_when_there_is_more_and_not_when_there_is_less() -> None:
    town = Town()
    await town.told(incident("a1", member("nas"), member("web1")))
    await town.told(incident("a1", member("nas"), member("web1", ended=NOON)), "updated")
    assert len(town.room().titles) == 1
    await town.told(incident("a1", member("nas"), member("web1", ended=NOON), member("web2")), "updated")
    assert town.room().titles[1:] == ["More: drift of file:/etc/motd on nas and web2"]


async def test_what_comes_back_is_told_as_such() -> None:
    town = Town()
    await town.told(incident())
    await town.told(over(incident()), "closed")
    town.wait(1800)
    await town.told(incident(), "updated")
    await town.told(over(incident(), NOON + 3600), "closed")
    assert town.room().titles == [f"Opened: {DRIFT}", f"Over: {DRIFT}", f"Again: {DRIFT}", f"Over: {DRIFT}"]


async def test_what_was_over_before_it_was_told_is_one_message() -> None:
    town = Town()
    await town.told(over(incident()))
    assert town.room().titles == [f"Opened and over: {DRIFT}"]


async def test_a_chat_that_was_away_hears_once_what_matters_now() -> None:
    town = Town()
    town.room().away = True
    await town.told(incident("a1", member("nas")))
    town.wait(60)
    await town.told(incident("a2", member("web1")))
    for number in range(5):
        town.wait(600)
        grown = incident("a2", *(member(f"web{n}") for n in range(1, number + 3)))
        await town.told(grown, "updated")
    await town.told(over(incident("a1", member("nas"))), "closed")
    town.room().away = False
    town.wait(600)
    await town.deliver()
    assert town.room().titles == [f"Opened and over: {DRIFT}", "Opened: drift of file:/etc/motd on 6 hosts"]


async def test_what_closes_after_it_was_told_and_while_the_chat_is_away_is_closed_once() -> None:
    town = Town()
    await town.told(incident())
    town.room().away = True
    town.wait(2 * DAY)
    await town.deliver()
    await town.told(over(incident()), "closed")
    town.room().away = False
    town.wait(600)
    await town.deliver()
    assert town.room().titles == [f"Opened: {DRIFT}", f"Over: {DRIFT}"]


async def test_after_an_hour_what_has_piled_up_is_one_summary() -> None:
    town = Town()
    town.room().away = True
    for number in range(SUM_UP + 1):
        town.tell(incident(f"a{number}", member(f"web{number}")))
    await town.deliver()
    town.wait(2 * HOUR)
    town.room().away = False
    await town.deliver()
    assert town.room().titles == ["Summary: 6 incidents, 6 new"]
    await town.told(over(incident("a0", member("web0"))), "closed")
    assert town.room().titles[1:] == ["Over: drift of file:/etc/motd on web0"]


async def test_a_few_are_told_one_by_one_and_in_order() -> None:
    town = Town()
    for number in range(SUM_UP):
        town.tell(incident(f"a{number}", member(f"web{number}")))
        town.wait(1)
    await town.deliver()
    assert town.room().titles == [f"Opened: drift of file:/etc/motd on web{number}" for number in range(SUM_UP)]


async def test_a_hundred_incidents_at_once_are_not_a_hundred_messages() -> None:
    town = Town()
    for number in range(100):
        town.tell(incident(f"a{number}", member(f"web{number}")))
    await town.deliver()
    assert town.room().titles == ["Summary: 100 incidents, 100 new"]


async def test_a_chat_that_is_away_is_tried_less_and_less_often_and_never_given_up() -> None:
    town = Town()
    town.room().away = True
    await town.told(incident())
    for _ in range(24 * 60):
        town.wait(60)
        await town.deliver()
    assert 24 * 60 / 7 < town.room().attempts < 24 * 60 / 4
    assert "since 12:02 CET" not in town.alerts.trouble["ops"]  # that was yesterday
    assert "since 20 Nov 12:02 CET it does not answer; 1 incident to be told" in town.alerts.trouble["ops"]
    town.room().away = False
    town.wait(300)
    await town.deliver()
    assert town.alerts.trouble == {}
    assert len(town.room().titles) == 1


async def test_what_nobody_could_be_told_for_a_week_is_given_up() -> None:
    town = Town()
    town.room().away = True
    await town.told(incident())
    town.wait(OLDEST + 1)
    town.room().away = False
    await town.deliver()
    assert town.room().titles == []
    assert not town.history.deliveries()


async def test_a_chat_that_asks_for_more_time_gets_it() -> None:
    town = Town()
    town.room().answers = [Receipt(ok=False, problem="it answered 429 (Too Many Requests)", slower=True)]
    await town.told(incident())
    town.wait(30)
    await town.deliver()
    assert town.room().attempts == 1
    town.wait(30)
    await town.deliver()
    assert len(town.room().titles) == 1


async def test_a_message_that_a_chat_does_not_take_stops_no_other_and_goes_in_few_words() -> None:
    town = Town()
    town.room().answers = [Receipt(ok=False, problem="it answered 400 (Bad Request)", refused=True)]
    town.tell(incident("a1", member(lines=("-a", "+b"))))
    town.tell(incident("a2", member("web1")))
    for _ in range(3):
        await town.deliver()
        town.wait(30)
    assert town.room().titles == ["Opened: drift of file:/etc/motd on web1", f"Opened: {DRIFT}"]
    assert town.room().messages[1].body == "warning, since 12:02 CET"


async def test_a_chat_that_hangs_delays_no_other() -> None:
    town = Town(alert("ops"), alert("phone"))
    town.room("ops").away = True
    await town.told(incident())
    assert town.room("phone").titles == [f"Opened: {DRIFT}"]
    assert set(town.alerts.trouble) == {"ops"}


async def test_an_alert_without_recovered_hears_no_endings() -> None:
    town = Town(alert(events=("drift",)))
    await town.told(incident())
    await town.told(over(incident()), "closed")
    assert town.room().titles == [f"Opened: {DRIFT}"]


async def test_an_alert_for_recovered_alone_hears_nothing_but_endings() -> None:
    town = Town(alert(events=("recovered",)))
    await town.told(incident())
    await town.told(over(incident()), "closed")
    assert town.room().titles == [f"Opened and over: {DRIFT}"]


async def test_who_was_never_told_of_something_need_not_hear_that_it_is_over() -> None:
    town = Town(alert("ops"))
    await town.told(incident())
    town.configure(alert("ops"), alert("new"))
    await town.told(over(incident()), "closed")
    assert town.room("new").titles == []
    assert len(town.room("ops").titles) == 2


async def test_quiet_hours_keep_messages_until_the_morning() -> None:
    night = NOON + 11 * HOUR
    town = Town(alert(quiet=("22:00", "07:00", "error")), now=night)
    await town.told(incident("a1", opened=night))
    await town.told(incident("a2", member("web1"), opened=night))
    await town.told(over(incident("a2", member("web1"), opened=night), night + 60), "closed")
    await town.told(incident("a3", event="unreachable", severity="error", opened=night))
    assert town.room().titles == ["Opened: nas unreachable"]
    town.wait(7.9 * HOUR)
    await town.deliver()
    assert len(town.room().titles) == 1
    town.wait(0.2 * HOUR)
    await town.deliver()
    assert town.room().titles[1:] == [f"Opened: {DRIFT}", "Opened and over: drift of file:/etc/motd on web1"]


async def test_a_digest_is_one_message_a_day_while_there_is_something_to_say() -> None:
    town = Town(alert(digest="08:00"))
    await town.told(incident("a1"))
    await town.told(incident("a2", member("web1")))
    await town.told(over(incident("a2", member("web1"))), "closed")
    assert town.room().titles == []
    for _ in range(4 * 24):
        if town.now > NOON + 50 * HOUR:
            town.tell(over(incident("a1"), NOON + 50 * HOUR), "closed")
        town.wait(HOUR)
        await town.deliver()
    assert town.room().titles == [
        "Digest: 2 incidents, 1 new, 1 over",
        "Digest: 1 incident, 1 still open",
        "Digest: 1 incident, 1 over",
    ]


async def test_a_flood_is_one_message() -> None:
    town = Town()
    await town.told(flood())
    assert town.room().titles == ["Opened: drift of 1000 resources on 50 hosts"]


@pytest.mark.parametrize("jump", [-5 * HOUR, 5 * HOUR])
async def test_a_clock_that_is_set_stops_nothing(jump: float) -> None:
    town = Town()
    town.room().away = True
    await town.told(incident())
    town.room().away = False
    town.now += jump
    town.passed += 10
    await town.deliver()
    assert town.room().titles == [f"Opened: {DRIFT}"]
