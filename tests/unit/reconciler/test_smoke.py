"""Smoke tests against real services on loopback, through a real sshd and on this machine itself."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import signal
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from providers.secret import Secret
from providers.smoke import Check, Smoke
from reconciler.smoke import ask as smoke_module
from reconciler.smoke.ask import Verdict, ask
from state.channel import Channel, Unreachable
from state.connect import connect
from state.target import Target
from tests.unit.reconciler.services import answer, over_ssh, saying, self_signed, serving, silent, without_end


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the developer's own settings is seen; and nobody waits a whole second between two tries."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.setattr(smoke_module, "PAUSE", 0.05)


@pytest_asyncio.fixture(params=["ssh", "local"])
async def channel(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Channel]:
    if request.param == "local":
        yield await connect(Target("here", "local"))
    else:
        async with over_ssh(tmp_path / "ssh") as (channel, _):
            yield channel


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


async def asked(channel: Channel, port: int, **settings: Any) -> Verdict:
    return await ask(channel, Check((Smoke(**{"tries": 1, "deadline": 5, **settings}),), port))


async def test_a_right_answer_passes_and_says_how_long_it_took(channel: Channel) -> None:
    page = answer(b"<title>Site</title>", "200 OK", "Content-Type: text/html")
    async with serving(saying(page)) as service:
        verdict = await asked(channel, service.port, contains="<title>", headers={"content-type": "TEXT/html"}, within=4000)
    assert verdict.ok, verdict.words
    assert verdict.words.startswith(f"GET / on port {service.port}: status 200 in ")
    request = service.asked[0].decode()
    assert request.startswith("GET / HTTP/1.1\r\nHost: localhost\r\n")
    assert "Accept-Encoding: identity\r\n" in request


async def test_what_is_sent_is_what_was_written(channel: Channel) -> None:
    async with serving(saying(answer())) as service:
        settings = {"method": "POST", "body": '{"a": "é"}', "http": "/x?y=%20&z='", "host": "site.lan"}
        verdict = await asked(channel, service.port, send={"X-Forwarded-Proto": "https", "user-agent": "mine"}, **settings)
    assert verdict.ok, verdict.words
    head, _, body = service.asked[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /x?y=%20&z=' HTTP/1.1\r\nHost: site.lan\r\n")
    assert b"X-Forwarded-Proto: https" in head
    assert head.lower().count(b"user-agent") == 1
    assert body == '{"a": "é"}'.encode()


async def test_a_wrong_answer_is_told_with_what_was_asked_and_what_came(channel: Channel) -> None:
    body = b"upstream \x1b[31mdown\xff " + b"x" * 5000
    page = answer(body, "502 Bad Gateway", "Content-Type: text/plain", "Server: nginx\x9b1m", "X-Other: no")
    async with serving(saying(page)) as service:
        verdict = await asked(channel, service.port, contains="<title>", tries=3, headers={"X-App": "v2"})
    first, *rest = verdict.words.split("\n")
    assert not verdict.ok
    assert first.startswith(f"GET / on port {service.port}: status 502, expected 200; there is no header X-App; ")
    assert 'the body does not contain "<title>" (3 tries in ' in first
    assert rest[:5] == [
        "> GET / HTTP/1.1, Host: localhost",
        "< HTTP/1.1 502 Bad Gateway",
        f"< content-length: {len(body)}",
        "< content-type: text/plain",
        "< server: nginx\\u009b1m",
    ]
    assert rest[5].startswith("upstream \\x1b[31mdown\\xff xxx")
    assert rest[6] == f"… ({len(body)} bytes in all)"
    assert len(verdict.words) < 2600
    assert len(service.asked) == 3


async def test_a_secret_that_the_service_repeats_is_hidden_before_anything_is_cut(channel: Channel) -> None:
    Secret(b"correct horse battery", "1")
    async with serving(saying(answer(b"x" * 1990 + b"correct horse battery", "500 No"))) as service:
        verdict = await asked(channel, service.port)
    assert "correct" not in verdict.words
    assert "[secret]" in verdict.words


@pytest.mark.parametrize(
    ("status", "line", "ok"),
    [
        (302, "302 Found", True),
        ([301, 302], "302 Found", True),
        ([200, 204], "302 Found", False),
        (None, "404 Not Found", True),
        (None, "503 No", False),
        (204, "204 No Content", True),
    ],
)
async def test_a_status_is_what_it_is_and_redirects_are_not_followed(status: object, line: str, ok: bool) -> None:
    elsewhere = "Location: http://127.0.0.1:1/never"
    async with serving(saying(f"HTTP/1.1 {line}\r\n{elsewhere}\r\nContent-Length: 0\r\n\r\n".encode())) as service:
        verdict = await asked(await connect(Target("here", "local")), service.port, status=status)
    assert verdict.ok is ok, verdict.words
    assert len(service.asked) == 1


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"status": "ok", "n": 1.0, "nodes.1.up": True, "a.b": "dotted", "nodes.0": {"up": False}, "a.b.c": None}, ""),
        ({"status": "down"}, 'status is "ok", expected "down"'),
        ({"n": True}, "n is 1, expected true"),
        ({"nodes.2.up": True}, "nodes.2.up is missing"),
        ({"status.x": 1}, "status.x is missing"),
        ({"nodes.-1": 1}, "nodes.-1 is missing"),
    ],
)
async def test_fields_of_json_are_compared_as_json_compares(fields: dict[str, object], fault: str) -> None:
    document = {"status": "ok", "n": 1, "nodes": [{"up": False}, {"up": True}], "a.b": "dotted", "a": {"b": {"c": None}}}
    async with serving(saying(answer(json.dumps(document).encode()))) as service:
        verdict = await asked(await connect(Target("here", "local")), service.port, fields=fields)
    assert verdict.ok is not bool(fault), verdict.words
    assert fault in verdict.words


@pytest.mark.parametrize("body", [b"<html>", b"", b"[" * 100_000, b"\xff{", b"1" * 5000])
async def test_what_is_no_json_is_said_to_be_none(body: bytes) -> None:
    async with serving(saying(answer(body))) as service:
        verdict = await asked(await connect(Target("here", "local")), service.port, fields={"a": 1})
    assert "a is missing" in verdict.words or "the body is no JSON" in verdict.words


async def test_chunked_and_packed_bodies_are_read(channel: Channel) -> None:
    packed = gzip.compress(b"a needle in hay")
    chunks = b"%x\r\n%s\r\n0\r\nX-Trailer: 1\r\n\r\n" % (len(packed), packed)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n"
    async with serving(saying(head, chunks)) as service:
        verdict = await asked(channel, service.port, contains="needle")
    assert verdict.ok, verdict.words


async def test_a_bomb_of_packed_zeros_stays_small(channel: Channel) -> None:
    packed = gzip.compress(bytes(200 << 20), 1)
    async with serving(saying(answer(packed, "200 OK", "Content-Encoding: gzip"))) as service:
        verdict = await asked(channel, service.port, contains="needle")
    assert "the body does not contain" in verdict.words.partition("\n")[0] or "does not contain" in verdict.words
    assert len(verdict.words) < 20_000


async def test_of_a_body_without_end_the_first_mebibyte_counts(channel: Channel) -> None:
    async with serving(without_end) as service:
        assert (await asked(channel, service.port, contains="more and more")).ok
        verdict = await asked(channel, service.port, contains="the end")
    assert 'the first 1 MiB of the body does not contain "the end"' in verdict.words
    assert verdict.words.endswith("… (more than 1048576 bytes in all)")


async def test_preliminaries_without_end_are_given_up(channel: Channel) -> None:
    async def handler(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            writer.write(b"HTTP/1.1 102 Processing\r\n\r\n" * 100)
            await writer.drain()

    async with serving(handler) as service:
        verdict = await asked(channel, service.port, deadline=30)
    assert "the answer is not complete" in verdict.words


async def test_a_service_that_never_answers_is_told_after_the_deadline(channel: Channel) -> None:
    began = time.monotonic()
    async with serving(silent) as service:
        verdict = await asked(channel, service.port, deadline=1, tries=30)
    assert f"GET / on port {service.port}: no answer within 1.0 s (1 try in 1." in verdict.words
    assert time.monotonic() - began < 3


async def test_an_answer_that_stalls_is_shown_as_far_as_it_came(channel: Channel) -> None:
    async with serving(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nthe beginning", 3.0)) as service:
        verdict = await asked(channel, service.port, deadline=1)
    assert "the answer did not end within 1.0 s" in verdict.words
    assert verdict.words.endswith("the beginning")


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        (b"", "the connection was closed without an answer"),
        (b"SSH-2.0-OpenSSH_9\r\n\r\n\r\n", "what answers there does not speak HTTP/1.1"),
        (b"\x00" * 100, "what answers there does not speak HTTP/1.1"),
        (b"x" * 200_000, "what answers there does not speak HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "the answer breaks off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "the answer breaks off or is garbled"),
    ],
)
async def test_garbage_is_no_answer(channel: Channel, said: bytes, fault: str) -> None:
    async with serving(saying(said)) as service:
        verdict = await asked(channel, service.port)
    assert not verdict.ok
    assert fault in verdict.words


async def test_a_late_answer_is_wrong_however_right_it_is(channel: Channel) -> None:
    async with serving(saying(0.3, answer())) as service:
        verdict = await asked(channel, service.port, within=200)
        assert not verdict.ok
        assert " ms, more than 200 (1 try" in verdict.words
        assert (await asked(channel, service.port, within=4000)).ok


async def test_a_service_that_comes_up_meanwhile_is_waited_for(channel: Channel) -> None:
    port = closed_port()
    waiting = asyncio.ensure_future(asked(channel, port, tries=100, deadline=10))
    await asyncio.sleep(0.4)
    async with serving(saying(answer()), port=port):
        verdict = await waiting
    assert verdict.ok
    assert ", at try " in verdict.words


async def test_a_port_where_nothing_listens_is_named(channel: Channel) -> None:
    verdict = await asked(channel, port := closed_port(), tries=2)
    assert not verdict.ok
    assert f"GET / on port {port}: nothing accepts connections at 127.0.0.1:{port} on " in verdict.words
    assert ": Connection refused (2 tries in " in verdict.words


async def test_a_service_that_listens_on_the_newer_loopback_alone_is_found(channel: Channel) -> None:
    async with serving(saying(answer()), host="::1") as service:
        assert (await asked(channel, service.port)).ok


async def test_tls_with_a_certificate_that_nobody_vouches_for_is_spoken(channel: Channel, tmp_path: Path) -> None:
    names = []
    context = self_signed(tmp_path)
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    async with serving(saying(answer(b"x" * 300_000 + b"end")), tls=context) as service:
        verdict = await ask(channel, Check((Smoke(contains="end", tries=1),), service.port, https=True, host="site.lan:8443"))
    assert verdict.ok, verdict.words
    assert names == ["site.lan"]
    assert b"Host: site.lan:8443\r\n" in service.asked[0]


async def test_a_service_without_tls_is_told_apart(channel: Channel) -> None:
    async with serving(saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"), greets=True) as service:
        verdict = await asked(channel, service.port, https=True)
    assert "with TLS: no TLS is to be had there: WRONG_VERSION_NUMBER" in verdict.words
    async with serving(saying(), greets=True) as service:
        verdict = await asked(channel, service.port, https=True)
    assert "the connection was closed before TLS was agreed on" in verdict.words


async def test_without_http_a_connection_that_stays_is_enough(channel: Channel) -> None:
    async with serving(silent, greets=True) as service:
        verdict = await asked(channel, service.port, tcp=True)
        assert verdict.words.startswith(f"connection to port {service.port}: accepted in ")
    async with serving(saying(b"220 mail.example ESMTP\r\n", 1.0), greets=True) as service:
        assert (await asked(channel, service.port, tcp=True, contains="220 ")).ok
        verdict = await asked(channel, service.port, tcp=True, contains="SSH-", deadline=1)
        assert not verdict.ok
        assert "220 mail.example ESMTP" in verdict.words


async def test_a_connection_that_is_closed_at_once_is_no_service(channel: Channel) -> None:
    async with serving(saying(), greets=True) as service:
        verdict = await asked(channel, service.port, tcp=True)
    assert "the connection was closed at once" in verdict.words


async def test_the_first_test_that_fails_is_the_verdict(channel: Channel) -> None:
    async with serving(saying(answer())) as service:
        tests = (Smoke(), Smoke(contains="absent", tries=1), Smoke(http="/never"))
        verdict = await ask(channel, Check(tests, service.port))
        passed = await ask(channel, Check((Smoke(), Smoke(http="/x")), service.port))
    assert not verdict.ok
    assert verdict.words.startswith("GET / on port")
    assert not [head for head in service.asked if head.startswith(b"GET /never")]
    assert [line.partition(" on ")[0] for line in passed.words.splitlines()] == ["GET /", "GET /x"]


async def test_a_port_that_nobody_named_and_a_name_that_is_none_are_told() -> None:
    channel = await connect(Target("here", "local"))
    assert "names no port" in (await ask(channel, Check((Smoke(),)))).words
    assert "cannot be the name" in (await ask(channel, Check((Smoke(),), 80, host="a\r\nb"))).words


async def test_a_connection_that_breaks_says_nothing_about_the_service(tmp_path: Path) -> None:
    async with over_ssh(tmp_path / "ssh") as (channel, server), serving(silent) as service:
        running = asyncio.ensure_future(asked(channel, service.port, deadline=20))
        while not service.asked:
            await asyncio.sleep(0.01)
        server.signal_connections(signal.SIGKILL)
        with pytest.raises(Unreachable):
            await running


async def test_a_host_that_hangs_is_not_a_service_that_fails(tmp_path: Path) -> None:
    async with over_ssh(tmp_path / "ssh") as (channel, server), serving(silent) as service:
        running = asyncio.ensure_future(asked(channel, service.port, deadline=1))
        while not service.asked:
            await asyncio.sleep(0.01)
        server.signal_connections(signal.SIGSTOP)
        with pytest.raises(Unreachable):
            await running
        with contextlib.suppress(Unreachable):
            await channel.run(b":\n", deadline=1)


async def test_a_question_that_is_cancelled_leaves_no_connection_behind(channel: Channel) -> None:
    ended = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()
        ended.set()

    async with serving(handler) as service:
        running = asyncio.ensure_future(asked(channel, service.port))
        while not service.asked:
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await asyncio.wait_for(ended.wait(), 5)
