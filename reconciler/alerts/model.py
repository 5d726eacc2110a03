"""What one alert has been told of one incident, and what a chat is sent.

    Telling ──choose.py──▶ Delivery ──lane.py──▶ Parcel ──words.py, digest.py──▶ Message ──deliver.py──▶ chat

A `Delivery` is not one message: it is all that passes between one alert of fleet.yaml and one incident, from its opening to
some time after its end. What is to be said next follows from it and from the clock, so nothing that is overtaken is ever sent:
a chat that was away while something opened, grew and closed is told so in one message. `reconciler/history/` keeps it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from providers.base import Model
from reconciler.incidents.model import Incident, Severity

TITLE, BODY = 80, 1500
"""Characters of a message that nearly every chat takes in one piece; for the others `deliver.py` has it cut."""

Said = Literal["", "opened", "closed"]
Saying = Literal["opened", "passed", "updated", "reminded", "closed", "again"]
"""opened: the first word · passed: the first word, about something that is over already · updated: it grew · reminded: it is
still there · closed: it is over · again: it came back after it was said to be over."""


class Delivery(Model):
    """One alert and one incident."""

    id: str
    """`ALERT/INCIDENT`: there is one for each pair."""
    alert: str
    place: str = ""
    """How fleet.yaml gives the address of an alert without a name of its own; never the address itself."""
    incident: Incident
    """As it was when the alert was last given it, without what no message would show."""
    at: float
    """When it was filed. Seconds since 1970, as all times here."""
    waiting: float | None = None
    """Since when something waits to be said; None: all is said."""
    said: Said = ""
    """What the chat believes."""
    sent: float | None = None
    """When the last message about it went out."""
    news: bool = False
    """Whether it grew since."""
    ended: float | None = None
    """When there was nothing more to be said about it; it need not be read back then."""


@dataclass(frozen=True, slots=True)
class Message:
    """What a chat is sent: plain text in which nothing can be triggered (`harmless.py`)."""

    title: str
    body: str
    severity: Severity = "info"
    over: bool = False
    """Good news: the chat may show it green."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What came of sending a message."""

    ok: bool
    problem: str = ""
    """What went wrong, in words that name no address."""
    refused: bool = False
    """The chat answered, and did not like this very message."""
    login: bool = False
    """The chat answered that it does not know us any more."""
    slower: bool = False
    """The chat asks for more time between messages."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """What goes out in one message."""

    contents: tuple[tuple[Delivery, Saying], ...]
    kind: Literal["one", "brief", "summary", "digest"] = "one"
    standing: tuple[Delivery, ...] = ()
    """Of a digest: what was told of before, and still stands."""
