"""Whose signature counts for a commit. Every signature here was made by git, ssh-keygen or gpg."""

from __future__ import annotations

import base64
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from hypothesis import given
from hypothesis import strategies as st

from desired.signatures.model import Signed
from desired.signatures.signers import Signers
from tests.fleet import Fleet
from tests.sshd import public
from tests.unit.desired.signing import SIGNATURE, certified, commit, forged, gpg_home, listed, made, read, signature_by, signer

DAY = 86400


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the keys of ada, bob and an authority."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ada", "bob", "authority"):
        signer(folder, name)
    return folder


@pytest.fixture
def ada(keys: Path) -> Path:
    return keys / "ada"


def answer(found: Signed, allowed: str | bytes) -> str | None:
    """Why the commit does not count as signed by those who are listed."""
    content = allowed.encode() if isinstance(allowed, str) else allowed
    return Signers.of([("keys/allowed_signers", content)]).refusal(found, time.time())


def by(fleet: Fleet, key: Path | None, *, at: int | None = None) -> Signed:
    return read(fleet, commit(fleet, {}, key, at=at))


def day(offset: int) -> str:
    return time.strftime("%Y%m%dZ", time.gmtime(time.time() + offset * DAY))


def test_a_signature_by_a_listed_key_counts(fleet: Fleet, ada: Path) -> None:
    assert answer(by(fleet, ada), listed(ada)) is None


@pytest.mark.parametrize("kind", [("-t", "ecdsa"), ("-t", "rsa", "-b", "2048")], ids=["ecdsa", "rsa"])
def test_every_usual_sort_of_key_can_sign(fleet: Fleet, tmp_path: Path, kind: tuple[str, ...]) -> None:
    key = signer(tmp_path, "key", *kind)
    assert answer(by(fleet, key), listed(key)) is None


def test_a_commit_without_a_signature_does_not_count(fleet: Fleet, ada: Path) -> None:
    assert answer(by(fleet, None), listed(ada)) == "is not signed"


def test_a_key_that_is_not_listed_does_not_count(fleet: Fleet, ada: Path, keys: Path) -> None:
    reason = answer(by(fleet, keys / "bob"), listed(ada))
    assert reason is not None
    assert reason.startswith("is signed by SHA256:")
    assert reason.endswith("which is not listed")


def test_an_empty_list_lists_nobody(fleet: Fleet, ada: Path) -> None:
    assert answer(by(fleet, ada), "# nobody\n")


def test_a_signature_for_another_purpose_does_not_count(fleet: Fleet, ada: Path) -> None:
    """Whoever signs files with the same key did not sign commits with it. The list restricts nothing here."""
    found = by(fleet, ada)
    other = read(fleet, forged(fleet, signature_by(ada, found.payload, "file"), found.payload))
    assert answer(other, listed(ada)) == 'has a signature that was made for "file", not for "git"'
    again = read(fleet, forged(fleet, signature_by(ada, found.payload, "git"), found.payload))
    assert answer(again, listed(ada)) is None


@pytest.mark.parametrize(
    ("options", "counts"),
    [
        ('namespaces="git"', True),
        ('namespaces="file,git"', True),
        ('namespaces="g*"', True),
        ('namespaces="file"', False),
        ('namespaces="*,!git"', False),
        (f'valid-before="{day(2)}"', True),
        (f'valid-before="{day(-2)}"', False),
        (f'valid-after="{day(-2)}"', True),
        (f'valid-after="{day(2)}"', False),
        (f'valid-after="{day(-2)}",valid-before="{day(2)}",namespaces="git"', True),
        ("cert-authority", False),
    ],
)
def test_what_stands_beside_a_key_restricts_it_as_for_ssh_keygen(
    fleet: Fleet, ada: Path, tmp_path: Path, options: str, *, counts: bool
) -> None:
    found = by(fleet, ada)
    text = listed(ada, options=options)

    (tmp_path / "allowed").write_text(text)
    (tmp_path / "signature").write_bytes(found.signature)
    command = ["ssh-keygen", "-Y", "verify", "-n", "git", "-I", "ada@example.org"]
    command += ["-f", str(tmp_path / "allowed"), "-s", str(tmp_path / "signature")]
    done = subprocess.run(command, input=found.payload, capture_output=True, check=False)

    assert (done.returncode == 0) is counts
    assert (answer(found, text) is None) is counts


def test_the_date_of_a_commit_revives_no_key_and_excuses_none(fleet: Fleet, ada: Path) -> None:
    """Anybody who has the key can choose the date. git itself asks for the date of the commit alone."""
    now = int(time.time())
    expired = listed(ada, options=f'valid-before="{day(-2)}"')
    assert "which is listed only until" in str(answer(by(fleet, ada, at=now - 9 * DAY), expired))
    fresh = listed(ada, options=f'valid-after="{day(-2)}"')
    assert "which is listed only from" in str(answer(by(fleet, ada, at=now - 9 * DAY), fresh))


