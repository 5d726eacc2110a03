"""known_hosts text, with ssh-keygen as the oracle of what an entry means."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from providers.known_hosts import KnownHosts, Trust, entry_name, trust

KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIFjbaWuMerMPlhJ1LJxXit7aUf3dLI2QaN4jKgtYKxdd"

LABELS = st.text("ab.-", min_size=1, max_size=3)
PATTERNS = st.text("ab.-*?", min_size=1, max_size=4)
NEGATED = st.tuples(st.sampled_from(["", "!"]), PATTERNS).map("".join)
HOST_LISTS = st.lists(NEGATED, min_size=1, max_size=3).map(",".join).filter(lambda hosts: not hosts.startswith("-"))


def lines_by_ssh_keygen(text: str, name: str) -> list[int]:
    """The numbers of the lines that OpenSSH takes for `name`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "known_hosts"
        path.write_text(text)
        done = subprocess.run(["ssh-keygen", "-F", name, "-f", str(path)], capture_output=True, text=True, check=False)
    return [int(line.split("line ")[1].split()[0]) for line in done.stdout.splitlines() if line.startswith("# Host")]


@settings(max_examples=40)
@given(st.lists(HOST_LISTS, min_size=1, max_size=6), LABELS.filter(lambda name: not name.startswith("-")))
@example(["*,!ab"], "ab")
@example(["AB"], "ab")
def test_an_entry_means_what_openssh_takes_it_for(hosts: list[str], name: str) -> None:
    text = "".join(f"{entry} ssh-ed25519 {KEY}\n" for entry in hosts)
    assert [pin.line for pin in KnownHosts(text).match(name)] == lines_by_ssh_keygen(text, name)


@given(st.text(), st.text())
@example("|1|x|y ssh-ed25519 AAAA", "x")
@example("|1|" + "\u0660" + "|y ssh-ed25519 AAAA", "x")
@example("@revoked\n@cert-authority a\n@other a b c", "a")
@example("[ ssh-ed25519 AAAA\n[a*]:2 ssh-ed25519 AAAA", "[")
@example("a ssh-ed25519 \u00e9", "a")
@example("|1|AAAA|AAAA ssh-ed25519 AAAA", "\udcff\ud800")
def test_no_text_and_no_name_breaks_it(text: str, name: str) -> None:
    for pin in KnownHosts(text).match(name):
        assert pin.fingerprint


@given(st.text("ab*?!,|@# \n\t[]:", max_size=60))
def test_what_is_not_an_entry_is_passed_over(text: str) -> None:
    whole = f"{text}\nnas.lan ssh-ed25519 {KEY}\n"
    assert KnownHosts(whole).match("nas.lan")[-1].key == KEY


def test_brackets_hold_a_port_and_are_no_pattern() -> None:
    entries = KnownHosts(f"[*.lan]:2222 ssh-ed25519 {KEY}\n")
    assert entries.match("[nas.lan]:2222")
    assert not entries.match("nas.lan")
    assert not entries.match("n")


@pytest.mark.parametrize(("port", "name"), [(22, "::1"), (2222, "[::1]:2222")])
def test_a_host_is_named_with_its_port_only_where_that_is_not_22(port: int, name: str) -> None:
    assert entry_name("::1", port) == name


def test_the_fingerprint_is_the_one_that_ssh_keygen_prints(tmp_path: Path) -> None:
    (tmp_path / "key.pub").write_text(f"ssh-ed25519 {KEY}\n")
    done = subprocess.run(["ssh-keygen", "-lf", str(tmp_path / "key.pub")], check=True, capture_output=True, text=True)
    (pin,) = KnownHosts(f"nas ssh-ed25519 {KEY}").match("nas")
    assert pin.fingerprint == done.stdout.split()[1]


def test_the_first_name_with_an_entry_decides_and_then_the_first_source() -> None:
    fleet = KnownHosts("10.0.0.5 ssh-ed25519 AAAB\nnas ssh-ed25519 AAAC\n")
    own = KnownHosts("10.0.0.5 ssh-ed25519 AAAD\n10.0.0.6 ssh-ed25519 AAAE\n")

    def keys(*names: str) -> list[str]:
        return [pin.key for pin in trust([("fleet", fleet, names), ("own", own, names)]).keys]

    assert keys("10.0.0.5", "nas") == ["AAAB"]
    assert keys("nas", "10.0.0.5") == ["AAAC"]
    assert keys("10.0.0.6") == ["AAAE"]
    assert keys("10.0.0.7") == []


def test_a_revocation_alone_does_not_make_a_host_known() -> None:
    found = trust([("fleet", KnownHosts("@revoked * ssh-ed25519 AAAB\n"), ["nas"])])
    assert not found.known
    assert [pin.key for pin in found.revoked] == ["AAAB"]


def test_without_any_entry_nothing_is_trusted() -> None:
    assert trust([("fleet", KnownHosts(""), ["nas"])]) == Trust()
