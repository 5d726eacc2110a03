"""What every request passes through: who may ask, by which name, with which method, for how long."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.secret import Secret
from reconciler import log
from reconciler.loop.view import HostView, LoopView
from reconciler.serve import guard
from reconciler.serve.settings import Limits, Settings
from tests.unit.reconciler.serve.pages import ANY_PORT, HOOK, TOKEN, Pages, StillLoop, pages

GUARDED = Settings(ANY_PORT, token=TOKEN, hook=HOOK)
BEARER = {"Authorization": "Bearer a-token-of-the-tests"}
GET = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"
CLOSED_PAGES = ["/metrics", "/api/v1", "/api/v1/status", "/api/v1/hosts/nas", "/api/v1/plan/nas", "/nothing", "/", "//healthz"]


@pytest.mark.parametrize("path", CLOSED_PAGES)
async def test_with_a_token_nothing_is_shown_without_it(path: str) -> None:
    async with pages(GUARDED) as served:
        status, document, headers = await served.get(path)
        assert status == 401
        assert headers["WWW-Authenticate"] == 'Bearer realm="reconciler"'
        assert "Authorization: Bearer" in document["hint"]
        assert (await served.get(path, **BEARER))[0] in {200, 404}


@pytest.mark.parametrize(
    "value",
    [
        *("", "Bearer", "Bearer ", "a-token-of-the-tests", "Basic a-token-of-the-tests", "Bearer a-token-of-the-test"),
        *("Bearer a-token-of-the-tests2", "Bearer ü", "Bearer a-secret-of-the-tests", "Bearer A-TOKEN-OF-THE-TESTS"),
    ],
)
async def test_what_is_not_quite_the_token_is_not_the_token(value: str) -> None:
    async with pages(GUARDED) as served:
        assert (await served.get("/api/v1/status", Authorization=value))[0] == 401


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_probes_need_no_token_and_answer_under_any_name(path: str) -> None:
    async with pages(GUARDED) as served:
        assert (await served.get(path, Host="loop.example.org"))[0] == 200


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/api/v1/status"])
async def test_without_a_token_a_page_that_came_by_another_name_is_refused(path: str) -> None:
    """A browser on this machine that was led here by a changed DNS answer."""
    async with pages() as served:
        status, document, _ = await served.get(path, Host="evil.example")
        assert status == 421
        assert "localhost" in document["hint"]
        assert (await served.get(path, Host=f"localhost:{served.port}"))[0] == 200


async def test_a_page_of_another_site_gets_nothing() -> None:
    async with pages() as served:
        own = f"http://127.0.0.1:{served.port}"
        assert (await served.get("/api/v1/status", Origin=own))[0] == 200
        for origin in ("https://evil.example", "null", "http://127.0.0.1", "http://[", ""):
            status, _, headers = await served.get("/api/v1/status", Origin=origin)
            assert status == 403
            assert not [name for name in headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/api/v1", "/api/v1/status", "/api/v1/hosts/nas"])
async def test_pages_are_only_read(path: str) -> None:
    async with pages() as served:
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
            status, _, headers = await served.ask(method, path, body=b"{}")
            assert (status, headers["Allow"]) == (405, "GET, HEAD")
        assert (await served.ask("HEAD", path))[0] == 200
    assert served.loop.hints == []


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/api/v1/status", "/nothing", "/hooks/git"])
async def test_every_answer_carries_the_headers_that_keep_browsers_from_using_it(path: str) -> None:
    async with pages() as served:
        headers = (await served.get(path))[2]
    assert guard.HEADERS.items() <= headers.items()


async def test_so_does_what_is_refused_before_any_page_is_asked() -> None:
    async with pages(Settings(ANY_PORT, hook=HOOK)) as served:
        for sent in (
            b"POST /hooks/git HTTP/1.1\r\nHost: localhost\r\nExpect: nonsense\r\nContent-Length: 2\r\n\r\n{}",
            b"CONNECT x:1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            b"GET /hooks%2Fgit HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        ):
            answer = await served.raw(sent).answer()
            assert answer.startswith(b"HTTP/1.1 4"), answer
            assert b"\r\nServer: reconciler\r\n" in answer
            assert b"\r\nX-Content-Type-Options: nosniff\r\n" in answer


async def test_a_fault_of_a_page_is_an_id_outside_and_a_record_in_the_log(tmp_path: Path) -> None:
    class Broken(StillLoop):
        def view(self) -> LoopView:
            raise ZeroDivisionError("the inside of the program")

    path = tmp_path / "log"
    with path.open("w") as file:
        log.set_up("json", descriptor=file.fileno())
    try:
        async with pages(loop=Broken()) as served:
            status, document, _ = await served.get("/api/v1/status")
            healthy = (await served.get("/healthz"))[0]
    finally:
        log.close()
    assert (status, healthy) == (500, 200)
    assert "inside" not in json.dumps(document)
    assert "Traceback" not in json.dumps(document)
    record = next(record for record in map(json.loads, path.read_text().splitlines()) if "fault" in record)
    assert document["error"] == f"a fault of this program: {record['fault']}"
    assert "ZeroDivisionError: the inside of the program" in record["error"]


async def test_a_secret_is_in_no_answer() -> None:
    secret = Secret(b"not-for-anybodys-eyes", "v1")
    view = LoopView(version=secret.text())
    async with pages(loop=StillLoop(view, illness=f"said {secret.text()}", lack=secret.text())) as served:
        for path in ("/healthz", "/readyz", "/api/v1/status", f"/{secret.text()}", f"/api/v1/hosts/{secret.text()}"):
            assert "eyes" not in json.dumps((await served.get(path))[1])


@pytest.mark.parametrize(
    "request_",
    [
        b"GARBAGE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20,
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"X: a\r\n" * 200 + b"\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n",
    ],
    ids=lambda sent: repr(sent[:30]),
)
async def test_a_malformed_request_is_refused_and_not_worth_a_line_in_the_log(request_: bytes, tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("w") as file:
        log.set_up("text", descriptor=file.fileno())
    try:
        async with pages() as served:
            answer = await served.raw(request_).answer()
            assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")), answer[:200]
            assert b"Traceback" not in answer
            assert (await served.get("/healthz"))[0] == 200
    finally:
        log.close()
    assert path.read_text() == ""


HEADER = st.binary(max_size=40).map(lambda raw: raw.translate(None, b"\r\n"))


async def _status_of(served: Pages, sent: bytes) -> int | None:
    answer = await served.raw(sent).answer()
    return int(answer[9:12]) if answer.startswith(b"HTTP/1.") else None


@given(st.lists(st.tuples(st.binary(max_size=60), HEADER, HEADER), min_size=1, max_size=5))
def test_no_path_and_no_header_is_a_fault(asked: list[tuple[bytes, bytes, bytes]]) -> None:
    async def ask() -> None:
        async with pages(GUARDED) as served:
            for path, token, host in asked:
                lines = (
                    b"GET /api/v1/%s HTTP/1.1" % bytes(byte for byte in path if byte > 32),
                    b"Host: " + host,
                    b"Authorization: Bearer " + token,
                    b"Connection: close",
                )
                assert await _status_of(served, b"\r\n".join(lines) + b"\r\n\r\n") in {None, 400, 401}
                lines = (lines[0], b"Host: localhost", b"Authorization: Bearer a-token-of-the-tests", b"Connection: close")
                assert await _status_of(served, b"\r\n".join(lines) + b"\r\n\r\n") in {200, 400, 404}

    asyncio.run(ask())


def impatient(*, patience: float = 0.3, places: int = 64) -> Settings:
    """Limits that are reached within a test's time."""
    return Settings(ANY_PORT, hook=HOOK, limits=Limits(places, patience, patience))


