"""Asks the smoke tests of a project, through the connection to the host: the steps with a `check`, between two scripts.

Called by the cycle while a plan is applied. Each test is asked until its answer is right, its tries are used up or its deadline
has passed. Nothing runs on the host for it, but where its SSH server passes no connections on (`smoke/script.py`).

    ask.py     tries, deadlines, and the verdict
    http.py    one question and its answer, with TLS or without
    judge.py   whether an answer is the expected one, and how a wrong one is told
    script.py  the same question, asked by the host's own curl or wget
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from dataclasses import dataclass, field

from providers.smoke import Check, Smoke, is_host_name
from reconciler.smoke.http import Answer, Question, Tls, converse
from reconciler.smoke.judge import late, transcript, wrong
from reconciler.smoke.script import ask_tcp_there, ask_there
from reconciler.text import plural, visible
from state.channel import Channel, ForwardingRefused, PortClosed, Stream

PAUSE = 1.0
"""Seconds between two tries."""
PATIENCE = 10.0
"""Seconds that one try may take, if the deadline does not give each of them more."""
LINGER = 0.25
"""Seconds after which a connection that stays open counts as accepted: some accept for a service that is not there."""
_SIGN_OF_LIFE = 15.0
_GREETING = 4096


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a check. `words` is one sentence per test that was right, or one for the test that was not, with what was
    asked and answered on the lines below it. Free of control characters; not free of secrets that only a sink would know."""

    ok: bool
    words: str


@dataclass(slots=True)
class _Try:
    """One try, as far as it came."""

    answer: Answer = field(default_factory=Answer)
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    problem: str = ""
    silent: bool = False
    """Time ran out: it may be the way to the host that is broken."""


async def ask(channel: Channel, check: Check) -> Verdict:
    """Asks all tests of `check` in order, up to the first that fails.

    Raises `HostError` when the host cannot be asked: then nothing is known about the service, for good or for ill.
    """
    passed = []
    for smoke in check.smokes:
        port = smoke.port or check.port
        if port is None:
            return Verdict(ok=False, words="a smoke test names no port, and there is no slot or proxy to take it from")
        verdict = await _Asker(channel, check, smoke, port).verdict()
        if not verdict.ok:
            return verdict
        passed.append(verdict.words)
    return Verdict(ok=True, words="\n".join(passed))


