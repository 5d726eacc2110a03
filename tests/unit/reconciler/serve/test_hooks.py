"""The hook for git: what is signed is a hint, and everything else is refused politely."""

from __future__ import annotations

import hashlib
import hmac
import json
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from reconciler.serve.hooks import BURST, RATE, REMEMBERED, Bucket, Delivery, Hook, Refusal, judge
from reconciler.serve.settings import Settings
from tests.unit.reconciler.serve.pages import ANY_PORT, HOOK, StillLoop, pages

SECRET = HOOK.value.reveal()
PUSH = json.dumps({"ref": "refs/heads/main", "repository": {"clone_url": "https://evil.example/x.git"}}).encode()
SIGNED = Settings(ANY_PORT, hook=HOOK)


def mac(body: bytes, secret: bytes = SECRET) -> str:
    return hmac.new(secret, body, hashlib.sha256).hexdigest()


def headers_of(
    vendor: str, body: bytes, *, event: str = "push", secret: bytes = SECRET, delivery: str = "d-1"
) -> dict[str, str]:
    """As each of them sends it."""
    signature = mac(body, secret)
    github = {"X-GitHub-Event": event, "X-GitHub-Delivery": delivery, "X-Hub-Signature-256": f"sha256={signature}"}
    gitea = github | {"X-Gitea-Event": event, "X-Gitea-Delivery": delivery, "X-Gitea-Signature": signature}
    return {
        "github": github | {"X-Hub-Signature": "sha1=" + hmac.new(secret, body, hashlib.sha1).hexdigest()},
        "gitea": gitea,
        "forgejo": gitea | {"X-Forgejo-Event": event, "X-Forgejo-Delivery": delivery, "X-Forgejo-Signature": signature},
        "gogs": {"X-Gogs-Event": event, "X-Gogs-Delivery": delivery, "X-Gogs-Signature": signature},
        "gitlab": {
            "X-Gitlab-Event": f"{event.title()} Hook",
            "X-Gitlab-Event-UUID": delivery,
            "X-Gitlab-Token": secret.decode(),
        },
        "anybody": {"X-Signature": f"sha256={signature}"},
    }[vendor]


def ask(headers: dict[str, str], body: bytes) -> Delivery | Refusal:
    return judge(CIMultiDict(headers), body, HOOK)


def refused(headers: dict[str, str], body: bytes = PUSH) -> int:
    answer = ask(headers, body)
    assert isinstance(answer, Refusal), answer
    return answer.status


VENDORS = ["github", "gitea", "forgejo", "gogs", "gitlab", "anybody"]
BAD_BODIES = [
    *(b"", b"{", b"[]", b"null", b"1", b'"x"', b"\xff\xfe", b"\0", b"payload={}"),
    *(b"[" * 500_000, b'{"a":' * 100_000, b"1" * 100_000),
]


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_push_is_known_from_every_forge(vendor: str) -> None:
    answer = ask(headers_of(vendor, PUSH), PUSH)
    assert isinstance(answer, Delivery)
    assert answer.pushed


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_wrong_secret_is_refused_from_every_forge(vendor: str) -> None:
    assert refused(headers_of(vendor, PUSH, secret=b"another-secret-altogether")) == 403


@pytest.mark.parametrize("vendor", ["github", "gitea", "forgejo", "gogs", "anybody"])
def test_a_body_that_was_changed_on_the_way_is_refused(vendor: str) -> None:
    assert refused(headers_of(vendor, PUSH), PUSH + b" ") == 403


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("body", BAD_BODIES, ids=lambda body: repr(body[:9]))
def test_a_body_that_is_no_object_is_refused_from_every_forge(vendor: str, body: bytes) -> None:
    assert refused(headers_of(vendor, body), body) == 400


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-GitHub-Event": "push"},
        {"X-Hub-Signature": "sha1=" + hmac.new(SECRET, PUSH, hashlib.sha1).hexdigest()},
        {"Authorization": f"Bearer {SECRET.decode()}"},
    ],
    ids=["nothing", "an event", "SHA-1", "a token of another page"],
)
def test_what_is_not_signed_is_refused(headers: dict[str, str]) -> None:
    assert refused(headers) == 401


