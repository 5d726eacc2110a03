"""Incidents to tell, a chat that remembers, a history in memory and a clock that is set by hand."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import time as clock_time
from typing import Any
from zoneinfo import ZoneInfo

from desired.model import Fleet
from desired.policies import Alert, Policies, Quiet
from providers.secret import Secret
from reconciler.alerts.model import Delivery, Message, Receipt
from reconciler.alerts.outbox import Alerts
from reconciler.incidents.model import Incident, Member, Stage, Telling

PARIS = ZoneInfo("Europe/Paris")
NOON = 1795172520.0
"""Friday, 20 November 2026, 12:02 in Paris."""
HOUR, DAY = 3600.0, 86400.0


def member(host: str = "nas", ref: str = "file:/etc/motd", what: str = "its content differs", **more: Any) -> Member:
    return Member(host=host, ref=ref, what=what, **({"since": NOON, "seen": NOON} | more))


def incident(name: str = "a1", *members: Member, **more: Any) -> Incident:
    given: dict[str, Any] = {"event": "drift", "opened": NOON, "touched": NOON, "members": members or (member(),)} | more
    return Incident(id=name, **given)


def over(one: Incident, at: float = NOON + 480, how: str = "healed", done: str = "put right") -> Incident:
    members = tuple(each.model_copy(update={"ended": at, "how": how}) for each in one.members)
    return one.model_copy(update={"closed": at, "members": members, "done": done})


def flood(hosts: int = 50, resources: int = 20) -> Incident:
    members = [member(f"web{host}", f"file:/etc/conf{number}") for host in range(hosts) for number in range(resources)]
    return incident("flood", *members)


def alert(name: str = "ops", **settings: Any) -> Alert:
    if quiet := settings.get("quiet"):
        start, end, *unless = quiet
        grave = {"unless": unless[0]} if unless else {}
        settings["quiet"] = Quiet.model_validate(
            {"from": clock_time.fromisoformat(start), "to": clock_time.fromisoformat(end)} | grave
        )
    if digest := settings.get("digest"):
        settings["digest"] = clock_time.fromisoformat(digest)
    return Alert(**({"name": name, "url": f"json://{name}.lan/x"} | settings))


def fleet_with(*alerts: Alert) -> Fleet:
    return Fleet(commit=None, hosts={}, alerts=alerts, policies=Policies(timezone=PARIS))


def no_secrets(name: str) -> Secret:
    raise AssertionError(f"{name} was asked for")


@dataclass
class MemoryHistory:
    """What the history does for alerts, in memory; it outlives the process that a test lets die."""

    saved: dict[str, Delivery] = field(default_factory=dict)
    incidents: dict[str, Incident] = field(default_factory=dict)
    trouble: str | None = None
    before_save: Callable[[], None] = lambda: None

    def save_delivery(self, delivery: Delivery) -> None:
        self.before_save()
        self.saved[delivery.id] = Delivery.model_validate_json(delivery.model_dump_json())

    def deliveries(self) -> Collection[Delivery]:
        return [one for one in self.saved.values() if one.ended is None]

    def open_incidents(self) -> Collection[Incident]:
        return [one for one in self.incidents.values() if one.closed is None]

    def flush(self, timeout: float = 10.0) -> bool:
        return True


@dataclass
class ChatRoom:
    """A chat that takes messages unless it is told to do something else."""

    messages: list[Message] = field(default_factory=list)
    answers: list[Receipt] = field(default_factory=list)
    """For the next messages; then it takes everything."""
    away: bool = False
    attempts: int = 0

    def send(self, message: Message) -> Receipt:
        self.attempts += 1
        answer = Receipt(ok=False, problem="it does not answer") if self.away else Receipt(ok=True)
        if self.answers:
            answer = self.answers.pop(0)
        if answer.ok:
            self.messages.append(message)
        return answer

    @property
    def titles(self) -> list[str]:
        return [message.title for message in self.messages]


class Town:
    """An outbox with its chats, and time that passes when the test says so."""

    def __init__(self, *alerts: Alert, now: float = NOON) -> None:
        self.now, self.passed = now, 0.0
        self.history = MemoryHistory()
        self.rooms: dict[str, ChatRoom] = {}
        self.alerts_of_fleet: Sequence[Alert] = alerts or (alert(),)
        self.start()

    def start(self) -> None:
        """A new process: nothing is left of the one before but the history."""
        self.alerts = Alerts(
            self.history, deliver=self.open_chat, now=lambda: self.now, clock=lambda: time.monotonic() + self.passed, gap=0.0
        )
        self.configure(*self.alerts_of_fleet)

    def open_chat(self, url: str) -> ChatRoom:
        return self.rooms.setdefault(url, ChatRoom())

    def configure(self, *alerts: Alert) -> None:
        self.alerts_of_fleet = alerts
        self.alerts.configure(fleet_with(*alerts), no_secrets)

    def room(self, name: str = "ops") -> ChatRoom:
        return self.open_chat(f"json://{name}.lan/x")

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.passed += seconds

    def tell(self, one: Incident, stage: Stage = "opened") -> None:
        self.alerts.put(Telling(one, stage, self.now))
        self.history.incidents[one.id] = one

    async def deliver(self) -> None:
        """Everything that can be sent now, as fast as the chat allows."""
        await self.alerts.flush(5)

    async def told(self, one: Incident, stage: Stage = "opened") -> None:
        self.tell(one, stage)
        await self.deliver()
