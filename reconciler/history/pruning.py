"""Keeps the history as long as `history.keep` says, and within a size. Called by `writer.py`, inside its transaction.

What is still open (a drift, an incident, a message that was not delivered) is never removed. The space that becomes free is
given back to the disk by `shrink`, a little at a time.
"""

from __future__ import annotations

from sqlalchemy import Connection, Table, delete, func, select

from reconciler.history import schema

LARGEST = 512 << 20
"""Bytes: beyond this the oldest goes, however long it should be kept."""
PAGES = 2000
"""Pages that are given back at once; more wait for the next time, so that nobody waits for long."""
_TIMES = {
    schema.cycles: schema.cycles.c.began,
    schema.drifts: schema.drifts.c.ended,
    schema.incidents: schema.incidents.c.closed,
    schema.deliveries: schema.deliveries.c.ended,
}
"""What ages, and by which time; what has none yet does not. Actions, steps and deployments go with their cycle."""


def prune(connection: Connection, now: float, keep: float, largest: int = LARGEST) -> None:
    """Removes what ended more than `keep` seconds before `now`, and the oldest of the rest while there is too much of it."""
    for table in _TIMES:
        _remove_before(connection, table, now - keep)
    while (used := _used(connection)) > largest and _remove_oldest(connection):
        if _used(connection) >= used:
            return


def _remove_before(connection: Connection, table: Table, before: float) -> None:
    connection.execute(delete(table).where(_TIMES[table] < before))


def _remove_oldest(connection: Connection) -> bool:
    """Removes the oldest tenth of whatever has aged; whether there was anything."""
    found = False
    for table, column in _TIMES.items():
        count = connection.execute(select(func.count()).select_from(table).where(column.is_not(None))).scalar_one()
        if count:
            edge = connection.execute(
                select(column).where(column.is_not(None)).order_by(column).offset((count - 1) // 10).limit(1)
            ).scalar_one()
            connection.execute(delete(table).where(column <= edge))
            found = True
    return found


def _used(connection: Connection) -> int:
    pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    free = connection.exec_driver_sql("PRAGMA freelist_count").scalar_one()
    size = connection.exec_driver_sql("PRAGMA page_size").scalar_one()
    return int(size) * (int(pages) - int(free))


def shrink(connection: Connection) -> None:
    """Gives free pages back to the disk, and empties the journal; outside of any transaction."""
    driver = connection.connection.driver_connection
    assert driver is not None
    driver.executescript(f"PRAGMA incremental_vacuum({PAGES}); PRAGMA wal_checkpoint(TRUNCATE)")
