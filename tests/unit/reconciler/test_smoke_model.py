"""What may be written under `smoke:`."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from providers.smoke import Smoke, is_host_name
from reconciler.smoke.http import Answer, Question, Recorded, converse
from reconciler.smoke.judge import transcript, wrong
from tests.unit.reconciler.services import answer

QUESTION = Question("GET", "/", (("Host", "localhost"), ("Connection", "close")))


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"http": "health"}, "expected the path that is asked for on the host itself"),
        ({"http": "http://10.0.0.1/"}, "expected the path that is asked for on the host itself"),
        ({"http": "/a b"}, "expected the path"),
        ({"http": "/a\r\nX: y"}, "expected the path"),
        ({"http": "/#top"}, "expected the path"),
        ({"host": "a b"}, "expected a host name"),
        ({"host": "a..b"}, "expected a host name"),
        ({"host": "x" * 64}, "expected a host name"),
        ({"host": "http://x"}, "expected a host name"),
        ({"status": "200"}, "expected a status from 100 to 599, a list of them, or null"),
        ({"status": True}, "expected a status from 100 to 599"),
        ({"status": [200, 99]}, "expected a status from 100 to 599"),
        ({"status": []}, "write null for any below 500"),
        ({"send": {"Host": "x"}}, "Host cannot be set with send"),
        ({"send": {"content-length": "1"}}, "content-length cannot be set with send"),
        ({"send": {"X: y": "z"}}, "expected names and values of HTTP headers"),
        ({"send": {"X": "é"}}, "in plain ASCII"),
        ({"send": {"X": "a\r\nb"}}, "a line break or control character cannot stand here"),
        ({"body": "x"}, "a body is only sent with method: POST"),
        ({"method": "DELETE"}, "Input should be 'GET', 'HEAD' or 'POST'"),
        ({"method": "HEAD", "contains": "x"}, "an answer to HEAD has no body"),
        ({"tcp": True, "http": "/x"}, "with tcp nothing is asked by HTTP: leave http out"),
        ({"tcp": True, "status": 204}, "leave status out"),
    ],
)
def test_what_makes_no_sense_is_told_in_words(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError) as error:
        Smoke.model_validate(settings)
    [detail] = error.value.errors()
    assert problem in detail["msg"]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"status": [301, 302]},
        {"status": None},
        {"status": 204, "send": {"X-A": "b"}},
        {"tcp": True, "port": 5432, "contains": "220"},
        {"method": "POST", "body": "é\n", "fields": {"a.0": [1, None]}},
    ],
)
def test_a_test_survives_being_kept_in_the_inventory(settings: dict[str, Any]) -> None:
    smoke = Smoke.model_validate(settings)
    assert Smoke.model_validate_json(smoke.model_dump_json(exclude_defaults=True)) == smoke
    assert Smoke.model_validate_json(smoke.model_dump_json()) == smoke


def test_every_setting_is_described() -> None:
    assert not [name for name, field in Smoke.model_fields.items() if not field.description]


@given(st.text(max_size=80))
def test_a_name_that_is_accepted_can_be_told_to_a_tls_server(text: str) -> None:
    if is_host_name(text):
        assert text.partition(":")[0].encode("idna")


@given(st.binary(max_size=3000))
async def test_any_bytes_are_an_answer_or_told_to_be_none(heard: bytes) -> None:
    came = Answer()
    await converse(Recorded(heard), QUESTION, came)
    smoke = Smoke(contains="x", fields={"a.b": 1}, headers={"Server": "y"}, status=None)
    words = wrong(smoke, came, 0.1) + "\n" + transcript(QUESTION, came, smoke)
    assert words.strip()
    assert all(line.isprintable() for line in words.replace("\t", "").split("\n"))


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=20), st.sampled_from(["200 OK", "404 No", "302 Found"]))
async def test_a_right_answer_is_read_whole_however_it_is_cut(pieces: list[bytes], status: str) -> None:
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    head = f"HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    for heard in (answer(b"".join(pieces), status), head + chunked):
        came = Answer()
        await converse(Recorded(heard), QUESTION, came)
        assert (came.body, came.whole, came.trouble) == (b"".join(pieces), True, "")