def test_a_key_counts_when_any_of_its_lines_does(fleet: Fleet, ada: Path) -> None:
    lines = listed(ada, options=f'valid-before="{day(-2)}"') + listed(ada, options='namespaces="git"')
    assert answer(by(fleet, ada), lines) is None


def test_a_commit_that_was_changed_after_it_was_signed_does_not_count(fleet: Fleet, ada: Path) -> None:
    found = by(fleet, ada)
    changed = read(fleet, forged(fleet, found.signature, found.payload.replace(b"a change", b"another")))
    assert answer(changed, listed(ada)) == "does not fit its signature: it was changed after it was signed"


def test_a_certificate_counts_for_the_names_that_are_listed(fleet: Fleet, ada: Path, keys: Path, tmp_path: Path) -> None:
    authority = keys / "authority"
    line = listed(authority, options="cert-authority").replace("authority@", "*@")
    good = certified(tmp_path, authority, ada, "ada@example.org")
    stranger = certified(tmp_path, authority, ada, "ada@elsewhere.org")
    over = certified(tmp_path, authority, ada, "ada@example.org", options=("-V", "20200101:20200102"))
    host = certified(tmp_path, authority, ada, "ada@example.org", options=("-h",))
    other = certified(tmp_path, keys / "bob", ada, "ada@example.org")

    assert answer(by(fleet, good), line) is None
    assert "for another name" in str(answer(by(fleet, stranger), line))
    assert "not valid today" in str(answer(by(fleet, over), line))
    assert "not for users" in str(answer(by(fleet, host), line))
    assert "which is not listed" in str(answer(by(fleet, other), line))
    assert "which is not listed" in str(answer(by(fleet, good), listed(authority)))
    ended = line.replace("cert-authority", f'cert-authority,valid-before="{day(-2)}"')
    assert "which is listed only until" in str(answer(by(fleet, good), ended))


def test_a_certificate_that_was_changed_does_not_count(fleet: Fleet, ada: Path, keys: Path, tmp_path: Path) -> None:
    """The name is part of what the authority signed."""
    key = certified(tmp_path, keys / "authority", ada, "ada@elsewhere.org")
    found = by(fleet, key)
    raw = base64.b64decode(b"".join(found.signature.strip().split(b"\n")[1:-1]))
    lie = base64.encodebytes(raw.replace(b"ada@elsewhere.org", b"bob@elsewhere.org"))
    signature = SIGNATURE + b"\n" + lie + b"-----END SSH SIGNATURE-----"
    line = listed(keys / "authority", options="cert-authority").replace("authority@example.org", "*")
    assert answer(found, line) is None
    assert answer(read(fleet, forged(fleet, signature, found.payload)), line) is not None


