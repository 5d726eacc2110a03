"""What every request passes through before a page sees it, and every answer on its way out.

Used by `server.py` as aiohttp's middleware. Read-only by construction: nothing but the hook takes anything else than GET and
HEAD. What a page raises that it should not becomes a 500 with an id, under which the log tells the rest.
"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from providers.secret import redact
from reconciler import log
from reconciler.render.json_form import text_of
from reconciler.serve.doorman import Connection
from reconciler.serve.settings import Settings, own_name
from reconciler.text import shorten, visible

LONGEST_BODY = 1 << 20
HOOK = "/hooks/git"
OPEN = frozenset({"/healthz", "/readyz", HOOK})
"""Needs no token: probes have none, and forges sign instead."""
HEADERS = {
    "Server": "reconciler",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def document(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """JSON, pure ASCII, without secrets."""
    return web.Response(text=text_of(content), status=status, headers=headers, content_type="application/json")


def problem(status: int, error: str, hint: str = "", headers: dict[str, str] | None = None) -> web.Response:
    return document({"error": error, "hint": hint}, status, headers)


def guard(settings: Settings) -> Middleware:
    """The middleware for these settings."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        connection = _connection(request)
        if connection is not None:
            connection.begun()
        try:
            return _refusal(request, settings) or await _answer(request, handler, settings.limits.seconds)
        finally:
            if connection is not None:
                connection.ended()

    return guarded


async def harden(request: web.Request, answer: web.StreamResponse) -> None:
    """Also what aiohttp answers by itself once it knows the path."""
    answer.headers.update(HEADERS)


def _connection(request: web.Request) -> Connection | None:
    """None: it is gone already."""
    protocol = request.transport.get_protocol() if request.transport is not None else None
    return protocol if isinstance(protocol, Connection) else None


def _refusal(request: web.Request, settings: Settings) -> web.Response | None:
    """Why this request is not even looked at."""
    if settings.token is None:
        if request.path != HOOK and not own_name(request.headers.get("Host", "")):
            return problem(
                421,
                "this is not the name of the machine that was asked",
                "Without a token only requests for localhost or a loopback address are answered.",
            )
    elif request.path not in OPEN and not settings.token.equals(_bearer(request)):
        return problem(
            401,
            "a token is needed",
            "Send the header Authorization: Bearer TOKEN, with the content of the file that --token-file names.",
            {"WWW-Authenticate": 'Bearer realm="reconciler"'},
        )
    origin = request.headers.get("Origin")
    if origin is not None and _authority(origin) != request.headers.get("Host", "").lower():
        return problem(403, "pages of other sites are not answered")
    return None


def _bearer(request: web.Request) -> bytes:
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    return value.strip().encode(errors="surrogateescape") if scheme.lower() == "bearer" else b""


def _authority(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


async def _answer(request: web.Request, handler: Handler, seconds: float) -> web.StreamResponse:
    try:
        async with asyncio.timeout(seconds):
            return await handler(request)
    except TimeoutError:
        return problem(408, "the request, or its answer, took too long", headers={"Connection": "close"})
    except (web.RequestPayloadError, ConnectionError):
        return problem(400, "the body ended too early, or is not what its header says", headers={"Connection": "close"})
    except web.HTTPException as raised:
        return _as_document(request, raised)
    except Exception as raised:  # noqa: BLE001  the last line of defence: a fault of one page is no fault of the loop
        return problem(500, f"a fault of this program: {log.fault('a page could not be made', raised, path=request.path)}")


def _as_document(request: web.Request, raised: web.HTTPException) -> web.Response:
    """What the router or the reader of the body says, in our own form."""
    path = shorten(visible(redact(request.path)), 120)
    match raised:
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(raised.allowed_methods))
            return problem(405, f"{path} takes {allowed} only", headers={"Allow": allowed})
        case web.HTTPNotFound():
            return problem(404, f"there is nothing at {path}", "GET /api/v1 lists what there is.")
        case web.HTTPRequestEntityTooLarge():
            return problem(413, f"a body may have {LONGEST_BODY} bytes", headers={"Connection": "close"})
        case _:
            return problem(raised.status, raised.reason)
