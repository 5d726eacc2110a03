"""The loop as a service of systemd, set up as examples/service says and under the unit that stands there.

One machine runs the loop; another one holds the git repository that it follows, and is the host that it looks after.
"""

from __future__ import annotations

import json
import platform
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fleet import Fleet
from tests.lab.hosts import LabHost, Pool, connect
from tests.lab.test_examples import converge, use

ROOT = Path(__file__).parents[2]
ASK = """
import http.client, json, sys
method, address, path, headers = sys.argv[1:]
pages = http.client.HTTPConnection(address, 9276, timeout=5)
pages.request(method, path, b"{}" if method == "POST" else None, json.loads(headers))
answer = pages.getresponse()
print(answer.status, answer.read().decode())
"""


@dataclass(frozen=True)
class Service:
    """The loop, and what it looks after."""

    controller: LabHost
    target: LabHost

    def page(self, path: str, method: str = "GET", address: str = "127.0.0.1", **headers: str) -> tuple[int, Any]:
        """Status and document; status 0 where nobody answers."""
        asked = shlex.join([method, address, path, json.dumps(headers)])
        seen = self.controller.ask(f"/opt/reconciler/bin/python - {asked} <<'END'\n{ASK}\nEND")
        status, _, text = seen.out.partition(" ")
        return (int(status), json.loads(text)) if seen.code == 0 else (0, None)

    def shown(self, name: str) -> str:
        return self.controller.sh(f"systemctl show --property {name} --value reconciler")

    def push(self, motd: str) -> None:
        """A commit that asks for another file. Templates are rendered in a process of their own, which the unit must allow."""
        self.target.sh(
            "cd /srv/fleet\n"
            f"printf '%s {{{{ host.name }}}}\\n' '{motd}' >motd.j2\n"
            "git add --all && git -c user.name=ada -c user.email=ada@example.org commit --quiet --message motd"
        )

    def converged(self, motd: str, seconds: float = 90) -> None:
        self.target.wait(f"grep -qx '{motd} target' /etc/motd", seconds)


def until(true: Callable[[], bool], what: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.5)


