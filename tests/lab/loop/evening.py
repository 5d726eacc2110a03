"""What is left of a day, and whether it is what it should be: incidents, messages, explanations, secrets.

The history is read with sqlite3 and as JSON, the messages as the rooms got them; what they should be follows from what the day
itself noted (`day.py`). Each function answers what is wrong, in words.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from tests.lab.loop.controller import Controller
from tests.lab.loop.day import Cause, Event
from tests.lab.loop.room import Message, Room

Incident: TypeAlias = dict[str, Any]

SILENT = ("unreachable", "source", "held")
"""What is over before it was told is not told at all."""
OPENINGS, CLOSINGS = ("Opened", "Opened and over"), ("Over", "Opened and over")


def incidents(state: Path) -> list[Incident]:
    with sqlite3.connect(f"file:{state / 'history.db'}?mode=ro", uri=True) as database:
        rows = database.execute("SELECT body, id, event, closed FROM incidents ORDER BY opened").fetchall()
    database.close()
    return [json.loads(body) | {"id": name, "event": event, "closed": closed} for body, name, event, closed in rows]


def still_open(found: Iterable[Incident]) -> list[str]:
    """Incidents of which people would still hear. One that came back quietly after its closing was told is not among them."""
    return [f"{one['event']} {one['id']}: {_names(one)}" for one in found if one["closed"] is None and not _settled(one)]


def _settled(one: Incident) -> bool:
    silent = one["said"] == "closed" or (one["told"] is None and one["event"] in SILENT)
    return silent and not _open(one)


def _open(one: Incident) -> list[dict[str, Any]]:
    return [member for member in one["members"] if member["ended"] is None]


def _names(one: Incident) -> str:
    return ", ".join(sorted(f"{member['host']} {member['ref']}" for member in one["members"]))


def wrong_incidents(found: Sequence[Incident], causes: Sequence[Cause]) -> list[str]:
    """Every member has a cause that we know, and what was changed by hand is in one incident, and in no second one."""
    known = {(cause.event, cause.host, cause.ref) for cause in causes}
    members = Counter((one["event"], member["host"], member["ref"]) for one in found for member in one["members"])
    wrong = [f"an incident without a cause: {member}" for member in members if member not in known]
    for cause in causes:
        times = members[cause.event, cause.host, cause.ref]
        if cause.by_hand and times != 1:
            wrong.append(f"{cause} stands in {times} incidents")
    return wrong


def event_of(message: Message) -> Event:
    """From the words of its title."""
    words = (("drift of", "drift"), ("unreachable", "unreachable"), ("failed", "failed"), ("held back", "held"))
    return next((event for part, event in words if part in message.title), "source")


def wrong_messages(room: Room, found: Sequence[Incident], events: Iterable[Event]) -> list[str]:
    """For each incident that was told one opening and one closing, whatever was killed and whoever was away."""
    wrong = []
    said: dict[Event, Counter[str]] = {}
    for message in room.messages:
        said.setdefault(event_of(message), Counter())[message.title.partition(":")[0]] += 1
    for event in events:
        told = [one for one in found if one["event"] == event and one["told"] is not None]
        counts = said.pop(event, Counter())
        openings = sum(counts[word] for word in OPENINGS)
        closings = sum(counts[word] for word in CLOSINGS)
        if openings != len(told):
            wrong.append(f"{openings} openings for {len(told)} incidents of {event}: {dict(counts)}")
        if closings != openings + counts["Again"]:
            wrong.append(f"{closings} closings for {openings} openings of {event}: {dict(counts)}")
    return wrong + [f"messages that nobody asked for: {said}"] * bool(said)


def unexplained(controller: Controller, causes: Sequence[Cause]) -> list[str]:
    """`reconcile why` names a commit and a person for whatever was done; what was changed by hand was put right as drift."""
    history = controller.reconcile("history", "--json", "--limit", "100000")
    done = {ref for event in history.json()["events"] if event["kind"] == "cycle" for ref in event["refs"]}
    wrong = [] if done else [f"no action stands in the history: {history}"]
    healed = set()
    for ref in sorted(done):
        said = controller.reconcile("why", ref, "--json")
        if said.code:
            wrong.append(f"why {ref}: {said}")
            continue
        why = said.json()
        if (
            not all(asked["author"]["commit"] and asked["author"]["name"] == "Ada" for asked in why["asked"])
            or not why["asked"]
        ):
            wrong.append(f"why {ref} names nobody who asks for it")
        for action in why["history"]["actions"]:
            if not action["commit"] or not action["why"]:
                wrong.append(f"why {ref}: {action['run']} on {action['host']} has no reason")
            if action["fate"] in {"done", "broken off"} and action["why"] in {"drift", "unfinished"}:
                healed.add((action["host"], ref))
    by_hand = {(cause.host, cause.ref) for cause in causes if cause.by_hand}
    return wrong + [f"{host}: {ref} was put right, and nothing says so" for host, ref in sorted(by_hand - healed)]


def leaks(forms: Mapping[str, str], places: Mapping[str, str]) -> list[str]:
    return [f"{name} stands in {place}" for name, form in forms.items() for place, text in places.items() if form in text]


def everything_written(folder: Path) -> dict[str, str]:
    """File → its bytes as text, for all files below a folder but the operator's own keys."""
    own = {"identity", "id_ed25519", "signing"}
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in own]
    return {str(path.relative_to(folder)): path.read_bytes().decode("latin-1") for path in files}
