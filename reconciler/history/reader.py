"""The history as it is read: by commands and by the pages, beside a running loop and after it.

Each question opens the file read-only and closes it again, so that nobody holds a file that the writer has set aside. What is
damaged in a row is left out; a file that cannot be read at all is a `HistoryError`, which is about the past and nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, select
from sqlalchemy.exc import DBAPIError

from reconciler.history import schema
from reconciler.history.database import NAME, HistoryError, engine_of, refusal, words_of
from reconciler.history.opening import decoded, last_view, model_of, models, open_incidents
from reconciler.history.records import ActionRecord, CycleRecord, DeploymentRecord, StepRun
from reconciler.incidents.model import DriftRecord, Incident
from reconciler.loop.view import LoopView

LIMIT = 50
_ACTIONS, _CYCLES, _DRIFTS, _INCIDENTS = schema.actions.c, schema.cycles.c, schema.drifts.c, schema.incidents.c
_DEPLOYMENTS = schema.deployments.c


class Reader:
    """The history in a state folder. Where there is none, everything is empty."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def there(self) -> bool:
        """Whether there is a history at all. Raises `HistoryError` where that cannot be told."""
        file = self.folder / NAME
        try:
            return file.stat().st_size > 0
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise HistoryError(
                f"the history in {file} cannot be read: {words_of(error)}",
                "it is for the user alone who runs the loop: run this as the same user",
            ) from error

    def cycles(
        self,
        *,
        host: str | None = None,
        ref: str | None = None,
        project: str | None = None,
        since: float | None = None,
        before: float | None = None,
        limit: int = LIMIT,
    ) -> Sequence[CycleRecord]:
        """Newest first, with their actions, without diffs and steps."""
        asked = select(schema.cycles).order_by(_CYCLES.began.desc())
        asked = _within(asked, _CYCLES.began, since, before).limit(limit)
        if host is not None:
            asked = asked.where(_CYCLES.host == host)
        for column, wanted in ((_ACTIONS.ref, ref), (_ACTIONS.project, project)):
            if wanted is not None:
                asked = asked.where(_CYCLES.run.in_(select(_ACTIONS.run).where(column == wanted)))
        with self._open() as connection:
            return _cycles(connection, asked) if connection is not None else ()

    def cycle(self, run: str) -> CycleRecord | None:
        """One cycle with all that is known of it."""
        with self._open() as connection:
            if connection is None:
                return None
            found = _cycles(connection, select(schema.cycles).where(_CYCLES.run == run), whole=True)
            if not found:
                return None
            asked = select(schema.steps).where(schema.steps.c.run == run).order_by(schema.steps.c.id)
            rows = [(row.fate, decoded(row.body)) for row in connection.execute(asked)]
            steps = (model_of(StepRun, {**body, "fate": fate}) for fate, body in rows)
            return found[0].model_copy(update={"steps": tuple(step for step in steps if step is not None)})

    def of(
        self, ref: str, *, host: str | None = None, since: float | None = None, limit: int = LIMIT
    ) -> Sequence[ActionRecord]:
        """What was planned and done for a resource, newest first."""
        asked = _actions().where(_ACTIONS.ref == ref).order_by(_ACTIONS.at.desc(), _ACTIONS.id.desc())
        return self._actions(_within(asked, _ACTIONS.at, since, None), host, limit)

    def of_project(
        self, project: str, *, host: str | None = None, since: float | None = None, limit: int = LIMIT
    ) -> Sequence[ActionRecord]:
        """The same for everything that a project consists of."""
        asked = _actions().where(_ACTIONS.project == project).order_by(_ACTIONS.at.desc(), _ACTIONS.id.desc())
        return self._actions(_within(asked, _ACTIONS.at, since, None), host, limit)

    def _actions(self, asked: Select[Any], host: str | None, limit: int) -> Sequence[ActionRecord]:
        if host is not None:
            asked = asked.where(_ACTIONS.host == host)
        with self._open() as connection:
            return tuple(_action_records(connection, asked.limit(limit))) if connection is not None else ()

    def drifts(
        self,
        *,
        open_only: bool = True,
        hosts: Collection[str] | None = None,
        ref: str | None = None,
        since: float | None = None,
        limit: int = 1000,
    ) -> Sequence[DriftRecord]:
        """Oldest first; of ended ones the newest `limit`."""
        asked = select(_DRIFTS.body).order_by(_DRIFTS.first.desc()).limit(limit)
        if open_only:
            asked = asked.where(_DRIFTS.ended.is_(None))
        if hosts is not None:
            asked = asked.where(_DRIFTS.host.in_(hosts))
        if ref is not None:
            asked = asked.where(_DRIFTS.ref == ref)
        if since is not None:
            asked = asked.where(_DRIFTS.ended.is_(None) | (_DRIFTS.ended >= since))
        with self._open() as connection:
            found = models(DriftRecord, connection.execute(asked).scalars()) if connection is not None else iter(())
            return tuple(found)[::-1]

    def incidents(
        self,
        *,
        open_only: bool = False,
        host: str | None = None,
        since: float | None = None,
        before: float | None = None,
        limit: int = LIMIT,
    ) -> Sequence[Incident]:
        """Newest first."""
        with self._open() as connection:
            if connection is None:
                return ()
            if open_only:
                found = open_incidents(connection)[::-1]
            else:
                asked = select(_INCIDENTS.body).order_by(_INCIDENTS.opened.desc())
                if before is not None:
                    asked = asked.where(_INCIDENTS.opened < before)
                if since is not None:
                    asked = asked.where((_INCIDENTS.opened >= since) | (_INCIDENTS.closed >= since))
                if host is None:
                    asked = asked.limit(limit)
                found = tuple(models(Incident, connection.execute(asked).scalars()))
            return tuple(one for one in found if host is None or host in one.hosts)[:limit]

    def incident(self, name: str) -> Incident | None:
        with self._open() as connection:
            if connection is None:
                return None
            asked = select(_INCIDENTS.body).where(_INCIDENTS.id == name)
            return next(models(Incident, connection.execute(asked).scalars()), None)

    def deployments(
        self,
        *,
        project: str | None = None,
        host: str | None = None,
        since: float | None = None,
        before: float | None = None,
        limit: int = LIMIT,
    ) -> Sequence[DeploymentRecord]:
        """Newest first."""
        asked = select(schema.deployments).order_by(_DEPLOYMENTS.at.desc(), _DEPLOYMENTS.id.desc())
        asked = _within(asked, _DEPLOYMENTS.at, since, before).limit(limit)
        if project is not None:
            asked = asked.where(_DEPLOYMENTS.project == project)
        if host is not None:
            asked = asked.where(_DEPLOYMENTS.host == host)
        with self._open() as connection:
            return tuple(_deployments(connection, asked)) if connection is not None else ()

    def view(self) -> LoopView | None:
        """What the loop saw last; its times are at most a minute older than that."""
        with self._open() as connection:
            return next(iter(last_view(connection)), None) if connection is not None else None

    def known(self) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
        """The hosts, references and projects of which anything is told."""
        with self._open() as connection:
            if connection is None:
                return frozenset(), frozenset(), frozenset()

            def distinct(*columns: ColumnElement[str]) -> frozenset[str]:
                return frozenset(one for column in columns for one in connection.execute(select(column).distinct()).scalars())

            projects = distinct(_ACTIONS.project, _DEPLOYMENTS.project)
            return distinct(_CYCLES.host, _DRIFTS.host), distinct(_ACTIONS.ref, _DRIFTS.ref), projects - {""}

    @contextmanager
    def _open(self) -> Iterator[Connection | None]:
        """None where there is no history."""
        file = self.folder / NAME
        if not self.there:
            yield None
            return
        refusal(file)
        engine = engine_of(file, writing=False)
        try:
            with engine.connect() as connection:
                yield connection
        except DBAPIError as error:
            raise HistoryError(
                f"the history in {file} cannot be read: {words_of(error)}",
                "reconcile run sets it aside and begins a new one when it starts; nothing on any host depends on it",
            ) from error
        finally:
            engine.dispose()


