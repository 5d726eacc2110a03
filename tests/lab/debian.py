"""Packages and a signed repository of our own on a lab host, so that tests of packages need no mirror and know every version.

Packages are built on the host by its own dpkg-deb. The repository's key and signatures are made here, as OpenPGP packets
(RFC 9580) around an Ed25519 key, because neither a lab host nor every machine that runs these tests has a program for it.
"""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.lab.hosts import LabHost

ED25519 = bytes.fromhex("092b06010401da470f01")
"""The curve as OpenPGP names it: length and object identifier."""
EDDSA, SHA512 = 22, 10
DETACHED, CERTIFICATION = 0x00, 0x13
MADE = 1_700_000_000


@dataclass(frozen=True, slots=True)
class Deb:
    """A package to be built. `relations` are lines of its control file; `scripts` are maintainer scripts by name."""

    name: str
    version: str
    relations: Mapping[str, str] = field(default_factory=dict)
    scripts: Mapping[str, str] = field(default_factory=dict)
    conffile: bool = False

    @property
    def file(self) -> str:
        return f"{self.name}_{self.version}_all.deb"

    def build(self) -> str:
        """Shell that makes it in the current folder. It installs /usr/share/NAME/version."""
        fields = {"Package": self.name, "Version": self.version, "Architecture": "all", "Maintainer": "Lab <lab@example.org>"}
        control = "".join(
            f"{key}: {value}\n" for key, value in {**fields, **self.relations, "Description": "for a test"}.items()
        )
        files = {"DEBIAN/control": control, f"usr/share/{self.name}/version": f"{self.version}\n"}
        files |= {f"DEBIAN/{name}": f"#!/bin/sh\n{text}\n" for name, text in self.scripts.items()}
        if self.conffile:
            files |= {f"etc/{self.name}.conf": "as packaged\n", "DEBIAN/conffiles": f"/etc/{self.name}.conf\n"}
        made = [f"mkdir -p tree/DEBIAN tree/etc tree/usr/share/{self.name}"]
        made += [f"printf %s {shlex.quote(text)} >tree/{path}" for path, text in files.items()]
        made += [f"chmod 755 tree/DEBIAN/{name}" for name in self.scripts]
        return "\n".join([*made, f"dpkg-deb --root-owner-group -Znone --build tree {self.file} >/dev/null", "rm -r tree"])


class SigningKey:
    """The key of a repository. `public` is what apt gets."""

    def __init__(self) -> None:
        self._secret = Ed25519PrivateKey.generate()
        point = b"\x40" + self._secret.public_key().public_bytes_raw()
        self._key = b"\x04" + MADE.to_bytes(4) + bytes([EDDSA]) + ED25519 + _number(point)
        self._fingerprint = hashlib.sha1(self._framed_key(), usedforsecurity=False).digest()
        user = b"Lab repository"
        signed = self._framed_key() + b"\xb4" + len(user).to_bytes(4) + user
        bound = self._signature(CERTIFICATION, signed, _subpacket(27, b"\x03"))  # may certify and sign
        self.public = _packet(6, self._key) + _packet(13, user) + bound

    @property
    def armored(self) -> str:
        return _armor("PUBLIC KEY BLOCK", self.public)

    def sign(self, data: bytes) -> str:
        """A detached signature."""
        return _armor("SIGNATURE", self._signature(DETACHED, data))

    def _framed_key(self) -> bytes:
        return b"\x99" + len(self._key).to_bytes(2) + self._key

    def _signature(self, kind: int, data: bytes, further: bytes = b"") -> bytes:
        hashed = _subpacket(2, (MADE + 60).to_bytes(4)) + _subpacket(33, b"\x04" + self._fingerprint) + further
        head = bytes([4, kind, EDDSA, SHA512]) + len(hashed).to_bytes(2) + hashed
        digest = hashlib.sha512(data + head + b"\x04\xff" + len(head).to_bytes(4)).digest()
        pair = self._secret.sign(digest)
        issuer = _subpacket(16, self._fingerprint[-8:])
        return _packet(2, head + len(issuer).to_bytes(2) + issuer + digest[:2] + _number(pair[:32]) + _number(pair[32:]))


def _number(data: bytes) -> bytes:
    data = data.lstrip(b"\0")
    return int.from_bytes(data).bit_length().to_bytes(2) + data


def _subpacket(kind: int, data: bytes) -> bytes:
    return bytes([len(data) + 1, kind]) + data


def _packet(tag: int, data: bytes) -> bytes:
    return bytes([0xC0 | tag, 0xFF]) + len(data).to_bytes(4) + data


def _armor(what: str, data: bytes) -> str:
    text = f"{base64.encodebytes(data).decode()}={_checksum(data)}"
    return f"-----BEGIN PGP {what}-----\n\n{text}\n-----END PGP {what}-----\n"


def _checksum(data: bytes) -> str:
    """CRC-24, which older readers insist on."""
    crc = 0xB704CE
    for byte in data:
        crc ^= byte << 16
        for _ in range(8):
            crc = (crc << 1) ^ (0x1864CFB if crc & 0x800000 else 0)
    return base64.b64encode((crc & 0xFFFFFF).to_bytes(3)).decode()


class Repository:
    """A flat repository in a folder of the host, and no other source of packages on it.

    Its address begins with copy: because apt would look into the folder itself, without any update, where it is file:.
    """

    def __init__(self, host: LabHost, folder: str = "/srv/repository") -> None:
        self.host = host
        self.folder = folder
        self.key = SigningKey()
        host.sh("rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/* /var/lib/apt/lists/*")
        host.sh(f"mkdir -p {shlex.quote(folder)}")

    def declared(self) -> dict[str, object]:
        """For `repositories:` in a manifest; the key goes to `files/lab.asc`."""
        return {"uris": [f"copy:{self.folder}"], "suites": ["./"], "key": "files/lab.asc"}

    def add(self, debs: Iterable[Deb]) -> None:
        """Builds packages, lists and signs all that is there."""
        built = "\n".join(deb.build() for deb in debs)
        listed = self.host.sh(f"""cd {shlex.quote(self.folder)} || exit
{built}
for deb in *.deb; do
  dpkg-deb -f "$deb"
  printf 'Filename: ./%s\\nSize: %s\\nSHA256: %s\\n\\n' "$deb" "$(stat -c %s "$deb")" "$(sha256sum <"$deb" | cut -c 1-64)"
done | tee Packages""")
        packages = listed.encode() + b"\n\n"
        digest = hashlib.sha256(packages).hexdigest()
        release = f"Origin: Lab\nLabel: Lab\nDate: Tue, 14 Nov 2023 22:15:00 UTC\nSHA256:\n {digest} {len(packages)} Packages\n"
        self._put("Packages", packages.decode())
        self._put("Release", release)
        self._put("Release.gpg", self.key.sign(release.encode()))

    def fetch(self, deb: Deb) -> bytes:
        """The package's file."""
        return base64.b64decode(self.host.sh(f"base64 {shlex.quote(self.folder)}/{deb.file}"))

    def _put(self, name: str, text: str) -> None:
        self.host.sh(f"printf %s {shlex.quote(text)} >{shlex.quote(self.folder)}/{name}")

    def trust_by_hand(self) -> None:
        """What a person would do who has never heard of us: so that packages can be installed before the first plan."""
        source = f"deb [trusted=yes] copy:{self.folder} ./"
        self.host.sh(f"echo {shlex.quote(source)} >/etc/apt/sources.list.d/by-hand.list && apt-get -q update 2>&1")
