"""Lines of hosts/known_hosts that pin nothing are told when the fleet is checked, not when a host is refused."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desired.known_hosts import bad_lines
from tests.fleet import Fleet
from tests.unit.desired.support import HOST, loaded


def field(data: bytes) -> bytes:
    return len(data).to_bytes(4) + data


KEY = base64.b64encode(field(b"ssh-ed25519") + field(b"x" * 32)).decode()


@pytest.mark.parametrize(
    "line",
    [
        f"web.lan ssh-ed25519 {KEY}",
        f"web.lan,10.0.0.1 ssh-ed25519 {KEY} a comment",
        f"[web.lan]:2222 ssh-ed25519 {KEY}\r",
        f"|1|aGVsbG8=|d29ybGQ= ssh-ed25519 {KEY}",
        f"@revoked * ssh-ed25519 {KEY}",
        f"@cert-authority *.lan ssh-ed25519 {KEY}",
        "# a comment",
        "   ",
    ],
)
def test_what_ssh_reads_is_no_mistake(line: str) -> None:
    assert list(bad_lines(line)) == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("web.lan", "expected HOST TYPE KEY"),
        (f"ssh-ed25519 {KEY}", "expected HOST TYPE KEY"),
        (f"web.lan ssh-rsa {KEY}", "the key is not the ssh-rsa that it is called"),
        (f"web.lan ssh-ed25519 {KEY[:-4]}", "it was cut"),
        (f"web.lan ssh-ed25519 {KEY[:-3]}", "the key is not base64"),
        ("web.lan ssh-ed25519 AAAAC3…", "the key is not base64"),
        (f"@trusted web.lan ssh-ed25519 {KEY}", "there is no marker @trusted"),
    ],
)
def test_a_line_that_pins_nothing_is_named_with_its_reason(line: str, reason: str) -> None:
    (found,) = bad_lines(f"web.lan ssh-ed25519 {KEY}\n\n{line}\n")
    assert found[0] == 3
    assert reason in found[1]


@given(st.text())
def test_any_text_is_judged_without_a_fault_of_our_own(text: str) -> None:
    assert all(number >= 1 and reason.isprintable() for number, reason in bad_lines(text))


def test_the_fleet_is_told_and_stays_valid(fleet: Fleet) -> None:
    found = loaded(fleet, {"hosts/web.yaml": HOST, "hosts/known_hosts": f"a ssh-ed25519 {KEY}\nweb ssh-ed25519 {KEY[:-4]}\n"})
    (warning,) = found.warnings
    assert str(warning).startswith("hosts/known_hosts:2:1: warning: pins nothing: the key is not the ssh-ed25519")
