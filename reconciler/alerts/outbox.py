"""Gets what the desk of incidents tells to the chats of fleet.yaml, across their failures and our own restarts.

Made by the loop's service: `configure` whenever another fleet is in force, `put` for whatever the desk tells, `run` as a task.
Each alert has a route of its own (`route.py`): a chat that hangs delays nobody else.

What passes between an alert and an incident is mirrored to the history when it is filed, and again once a message was taken. A
controller that is killed between a chat's "yes" and that second note says the same again: of two mistakes that cannot both be
excluded, a message twice is better than none. It is one message for each alert at most, because the next one is not sent
before the note of the last has been written.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Protocol
from zoneinfo import ZoneInfo

from desired.model import Fleet
from desired.policies import Alert
from providers.secret import Secret, open_to_all
from reconciler.alerts.deliver import apprise_chat
from reconciler.alerts.lane import GAP, Lane
from reconciler.alerts.model import Delivery
from reconciler.alerts.route import Address, OpenChat, Route, address_of
from reconciler.incidents.model import Incident, Telling

FAREWELL = 5.0
"""Seconds for which messages that are on their way are waited for at the end."""
EARLY = 1000
"""Incidents that are kept while it is not known whom to tell."""
WRITTEN = 2.0
"""Seconds for which the history is waited for."""


class Mirror(Protocol):
    """What is needed of the history."""

    trouble: str | None

    def save_delivery(self, delivery: Delivery) -> None: ...
    def deliveries(self) -> Collection[Delivery]: ...
    def open_incidents(self) -> Collection[Incident]: ...
    def flush(self, timeout: float = ...) -> bool: ...


class Alerts:
    """All alerts of the fleet. Everything but the talking to chats happens on the event loop's own thread."""

    def __init__(
        self,
        history: Mirror,
        *,
        deliver: OpenChat = apprise_chat,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        gap: float = GAP,
    ) -> None:
        """`deliver` opens a chat for an address. `gap`: seconds between two messages to one chat."""
        self._history = history
        self._deliver = deliver
        self._now, self._clock, self._gap = now, clock, gap
        self._routes: dict[str, Route] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._before = self._left_over()
        self._early: dict[str, Telling] | None = {}
        """What was told before any fleet was in force, by incident; None once one is."""

    @property
    def trouble(self) -> Mapping[str, str]:
        """Alert → why it cannot be told anything now. Who is not in it can be reached, as far as is known."""
        return {name: route.trouble for name, route in self._routes.items() if route.trouble}

    def _left_over(self) -> dict[str, list[Delivery]]:
        """What an earlier process had not finished, by alert. An incident that is not open any more, and whose end was never
        told here, ended while nobody looked."""
        is_open = {incident.id for incident in self._history.open_incidents()}
        told = self._history.deliveries()
        readable = self._history.trouble is None  # what could not be read is not over
        now = self._now()
        found: dict[str, list[Delivery]] = {}
        for delivery in told:
            one = delivery
            if readable and one.incident.closed is None and one.incident.id not in is_open:
                if one.said == "":
                    self._save([one.model_copy(update={"ended": now})])  # it never came to be
                    continue
                ended = one.incident.model_copy(update={"closed": now})
                one = one.model_copy(update={"incident": ended, "waiting": one.waiting or now})
            found.setdefault(one.alert, []).append(one)
        return found

    def configure(self, fleet: Fleet, open_secret: Callable[[str], Secret]) -> None:
        """The alerts of the fleet that is in force from now on. What waits for one that is gone is told to nobody; what waits
        for one that moved goes to its new address. `open_secret`: from the NAME of {secret: NAME} to its value; raises
        `RepositoryError`."""
        now, zone = self._now(), fleet.policies.timezone
        wanted = {
            alert.name: (alert, address_of(alert, open_secret, named=alert.name != str(place)))
            for place, alert in enumerate(fleet.alerts, start=1)
        }
        open_to_all([*fleet.hosts, *fleet.projects])  # a chat's address may hold a host's name
        for name in self._routes.keys() - wanted.keys():
            self._forget(self._routes.pop(name).lane.deliveries.values(), now)
        for name in self._before.keys() - wanted.keys():
            self._forget(self._before.pop(name), now)
        for name, (alert, address) in wanted.items():
            self._configure(name, alert, address, zone, now)
        early, self._early = self._early or {}, None
        for telling in early.values():
            self.put(telling)
        self._changed.set()

    def _configure(self, name: str, alert: Alert, address: Address, zone: ZoneInfo, now: float) -> None:
        route = self._routes.get(name)
        if route is None or route.lane.place != address.place:  # a place in the list at which another address stands now
            if route is not None:
                self._forget(route.lane.deliveries.values(), now)
            lane = Lane(alert, zone, place=address.place, gap=self._gap)
            lane.deliveries = {one.incident.id: one for one in self._before.get(name, ()) if one.place == address.place}
            self._forget((one for one in self._before.pop(name, ()) if one.place != address.place), now)
            stale = self._tasks.pop(name, None)
            if stale is not None:
                stale.cancel()
            route = self._routes[name] = Route(lane, self._deliver, self._save, self._now, self._clock)
        self._save(route.lane.change(alert, zone, now))
        route.turn_to(address)

    def put(self, telling: Telling) -> None:
        """Files what is to be told, for every alert that wants to know."""
        if self._early is not None:
            first = self._early.pop(telling.incident.id, telling)
            self._early[telling.incident.id] = replace(telling, stage=first.stage)
            while len(self._early) > EARLY:
                del self._early[next(iter(self._early))]
            return
        for route in self._routes.values():
            delivery = route.lane.put(telling)
            if delivery is not None:
                self._save([delivery])
                route.wake()

    def _save(self, deliveries: Iterable[Delivery]) -> None:
        for delivery in deliveries:
            self._history.save_delivery(delivery)

    def _forget(self, deliveries: Iterable[Delivery], now: float) -> None:
        self._save(delivery.model_copy(update={"ended": now}) for delivery in deliveries)

    async def run(self) -> None:
        """Delivers for ever. Cancelled, it waits a moment for what is on its way."""
        try:
            while True:
                self._changed.clear()
                self._tend()
                await self._changed.wait()
        finally:
            tasks, self._tasks = list(self._tasks.values()), {}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(*(route.farewell(FAREWELL) for route in self._routes.values()))

    def _tend(self) -> None:
        """One task for each alert, and none for those that are gone."""
        for name in self._tasks.keys() - self._routes.keys():
            self._tasks.pop(name).cancel()
        for name, route in self._routes.items():
            if name not in self._tasks:
                self._tasks[name] = asyncio.create_task(self._serve(route), name=f"alert {name}")

    async def _serve(self, route: Route) -> None:
        while True:
            await self._step(route)

    async def _step(self, route: Route) -> None:
        if await route.step():
            await asyncio.to_thread(self._history.flush, WRITTEN)

    async def flush(self, within: float = 60.0) -> None:
        """For one pass of the loop, instead of `run`: sends what is to be sent now. What fails waits in the history for the
        next pass."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await asyncio.gather(*(self._drain(route) for route in self._routes.values()))
        await asyncio.gather(*(route.farewell(FAREWELL) for route in self._routes.values()))

    async def _drain(self, route: Route) -> None:
        while not route.settled:
            await self._step(route)
