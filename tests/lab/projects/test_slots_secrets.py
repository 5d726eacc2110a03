"""One secret through deployments that work and deployments that fail: it is where it belongs, and nowhere else."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.fleet import Fleet
from tests.lab.hosts import LabHost
from tests.lab.projects.slots import CANARY, PAGE, PATH, Site, compose_app

FORMS = [CANARY, base64.b64encode(CANARY.encode()).decode(), base64.b64encode(f"TOKEN={CANARY}\n".encode()).decode()[:24]]
WATCH = """
while [ -e /root/watch ]; do
  for file in $(grep -laFf /root/forms /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null); do
    if [ "${file%/*}/ns/pid" -ef /proc/self/ns/pid ]; then
      echo "$file $(tr '\\0' ' ' <"${file%/*}/cmdline")"
    fi
  done
  sleep 0.02
done >/root/seen 2>/dev/null </dev/null
"""
"""The command lines and environments of all processes, those in containers apart: there it belongs."""
TALKER = "echo my token is $TOKEN\nexit 3\n"
SHOWMAN = PAGE.format(page="printf 'HTTP/1.0 500 Oops\\r\\nContent-Type: text/plain\\r\\n\\r\\ntoken: %s\\n' \"$TOKEN\"")


@contextmanager
def watched(host: LabHost) -> Iterator[None]:
    """No process outside of containers ever shows it; and the watch is awake."""
    forms = "\n".join(FORMS)
    host.sh(
        f"cat >/root/forms <<'END'\n{forms}\nEND\ncat >/root/watch <<'END'{WATCH}END\nsetsid sh /root/watch >/dev/null 2>&1 &"
    )
    yield
    shown = host.sh("TOKEN=$(head -n 1 /root/forms) sh -c 'echo $$; exec sleep 2' </dev/null").strip()
    host.sh("rm /root/watch; sleep 0.5")
    seen = host.sh("sort -u /root/seen").splitlines()
    mark = f"/proc/{shown}/environ "
    assert [line for line in seen if line.startswith(mark)], "the watch was asleep"
    assert [line for line in seen if not line.startswith(mark)] == []


def test_a_secret_is_in_its_file_and_in_its_containers_and_nowhere_else(docker_fleet: Fleet, docker_host: LabHost) -> None:
    site = Site(docker_fleet, docker_host).build()
    with watched(docker_host):
        site.deploy("revision 1")
        for number, start in enumerate((TALKER, SHOWMAN), 2):
            site.release(compose_app(f"revision {number}", start))
            failed = site.apply()
            assert failed.code == 3, failed
            assert "token" in failed.out, "what it says of itself is shown"
            site.run("apply", "--yes", "--json")
        site.deploy("revision 4")
        site.release(compose_app("revision 5"), expect={"TOKEN": "another"})
        assert site.apply().code == 3
        for command in (["plan", "--json"], ["status"], ["project", "check", "--json"], ["rollback", "site", "--dry-run"]):
            site.run("--verbose", *command)
    assert docker_host.has(f"grep -qx 'TOKEN={CANARY}' {PATH}/current/.env"), "there was something to be found"
    said = "".join(site.said)
    assert [form for form in FORMS if form in said] == []
    assert_kept_on_the_host(docker_host)
    found = subprocess.run(["grep", "-rlaF", CANARY, site.fleet.home, site.fleet.root], stdout=subprocess.PIPE, check=False)
    assert found.stdout == b""


def assert_kept_on_the_host(host: LabHost) -> None:
    """In no label and no image, and in no file but `.env` and what Docker itself keeps of its containers' environment."""
    labels = host.sh("docker ps -aq | xargs docker inspect --format '{{json .Config.Labels}} {{json .Args}} {{json .Path}}'")
    images = host.sh(
        "docker images -aq | sort -u | xargs -n 1 docker history --no-trunc; docker images -aq | xargs docker inspect"
    )
    assert "web_green" in labels
    assert [form for form in FORMS if form in labels + images] == []
    where = host.sh(
        "grep -rlaFf /root/forms / --exclude-dir=proc --exclude-dir=sys --exclude=forms --exclude=seen 2>/dev/null; true"
    ).splitlines()
    dockers = ("/var/lib/docker/containers/", "/run/docker/", "/var/lib/containerd/", "/run/containerd/", "/tmp/runc-")
    own = [path for path in where if not path.startswith(dockers)]
    files = [path for path in own if not path.startswith(f"{PATH}/releases/")]
    assert files == []
    assert own, "it lies in the releases"
    modes = host.sh(f"find {PATH}/releases -name .env -printf '%m %u\\n' | sort -u")
    assert modes == "600 root"
    assert {path.rpartition("/")[2] for path in own} == {".env"}
