from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import CommandError, Refused
from reconciler.serve.settings import Key, Listen, Settings, own_name

GOOD = "0123456789abcdef"


def secret(path: Path, text: str = f"{GOOD}\n", mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("text", "address", "port", "loopback"),
    [
        ("127.0.0.1:9276", "127.0.0.1", 9276, True),
        ("127.8.8.8:1", "127.8.8.8", 1, True),
        ("[::1]:9276", "::1", 9276, True),
        ("localhost:9276", "localhost", 9276, True),
        ("9276", "127.0.0.1", 9276, True),
        (":9276", "", 9276, False),
        ("0.0.0.0:9276", "0.0.0.0", 9276, False),
        ("[::]:9276", "::", 9276, False),
        ("192.0.2.7:80", "192.0.2.7", 80, False),
        ("loop.example.org:80", "loop.example.org", 80, False),
        ("localhost.example.org:80", "localhost.example.org", 80, False),
    ],
)
def test_an_address_is_understood_and_known_as_loopback_or_not(text: str, address: str, port: int, loopback: bool) -> None:
    listen = Listen.parse(text)
    assert (listen.address, listen.port, listen.loopback) == (address, port, loopback)


@pytest.mark.parametrize(
    "text", ["", ":", "nas", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "1.2.3.4:65536", "::1:80", "[x]:80", "a b:1"]
)
def test_what_is_no_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(CommandError, match="is no address with a port") as refused:
        Listen.parse(text)
    assert "127.0.0.1:9276" in refused.value.hint


@given(st.text(max_size=40))
def test_no_text_for_an_address_is_a_fault(text: str) -> None:
    with suppress(CommandError):
        assert Listen.parse(text).port <= 65535


@pytest.mark.parametrize("listen", ["0.0.0.0:0", ":0", "[::]:0", "192.0.2.7:0", "loop.example.org:0"])
def test_what_others_can_reach_is_not_served_without_a_token(tmp_path: Path, listen: str) -> None:
    with pytest.raises(Refused, match="can be reached from other machines, and there is no token") as refused:
        Settings.read(listen, None, None)
    assert "--token-file" in refused.value.hint
    assert Settings.read(listen, secret(tmp_path / "token"), None).token is not None


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o601, 0o620, 0o610, 0o644, 0o666])
def test_a_token_that_others_can_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(Refused, match="others can read or change") as refused:
        Key.read("--token-file", secret(tmp_path / "token", mode=mode))
    assert "chmod 600" in refused.value.hint
    assert GOOD not in str(refused.value)


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o640, 0o440])
def test_a_token_may_be_lent_to_a_group(tmp_path: Path, mode: int) -> None:
    assert Key.read("--token-file", secret(tmp_path / "token", mode=mode)).equals(GOOD.encode())


@pytest.mark.parametrize("text", ["", "\n", "short\n", "\n0123456789abcdef\n", "x" * 5000])
def test_a_token_that_is_none_is_refused_with_a_way_to_make_one(tmp_path: Path, text: str) -> None:
    with pytest.raises(CommandError, match="is no secret of 16 to 4096 characters") as refused:
        Key.read("--token-file", secret(tmp_path / "token", text))
    assert "/dev/urandom" in refused.value.hint


def test_a_token_file_that_cannot_be_read_is_named_with_its_option(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"--hook-secret-file: .*/none cannot be read: No such file"):
        Key.read("--hook-secret-file", tmp_path / "none")
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name in ("pipe", "."):
        with pytest.raises(CommandError, match=r"no regular file|Is a directory"):
            Key.read("--token-file", tmp_path / name)


def test_a_token_is_in_no_text_about_the_settings(tmp_path: Path) -> None:
    settings = Settings.read("0.0.0.0:1", secret(tmp_path / "token"), secret(tmp_path / "hook", "fedcba9876543210\n"))
    assert GOOD not in repr(settings)
    assert "fedcba" not in repr(settings)


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:9276", "LOCALHOST", "127.0.0.1", "127.0.0.1:80", "[::1]:9276", "[::1]"]
)
def test_a_request_for_this_machine_itself_is_known_as_one(host: str) -> None:
    assert own_name(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:9276",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "192.0.2.7",
        "0.0.0.0",
        ":9276",
    ],
)
def test_a_request_for_another_name_is_not(host: str) -> None:
    assert not own_name(host)
