"""Contents that are secret, or that hold secrets: what stands in a spec from loading to the moment in which they are opened.

`desired/content.py` seals a spec with the versions of the encrypted files that it needs; `desired/secrets/vault.py` opens it.
Between the two everything can be checked, compared and remembered without any key, and nothing that is written down anywhere
depends on a value: a digest of a short password could be guessed from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, PrivateAttr

from providers.base import Spec
from providers.model import Line, Model
from providers.secret import Secret
from providers.shell import Sh, sh


class SecretName(Model):
    """`{secret: NAME}`: the value of secrets/NAME.age."""

    secret: Annotated[Line, Field(min_length=1, description="Name of an encrypted file: secrets/NAME.age")]


def sort_of_text(value: object) -> str:
    """Tells pydantic what a value was meant to be, where text or `{secret: NAME}` may stand."""
    named = isinstance(value, SecretName) or (isinstance(value, dict) and "secret" in value)
    return "a secret" if named else "a text"


@dataclass(frozen=True, slots=True)
class Reference:
    """One encrypted file of the fleet, as it is in this commit."""

    path: str
    version: str
    """Its blob id."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A content. One reference alone stands for a value as it is; between other text, for the value without the line break at
    its end."""

    pieces: tuple[bytes | Reference, ...]
    opened: Secret | None = None
    trouble: str = "its secret was not opened"
    """Why it is not opened."""

    @property
    def references(self) -> tuple[Reference, ...]:
        return tuple(dict.fromkeys(piece for piece in self.pieces if isinstance(piece, Reference)))

    @property
    def version(self) -> str:
        """Another one whenever the content may be another."""
        match self.pieces:
            case (Reference(version=version),):
                return version
        digest = hashlib.sha256()
        for piece in self.pieces:
            words = piece.version.encode() if isinstance(piece, Reference) else hashlib.sha256(piece).digest()
            digest.update(len(words).to_bytes(4, "big") + words)
        return digest.hexdigest()[:40]

    def open(self, secrets: Mapping[str, Secret], salt: str) -> Sealed:
        """With the values of `secrets` (by path). Raises `UnicodeDecodeError` where one is put into a text and is none."""
        match self.pieces:
            case (Reference(path=path),):
                return replace(self, opened=secrets[path])
        content = b"".join(piece if isinstance(piece, bytes) else secrets[piece.path].text().encode() for piece in self.pieces)
        return replace(self, opened=Secret(content, self.version, salt=salt, known=False))

    def failed(self, trouble: str) -> Sealed:
        return replace(self, trouble=trouble)


class SealableSpec(Spec):
    """A resource whose content may come from encrypted files."""

    sealable: ClassVar[str] = "content"
    """The field in which `{secret: NAME}` may stand."""

    _sealed: Sealed | None = PrivateAttr(default=None)

    @property
    def sealed(self) -> Sealed | None:
        """The secret content, if it has one; never part of a dump or a `repr`."""
        return self._sealed

    def with_sealed(self, sealed: Sealed, **fields: Any) -> Self:
        """A copy that carries `sealed`, with other values in some `fields`."""
        copy = self.model_copy(update=fields)
        copy._sealed = sealed  # noqa: SLF001 our own
        return copy

    def digest(self) -> str:
        """Of what is asked for; instead of the content its version counts, which tells nothing about it."""
        if self._sealed is None:
            return super().digest()
        return hashlib.sha256(f"{super().digest()}\n{self._sealed.version}".encode()).hexdigest()[:16]


ASK = sh(r"""
file_salted() { # KEY PATH SALT LIMIT: the SHA-256 of SALT and a regular file's content, if it could be read
  [ -f "$2" ] && [ ! -L "$2" ] || return
  sum=$( { { echo "$3" && head -c "$4" <"$2" && echo read >&3; } | sha256sum; } 3>&1)
  case $sum in
  read*)
    sum=${sum%% *}
    printf '%s  %s\n' "${sum#?????}" "$1"
    ;;
  esac
}""")
"""How a content on the host is compared with a secret: only a salted digest of it comes back."""


def ask(key: str, path: str, secret: Secret) -> Sh:
    """The question for one file, which `paths.read` finds among the sums. One byte more than the secret has is read: that is
    enough to tell that a file is longer."""
    return sh("file_salted @key@ @path@ @salt@ @limit@", key=key, path=path, salt=secret.salt, limit=len(secret) + 1)
