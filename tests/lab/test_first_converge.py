"""The whole program on a real host: from a commit to a converged machine, drift found and healed, and what left git removed.

What a host is like is asked past all of the project's code (`host.sh`).
"""

from __future__ import annotations

import pytest

from tests.fleet import Fleet, Result
from tests.lab.hosts import LabHost

UNIT = """\
[Unit]
Description=A service that does nothing, for ever
[Service]
ExecStart=/bin/sleep infinity
[Install]
WantedBy=multi-user.target
"""

MANIFEST = """\
packages:
  apt: [tree]
groups:
  deploy: {gid: 2000}
users:
  deploy: {uid: 2000, groups: [audio], shell: /bin/sh}
directories:
  /srv/app: {owner: deploy, group: deploy, mode: "0750"}
files:
  /etc/motd: {content: "welcome to {{ host.name }}\\n", template: true, mode: "0644"}
  /etc/systemd/system/idle.service: {source: files/idle.service}
  /srv/app/settings: {content: "debug=no\\n", owner: deploy, mode: "0600"}
symlinks:
  /srv/current: {target: /srv/app}
services:
  idle: {running: true, enabled: true, follows: ["file:/etc/systemd/system/idle.service"]}
cron:
  tidy: {schedule: "17 3 * * *", user: deploy, command: "true"}
sysctl:
  net.ipv4.tcp_fin_timeout: {value: "31"}
"""

RESOURCES = {
    "package:apt/tree",
    "group:deploy",
    "user:deploy",
    "directory:/srv/app",
    "file:/etc/motd",
    "file:/etc/systemd/system/idle.service",
    "file:/srv/app/settings",
    "symlink:/srv/current",
    "service:idle",
    "cron:tidy",
    "sysctl:net.ipv4.tcp_fin_timeout",
}

# One question to the host per resource, and the answer when all is well.
QUESTIONS = {
    "dpkg-query -W -f '${db:Status-Abbrev}' tree": "ii ",
    "getent group deploy": "deploy:x:2000:",
    "getent passwd deploy | cut -d: -f 1,3,4,7": "deploy:2000:2000:/bin/sh",
    "id -nG deploy": "deploy audio",
    "stat -c '%U:%G %a %F' /srv/app": "deploy:deploy 750 directory",
    "stat -c '%U %a' /etc/motd; cat /etc/motd": "root 644\nwelcome to lab",
    "cat /etc/systemd/system/idle.service": UNIT.strip(),
    "stat -c '%U %a' /srv/app/settings; cat /srv/app/settings": "deploy 600\ndebug=no",
    "readlink /srv/current": "/srv/app",
    "systemctl is-active idle; systemctl is-enabled idle": "active\nenabled",
    "xargs -0 </proc/$(systemctl show -p MainPID --value idle)/cmdline": "/bin/sleep infinity",
    "cat /proc/sys/net/ipv4/tcp_fin_timeout": "31",
    "cat /etc/cron.d/* | grep -c '^17 3 \\* \\* \\*.*deploy.*true'": "1",
}

# What a person might do by hand, and the resource that has drifted then.
EDITS = {
    "apt-get -qq remove tree >/dev/null": "package:apt/tree",
    "usermod --shell /bin/bash deploy": "user:deploy",
    "chmod 0777 /srv/app": "directory:/srv/app",
    "echo hacked >>/etc/motd": "file:/etc/motd",
    "rm /srv/app/settings": "file:/srv/app/settings",
    "ln -sfn /tmp /srv/current": "symlink:/srv/current",
    "sed -i s/infinity/99999/ /etc/systemd/system/idle.service": "file:/etc/systemd/system/idle.service",
    "systemctl disable --now --quiet idle": "service:idle",
    "sed -i 's/^17 3/18 4/' /etc/cron.d/*": "cron:tidy",
    "sysctl -q net.ipv4.tcp_fin_timeout=60": "sysctl:net.ipv4.tcp_fin_timeout",
}


def as_it_should_be(host: LabHost) -> dict[str, str]:
    return QUESTIONS | {"stat -c '%U %a' /etc/motd; cat /etc/motd": f"root 644\nwelcome to {host.name}"}


def as_it_is(host: LabHost) -> dict[str, str]:
    return {question: host.ask(question).out for question in QUESTIONS}


