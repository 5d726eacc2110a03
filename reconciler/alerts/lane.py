"""What one alert still has to say, in which order, and when. Pure: no clock, no chat; `outbox.py` drives it.

What is to be said about an incident is decided when it is sent, from what the chat believes and how the incident is then. So
while a chat is away, or in quiet hours, nothing piles up: what opened and closed is one message, ten updates are one, and a
reminder of what is over is none. When it is back and much has waited, one message sums it up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from desired.policies import Alert
from reconciler.alerts.choose import closings, meant, next_digest, quiet_until
from reconciler.alerts.model import Delivery, Parcel, Receipt, Saying
from reconciler.incidents.model import Incident, Telling

GAP = 1.0
"""Seconds between two messages, for the sake of the chat."""
FIRST, LONGEST, SLOWER = 5.0, 300.0, 60.0
"""Seconds until what failed is tried again: after the first time, doubled each time, and at most; where the chat asked for more
time, at least so many."""
SUM_UP, SUM_UP_AFTER, SUM_UP_AT_ONCE = 5, 3600.0, 20
"""More incidents than this that wait, the oldest for so many seconds, go out as one message; more than the last at once."""
EARLY = 6 * 3600.0
"""Seconds by which a reminder may come early in a digest: the digest of the next day is meant, not that of the day after."""
KEPT = 2 * 3600.0
"""Seconds for which is remembered that something was said to be over: it may come back."""
OLDEST = 7 * 86400.0
"""Seconds after which what could not be delivered is given up."""


@dataclass(slots=True)
class Lane:
    """One alert. Times are seconds since 1970 (`now`), waits follow the monotonic clock (`clock`)."""

    alert: Alert
    zone: ZoneInfo
    deliveries: dict[str, Delivery] = field(default_factory=dict)
    """Incident → what passes between it and this alert."""
    place: str = ""
    """How fleet.yaml gives the address, where it gives no name."""
    gap: float = GAP
    failures: int = 0
    """In a row."""
    down: float | None = None
    """Since when the chat cannot be reached."""
    problem: str = ""
    rest: float = 0.0
    """By the monotonic clock: nothing is sent before."""
    shunned: set[str] = field(default_factory=set)
    """Deliveries whose message the chat did not take: the others go first, and these in few words."""

    def change(self, alert: Alert, zone: ZoneInfo, now: float) -> list[Delivery]:
        """fleet.yaml asks for something else. What comes back is not to be told any more."""
        self.alert, self.zone = alert, zone
        unwanted = [one for one in self.deliveries.values() if one.said == "" and meant(alert, one.incident) is None]
        for delivery in unwanted:
            del self.deliveries[delivery.incident.id]
        return [delivery.model_copy(update={"ended": now}) for delivery in unwanted]

    def put(self, telling: Telling) -> Delivery | None:
        """Files what was told; what comes back has changed."""
        known = self.deliveries.get(telling.incident.id)
        incident = meant(self.alert, telling.incident)
        if known is None:
            return self._file(telling, incident) if incident is not None else None
        if incident is None:  # the alert asks for something else now: the end of what it was told of is told all the same
            incident = known.incident.model_copy(update={"closed": telling.incident.closed, "done": telling.incident.done})
        news = known.news or (telling.stage == "updated" and _larger(incident, known.incident))
        return self._keep(known.model_copy(update={"incident": incident, "news": news}), telling.at)

    def _file(self, telling: Telling, incident: Incident) -> Delivery | None:
        if incident.closed is not None and telling.stage != "opened" and set(self.alert.events) != {"recovered"}:
            return None  # this alert was never told of it, so it need not hear that it is over
        identity = f"{self.alert.name}/{incident.id}"
        filed = Delivery(id=identity, alert=self.alert.name, place=self.place, incident=incident, at=telling.at)
        return self._keep(filed, telling.at)

    def _keep(self, delivery: Delivery, now: float) -> Delivery:
        waiting = self._saying(delivery) is not None
        delivery = delivery.model_copy(update={"waiting": (delivery.waiting or now) if waiting else None})
        self.deliveries[delivery.incident.id] = delivery
        return delivery

    def _saying(self, delivery: Delivery) -> Saying | None:
        """What is to be said, reminders aside."""
        over = delivery.incident.closed is not None
        if delivery.said == "":
            return "passed" if over else "opened"
        if over:
            return "closed" if delivery.said == "opened" and closings(self.alert) else None
        if delivery.said == "closed":
            return "again"
        return "updated" if delivery.news else None

    def _reminding(self, delivery: Delivery) -> float | None:
        """When it is to be reminded of."""
        if delivery.said != "opened" or delivery.incident.closed is not None or delivery.sent is None:
            return None
        early = EARLY if self.alert.digest is not None else 0.0
        return delivery.sent + (self.alert.remind) - early

    def _due(self, delivery: Delivery, now: float) -> tuple[float, Saying] | None:
        """When the next thing is to be said about it, and what."""
        saying = self._saying(delivery)
        since = delivery.waiting
        if saying is None or since is None:
            since, saying = self._reminding(delivery), "reminded"
        if since is None:
            return None
        if saying != "reminded":
            since = min(since, now)  # the clock may have been set back
        if self.alert.digest is not None:
            return next_digest(self.alert.digest, since, self.zone), saying
        return max(since, quiet_until(self.alert, delivery.incident.severity, now, self.zone) or 0.0), saying

    def turn(self, now: float, clock: float) -> Parcel | None:
        """What is to be sent now."""
        if clock < self.rest:
            return None
        ready = [
            (delivery, due[1])
            for delivery in self.deliveries.values()
            if (due := self._due(delivery, now)) is not None and due[0] <= now
        ]
        if not ready:
            return None
        ready.sort(key=lambda one: (one[0].id in self.shunned, one[0].waiting or now, one[0].at, one[0].id))
        if self.alert.digest is not None:
            there = {delivery.id for delivery, _ in ready}
            return Parcel(tuple(ready), "digest", tuple(one for one in self._standing() if one.id not in there))
        if self._sums_up(ready, now):
            return Parcel(tuple(ready), "summary")
        return Parcel((ready[0],), "brief" if ready[0][0].id in self.shunned else "one")

    def _sums_up(self, ready: list[tuple[Delivery, Saying]], now: float) -> bool:
        reminders = sum(saying == "reminded" for _, saying in ready)
        oldest = min(delivery.waiting or now for delivery, _ in ready)
        patient = len(ready) > SUM_UP and oldest <= now - SUM_UP_AFTER
        return patient or reminders > SUM_UP or len(ready) > SUM_UP_AT_ONCE

    def _standing(self) -> list[Delivery]:
        return [one for one in self.deliveries.values() if one.said == "opened" and one.incident.closed is None]

    def wake(self, now: float, clock: float) -> float | None:
        """Seconds until `turn` may have something; None: not before something is put."""
        moments = [due[0] for delivery in self.deliveries.values() if (due := self._due(delivery, now)) is not None]
        return max(min(moments) - now, self.rest - clock, 0.0) if moments else None

    def sent(self, parcel: Parcel, now: float, clock: float) -> list[Delivery]:
        """The chat has it. What comes back has changed."""
        self.failures, self.down, self.problem, self.rest = 0, None, "", clock + self.gap
        changed = []
        for shown, _ in parcel.contents:
            current = self.deliveries.get(shown.incident.id)
            if current is None:
                continue
            self.shunned.discard(shown.id)
            update = {
                "said": "closed" if shown.incident.closed is not None else "opened",
                "sent": now,
                "waiting": None,
                "news": current.news and current.incident != shown.incident,  # it grew while this was on its way
            }
            changed.append(self._keep(current.model_copy(update=update), now))
        return changed

    def failed(self, parcel: Parcel, receipt: Receipt, now: float, clock: float) -> None:
        """The chat could not be reached, or did not take it."""
        self.failures += 1
        self.down = self.down or now
        self.problem = receipt.problem
        self.rest = clock + max(min(FIRST * 2 ** min(self.failures - 1, 16), LONGEST), SLOWER if receipt.slower else 0.0)
        if receipt.refused:
            self.shunned |= {delivery.id for delivery, _ in parcel.contents}
            if all(delivery.id in self.shunned for delivery in self.deliveries.values() if delivery.waiting is not None):
                self.shunned = {delivery.id for delivery, _ in parcel.contents}

    def tidy(self, now: float) -> tuple[list[Delivery], int]:
        """Forgets what is over and what is too old. What comes back has ended; and how many were never delivered."""
        ended, lost = [], 0
        for delivery in list(self.deliveries.values()):
            too_old = delivery.waiting is not None and delivery.waiting <= now - OLDEST
            over = delivery.waiting is None and delivery.incident.closed is not None
            if too_old or (over and max(delivery.sent or 0.0, delivery.incident.closed or 0.0) <= now - KEPT):
                del self.deliveries[delivery.incident.id]
                self.shunned.discard(delivery.id)
                ended.append(delivery.model_copy(update={"ended": now}))
                lost += too_old
        return ended, lost


def _larger(after: Incident, before: Incident) -> bool:
    """Whether there is more of it than before. That a part of it is over is told with the rest."""
    return not {(one.host, one.ref) for one in after.open_members} <= {(one.host, one.ref) for one in before.open_members}
