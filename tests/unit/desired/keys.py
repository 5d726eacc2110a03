"""Keys and encrypted files for tests of secrets: made by ssh-keygen and by age itself, never by the code that is tested."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pyrage

from tests.fleet import Fleet


@dataclass(frozen=True, slots=True)
class AgeKey:
    """One age identity."""

    private: str
    public: str

    @classmethod
    def make(cls) -> Self:
        identity = pyrage.x25519.Identity.generate()
        return cls(str(identity), str(identity.to_public()))

    def encrypt(self, value: bytes, *, armored: bool = True) -> bytes:
        """An encrypted file for this key."""
        recipient = pyrage.x25519.Recipient.from_str(self.public)
        encrypted: bytes = pyrage.encrypt(value, [recipient], armored=armored)
        return encrypted

    def opens(self, encrypted: bytes) -> bytes:
        value: bytes = pyrage.decrypt(encrypted, [pyrage.x25519.Identity.from_str(self.private)])
        return value

    def write(self, path: Path, mode: int = 0o600) -> Path:
        """As age-keygen writes it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# created: 2026-01-01T00:00:00Z\n# public key: {self.public}\n{self.private}\n")
        path.chmod(mode)
        return path

    def give(self, fleet: Fleet) -> Self:
        """To the operator of `fleet`, where it is looked for."""
        self.write(fleet.home / ".config" / "reconciler" / "identity")
        return self
