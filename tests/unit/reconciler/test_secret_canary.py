"""A canary: one random value through every command and against a real sshd, then looked for in everything that came out."""

from __future__ import annotations

import contextlib
import re
import secrets
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fleet import Fleet, Result, reconcile_command
from tests.sshd import USER, Sshd, make_key
from tests.unit.desired.keys import AgeKey
from tests.unit.reconciler.test_secret_redaction import FORMS

LEAK = """
value=$(cat "$1")
cat "$1"
tac "$1"
rev "$1"
base64 "$1"
base64 -w0 "$1"
printf %s "$value" | base64 -w0
od -An -vtx1 "$1" | tr -d ' \\n'
echo
set -x
: "$value" >&2
exit 1
"""
"""A check that tells all that it knows in every way that a shell has at hand."""


@dataclass(frozen=True, slots=True)
class Canary:
    """The value, and where it was let loose."""

    value: str
    fleet: Fleet
    host: Path

    @property
    def forms(self) -> set[str]:
        return {write(self.value).strip("'") for write in FORMS.values()}

    def manifest(self, validate: str) -> str:
        return (
            f"files:\n"
            f'  {self.host}/token: {{content: {{secret: token}}, validate: "{validate}"}}\n'
            f"  {self.host}/conf: {{content: \"password={{{{ secret('token') }}}}\\n\", template: true}}\n"
        )

    def commit(self, address: str, validate: str = "true {}") -> None:
        head = f"address: {address}\ninventory: {self.host}/inventory\nidentity: {self.fleet.home}/.ssh/id_ed25519\n"
        self.fleet.commit({"hosts/nas.yaml": head + self.manifest(validate)})

    def found_in(self, text: str) -> set[str]:
        return {form for form in self.forms if form in text}


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    server = Sshd(tmp_path / "sshd", make_key(tmp_path / "key"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def canary(fleet: Fleet, sshd: Sshd, tmp_path: Path) -> Canary:
    key = AgeKey.make().give(fleet)
    value = f"{secrets.token_urlsafe(12)}'&\"$ {secrets.token_hex(8)}"
    fleet.add_key(sshd.accepts)
    (tmp_path / "host").mkdir()
    canary = Canary(value, fleet, tmp_path / "host")
    encrypted = key.encrypt(f"{value}\n".encode())
    fleet.write({"fleet.yaml": "", "hosts/known_hosts": sshd.pin, "secrets/token.age": encrypted})
    canary.commit(f"{USER}@127.0.0.1:{sshd.port}")
    return canary


def quiet(canary: Canary, result: Result) -> Result:
    assert not canary.found_in(result.out + result.err), "a secret was printed"
    return result


def test_no_command_prints_a_secret_or_writes_it_down(canary: Canary) -> None:
    run, plan = canary.fleet.run, canary.fleet.home / "plan.json"
    for arguments in (
        ["validate"],
        ["validate", "--json"],
        ["plan"],
        ["plan", "--json", "-v"],
        ["plan", "--markdown"],
        ["plan", "--out", str(plan)],
        ["apply", "--plan", str(plan), "--yes", "--json"],
        ["plan", "--detailed-exitcode"],
        ["diff", "HEAD", "HEAD"],
        ["schema"],
    ):
        assert quiet(canary, run(*arguments)).code == 0, arguments
    assert (canary.host / "token").read_text() == f"{canary.value}\n"
    assert (canary.host / "conf").read_text() == f"password={canary.value}\n"
    ours = {canary.host / "token", canary.host / "conf"}
    for folder in (canary.fleet.home, canary.fleet.root, canary.host):
        for path in folder.rglob("*"):
            if path.is_file() and path not in ours:
                assert not canary.found_in(path.read_text(errors="surrogateescape")), path


def test_an_edit_on_the_host_is_drift_that_shows_neither_content(canary: Canary) -> None:
    assert canary.fleet.apply().code == 0
    found = canary.value[::-1]
    (canary.host / "token").write_text(f"{found} and more\n")
    plan = quiet(canary, canary.fleet.plan())
    assert plan.code == 2
    assert "content differs (not shown: a secret)" in plan.out
    assert found not in plan.out
    assert quiet(canary, canary.fleet.apply()).code == 0
    assert (canary.host / "token").read_text() == f"{canary.value}\n"


@pytest.mark.parametrize("arguments", [[], ["--json"], ["-v"]], ids=str)
def test_what_a_failing_command_repeats_of_a_secret_is_hidden(canary: Canary, sshd: Sshd, arguments: list[str]) -> None:
    (canary.host / "leak").write_text(LEAK)
    canary.commit(f"{USER}@127.0.0.1:{sshd.port}", validate=f"bash {canary.host}/leak {{}}")
    failed = quiet(canary, canary.fleet.apply(*arguments))
    assert failed.code == 3, failed
    assert failed.out.count("[secret]") >= 5, failed
    assert not (canary.host / "token").exists()


def test_no_process_here_or_on_the_host_shows_a_secret_while_it_is_applied(canary: Canary, sshd: Sshd) -> None:
    """The host is this machine, so its processes are all in one list."""
    canary.commit(f"{USER}@127.0.0.1:{sshd.port}", validate="sleep 1; true {}")
    command = [reconcile_command(), "-C", str(canary.fleet.root), "apply", "--yes"]
    process = subprocess.Popen(command, env=canary.fleet.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    seen = b""
    while process.poll() is None:
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                seen += (path / "cmdline").read_bytes() + (path / "environ").read_bytes()
        time.sleep(0.02)
    out = process.communicate()[0].decode()
    assert process.returncode == 0, out
    assert b"sleep\x001" in seen
    assert not canary.found_in(seen.decode("utf-8", "replace") + out)


def test_a_plan_is_the_same_in_every_run(canary: Canary) -> None:
    """What is compared with a host is salted anew every time, and nothing of it is in a plan."""
    (canary.host / "token").write_text("another\n")
    plans = [canary.fleet.run("plan", "--json").json() for _ in range(2)]
    assert plans[0] == plans[1]
    assert not re.search(r"\b[0-9a-f]{64}\b", str(plans[0]))


def test_who_has_no_key_leaves_secrets_alone_and_says_so_once(canary: Canary) -> None:
    (canary.fleet.home / ".config/reconciler/identity").unlink()
    assert canary.fleet.run("validate").code == 0
    plan = canary.fleet.plan()
    assert plan.code == 1, plan
    assert plan.err.count("secrets/token.age: error: secrets/token.age cannot be opened with ") == 1, plan
    applied = canary.fleet.apply()
    assert applied.code == 3, applied
    assert list(canary.host.glob("[ct]*")) == []


def test_a_new_encryption_of_the_same_value_changes_nothing_on_the_host(canary: Canary) -> None:
    assert canary.fleet.apply().code == 0
    key = AgeKey.make().give(canary.fleet)
    canary.fleet.commit({"secrets/token.age": key.encrypt(f"{canary.value}\n".encode())})
    again = quiet(canary, canary.fleet.plan())
    assert again.code == 0, again
    canary.fleet.commit({"secrets/token.age": key.encrypt(b"a new password\n")})
    assert quiet(canary, canary.fleet.plan()).code == 2
    assert canary.fleet.apply().code == 0
    assert (canary.host / "token").read_text() == "a new password\n"
