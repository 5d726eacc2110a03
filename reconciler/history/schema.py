"""The tables of the history, and how an older file of it becomes a newer one.

`database.py` opens files with them, `store.py` writes, `reader.py` reads. What is looked for has a column; what is only shown
is JSON in `body`, so that a field more needs no new version. Times are seconds since 1970.
"""

from __future__ import annotations

from sqlalchemy import Column, Float, ForeignKey, Index, Integer, MetaData, Table, Text

METADATA = MetaData()

cycles = Table(
    "cycles",
    METADATA,
    Column("run", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("fleet_commit", Text),
    Column("began", Float, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("status", Text, nullable=False),
    Column("body", Text, nullable=False),
    Index("cycles_by_time", "began"),
    Index("cycles_by_host", "host", "began"),
)
"""A cycle that found something, did something, or found a host in another condition than before."""

actions = Table(
    "actions",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("run", Text, ForeignKey("cycles.run", ondelete="CASCADE"), nullable=False),
    Column("host", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("ref", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("held", Text, nullable=False),
    Column("fate", Text, nullable=False),
    Column("body", Text, nullable=False),
    Index("actions_by_run", "run"),
    Index("actions_by_ref", "ref", "at"),
    Index("actions_by_project", "project", "at"),
    Index("actions_by_time", "at"),
)
"""What was planned in a cycle, with its cause, and what became of it."""

steps = Table(
    "steps",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("run", Text, ForeignKey("cycles.run", ondelete="CASCADE"), nullable=False),
    Column("fate", Text, nullable=False),
    Column("body", Text, nullable=False),
    Index("steps_by_run", "run"),
)
"""What was run on the host in a cycle, with what it printed."""

drifts = Table(
    "drifts",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("ref", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("first", Float, nullable=False),
    Column("ended", Float),
    Column("body", Text, nullable=False),
    Index("drifts_by_end", "ended"),
    Index("drifts_by_ref", "ref", "first"),
)
incidents = Table(
    "incidents",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("event", Text, nullable=False),
    Column("opened", Float, nullable=False),
    Column("closed", Float),
    Column("body", Text, nullable=False),
    Index("incidents_by_end", "closed"),
    Index("incidents_by_time", "opened"),
)
deliveries = Table(
    "deliveries",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("at", Float, nullable=False),
    Column("ended", Float),
    Column("body", Text, nullable=False),
    Index("deliveries_by_end", "ended"),
)
deployments = Table(
    "deployments",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("run", Text, ForeignKey("cycles.run", ondelete="CASCADE"), nullable=False),
    Column("project", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("project_commit", Text, nullable=False),
    Column("status", Text, nullable=False),
    Index("deployments_by_project", "project", "at"),
    Index("deployments_by_run", "run"),
)
views = Table(
    "views",
    METADATA,
    Column("host", Text, primary_key=True),
    Column("body", Text, nullable=False),
)
"""What the loop saw last: a row for each host, and one without a host for everything else and for the times of all hosts,
which alone change when nothing happens."""

marks = Table(
    "marks",
    METADATA,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

MIGRATIONS: tuple[tuple[str, ...], ...] = ()
"""The statements that make version N+1 from version N, at place N-1. A file once released is never left behind:
tests/recorded/history/ holds one of each version."""
FIRST = 1
