"""The question of a smoke test, asked by the host itself: for hosts whose SSH server passes no connections on.

Used by `ask.py`. curl answers everything, and as it came; GNU's wget is enough for a plain GET. Other wgets follow redirects,
wherever they lead, and are not asked.
"""

from __future__ import annotations

import re

from providers.shell import sh
from reconciler.smoke.http import BODY_LIMIT, Answer, Question, Recorded, converse
from reconciler.text import shorten, visible
from state.channel import Channel, Output, PortClosed

_LIMIT = BODY_LIMIT + (1 << 18)
_NO_TOOL = 127
_HEADSTART = 1.0
"""Seconds by which the tool's own clock ends before ours, so that it can still hand over what it has."""
_CURL_CONNECT, _CURL_TIMEOUT, _CURL_EMPTY = (6, 7), 28, 52
_STATUS = re.compile(rb"\s*HTTP/[0-9.]+ ([1-5][0-9][0-9]) ?(.*)")
_SECONDS = re.compile(rb"[0-9]{1,4}\.[0-9]{1,9}")
_WGET_ANSWERED = (0, 8)


async def ask_there(channel: Channel, question: Question, port: int, seconds: float, answer: Answer, *, https: bool) -> bool:
    """Asks and fills `answer`, as `converse` does. False: there is nothing on the host to ask with."""
    if await _curl(channel, question, port, seconds, answer, https=https):
        return True
    return not https and question.method == "GET" and await _wget(channel, question, port, seconds, answer)


async def ask_tcp_there(channel: Channel, port: int, seconds: float, answer: Answer) -> float | None:
    """Connects only; what the service says of itself becomes the answer. The seconds that it took to connect, or None: there is
    nothing on the host to do it with."""
    script = sh(
        "command -v curl >/dev/null || exit 127; exec curl -q -sS --noproxy @all@ -m 1 -w @took@ @url@",
        all="*",
        took="\n%{time_connect}",
        url=f"telnet://127.0.0.1:{port}",
    )
    output = await channel.run(script.encode(), limit=1 << 16, deadline=seconds)
    if output.status == _NO_TOOL:
        return None
    if output.status in _CURL_CONNECT:
        raise PortClosed(f"nothing accepts connections at 127.0.0.1:{port} of the host: {_said(output, 'curl')}")
    greeting, _, took = output.stdout.rpartition(b"\n")
    if output.status in (0, _CURL_TIMEOUT) or greeting:
        answer.raw = greeting
    else:
        answer.trouble = _said(output, "curl")
    answer.whole = True
    return float(took) if _SECONDS.fullmatch(took) else 0.0


async def _curl(channel: Channel, question: Question, port: int, seconds: float, answer: Answer, *, https: bool) -> bool:
    headers = dict(question.headers)
    name = headers["Host"].partition(":")[0]
    options = ["-q", "-g", "-sS", "-i", "--raw", "--http1.1", "--path-as-is", "--noproxy", "*", "-m", _clock(seconds)]
    sent = {header.lower() for header in headers}
    unsent = [header for header in ("Expect", "Content-Type") if header.lower() not in sent]
    for line in (*(f"{header}: {value}" for header, value in headers.items()), *(f"{header}:" for header in unsent)):
        options += ["-H", line]
    options += {"HEAD": ["--head"], "POST": ["--data-binary", "@-"]}.get(question.method, [])
    if https:
        # To the port on loopback whatever the name means, so that the name can be told to TLS.
        options += ["-k", "--connect-to", f"::127.0.0.1:{port}", f"https://{name}:{port}{question.target}"]
    else:
        options.append(f"http://127.0.0.1:{port}{question.target}")
    script = sh(
        "command -v curl >/dev/null || exit 127; printf %s @body@ | curl @options@",
        body=question.body.decode(),
        options=options,
    )
    output = await channel.run(script.encode(), limit=_LIMIT, deadline=seconds)
    if output.status == _NO_TOOL:
        return False
    if output.status in _CURL_CONNECT:
        raise PortClosed(f"nothing accepts connections at 127.0.0.1:{port} of the host: {_said(output, 'curl')}")
    if output.status == _CURL_TIMEOUT and not output.stdout:
        raise TimeoutError
    if not output.stdout and output.status != _CURL_EMPTY:
        answer.trouble = _said(output, "curl")
        return True
    await converse(Recorded(output.stdout), question, answer)
    if output.cut and answer.status is not None:
        answer.whole, answer.cut, answer.trouble = True, True, ""
    elif output.status not in (0, _CURL_EMPTY) and not answer.whole:
        answer.trouble = _said(output, "curl")
    return True


async def _wget(channel: Channel, question: Question, port: int, seconds: float, answer: Answer) -> bool:
    options = ["-q", "-S", "-O", "-", "--no-proxy", "--max-redirect=0", "--content-on-error", "-t", "1"]
    options += ["-T", _clock(seconds), *(f"--header={name}: {value}" for name, value in question.headers)]
    script = sh(
        "case $(wget --version 2>/dev/null) in 'GNU Wget 1'*) exec wget @options@ @url@ ;; esac; exit 127",
        options=options,
        url=f"http://127.0.0.1:{port}{question.target}",
    )
    output = await channel.run(script.encode(), limit=BODY_LIMIT, deadline=seconds)
    if output.status == _NO_TOOL:
        return False
    for line in output.stderr.splitlines():
        if match := _STATUS.fullmatch(line):
            answer.status, answer.reason, answer.headers = int(match[1]), match[2], []
        elif answer.status is not None and b": " in line:
            name, _, value = line.strip().partition(b": ")
            answer.headers.append((name.lower(), value))
    answer.raw = output.stdout
    answer.cut = output.cut
    answer.whole = answer.status is not None and (output.cut or output.status in _WGET_ANSWERED or 300 <= answer.status < 400)
    if not answer.whole:
        answer.trouble = f"wget got no answer at 127.0.0.1:{port} (exit status {output.status})"
    return True


def _clock(seconds: float) -> str:
    return f"{max(seconds - _HEADSTART, seconds / 2):.1f}"


def _said(output: Output, tool: str) -> str:
    words = " ".join(output.stderr.decode("utf-8", "surrogateescape").split()).removeprefix(f"{tool}: ")
    return f"{tool} says {shorten(visible(words), 200)}" if words else f"{tool} ended with exit status {output.status}"