def _within(asked: Select[Any], column: ColumnElement[float], since: float | None, before: float | None) -> Select[Any]:
    if since is not None:
        asked = asked.where(column >= since)
    return asked.where(column < before) if before is not None else asked


def _actions() -> Select[Any]:
    return select(schema.actions, _CYCLES.fleet_commit).join(schema.cycles, _CYCLES.run == _ACTIONS.run)


def _row(row: Any, table: Table) -> dict[str, Any]:
    """The columns of a row, and what its body holds; where both have a name, the column counts."""
    columns = {name: getattr(row, name) for name in table.columns.keys()}  # noqa: SIM118  no plain mapping
    return {**decoded(columns.pop("body", "")), **columns}


def _action_records(connection: Connection, asked: Select[Any]) -> Iterator[ActionRecord]:
    for row in connection.execute(asked):
        record = model_of(ActionRecord, {**_row(row, schema.actions), "commit": row.fleet_commit})
        if record is not None:
            yield record


def _deployments(connection: Connection, asked: Select[Any]) -> Iterator[DeploymentRecord]:
    for row in connection.execute(asked):
        record = model_of(DeploymentRecord, {**_row(row, schema.deployments), "commit": row.project_commit})
        if record is not None:
            yield record


def _cycles(connection: Connection, asked: Select[Any], *, whole: bool = False) -> tuple[CycleRecord, ...]:
    """`whole`: with the diffs of their actions."""
    runs = asked.with_only_columns(_CYCLES.run)
    actions: defaultdict[str, list[ActionRecord]] = defaultdict(list)
    for action in _action_records(connection, _actions().where(_ACTIONS.run.in_(runs)).order_by(_ACTIONS.id)):
        actions[action.run].append(action if whole else action.model_copy(update={"diff": ()}))
    deployed: defaultdict[str, list[DeploymentRecord]] = defaultdict(list)
    for one in _deployments(connection, select(schema.deployments).where(_DEPLOYMENTS.run.in_(runs)).order_by(_DEPLOYMENTS.id)):
        deployed[one.run].append(one)
    found = []
    for row in connection.execute(asked):
        inner = {"commit": row.fleet_commit, "actions": actions[row.run], "deployments": deployed[row.run]}
        cycle = model_of(CycleRecord, {**_row(row, schema.cycles), **inner})
        if cycle is not None:
            found.append(cycle)
    return tuple(found)
