"""Writes what waited: one transaction for each batch, and nothing that is there already.

Called by `store.py` in the writer's thread, which holds the connection. What changes with every look at a host (when a drift
was seen last) is written at most every few minutes, so that a fleet at rest writes next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, select

from reconciler.history import rows, schema
from reconciler.history.pruning import prune
from reconciler.history.records import BEGUN, BROKEN_OFF
from reconciler.history.rows import Row
from reconciler.history.waiting import Item, Key, Kind
from reconciler.incidents.model import DriftRecord, Incident
from reconciler.loop.report import CycleReport
from reconciler.loop.view import HostView, LoopView

REPEAT = 300.0
"""Seconds after which something is written again of which only the time of the last look is new."""
VIEW_REPEAT = 60.0


class Writer:
    """One open history, with what was written into it. `clock` is monotonic."""

    def __init__(self, connection: Connection, clock: Callable[[], float]) -> None:
        self._connection, self._clock = connection, clock
        self._written: dict[Key, tuple[object, float]] = {}
        """Open drifts and incidents: what was written of them apart from their times, and when."""
        self._newer: dict[Key, Item] = {}
        """Those of which a newer time is known than was written."""
        self._views: dict[str, HostView] = {}
        self._viewed = float("-inf")

    def write(self, items: Sequence[Item]) -> None:
        """Within a transaction. What this notes of it is undone by `forget`."""
        kinds: Mapping[Kind, Callable[[Item], None]] = {
            "report": lambda item: self._report(item.value),
            "view": lambda item: self._view(item.value),
            "drift": self._drift,
            "incident": self._incident,
            "delivery": lambda item: self._replace(schema.deliveries, "id", rows.delivery_row(item.value)),
            "mark": lambda item: self._replace(schema.marks, "key", rows.mark_row(item.key[1], item.value)),
            "prune": lambda item: prune(self._connection, *item.value),
            "restart": lambda _: self._break_off(),
        }
        for item in items:
            kinds[item.key[0]](item)

    def forget(self) -> None:
        """After a transaction that did not come about: nothing is known to be written."""
        self._written.clear()
        self._views.clear()
        self._viewed = float("-inf")

    def write_newer(self) -> None:
        """The times that were held back; at the end."""
        self._written.clear()
        self.write(list(self._newer.values()))

    def _report(self, report: CycleReport) -> None:
        self._replace(schema.cycles, "run", rows.cycle_row(report))
        self._insert(schema.actions, rows.action_rows(report))
        self._insert(schema.steps, rows.step_rows(report))
        self._insert(schema.deployments, rows.deployment_rows(report))

    def _break_off(self) -> None:
        """What an earlier process had begun will not be ended by it."""
        cycles, actions = schema.cycles, schema.actions
        self._connection.execute(actions.update().where(actions.c.fate == BEGUN).values(fate=BROKEN_OFF))
        self._connection.execute(cycles.update().where(cycles.c.status == BEGUN).values(status=BROKEN_OFF))

    def _drift(self, item: Item) -> None:
        drift: DriftRecord = item.value
        if self._is_new(item, drift.model_copy(update={"last": 0.0}), ended=drift.ended is not None):
            self._replace(schema.drifts, "id", rows.drift_row(drift))

    def _incident(self, item: Item) -> None:
        incident: Incident = item.value
        members = tuple(member.model_copy(update={"seen": 0.0}) for member in incident.members)
        if self._is_new(item, incident.model_copy(update={"members": members}), ended=incident.closed is not None):
            self._replace(schema.incidents, "id", rows.incident_row(incident))

    def _is_new(self, item: Item, steady: object, *, ended: bool) -> bool:
        now = self._clock()
        before = self._written.get(item.key)
        if before is not None and before[0] == steady and now - before[1] < REPEAT and not ended:
            self._newer[item.key] = item
            return False
        self._newer.pop(item.key, None)
        if ended:
            self._written.pop(item.key, None)
        else:
            self._written[item.key] = (steady, now)
        return True

    def _view(self, view: LoopView) -> None:
        now, found = self._clock(), {host.host: rows.steady(host) for host in view.hosts}
        changed = [host for host, steady in found.items() if self._views.get(host) != steady]
        gone = (self._views.keys() if self._views else self._known_views()) - found.keys()
        if not (gone or changed) and now - self._viewed < VIEW_REPEAT:
            return
        for host in changed:
            self._replace(schema.views, "host", rows.view_row(found[host]))
        for host in gone:
            self._connection.execute(schema.views.delete().where(schema.views.c.host == host))
        self._replace(schema.views, "host", rows.loop_row(view))
        self._views, self._viewed = found, now

    def _known_views(self) -> set[str]:
        """Hosts of which a row is there from an earlier run."""
        return set(self._connection.execute(select(schema.views.c.host)).scalars()) - {""}

    def _replace(self, table: Table, key: str, row: Row) -> None:
        self._connection.execute(table.delete().where(table.c[key] == row[key]))
        self._connection.execute(table.insert(), row)

    def _insert(self, table: Table, found: Iterable[Mapping[str, Any]]) -> None:
        if many := list(found):
            self._connection.execute(table.insert(), many)
