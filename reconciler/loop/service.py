"""Puts the loop together with everything that listens to it, and runs it: for years, or for one pass.

Called by `reconciler/cli/running.py` alone. This is the one place that knows the history, the desk of incidents, the alerts,
the metrics and the pages by name; the loop knows them as observers, and goes on without any of them.

    History ─▶ Keeper ┐                        ┌▶ Metrics ─▶ pages
    Desk ─▶ Alerts    ┴── observers ── Loop ───┴▶ Teller ─▶ log
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from desired.model import Fleet
from desired.secrets.names import secret_path
from desired.secrets.vault import Vault
from providers.secret import Secret
from reconciler import log
from reconciler.alerts.outbox import Alerts
from reconciler.errors import Exit
from reconciler.history.keeper import Keeper
from reconciler.history.reader import Reader
from reconciler.history.store import History
from reconciler.incidents.desk import Desk
from reconciler.loop.engine import Loop
from reconciler.loop.following import Followed, Follower
from reconciler.loop.holds import Keepers
from reconciler.loop.lock import sole
from reconciler.loop.once import once
from reconciler.loop.patience import Patience, ages
from reconciler.loop.places import Place
from reconciler.loop.report import CycleReport
from reconciler.loop.telling import Teller
from reconciler.policy import policy_hold
from reconciler.serve.knows import Knows
from reconciler.serve.metrics import Metrics
from reconciler.serve.notify import Notifier
from reconciler.serve.server import serving
from reconciler.serve.settings import Settings

SIGNALS = (signal.SIGTERM, signal.SIGINT)
TWICE = 0.5
"""Seconds within which a second signal is the first one, sent to the group as well as to the process."""
THREADS = 64
"""Looking up the name of a dead host takes a thread until it is given up: it must not keep another host from one."""
DAY = 86400.0
WRITTEN = 2.0
"""Seconds for which the history is waited for before a host is changed."""
FAREWELL = 60.0
"""Seconds that messages of a single pass get to be delivered."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    place: Place
    folder: Path
    pages: Settings
    signers: Path | None = None
    alerts: bool = True


class Configurator:
    """Gives the alerts of the fleet in force to those who send them: an observer."""

    def __init__(self, alerts: Alerts) -> None:
        self._alerts = alerts
        self._fleet: Fleet | None = None

    def followed(self, followed: Followed) -> None:
        fleet = followed.fleet
        if fleet is None or fleet is self._fleet:
            return
        self._fleet = fleet
        vault = Vault()

        def opened(name: str) -> Secret:
            return vault.open_from(fleet, secret_path(name))

        self._alerts.configure(fleet, opened)

    def began(self, report: CycleReport) -> None:
        """Nor has what is done to them."""

    def visited(self, report: CycleReport) -> None:
        """Hosts have nothing to do with it."""

    def ticked(self, now: float) -> None:
        """Time neither."""


@dataclass(slots=True)
class Service:
    """Everything of one run, put together."""

    loop: Loop
    history: History
    desk: Desk
    alerts: Alerts
    metrics: Metrics

    @classmethod
    def make(cls, options: Options, history: History) -> Service:
        """Goes on from what the history tells: incidents, drifts, heals and how the hosts stood."""
        wall, now = time.time(), time.monotonic()
        view = history.view()
        heals = history.heals(wall - DAY)
        seen = {host.host: host.seen for host in view.hosts if host.seen is not None} if view is not None else {}
        desk = Desk(
            history,
            opened=history.open_incidents(),
            drifts=history.open_drifts(),
            heals=heals,
            broken_off=history.broken_off(),
            seen=seen,
        )
        patience = Patience(ages(heals, wall, now), clock=lambda moment: _shown(moment - time.monotonic()))
        alerts = Alerts(history)
        metrics = Metrics(
            Knows(
                incidents=lambda: desk.incidents,
                drifts=lambda: desk.drifts,
                alert_trouble=lambda: alerts.trouble,
                history_trouble=lambda: history.trouble,
            )
        )
        source = Follower(options.place, options.folder, signers=options.signers)
        loop = Loop(source, Keepers(policy_hold, patience), patience, view=view)
        for observer in (Configurator(alerts), Keeper(history, loop.view), desk, metrics, Teller()):
            loop.watch(observer)

        async def written() -> None:
            """No host waits for a disk that is known to be sick, and for another one only so long."""
            if history.trouble is None:
                await asyncio.to_thread(history.flush, WRITTEN)

        loop.write_ahead(written)
        if options.alerts:
            desk.tell = alerts.put
        return cls(loop, history, desk, alerts, metrics)


def _shown(seconds: float) -> str:
    return time.strftime("%H:%M", time.localtime(time.time() + seconds))


def serve(options: Options, *, one_pass: bool) -> int:
    """Until a signal ends it, or for one pass; the exit code. Raises `CommandError`."""
    with sole(options.folder):
        return asyncio.run(_once(options) if one_pass else _run(options))


@asynccontextmanager
async def _service(options: Options) -> AsyncIterator[Service]:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS, "work"))
    history = History.open(options.folder, now=time.time())
    try:
        service = Service.make(options, history)
        try:
            yield service
        finally:
            history.save_view(service.loop.view())  # how it stood in the end
    finally:
        history.close()


@contextmanager
def _until_told(*stop: Callable[[int], object]) -> Iterator[None]:
    """The first SIGTERM or Ctrl-C is passed on; the next one has its usual effect, which is to leave at once."""
    loop = asyncio.get_running_loop()
    since: list[float] = []

    def told(number: int) -> None:
        if since:
            if loop.time() - since[0] > TWICE:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            return
        since.append(loop.time())
        log.info("told to stop: what runs on hosts is finished step by step; a second signal leaves at once")
        for one in stop:
            one(number)

    for number in SIGNALS:
        loop.add_signal_handler(number, told, number)
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)


async def _run(options: Options) -> int:
    notifier = Notifier()
    async with _service(options) as service:
        loop = service.loop
        async with serving(loop, service.metrics, Reader(options.folder), options.pages) as pages:
            where = ", ".join(pages.addresses) or "nowhere"
            log.info(
                f"following {options.place.described}",
                state=str(options.folder),
                pages=where,
            )

            def reload() -> None:
                notifier.reloading()
                log.info("reading everything again")
                loop.reload()
                notifier.ready()

            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)
            others = [asyncio.ensure_future(notifier.watch(loop.ill))]
            if options.alerts:
                others.append(asyncio.ensure_future(service.alerts.run()))
            with _until_told(lambda _: notifier.stopping(), lambda _: loop.stop()):
                notifier.ready()
                try:
                    await loop.run()
                finally:
                    for other in others:
                        other.cancel()
                    await asyncio.gather(*others, return_exceptions=True)
            log.info("left in order")
    return Exit.OK


async def _once(options: Options) -> int:
    received: list[int] = []
    async with _service(options) as service:
        one = asyncio.ensure_future(once(service.loop))
        code = Exit.OK
        with _until_told(received.append, lambda _: one.cancel()):
            with suppress(asyncio.CancelledError):
                code = await one
            await service.loop.close()
        if options.alerts:
            service.desk.flush(time.time())
            await service.alerts.flush(FAREWELL)
    return 128 + received[0] if received else code
