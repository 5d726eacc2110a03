"""A secret is a type, not a string: it cannot be printed, compared by accident or put into a model's dump.

Made by `desired/secrets/vault.py` from `secrets/*.age`; revealed only where bytes leave for the host that needs them. Each
secret that comes to life is remembered here, so that `redact`, through which every sink sends its text, can take it out again
wherever a host or a tool repeats it: `forms.py` knows how others may write it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, final

from providers.forms import forms_of

SHORTEST = 6
"""A value with fewer characters is not taken out of texts: it would be found everywhere, and tell nothing."""
HIDDEN = "[secret]"
_LONG = 256
"""A longer form is looked for by itself."""
_CUT = "…"
"""What `shorten` puts where it left something out: the rest of a secret may have stood there."""


@final
class Secret:
    """Bytes that nobody may see. `version` tells one from another without telling anything about the value: it is the blob id
    of the encrypted file."""

    __slots__ = ("_salt", "_value", "version")

    def __init__(self, value: bytes, version: str, *, salt: str = "", known: bool = True) -> None:
        """`salt`: random hexadecimal digits of this process alone. `known`: whether `redact` should hide all of it; off for
        what is only made of secrets and of other text."""
        self._value = value
        self._salt = salt
        self.version = version
        if known:
            remember(value)

    def reveal(self) -> bytes:
        return self._value

    def text(self) -> str:
        """The value as text, without the line break that an editor puts at its end. Raises `UnicodeDecodeError`."""
        return self._value.decode().rstrip("\r\n")

    @property
    def salt(self) -> str:
        """Sent to a host, which answers with `salted` of what it has. `ValueError` without one: an unsalted digest of a secret
        could be guessed from."""
        if not self._salt:
            raise ValueError("this secret was made without a salt")
        return self._salt

    def salted(self) -> str:
        """SHA-256 of the salt on a line of its own, and the value."""
        return hashlib.sha256(f"{self.salt}\n".encode() + self._value).hexdigest()

    def __len__(self) -> int:
        return len(self._value)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"Secret(version={self.version!r})"

    def __str__(self) -> str:
        return HIDDEN

    def __reduce__(self) -> str:
        raise TypeError("a secret is not written anywhere")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.version == other.version

    def __hash__(self) -> int:
        return hash(self.version)


class _Forms:
    """Texts that begin with the same characters."""

    __slots__ = ("long", "short")

    def __init__(self) -> None:
        self.short: dict[int, set[str]] = {}
        """By length: one look-up for each length, however many there are."""
        self.long: set[str] = set()

    def add(self, form: str) -> None:
        (self.long if len(form) > _LONG else self.short.setdefault(len(form), set())).add(form)

    def discard(self, form: str) -> None:
        self.long.discard(form)
        self.short.get(len(form), set()).discard(form)

    def length(self, text: str, at: int) -> int:
        """How much of `text` the longest of them takes that begins at `at`."""
        longest = max((len(form) for form in self.long if text.startswith(form, at)), default=0)
        return longest or max((size for size, forms in self.short.items() if text[at : at + size] in forms), default=0)

    def cut(self, part: str) -> bool:
        """Whether one of them begins with `part`."""
        return any(form.startswith(part) for forms in (self.long, *self.short.values()) for form in forms)


_known: dict[str, _Forms] = {}
"""The first characters of a form → all forms that begin so."""


def remember(value: bytes) -> None:
    """From now on `redact` hides the value, each of its lines, and what stands behind `NAME=` in a line."""
    for form in forms_of(value):
        if len(form) >= SHORTEST:
            _known.setdefault(form[:SHORTEST], _Forms()).add(form)


def open_to_all(texts: Iterable[str]) -> None:
    """What stands openly in the fleet as a name of a host or resource is not hidden, even where a secret has the same word
    (`NODE_ENV=production`, and a host called production): hiding it protects nothing and makes every output unreadable."""
    if not _known:
        return
    for text in texts:
        for start, end in _found(text):
            _known[text[start : start + SHORTEST]].discard(text[start:end])


def redact(text: str) -> str:
    """`text` without any secret that this process knows: plain, or as base64, hex, URL, JSON or shell would write it."""
    if not _known:
        return text
    places = _found(text)
    if not places:
        return text
    pieces = []
    done = 0
    for start, end in _joined(places):
        pieces += [text[done:start], HIDDEN]
        done = end
    return "".join(pieces) + text[done:]


def redacted(value: Any) -> Any:
    """Plain data (as JSON has it) with every string in it redacted, names of mappings too."""
    if not _known:
        return value
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {redacted(key): redacted(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [redacted(inner) for inner in value]
    return value


def _found(text: str) -> list[tuple[int, int]]:
    """Where secrets stand. One look-up per character, however many secrets there are."""
    starts = [at for at in range(len(text) - SHORTEST + 1) if text[at : at + SHORTEST] in _known]
    return [(at, at + length) for at in starts if (length := _length(text, at))]


def _length(text: str, at: int) -> int:
    """How much of `text` is a secret that begins at `at`; where the text was cut short, the part that is left of one."""
    forms = _known[text[at : at + SHORTEST]]
    length = forms.length(text, at)
    end = text.find(_CUT, at + length, at + _LONG)
    return end - at if end >= 0 and forms.cut(text[at:end]) else length


def _joined(places: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Places that overlap, as one."""
    joined = [places[0]]
    for start, end in places[1:]:
        if start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined
