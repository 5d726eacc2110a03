r"""Makes text harmless for any chat: nothing in it mentions anybody, links anywhere, becomes markup, or hides.

One function for all that goes out, whoever it goes to: which chat stands behind an alert is the operator's choice, and some of
them read Markdown, HTML or marks of their own in what is sent as plain text. So a character that begins something is replaced
by one that looks alike and begins nothing, or put in brackets as those do who handle malicious links. Nothing invisible is put
in: what was altered can be seen, and what is there can be read.

    @everyone → [@]everyone      <!channel> → ‹!channel›     [text](target) → [text] (target)     `x` → ‵x‵
    **bold** → ∗∗bold∗∗          :fire: → ∶fire:             #channel → ♯channel                  &lt; → ＆lt;
    http://evil.com/x → http[://]evil[.]com/x

Paths, names of units, times and commands stay as they are: `/etc/nginx/nginx.conf`, `getty@tty1.service`, `12:30:05`. What is
made harmless twice is the same as once.
"""

# ruff: noqa: RUF001 RUF002  characters that look like others are what this is about

from __future__ import annotations

import re

from providers.secret import redact
from reconciler.text import visible

_ENDINGS = (
    "age|asc|automount|bak|cert|cfg|conf|config|corp|crt|css|csv|db|deb|default|device|disabled|dpkg|enabled|env|example|gpg|gz"
    "|home|html|img|ini|internal|invalid|iso|js|json|key|lan|list|local|localdomain|localhost|lock|log|mount|new|old|orig|path"
    "|pem|pid|repo|rules|scope|service|slice|socket|sock|sources|sql|sqlite|swap|swp|tar|target|test|tgz|timer|tmp|toml|txt|xml"
    "|xz|yaml|yml"
)
"""What stands behind a dot and is no top-level domain: no chat makes a link of it. `.sh`, `.py` and `.md` are some."""

_NAMES: tuple[tuple[re.Pattern[str], str], ...] = (
    # A mention. Between letters it is the middle of something (ops@nas), unless it calls for everybody wherever it stands.
    (re.compile(r"([@＠﹫])(?!(?<=\[.)\])(?=everyone|here|channel|all|room)", re.IGNORECASE), r"[\1]"),
    (re.compile(r"(?<![A-Za-z0-9])([@＠﹫])(?!(?<=\[.)\])"), r"[\1]"),
    (re.compile(r"([@＠﹫])(?![A-Za-z0-9])(?!(?<=\[.)\])"), r"[\1]"),
    # A link with its scheme, or with two slashes alone; what a telephone would call or write to.
    (re.compile(r"://(?!(?<=\[://)\])"), "[://]"),
    (re.compile(r"(?<![A-Za-z0-9/:])//(?=\w)"), "[//]"),
    (re.compile(r"(?<![A-Za-z0-9])(mailto|tel|sms|sips?|xmpp|magnet|callto|facetime|skype):(?=\S)", re.IGNORECASE), r"\1[:]"),
    # Markup: HTML and what Slack makes of angle brackets; Markdown's links, code, emphasis, spoilers and formulas.
    (re.compile(r"<"), "‹"),
    (re.compile(r">"), "›"),
    (re.compile(r"&(?=(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});)"), "＆"),
    (re.compile(r"\](?=\()"), "] "),
    (re.compile(r"`"), "‵"),
    (re.compile(r"\*"), "∗"),
    (re.compile(r"~(?=[\w~])|(?<=~)~"), "∼"),
    (re.compile(r"_(?=_)|(?<=_)_"), "▁"),
    (re.compile(r"\|(?=\|)|(?<=\|)\|"), "∣"),
    (re.compile(r"\$(?=\$)|(?<=\$)\$"), "＄"),
    # Channels, issues and hashtags; small pictures; marks heaped upon one letter.
    (re.compile(r"#(?=\w)"), "♯"),
    (re.compile(r":(?=(?:[A-Za-z0-9_+-]*[A-Za-z_+-][A-Za-z0-9_+-]*|100|1234):)"), "∶"),
    (re.compile("([\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]{2})"
                "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+"), r"\1"),
)  # fmt: skip
_WORDS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])"), "▁"),
    # A domain needs no scheme to become a link.
    (re.compile(r"(?<![A-Za-z0-9])(www)\.(?=\w)", re.IGNORECASE), r"\1[.]"),
    (re.compile(rf"(?<=[^\s./\[])([.。．｡])(?=[^\W\d_]{{2}})(?!(?:{_ENDINGS})(?![\w-]))", re.IGNORECASE), r"[\1]"),
)


def harmless(text: str, *, lines: bool = False) -> str:
    """What came from a host, from a commit or from a server. With `lines`, its line breaks stay."""
    return _applied(_WORDS, harmless_name(text, lines=lines))


def harmless_name(text: str, *, lines: bool = False) -> str:
    """One of the fleet's own names (a host, a reference) or a command with such names in it: it has been reviewed, so it may be
    a domain; and a person wants to copy it."""
    return _applied(_NAMES, visible(redact(text), lines=lines))


def _applied(rules: tuple[tuple[re.Pattern[str], str], ...], text: str) -> str:
    for pattern, replacement in rules:
        text = pattern.sub(replacement, text)
    return text
