"""Across restarts, crashes and another fleet.yaml: nothing is lost, and at most what was on its way is said twice."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from dataclasses import replace

import pytest

from desired.model import Address, Host, Place, RepositoryError
from desired.policies import Alert
from providers.secret import Secret, redact
from reconciler.alerts.model import Message, Receipt
from reconciler.alerts.outbox import Alerts
from tests.unit.reconciler.alerts.stories import DAY, HOUR, NOON, Town, alert, fleet_with, incident, member, no_secrets, over

DRIFT = "drift of file:/etc/motd on nas"


HOST = Host("raspberrypi4", Place("hosts/raspberrypi4.yaml"), Address("10.0.0.4"))


class Killed(BaseException):
    """The process ends here, whatever it was about to do."""


async def test_what_waits_goes_out_after_a_restart() -> None:
    town = Town()
    town.room().away = True
    await town.told(incident())
    town.start()
    town.room().away = False
    await town.deliver()
    assert town.room().titles == [f"Opened: {DRIFT}"]


async def test_what_is_told_before_a_fleet_is_in_force_waits_for_it() -> None:
    town = Town()
    town.alerts = Alerts(town.history, deliver=town.open_chat, now=lambda: town.now, gap=0.0)
    town.tell(incident())
    town.tell(over(incident()), "closed")
    town.tell(incident("a2", member("web1")))
    town.configure(alert())
    await town.deliver()
    assert town.room().titles == [f"Opened and over: {DRIFT}", "Opened: drift of file:/etc/motd on web1"]


async def test_what_was_said_is_not_said_again_after_a_restart() -> None:
    town = Town()
    await town.told(incident())
    town.start()
    await town.told(incident())
    town.wait(HOUR)
    await town.told(over(incident()), "closed")
    town.start()
    await town.told(over(incident()), "closed")
    assert town.room().titles == [f"Opened: {DRIFT}", f"Over: {DRIFT}"]


async def test_reminders_go_on_after_a_restart() -> None:
    town = Town()
    await town.told(incident())
    town.wait(20 * HOUR)
    town.start()
    await town.deliver()
    assert len(town.room().titles) == 1
    town.wait(5 * HOUR)
    await town.deliver()
    assert town.room().titles[1:] == [f"Still: {DRIFT}"]


async def test_what_ended_while_nobody_looked_is_said_to_be_over() -> None:
    town = Town()
    await town.told(incident())
    town.history.incidents["a1"] = over(incident())  # the desk wrote it, and was killed before it told anybody
    town.start()
    town.wait(2 * DAY)
    await town.deliver()
    assert town.room().titles == [f"Opened: {DRIFT}", f"Over: {DRIFT}"]


async def test_what_was_filed_and_never_came_to_be_is_not_told() -> None:
    town = Town()
    town.room().away = True
    await town.told(incident())
    town.history.incidents.clear()  # killed before the desk had written it: it finds it again, as another one
    town.start()
    town.room().away = False
    await town.deliver()
    assert town.room().titles == []


async def test_a_history_that_cannot_be_read_ends_nothing() -> None:
    town = Town()
    await town.told(incident())
    town.history.incidents.clear()
    town.history.trouble = "the disk is full"
    town.start()
    await town.deliver()
    assert town.room().titles == [f"Opened: {DRIFT}"]


@pytest.mark.parametrize("moment", range(12))
async def test_killed_at_any_moment_it_says_everything_and_at_most_one_thing_twice(moment: int) -> None:
    """The moment is the one before the history is written for the Nth time: a chat may have said yes just before."""
    town = Town()
    left = moment

    def count() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed

    town.history.before_save = count
    incidents = [incident(f"a{number}", member(f"web{number}")) for number in range(4)]
    try:
        for one in incidents:
            town.tell(one)
        await town.deliver()
        town.tell(over(incidents[0]), "closed")
        await town.deliver()
    except Killed:
        pass
    town.history.before_save = lambda: None
    town.start()
    for one in incidents:
        if one.id not in town.history.incidents:  # the desk does not know that it has told of it
            town.tell(one)
    await town.deliver()
    town.tell(over(incidents[0]), "closed")
    await town.deliver()
    counts = Counter(town.room().titles)
    assert len(counts) == 5
    assert sum(counts.values()) <= 6


async def test_what_waits_for_an_alert_that_is_gone_is_told_to_nobody() -> None:
    town = Town(alert("ops"))
    town.room("ops").away = True
    await town.told(incident())
    town.configure(alert("other"))
    town.room("ops").away = False
    town.configure(alert("ops"))
    town.wait(DAY)
    await town.deliver()
    assert town.room("ops").titles == town.room("other").titles == []


async def test_what_was_left_for_an_alert_that_went_during_a_restart_is_told_to_nobody() -> None:
    town = Town(alert("ops"))
    town.room("ops").away = True
    await town.told(incident())
    town.alerts_of_fleet = (alert("other"),)
    town.start()
    await town.deliver()
    assert town.room("other").titles == []
    assert not town.history.deliveries()


async def test_under_the_same_name_what_waits_goes_to_the_new_address() -> None:
    town = Town(alert("ops"))
    town.room("ops").away = True
    await town.told(incident())
    town.configure(alert("ops", url="json://new.lan/x"))
    await town.deliver()
    assert town.room("new").titles == [f"Opened: {DRIFT}"]


@pytest.mark.parametrize("restarted", [False, True])
async def test_an_alert_without_a_name_is_known_by_its_address(*, restarted: bool) -> None:
    """Its name is its place in the list, which another one has when it is taken out."""
    town = Town(alert("1", url="json://ops.lan/x"), alert("2", url="json://boss.lan/x"))
    town.room("ops").away = True
    await town.told(incident())
    town.alerts_of_fleet = (alert("1", url="json://boss.lan/x"),)
    if restarted:
        town.start()
    town.configure(*town.alerts_of_fleet)
    town.wait(HOUR)
    await town.deliver()
    assert town.room("boss").titles == [f"Opened: {DRIFT}"]


async def test_what_an_alert_no_longer_asks_for_is_not_told() -> None:
    town = Town(alert("ops"))
    town.room().away = True
    await town.told(incident())
    town.room().away = False
    town.configure(alert("ops", severity="error"))
    town.wait(HOUR)
    await town.deliver()
    assert town.room().titles == []


async def test_an_address_that_cannot_be_opened_is_trouble_until_it_can() -> None:
    town = Town()
    secret = Alert(name="ops", url={"secret": "alerts/ops"})

    def closed(name: str) -> Secret:
        raise RepositoryError("secrets/alerts/ops.age cannot be opened")

    town.alerts.configure(fleet_with(secret), closed)
    await town.told(incident())
    assert town.alerts.trouble == {"ops": "its address is not known: secrets/alerts/ops.age cannot be opened"}
    town.alerts.configure(fleet_with(secret), lambda _: Secret(b"json://ops.lan/x\n", "v1"))
    await town.deliver()
    assert town.alerts.trouble == {}
    assert town.room().titles == [f"Opened: {DRIFT}"]


def test_an_address_and_the_tokens_in_it_are_hidden_everywhere() -> None:
    Alerts(Town().history).configure(
        fleet_with(
            Alert(name="slack", url="slack://TQ1JJ3T3L2/A1BRTD4JDQ/TIiajkdnlazkcOXrIdevi7FQ/%23ops"),
            Alert(name="mail", url="mailtos://ada:hunter2secret@mail.example.org?to=ops@example.org"),
            Alert(name="bot", url="tgram://123456789:AAHfiqksKZ8WmR2zSjiQ7_v4TMAKdiHm9T0/12315544"),
            Alert(name="phone", url="ntfy://tk_AgQdq7mVBoFD37zQVN29RhuMzNIz2@push.nas.lan/alerts"),
        ),
        lambda _: Secret(b"", ""),
    )
    for token in (
        "TIiajkdnlazkcOXrIdevi7FQ",
        "A1BRTD4JDQ",
        "hunter2secret",
        "AAHfiqksKZ8WmR2zSjiQ7_v4TMAKdiHm9T0",
        "tk_AgQdq7mVBoFD37zQVN29RhuMzNIz2",
    ):
        assert token not in redact(f"could not post to {token} today"), token
    assert redact("push.nas.lan: alerts mail.example.org") == "push.nas.lan: alerts mail.example.org"


async def test_the_loop_goes_on_while_a_chat_takes_its_time_and_what_comes_late_is_not_sent_again() -> None:
    town = Town()
    release = asyncio.Event()
    loop = asyncio.get_running_loop()
    room = town.room()
    send = room.send

    def slow(message: Message) -> Receipt:
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result(10)
        return send(message)

    room.send = slow  # type: ignore[method-assign]
    running = asyncio.create_task(town.alerts.run())
    town.tell(incident())
    await asyncio.sleep(0.1)
    assert room.titles == []
    release.set()
    while not room.titles:
        await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert room.titles == [f"Opened: {DRIFT}"]
    assert next(iter(town.history.saved.values())).said == "opened"


async def test_a_chat_that_hangs_is_trouble_and_is_not_told_the_same_again_when_it_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("reconciler.alerts.route.DEADLINE", 0.05)
    town, release = Town(), threading.Event()
    room = town.room()
    send = room.send

    def hanging(message: Message) -> Receipt:
        release.wait(10)
        return send(message)

    room.send = hanging  # type: ignore[method-assign]
    running = asyncio.create_task(town.alerts.run())
    town.tell(incident())
    while "it has not answered for" not in town.alerts.trouble.get("ops", ""):
        await asyncio.sleep(0.01)
    town.wait(30)
    release.set()
    while town.alerts.trouble:
        await asyncio.sleep(0.01)
    town.wait(300)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await town.deliver()
    assert room.titles == [f"Opened: {DRIFT}"]


def test_a_host_whose_name_is_in_an_address_is_still_named() -> None:
    fleet = replace(fleet_with(alert(url="ntfy://raspberrypi4/alerts")), hosts={"raspberrypi4": HOST})
    Alerts(Town().history).configure(fleet, no_secrets)
    assert redact("drift on raspberrypi4") == "drift on raspberrypi4"


async def test_what_is_on_its_way_when_we_leave_is_noted_as_said() -> None:
    town = Town()
    running = asyncio.create_task(town.alerts.run())
    town.tell(incident())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    town.start()
    await town.deliver()
    assert town.room().titles == [f"Opened: {DRIFT}"]


async def test_run_follows_the_fleet() -> None:
    town = Town(alert("ops"))
    running = asyncio.create_task(town.alerts.run())
    await asyncio.sleep(0)
    town.configure(alert("phone"))
    town.tell(incident("a1", opened=NOON))
    while not town.room("phone").titles:
        await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert town.room("ops").titles == []