def test_rsa_with_sha_1_does_not_count(fleet: Fleet, ada: Path) -> None:
    """The library would take it; ssh-keygen does not."""
    key = rsa.generate_private_key(65537, 2048)
    text = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    payload = by(fleet, ada).payload

    def field(data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + data

    digest = hashes.Hash(hashes.SHA512())
    digest.update(payload)
    asked = b"SSHSIG" + field(b"git") + field(b"") + field(b"sha512") + field(digest.finalize())
    made_by = field(b"ssh-rsa") + field(key.sign(asked, padding.PKCS1v15(), hashes.SHA1()))
    raw = b"SSHSIG\0\0\0\1" + field(base64.b64decode(text.split()[1])) + field(b"git") + field(b"") + field(b"sha512")
    signature = SIGNATURE + b"\n" + base64.encodebytes(raw + field(made_by)) + b"-----END SSH SIGNATURE-----"
    found = read(fleet, forged(fleet, signature, payload))
    assert answer(found, f"ada {text}\n") == "has a signature that cannot be read: its algorithm is ssh-rsa"


@given(st.binary(max_size=200), st.sampled_from([b"", SIGNATURE + b"\n", b"-----BEGIN PGP SIGNATURE-----\n"]))
def test_whatever_stands_in_place_of_a_signature_does_not_count(junk: bytes, begin: bytes) -> None:
    line = "ada ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBpXBOCkj2VJSNSVIQh7oVaUTIcPAJcJoqVYqKwKoXxe\n"
    assert answer(Signed("0" * 40, "", "", 0, begin + junk, b"payload"), line) is not None


@given(data=st.data())
def test_one_bit_that_is_not_as_it_was_signed_is_enough(data: st.DataObject, keys: Path) -> None:
    payload = b"tree\n\nmessage"
    signature = _SIGNED.setdefault(str(keys), signature_by(keys / "ada", payload))
    raw = bytearray(base64.b64decode(b"".join(signature.strip().split(b"\n")[1:-1])))
    at = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[at // 8] ^= 1 << at % 8
    changed = SIGNATURE + b"\n" + base64.encodebytes(bytes(raw)) + b"-----END SSH SIGNATURE-----"
    assert answer(Signed("0" * 40, "", "", 0, changed, payload), listed(keys / "ada")) is not None


_SIGNED: dict[str, bytes] = {}


def test_an_openpgp_signature_counts_when_its_key_is_listed_and_neither_expired_nor_revoked(fleet: Fleet, ada: Path) -> None:
    arguments = ("commit", "--quiet", "--allow-empty", "--message", "a change")
    with gpg_home() as gpg, gpg_home() as other:
        found = read(fleet, made(fleet, *arguments, gpg=gpg.home))
        public_key = gpg.public
        assert answer(found, public_key) is None
        assert answer(found, gpg.run("--export")) is None
        assert answer(found, other.public) == "is signed by a key that is not listed"
        assert answer(found, listed(ada)) == "has an OpenPGP signature, and no OpenPGP key is listed"
        assert answer(by(fleet, ada), public_key) is not None
        both = Signers.of([("keys/ssh", listed(ada).encode()), ("keys/gpg.asc", public_key)])
        assert both.refusal(found, time.time()) is None
        assert both.refusal(by(fleet, ada), time.time()) is None

        changed = read(fleet, forged(fleet, found.signature, found.payload.replace(b"a change", b"another")))
        assert "it was changed after it was signed" in str(answer(changed, public_key))

        revoked = read(fleet, made(fleet, *arguments, gpg=other.home))
        certificate = (other.home / "openpgp-revocs.d" / f"{_fingerprint(other.public)}.rev").read_bytes()
        other.run("--import", stdin=certificate.replace(b":-----BEGIN", b"-----BEGIN"))
        assert answer(revoked, other.public) == "is signed by a key that was revoked"

    with gpg_home("1y", then="20200101T000000") as gpg:
        signature = replace(gpg, then="20200601T000000").run("--armor", "--detach-sign", stdin=found.payload)
        expired = read(fleet, forged(fleet, signature, found.payload))
        assert answer(expired, gpg.public) == "is signed by a key that has expired"


def _fingerprint(keyring: bytes) -> str:
    command = ["gpg", "--batch", "--with-colons", "--show-keys"]
    told = subprocess.run(command, input=keyring, capture_output=True, check=True).stdout.decode()
    return next(line.split(":")[9] for line in told.splitlines() if line.startswith("fpr:"))


def test_without_gpg_its_signatures_are_refused_in_words(fleet: Fleet, ada: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = by(fleet, ada)
    pgp = Signed(found.commit, "", "", found.time, b"-----BEGIN PGP SIGNATURE-----\n", found.payload)
    monkeypatch.setenv("PATH", "/nonexistent")
    assert "gpg, which could check it, is not installed here" in str(answer(pgp, listed(ada)))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("ada@example.org", "it has no key: each line reads: NAME [OPTIONS] TYPE KEY"),
        ("ada ssh-dss AAAA", "its key has a type that signs no commits here"),
        ("ada ssh-ed25519", "it has no key behind the type"),
        ("ada ssh-ed25519 ????", "its key is not base64"),
        ("ada ssh-ed25519 AAAAB3NzaC1yc2E=", "its key is of another type than it says"),
        ("ada verified KEY", "its option verified is not known, or has no value"),
        ('ada valid-before="tomorrow" KEY', "its date is not written as YYYYMMDD"),
        ('ada valid-before="20261399" KEY', "its date is not written as YYYYMMDD"),
        ('ada valid-before="20300101",valid-before="20400101" KEY', "its option valid-before stands there twice"),
        ('ada namespaces="git KEY', "it has no key"),
    ],
)
def test_a_line_that_is_not_understood_lists_nobody_and_is_told(fleet: Fleet, ada: Path, line: str, reason: str) -> None:
    found = Signers.of([("list", line.replace("KEY", public(ada)).encode())])
    assert [one.line for _, one in found.wrong] == [1]
    assert found.wrong[0][1].reason.startswith(reason)
    assert found.empty


@given(st.text(max_size=120))
def test_any_text_is_a_list_or_a_mistake(text: str) -> None:
    found = Signers.of([("list", text.encode("utf-8", "surrogatepass"))])
    lines = [line for line in text.split("\n") if line.strip() and not line.strip().startswith("#")]
    assert found.keyrings or len(found.ssh) + len(found.wrong) == len(lines)
