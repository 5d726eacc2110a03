"""Lines of authorized_keys: what may be written, and when two lines are the same key."""

from __future__ import annotations

import base64
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from providers.authorized_keys import KEY_TYPES, NO_KEY, KeyLine, same_key, same_keys

LINE: TypeAdapter[str] = TypeAdapter(KeyLine)


def public_key(kind: str = "ssh-ed25519", secret: bytes = b"x" * 32) -> str:
    fields = (kind.encode(), secret)
    return f"{kind} " + base64.b64encode(b"".join(struct.pack(">I", len(part)) + part for part in fields)).decode()


KEY = public_key()


def message_for(line: str) -> str:
    with pytest.raises(ValidationError) as caught:
        LINE.validate_python(line)
    return caught.value.errors()[0]["msg"]


@pytest.mark.parametrize("kind", KEY_TYPES)
def test_every_type_that_sshd_takes_is_accepted_with_and_without_options_and_comment(kind: str) -> None:
    key = public_key(kind)
    for line in (key, f"{key} me@desk with blanks", f'from="10.0.0.0/8,::1",command="a \\"b\\" c" {key} me'):
        assert LINE.validate_python(line) == line


@pytest.mark.parametrize(
    "line", ["", "ops", "# " + KEY, "ssh-dss AAAA", "ssh-ed25519", 'command="open ' + KEY, KEY.replace("ssh-", "SSH-")]
)
def test_what_is_no_public_key_is_refused_with_the_shape_of_one(line: str) -> None:
    assert "expected a public key as in a .pub file" in message_for(line)


@pytest.mark.parametrize(
    "line", [KEY[:-8], KEY.replace("A", "!", 1), public_key("ssh-rsa").replace("ssh-rsa", "ssh-ed25519", 1)]
)
def test_a_key_that_was_cut_or_mixed_up_is_refused(line: str) -> None:
    assert "damaged or cut short" in message_for("no-pty " + line) or "expected a public key" in message_for(line)


def test_a_line_break_cannot_smuggle_in_a_second_key() -> None:
    assert "line break" in message_for(f"{KEY}\n{KEY}")


def test_a_private_key_is_recognised_and_not_repeated() -> None:
    message = message_for("-----BEGIN OPENSSH PRIVATE KEY----- b3BlbnNzaC1rZXk")
    assert "private key" in message
    assert "b3Blb" not in message


def test_comments_blanks_order_and_repetition_do_not_matter_but_options_do() -> None:
    other = public_key(secret=b"y" * 32)
    assert same_keys([f"{KEY}  me", f"\t{other}\r", "", "# note", KEY]) == same_keys([other, f"{KEY} you"])
    assert same_key(f"no-pty  {KEY} me") == f"no-pty {KEY}"
    assert same_key(f"no-pty {KEY}") != same_key(KEY)


def test_a_key_in_front_of_a_nul_counts_as_sshd_counts_it() -> None:
    assert same_key(f"{KEY}\0junk") == KEY


@given(st.text())
def test_what_is_no_key_on_a_host_is_never_repeated(line: str) -> None:
    assert same_key(line) in {None, NO_KEY}


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"])))
def test_what_may_be_written_reads_back_as_one_key(prefix: str) -> None:
    try:
        line = LINE.validate_python(f"{prefix} {KEY}")
    except ValidationError:
        return
    key = same_key(line)
    assert key is not None
    assert key.endswith(KEY)
    assert same_key(key) == key
