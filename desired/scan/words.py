"""Finds passwords and tokens that have no form of their own, by the word before them: `DB_PASSWORD=…`, `"token": "…"`.

Used by `scanner.py`, with care: most of what stands behind such words is a name, a call or a placeholder. How careful depends
on the file: in settings a value may stand without quotes, in programs it may not, in prose and in tests only what nobody
could have made up counts, and in lists of versions and digests nothing does.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Literal, TypeAlias

from desired.scan.rules import Hit, placeholder

Sort: TypeAlias = Literal["settings", "program", "prose", "listing"]

PASSWORD, TOKEN = "password", "token"

TITLES = {PASSWORD: "a password", TOKEN: "a token or key"}

_LISTING = re.compile(
    r"(?:(?:package-lock|npm-shrinkwrap|packages\.lock)\.json|pnpm-lock\.yaml|go\.sum|.*\.min\.(?:js|css)"
    r"|.*\.(?:lock|map|svg|csv|tsv|ipynb|po|pot|sum|pub|crt|patch|diff))"
)
_PROSE = re.compile(r".*\.(?:md|mdx|rst|html?|adoc|tex|asc|[1-8])")
_TESTS = re.compile(
    r"(?:.*/)?(?:(?:tests?|__tests__|testdata|fixtures|specs?)/.*"
    r"|(?:test_[^/]*|conftest)\.py|[^/]*(?:_test\.[a-z]+|[._-](?:spec|test)\.[a-z]+|_spec\.rb|tests?\.(?:php|java|kt|cs)))"
)
"""Programs that test programs: what they log in with was made up for it."""
_SETTINGS = re.compile(
    r"[^.]+|\.[^.]+|\.env.*|.*\.(?:env|ya?ml|ini|cfg|conf|cnf|config|toml|properties|json5?|xml|sh|bash|zsh|tf|tfvars|service"
    r"|txt|j2|sql|plist|local|prod|production|development|staging|sample|dist)"
)

_WORDS: tuple[tuple[bytes, str, re.Pattern[bytes] | None], ...] = (
    (b"password", PASSWORD, None),
    (b"passwd", PASSWORD, None),
    (b"passphrase", PASSWORD, None),
    (b"pass", PASSWORD, re.compile(rb".*[^a-z]|", re.DOTALL)),
    (b"pwd", PASSWORD, None),
    (b"secret", TOKEN, None),
    (b"token", TOKEN, re.compile(rb"(?!.*(?:next|page|continuation|pagination|csrf)[_-]?$).*", re.DOTALL)),
    (b"key", TOKEN, re.compile(rb".*(?:api|access|auth|secret|encryption|signing|master|account)[_-]?", re.DOTALL)),
    (b"key_base", TOKEN, re.compile(rb".*secret[_-]?", re.DOTALL)),
    (b"credential", TOKEN, None),
    (b"credentials", TOKEN, None),
)
"""Last words of names, in lower case, and what has to stand before them."""
_AFTER = frozenset((b'"', b"'", b"]", b" ", b">", b"\t", b":", b"="))
_BEFORE = 16
_VALUE = re.compile(
    rb"[\"'\]]{0,2}[ \t]{0,8}(?::[ \t]*[A-Za-z][A-Za-z\[\]|. ]{0,30}=|=>|:=|[=:]|>)[ \t]{0,8}"
    rb"(?:(?P<quote>[\"'`])(?P<quoted>[^\"'`\r\n]{6,200})(?P=quote)|(?P<bare>[^\s\"'`,;#<>]{6,200})(?P<rest>[^\r\n]{0,40}))"
)
_END_OF_VALUE = re.compile(rb"[ \t]*(?:[,;}\]]+[ \t]*|</[A-Za-z:_-]+>.*)?(?:[ \t]+[#;].*)?\\?$")
_NAME = re.compile(
    rb"[A-Za-z_][A-Za-z_0-9]*(?:(?:\.|::|->)[A-Za-z_][A-Za-z_0-9]*)+|[a-z0-9]+(?:_[a-z0-9]+)+|[A-Z0-9]+(?:_[A-Z0-9]+)+"
)
_FOREIGN = re.compile(
    rb"^[$%{<*!&@(/~.\[]|\$\{|\{\{|\$\(|[()]|://|^(?i:file|env|vault|secret|ssm|arn|sha[0-9]+|md5|base64)[:_]"
)
"""Filled in by something else, a path, a call, or the digest of something."""
_MADE_UP = re.compile(
    rb"(?i)test|demo|fake|mock|sample|default|dummy|foo|bar|^(?:my|the|a|some|new|old|db|user|admin)?[-_.]?(?:pass(?:word|wd)?|secret|admin|root|user|token|key|pwd|pw)[-_.]?[0-9]{0,4}!?$"
)
_SOLID = re.compile(rb"[A-Za-z0-9+/]{12,}")
_TOKEN = re.compile(rb"[A-Za-z0-9+/_.~-]{16,200}={0,2}")
_UUID = re.compile(rb"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def sort_of(path: str) -> Sort:
    """What kind of text a file holds, by its name."""
    path = path.lower()
    name = path.rpartition("/")[2]
    if _LISTING.fullmatch(name):
        return "listing"
    if _PROSE.fullmatch(name):
        return "prose"
    if _SETTINGS.fullmatch(name):
        return "settings"
    return "prose" if _TESTS.fullmatch(path) else "program"


def word_hits(data: bytes, lowered: bytes, sort: Sort) -> Iterator[Hit]:
    """Values behind telling words; `lowered` is the same in lower case."""
    if sort == "listing":
        return
    for start, end, rule in _named(lowered):
        match = _VALUE.match(data, end)
        if match is None:
            continue
        value = match["quoted"]
        if value is None:
            value = match["bare"].rstrip(b"}],;")
            if sort != "settings" or not _END_OF_VALUE.match(match["rest"]):
                continue
        if _machine_made(value) or (rule == PASSWORD and sort != "prose" and _chosen(value)):
            yield Hit(start, match.end(), rule)


def _named(lowered: bytes) -> Iterator[tuple[int, int, str]]:
    """Where the telling words stand, with what they tell. By `find`, which is many times faster than one regular expression."""
    for word, rule, before in _WORDS:
        start = lowered.find(word)
        while start >= 0:
            end = start + len(word)
            told = lowered[end : end + 1] in _AFTER
            if told and (before is None or before.fullmatch(lowered, max(0, start - _BEFORE), start)):
                yield start, end, rule
            start = lowered.find(word, end)


def _chosen(value: bytes) -> bool:
    """Whether somebody may have chosen this for a password."""
    letters, digits = re.search(rb"[A-Za-z]", value), re.search(rb"[0-9]", value)
    if not (letters and digits) or re.search(rb"\s", value) or not value.isascii():
        return False
    return not (_FOREIGN.search(value) or _NAME.fullmatch(value) or placeholder(value) or _MADE_UP.search(value))


def _machine_made(value: bytes) -> bool:
    """Whether this was drawn by lot: long, with digits, and no word in any language."""
    if not _TOKEN.fullmatch(value) or _FOREIGN.search(value) or _UUID.fullmatch(value) or placeholder(value):
        return False
    solid = max(_SOLID.findall(value), key=len, default=b"")
    digits = sum(48 <= byte < 58 for byte in solid)
    if digits < 2 or digits == len(solid) or _NAME.fullmatch(value):
        return False
    if re.fullmatch(rb"[0-9a-f]*|[0-9A-F]*", solid):
        return len(solid) >= 32 and entropy(solid) >= 3.0
    return entropy(solid) >= 3.4


def entropy(value: bytes) -> float:
    """Bits per character."""
    return -sum(count / len(value) * math.log2(count / len(value)) for count in Counter(value).values())