@pytest.mark.parametrize(
    "value",
    [
        "",
        "sha256=",
        "sha1=" + mac(PUSH),
        mac(PUSH),
        "sha512=" + mac(PUSH),
        "sha256=" + mac(PUSH)[:-1],
        "sha256=ü",
        "sha256=\udcff",
    ],
)
def test_a_signature_in_another_form_is_refused(value: str) -> None:
    assert refused({"X-Hub-Signature-256": value}) == 403


def test_one_wrong_signature_beside_a_right_one_is_refused() -> None:
    """None is chosen among several: a proxy may look at one and we at another."""
    assert refused(headers_of("gitea", PUSH) | {"X-Gitea-Signature": "0" * 64}) == 403
    assert refused(headers_of("github", PUSH) | {"X-Gitlab-Token": "guess"}) == 403


@given(
    name=st.sampled_from(["X-Hub-Signature-256", "X-Gitea-Signature", "X-Forgejo-Signature", "X-Gitlab-Token", "X-Signature"]),
    value=st.text(st.characters(categories=None), max_size=80) | st.just("sha256=").map(lambda prefix: prefix + "0" * 64),
    body=st.binary(max_size=200),
    content_type=st.sampled_from(["application/json", "application/x-www-form-urlencoded", "", "\udcff"]),
)
def test_no_guess_is_let_in_and_none_is_a_fault(name: str, value: str, body: bytes, content_type: str) -> None:
    answer = ask({name: value, "Content-Type": content_type}, body)
    assert isinstance(answer, Refusal)
    assert 400 <= answer.status < 500


@given(body=st.binary(max_size=200) | st.dictionaries(st.text(), st.text()).map(lambda found: json.dumps(found).encode()))
def test_a_signed_body_is_let_in_exactly_when_it_is_an_object(body: bytes) -> None:
    try:
        good = isinstance(json.loads(body.decode()), dict)
    except ValueError:
        good = False
    assert isinstance(ask(headers_of("github", body), body), Delivery) == good


def test_a_form_with_a_payload_is_taken_as_github_sends_it_by_default() -> None:
    body = urlencode({"payload": PUSH.decode()}).encode()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert isinstance(ask(headers_of("github", body) | form, body), Delivery)
    for wrong in (b"payload=", b"payload=%5B%5D", b"other=1", b"&&&", b"a=1&" * 1000):
        assert refused(headers_of("github", wrong) | form, wrong) == 400


@pytest.mark.parametrize(
    ("vendor", "event", "pushed"),
    [("github", "ping", False), ("github", "issues", False), ("gitlab", "tag push", True), ("gitlab", "note", False)],
)
def test_only_a_push_makes_the_loop_look(vendor: str, event: str, pushed: bool) -> None:
    answer = ask(headers_of(vendor, PUSH, event=event), PUSH)
    assert isinstance(answer, Delivery)
    assert answer.pushed == pushed


def decided(hook: Hook, headers: dict[str, str], body: bytes = PUSH) -> int:
    return hook.decide(CIMultiDict(headers), body).status


def test_a_delivery_is_taken_once_whatever_id_it_comes_with() -> None:
    loop = StillLoop()
    hook = Hook(HOOK, loop.hint)
    assert decided(hook, headers_of("github", PUSH)) == 202
    assert decided(hook, headers_of("github", PUSH)) == 409
    assert decided(hook, headers_of("github", PUSH, delivery="d-2")) == 409, "the id is not signed, so it proves nothing"
    another = b'{"after": 2}'
    assert decided(hook, headers_of("github", another, delivery="d-3"), another) == 202
    assert len(loop.hints) == 2


def test_gitlab_may_send_the_same_body_under_another_id() -> None:
    hook = Hook(HOOK, StillLoop().hint)
    assert decided(hook, headers_of("gitlab", PUSH)) == 202
    assert decided(hook, headers_of("gitlab", PUSH, delivery="d-2")) == 202
    assert decided(hook, headers_of("gitlab", PUSH, delivery="d-2")) == 409


