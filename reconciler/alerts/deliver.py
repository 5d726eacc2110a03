"""Hands one message to one chat, by Apprise, which is spoken here alone. Blocking: `outbox.py` calls it in a thread.

Apprise is told that the text is plain and stays plain, follows no redirect (what is in the address may be a password, and it
is for one server), and writes no log. Of what it says of a failure only the number of the answer is taken: its words may hold
parts of the address. It is never asked for more than one attempt: when to try again is `lane.py`'s business.
"""

from __future__ import annotations

import logging
import re
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

from providers.secret import remember
from reconciler.alerts.model import Message, Receipt

REQUESTS = 2.0
"""Seconds between two requests at most: Apprise would wait 5.5, and it is `lane.py` that heeds a chat which asks for more."""
_ANSWER = re.compile(r"\berror=([1-5][0-9]{2})(?:[0-9]{2})?\b")
"""The number of an HTTP answer; ntfy adds two digits of its own."""
_LOOKS_SECRET = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])[\w:+/=~-]{10,}|[\w:+/=~-]{24,}", re.ASCII)
_OPEN_WORDS = {"yes", "no", "true", "false", "text", "markdown", "html"}


class AddressError(Exception):
    """An address that no chat can be reached by. Its text does not hold it."""


class Chat(Protocol):
    """Where an alert goes."""

    def send(self, message: Message) -> Receipt: ...


def conceal(url: str) -> None:
    """From now on the address, and what may be a password or token in it, is taken out of every output."""
    remember(url.encode())
    try:
        parts = urlsplit(url)
        words = [parts.password or "", *(value for _, value in parse_qsl(parts.query)), *parts.path.split("/")]
        words += re.split("[@:]", parts.netloc)
    except ValueError:  # no address that Python can take apart; as a whole it is hidden all the same
        return
    for position, word in enumerate(words):
        for form in {word, unquote(word)}:
            if form and form.lower() not in _OPEN_WORDS and (position == 0 or _LOOKS_SECRET.fullmatch(form)):
                remember(form.encode())


class AppriseChat:
    """One service that Apprise knows. Used by one thread at a time: logins are kept from message to message."""

    def __init__(self, url: str) -> None:
        """Raises `AddressError`."""
        for name in ("apprise", "urllib3"):  # what they have to say comes back with the result
            logger = logging.getLogger(name)
            logger.propagate = False
            if not logger.handlers:
                logger.addHandler(logging.NullHandler())
        import apprise

        asset = apprise.AppriseAsset(
            app_id="reconciler",
            app_desc="reconciler",
            app_url="",
            async_mode=False,
            body_format=apprise.NotifyFormat.TEXT,
            http_redirects=False,
            image_url_logo="",
            image_url_mask="",  # pictures would be fetched from elsewhere by whoever reads
            interpret_emojis=False,
            interpret_escapes=False,
            secure_logging=True,
        )
        service: Any = apprise.Apprise.instantiate(url, asset=asset)
        if service is None:
            raise AddressError("its address is none that Apprise understands")
        service.request_rate_per_sec = min(service.request_rate_per_sec, REQUESTS)
        if "overflow=" not in url:
            service.overflow_mode = apprise.OverflowMode.TRUNCATE
        self._apprise = apprise.Apprise(services=service, asset=asset)
        self._types = {
            "info": apprise.NotifyType.INFO,
            "warning": apprise.NotifyType.WARNING,
            "error": apprise.NotifyType.FAILURE,
        }
        self._over = apprise.NotifyType.SUCCESS

    def send(self, message: Message) -> Receipt:
        """Raises nothing for what a server may do."""
        kind = self._over if message.over else self._types[message.severity]
        with self._apprise.notify(body=message.body, title=message.title, notify_type=kind, body_format="text") as result:
            if result:
                return Receipt(ok=True)
            return read_failure([entry.message for entry in result.logs()])


def apprise_chat(url: str) -> Chat:
    """Raises `AddressError`."""
    return AppriseChat(url)


def read_failure(logged: list[str]) -> Receipt:
    """What is known of a failure from what Apprise logged of it."""
    codes = [int(match[1]) for line in logged for match in _ANSWER.finditer(line)]
    if not codes:
        silent = any(word in line for line in logged for word in ("onnection", "ocket", "imeout"))
        return Receipt(ok=False, problem="it does not answer" if silent else "it did not take the message")
    code = codes[-1]
    phrase = f" ({HTTPStatus(code).phrase})" if code in {one.value for one in HTTPStatus} else ""
    return Receipt(
        ok=False,
        problem=f"it answered {code}{phrase}",
        refused=code in {400, 406, 413, 414, 415, 422},
        login=code in {401, 403},
        slower=code == HTTPStatus.TOO_MANY_REQUESTS,
    )