@pytest.mark.parametrize("sent", [b"", b"GET /hea", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: "])
async def test_who_never_ends_a_header_is_shown_out(sent: bytes) -> None:
    async with pages(impatient()) as served:
        began = time.monotonic()
        assert await served.raw(sent).answer() == b""
        assert time.monotonic() - began < 3


async def test_who_sends_a_header_byte_by_byte_is_shown_out_all_the_same() -> None:
    async with pages(impatient()) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        ended = asyncio.ensure_future(reader.read())
        for _ in range(150):
            if ended.done():
                break
            writer.write(b"X")
            await asyncio.sleep(0.02)
        assert ended.done()
        await asyncio.gather(ended, return_exceptions=True)
        writer.close()


async def test_who_asks_for_much_and_takes_nothing_is_shown_out() -> None:
    hosts = tuple(HostView(host=f"host{number}", problem="x" * 500) for number in range(500))
    async with pages(impatient(), StillLoop(LoopView(hosts=hosts))) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=1024)
        asked = 40
        writer.write(GET % b"/api/v1/hosts?limit=500" * asked)
        await asyncio.sleep(2)
        received = b""
        with suppress(ConnectionError):
            while piece := await reader.read(1 << 20):
                received += piece
        assert received.count(b"HTTP/1.1 200 OK") < asked
        writer.close()


async def test_who_never_ends_a_body_is_told_so_and_shown_out() -> None:
    async with pages(impatient()) as served:
        sent = b"POST /hooks/git HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"
        began = time.monotonic()
        assert (await served.raw(sent).answer()).startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - began < 3


async def test_a_body_that_ends_too_early_or_is_malformed_is_no_fault() -> None:
    async with pages(Settings(ANY_PORT, hook=HOOK)) as served:
        sent = b"POST /hooks/git HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
        assert (await served.raw(sent).answer()).startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
        assert (await served.get("/healthz"))[0] == 200


async def test_who_takes_all_places_and_keeps_still_does_not_lock_the_others_out() -> None:
    async with pages(impatient(patience=60, places=8)) as served:
        taken = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(40)]
        try:
            for _ in range(3):
                assert (await served.get("/healthz"))[0] == 200
            answers = [await served.raw(GET % b"/healthz", wait=0.5).first() for _ in range(3)]
            assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)
        finally:
            for _, writer in taken:
                writer.close()


async def test_a_connection_is_kept_between_requests_and_closed_when_it_is_idle() -> None:
    async with pages(impatient(patience=0.4)) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        for _ in range(4):
            writer.write(GET % b"/healthz")
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
            await reader.readuntil(b"}\n")
            await asyncio.sleep(0.2)
        assert await reader.read() == b""
        writer.close()