class _Asker:
    """One test."""

    def __init__(self, channel: Channel, check: Check, smoke: Smoke, port: int) -> None:
        self._channel = channel
        self._smoke = smoke
        self._port = port
        self._https = smoke.https or check.https
        self._host = smoke.host or check.host or "localhost"
        self._refused: ForwardingRefused | None = None
        """The SSH server passes no connections on: the host asks itself."""

    @property
    def _name(self) -> str:
        if self._smoke.tcp:
            return f"connection to port {self._port}"
        return f"{self._smoke.method} {self._smoke.http} on port {self._port}{' with TLS' if self._https else ''}"

    @property
    def _question(self) -> Question:
        smoke = self._smoke
        own = {"host": self._host, "user-agent": "reconcile", "accept": "*/*", "accept-encoding": "identity"}
        sent = {name.lower() for name in smoke.send}
        headers = [(name.title(), value) for name, value in own.items() if name not in sent]
        return Question(
            smoke.method,
            smoke.http,
            (*headers, *smoke.send.items(), ("Connection", "close")),
            (smoke.body or "").encode(),
        )

    async def verdict(self) -> Verdict:
        smoke = self._smoke
        if not is_host_name(self._host):
            return Verdict(
                ok=False, words=f'{self._name}: "{visible(self._host)}" cannot be the name that a server is asked by'
            )
        began = time.monotonic()
        end = began + smoke.deadline
        longest = min(max(PATIENCE, smoke.deadline / smoke.tries), smoke.deadline)
        number = 1
        tried = await self._try(longest)
        while tried.problem and number < smoke.tries and end - time.monotonic() > PAUSE:
            await asyncio.sleep(PAUSE)
            number += 1
            tried = await self._try(min(longest, end - time.monotonic()))
        if not tried.problem:
            return Verdict(ok=True, words=self._right(tried, number))
        if tried.silent:  # before the service is blamed: does the host itself still answer?
            await self._channel.run(b":\n", deadline=_SIGN_OF_LIFE)
        tries = f"{plural(number, 'try', 'tries')} in {time.monotonic() - began:.1f} s"
        told = transcript(None if smoke.tcp else self._question, tried.answer, smoke)
        return Verdict(ok=False, words=f"{self._name}: {tried.problem} ({tries})\n{told}".rstrip("\n"))

    def _right(self, tried: _Try, number: int) -> str:
        what = "accepted" if self._smoke.tcp else f"status {tried.answer.status}"
        return f"{self._name}: {what} in {tried.seconds * 1000:.0f} ms" + (f", at try {number}" if number > 1 else "")

    async def _try(self, seconds: float) -> _Try:
        """One try of at most `seconds`."""
        tried = _Try()
        try:
            async with asyncio.timeout(seconds):
                if self._refused is None:
                    try:
                        await self._over_a_stream(tried, seconds)
                    except ForwardingRefused as refused:
                        self._refused = refused
                        tried.began = time.monotonic()
                if self._refused is not None:
                    await self._on_the_host(tried, seconds, self._refused)
        except TimeoutError:
            tried.silent = True
            begun = tried.answer.status is not None
            tried.answer.trouble = f"{'the answer did not end' if begun else 'no answer'} within {seconds:.1f} s"
        except PortClosed as closed:
            tried.problem = visible(str(closed))
        except ssl.SSLEOFError:
            tried.problem = "the connection was closed before TLS was agreed on"
        except ssl.SSLError as error:
            tried.problem = f"no TLS is to be had there: {visible(error.reason or type(error).__name__)}"
        tried.seconds = tried.seconds or time.monotonic() - tried.began
        if not tried.problem:
            tried.problem = self._tcp_fault(tried) if self._smoke.tcp else wrong(self._smoke, tried.answer, tried.seconds)
        return tried

    async def _over_a_stream(self, tried: _Try, seconds: float) -> None:
        stream = await self._open(seconds)
        try:
            if self._smoke.tcp:
                await self._listen(stream, tried)
            else:
                await converse(
                    Tls(stream, self._host.partition(":")[0]) if self._https else stream, self._question, tried.answer
                )
        finally:
            await stream.close()

    async def _open(self, seconds: float) -> Stream:
        # The clock of the try is the one that counts: the channel's is only the second.
        try:
            return await self._channel.open("127.0.0.1", self._port, deadline=seconds + 1)
        except PortClosed as closed:
            with contextlib.suppress(PortClosed):
                return await self._channel.open("::1", self._port, deadline=seconds + 1)
            raise closed from None

    async def _listen(self, stream: Stream, tried: _Try) -> None:
        """Waits for the greeting that is expected, or a moment for the connection to stay open."""
        tried.seconds = time.monotonic() - tried.began
        answer, expected = tried.answer, self._smoke.contains
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER if expected is None else None):
                while len(answer.raw) < _GREETING and (data := await stream.read(_GREETING - len(answer.raw))):
                    answer.raw += data
                    if expected is None or expected.encode() in answer.raw:
                        break
                else:
                    answer.trouble = "the connection was closed at once" if not answer.raw else ""
        answer.whole = True

    def _tcp_fault(self, tried: _Try) -> str:
        expected = self._smoke.contains
        if tried.answer.trouble or not tried.answer.whole:
            return tried.answer.trouble
        if expected is not None and expected.encode() not in tried.answer.raw:
            return f'the greeting does not contain "{visible(expected)}"'
        return "; ".join(late(self._smoke, tried.seconds))

    async def _on_the_host(self, tried: _Try, seconds: float, refused: ForwardingRefused) -> None:
        if self._smoke.tcp:
            took = await ask_tcp_there(self._channel, self._port, seconds, tried.answer)
            asked, tried.seconds = took is not None, took or 0.0
        else:
            asked = await ask_there(self._channel, self._question, self._port, seconds, tried.answer, https=self._https)
        if not asked:
            raise ForwardingRefused(
                f"{refused}, and has no curl that could ask instead", f"{refused.hint}, or install curl there"
            )
