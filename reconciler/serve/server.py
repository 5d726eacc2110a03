"""The pages of a running loop, served on its own event loop: health, metrics, read-only JSON, and the hook for git.

`reconciler/loop/service.py` holds `serving` open for as long as the loop runs. docs/api.md describes every path.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from reconciler.errors import CommandError
from reconciler.serve.api import Api
from reconciler.serve.doorman import Doorman
from reconciler.serve.guard import HOOK, LONGEST_BODY, document, guard, harden
from reconciler.serve.hooks import Hook
from reconciler.serve.knows import Ledger, Watched
from reconciler.serve.metrics import CONTENT_TYPE, Metrics
from reconciler.serve.settings import Listen, Settings

LONGEST_LINE = 4096
MOST_HEADERS = 64
THREADS = 4
"""A question to the history that takes long leaves room for the metrics."""
LEAVING = 2.0
"""Seconds that a request under way has when the loop ends."""


@dataclass(frozen=True, slots=True)
class Serving:
    """The pages, while they are there."""

    addresses: tuple[str, ...]
    """Where they really are: with port 0 the system has chosen one."""


@asynccontextmanager
async def serving(loop: Watched, metrics: Metrics, reader: Ledger | None, settings: Settings) -> AsyncIterator[Serving]:
    """Raises `CommandError` where the address cannot be had. `reader` None: there is no history."""
    if settings.listen is None:
        yield Serving(())
        return
    threads = ThreadPoolExecutor(THREADS, "pages")
    # No decompression: a small body could become a large one. No access log: the pages are asked every few seconds.
    runner = web.AppRunner(
        application(loop, metrics, reader, settings, threads),
        access_log=None,
        logger=_quiet(),
        auto_decompress=False,
        handle_signals=False,
        keepalive_timeout=30.0,
        lingering_time=1.0,
        max_field_size=LONGEST_LINE,
        max_headers=MOST_HEADERS,
        max_line_size=LONGEST_LINE,
        shutdown_timeout=LEAVING,
    )
    try:
        await runner.setup()
        assert runner.server is not None
        doorman = Doorman(runner.server, settings.limits)
        server = await _bound(settings.listen, doorman)
        try:
            yield Serving(tuple(_shown(one) for one in server.sockets))
        finally:
            server.close()
    finally:
        await runner.cleanup()
        threads.shutdown(wait=False, cancel_futures=True)


def application(
    loop: Watched, metrics: Metrics, reader: Ledger | None, settings: Settings, threads: ThreadPoolExecutor
) -> web.Application:
    """Every path that there is."""
    pages = Pages(loop, metrics, threads)
    hook = Hook(settings.hook, loop.hint, metrics.hook)
    app = web.Application(client_max_size=LONGEST_BODY, middlewares=[guard(settings)])
    app.on_response_prepare.append(harden)
    app.router.add_get("/healthz", pages.health)
    app.router.add_get("/readyz", pages.readiness)
    app.router.add_get("/metrics", pages.metrics)
    app.router.add_post(HOOK, hook.post)
    Api(loop, metrics, reader, threads).add_to(app.router)
    return app


@dataclass(frozen=True, slots=True)
class Pages:
    """What is asked by machines every few seconds."""

    loop: Watched
    seen: Metrics
    threads: ThreadPoolExecutor

    async def health(self, request: web.Request) -> web.Response:
        reason = self.loop.ill()
        return document({"healthy": reason is None, "reason": reason or ""}, 503 if reason else 200)

    async def readiness(self, request: web.Request) -> web.Response:
        reason = self.loop.unready()
        return document({"ready": reason is None, "reason": reason or ""}, 503 if reason else 200)

    async def metrics(self, request: web.Request) -> web.Response:
        """Written in a thread: a thousand hosts take a tenth of a second, in which the loop would stand still."""
        picture = self.seen.picture(self.loop.view(), self.loop.ill(), self.loop.unready())
        text = await asyncio.get_running_loop().run_in_executor(self.threads, self.seen.text, picture)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE})


async def _bound(listen: Listen, doorman: Doorman) -> asyncio.Server:
    try:
        return await asyncio.get_running_loop().create_server(
            doorman.connection, listen.address or None, listen.port, backlog=128, reuse_address=True
        )
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CommandError(
                f"--listen {listen}: something else listens there",
                "Choose another port, or --no-listen to serve no pages.",
            ) from error
        raise CommandError(
            f"--listen {listen}: {error.strerror or error}", "Name an address of this machine, or --no-listen."
        ) from error


def _shown(bound: socket.socket) -> str:
    address, port = bound.getsockname()[:2]
    return str(Listen(address, port))


def _quiet() -> logging.Logger:
    """For aiohttp: what is wrong with somebody's request is told to them and not to the log, which they could fill."""
    logger = logging.getLogger("aiohttp.server")
    logger.addFilter(_is_our_fault)
    return logger


def _is_our_fault(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))
