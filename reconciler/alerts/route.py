"""The way to one chat: its address, its lane, and the thread in which a message is on its way. Made and driven by `outbox.py`.

One message at a time. A call that takes longer than its deadline counts as failed, and is not repeated while it may still come
to a good end: a slow chat gets a message late, not twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from desired.model import RepositoryError
from desired.policies import Alert
from providers.secret import Secret
from reconciler import log
from reconciler.alerts.deliver import AddressError, Chat, conceal
from reconciler.alerts.digest import message_of
from reconciler.alerts.lane import Lane
from reconciler.alerts.model import Delivery, Message, Parcel, Receipt
from reconciler.alerts.words import moment
from reconciler.text import plural

DEADLINE = 30.0
"""Seconds for one message."""
ABANDONED = 600.0
"""Seconds after which a call that never came back is left to itself."""
LOOK = 60.0
"""Seconds after which the clock is looked at again: it may have been set."""
ANEW = 3
"""After so many failures in a row the chat is opened anew: a login may have ended."""

OpenChat: TypeAlias = Callable[[str], Chat]


@dataclass(frozen=True, slots=True)
class Address:
    """Where an alert goes, or why that is not known."""

    url: str | None
    problem: str = ""
    place: str = ""
    """Tells one address from another where an alert has no name: not the address, nor enough to find it out by trying."""


def address_of(alert: Alert, open_secret: Callable[[str], Secret], *, named: bool = True) -> Address:
    """`named`: fleet.yaml gives the alert a name of its own, under which it may move to another address."""
    if isinstance(alert.url, str):
        conceal(alert.url)
        place = "" if named else f"url:{hashlib.sha256(alert.url.encode()).hexdigest()[:4]}"
        return Address(alert.url, place=place)
    secret = alert.url["secret"]
    place = "" if named else f"secret:{secret}"
    try:
        url = open_secret(secret).text().strip()
    except RepositoryError as error:
        return Address(None, f"its address is not known: {error}", place)
    except UnicodeDecodeError:
        return Address(None, f"its address is not known: the secret {secret} is no text", place)
    conceal(url)
    return Address(url, place=place)


@dataclass(slots=True)
class _Flight:
    """A message on its way."""

    parcel: Parcel
    began: float
    done: asyncio.Future[Receipt]


class Line:
    """The chat as its thread sees it. Opened there too: what opens or ends a login may talk to a server."""

    def __init__(self, open_chat: OpenChat) -> None:
        self._open_chat = open_chat
        self._chat: Chat | None = None
        self._opened = ""

    def send(self, url: str, message: Message, *, anew: bool = False) -> Receipt:
        if self._chat is None or self._opened != url or anew:
            self._chat = None  # which ends its login before the next one begins
            try:
                self._chat, self._opened = self._open_chat(url), url
            except AddressError as error:
                return Receipt(ok=False, problem=str(error))
        return self._chat.send(message)


class Route:
    """One alert of the fleet that is in force."""

    def __init__(
        self,
        lane: Lane,
        open_chat: OpenChat,
        save: Callable[[Iterable[Delivery]], None],
        now: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self.lane = lane
        self._address = Address(None)
        self._line = Line(open_chat)
        self._save = save
        self._now, self._clock = now, clock
        self._stirred = asyncio.Event()
        self._flight: _Flight | None = None
        self._anew = False

    @property
    def trouble(self) -> str:
        """Why it cannot be told anything now; empty: it can, or nothing was tried yet."""
        if self._address.problem:
            return self._address.problem
        if self.lane.down is None:
            return ""
        waiting = sum(one.waiting is not None for one in self.lane.deliveries.values())
        since = moment(self.lane.down, self._now(), self.lane.zone)
        return f"since {since} {self.lane.problem}; {plural(waiting, 'incident')} to be told"

    @property
    def settled(self) -> bool:
        """Nothing more will come of waiting: nothing is to be sent, or it failed and is to be tried later."""
        if self._flight is not None:
            return False
        wake = self.lane.wake(self._now(), self._clock())
        return self._address.url is None or wake is None or wake > (0.0 if self.lane.failures else DEADLINE)

    def turn_to(self, address: Address) -> None:
        if address != self._address:
            self._address = address
            self.lane.rest, self.lane.failures = 0.0, 0
            if address.problem:
                log.warning(f"alert {self.lane.alert.name}: {address.problem}")
            self.wake()

    def wake(self) -> None:
        self._stirred.set()

    async def step(self) -> bool:
        """Sends what is to be sent now, or waits until there is something. Whether something was taken."""
        if self._tidy():
            return False
        parcel = self.lane.turn(self._now(), self._clock()) if self._address.url is not None else None
        if parcel is None and self._flight is None:
            self._stirred.clear()
            wake = self.lane.wake(self._now(), self._clock()) if self._address.url is not None else None
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stirred.wait(), LOOK if wake is None else min(wake, LOOK))
            return False
        if self._flight is None and parcel is not None:
            self._depart(parcel)
        return await self._arrive(DEADLINE)

    def _tidy(self) -> bool:
        ended, lost = self.lane.tidy(self._now())
        self._save(ended)
        if lost:
            name, incidents = self.lane.alert.name, plural(lost, "incident")
            log.error(f"alert {name}: {incidents} could not be told for a week, and never will be")
        return bool(ended)

    def _depart(self, parcel: Parcel) -> None:
        """Begins to send."""
        message = message_of(parcel, self._now(), self.lane.zone)
        line, url, anew, self._anew = self._line, self._address.url or "", self._anew, False
        done = in_thread(f"alert {self.lane.alert.name}", lambda: line.send(url, message, anew=anew))
        self._flight = _Flight(parcel, self._clock(), done)

    async def _arrive(self, within: float) -> bool:
        flight = self._flight
        if flight is None:
            return False
        await asyncio.wait({flight.done}, timeout=within)
        now, clock = self._now(), self._clock()
        if not flight.done.done():
            if clock - flight.began > ABANDONED:
                self._flight, self._anew = None, True
            self._failed(flight.parcel, Receipt(ok=False, problem=f"it has not answered for {int(clock - flight.began)} s"))
            return False
        self._flight = None
        receipt = flight.done.result()
        if not receipt.ok:
            self._failed(flight.parcel, receipt)
            return False
        if self.lane.down is not None:
            log.info(f"alert {self.lane.alert.name}: can be told again")
        self._save(self.lane.sent(flight.parcel, now, clock))
        return True

    def _failed(self, parcel: Parcel, receipt: Receipt) -> None:
        first = self.lane.down is None
        self.lane.failed(parcel, receipt, self._now(), self._clock())
        self._anew = self._anew or receipt.login or self.lane.failures % ANEW == 0
        (log.warning if first else log.debug)(f"alert {self.lane.alert.name}: {receipt.problem}; it is tried again")

    async def farewell(self, within: float) -> None:
        """At the end: notes what still arrives."""
        if self._flight is not None:
            await self._arrive(within)


def in_thread(name: str, call: Callable[[], Receipt]) -> asyncio.Future[Receipt]:
    """The receipt of `call`, in a thread that ends with the process: a chat that hangs keeps nobody from leaving."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Receipt] = loop.create_future()

    def work() -> None:
        receipt = Receipt(ok=False, problem="the program that talks to it has failed")  # it stays so if that raises
        try:
            receipt = call()
        finally:
            with contextlib.suppress(RuntimeError):  # the loop is gone
                loop.call_soon_threadsafe(_settle, done, receipt)

    threading.Thread(target=work, name=name, daemon=True).start()
    return done


def _settle(done: asyncio.Future[Receipt], receipt: Receipt) -> None:
    if not done.cancelled():
        done.set_result(receipt)
