"""`/api/v1/…`: what is, what differs, what happened and what would be done, as JSON to be read by programs.

Added to the application by `server.py`. Nothing here changes anything. What is asked is collected on the event loop's own
thread (`Asked`); the answer is made of it in another thread, because a long list takes a while to write. docs/api.md describes
every field, and a test holds it to that.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from pydantic import BaseModel

from desired.text import meant
from reconciler import __version__
from reconciler.history.database import HistoryError
from reconciler.history.rows import status_of
from reconciler.incidents.model import DriftRecord, Incident
from reconciler.loop.report import CycleReport
from reconciler.loop.view import LoopView
from reconciler.render.json_form import text_of
from reconciler.serve.guard import problem
from reconciler.serve.knows import Knows, Ledger, Watched
from reconciler.serve.metrics import Metrics
from reconciler.text import shorten, visible

ROOT = "/api/v1"
PATHS = (
    "/status",
    "/hosts",
    "/hosts/{name}",
    "/projects",
    "/drift",
    "/incidents",
    "/history",
    "/history/{run}",
    "/plan/{name}",
)
LIMIT = 100
MOST = 500
"""Entries of one page."""


class Refused(Exception):
    """The question cannot be answered as it was put."""

    def __init__(self, status: int, error: str, hint: str = "") -> None:
        super().__init__(error)
        self.status = status
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, with everything that the answer is made of."""

    path: str
    query: dict[str, str]
    name: str
    """The last part of the path, where that is a name."""
    view: LoopView
    ill: str | None
    unready: str | None
    incidents: tuple[Incident, ...]
    drifts: tuple[DriftRecord, ...]
    trouble: tuple[dict[str, str], str | None]
    """Of the alerts and of the history."""
    last: CycleReport | None

    def take(self, *names: str) -> list[str | None]:
        """The parameters with these names; any other is an error, because one that is ignored would answer another question."""
        known = (*names, "limit", "offset")
        for name in self.query:
            if name not in known:
                raise Refused(400, f"there is no parameter {_shown(name)}", meant(name, known))
        return [self.query.get(name) for name in names]

    def number(self, name: str, default: int, most: int) -> int:
        text = self.query.get(name, str(default))
        if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) <= most):
            raise Refused(400, f"{name} must be a number up to {most}, not {_shown(text)}")
        return int(text)

    @property
    def limit(self) -> int:
        return max(1, self.number("limit", LIMIT, MOST))

    def page(self, key: str, entries: Sequence[Any]) -> dict[str, Any]:
        """A part of a list, with the way to the next one."""
        offset, limit = self.number("offset", 0, 10**8), self.limit
        part = [one.model_dump() if isinstance(one, BaseModel) else one for one in entries[offset : offset + limit]]
        further = offset + limit < len(entries)
        return {key: part, "total": len(entries), "next": self.link(offset=offset + limit, limit=limit) if further else None}

    def link(self, **changed: float) -> str:
        return f"{self.path}?{urlencode(self.query | {name: str(value) for name, value in changed.items()})}"


@dataclass(frozen=True, slots=True)
class Api:
    """All of it."""

    loop: Watched
    seen: Metrics
    reader: Ledger | None
    threads: ThreadPoolExecutor

    def add_to(self, router: web.UrlDispatcher) -> None:
        pages: dict[str, Callable[[Asked], Any]] = {
            "": index,
            "/status": status,
            "/hosts": hosts,
            "/hosts/{name}": host,
            "/projects": projects,
            "/drift": drifts,
            "/incidents": incidents,
            "/history": self.history,
            "/history/{name}": self.run,
            "/plan/{name}": plan,
        }
        for path, make in pages.items():
            router.add_get(ROOT + path, self._page(make))

    def _page(self, make: Callable[[Asked], Any]) -> Callable[[web.Request], Any]:
        async def page(request: web.Request) -> web.Response:
            asked = self._asked(request)
            try:
                running = asyncio.get_running_loop()
                text = await running.run_in_executor(self.threads, lambda: text_of(make(asked)))
            except Refused as refused:
                return problem(refused.status, str(refused), refused.hint)
            except HistoryError as error:
                return problem(503, f"the history cannot be read: {error}", error.hint)
            return web.Response(text=text, content_type="application/json")

        return page

    def _asked(self, request: web.Request) -> Asked:
        knows: Knows = self.seen.knows
        name = request.match_info.get("name", "")
        return Asked(
            request.rel_url.raw_path,
            dict(request.query),
            name,
            self.loop.view(),
            self.loop.ill(),
            self.loop.unready(),
            tuple(knows.incidents()),
            tuple(knows.drifts()),
            (dict(knows.alert_trouble()), knows.history_trouble()),
            self.seen.last.get(name),
        )

    def history(self, asked: Asked) -> Any:
        host, ref, project, before = asked.take("host", "ref", "project", "before")
        limit = asked.limit
        cycles = self._book().cycles(host=host, ref=ref, project=project, before=_time("before", before), limit=limit + 1)
        entries = [cycle.model_dump() for cycle in cycles[:limit]]
        further = len(cycles) > limit
        return {"cycles": entries, "next": asked.link(before=entries[-1]["began"], limit=limit) if further else None}

    def run(self, asked: Asked) -> Any:
        asked.take()
        cycle = self._book().cycle(asked.name)
        if cycle is None:
            raise Refused(404, f"there is no cycle {_shown(asked.name)} in the history", f"GET {ROOT}/history lists them.")
        return cycle.model_dump()

    def _book(self) -> Ledger:
        if self.reader is None:
            raise Refused(404, "this loop keeps no history")
        return self.reader


