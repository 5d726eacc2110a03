"""Whatever a host says, no chat mentions anybody, makes a link, reads markup, or hides a part of it."""

# ruff: noqa: RUF001  characters that look like others are what this is about

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from providers.secret import remember
from reconciler.alerts.harmless import harmless, harmless_name

PIECES = [
    *"ab@[]().:/<>&;#*_~|$`!1- \n\\＠é\x1b\u202e\u200b\u0301",
    *(
        "everyone",
        "here",
        "channel",
        "://",
        "http",
        "https",
        "www.",
        "evil.com",
        ".com",
        ".sh",
        ":x:",
        ":smile:",
        "&lt;",
        "&#64;",
    ),
    *(
        "mailto:",
        "tel:",
        "[@]",
        "[://]",
        "[.]",
        "<@U1>",
        "<!channel>",
        "[x](http://evil.com)",
        "![](//evil.com/a.png)",
        "<script>",
    ),
]
hostile = st.lists(st.sampled_from(PIECES), max_size=16).map("".join) | st.text(max_size=40)

TRIGGERS = {
    "a call for everybody": r"@(everyone|here|channel|all|room)",
    "a mention": r"(?<![A-Za-z0-9])@\w",
    "a mark of Slack, Discord, Google or HTML": r"[<>]",
    "code or emphasis": r"[`*]|~~|__|\|\||\$\$",
    "a link with a text": r"\]\(",
    "a link": r"(?<!\[)://|://(?!\])",
    "a link without a scheme": r"(^|[^A-Za-z0-9/:])//\w",
    "a domain": r"(?i)\bwww\.\w|[^\s./\[]\.(com|org|net|io|sh|py|md|ru|рф)(?![\w-])",
    "a mail": r"(?i)(?<![a-z0-9])(mailto|tel):\S",
    "a small picture": r":[a-z_+-]+:",
    "an entity": r"&(#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});",
    "a channel or an issue": r"#\w",
    "something invisible": "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]",
}


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_nothing_a_chat_could_act_on_is_left(trigger: str) -> None:
    @given(hostile)
    def never(text: str) -> None:
        assert not re.search(TRIGGERS[trigger], harmless(text, lines=True)), harmless(text, lines=True)

    never()


@given(hostile)
def test_what_is_harmless_already_stays_as_it_is(text: str) -> None:
    once = harmless(text, lines=True)
    assert harmless(once, lines=True) == once
    assert harmless_name(once, lines=True) == once


@given(hostile)
def test_a_real_markdown_parser_finds_nothing_but_text(text: str) -> None:
    """As it stands in a message: behind a mark of ours, so that it begins no block."""
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    tokens = parser.parse(f"│ {harmless(text)}")
    inline = [child.type for token in tokens for child in token.children or []]
    assert {token.type for token in tokens} <= {"paragraph_open", "inline", "paragraph_close"}
    assert set(inline) <= {"text", "text_special", "softbreak"}


@given(hostile)
def test_a_name_of_the_fleet_mentions_nobody_either(text: str) -> None:
    name = harmless_name(text)
    for trigger in (
        "a call for everybody",
        "a mention",
        "a mark of Slack, Discord, Google or HTML",
        "a link with a text",
        "a link",
    ):
        assert not re.search(TRIGGERS[trigger], name), (trigger, name)


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("@everyone look", "[@]everyone look"),
        ("<!channel> <@U1>", "‹!channel› ‹[@]U1›"),
        ("<script>alert(1)</script>", "‹script›alert(1)‹/script›"),
        ("[x](http://evil)", "[x] (http[://]evil)"),
        ("log in at https://evil.com/login", "log in at https[://]evil[.]com/login"),
        ("```\nrm -rf", "‵‵‵\nrm -rf"),
        ("@room", "[@]room"),
        ("x\x1b[31m\u202ey", "x\\x1b[31m\\u202ey"),
    ],
)
def test_what_is_altered_can_still_be_read(hostile: str, shown: str) -> None:
    assert harmless(hostile, lines=True) == shown


@pytest.mark.parametrize(
    "ordinary",
    [
        "/etc/nginx/nginx.conf: mode 0644, should be 0600",
        "getty@tty1.service is failed",
        "ops@nas.lan: Permission denied (publickey)",
        "ada from 10.0.0.7 (pts/0), since 12:30:05",
        "PermitRootLogin yes",
        "openssh-server 1:9.2p1-2 → 1:9.2p1-3",
        "E: Unable to locate package foo_bar [exit status 100]",
        "drwxr-xr-x 2 root root 4096 & more; done 2&1; x",
        "größe 5 €",
    ],
)
def test_what_hosts_usually_say_stays_as_it_is(ordinary: str) -> None:
    assert harmless(ordinary) == ordinary


def test_a_command_with_a_domain_in_it_can_be_copied() -> None:
    assert harmless_name("reconcile plan web1.example.org") == "reconcile plan web1.example.org"


def test_a_secret_that_a_host_repeats_is_taken_out() -> None:
    remember(b"correct-horse-battery")
    assert "horse" not in harmless("wrong password correct-horse-battery!")
