"""Opening and making encrypted files: which keys are found, and what is said when none of them fits."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pyrage
import pytest
from hypothesis import given
from hypothesis import strategies as st

from desired.secrets.identities import Identities, find_identities
from desired.secrets.names import ENCRYPTED_LIMIT, VALUE_LIMIT, secret_name, secret_path
from desired.secrets.recipients import BadRecipient, parse_recipient, parse_recipients, with_recipients, without_recipients
from desired.secrets.vault import Vault, VaultError, encrypt
from desired.source import Unusable
from providers import secret as secrets
from tests.sshd import make_key
from tests.unit.desired.keys import AgeKey

VALUE = b"correct horse battery\n"


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "_known", {})


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home" / ".ssh").mkdir(parents=True)
    return tmp_path / "home"


def vault(home: Path, identity: str = "") -> Vault:
    return Vault(lambda: find_identities({"HOME": str(home), "RECONCILER_IDENTITY": identity}))


def refusal(home: Path, encrypted: bytes, identity: str = "") -> str:
    with pytest.raises(VaultError) as caught:
        vault(home, identity).open("secrets/db.age", encrypted, "1")
    return f"{caught.value}\n{caught.value.hint}"


@pytest.mark.parametrize("armored", [True, False])
def test_an_age_identity_in_the_home_opens_armored_and_binary_files(home: Path, armored: bool) -> None:
    key = AgeKey.make()
    key.write(home / ".config/reconciler/identity")
    assert vault(home).open("secrets/db.age", key.encrypt(VALUE, armored=armored), "1").reveal() == VALUE


@pytest.mark.parametrize("options", [[], ["-t", "rsa", "-b", "2048"], ["-m", "PEM", "-t", "rsa", "-b", "2048"]])
def test_an_ssh_key_opens_what_was_encrypted_for_it(home: Path, options: list[str]) -> None:
    key = make_key(home / ".ssh" / ("id_rsa" if options else "id_ed25519"), *options)
    encrypted = encrypt(VALUE, parse_recipients(Path(f"{key}.pub").read_text()))
    assert vault(home).open("secrets/db.age", encrypted, "1").reveal() == VALUE


def test_any_key_of_several_files_opens(home: Path, tmp_path: Path) -> None:
    first, second = AgeKey.make(), AgeKey.make()
    first.write(tmp_path / "first")
    second.write(tmp_path / "second")
    AgeKey.make().write(home / ".config/reconciler/identity")
    opened = vault(home, f"{tmp_path}/first:{tmp_path}/second")
    assert opened.open("secrets/a.age", first.encrypt(b"one"), "1").reveal() == b"one"
    assert opened.open("secrets/b.age", second.encrypt(b"two"), "2").reveal() == b"two"


def test_the_named_identity_comes_first_and_ssh_keys_last(home: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "named", home / ".config/reconciler/identity"):
        AgeKey.make().write(path)
    make_key(home / ".ssh" / "id_ed25519")
    tried = find_identities({"HOME": str(home), "RECONCILER_IDENTITY": str(tmp_path / "named")}).tried
    assert [path for path in tried if not path.startswith("/etc/")] == [
        f"{tmp_path}/named",
        f"{home}/.config/reconciler/identity",
        f"{home}/.ssh/id_ed25519",
    ]


def test_a_file_is_opened_once_and_a_failure_is_told_again() -> None:
    asked = []

    def find() -> Identities:
        asked.append(1)
        return Identities()

    opened = Vault(find)
    encrypted = AgeKey.make().encrypt(VALUE)
    for _ in range(2):
        with pytest.raises(VaultError):
            opened.open("secrets/db.age", encrypted, "1")
    assert asked == [1]


def test_who_has_no_key_is_told_where_one_is_looked_for(home: Path) -> None:
    said = refusal(home, AgeKey.make().encrypt(VALUE))
    assert said.startswith(
        "secrets/db.age cannot be opened: this machine has no key that could (it is encrypted for an age key)"
    )
    assert f"{home}/.config/reconciler/identity" in said
    assert f"{home}/.ssh/id_ed25519" in said


def test_a_key_that_does_not_fit_is_named_with_what_to_do(home: Path) -> None:
    AgeKey.make().write(home / ".config/reconciler/identity")
    ssh = make_key(home / "other")
    recipients = [parse_recipient(AgeKey.make().public), parse_recipient(Path(f"{ssh}.pub").read_text())]
    said = refusal(home, encrypt(VALUE, recipients))
    assert f"secrets/db.age cannot be opened with {home}/.config/reconciler/identity" in said
    assert "an age key, an ssh-ed25519 key" in said
    assert "reconcile secret recipients --add YOUR-PUBLIC-KEY" in said


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("AGE-PLUGIN-YUBIKEY-1QQQQQ", "the key in line 1 is one of an age plugin (a hardware key?), which is not supported"),
        ("AGE-SECRET-KEY-PQ-1QQQQ", "the key in line 1 is a post-quantum one, which is not supported yet"),
        ("hello", "the key in line 1 is no age identity"),
        ("# only a comment", "there is no key in it"),
        ("\xe4", "it is neither a file of age-keygen nor an ssh key"),
        ("-----BEGIN AGE ENCRYPTED FILE-----", "it is locked with a passphrase"),
        ("x" * 70_000, "it is too long for a key"),
    ],
)
def test_a_key_that_cannot_be_used_is_named_with_the_reason(home: Path, line: str, words: str) -> None:
    path = home / "key"
    path.write_text(line)
    path.chmod(0o600)
    said = refusal(home, AgeKey.make().encrypt(VALUE), str(path))
    assert f"{path}: {words}" in said
    assert "x" * 100 not in said


@pytest.mark.parametrize("options", [["-N", "locked"], ["-N", "locked", "-t", "rsa", "-b", "2048"]])
def test_a_locked_ssh_key_is_named_as_such(home: Path, options: list[str]) -> None:
    make_key(home / ".ssh" / "id_ed25519", *options)
    assert f"{home}/.ssh/id_ed25519: it is locked with a passphrase" in refusal(home, AgeKey.make().encrypt(VALUE))


def test_a_sort_of_ssh_key_that_age_cannot_use_is_named_as_such(home: Path) -> None:
    make_key(home / ".ssh" / "id_ed25519", "-t", "ecdsa")
    assert "only ed25519 and rsa can" in refusal(home, AgeKey.make().encrypt(VALUE))


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660, 0o602])
def test_a_key_that_others_can_read_is_refused_with_the_remedy(home: Path, mode: int) -> None:
    key = AgeKey.make()
    path = key.write(home / ".config/reconciler/identity", mode)
    said = refusal(home, key.encrypt(VALUE))
    assert f"{path}: others can read it (mode {mode:04o}); close it: chmod 600 {path}" in said


def test_a_link_is_not_followed_to_a_key(home: Path) -> None:
    key = AgeKey.make()
    real = key.write(home / "real")
    link = home / ".config/reconciler/identity"
    link.parent.mkdir(parents=True)
    link.symlink_to(real)
    assert f"{link}: it is a symbolic link" in refusal(home, key.encrypt(VALUE))


def test_a_pipe_in_place_of_a_key_does_not_hang(home: Path) -> None:
    os.mkfifo(home / "pipe", 0o600)
    assert "it is no regular file" in refusal(home, AgeKey.make().encrypt(VALUE), str(home / "pipe"))


def test_a_named_identity_that_is_missing_is_told(home: Path) -> None:
    assert f"{home}/gone: it is not there" in refusal(home, AgeKey.make().encrypt(VALUE), f"{home}/gone")


def test_a_key_of_no_use_is_not_in_the_way_of_another(home: Path) -> None:
    key = AgeKey.make()
    AgeKey.make().write(home / ".config/reconciler/identity", 0o644)
    key.write(home / "good")
    assert vault(home, str(home / "good")).open("secrets/db.age", key.encrypt(VALUE), "1").reveal() == VALUE


def test_a_file_that_is_locked_with_a_passphrase_is_named_as_such(home: Path) -> None:
    AgeKey.make().write(home / ".config/reconciler/identity")
    assert "is locked with a passphrase, not for a key" in refusal(home, pyrage.passphrase.encrypt(VALUE, "x"))


@given(st.binary(max_size=300), st.integers(min_value=0, max_value=600))
def test_damage_is_an_error_that_names_the_file(junk: bytes, at: int) -> None:
    key = AgeKey.make()
    keys = Identities((pyrage.x25519.Identity.from_str(key.private),), ("key",))
    encrypted = key.encrypt(VALUE, armored=False)
    broken = encrypted[:at] + junk + encrypted[at + max(1, len(junk)) :]
    with pytest.raises(VaultError, match=r"secrets/db\.age"):
        Vault(lambda: keys).open("secrets/db.age", broken if broken != encrypted else b"", "1")


def test_what_is_too_long_is_refused_both_ways(home: Path) -> None:
    key = AgeKey.make()
    key.write(home / ".config/reconciler/identity")
    assert "is longer than 2 MiB" in refusal(home, bytes(ENCRYPTED_LIMIT + 1))
    assert "is longer than 1 MiB" in refusal(home, key.encrypt(bytes(VALUE_LIMIT + 1), armored=False))
    with pytest.raises(VaultError, match="longer than 1 MiB"):
        encrypt(bytes(VALUE_LIMIT + 1), [parse_recipient(key.public)])


def test_an_empty_secret_is_a_mistake_both_ways(home: Path) -> None:
    key = AgeKey.make()
    key.write(home / ".config/reconciler/identity")
    assert "the secret in secrets/db.age is empty" in refusal(home, key.encrypt(b""))
    with pytest.raises(VaultError, match="the value is empty"):
        encrypt(b"", [parse_recipient(key.public)])


def test_what_is_encrypted_is_armored_and_opens_for_every_recipient() -> None:
    keys = [AgeKey.make() for _ in range(3)]
    encrypted = encrypt(VALUE, [parse_recipient(key.public) for key in keys])
    assert encrypted.startswith(b"-----BEGIN AGE ENCRYPTED FILE-----\n")
    assert encrypted.isascii()
    assert [key.opens(encrypted) for key in keys] == [VALUE] * 3


def test_there_has_to_be_somebody_to_encrypt_for() -> None:
    with pytest.raises(VaultError, match="there is nobody to encrypt for"):
        encrypt(VALUE, [])


def test_recipients_may_have_comments_and_stand_once() -> None:
    key = AgeKey.make()
    found = parse_recipients(f"# operators\n\n{key.public}\n  {key.public} ada\n")
    assert [one.text for one in found] == [key.public]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("hello", "this is no public key"),
        ("age1qqqq", "cannot be encrypted for"),
        ("ssh-ed25519 AAAA", "cannot be encrypted for"),
        ("ecdsa-sha2-nistp256 AAAA", "this is no public key"),
        ("age1\x1b[2J", "this is no public key"),
        ("AGE-SECRET-KEY-1QQQQ", "this is a private key"),
    ],
)
def test_a_line_that_is_no_recipient_is_named_by_its_number(line: str, words: str) -> None:
    with pytest.raises(BadRecipient) as caught:
        parse_recipients(f"# operators\n{line}\n")
    assert str(caught.value).startswith("secrets/recipients:2: ")
    assert words in str(caught.value)
    assert caught.value.hint
    assert line not in str(caught.value) or line.startswith(("age1q", "ssh-ed25519 "))  # public keys


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t", "keys of age plugins"),
        ("age1pq1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t", "post-quantum and tag keys"),
    ],
)
def test_a_recipient_of_another_sort_is_told_apart(key: str, hint: str) -> None:
    with pytest.raises(BadRecipient) as caught:
        parse_recipient(key)
    assert caught.value.hint.startswith(hint)


def test_changing_recipients_keeps_everything_else_in_the_file() -> None:
    ada, bob = AgeKey.make(), AgeKey.make()
    text = f"# operators\n{ada.public} ada\n\n# machines"
    both = with_recipients(text, [parse_recipient(f"{bob.public} bob"), parse_recipient(ada.public)])
    assert both == f"# operators\n{ada.public} ada\n\n# machines\n{bob.public} bob\n"
    assert without_recipients(both, [parse_recipient(ada.public)]) == f"# operators\n\n# machines\n{bob.public} bob\n"


@pytest.mark.parametrize("name", ["db", "site.env", "alerts/matrix", "a-b_c.d/E1", "_x"])
def test_a_name_leads_to_its_file_and_back(name: str) -> None:
    assert secret_name(secret_path(name)) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        "..",
        "../x",
        "a/../b",
        "a//b",
        "/etc/passwd",
        "-x",
        ".git",
        "a b",
        "a\nb",
        "ä",
        "a/",
        "x" * 101,
        "a/" * 9 + "b",
        "$(id)",
    ],
)
def test_a_hostile_name_is_refused(name: str) -> None:
    with pytest.raises(Unusable, match="cannot be the name of a secret"):
        secret_path(name)


@pytest.mark.parametrize("name", ["secrets/db.age", "db.age", "secrets/db"])
def test_a_path_in_place_of_a_name_is_refused_with_the_name(name: str) -> None:
    with pytest.raises(Unusable) as caught:
        secret_path(name)
    assert caught.value.hint == "write db"


def test_a_secret_cannot_be_printed_or_written_by_accident() -> None:
    one = secrets.Secret(b"hunter2-hunter2", "v1", salt="ab")
    assert f"{one} {one!r} {[one]} {one:}" == "[secret] Secret(version='v1') [Secret(version='v1')] [secret]"
    with pytest.raises(TypeError, match="not written anywhere"):
        pickle.dumps(one)
    with pytest.raises(ValueError, match="without a salt"):
        secrets.Secret(b"hunter2-hunter2", "v1").salted()
