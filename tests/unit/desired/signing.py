"""Commits that are really signed, by git with ssh-keygen and gpg, in a repository made on the spot."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from desired.git import open_repository
from desired.git_history import signed
from desired.signatures.model import Signed
from tests.fleet import Fleet
from tests.sshd import make_key, public

SIGNATURE = b"-----BEGIN SSH SIGNATURE-----"


def listed(*keys: Path, options: str = "") -> str:
    """A list of signers in ssh-keygen's format."""
    return "".join(f"{key.name}@example.org {options}{' ' if options else ''}{public(key)}\n" for key in keys)


def signer(folder: Path, name: str, *options: str) -> Path:
    return make_key(folder / name, *options)


def certified(folder: Path, authority: Path, key: Path, *names: str, options: tuple[str, ...] = ()) -> Path:
    """A copy of `key` with a certificate by `authority` for `names`; its public half is the certificate."""
    copy = folder / f"{key.name}-certified-{len(list(folder.iterdir()))}"
    shutil.copy(key, copy)
    shutil.copy(f"{key}.pub", f"{copy}.pub")
    command = ["ssh-keygen", "-q", "-s", str(authority), "-I", "test", "-n", ",".join(names), *options, f"{copy}.pub"]
    subprocess.run(command, check=True)
    Path(f"{copy}-cert.pub").replace(f"{copy}.pub")
    return copy


def commit(fleet: Fleet, files: Mapping[str, str | bytes | None], key: Path | None = None, *, at: int | None = None) -> str:
    """Commits everything, signed by `key` if there is one, dated `at`; the full id."""
    fleet.write(files)
    fleet.git("add", "--all")
    return made(fleet, "commit", "--quiet", "--allow-empty", "--message", "a change", key=key, at=at)


def made(fleet: Fleet, *arguments: str, key: Path | None = None, at: int | None = None, gpg: Path | None = None) -> str:
    """What a git command that makes a commit made; signed by an ssh key, or by the only key of a gpg home."""
    environment = fleet.environment | ({"GNUPGHOME": str(gpg)} if gpg else {})
    if at is not None:
        environment |= {"GIT_AUTHOR_DATE": f"@{at} +0000", "GIT_COMMITTER_DATE": f"@{at} +0000"}
    settings = ["-c", "gpg.format=ssh", "-c", f"user.signingkey={key}"] if key else []
    sign = ["-c", "commit.gpgsign=true"] if key or gpg else []
    settings += ["-c", "user.signingkey=signer@example.org"] if gpg else []
    subprocess.run(["git", *settings, *sign, *arguments], cwd=fleet.root, env=environment, check=True, capture_output=True)
    return fleet.git("rev-parse", "HEAD")


def read(fleet: Fleet, name: str) -> Signed:
    return signed(open_repository(fleet.root), name)


def forged(fleet: Fleet, signature: bytes, payload: bytes) -> str:
    """A commit with that very signature in it, wherever it comes from."""
    head, _, body = payload.partition(b"\n\n")
    folded = signature.strip().replace(b"\n", b"\n ")
    content = head + b"\ngpgsig " + folded + b"\n\n" + body
    done = subprocess.run(
        ["git", "hash-object", "-t", "commit", "-w", "--stdin"], cwd=fleet.root, input=content, capture_output=True, check=True
    )
    return done.stdout.decode().strip()


def signature_by(key: Path, payload: bytes, namespace: str = "git") -> bytes:
    """What ssh-keygen signs, for any purpose."""
    command = ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", str(key), "-"]
    return subprocess.run(command, input=payload, capture_output=True, check=True).stdout


@dataclass(frozen=True)
class Gpg:
    """A gpg home with one key, and the agent that goes with it."""

    home: Path
    then: str | None = None
    """When it thinks that it is."""

    def run(self, *arguments: str, stdin: bytes = b"") -> bytes:
        command = ["gpg", "--homedir", str(self.home), "--batch", "--yes", "--passphrase", "", *arguments]
        if self.then is not None:
            command[1:1] = ["--faked-system-time", self.then]
        return subprocess.run(command, input=stdin, capture_output=True, check=True).stdout

    @property
    def public(self) -> bytes:
        return self.run("--armor", "--export", "signer@example.org")


@contextmanager
def gpg_home(expires: str = "never", then: str | None = None) -> Iterator[Gpg]:
    """In a folder with a short name: the agent's socket lies in it."""
    if not shutil.which("gpg"):
        pytest.skip("no gpg on this machine; once: apt-get install gnupg")
    with tempfile.TemporaryDirectory(prefix="gpg", ignore_cleanup_errors=True) as folder:
        gpg = Gpg(Path(folder), then)
        try:
            gpg.run("--quick-generate-key", "Signer <signer@example.org>", "ed25519", "sign", expires)
            yield gpg
        finally:
            environment = os.environ | {"GNUPGHOME": folder}
            subprocess.run(["gpgconf", "--kill", "all"], env=environment, check=False, capture_output=True)