def index(asked: Asked) -> Any:
    asked.take()
    return {"format": 1, "version": __version__, "paths": [ROOT + path for path in PATHS]}


def status(asked: Asked) -> Any:
    asked.take()
    view, (alerts, history) = asked.view, asked.trouble
    return {
        "version": view.version,
        "began": view.began,
        "turned": view.turned,
        "healthy": asked.ill is None,
        "ready": asked.unready is None,
        "reason": asked.ill or asked.unready or "",
        "source": view.source.model_dump(),
        "hosts": len(view.hosts),
        "statuses": dict(sorted(Counter(one.status for one in view.hosts).items())),
        "drifts": sum(drift.ended is None and drift.kind == "drift" for drift in asked.drifts),
        "incidents": sum(incident.closed is None for incident in asked.incidents),
        "alert_trouble": alerts,
        "history_trouble": history or "",
    }


def hosts(asked: Asked) -> Any:
    state, tag = asked.take("status", "tag")
    found = [one for one in asked.view.hosts if state in (None, one.status) and (tag is None or tag in one.tags)]
    return asked.page("hosts", found)


def host(asked: Asked) -> Any:
    asked.take()
    for one in asked.view.hosts:
        if one.host == asked.name:
            return one.model_dump()
    raise _no_host(asked)


def projects(asked: Asked) -> Any:
    (only,) = asked.take("project")
    found: dict[str, list[dict[str, Any]]] = {}
    for one in asked.view.hosts:
        for project in one.projects:
            if only in (None, project.project):
                found.setdefault(project.project, []).append({"host": one.host} | project.model_dump(exclude={"project"}))
    return asked.page("projects", [{"project": name, "hosts": where} for name, where in sorted(found.items())])


def drifts(asked: Asked) -> Any:
    where, ref, kind = asked.take("host", "ref", "kind")
    found = [
        one
        for one in asked.drifts
        if one.ended is None and where in (None, one.host) and ref in (None, one.ref) and kind in (None, one.kind)
    ]
    return asked.page("drifts", sorted(found, key=lambda one: (one.first, one.id)))


def incidents(asked: Asked) -> Any:
    where, event = asked.take("host", "event")
    found = [
        one
        for one in asked.incidents
        if one.closed is None and (where is None or where in one.hosts) and event in (None, one.event)
    ]
    return asked.page("incidents", sorted(found, key=lambda one: (one.opened, one.id)))


def plan(asked: Asked) -> Any:
    asked.take()
    report = asked.last
    if report is None:
        if asked.name in {one.host for one in asked.view.hosts}:
            raise Refused(404, f"{_shown(asked.name)} was not asked yet since the loop began", "Its first cycle is due.")
        raise _no_host(asked)
    return {
        "run": report.run,
        "began": report.began,
        "seconds": report.seconds,
        "commit": report.commit,
        "status": status_of(report),
        "plan": report.plan.model_dump(),
        "after": report.after.model_dump() if report.after is not None else None,
    }


def _no_host(asked: Asked) -> Refused:
    names: Iterable[str] = [one.host for one in asked.view.hosts]
    return Refused(404, f"there is no host {_shown(asked.name)}", meant(asked.name, names, f"GET {ROOT}/hosts lists them."))


def _time(name: str, text: str | None) -> float | None:
    """Seconds since 1970."""
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e11:  # not a number, and no time either
        raise Refused(400, f"{name} must be seconds since 1970, not {_shown(text)}")
    return value


def _shown(text: str) -> str:
    return visible(shorten(text, 80))
