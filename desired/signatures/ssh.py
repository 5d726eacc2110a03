"""Checks SSH signatures of commits (`git config gpg.format ssh`). With state/ssh, the only place where asyncssh is spoken.

Called by `desired/signatures/signers.py`. asyncssh does the arithmetic alone. What a signature is for, which key made it and
whether that key may is read here, because the library would take a signature that was made for another purpose, and the weak
`ssh-rsa` with SHA-1.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from desired.signatures.allowed import GIT, Signer, matches
from desired.text import visible

if TYPE_CHECKING:
    from asyncssh.public_key import SSHOpenSSHCertificate

BEGIN = b"-----BEGIN SSH SIGNATURE-----"
_END = b"-----END SSH SIGNATURE-----"
_MAGIC = b"SSHSIG"
_HASHES = frozenset({b"sha256", b"sha512"})
_ALGORITHMS = frozenset(
    {
        b"ssh-ed25519",
        b"rsa-sha2-256",
        b"rsa-sha2-512",
        b"ecdsa-sha2-nistp256",
        b"ecdsa-sha2-nistp384",
        b"ecdsa-sha2-nistp521",
        b"sk-ssh-ed25519@openssh.com",
        b"sk-ecdsa-sha2-nistp256@openssh.com",
    }
)
_CERTIFICATE = b"-cert-v01@openssh.com"


@dataclass(frozen=True, slots=True)
class Signature:
    """What a signature says of itself."""

    raw: bytes
    key: bytes
    """The public key, or the certificate, as it travels."""
    namespace: bytes

    @property
    def kind(self) -> bytes:
        return self.key[4 : 4 + int.from_bytes(self.key[:4], "big")]

    @property
    def certified(self) -> bool:
        return self.kind.endswith(_CERTIFICATE)


def refusal(signature: bytes, payload: bytes, signers: Sequence[Signer], *times: float) -> str | None:
    """Why a commit does not count as signed by one of `signers`, as the end of a sentence that begins with the commit; None
    when it does. `times`: at each of these a key must be valid."""
    try:
        found = _read(signature)
    except ValueError as error:
        return f"has a signature that cannot be read: {error}"
    if found.namespace != GIT.encode():
        return f'has a signature that was made for "{visible(found.namespace.decode("utf-8", "replace"), 40)}", not for "{GIT}"'
    authority = _authority(found) if found.certified else None
    if found.certified and authority is None:
        return "is signed with a certificate that is broken, is not for users, or is not valid today"
    key = authority or found.key
    listed = [one for one in signers if one.key == key and one.authority is found.certified]
    barred = [reason for one in listed if (reason := one.barred(*times))]
    counting = [one for one in listed if not one.barred(*times)]
    if not counting:
        whose = f"with a certificate by {fingerprint(key)}" if found.certified else f"by {fingerprint(key)}"
        return f"is signed {whose}, " + (f"which is listed {barred[0]}" if barred else "which is not listed")
    if any(_fits(found, payload, one) for one in counting):
        return None
    if found.certified:
        return "is signed with a certificate for another name than those that are listed, or does not fit its signature"
    return "does not fit its signature: it was changed after it was signed"


def fingerprint(key: bytes) -> str:
    """As `ssh-keygen -l` shows it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def _read(signature: bytes) -> Signature:
    """Raises `ValueError` with the reason."""
    lines = signature.strip().split(b"\n")
    if len(lines) < 3 or lines[0].rstrip() != BEGIN or lines[-1].rstrip() != _END:
        raise ValueError("its frame is broken")
    try:
        raw = base64.b64decode(b"".join(line.strip() for line in lines[1:-1]), validate=True)
    except binascii.Error as error:
        raise ValueError("it is not base64") from error
    if raw[:10] != _MAGIC + b"\0\0\0\1":
        raise ValueError("it is of another version")
    fields = []
    rest = raw[10:]
    for _ in range(5):
        size = int.from_bytes(rest[:4], "big")
        if len(rest) < 4 + size:
            raise ValueError("it is cut short")
        fields.append(rest[4 : 4 + size])
        rest = rest[4 + size :]
    key, namespace, _, digest, made = fields
    if rest or digest not in _HASHES:
        raise ValueError("it has an unknown form")
    algorithm = made[4 : 4 + int.from_bytes(made[:4], "big")]
    if algorithm not in _ALGORITHMS:
        raise ValueError(f"its algorithm is {visible(algorithm.decode('utf-8', 'replace'), 40)}")
    return Signature(raw, key, namespace)


def _fits(found: Signature, payload: bytes, signer: Signer) -> bool:
    """Whether the key of `signer`, or one that it certified for a name in its line, made the signature over the payload."""
    import asyncssh
    from asyncssh.sshsig import import_allowed_signers, validate_sshsig

    names = [name for name in _certificate(found).principals if matches(signer.principals, name)] if found.certified else [""]
    try:
        option = "cert-authority " if signer.authority else ""
        listed = import_allowed_signers(f"* {option}{signer.text}")
        return any(validate_sshsig(payload, found.raw, name, listed) for name in names)
    except (ValueError, asyncssh.Error):  # a key that is none: it signed nothing
        return False


def _authority(found: Signature) -> bytes | None:
    """The key that signed the certificate; None where it certifies nobody today."""
    import asyncssh
    from asyncssh.public_key import CERT_TYPE_USER

    try:
        certificate = _certificate(found)
        certificate.validate(CERT_TYPE_USER, None)
        return bytes(certificate.signing_key.public_data)
    except (ValueError, asyncssh.Error):
        return None


def _certificate(found: Signature) -> SSHOpenSSHCertificate:
    """Raises `asyncssh.Error` where its authority did not sign it."""
    import asyncssh
    from asyncssh.public_key import SSHOpenSSHCertificate

    certificate = asyncssh.import_certificate(found.kind + b" " + base64.b64encode(found.key))
    if not isinstance(certificate, SSHOpenSSHCertificate):
        raise ValueError("it is no certificate of OpenSSH")
    return certificate
