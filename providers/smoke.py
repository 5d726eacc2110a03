"""What a smoke test asks and expects, as data. The controller asks it through its connection to the host
(`reconciler/smoke/ask.py`), so that a port on the host's loopback is reachable and the host needs no curl.

Written under `smoke:` in a project's file; kinds put it into a `Check`, which is a step that the controller does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from providers.model import Line, Model

LONGEST = 600
"""Seconds that the deadline of a smoke test may be."""
_HOST = re.compile(r"(?=[^:]{1,253}(?::|$))[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?(?::[0-9]{1,5})?")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OURS = frozenset({"accept-encoding", "connection", "content-length", "expect", "host", "te", "transfer-encoding", "upgrade"})
"""Headers that `send` cannot set: they say how the question is asked."""
_FOR_HTTP = ("http", "https", "host", "method", "send", "body", "status", "fields", "headers")

Headers: TypeAlias = dict[Annotated[str, Field(min_length=1, max_length=200)], Line]


def is_host_name(text: str) -> bool:
    """Whether a server can be asked by this name, in the Host header and in TLS; a port may stand behind it."""
    return bool(_HOST.fullmatch(text))


_STATUS = {"type": "integer", "minimum": 100, "maximum": 599}


def _statuses(value: object) -> object:
    """One or several, as a tuple."""
    several = value if isinstance(value, (list, tuple)) else [] if value is None else [value]
    if any(isinstance(one, bool) or not isinstance(one, int) or not 100 <= one <= 599 for one in several):
        raise ValueError("expected a status from 100 to 599, a list of them, or null")
    if not several and value is not None:
        raise ValueError("the list is empty: write null for any below 500")
    return tuple(several) if several else None


class Smoke(Model):
    """One question, and what its answer must be: an HTTP request, or with `tcp` only a connection."""

    http: Annotated[str, Field(description="Path that is asked for, with its query", examples=["/", "/health?full=1"])] = "/"
    tcp: Annotated[
        bool,
        Field(description="No HTTP: the port must accept a connection and not close it at once", examples=[True]),
    ] = False
    port: Annotated[int | None, Field(ge=1, le=65535, description="Port on the host; default: the slot's own")] = None
    https: Annotated[
        bool, Field(description="Ask with TLS; the certificate is not checked, as it is not made for loopback")
    ] = False
    host: Annotated[
        Line | None, Field(description="Name in the Host header and for TLS; default: localhost", examples=["site.lan"])
    ] = None
    method: Annotated[Literal["GET", "HEAD", "POST"], Field(description="How it is asked for")] = "GET"
    send: Annotated[
        Headers, Field(description="Headers of the request; no secrets", examples=[{"X-Forwarded-Proto": "https"}])
    ] = Field(default_factory=dict)
    body: Annotated[
        str | None, Field(max_length=65536, description="Body of a POST; no secrets", examples=['{"query": "{ ping }"}'])
    ] = None
    status: Annotated[
        tuple[int, ...] | None,
        BeforeValidator(_statuses),
        WithJsonSchema({"anyOf": [_STATUS, {"type": "array", "items": _STATUS, "minItems": 1}, {"type": "null"}]}),
        Field(description="Expected status, or a list of them; null: any below 500", examples=[200, [301, 302]]),
    ] = (200,)
    contains: Annotated[
        str | None,
        Field(min_length=1, description="Text that the body must contain; with tcp: the greeting", examples=["<title>"]),
    ] = None
    fields: Annotated[
        dict[str, Any],
        Field(
            description="Fields of a JSON body, by dotted path (numbers count in lists), and their values",
            examples=[{"status.db": "ok", "nodes.0.up": True}],
        ),
    ] = Field(default_factory=dict)
    headers: Annotated[
        Headers,
        Field(
            description="Headers of the answer, and a text that each must contain, in capitals or not",
            examples=[{"Content-Type": "text/html"}],
        ),
    ] = Field(default_factory=dict)
    within: Annotated[
        int | None,
        Field(ge=1, description="Milliseconds that the whole answer may take; the way through the SSH connection counts too"),
    ] = None
    tries: Annotated[
        int,
        Field(
            ge=1, le=1000, description="How often it is asked, a second apart, until it is right; a refused connection counts"
        ),
    ] = 30
    deadline: Annotated[int, Field(ge=1, le=LONGEST, description="Seconds for all tries together")] = 60
    proxy: Annotated[bool, Field(description="false: not asked through the proxy after the switch")] = True

    @field_validator("http")
    @classmethod
    def _path(cls, value: str) -> str:
        if not value.startswith("/") or not value.isascii() or not value.isprintable() or " " in value or "#" in value:
            raise ValueError("expected the path that is asked for on the host itself, as in /health")
        return value

    @field_validator("host")
    @classmethod
    def _name(cls, value: str | None) -> str | None:
        if value is not None and not is_host_name(value):
            raise ValueError("expected a host name, as in site.lan")
        return value

    @field_validator("send", "headers")
    @classmethod
    def _header(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if not _HEADER.fullmatch(name) or not text.isascii() or text != text.strip():
                raise ValueError("expected names and values of HTTP headers, in plain ASCII")
        return value

    @model_validator(mode="after")
    def _together(self) -> Self:
        usual = {name: type(self).model_fields[name].get_default(call_default_factory=True) for name in _FOR_HTTP}
        if self.tcp and (idle := [name for name in _FOR_HTTP if getattr(self, name) != usual[name]]):
            raise ValueError(f"with tcp nothing is asked by HTTP: leave {idle[0]} out")
        if self.body is not None and self.method != "POST":
            raise ValueError("a body is only sent with method: POST")
        if clash := [name for name in self.send if name.lower() in _OURS]:
            raise ValueError(f"{clash[0]} cannot be set with send")
        if self.method == "HEAD" and (self.contains or self.fields):
            raise ValueError("an answer to HEAD has no body to look into")
        return self


@dataclass(frozen=True, slots=True)
class Check:
    """Smoke tests that must all succeed before the steps after it are done. `port`: where a test names none of its own."""

    smokes: tuple[Smoke, ...]
    port: int | None = None
    https: bool = False
    host: str | None = None
    """Name in the Host header and for TLS, where a test names none of its own."""

    @property
    def deadline(self) -> int:
        """Seconds that all of it may take."""
        return sum(smoke.deadline for smoke in self.smokes)
