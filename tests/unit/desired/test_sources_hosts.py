"""Which host keys count, held against `ssh-keygen -F`, which is OpenSSH's own judgement."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from desired.sources.hosts import host_keys
from tests.sshd import make_key, public

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8y0v8vWzC8hUeYcnqKXn8qwBzJ3sG9rS2mU3m1mN5p"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBm1x0m8v6m0h6s6u3k3cJ0m9m5b8q1p3r5t7v9x1z3b"
HOSTS = ["git.lan", "[git.lan]:2222", "*.lan", "!git.lan", "g?t.lan", "[*]:2222", "other", "10.0.0.*", "GIT.lan"]


def matched_by_openssh(path: Path, name: str) -> bool:
    done = subprocess.run(["ssh-keygen", "-F", name, "-f", str(path)], stdout=subprocess.PIPE, check=False)
    return bool(done.stdout)


@settings(max_examples=60)
@given(st.lists(st.sampled_from(HOSTS), min_size=1, max_size=3).map(",".join), st.sampled_from(["git.lan", "[git.lan]:2222"]))
def test_a_line_counts_for_the_hosts_for_which_it_counts_to_ssh(
    tmp_path_factory: pytest.TempPathFactory, hosts: str, name: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "lines"
    path.write_text(f"{hosts} {KEY}\n")
    assert bool(host_keys("git.lan", name, path.read_text(), "").keys) == matched_by_openssh(path, name)


def test_hashed_names_are_found(tmp_path: Path) -> None:
    key = public(make_key(tmp_path / "key"))
    (tmp_path / "known").write_text(f"git.lan {key}\n[git.lan]:2222 {key}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", "known"], cwd=tmp_path, check=True, stderr=subprocess.DEVNULL)
    text = (tmp_path / "known").read_text()
    assert "git.lan" not in text
    assert host_keys("git.lan", "git.lan", text, "").lines == f"git.lan {key}\n"
    assert host_keys("git.lan", "[git.lan]:2222", text, "").lines == f"[git.lan]:2222 {key}\n"
    assert not host_keys("other.lan", "other.lan", text, "").keys


def test_the_fleets_pin_is_never_widened_by_the_operators_own() -> None:
    assert host_keys("git.lan", "git.lan", f"git.lan {KEY}\n", f"git.lan {OTHER}\n").lines == f"git.lan {KEY}\n"
    assert host_keys("git.lan", "git.lan", "", f"git.lan {OTHER}\n").lines == f"git.lan {OTHER}\n"


def test_a_name_without_port_counts_for_other_ports_in_the_operators_own_alone() -> None:
    assert host_keys("git.lan", "[git.lan]:2222", "", f"git.lan {KEY}\n").keys
    assert not host_keys("git.lan", "[git.lan]:2222", f"git.lan {KEY}\n", "").keys


def test_a_revoked_key_is_revoked_whichever_text_says_so() -> None:
    for fleet, own in (
        (f"git.lan {KEY}\n@revoked * {KEY}\n", ""),
        (f"git.lan {KEY}\n", f"@revoked git.lan {KEY}\n"),
        (f"@revoked git.lan {KEY}\n", f"git.lan {KEY}\n"),
    ):
        found = host_keys("git.lan", "git.lan", fleet, own)
        assert not found.keys
        assert found.revoked


@given(st.text(), st.text())
def test_any_text_is_read_and_vouches_for_nobody_it_does_not_name(fleet: str, own: str) -> None:
    assert not host_keys("never.named.example", "never.named.example", fleet.replace("*", ""), own.replace("*", "")).keys
