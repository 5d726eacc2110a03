"""Smoke tests where the SSH server passes no connections on: the host asks itself, with curl or GNU's wget."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from providers.smoke import Check, Smoke
from reconciler.smoke import ask as smoke_module
from reconciler.smoke.ask import Verdict, ask
from state.channel import Channel, ForwardingRefused
from tests.unit.reconciler.services import answer, over_ssh, saying, self_signed, serving, silent, without_end
from tests.unit.reconciler.test_smoke import closed_port

NO_FORWARDING = "AllowTcpForwarding no"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.setattr(smoke_module, "PAUSE", 0.05)


@pytest_asyncio.fixture
async def channel(tmp_path: Path) -> AsyncIterator[Channel]:
    async with over_ssh(tmp_path / "ssh", NO_FORWARDING) as (channel, _):
        yield channel


async def asked(channel: Channel, port: int, **settings: Any) -> Verdict:
    return await ask(channel, Check((Smoke(**{"tries": 1, "deadline": 5, **settings}),), port))


async def test_curl_on_the_host_asks_the_same_and_brings_the_same(channel: Channel) -> None:
    page = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-App: v2\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    async with serving(saying(page)) as service:
        settings = {"http": "/x/../y?a='$(id)", "host": "site.lan", "send": {"X-It": "'; touch x #"}}
        verdict = await asked(channel, service.port, contains="hello", headers={"X-App": "v2"}, **settings)
    assert verdict.ok, verdict.words
    request = service.asked[0]
    assert request.startswith(b"GET /x/../y?a='$(id) HTTP/1.1\r\n")
    for line in (b"Host: site.lan", b"X-It: '; touch x #", b"Accept-Encoding: identity", b"User-Agent: reconcile"):
        assert line + b"\r\n" in request


async def test_a_body_is_posted_by_curl_as_it_is(channel: Channel) -> None:
    async with serving(saying(answer())) as service:
        verdict = await asked(
            channel, service.port, method="POST", body="@/etc/passwd '\\n\n%s é", send={"content-type": "a/b"}
        )
        assert verdict.ok, verdict.words
        assert (await asked(channel, service.port, method="POST")).ok
    head, _, body = service.asked[0].partition(b"\r\n\r\n")
    assert body == "@/etc/passwd '\\n\n%s é".encode()
    assert b"content-type: a/b\r\n" in head
    assert b"Content-Type" not in service.asked[1]


async def test_the_head_alone_can_be_asked_for(channel: Channel) -> None:
    async with serving(saying(b"HTTP/1.1 204 Nothing\r\nContent-Length: 100\r\n\r\n")) as service:
        verdict = await asked(channel, service.port, method="HEAD", status=204)
    assert verdict.ok, verdict.words
    assert service.asked[0].startswith(b"HEAD / ")


async def test_a_wrong_answer_is_told_as_over_a_stream(channel: Channel) -> None:
    async with serving(saying(answer(b"upstream down", "502 Bad Gateway", "Location: http://127.0.0.1:1/"))) as service:
        verdict = await asked(channel, service.port)
    assert verdict.words.startswith(f"GET / on port {service.port}: status 502, expected 200 (1 try in ")
    assert "\n< HTTP/1.1 502 Bad Gateway\n" in verdict.words
    assert verdict.words.endswith("\nupstream down")


async def test_redirects_are_not_followed_by_the_host_either(channel: Channel) -> None:
    async with serving(saying(answer(b"", "302 Found", "Location: /elsewhere"))) as service:
        assert (await asked(channel, service.port, status=302)).ok
    assert len(service.asked) == 1


async def test_tls_is_spoken_with_the_name_of_the_site(channel: Channel, tmp_path: Path) -> None:
    names = []
    context = self_signed(tmp_path)
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    async with serving(saying(answer(b"end")), tls=context) as service:
        verdict = await asked(channel, service.port, https=True, host="site.lan", contains="end")
    assert verdict.ok, verdict.words
    assert names == ["site.lan"]


async def test_a_body_without_end_is_cut_and_the_connection_stays_usable(channel: Channel) -> None:
    async with serving(without_end) as service:
        verdict = await asked(channel, service.port, contains="more and more")
    assert verdict.ok, verdict.words
    assert (await channel.run(b"echo next\n")).stdout == b"next\n"


async def test_who_is_silent_refuses_or_talks_nonsense_is_told(channel: Channel) -> None:
    async with serving(silent) as service:
        assert "no answer within 1.0 s" in (await asked(channel, service.port, deadline=1)).words
    verdict = await asked(channel, closed_port())
    assert "nothing accepts connections at 127.0.0.1:" in verdict.words
    async with serving(saying(b"")) as service:
        assert "closed without an answer" in (await asked(channel, service.port)).words
    async with serving(saying(b"SSH-2.0-x\r\n")) as service:
        assert "GET / on port" in (verdict := await asked(channel, service.port)).words
        assert not verdict.ok


async def test_a_connection_can_be_tried_without_http(channel: Channel) -> None:
    async with serving(saying(b"220 mail\r\n", 3.0), greets=True) as service:
        verdict = await asked(channel, service.port, tcp=True, contains="220 ", within=900)
    assert verdict.ok, verdict.words
    assert "nothing accepts" in (await asked(channel, closed_port(), tcp=True)).words


async def test_where_there_is_nothing_to_ask_with_nothing_is_said_about_the_service(tmp_path: Path) -> None:
    tools = f"SetEnv PATH={tmp_path}/nothing HOME={tmp_path}"
    async with over_ssh(tmp_path / "ssh", NO_FORWARDING, tools) as (channel, _), serving(saying(answer())) as service:
        with pytest.raises(ForwardingRefused, match="the SSH server of nas passes no connections on") as refused:
            await asked(channel, service.port)
    assert "has no curl that could ask instead" in str(refused.value)
    assert "AllowTcpForwarding local" in refused.value.hint
    assert "or install curl there" in refused.value.hint


async def test_wget_is_asked_where_there_is_no_curl(tmp_path: Path) -> None:
    """A stand-in that speaks as GNU's does, because few machines have both tools: answers come from real services."""
    tools = tmp_path / "tools"
    tools.mkdir()
    curl = shlex.quote(str(shutil.which("curl")))
    (tools / "wget").write_text(
        "#!/bin/sh\n[ \"$1\" = --version ] && echo 'GNU Wget 1.25.0 built' && exit 0\n"
        f'for url; do :; done\nprintf "%s\\n" "$@" >{tmp_path}/arguments\n'
        f'{curl} -q -s -D {tmp_path}/head "$url"\n'
        f'while IFS= read -r line; do printf "  %s\\n" "$line" >&2; done <{tmp_path}/head\n'
    )
    (tools / "wget").chmod(0o755)
    environment = f"SetEnv PATH={tools} HOME={tmp_path}"
    async with (
        over_ssh(tmp_path / "ssh", NO_FORWARDING, environment) as (channel, _),
        serving(saying(answer(b"hello", "404 Not Found", "X-App: v2"))) as service,
    ):
        verdict = await asked(channel, service.port, status=404, contains="hello", headers={"X-App": "v2"})
        assert verdict.ok, verdict.words
        with pytest.raises(ForwardingRefused):
            await asked(channel, service.port, method="POST")
    arguments = (tmp_path / "arguments").read_text()
    assert "--max-redirect=0\n--content-on-error\n" in arguments
    assert "--header=Host: localhost\n" in arguments
