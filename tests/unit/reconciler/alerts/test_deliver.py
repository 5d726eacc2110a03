"""Apprise sends plain text, says nothing of its own, and of what went wrong only what holds no address."""

# ruff: noqa: RUF001  characters that look like others are what this is about

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from reconciler.alerts.deliver import AddressError, apprise_chat, read_failure
from reconciler.alerts.model import Message
from tests.unit.reconciler.alerts.inbox import Inbox

MESSAGE = Message("Opened: drift of file:/etc/motd on nas", "warning\n│ +a ‹b› \\*c", "warning")


def test_a_message_arrives_as_it_was_worded(inbox: Inbox) -> None:
    assert apprise_chat(f"json://127.0.0.1:{inbox.port}/x").send(MESSAGE).ok
    (got,) = inbox.got
    assert (got["title"], got["message"]) == (MESSAGE.title, MESSAGE.body)
    assert got["type"] == "warning"


def test_what_an_address_says_of_markup_makes_none_of_a_host_s_words(inbox: Inbox) -> None:
    assert apprise_chat(f"json://127.0.0.1:{inbox.port}/x?format=html").send(MESSAGE).ok
    assert "<" not in inbox.got[0]["message"].replace("<br/>", "")


@pytest.mark.parametrize(
    ("status", "problem", "kind"),
    [
        (503, "it answered 503 (Service Unavailable)", ""),
        (403, "it answered 403 (Forbidden)", "login"),
        (429, "it answered 429 (Too Many Requests)", "slower"),
        (413, "it answered 413", "refused"),
    ],
)
def test_what_the_server_answered_is_said(inbox: Inbox, status: int, problem: str, kind: str) -> None:
    inbox.status = status
    receipt = apprise_chat(f"json://127.0.0.1:{inbox.port}/x").send(MESSAGE)
    assert not receipt.ok
    assert receipt.problem.startswith(problem)
    assert [name for name in ("login", "slower", "refused") if getattr(receipt, name)] == ([kind] if kind else [])


def test_a_server_that_is_not_there_does_not_answer() -> None:
    assert apprise_chat("json://127.0.0.1:9/x").send(MESSAGE).problem == "it does not answer"


def test_a_redirect_is_not_followed(inbox: Inbox) -> None:
    inbox.redirect = f"http://127.0.0.1:{inbox.port}/elsewhere"
    assert not apprise_chat(f"json://127.0.0.1:{inbox.port}/x").send(MESSAGE).ok
    assert len(inbox.got) == 1


@pytest.mark.parametrize("url", ["nonsense://x", "matrix://", "no address at all", ""])
def test_what_is_no_address_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(AddressError) as caught:
        apprise_chat(url)
    assert not url or url not in str(caught.value)


PROGRAM = """
import logging, sys
logging.basicConfig(level=1)
from reconciler.alerts.deliver import apprise_chat
from reconciler.alerts.model import Message
from tests.unit.reconciler.alerts.inbox import Inbox
print(apprise_chat(sys.argv[1]).send(Message("title", "body")).problem)
"""


def test_nothing_is_logged_even_where_everything_is(inbox: Inbox) -> None:
    inbox.status = 500
    url = f"json://ada:hunter2@127.0.0.1:{inbox.port}/x"
    done = subprocess.run([sys.executable, "-c", PROGRAM, url], capture_output=True, text=True, check=True)
    assert done.stdout == "it answered 500 (Internal Server Error)\n"
    assert done.stderr == ""


def test_a_message_is_cut_for_a_chat_that_takes_less(inbox: Inbox) -> None:
    chat: Any = apprise_chat(f"json://127.0.0.1:{inbox.port}/x")
    chat._apprise[0].body_maxlen = 20
    assert chat.send(MESSAGE).ok
    assert len(inbox.got) == 1
    assert len(inbox.got[0]["message"]) <= 20


@pytest.mark.parametrize(
    ("logged", "problem"),
    [
        (["Failed to send ntfy notification to topic 'x': unauthorized, error=40101."], "it answered 401 (Unauthorized)"),
        (["A Connection error occurred sending JSON notification to 10.0.0.1."], "it does not answer"),
        (["error=599."], "it answered 599"),
        ([], "it did not take the message"),
    ],
)
def test_of_what_apprise_says_only_the_number_is_taken(logged: list[str], problem: str) -> None:
    assert read_failure(logged).problem == problem
