"""Checks OpenPGP signatures of commits by asking gpg, in a child and with a keyring that holds the listed keys alone.

Called by `desired/signatures/signers.py`. Neither the user's keyring nor any configuration has a say, and nothing is fetched.
Of what gpg says only its status lines count, never its exit code.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path

from desired.signatures.allowed import WrongLine

BEGIN = (b"-----BEGIN PGP SIGNATURE-----", b"-----BEGIN PGP MESSAGE-----")
_ARMORED = b"-----BEGIN PGP PUBLIC KEY BLOCK-----"
_TIMEOUT = 30
_WEAK = frozenset({"1", "2", "3"})
"""MD5, SHA-1 and RIPEMD-160, by their numbers in OpenPGP."""
_REASONS = (
    ("NO_PUBKEY", "is signed by a key that is not listed"),
    ("REVKEYSIG", "is signed by a key that was revoked"),
    ("EXPKEYSIG", "is signed by a key that has expired"),
    ("EXPSIG", "has a signature that has expired"),
    ("BADSIG", "does not fit its signature: it was changed after it was signed"),
    ("ERRSIG", "has a signature that cannot be checked"),
)
"""Which status lines count against a signature, the most telling first."""


def is_keyring(content: bytes) -> bool:
    """Whether a file of signers holds OpenPGP keys: armored, or as packets, whose first byte is never text."""
    return content.lstrip().startswith(_ARMORED) or content[:1] >= b"\x80"


class Keyring:
    """Public keys, in a folder of its own as long as it is needed. Made when it is first asked."""

    def __init__(self, contents: Sequence[bytes]) -> None:
        self._contents = tuple(contents)
        self._folder: Path | None = None
        self._fingerprints: frozenset[str] = frozenset()

    def refusal(self, signature: bytes, payload: bytes) -> str | None:
        """Why a commit does not count as signed by one of the keys, as `ssh.refusal` says it; None when it does."""
        program = shutil.which("gpg")
        if program is None:
            return "has an OpenPGP signature, and gpg, which could check it, is not installed here"
        if not self._contents:
            return "has an OpenPGP signature, and no OpenPGP key is listed"
        try:
            home = self._home(program)
            file = home / "signature"
            file.write_bytes(signature)
            return self._judged(_run(program, home, ["--verify", str(file), "-"], payload))
        except (OSError, subprocess.SubprocessError) as error:
            reason = "took too long" if isinstance(error, subprocess.TimeoutExpired) else f"cannot be run ({error})"
            return f"has an OpenPGP signature that could not be checked: gpg {reason}"

    def _home(self, program: str) -> Path:
        if self._folder is None:
            home = Path(tempfile.mkdtemp(prefix="reconcile-gpg-"))
            weakref.finalize(self, shutil.rmtree, home, ignore_errors=True)
            found = set()
            for number, content in enumerate(self._contents):
                file = home / f"keys{number}"
                file.write_bytes(content)
                imported = _run(program, home, ["--import", str(file)], b"")
                found |= {words[1] for word, words in imported if word == "IMPORT_OK" and len(words) > 1}
            self._folder, self._fingerprints = home, frozenset(found)
        return self._folder

    def _judged(self, told: Sequence[tuple[str, list[str]]]) -> str | None:
        words = [word for word, _ in told]
        for word, reason in _REASONS:
            if word in words:
                return reason
        valid = [arguments for word, arguments in told if word == "VALIDSIG"]
        if len(valid) != 1 or words.count("GOODSIG") != 1 or words.count("NEWSIG") > 1 or len(valid[0]) < 10:
            return "has an OpenPGP signature that is not exactly one good signature"
        if valid[0][9] not in self._fingerprints:
            return "is signed by a key that is not listed"
        if valid[0][7] in _WEAK:
            return "has a signature over a digest that can be forged (SHA-1 or older)"
        if valid[0][8] not in ("00", "01"):
            return "has an OpenPGP signature that is not for a document"
        return None


def wrong_keys(content: bytes) -> tuple[WrongLine, ...]:
    """What is wrong with a file of keys, as far as it can be told without gpg."""
    if b"PRIVATE KEY" in content:
        return (WrongLine(1, "it holds a private key"),)
    return ()


def _run(program: str, home: Path, arguments: Sequence[str], stdin: bytes) -> list[tuple[str, list[str]]]:
    """What gpg tells on its status lines: word and arguments."""
    fixed = ("--no-options", "--batch", "--no-tty", "--disable-dirmngr", "--no-auto-key-retrieve", "--no-auto-key-locate")
    trust = ("--trust-model", "always", "--no-auto-check-trustdb", "--status-fd", "1")
    done = subprocess.run(
        [program, "--homedir", str(home), *fixed, *trust, *arguments],
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": str(home)},
        timeout=_TIMEOUT,
        check=False,
    )
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    told = [line.removeprefix("[GNUPG:] ").split() for line in lines if line.startswith("[GNUPG:] ")]
    return [(words[0], words[1:]) for words in told if words]