def install(host: LabHost, folder: Path) -> None:
    """As the example's README says; the host itself need not reach an index of packages."""
    host.sh(
        "apt-get -qq update; DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends python3 python3-venv"
    )
    version = host.sh("python3 -c 'import sys; print(sys.version_info.major, sys.version_info.minor, sep=\".\")'")
    platforms = [f"--platform=manylinux_{glibc}_{platform.machine()}" for glibc in ("2_28", "2_17")]
    chosen = [f"--python-version={version}", *platforms, "--platform=any", "--only-binary=:all:", "--no-deps"]
    lock = ["--requirement", str(ROOT / "requirements.lock"), "--dest", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", *chosen, *lock], check=True)
    subprocess.run([sys.executable, "-m", "hatchling", "build", "--target", "wheel", "-d", str(folder)], check=True, cwd=ROOT)
    subprocess.run(["docker", "cp", "--quiet", str(folder), f"{host.container}:/root/wheels"], check=True)
    host.sh("python3 -m venv /opt/reconciler && /opt/reconciler/bin/pip install --no-index --no-deps /root/wheels/*.whl")


def repository(target: LabHost, address: str) -> None:
    """The fleet that the loop follows, on the machine that it looks after."""
    target.sh(
        "apt-get -qq update; DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends git\n"
        "mkdir -p /srv/fleet/hosts && cd /srv/fleet && git init --quiet --initial-branch=main\n"
        "printf 'poll: 5s\\ninterval: 5s\\n' >fleet.yaml\n"
        f"printf 'address: root@{address}\\nfiles: {{/etc/motd: {{source: motd.j2, template: true}}}}\\n' >hosts/target.yaml\n"
        f"printf '{address} %s\\n' \"$(cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub)\" >hosts/known_hosts"
    )


@pytest.fixture(scope="module")
def service(pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with pool.take(2) as (controller, target):
        address = target.sh("hostname -I").split()[0]
        repository(target, address)
        service = Service(controller, target)
        service.push("first")
        install(controller, tmp_path_factory.mktemp("wheels"))

        fleet = Fleet.create(tmp_path_factory.mktemp("desk"))
        connect(fleet, pool)
        use("service", fleet, {"controller.example.org": controller})
        manifest = (fleet.root / "hosts/controller.yaml").read_text()
        fleet.commit(
            {"hosts/controller.yaml": manifest.replace("git@forge.example.org/me/fleet.git", f"root@{address}/srv/fleet")}
        )
        converge(fleet)

        key = controller.sh("cat /var/lib/reconciler/.ssh/id_ed25519.pub")
        target.sh(f"install -d -m 0700 /root/.ssh; echo '{key}' >>/root/.ssh/authorized_keys")
        pin = target.sh("cat /srv/fleet/hosts/known_hosts")
        controller.sh(f"echo '{pin}' >/var/lib/reconciler/.ssh/known_hosts", user="reconciler")
        controller.sh("systemctl reload reconciler")
        yield service


def test_the_loop_follows_git_and_keeps_its_host_as_it_says(service: Service) -> None:
    service.converged("first")
    until(lambda: service.page("/readyz")[0] == 200, "it was never ready")
    assert service.page("/healthz") == (200, {"healthy": True, "reason": ""})
    service.push("second")
    service.converged("second")
    service.target.sh("echo tampered >/etc/motd")
    service.converged("second")


def test_the_unit_is_well_confined(service: Service) -> None:
    said = service.controller.ask("systemd-analyze security --no-pager reconciler.service").out
    found = re.search(r"Overall exposure level for reconciler\.service: ([\d.]+)", said)
    assert found, said
    assert float(found[1]) <= 2.0
    main = service.shown("MainPID")
    status = service.controller.sh(f"cat /proc/{main}/status")
    assert re.search(r"^CapEff:\s0+$", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\s1$", status, re.MULTILINE)
    assert re.search(r"^Seccomp:\s2$", status, re.MULTILINE)
    assert service.controller.sh(f"stat -c %U /proc/{main}") == "reconciler"
    assert service.controller.sh("stat -c '%a %U' /var/lib/reconciler") == "700 reconciler"


def test_a_reload_reads_anew_and_ends_nothing(service: Service) -> None:
    main = service.shown("MainPID")
    service.controller.sh("systemctl reload reconciler")
    until(lambda: service.page("/healthz")[0] == 200, "it was not healthy after a reload")
    assert service.shown("MainPID") == main


def test_what_is_killed_begins_again_and_goes_on(service: Service) -> None:
    main, times = service.shown("MainPID"), int(service.shown("NRestarts"))
    service.controller.sh(f"kill -KILL {main}")
    until(lambda: int(service.shown("NRestarts")) > times, "systemd did not start it again")
    until(lambda: service.page("/readyz")[0] == 200, "it was not ready again")
    assert service.shown("MainPID") != main
    service.push("after a kill")
    service.converged("after a kill")


def test_a_loop_that_hangs_is_ended_by_the_watchdog(service: Service) -> None:
    """A process that is stopped stands for one that hangs. The unit's two minutes are made shorter for that long."""
    assert service.shown("WatchdogUSec") == "2min"
    host = service.controller
    host.sh(
        "mkdir -p /run/systemd/system/reconciler.service.d\n"
        "printf '[Service]\\nWatchdogSec=6s\\nTimeoutAbortSec=2s\\n' >/run/systemd/system/reconciler.service.d/soon.conf\n"
        "systemctl daemon-reload && systemctl restart reconciler"
    )
    try:
        until(lambda: service.page("/healthz")[0] == 200, "it did not start")
        main = service.shown("MainPID")
        time.sleep(15)
        assert service.shown("MainPID") == main, "one that turns was ended"
        host.sh(f"kill -STOP {main}")
        until(lambda: service.shown("MainPID") not in (main, "0") and service.page("/healthz")[0] == 200, "it was not ended")
        assert "watchdog" in host.sh("journalctl --unit reconciler --no-pager").lower()
    finally:
        host.sh("rm -r /run/systemd/system/reconciler.service.d; systemctl daemon-reload; systemctl restart reconciler")


def test_with_a_token_others_may_ask_and_a_git_server_may_call(service: Service) -> None:
    """Set up with the commands of docs/service.md."""
    shown = (ROOT / "docs/service.md").read_text().split("# cd /etc/reconciler")[1].split("```")[0]
    make, options = shown.split("# for name")[1].splitlines()[0], re.findall(r" (--[a-z-]*(?:file|listen) \S+)", shown)
    assert len(options) == 3
    host = service.controller
    host.sh(
        f"cp /etc/default/reconciler /tmp/before; cd /etc/reconciler && umask 027\nfor name{make}\n"
        f"sed -i '/^RECONCILER_OPTIONS=/s|$| {' '.join(options)}|' /etc/default/reconciler; systemctl restart reconciler"
    )
    token, secret = (host.sh(f"cat /etc/reconciler/{name}") for name in ("token", "hook-secret"))
    try:
        until(lambda: service.page("/readyz")[0] == 200, "it was not ready")
        address = host.sh("hostname -I").split()[0]
        assert service.page("/api/v1/status", address=address)[0] == 401
        status, document = service.page("/api/v1/status", address=address, Authorization=f"Bearer {token}")
        assert (status, document["hosts"]) == (200, 1)
        signed = {"X-Gitlab-Token": secret, "X-Gitlab-Event": "Push Hook"}
        assert service.page("/hooks/git", "POST", address, **signed) == (202, {"accepted": True, "looks": True})
    finally:
        host.sh("cp /tmp/before /etc/default/reconciler; systemctl restart reconciler")


def test_it_leaves_in_order_and_in_time(service: Service) -> None:
    until(lambda: service.page("/readyz")[0] == 200, "it was not ready")
    began = time.monotonic()
    service.controller.sh("systemctl stop reconciler")
    assert time.monotonic() - began < 20
    assert (service.shown("Result"), service.shown("ExecMainStatus")) == ("success", "0")
    assert service.page("/healthz")[0] == 0
    service.push("while nobody looked")
    service.controller.sh("systemctl start reconciler")
    service.converged("while nobody looked")


def test_the_journal_knows_how_grave_a_line_is(service: Service) -> None:
    lines = [json.loads(line) for line in service.controller.sh("journalctl --unit reconciler --output json").splitlines()]
    ours = {line["MESSAGE"].split()[2]: line["PRIORITY"] for line in lines if re.match(r"\d{4}-", str(line["MESSAGE"]))}
    assert ours["info"] == "6"
    assert ours.get("warning", "4") == "4"
