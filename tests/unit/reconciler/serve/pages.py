"""A loop that stands still, and its pages over real sockets on loopback: what the tests in this folder share."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientSession

from providers.secret import Secret
from reconciler.incidents.model import DriftRecord, Incident, Member
from reconciler.loop.report import CycleReport
from reconciler.loop.view import HostView, LoopView, ProjectView, SourceView
from reconciler.plan import HostPlan
from reconciler.serve.knows import Knows, Ledger
from reconciler.serve.metrics import Metrics
from reconciler.serve.server import serving
from reconciler.serve.settings import Key, Listen, Settings
from tests.unit.render.sample import COMMIT, NAS

ANY_PORT = Listen("127.0.0.1", 0)
TOKEN = Key(Secret(b"a-token-of-the-tests", "token", known=False))
HOOK = Key(Secret(b"a-secret-of-the-tests", "hook", known=False))

HOSTS = (
    HostView(host="nas", tags=("prod",), status="drifted", seen=1_000.0, resources=43, drifted=2, pending=1, behind=3),
    HostView(
        host="web1",
        status="converged",
        seen=1_001.0,
        projects=(ProjectView(project="site", wanted=COMMIT, deployed=COMMIT, status="current"),),
    ),
    HostView(host="web2", tags=("prod",), status="unreachable", problem="no route", problem_kind="unreachable"),
)
VIEW = LoopView(
    version="1",
    began=900.0,
    turned=1_001.0,
    source=SourceView(url="ssh://git@forge/fleet", branch="main", commit=COMMIT, subject="Begin", newest=COMMIT, read=999.0),
    hosts=HOSTS,
)
REPORT = CycleReport("0123456789ab", "nas", COMMIT, 1_000.0, 0.3, NAS)
DRIFT = DriftRecord(id="d1", host="nas", ref="file:/etc/motd", kind="drift", fields=("content",), first=990.0, last=1_000.0)
INCIDENT = Incident(
    id="i1",
    event="drift",
    opened=990.0,
    touched=990.0,
    members=(Member(host="nas", what="content", since=990.0, seen=1_000.0),),
)


@dataclass
class StillLoop:
    """Fulfils `Watched`."""

    shown: LoopView = VIEW
    illness: str | None = None
    lack: str | None = None
    hints: list[float] = field(default_factory=list)

    def hint(self) -> None:
        self.hints.append(time.monotonic())

    def view(self) -> LoopView:
        return self.shown

    def ill(self) -> str | None:
        return self.illness

    def unready(self) -> str | None:
        return self.lack


def quiet(host: str, seconds: float = 0.2, problem: str | None = None) -> CycleReport:
    plan = HostPlan(host=host, problem=problem, problem_kind="unreachable" if problem else None)
    return CycleReport("ba9876543210", host, COMMIT, 1_000.0, seconds, plan)


def metrics_of(*reports: CycleReport) -> Metrics:
    metrics = Metrics(Knows(incidents=lambda: (INCIDENT,), drifts=lambda: (DRIFT,)))
    for report in reports:
        metrics.visited(report)
    return metrics


@dataclass(frozen=True)
class Pages:
    """A client of the pages."""

    client: ClientSession
    port: int
    loop: StillLoop

    async def get(self, path: str, **headers: str) -> tuple[int, Any, dict[str, str]]:
        return await self.ask("GET", path, headers)

    async def ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> tuple[int, Any, dict[str, str]]:
        """Status, document (or text) and headers."""
        async with self.client.request(
            method, f"http://127.0.0.1:{self.port}{path}", headers=headers, data=io.BytesIO(body) if body else None
        ) as answer:
            json = answer.content_type == "application/json" and method != "HEAD"
            return answer.status, await (answer.json() if json else answer.text()), dict(answer.headers)

    def raw(self, *pieces: bytes, wait: float = 5.0) -> Raw:
        return Raw(self.port, pieces, wait)


@dataclass
class Raw:
    """Bytes as no well-behaved client sends them; `answer` is all that came back until the other side closed."""

    port: int
    pieces: tuple[bytes, ...]
    wait: float

    async def first(self) -> bytes:
        """What came at once, however long the connection stays open."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"".join(self.pieces))
        async with asyncio.timeout(self.wait):
            received = await reader.readline()
        writer.close()
        return received

    async def answer(self) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        received = b""
        try:
            for piece in self.pieces:
                writer.write(piece)
                await writer.drain()
            async with asyncio.timeout(self.wait):
                received = await reader.read(1 << 20)
        except ConnectionError:
            pass
        finally:
            writer.close()
        return received


@asynccontextmanager
async def pages(
    settings: Settings | None = None,
    loop: StillLoop | None = None,
    metrics: Metrics | None = None,
    reader: Ledger | None = None,
) -> AsyncIterator[Pages]:
    loop = loop or StillLoop()
    async with (
        serving(loop, metrics or metrics_of(REPORT), reader, settings or Settings(ANY_PORT)) as served,
        ClientSession() as client,
    ):
        yield Pages(client, int(served.addresses[0].rpartition(":")[2]), loop)
