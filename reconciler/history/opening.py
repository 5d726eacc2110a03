"""What the loop takes up again when it begins: open incidents and drifts, messages that wait, marks, heals, its last view.

Asked by `store.py`, once. A row that cannot be read any more is left out: the worst that comes of it is a second message.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from pydantic import ValidationError
from sqlalchemy import Connection, select

from providers.base import Model
from reconciler.alerts.model import Delivery
from reconciler.history import schema
from reconciler.history.records import BEGUN
from reconciler.incidents.model import DriftRecord, Incident
from reconciler.loop.view import LoopView

ModelT = TypeVar("ModelT", bound=Model)
Heal = tuple[str, str, float]


def decoded(body: str) -> dict[str, Any]:
    """Empty where it is no JSON object: a damaged row."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def model_of(kind: type[ModelT], data: dict[str, Any]) -> ModelT | None:
    """None where it cannot be read. What a newer version added is left out; JSON has no tuples, hence not strict."""
    try:
        return kind.model_validate({name: data[name] for name in kind.model_fields if name in data}, strict=False)
    except ValidationError:
        return None


def models(kind: type[ModelT], bodies: Iterable[str]) -> Iterator[ModelT]:
    """Those that can be read."""
    found = (model_of(kind, decoded(body)) for body in bodies)
    return (one for one in found if one is not None)


def open_incidents(connection: Connection) -> tuple[Incident, ...]:
    table = schema.incidents.c
    asked = select(table.body).where(table.closed.is_(None)).order_by(table.opened)
    return tuple(models(Incident, connection.execute(asked).scalars()))


def open_drifts(connection: Connection) -> tuple[DriftRecord, ...]:
    table = schema.drifts.c
    asked = select(table.body).where(table.ended.is_(None)).order_by(table.first)
    return tuple(models(DriftRecord, connection.execute(asked).scalars()))


def unsent(connection: Connection) -> tuple[Delivery, ...]:
    table = schema.deliveries.c
    asked = select(table.body).where(table.ended.is_(None)).order_by(table.at)
    return tuple(models(Delivery, connection.execute(asked).scalars()))


def marks(connection: Connection) -> tuple[tuple[str, str], ...]:
    table = schema.marks.c
    return tuple((key, value) for key, value in connection.execute(select(table.key, table.value)))


def heals(connection: Connection, since: float) -> tuple[Heal, ...]:
    """Drifts that a cycle has put right."""
    table = schema.actions.c
    asked = select(table.host, table.ref, table.at).where(table.at >= since, table.why == "drift", table.fate == "done")
    return tuple((host, ref, at) for host, ref, at in connection.execute(asked.order_by(table.at)))


def broken_off(connection: Connection) -> tuple[DriftRecord, ...]:
    """Drift that cycles were about to put right which have not ended."""
    table, cycles = schema.actions, schema.cycles.c
    joined = table.join(schema.cycles, table.c.run == cycles.run)
    asked = select(table, cycles.fleet_commit).select_from(joined).where(cycles.status == BEGUN)
    asked = asked.where(table.c.why == "drift", table.c.held == "", table.c.action != "refresh").order_by(table.c.at)
    found: dict[tuple[str, str], DriftRecord] = {}
    for row in connection.execute(asked):
        known = decoded(row.body).get("fields", ())
        names = tuple(str(line["field"]) for line in known if isinstance(line, dict) and "field" in line)
        record = DriftRecord(
            id=secrets.token_hex(6),
            host=row.host,
            ref=row.ref,
            kind="drift",
            fields=names if row.action == "change" else ("it is missing",),
            first=row.at,
            last=row.at,
            commit=row.fleet_commit,
            place=row.place,
        )
        found.setdefault((row.host, row.ref), record)
    return tuple(found.values())


def last_view(connection: Connection) -> tuple[LoopView, ...]:
    """What the loop saw last; nothing where it has not told yet."""
    rows = {row.host: decoded(row.body) for row in connection.execute(select(schema.views))}
    whole = rows.get("")
    if not whole:
        return ()
    times = whole.get("times")
    hosts = []
    for host, known in times.items() if isinstance(times, dict) else ():
        if rows.get(host) and isinstance(known, list):
            hosts.append({**rows[host], **dict(zip(("seen", "tried", "due"), known, strict=False))})
    view = model_of(LoopView, {**whole, "hosts": hosts})
    return () if view is None else (view,)
