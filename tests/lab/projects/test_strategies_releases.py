"""Releases on a real host: `current` is flipped at once, what serves is what passed, and going back sends nothing."""

from __future__ import annotations

import subprocess
import time

import pytest

from tests.fleet import Fleet
from tests.lab.hosts import LabHost
from tests.lab.projects.strategies import MEMORY, PATH, Site, sent

UNIT = f"""[Unit]
Description=A small site

[Service]
WorkingDirectory={PATH}/current
ExecStart=/bin/sh ./serve
Restart=no

[Install]
WantedBy=multi-user.target
"""
SERVE = "exec /bin/busybox httpd -f -p 127.0.0.1:9000 -h ./www\n"
SMOKE = [{"http": "/", "port": 9000, "contains": "revision", "tries": 3, "deadline": 10}]
SYSTEMD = {"runtime": {"systemd": {"unit": "deploy/site.service"}}, "smoke": SMOKE}


@pytest.fixture
def site(fleet: Fleet, host: LabHost) -> Site:
    return Site(fleet, host, "releases")


@pytest.fixture
def served(docker_fleet: Fleet, docker_host: LabHost) -> Site:
    """A site that busybox serves, as a unit of its own."""
    site = Site(docker_fleet, docker_host, "releases", dict(SYSTEMD))
    site.commit({"deploy/site.service": UNIT, "serve": SERVE, "www/index.html": "revision 1\n"})
    return site


def releases(host: LabHost) -> list[str]:
    return host.sh(f"ls {PATH}/releases").split()


def says(host: LabHost) -> str:
    return host.ask("curl --silent --max-time 5 http://127.0.0.1:9000/").out


def invocation(host: LabHost) -> str:
    """Another one with each start of the unit."""
    return host.sh("systemctl show --property=InvocationID,ActiveState --value site.service | xargs")


def test_six_releases_come_and_go_and_whoever_reads_current_sees_one_whole_tree_each_time(site: Site) -> None:
    site.settings = {"keep": 2, "shared": ["data/", "local.conf"]}
    tree = {f"part{number}": "0\n" for number in range(20)}
    first = site.commit(tree | {"data/seed": "seed\n"})
    site.declare(first)
    site.trial.converge()
    assert site.host.sh(f"readlink {PATH}/current").startswith("releases/")
    assert site.found(f"{PATH}/current/.", "data", "local.conf") == {
        path: says for path, says in site.wanted(first).items() if not path.startswith("data/")
    }
    site.host.sh(f"cd {PATH}/current && cat data/seed && echo db >data/db && echo mine >{PATH}/shared/local.conf")
    before = site.inodes(f"{PATH}/shared")

    # Somebody enters `current` and reads all of it, again and again: never a mixture, never nothing.
    reader = f"""while [ ! -e /tmp/stop ]; do
        (cd -P {PATH}/current && cat part* | sort -u | tr '\\n' ' '; echo) || echo broken
        done >/tmp/seen 2>&1"""
    command = ["docker", "exec", site.host.container, "sh", "-c", reader]
    revision = first
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as reading:
        try:
            for number in range(1, 6):
                revision = site.deploy(dict.fromkeys(tree, f"{number}\n"))
        finally:
            site.host.sh("touch /tmp/stop")
        assert reading.wait(30) == 0
    seen = site.host.sh("uniq /tmp/seen").split("\n")
    assert [line.strip() for line in seen] == ["0", "1", "2", "3", "4", "5"]

    site.idle()
    assert site.inodes(f"{PATH}/shared") == before
    assert site.host.sh(f"cat {PATH}/current/data/db {PATH}/current/local.conf").split() == ["db", "mine"]
    kept = releases(site.host)
    assert len(kept) == 2, kept
    assert kept[-1].endswith(revision[:7]), kept
    assert site.litter() == []

    site.withdraw()
    assert site.host.sh(f"cd {PATH} && find . -type f | sort").split() == [
        "./shared/data/db",
        "./shared/data/seed",
        "./shared/local.conf",
    ]
    assert site.inodes(f"{PATH}/shared") == before
    assert not site.host.has(f"test -e {MEMORY}/projects/site")


