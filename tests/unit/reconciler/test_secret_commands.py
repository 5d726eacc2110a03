"""`reconcile secret` as a person uses it, in the working tree of a fleet."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from providers import secret as secrets
from reconciler.cli.secret_edit import PREFIX
from tests.fleet import Fleet, Result, reconcile_command
from tests.sshd import make_key
from tests.unit.cli.console import Console
from tests.unit.cli.terminal import terminal
from tests.unit.desired.keys import AgeKey

VALUE = b"correct horse battery\n"


@pytest.fixture
def key(fleet: Fleet) -> AgeKey:
    """The operator's; the fleet's only recipient."""
    key = AgeKey.make().give(fleet)
    fleet.commit({"fleet.yaml": "", "secrets/recipients": f"# operators\n{key.public} ada\n"})
    return key


@pytest.fixture
def reconcile(fleet: Fleet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Console:
    """In this process, as the operator of `fleet`."""
    monkeypatch.setattr(secrets, "_known", {})
    monkeypatch.setenv("HOME", str(fleet.home))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "memory"))
    for name in ("RECONCILER_IDENTITY", "XDG_CONFIG_HOME", "VISUAL", "EDITOR"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "memory").mkdir(mode=0o700)
    return Console(fleet)


def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """Makes `script` the editor; the file that it writes down what it saw in."""
    program = tmp_path / "editor with a blank"
    program.write_text(f'#!/bin/sh\nexec 2>&1 >"{tmp_path}/seen"\n{script}\n')
    program.chmod(0o755)
    monkeypatch.setenv("EDITOR", f"'{program}' --wait")
    return tmp_path / "seen"


def refused(result: Result, *words: str) -> None:
    assert result.code == 1, result
    assert result.err.startswith("error: "), result
    assert all(word in result.err for word in words), result


def leftovers(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "memory").iterdir())


def test_a_file_is_encrypted_shown_again_and_never_committed_for_anybody(
    fleet: Fleet, key: AgeKey, reconcile: Console, tmp_path: Path
) -> None:
    (tmp_path / "value").write_bytes(VALUE)
    made = reconcile("secret", "encrypt", "db/token", str(tmp_path / "value"))
    assert made.code == 0, made
    assert made.err.startswith("wrote secrets/db/token.age, for 1 recipient\n")
    assert f"git -C {fleet.root} add secrets/db/token.age" in made.err
    encrypted = (fleet.root / "secrets/db/token.age").read_bytes()
    assert encrypted.startswith(b"-----BEGIN AGE ENCRYPTED FILE-----\n")
    assert key.opens(encrypted) == VALUE
    assert reconcile("secret", "show", "db/token").out == VALUE.decode()
    assert fleet.git("status", "--porcelain") == "?? secrets/db/"


@pytest.mark.parametrize("arguments", [[], ["-"]])
def test_a_value_comes_from_a_pipe(fleet: Fleet, key: AgeKey, arguments: list[str]) -> None:
    made = fleet.run("secret", "encrypt", "token", *arguments, stdin="from a pipe\n")
    assert made.code == 0, made
    assert key.opens((fleet.root / "secrets/token.age").read_bytes()) == b"from a pipe\n"


@pytest.mark.parametrize(
    ("typed", "status", "words"),
    [
        (["hush hush\n", "hush hush\n"], 0, "wrote secrets/token.age"),
        (["hush hush\n", "hush\n"], 1, "the two differ; nothing was written"),
        (["\x04", ""], 1, "no value was given; nothing was written"),
    ],
)
def test_a_person_is_asked_twice_and_sees_nothing(fleet: Fleet, key: AgeKey, typed: list[str], status: int, words: str) -> None:
    with terminal(fleet, "secret", "encrypt", "token") as person:
        for question, answer in zip(("value: ", "again: "), typed, strict=True):
            if answer:
                person.until(question)
                person.type(answer)
        assert person.end() == status, person.text
    assert words in person.text
    assert "hush" not in person.text
    assert (fleet.root / "secrets/token.age").exists() is (status == 0)


def test_bytes_are_shown_as_they_are(fleet: Fleet, key: AgeKey) -> None:
    fleet.write({"secrets/store.age": key.encrypt(b"\xff\x00\n\r\n\x1b[2J")})
    command = [reconcile_command(), "-C", str(fleet.root), "secret", "show", "store"]
    assert subprocess.run(command, env=fleet.environment, capture_output=True, check=True).stdout == b"\xff\x00\n\r\n\x1b[2J"


def test_what_is_there_is_only_replaced_on_request(fleet: Fleet, key: AgeKey, reconcile: Console, tmp_path: Path) -> None:
    before = key.encrypt(VALUE)
    fleet.write({"secrets/token.age": before})
    (tmp_path / "value").write_bytes(b"new")
    refused(
        reconcile("secret", "encrypt", "token", str(tmp_path / "value")), "is already there; nothing was written", "--replace"
    )
    assert (fleet.root / "secrets/token.age").read_bytes() == before
    assert reconcile("secret", "encrypt", "token", str(tmp_path / "value"), "--replace").code == 0
    assert key.opens((fleet.root / "secrets/token.age").read_bytes()) == b"new"


@pytest.mark.parametrize(
    ("value", "words"),
    [(b"", "the value is empty"), (b"x" * (1 << 21), "longer than 1 MiB"), (b"age-encryption.org/v1\n", "encrypted already")],
)
def test_a_value_of_no_use_is_refused(key: AgeKey, reconcile: Console, tmp_path: Path, value: bytes, words: str) -> None:
    (tmp_path / "value").write_bytes(value)
    refused(reconcile("secret", "encrypt", "token", str(tmp_path / "value")), words, "nothing was written")


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a b", ".git/config", "recipients/../../x", "$(id)"])
@pytest.mark.parametrize("command", ["encrypt", "edit", "show"])
def test_a_hostile_name_is_refused(fleet: Fleet, key: AgeKey, reconcile: Console, command: str, name: str) -> None:
    refused(reconcile("secret", command, name), "cannot be the name of a secret")
    assert fleet.git("status", "--porcelain") == ""


@pytest.mark.parametrize("path", ["secrets", "secrets/db", "secrets/db/token.age"])
def test_nothing_is_written_or_read_through_a_link(
    fleet: Fleet, key: AgeKey, reconcile: Console, tmp_path: Path, path: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "value").write_bytes(VALUE)
    link = fleet.root / path
    if link.exists():
        link.rename(fleet.root / "kept")
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(outside)
    for arguments in (["encrypt", "db/token", str(tmp_path / "value")], ["show", "db/token"], ["edit", "db/token"]):
        refused(reconcile("secret", *arguments), f"{path} is a symbolic link")
    assert list(outside.iterdir()) == []


def test_without_recipients_nothing_is_encrypted_and_the_way_is_shown(fleet: Fleet, reconcile: Console, tmp_path: Path) -> None:
    fleet.commit({"fleet.yaml": ""})
    (tmp_path / "value").write_bytes(VALUE)
    refused(reconcile("secret", "encrypt", "token", str(tmp_path / "value")), "names no key", "recipients --add")
    assert "There are no recipients yet" in reconcile("secret", "recipients").err


def test_who_locks_himself_out_is_told(fleet: Fleet, reconcile: Console, tmp_path: Path) -> None:
    fleet.commit({"fleet.yaml": "", "secrets/recipients": AgeKey.make().public})
    (tmp_path / "value").write_bytes(VALUE)
    made = reconcile("secret", "encrypt", "token", str(tmp_path / "value"))
    assert made.code == 0, made
    assert "note: you cannot open it yourself: secrets/token.age cannot be opened" in made.err


def test_a_secret_that_is_not_there_is_refused_with_the_nearest(fleet: Fleet, key: AgeKey, reconcile: Console) -> None:
    fleet.write({"secrets/token.age": key.encrypt(VALUE)})
    refused(reconcile("secret", "show", "tokne"), "there is no secret tokne", "did you mean token?")


def test_an_editor_gets_a_private_file_in_memory_and_what_it_leaves_is_encrypted(
    fleet: Fleet, key: AgeKey, reconcile: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.write({"secrets/db/token.age": key.encrypt(VALUE)})
    seen = editor(
        tmp_path,
        monkeypatch,
        'stat -c "%a %n" "$2" "${2%/*}"; cat "$2"; cp "$2" "$2~"; echo more >"${2%/*}/new"; mv "${2%/*}/new" "$2"',
    )
    edited = reconcile("secret", "edit", "db/token")
    assert edited.code == 0, edited
    assert key.opens((fleet.root / "secrets/db/token.age").read_bytes()) == b"more\n"
    file, folder, content = seen.read_text().splitlines()
    assert file.startswith(f"600 {tmp_path}/memory/{PREFIX}")
    assert file.endswith("/token")
    assert folder.startswith("700 ")
    assert content == VALUE.decode().strip()
    assert leftovers(tmp_path) == []
    assert "more" not in edited.out + edited.err


def test_an_edit_that_changes_nothing_writes_nothing(
    fleet: Fleet, key: AgeKey, reconcile: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = key.encrypt(VALUE)
    fleet.write({"secrets/token.age": before})
    editor(tmp_path, monkeypatch, 'touch "$2"')
    assert reconcile("secret", "edit", "token").err == "nothing was changed\n"
    assert (fleet.root / "secrets/token.age").read_bytes() == before


def test_an_edit_can_begin_a_new_secret(
    fleet: Fleet, key: AgeKey, reconcile: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor(tmp_path, monkeypatch, 'printf new >"$2"')
    assert reconcile("secret", "edit", "fresh").code == 0
    assert key.opens((fleet.root / "secrets/fresh.age").read_bytes()) == b"new"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 3", "the editor ended with status 3; nothing was written"),
        (': >"$2"', "the value is empty; nothing was written"),
        ('rm "$2"', "the editor left no file; nothing was written"),
        ('head -c 2000000 /dev/zero >"$2"', "longer than 1 MiB; nothing was written"),
        ('cp "$2" "$ROOT/secrets/token.age"; echo x >"$2"', "was changed by somebody else meanwhile; nothing was written"),
    ],
)
def test_an_edit_that_goes_wrong_writes_nothing_and_leaves_nothing(
    fleet: Fleet, key: AgeKey, reconcile: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, words: str
) -> None:
    before = key.encrypt(VALUE)
    fleet.write({"secrets/token.age": before})
    monkeypatch.setenv("ROOT", str(fleet.root))
    editor(tmp_path, monkeypatch, script)
    refused(reconcile("secret", "edit", "token"), words)
    assert leftovers(tmp_path) == []
    if "ROOT" not in script:
        assert (fleet.root / "secrets/token.age").read_bytes() == before


@pytest.mark.parametrize(("value", "words"), [("no-such-editor", "there is no editor"), ("'open", "cannot be understood")])
def test_an_editor_that_is_not_there_is_named(
    key: AgeKey, reconcile: Console, monkeypatch: pytest.MonkeyPatch, value: str, words: str
) -> None:
    monkeypatch.setenv("EDITOR", value)
    refused(reconcile("secret", "edit", "token"), words, "EDITOR=nano")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_whatever_ends_an_edit_the_value_does_not_stay_behind(
    fleet: Fleet, key: AgeKey, reconcile: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    fleet.write({"secrets/token.age": key.encrypt(VALUE)})
    editor(tmp_path, monkeypatch, "echo ready; exec sleep 5")
    environment = fleet.environment | {name: os.environ[name] for name in ("EDITOR", "XDG_RUNTIME_DIR")}
    process = subprocess.Popen([reconcile_command(), "-C", str(fleet.root), "secret", "edit", "token"], env=environment)
    while not (tmp_path / "seen").exists() or "ready" not in (tmp_path / "seen").read_text():
        time.sleep(0.02)
    assert len(leftovers(tmp_path)) == 1
    process.send_signal(number)
    process.wait(10)
    if number is signal.SIGKILL:  # nobody is left who could: the next edit does it
        editor(tmp_path, monkeypatch, "true")
        assert reconcile("secret", "edit", "token").code == 0
    assert leftovers(tmp_path) == []


def test_a_new_recipient_can_open_everything_and_the_old_ones_still_can(
    fleet: Fleet, key: AgeKey, reconcile: Console, tmp_path: Path
) -> None:
    fleet.write({"secrets/a.age": key.encrypt(b"one"), "secrets/deep/b.age": key.encrypt(b"two", armored=False)})
    bob = AgeKey.make()
    ssh = make_key(tmp_path / "id")
    changed = reconcile("secret", "recipients", "--add", f"{bob.public} bob", "--add", f"{ssh}.pub")
    assert changed.code == 0, changed
    assert "wrote secrets/recipients and 2 secrets, for 3 recipients" in changed.err
    for path, value in (("secrets/a.age", b"one"), ("secrets/deep/b.age", b"two")):
        encrypted = (fleet.root / path).read_bytes()
        assert (key.opens(encrypted), bob.opens(encrypted)) == (value, value)
    listed = reconcile("secret", "recipients").out.splitlines()
    assert listed == [f"{key.public} ada", f"{bob.public} bob", Path(f"{ssh}.pub").read_text().strip()]
    assert reconcile.json("secret", "recipients")[1] == {"key": bob.public, "comment": "bob"}


@pytest.mark.parametrize("word", ["comment", "key", "line"])
def test_a_removed_recipient_opens_nothing_new_and_what_that_means_is_said(
    fleet: Fleet, key: AgeKey, reconcile: Console, word: str
) -> None:
    bob = AgeKey.make()
    fleet.write({"secrets/a.age": key.encrypt(b"one")})
    assert reconcile("secret", "recipients", "--add", f"{bob.public} bob").code == 0
    named = {"comment": "bob", "key": bob.public, "line": f"{bob.public} another comment"}[word]
    changed = reconcile("secret", "recipients", "--remove", named)
    assert changed.code == 0, changed
    assert "could open until now it still can" in changed.err
    assert "new values are needed for a" in changed.err
    encrypted = (fleet.root / "secrets/a.age").read_bytes()
    assert key.opens(encrypted) == b"one"
    with pytest.raises(Exception, match="No matching keys"):
        bob.opens(encrypted)
    assert (fleet.root / "secrets/recipients").read_text() == f"# operators\n{key.public} ada\n"


def test_recipients_are_changed_for_all_secrets_or_for_none(fleet: Fleet, key: AgeKey, reconcile: Console) -> None:
    fleet.commit({"secrets/a.age": key.encrypt(b"one"), "secrets/b.age": AgeKey.make().encrypt(b"two")})
    refused(
        reconcile("secret", "recipients", "--add", AgeKey.make().public),
        "nothing was changed: 1 secret cannot be encrypted anew; secrets/b.age cannot be opened",
    )
    assert fleet.git("status", "--porcelain") == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--add", "hello"], "this is no public key"),
        (["--add", "AGE-SECRET-KEY-1QQQQ"], "this is a private key"),
        (["--remove", "nobody"], "does not say whom you mean by nobody"),
        (["--remove", "ada"], "nobody could open the secrets any more"),
    ],
)
def test_a_wrong_recipient_changes_nothing(
    fleet: Fleet, key: AgeKey, reconcile: Console, arguments: list[str], words: str
) -> None:
    refused(reconcile("secret", "recipients", *arguments), words)
    assert fleet.git("status", "--porcelain") == ""


def test_a_private_key_that_is_given_by_mistake_is_refused_and_not_repeated(
    fleet: Fleet, key: AgeKey, reconcile: Console, tmp_path: Path
) -> None:
    private = make_key(tmp_path / "id")
    result = reconcile("secret", "recipients", "--add", str(private))
    refused(result, f"{private}:1: this is a private key")
    assert not any(line in result.err for line in private.read_text().splitlines())
    assert fleet.git("status", "--porcelain") == ""


def test_a_fleet_in_a_folder_of_a_repository_has_its_own_secrets(
    fleet: Fleet, key: AgeKey, reconcile: Console, tmp_path: Path
) -> None:
    fleet.write({"machines/fleet.yaml": "", "machines/secrets/recipients": key.public, "machines/hosts/x": ""})
    (tmp_path / "value").write_bytes(VALUE)
    made = reconcile("secret", "encrypt", "token", str(tmp_path / "value"), folder=fleet.root / "machines" / "hosts")
    assert made.code == 0, made
    assert (fleet.root / "machines/secrets/token.age").exists()


def test_a_bare_repository_has_no_place_for_secrets(fleet: Fleet, key: AgeKey, reconcile: Console, tmp_path: Path) -> None:
    subprocess.run(["git", "clone", "-q", "--bare", str(fleet.root), str(tmp_path / "bare")], check=True)
    refused(reconcile("secret", "show", "token", folder=tmp_path / "bare"), "a bare repository has no working tree")


def test_a_file_is_whole_or_not_there_and_nothing_else_lies_beside_it(
    fleet: Fleet, key: AgeKey, reconcile: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "value").write_bytes(VALUE)
    monkeypatch.setattr(os, "fsync", full)
    made = reconcile("secret", "encrypt", "token", str(tmp_path / "value"))
    assert (made.code, "No space left on device" in made.err) == (1, True), made
    assert [path.name for path in (fleet.root / "secrets").iterdir()] == ["recipients"]
