"""Which URLs are spoken to. The list is one of what is allowed, and no login stands in what is said about the rest."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desired.sources.model import SourceProblem
from desired.sources.url import Location, parse_location

SECRET = "hunter22hunter22"


def refused(text: str) -> SourceProblem:
    with pytest.raises(SourceProblem) as caught:
        parse_location(text)
    assert caught.value.kind == "refused"
    assert str(caught.value).isprintable()
    return caught.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ssh://git@gitea.lan/me/site.git", ("ssh", "gitea.lan", 22, "git", "gitea.lan")),
        ("ssh://git@gitea.lan:2222/me/site.git", ("ssh", "gitea.lan", 2222, "git", "[gitea.lan]:2222")),
        ("ssh://gitea.lan/~me/site.git", ("ssh", "gitea.lan", 22, "", "gitea.lan")),
        ("ssh://git@[::1]:2222/site", ("ssh", "::1", 2222, "git", "[::1]:2222")),
        ("git@gitea.lan:me/site.git", ("ssh", "gitea.lan", 22, "git", "gitea.lan")),
        ("git@gitea.lan:/srv/site.git", ("ssh", "gitea.lan", 22, "git", "gitea.lan")),
        ("HTTPS://Git.Example.ORG/me/site", ("https", "git.example.org", 443, "", "[git.example.org]:443")),
        ("/srv/git/site.git", ("path", "", 0, "", "[]:0")),
    ],
)
def test_what_is_spoken(text: str, expected: tuple[str, str, int, str, str]) -> None:
    found = parse_location(text)
    assert (found.transport, found.host, found.port, found.user, found.place) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "site.git",
        "./site",
        "../site",
        "~",
        "~other/site",
        "git://gitea.lan/site",
        "http://gitea.lan/site",
        "http://localhost/site",
        "file:///srv/git/site.git",
        "FILE:///srv/git/site.git",
        "ftp://gitea.lan/site",
        "ext::sh -c touch% /marker",
        "fd::17/site",
        "git+ssh://gitea.lan/site",
        "-oProxyCommand=touch /marker",
        "--upload-pack=touch /marker",
        "ssh://-oProxyCommand=touch/site",
        "ssh://git@-oProxyCommand=x/site",
        "ssh://-oProxyCommand=x@gitea.lan/site",
        "git@-oProxyCommand=x:site",
        "-oProxyCommand=x@gitea.lan:site",
        "git@gitea.lan:-oProxyCommand=x",
        "gitea.lan:site",
        "ssh://gitea.lan",
        "ssh://gitea.lan/",
        "ssh:///site",
        "ssh://gitea.lan:99999/site",
        "ssh://gitea.lan:22x/site",
        "https://gitea.lan/site?x=1",
        "https://gitea.lan/site#x",
        "https://gitea.lan%2f.evil.example/site",
        "https://gitea.lan\\@evil.example/site",
        "https://[::1/site",
        "https://gitea.lan/si\nte",
        "https://gitea.lan/si%0ate",
        "https://gitea.lan/si%00te",
        "ssh://git@gitea.lan/\x1b[31m",
        "https://gitea.lan/\u202esite",
        "/srv/\0site",
    ],
)
def test_what_is_not_spoken(text: str) -> None:
    assert refused(text).hint


@pytest.mark.parametrize(
    "text",
    [
        f"https://me:{SECRET}@gitea.lan/site",
        f"https://{SECRET}@gitea.lan/site",
        f"ssh://git:{SECRET}@gitea.lan/site",
        f"http://me:{SECRET}@gitea.lan/site",
        f"ftp://me:{SECRET}@gitea.lan/site",
        f"https://me:{SECRET}@gitea.lan:x/site",
        f"https://me:{SECRET}@gitea.lan/si\nte",
        f"https://me:pa/{SECRET}@gitea.lan/site",
        f"https://me:pa#{SECRET}@gitea.lan/site",
        f"me:{SECRET}@gitea.lan:site",
    ],
)
def test_a_login_in_a_url_is_refused_and_not_repeated(text: str) -> None:
    found = refused(text)
    assert SECRET not in str(found) + found.hint


def test_unencrypted_http_is_spoken_to_this_machine_alone_and_when_asked() -> None:
    assert parse_location("http://127.0.0.1:8080/site", loopback_http=True).port == 8080
    with pytest.raises(SourceProblem, match="not encrypted"):
        parse_location("http://127.0.0.1.evil.example/site", loopback_http=True)


@pytest.mark.parametrize("asked", ["https://evil.example/me", "http://gitea.lan/me", "https://gitea.lan:8443/me", "x", ""])
def test_a_login_is_for_the_server_that_was_meant(asked: str) -> None:
    location = parse_location("https://gitea.lan/me/site")
    assert location.asks_from("https://gitea.lan/me/site")
    assert location.asks_from("https://GITEA.lan:443/other")
    assert not location.asks_from(asked)


@given(st.text() | st.from_regex(r"[a-z+]{0,5}:?/{0,2}[-a-z@:\[\]%0-9./]{0,30}", fullmatch=True))
def test_every_text_is_refused_or_comes_out_plain(text: str) -> None:
    found = parsed(text)
    if found is None:
        return
    assert found.url.isprintable()
    assert not found.url.startswith("-")
    assert found.host[:1] != "-"
    assert found.transport == "path" or found.host
    assert parse_location(found.url) == found


def parsed(text: str) -> Location | None:
    with suppress(SourceProblem):
        return parse_location(text)
    return None
