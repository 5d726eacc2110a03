"""The example `compose-vault` on a real host: a compose application with its secrets, and edits made on the host."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.fleet import Fleet
from tests.lab.hosts import LabHost
from tests.lab.projects.workshop import Project, applied, make_base_image, use

PLACE = "/mnt/vault/appdata/ledger"
TOKEN = "a-token-that-is-nowhere-else"
OTHER_TOKEN = "the-token-that-comes-after-it"


def containers(host: LabHost) -> dict[str, str]:
    """Service → id of its container."""
    lines = host.sh("""docker ps --no-trunc --format '{{.Label "com.docker.compose.service"}} {{.ID}}'""").splitlines()
    return dict(line.split(" ") for line in lines)


def token_of(host: LabHost) -> str:
    """What the running worker has."""
    return host.sh("""docker exec ledger-worker-1 sh -c 'echo "$API_TOKEN"'""")


@pytest.fixture
def fleet(docker_fleet: Fleet) -> Fleet:
    return docker_fleet


@pytest.fixture
def host(docker_host: LabHost) -> LabHost:
    make_base_image(docker_host)
    return docker_host


@pytest.fixture
def project(fleet: Fleet, host: LabHost, tmp_path: Path) -> Project:
    """The example with a token of the test's own."""
    remote = str(tmp_path / "ledger.git")
    project = Project.of("compose-vault", fleet, remote)
    use("compose-vault", fleet, {"tower.lan": host}, {"ssh://git@git.lan/me/ledger.git": remote})
    fleet.write({"secrets/recipients": None, "secrets/ledger.env.age": None})
    own = fleet.home / ".ssh" / "id_ed25519"
    (fleet.home / "own.pub").write_text(subprocess.check_output(["ssh-keygen", "-y", "-f", own], text=True))
    assert fleet.run("secret", "recipients", "--add", str(fleet.home / "own.pub")).code == 0
    encrypt(fleet, TOKEN)
    fleet.commit({})
    return project


def encrypt(fleet: Fleet, token: str, *options: str) -> None:
    done = fleet.run("secret", "encrypt", "ledger.env", *options, stdin=f"API_TOKEN={token}\n")
    assert done.code == 0, done


def test_the_application_runs_with_its_secret_and_only_what_changed_is_made_anew(
    fleet: Fleet, host: LabHost, project: Project
) -> None:
    planned = fleet.plan()
    assert "compose.yaml: 2 services (web, worker)" in planned.out, planned
    first = applied(fleet)
    assert "<title>Ledger" in host.sh("curl --fail --silent http://127.0.0.1:8090/")
    assert token_of(host) == TOKEN
    assert host.sh(f"stat -c '%a %U' {PLACE}/.env; cat {PLACE}/.env").splitlines()[0] == "600 root"
    host.wait(f"test -s {PLACE}/data/entries")

    before = containers(host)
    project.commit({"config/httpd.conf": ".txt:text/plain\n.md:text/plain\n"}, "Show notes as text")
    second = applied(fleet)
    after = containers(host)
    assert after["worker"] == before["worker"]
    assert after["web"] != before["web"]

    encrypt(fleet, OTHER_TOKEN, "--replace")
    fleet.commit({})
    third = applied(fleet)
    assert token_of(host) == OTHER_TOKEN
    assert containers(host)["web"] == after["web"], "web knows nothing of the token"
    assert containers(host)["worker"] != after["worker"]

    said = [planned, first, second, third, fleet.run("status", "--json"), fleet.run("diff", "HEAD~1"), fleet.plan("--json")]
    for token in (TOKEN, OTHER_TOKEN):
        assert not [result for result in said if token in result.out + result.err]
        assert not host.has(f"grep -r -l -e {token} /var/lib/reconciler")
        assert not host.has(f"docker inspect --format '{{{{json .Config.Labels}}}}' $(docker ps -q) | grep -e {token}")
    assert host.sh(f"grep -r -l -e {OTHER_TOKEN} {PLACE} /tmp /root /etc /var/log 2>/dev/null; true") == f"{PLACE}/.env"


def test_a_hotfix_on_the_host_becomes_a_branch_without_data_and_secrets(fleet: Fleet, host: LabHost, project: Project) -> None:
    applied(fleet)
    host.wait(f"test -s {PLACE}/data/entries")
    host.sh(f"echo .csv:text/csv >>{PLACE}/config/httpd.conf; echo DEBUG=1 >>{PLACE}/.env")
    shown = fleet.run("pull", "ledger")
    assert shown.code == 5, "nobody said yes"
    assert "+.csv:text/csv" in shown.out
    pulled = fleet.run("pull", "ledger", "--added", "--push", "--yes")
    assert pulled.code == 0, pulled
    assert TOKEN not in shown.out + shown.err + pulled.out + pulled.err
    diff = project.pulled()
    assert "+.csv:text/csv" in diff
    assert diff.count("diff --git") == 1, diff
    project.merge_pulled()
    applied(fleet)
    assert host.sh(f"tail -n 1 {PLACE}/config/httpd.conf; grep -c DEBUG {PLACE}/.env; true") == ".csv:text/csv\n0"


def test_the_data_of_the_containers_outlives_the_project(fleet: Fleet, host: LabHost, project: Project) -> None:
    applied(fleet)
    host.wait(f"test -s {PLACE}/data/entries")
    host.sh(f"docker rm --force ledger-web-1 && chmod 0644 {PLACE}/.env && echo API_TOKEN=wrong >{PLACE}/.env")
    drifted = fleet.plan().out
    assert "runtime:ledger" in drifted
    assert ".env" in drifted
    applied(fleet)
    assert host.sh(f"stat -c %a {PLACE}/.env; grep -c {TOKEN} {PLACE}/.env") == "600\n1"

    fleet.commit({"projects/ledger.yaml": None})
    applied(fleet)
    assert containers(host) == {}
    assert host.sh(f"find {PLACE} -mindepth 1 | sort").split() == [f"{PLACE}/data", f"{PLACE}/data/entries"]


def test_the_secret_may_stay_encrypted_on_the_host(fleet: Fleet, host: LabHost, project: Project) -> None:
    key = host.sh("mkdir -p /root/.config/age && age-keygen -o /root/.config/age/host.txt 2>&1").rpartition(" ")[2]
    (fleet.home / "host.pub").write_text(f"{key} tower\n")
    assert fleet.run("secret", "recipients", "--add", str(fleet.home / "host.pub")).code == 0
    text = (fleet.root / "projects/ledger.yaml").read_text()
    plain = next(line for line in text.splitlines() if line.startswith("secrets:"))
    sealed = "{file: secrets/ledger.env.age, sealed: true, identity: /root/.config/age/host.txt}"
    fleet.commit({"projects/ledger.yaml": text.replace(plain, f"secrets:\n  .env.age: {sealed}")})
    applied(fleet)
    assert token_of(host) == TOKEN
    assert host.sh(f"head -n 1 {PLACE}/.env.age") == "-----BEGIN AGE ENCRYPTED FILE-----"
    assert host.sh(f"grep -r -l -e {TOKEN} {PLACE} /run/reconciler* /tmp /root /etc /var/log 2>/dev/null; true") == ""
    encrypt(fleet, OTHER_TOKEN, "--replace")
    fleet.commit({})
    applied(fleet)
    assert token_of(host) == OTHER_TOKEN
