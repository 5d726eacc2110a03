"""README and quickstart, followed to the end on a real host: every command is run, every shown output is compared."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from tests.fleet import Fleet
from tests.lab.hosts import LabHost, Pool
from tests.unit.docs.documents import ROOT, Reader, agrees, blocks

SERVER = "server.lan"
NETWORK = {
    name: value
    for name, value in os.environ.items()
    if name.startswith("PIP_") or name.lower().endswith("_proxy") or name in {"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"}
}
"""What pip needs to know about this machine's way out."""


def reader(fleet: Fleet, host: LabHost, pool: Pool) -> Reader:
    """A reader who has a machine called server.lan, on which apt has its lists."""
    host.sh("apt-get -qq update")
    (fleet.home / ".ssh" / "config").write_text(f"Host {SERVER}\n  HostName {host.address}\n")
    made = Reader.of(fleet, more=NETWORK)
    # OpenSSH looks into the home that /etc/passwd names, and ssh-keyscan knows nothing of ~/.ssh/config: both get told.
    ssh = f"/usr/bin/ssh -q -F none -o HostName={host.address} -o UserKnownHostsFile={pool.folder}/known_hosts"
    program(made, "ssh", f'exec {ssh} -i {fleet.home}/.ssh/id_ed25519 "$@"')
    program(made, "ssh-keyscan", f"/usr/bin/ssh-keyscan -t ed25519 {host.address} | sed s/{host.address}/{SERVER}/")
    return made


def program(reader: Reader, name: str, script: str) -> None:
    path: Path = reader.programs / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_the_readme_leads_from_an_installation_to_a_managed_machine(fleet: Fleet, host: LabHost, pool: Pool) -> None:
    reader(fleet, host, pool).follow("README.md")
    assert host.sh("cat /etc/motd") == "This is server, managed from git."
    installed = (fleet.home / ".local/bin/reconcile").resolve()
    assert installed.is_relative_to(fleet.home), "what ran was not what the README installs"


def test_the_quickstart_shows_what_really_happens(fleet: Fleet, host: LabHost, pool: Pool) -> None:
    made = reader(fleet, host, pool)
    made.follow("docs/quickstart.md", leave_out=("python3 -m venv", "~/.local/share", "ln -sf"))
    assert host.sh("cat /etc/motd") == "This is server, managed from git."

    host.sh("echo 'ops ALL=(ALL) ALL' >/etc/sudoers.d/ops")
    (made.where / "hosts/server.yaml").write_text(f"address: ops@{SERVER}\nbecome: sudo\n")
    _, out = made.type("reconcile plan --worktree")
    (shown,) = (block.text for block in blocks("docs/quickstart.md") if block.language == "text")
    assert agrees(shown, out), f"{out}\n--- but {ROOT}/docs/quickstart.md shows\n{shown}"