def test_what_is_remembered_of_deliveries_is_bounded() -> None:
    hook = Hook(HOOK, StillLoop().hint)
    for number in range(REMEMBERED):
        body = b'{"n": %d}' % number
        assert decided(hook, headers_of("github", body, delivery=f"{number} " + "x" * 1000), body) == 202
    assert len(hook._seen) == REMEMBERED
    assert max(map(len, hook._seen)) == 64


def test_who_asks_too_often_is_turned_away_and_may_come_again_later() -> None:
    now = 50.0
    bucket = Bucket(clock=lambda: now)
    assert sum(bucket.take() for _ in range(1000)) == BURST
    now += 1.0
    assert sum(bucket.take() for _ in range(1000)) == RATE
    now -= 3600.0
    assert not bucket.take()
    now += 1.0
    assert bucket.take()


async def test_a_push_over_the_wire_is_a_hint_and_the_payload_chooses_nothing() -> None:
    async with pages(SIGNED) as served:
        status, document, _ = await served.ask("POST", "/hooks/git", headers_of("forgejo", PUSH), PUSH)
        assert (status, document) == (202, {"accepted": True, "looks": True})
        assert len(served.loop.hints) == 1
        ping = headers_of("forgejo", b"{}", event="ping", delivery="d-2")
        status, document, _ = await served.ask("POST", "/hooks/git", ping, b"{}")
        assert (status, document) == (202, {"accepted": True, "looks": False})
        assert len(served.loop.hints) == 1


async def test_without_a_secret_there_is_no_hook_and_the_answer_says_how_to_have_one() -> None:
    async with pages() as served:
        status, document, _ = await served.ask("POST", "/hooks/git", headers_of("github", PUSH), PUSH)
    assert status == 404
    assert "--hook-secret-file" in document["hint"]
    assert served.loop.hints == []


async def test_the_hook_needs_no_token_and_answers_under_any_name() -> None:
    """A forge knows neither, and a proxy passes on the name that the forge asked for."""
    async with pages(SIGNED) as served:
        headers = headers_of("gitea", PUSH) | {"Host": "loop.example.org"}
        assert (await served.ask("POST", "/hooks/git", headers, PUSH))[0] == 202


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "GZIP", "x"])
async def test_a_compressed_body_is_refused_before_it_is_opened(encoding: str) -> None:
    async with pages(SIGNED) as served:
        headers = headers_of("github", PUSH) | {"Content-Encoding": encoding}
        assert (await served.ask("POST", "/hooks/git", headers, PUSH))[0] == 415


async def test_a_body_may_have_a_mebibyte_and_no_more() -> None:
    most = b'{"a": "' + b"x" * ((1 << 20) - 9) + b'"}'
    async with pages(SIGNED) as served:
        assert len(most) == 1 << 20
        assert (await served.ask("POST", "/hooks/git", headers_of("github", most), most))[0] == 202
        more = most + b" "
        assert (await served.ask("POST", "/hooks/git", headers_of("github", more), more))[0] == 413
        pieces = b"10000\r\n%s\r\n" % (b"x" * 65536) * 20
        chunked = b"POST /hooks/git HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + pieces
        assert (await served.raw(chunked).answer()).startswith(b"HTTP/1.1 413 ")


async def test_of_a_thousand_requests_none_gets_a_fault_and_few_get_far() -> None:
    async with pages(SIGNED) as served:
        statuses = []
        for number in range(1000):
            body = b'{"n": %d}' % number
            statuses.append((await served.ask("POST", "/hooks/git", headers_of("github", body, delivery=str(number)), body))[0])
        text = (await served.get("/metrics"))[1]
    assert set(statuses) == {202, 429}
    assert statuses.count(202) <= BURST + RATE * 30
    assert statuses.count(202) == len(served.loop.hints)
    assert f'reconciler_hooks_total{{result="accepted"}} {len(served.loop.hints)}.0' in text
    assert f'reconciler_hooks_total{{result="limited"}} {statuses.count(429)}.0' in text


async def test_other_methods_find_no_hook() -> None:
    async with pages(SIGNED) as served:
        for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"):
            assert (await served.ask(method, "/hooks/git"))[0] == 405
