"""Words many incidents in one message: the digest of a day, and the summary after a chat was away.

Called by `outbox.py` for every parcel; one incident alone is worded by `words.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from zoneinfo import ZoneInfo

from reconciler.alerts.choose import GRAVITY
from reconciler.alerts.harmless import harmless_name
from reconciler.alerts.model import BODY, TITLE, Delivery, Message, Parcel, Saying
from reconciler.alerts.words import brief, lasted, message, moment, subject
from reconciler.incidents.model import Severity
from reconciler.text import plural, shorten

_ROOM = 200
"""Characters that are kept free for what stands at the end."""


def message_of(parcel: Parcel, now: float, zone: ZoneInfo) -> Message:
    """What goes out for a parcel, as things are now."""
    delivery, saying = parcel.contents[0]
    if parcel.kind == "one":
        return message(delivery, saying, now, zone)
    if parcel.kind == "brief":
        return brief(delivery, saying, now, zone)
    return _list_of(parcel, now, zone)


def _list_of(parcel: Parcel, now: float, zone: ZoneInfo) -> Message:
    over = [pair for pair in parcel.contents if pair[1] in {"closed", "passed"}]
    still = [pair for pair in parcel.contents if pair[1] == "reminded"] + [(one, "reminded") for one in parcel.standing]
    new = [pair for pair in parcel.contents if pair not in over and pair not in still]
    counts = [f"{len(pairs)} {word}" for pairs, word in ((new, "new"), (still, "still open"), (over, "over")) if pairs]
    what = "Digest" if parcel.kind == "digest" else "Summary"
    title = f"{what}: {plural(len(parcel.contents) + len(parcel.standing), 'incident')}, {', '.join(counts)}"
    parts = (("New", new), ("Still open", still), ("Over", over))
    severity = _gravest([delivery for delivery, _ in (*new, *still)] or [delivery for delivery, _ in over])
    return Message(shorten(title, TITLE), _body(parts, now, zone), severity, over=not new and not still)


def _gravest(deliveries: Iterable[Delivery]) -> Severity:
    return max((one.incident.severity for one in deliveries), key=lambda severity: GRAVITY[severity])


def _body(parts: Sequence[tuple[str, Sequence[tuple[Delivery, Saying]]]], now: float, zone: ZoneInfo) -> str:
    """A line for each, the gravest first in each part, as long as there is room; the rest is counted."""
    lines: list[str] = []
    room, left = BODY - _ROOM, 0
    for heading, pairs in parts:
        if not pairs:
            continue
        lines.append(f"{heading}:")
        for delivery, saying in sorted(pairs, key=_order):
            line = f"· {_line(delivery, saying, now, zone)}"
            room -= len(line) + 1
            if room < 0:
                left += 1
            else:
                lines.append(line)
    if left:
        lines.append(f"and {left} more; reconcile status and reconcile drift show what is open")
    elif any(pairs for heading, pairs in parts if heading != "Over"):
        lines.append("Next: reconcile status")
    return "\n".join(lines)


def _order(pair: tuple[Delivery, Saying]) -> tuple[int, float]:
    return -GRAVITY[pair[0].incident.severity], pair[0].incident.opened


def _line(delivery: Delivery, saying: Saying, now: float, zone: ZoneInfo) -> str:
    incident = delivery.incident
    when = moment(incident.opened, now, zone)
    if incident.event == "deployed":
        time = when
    elif incident.closed is not None:
        time = f"{when}, {lasted(incident.closed - incident.opened)}"
    else:
        time = f"since {when}"
    again = "again: " if saying == "again" else ""
    return f"{again}{shorten(harmless_name(subject(incident)), 120)} ({time})"
