"""Those who may sign commits: what the files say that `signers` names in fleet.yaml, or a file on the controller.

Called by `desired/signatures/walk.py`, and by `desired/load.py` to tell mistakes in such a file before it is in force.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from desired.signatures import gpg, ssh
from desired.signatures.allowed import Signer, WrongLine, read_allowed_signers
from desired.signatures.model import Signed, SignersError
from desired.text import visible


@dataclass(frozen=True)
class Signers:
    """One list, of any number of files."""

    ssh: tuple[Signer, ...] = ()
    keyring: gpg.Keyring = field(default_factory=lambda: gpg.Keyring(()), compare=False)
    keyrings: int = 0
    wrong: tuple[tuple[str, WrongLine], ...] = ()
    """Lines that list nobody, with their file."""

    @classmethod
    def of(cls, files: Iterable[tuple[str, bytes]]) -> Signers:
        """From the names and contents of files: each is in ssh-keygen's format, or holds OpenPGP keys."""
        lines: list[Signer] = []
        rings: list[bytes] = []
        wrong: list[tuple[str, WrongLine]] = []
        for name, content in files:
            if gpg.is_keyring(content):
                rings.append(content)
                wrong += [(name, one) for one in gpg.wrong_keys(content)]
            else:
                found, bad = read_allowed_signers(content.decode("utf-8", "replace"))
                lines += found
                wrong += [(name, one) for one in bad]
        return cls(tuple(lines), gpg.Keyring(rings), len(rings), tuple(wrong))

    @property
    def empty(self) -> bool:
        """Nobody may sign."""
        return not (self.ssh or self.keyrings)

    def refusal(self, commit: Signed, now: float) -> str | None:
        """Why the commit does not count as signed, as the end of a sentence; None when it does. A key must have been valid
        when the commit says it was made, and be valid now: anybody can choose the date of a commit."""
        signature = commit.signature.lstrip()
        if not signature:
            return "is not signed"
        if signature.startswith(ssh.BEGIN):
            return ssh.refusal(signature, commit.payload, self.ssh, commit.time, now)
        if signature.startswith(gpg.BEGIN):
            return self.keyring.refusal(signature, commit.payload)
        return "has a signature of a sort that is not checked here: use git config gpg.format ssh, or openpgp"


def outside_signers(file: Path) -> Signers:
    """A list on the controller. Raises `SignersError`."""
    shown = visible(str(file), 200)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise SignersError(
            f"the list of signers {shown} cannot be read: {error.strerror}", "name a readable file: --signers FILE"
        ) from error
    found = Signers.of([(str(file), content)])
    if found.wrong:
        name, one = found.wrong[0]
        raise SignersError(f"{visible(name, 200)}:{one.line}: {one.reason}", "each line reads: NAME [OPTIONS] TYPE KEY")
    if found.empty:
        raise SignersError(f"the list of signers {shown} lists nobody", "each line reads: NAME [OPTIONS] TYPE KEY")
    return found
