"""Files whose content is a secret, on this machine: found by a salted digest, never shown, never remembered."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers import secret as secrets
from providers.base import Unknown
from providers.files import FileProvider, FileSpec, FileState
from providers.sealed import Reference, Sealed
from providers.secret import Secret
from tests.unit.providers.here import SHELLS, Here, name_of

VALUE = b"correct horse battery\nstaple\x00\xff'\"$(id)\n"
SALT = "0123456789abcdef"
VERSION = "b" * 40
ODD = "it's $(touch pwned) `x` \n--help *\t#1"


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "_known", {})


@pytest.fixture(params=SHELLS, ids=name_of)
def here(request: pytest.FixtureRequest) -> Here:
    shell: Sequence[str] = request.param
    return Here(FileProvider(), shell)


def secret_file(path: Path | str, value: bytes = VALUE, version: str = VERSION, mode: str = "0600") -> FileSpec:
    """As it is after its secret was opened."""
    sealed = Sealed((Reference("secrets/x.age", version),), opened=Secret(value, version, salt=SALT, known=False))
    spec = FileSpec.model_validate({"name": str(path), "content": {"secret": "x"}, "mode": mode})
    return spec.with_sealed(sealed)


def probed(here: Here, spec: FileSpec) -> object:
    return here.ask([spec])[spec.name]


def test_a_secret_is_written_with_mode_0600_and_a_second_plan_is_empty(here: Here, tmp_path: Path) -> None:
    here.converge(secret_file(tmp_path / "token"))
    assert (tmp_path / "token").read_bytes() == VALUE
    assert (tmp_path / "token").stat().st_mode & 0o7777 == 0o600


@pytest.mark.parametrize("content", [b"", b"x", VALUE[:-1], VALUE + b"x", VALUE * 100, VALUE.replace(b"horse", b"mouse")])
def test_any_other_content_is_a_difference_and_is_healed(here: Here, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / ODD
    path.write_bytes(content)
    path.chmod(0o600)
    [change] = here.changes([secret_file(path)])
    assert change.fields == {"digest"}
    here.converge(secret_file(path))
    assert path.read_bytes() == VALUE


def test_a_wrong_mode_alone_leaves_the_content_alone(here: Here, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(VALUE)
    path.chmod(0o644)
    [change] = here.changes([secret_file(path)])
    assert change.fields == {"mode"}


def test_neither_state_depends_on_the_value_or_on_the_salt(here: Here, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(b"found here")
    path.chmod(0o600)
    other = probed(here, secret_file(path))
    path.write_bytes(VALUE)
    same = probed(here, secret_file(path))
    assert isinstance(other, FileState)
    assert isinstance(same, FileState)
    assert (other.digest, same.digest) == ("other", VERSION)
    assert FileProvider().want(secret_file(path, b"another value")) == FileProvider().want(secret_file(path))


def test_what_the_host_answers_cannot_be_guessed_from_without_the_salt(here: Here, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(VALUE)
    answer = here.run(here.provider.probe([secret_file(path)])).stdout.decode()
    assert hashlib.sha256(VALUE).hexdigest() not in answer
    assert hashlib.sha256(f"{SALT}\n".encode() + VALUE).hexdigest() in answer
    assert "horse" not in answer


@pytest.mark.parametrize("kind", ["directory", "link", "pipe", "absent"])
def test_what_is_no_file_is_not_read(here: Here, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "token"
    (tmp_path / "real").write_bytes(VALUE)
    match kind:
        case "directory":
            path.mkdir()
        case "link":
            path.symlink_to(tmp_path / "real")
        case "pipe":
            os.mkfifo(path)
    found = probed(here, secret_file(path))
    if kind == "absent":
        assert found is None
    else:
        assert isinstance(found, FileState)
        assert (found.type, found.digest) == ({"link": "symlink", "pipe": "other"}.get(kind, kind), None)


def test_a_file_that_cannot_be_read_is_unknown_and_not_another(here: Here, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(VALUE)
    answer = here.run(here.provider.probe([secret_file(path)])).stdout
    sum_line = secret_file(path).sealed.opened.salted().encode()  # type: ignore[union-attr]
    unread = b"".join(line for line in answer.splitlines(keepends=True) if not line.startswith(sum_line))
    assert unread != answer
    found = here.provider.parse(unread, [secret_file(path)])[str(path)]
    assert isinstance(found, Unknown)


def test_a_secret_that_was_not_opened_is_unknown_with_the_reason(here: Here, tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(VALUE)
    sealed = Sealed((Reference("secrets/x.age", VERSION),)).failed("no key opens it")
    spec = FileSpec.model_validate({"name": str(tmp_path / "token"), "content": {"secret": "x"}}).with_sealed(sealed)
    assert probed(here, spec) == Unknown("no key opens it")


def test_a_secret_is_never_shown_whatever_its_mode(here: Here, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(b"an older secret\n")
    path.chmod(0o644)
    changes = here.changes([secret_file(path, mode="0644")])
    assert here.provider.look(changes) is None
    [detail] = here.provider.seen(b"", changes).values()
    assert (detail.diff, detail.notes) == ((), ("content differs (not shown: a secret)",))


def test_neither_the_value_nor_a_digest_of_it_stands_in_what_is_kept(tmp_path: Path) -> None:
    spec = secret_file(tmp_path / "token")
    kept = f"{spec!r} {spec.record()} {spec.digest()} {spec.model_dump_json()}"
    assert "horse" not in kept
    assert spec.digest() == secret_file(tmp_path / "token", b"another value").digest()
    assert spec.digest() != secret_file(tmp_path / "token", version="c" * 40).digest()


def test_a_removed_secret_file_is_removed(here: Here, tmp_path: Path) -> None:
    spec = secret_file(tmp_path / "token")
    here.converge(spec)
    here.converge(spec.absent())
    assert not (tmp_path / "token").exists()


def test_a_content_of_text_and_secrets_has_a_version_of_its_own() -> None:
    def of(*pieces: bytes | Reference) -> str:
        return Sealed(pieces).version

    one, two = Reference("secrets/a.age", "1"), Reference("secrets/b.age", "2")
    versions = [
        of(one),
        of(b"", one, b""),
        of(b"a", one, b""),
        of(b"", one, b"a"),
        of(b"a", two, b""),
        of(b"a", one, b"", one, b""),
    ]
    assert len(set(versions)) == len(versions)


def broken_answers() -> Iterator[bytes]:
    path = "/etc/token"
    line = f"81a4:5:0:0:root:root:{path}\n"
    yield b""
    yield line.encode()
    yield f"{line}{'0' * 64}  {path}\n".encode()
    yield f"{'0' * 64}  {path}\nend\n".encode()
    yield f"{line}end\n".encode()


@pytest.mark.parametrize("answer", list(broken_answers()))
def test_a_broken_answer_is_never_absent_and_never_as_asked(answer: bytes) -> None:
    spec = secret_file("/etc/token")
    found = FileProvider().parse(answer, [spec]).get(spec.name, Unknown("nothing"))
    assert isinstance(found, Unknown)


@given(st.binary())
def test_parsing_is_total(out: bytes) -> None:
    spec = secret_file("/etc/token")
    for answer in (out, out + b"\nend\n"):
        found = FileProvider().parse(answer, [spec]).get(spec.name)
        assert found is None or isinstance(found, (Unknown, FileState))