def test_a_unit_is_restarted_exactly_when_the_release_changes_and_going_back_sends_nothing(served: Site) -> None:
    host = served.host
    first = served.git("rev-parse", "HEAD")
    served.declare(first)
    served.trial.converge()
    assert says(host) == "revision 1"
    assert host.sh("systemctl is-enabled site.service") == "enabled"
    running = invocation(host)
    served.declare(first, keep=4)
    served.apply()
    assert invocation(host) == running, "nothing that runs has changed"

    second = served.deploy({"www/index.html": "revision 2\n"})
    assert says(host) == "revision 2"
    assert invocation(host) != running
    # An edited file of the release is drift; the healed release is what has been running all the time, or runs anew.
    host.sh(f"echo 'revision edited' >{PATH}/current/www/index.html && systemctl stop site.service")
    told = served.fleet.plan("--json")
    assert "www/index.html" in served.notes(told, "release:site")
    assert served.notes(told, "runtime:site")
    served.apply()
    served.idle()
    assert says(host) == "revision 2"

    known = releases(host)
    back = served.roll_back()
    assert back.code == 0, back
    assert sent(back) == []
    assert says(host) == "revision 1"
    assert releases(host) == known
    served.idle()
    assert first[:7] in host.sh(f"readlink {PATH}/current")
    # The commit that went back is the last word: nobody fights it.
    assert served.apply().code == 0
    assert says(host) == "revision 1"
    assert second[:7] in "".join(releases(host))

    served.withdraw()
    assert not host.has("systemctl is-active site.service || test -e /etc/systemd/system/site.service")


def test_a_release_that_fails_its_smoke_test_is_rolled_back_and_not_tried_again(served: Site) -> None:
    host = served.host
    served.declare("main")
    served.apply()
    good = host.sh(f"readlink {PATH}/current")
    bad = served.commit({"www/index.html": "an error of ours\n"})
    failed = served.apply(code=7)
    assert "an error of ours" in failed.out + failed.err, failed
    assert says(host) == "revision 1"
    assert host.sh(f"readlink {PATH}/current") == good
    running = invocation(host)

    # In quarantine: the same revision is not tried again, and what runs is left alone.
    again = served.fleet.apply()
    assert sent(again) == []
    assert invocation(host) == running
    assert host.sh(f"readlink {PATH}/current") == good
    assert bad[:10] in served.fleet.plan().out

    # One that does not even start; then the fix, which supersedes both.
    served.commit({"www/index.html": "revision 3\n", "serve": "exit 3\n"})
    served.apply(code=7)
    assert says(host) == "revision 1"
    served.commit({"www/index.html": "revision 4\n", "serve": SERVE})
    served.apply()
    served.idle()
    assert says(host) == "revision 4"


def test_a_controller_that_is_killed_at_any_moment_leaves_a_release_that_serves_and_the_next_run_finishes(served: Site) -> None:
    host = served.host
    served.deploy({f"pages/{number}": f"old {number}\n" * 40 for number in range(200)})
    new = served.commit(
        {f"pages/{number}": f"new {number}\n" * 40 for number in range(200)} | {"www/index.html": "revision 2\n"}
    )
    served.declare(new)
    for seed in range(5):
        served.kill(1, seed)
        # What `current` names is one whole release, old or new.
        pages = host.sh(f"cd -P {PATH}/current && cut -d' ' -f1 pages/* | sort -u; ls pages | wc -l").split()
        assert pages in (["old", "200"], ["new", "200"]), pages
    deadline = time.monotonic() + 30
    while host.has("pgrep -f '^/bin/sh -s'") and time.monotonic() < deadline:
        time.sleep(0.2)
    served.apply()
    served.idle()
    assert says(host) == "revision 2"
    found = served.found(f"{PATH}/current/.")
    assert found == served.wanted(new)
    assert served.litter() == []
