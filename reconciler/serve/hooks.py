"""`POST /hooks/git`: a forge says that something was pushed. It is only ever a hint to ask git soon.

Nothing in the body is used: not a URL, not a branch, not a commit. It is read to its end and must be what its forge sends, so
that a mistake in the forge's settings shows there and not as silence. The decision (`judge`) is a pure function of headers and
body; `Hook` adds what needs memory: how often it is asked, and which deliveries it has seen.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from aiohttp import web

from reconciler import log
from reconciler.serve.guard import LONGEST_BODY, document, problem
from reconciler.serve.settings import Key

RATE = 10.0
"""Requests a second that are looked at; a signature costs time, so a flood is turned away before its body is read."""
BURST = 30.0
REMEMBERED = 4096
"""Deliveries that are known again."""
TELLING = 60.0

# Header → what stands before the hexadecimal digits of HMAC-SHA-256 over the body. GitHub's older X-Hub-Signature is SHA-1.
_SIGNATURES = {
    "X-Hub-Signature-256": "sha256=",  # GitHub, Gitea, Forgejo
    "X-Forgejo-Signature": "",
    "X-Gitea-Signature": "",
    "X-Gogs-Signature": "",
    "X-Signature": "sha256=",  # anybody
}
_GITLAB = "X-Gitlab-Token"
_EVENTS = ("X-Forgejo-Event", "X-Gitea-Event", "X-Gogs-Event", "X-GitHub-Event", "X-Gitlab-Event")
_DELIVERIES = ("X-Forgejo-Delivery", "X-Gitea-Delivery", "X-Gogs-Delivery", "X-GitHub-Delivery", "X-Gitlab-Event-UUID")


@dataclass(frozen=True, slots=True)
class Refusal:
    status: int
    error: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A request that came from who knows the secret."""

    event: str
    """As its forge calls it; empty where it does not say."""
    names: tuple[str, ...]
    """By which the same one is known again."""

    @property
    def pushed(self) -> bool:
        """Whether git may have moved. GitLab's system hooks say only in the body what they are about."""
        return not self.event or "push" in self.event.lower() or self.event == "System Hook"


def judge(headers: Mapping[str, str], body: bytes, secret: Key) -> Delivery | Refusal:
    """`headers` without regard to case. Every signature that is there must be right: none is chosen among several."""
    refusal = _signature(headers, body, secret)
    if refusal is not None:
        return refusal
    if not _is_object(headers.get("Content-Type", ""), body):
        return Refusal(400, "the body is no JSON object", "Let the forge send application/json.")
    event = next((headers[name] for name in _EVENTS if name in headers), "")
    names = tuple(f"{name}: {headers[name]}" for name in _DELIVERIES if name in headers)
    if _GITLAB not in headers:  # the delivery's id is not signed, so what is signed is known again too
        names += (hashlib.sha256(body).hexdigest(),)
    return Delivery(event, names)


def _signature(headers: Mapping[str, str], body: bytes, secret: Key) -> Refusal | None:
    expected = secret.signature(body)
    right: list[bool] = []
    for name, prefix in _SIGNATURES.items():
        if name in headers:
            given = _bytes(headers[name])
            begins = given.startswith(prefix.encode())
            right.append(hmac.compare_digest(expected, given[len(prefix) :].lower()) and begins)
    if _GITLAB in headers:
        right.append(secret.equals(_bytes(headers[_GITLAB])))
    if not right:
        return Refusal(
            401,
            "the request is not signed",
            "Give the forge the secret of --hook-secret-file, and let it sign with SHA-256 (docs/api.md).",
        )
    if not all(right):
        return Refusal(403, "the signature is wrong", "The secret here and the one in the forge's settings differ.")
    return None


def _bytes(text: str) -> bytes:
    return text.strip().encode(errors="surrogateescape")


def _is_object(content_type: str, body: bytes) -> bool:
    """JSON, or a form with JSON in `payload`, as GitHub sends it where nobody chose."""
    try:
        text = body.decode()
        if content_type.partition(";")[0].strip().lower() == "application/x-www-form-urlencoded":
            text = parse_qs(text, strict_parsing=True, max_num_fields=20)["payload"][0]
        return isinstance(json.loads(text), dict)
    except (ValueError, KeyError, RecursionError):
        return False


@dataclass(slots=True)
class Bucket:
    """Lets `RATE` a second through, and `BURST` at once."""

    clock: Callable[[], float] = time.monotonic
    _left: float = BURST
    _at: float | None = None

    def take(self) -> bool:
        now = self.clock()
        if self._at is not None:
            self._left = min(BURST, self._left + max(0.0, now - self._at) * RATE)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


@dataclass(slots=True)
class Hook:
    """The page. Without a secret there is none."""

    secret: Key | None
    hint: Callable[[], None]
    counted: Callable[[str], None] = lambda _: None
    """Told what became of each request, in a word."""
    bucket: Bucket = field(default_factory=Bucket)
    _seen: OrderedDict[str, None] = field(default_factory=OrderedDict)
    _told: float | None = None

    async def post(self, request: web.Request) -> web.Response:
        if self.secret is None:
            self.counted("off")
            return problem(404, "hooks are not switched on", "Start the loop with --hook-secret-file FILE (docs/api.md).")
        if not self.bucket.take():
            self.counted("limited")
            return problem(
                429, "too many requests", "Git is asked again by itself.", {"Retry-After": "10", "Connection": "close"}
            )
        if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            self.counted("refused")
            return problem(415, "the body is compressed", "Send it as it is.", {"Connection": "close"})
        if (request.content_length or 0) > LONGEST_BODY:
            raise web.HTTPRequestEntityTooLarge(LONGEST_BODY, request.content_length or 0)
        return self.decide(request.headers, await request.read())

    def decide(self, headers: Mapping[str, str], body: bytes) -> web.Response:
        assert self.secret is not None
        judged = judge(headers, body, self.secret)
        if isinstance(judged, Refusal):
            self.counted("refused")
            self._tell(judged)
            return problem(judged.status, judged.error, judged.hint)
        if not self._is_new(judged.names):
            self.counted("replayed")
            return problem(409, "this delivery was seen before", "Nothing to do: git was asked when it came first.")
        if not judged.pushed:
            self.counted("other")
            return document({"accepted": True, "looks": False}, 202)
        self.counted("accepted")
        self.hint()
        return document({"accepted": True, "looks": True}, 202)

    def _tell(self, refusal: Refusal) -> None:
        """In the log once in a while: who may not ask may not fill it either. All of them are counted."""
        now = self.bucket.clock()
        if self._told is None or now - self._told >= TELLING:
            self._told = now
            log.warning("a git hook was refused", status=refusal.status, reason=refusal.error)

    def _is_new(self, names: tuple[str, ...]) -> bool:
        digests = [hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest() for name in names]
        new = self._seen.keys().isdisjoint(digests)
        self._seen.update(dict.fromkeys(digests))
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return new
