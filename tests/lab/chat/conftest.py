"""Servers that run for all tests of a process, and an outbox with a real history that talks to one of them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import time as clock_time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from desired.model import Fleet
from desired.policies import Alert, Policies, Quiet
from providers.secret import Secret
from reconciler.alerts.outbox import Alerts
from reconciler.history.store import History
from reconciler.incidents.model import Incident, Stage, Telling
from tests.lab.chat.servers import ChatServer, Matrix, NoServers, Ntfy, installed

PARIS = ZoneInfo("Europe/Paris")


@pytest.fixture(scope="session")
def place() -> Path:
    """Where the servers are installed."""
    try:
        return installed()
    except NoServers as error:
        if os.environ.get("RECONCILER_LAB_REQUIRED") == "1":
            raise
        pytest.skip(str(error))


def _running(server: ChatServer) -> Iterator[ChatServer]:
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def matrix(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChatServer]:
    yield from _running(Matrix(place, tmp_path_factory.mktemp("matrix")))


@pytest.fixture(scope="session")
def ntfy(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChatServer]:
    yield from _running(Ntfy(place, tmp_path_factory.mktemp("ntfy")))


@pytest.fixture(params=["matrix", "ntfy"])
def server(request: pytest.FixtureRequest) -> ChatServer:
    """Each of them in turn."""
    found: ChatServer = request.getfixturevalue(request.param)
    return found


@dataclass
class Outbox:
    """Alerts that end in one room, a history on disk, and a clock that can be moved ahead."""

    folder: Path
    server: ChatServer
    room: str
    ahead: float = 0.0
    settings: dict[str, Any] = field(default_factory=dict)

    def start(self) -> None:
        """A new process: it knows what is on the disk."""
        self.history = History.open(self.folder, now=self.now)
        self.alerts = Alerts(self.history, now=lambda: self.now, clock=lambda: time.monotonic() + self.ahead)
        alert = Alert(name="ops", url=self.server.address(self.room), **self.settings)
        fleet = Fleet(commit=None, hosts={}, alerts=(alert,), policies=Policies(timezone=PARIS))
        self.alerts.configure(fleet, lambda name: Secret(name.encode(), "v1"))

    def stop(self) -> None:
        self.history.close()

    @property
    def now(self) -> float:
        return time.time() + self.ahead

    def tell(self, one: Incident, stage: Stage = "opened") -> None:
        self.alerts.put(Telling(one, stage, self.now))
        self.history.save_incident(one)

    async def deliver(self) -> None:
        await self.alerts.flush(60)

    @property
    def said(self) -> list[str]:
        """What people read, as the server gives it back."""
        return [said.text.removeprefix("# ").replace("\r\n", "\n") for said in self.server.said(self.room)]

    @property
    def titles(self) -> list[str]:
        return [text.partition("\n")[0] for text in self.said]


@pytest.fixture
def outbox(server: ChatServer, tmp_path: Path) -> Iterator[Outbox]:
    yield from _started(Outbox(tmp_path, server, server.room()))


@pytest.fixture
def outbox_of(matrix: ChatServer, tmp_path: Path) -> Iterator[Any]:
    """An outbox with settings of its own, at a time of day in Paris; in Matrix where nothing else is said."""
    made = []

    def make(at: str, server: ChatServer = matrix, **settings: Any) -> Outbox:
        if "quiet" in settings:
            start, end = map(clock_time.fromisoformat, settings["quiet"])
            settings["quiet"] = Quiet.model_validate({"from": start, "to": end, "unless": "error"})
        if "digest" in settings:
            settings["digest"] = clock_time.fromisoformat(settings["digest"])
        box = Outbox(tmp_path, server, server.room(), settings=settings)
        box.ahead = seconds_until(at, box.now)
        box.start()
        made.append(box)
        return box

    yield make
    for box in made:
        box.stop()


def seconds_until(at: str, now: float) -> float:
    """Until it is that time of day in Paris."""
    from datetime import datetime, timedelta

    here = datetime.fromtimestamp(now, PARIS)
    then = datetime.combine(here.date(), clock_time.fromisoformat(at), PARIS)
    return (then if then > here else then + timedelta(days=1)).timestamp() - now


def _started(box: Outbox) -> Iterator[Outbox]:
    box.start()
    yield box
    box.stop()