def declare(fleet: Fleet, host: LabHost, *, address: str = "root", manifest: str = MANIFEST, become: str = "none") -> str:
    """One host and its manifest, committed."""
    head = f"address: {address}@{host.address}\nbecome: {become}\n"
    return fleet.commit({f"hosts/{host.name}.yaml": head + manifest, "files/idle.service": UNIT})


def planned(result: Result) -> dict[str, str]:
    """Reference → why, from `plan --json`, refreshes apart."""
    assert result.code in {0, 2}, result
    (host,) = result.json()["hosts"]
    assert not host["problem"], result
    assert not host["unknown"], result
    return {action["ref"]: action["cause"]["why"] for action in host["actions"] if action["action"] != "refresh"}


def assert_nothing_to_do(fleet: Fleet) -> None:
    plan = fleet.plan("--json")
    assert planned(plan) == {}, plan
    assert plan.code == 0, plan


@pytest.mark.parametrize(("user", "become"), [("root", "none"), ("ops", "sudo"), ("ops", "doas")])
def test_a_commit_becomes_a_converged_host(fleet: Fleet, host: LabHost, user: str, become: str) -> None:
    before = as_it_is(host)
    declare(fleet, host, address=user, become=become)

    assert planned(fleet.plan("--json")) == dict.fromkeys(RESOURCES, "commit")
    assert as_it_is(host) == before, "a plan changed the host"

    applied = fleet.apply()
    assert applied.code == 0, applied
    assert as_it_is(host) == as_it_should_be(host)
    assert_nothing_to_do(fleet)


def test_what_was_changed_by_hand_is_named_as_drift_and_healed(fleet: Fleet, host: LabHost) -> None:
    declare(fleet, host)
    assert fleet.apply().code == 0
    for edit in EDITS:
        host.sh(edit)

    assert planned(fleet.plan("--json")) == dict.fromkeys(EDITS.values(), "drift")

    healed = fleet.apply()
    assert healed.code == 0, healed
    assert as_it_is(host) == as_it_should_be(host)
    assert_nothing_to_do(fleet)


def test_a_service_runs_what_its_changed_unit_says(fleet: Fleet, host: LabHost) -> None:
    declare(fleet, host)
    assert fleet.apply().code == 0
    fleet.commit({"files/idle.service": UNIT.replace("infinity", "99999")})

    assert fleet.apply().code == 0

    assert host.sh("xargs -0 </proc/$(systemctl show -p MainPID --value idle)/cmdline") == "/bin/sleep 99999"
    assert_nothing_to_do(fleet)


def test_what_left_the_repository_is_removed_and_data_stays(fleet: Fleet, host: LabHost) -> None:
    host.sh("mkdir -p /srv/before && echo mine >/srv/before/note")
    found = 'directories: {/srv/before: {mode: "0755"}, /srv/app: {}}\npackages: {apt: [cron]}\n'
    declare(fleet, host, manifest=found + "files: {/srv/app/settings: {content: x}}\nusers: {deploy: {}}\n")
    assert fleet.apply().code == 0
    host.sh("echo precious >/home/deploy/data || { mkdir -p /home/deploy && echo precious >/home/deploy/data; }")

    declare(fleet, host, manifest="")
    assert set(planned(fleet.plan("--json"))) == {"directory:/srv/app", "file:/srv/app/settings", "user:deploy"}
    pruned = fleet.apply()

    assert pruned.code == 0, pruned
    assert not host.has("getent passwd deploy || test -e /srv/app")
    assert host.sh("cat /home/deploy/data /srv/before/note") == "precious\nmine"
    assert host.has("dpkg-query -W cron"), "the package was there before us"
    assert_nothing_to_do(fleet)


def test_a_host_that_is_away_does_not_stop_the_others(fleet: Fleet, hosts: list[LabHost]) -> None:
    away, *here = hosts
    away.sh("systemctl stop ssh.socket ssh.service")
    motd = "files: {/etc/motd: {content: here}}\n"
    fleet.commit({f"hosts/{host.name}.yaml": f"address: root@{host.address}\n{motd}" for host in hosts})

    applied = fleet.apply()

    assert applied.code == 4, applied
    assert [host.sh("cat /etc/motd") for host in here] == ["here", "here"]
    assert away.name in applied.out + applied.err
