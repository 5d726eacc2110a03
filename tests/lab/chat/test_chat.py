"""Incidents as people read them in real chats: every message is read back from the server, by its own interface."""

# ruff: noqa: RUF001  characters that look like others are what this is about

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable

from reconciler.alerts.model import BODY, TITLE
from reconciler.incidents.model import Incident, Member
from tests.lab.chat.conftest import Outbox
from tests.lab.chat.servers import ChatServer

HOUR, DAY = 3600.0, 86400.0
DRIFT = "drift of file:/etc/motd on nas"
HOSTILE = (
    "@everyone @room <!channel> <@U1> <script>alert(1)</script> <b>bold</b> [here](http://evil.com/x) https://evil.com "
    "`code` **bold** &lt;i&gt; \x1b[31mred \u202egnihtyreve #channel :fire:\r\n# Over: all is well"
)


def member(host: str = "nas", ref: str = "file:/etc/motd", **more: object) -> Member:
    given = {"host": host, "ref": ref, "what": "its content differs", "since": time.time(), "seen": time.time()}
    return Member.model_validate(given | more)


def incident(name: str = "a1", *members: Member, **more: object) -> Incident:
    now = time.time()
    given = {"id": name, "event": "drift", "opened": now, "touched": now, "members": members or (member(),)}
    return Incident.model_validate(given | more)


def over(one: Incident) -> Incident:
    end = time.time()
    members = tuple(each.model_copy(update={"ended": end, "how": "healed"}) for each in one.members)
    return one.model_copy(update={"closed": end, "members": members, "done": "put right"})


async def test_an_incident_is_opened_reminded_of_and_closed(outbox: Outbox) -> None:
    outbox.tell(incident("a1", member(lines=("-welcome", "+hacked"))))
    await outbox.deliver()
    outbox.ahead += DAY + 1
    await outbox.deliver()
    outbox.tell(over(incident()), "closed")
    await outbox.deliver()
    assert outbox.titles == [f"Opened: {DRIFT}", f"Still: {DRIFT}", f"Over: {DRIFT}"]
    assert "its content differs\n│ -welcome\n│ +hacked\nNext: reconcile why file:/etc/motd --host nas" in outbox.said[0]
    assert outbox.said[2].endswith("Done: put right")


async def test_a_thousand_drifts_on_fifty_hosts_are_one_message(outbox: Outbox) -> None:
    members = [member(f"web{host}", f"file:/etc/conf{number}") for host in range(50) for number in range(20)]
    outbox.tell(incident("flood", *members))
    await outbox.deliver()
    (said,) = outbox.said
    assert said.startswith("Opened: drift of 1000 resources on 50 hosts\n")
    assert "and 600 more; reconcile drift shows them" in said
    assert len(said) <= TITLE + BODY


async def test_whatever_a_host_says_triggers_nothing(outbox: Outbox) -> None:
    outbox.tell(incident("a1", member(what=HOSTILE, lines=(HOSTILE, "# not a heading"), evidence=(HOSTILE,), hint=HOSTILE)))
    await outbox.deliver()
    (said,) = outbox.server.said(outbox.room)
    assert not re.search(r"[<>`*\x00-\x08\x1b\u202e]|(?<![a-z])@\w|(?<!\[)://|\]\(|evil\.com|:fire:|#channel|&lt;", said.text)
    assert not set(said.raw) & {
        "formatted_body",
        "format",
        "m.mentions",
        "click",
        "actions",
        "attachment",
        "icon",
        "content_type",
    }
    lines = said.text.removeprefix("# ").splitlines()
    assert not [line for line in lines if line.startswith(("#", "Over"))], "a host has begun a line of its own"
    assert "‹script›alert(1)‹/script›" in said.text


async def test_a_chat_that_was_down_hears_everything_afterwards_and_once(outbox: Outbox) -> None:
    """We are restarted in between, so what waits comes from the disk."""
    first, second = incident("a1"), incident("a2", member("web1"))
    outbox.tell(first)
    await outbox.deliver()
    outbox.server.stop()
    outbox.tell(over(first), "closed")
    outbox.tell(second)
    await outbox.deliver()
    assert "does not answer" in outbox.alerts.trouble["ops"]
    for hosts in (2, 3, 4):
        outbox.ahead += 600
        outbox.tell(incident("a2", *(member(f"web{number}") for number in range(1, hosts))), "updated")
    outbox.tell(incident("a3", member("db")))
    outbox.tell(over(incident("a3", member("db"))), "closed")
    outbox.stop()
    outbox.start()
    await outbox.deliver()
    outbox.server.start()
    outbox.ahead += 600
    await outbox.deliver()
    outbox.ahead += 600
    await outbox.deliver()
    assert outbox.titles == [
        f"Opened: {DRIFT}",
        f"Over: {DRIFT}",
        "Opened: drift of file:/etc/motd on 3 hosts",
        "Opened and over: drift of file:/etc/motd on db",
    ]
    assert outbox.alerts.trouble == {}


async def test_what_piled_up_in_an_hour_is_one_summary(outbox_of: Callable[..., Outbox], ntfy: ChatServer) -> None:
    outbox = outbox_of("12:00", ntfy)
    outbox.server.stop()
    for number in range(8):
        outbox.tell(incident(f"a{number}", member(f"web{number}")))
    await outbox.deliver()
    outbox.server.start()
    outbox.ahead += HOUR + 1
    await outbox.deliver()
    (said,) = outbox.said
    assert said.startswith("Summary: 8 incidents, 8 new\nNew:\n· drift of file:/etc/motd on web0 (since ")


async def test_the_loop_sends_by_itself_when_the_chat_is_back(outbox_of: Callable[..., Outbox], ntfy: ChatServer) -> None:
    outbox = outbox_of("12:00", ntfy)
    outbox.server.stop()
    running = asyncio.create_task(outbox.alerts.run())
    outbox.tell(incident())
    while not outbox.alerts.trouble:
        await asyncio.sleep(0.05)
    outbox.server.start()
    outbox.ahead += 10
    end = time.monotonic() + 20
    while not outbox.titles and time.monotonic() < end:
        await asyncio.sleep(0.2)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert outbox.titles == [f"Opened: {DRIFT}"]


async def test_quiet_hours_keep_what_is_not_grave_until_the_morning(outbox_of: Callable[..., Outbox]) -> None:
    outbox = outbox_of("23:00", quiet=("22:00", "07:00"))
    outbox.tell(incident())
    outbox.tell(incident("a2", member("web1", "", what="it does not answer"), event="unreachable", severity="error"))
    await outbox.deliver()
    assert outbox.titles == ["Opened: web1 unreachable"]
    outbox.ahead += 8 * HOUR + 60
    await outbox.deliver()
    assert outbox.titles[1:] == [f"Opened: {DRIFT}"]


async def test_a_digest_is_one_message_in_the_morning(outbox_of: Callable[..., Outbox]) -> None:
    outbox = outbox_of("12:00", digest="08:00")
    outbox.tell(incident())
    outbox.tell(incident("a2", member("web1")))
    outbox.tell(over(incident("a2", member("web1"))), "closed")
    await outbox.deliver()
    assert outbox.titles == []
    outbox.ahead += 20 * HOUR + 60
    await outbox.deliver()
    outbox.ahead += 10 * HOUR
    await outbox.deliver()
    (said,) = outbox.said
    assert said.startswith("Digest: 2 incidents, 1 new, 1 over\nNew:\n· drift of file:/etc/motd on nas (since ")
