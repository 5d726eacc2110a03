"""What runs from a tree on a real host: made anew exactly when what it is made from changes, and data outlives all of it."""

from __future__ import annotations

import pytest

from tests.fleet import Fleet
from tests.lab.hosts import LabHost
from tests.lab.projects.strategies import PATH, Site, Tree
from tests.lab.projects.workshop import BASE_IMAGE, make_base_image

STAY = "exec sleep 100000"
COMPOSE = f"""
x-usual: &usual
  image: {BASE_IMAGE}
  init: true
  stop_grace_period: 1s
  command: [sh, -c, "{STAY}"]
services:
  web:
    <<: *usual
    build: ./web
    image: site-web
    depends_on: [app]
    volumes: ["./conf/web.conf:/etc/web.conf:ro"]
  app:
    <<: *usual
    depends_on: [db]
    env_file: app.env
    environment: {{GREETING: "${{GREETING:-hello}}"}}
    volumes: ["./uploads:/uploads"]
  db:
    <<: *usual
    volumes: ["db:/db", "./conf/db:/etc/db:ro"]
  beside:
    <<: *usual
    network_mode: "service:db"
volumes: {{db: }}
"""
TREE: Tree = {
    "compose.yaml": COMPOSE,
    "web/Dockerfile": f"FROM {BASE_IMAGE}\nCOPY page /page\n",
    "web/page": "one\n",
    "conf/web.conf": "one\n",
    "conf/db/db.conf": "one\n",
    "app.env": "MODE=one\n",
    "README.md": "one\n",
}
COMMAND = {
    "start": 'echo "start $NAME $(basename "$RELEASE")" >>/var/log/site.log; echo $$ >/run/site.pid',
    "stop": "echo stop >>/var/log/site.log; rm -f /run/site.pid",
    "status": "test -e /run/site.pid",
}


@pytest.fixture
def application(docker_fleet: Fleet, docker_host: LabHost) -> Site:
    """A compose application, applied once."""
    make_base_image(docker_host)
    site = Site(docker_fleet, docker_host, "mirror", {"runtime": "compose"})
    site.commit(TREE)
    site.declare("main")
    site.trial.converge()
    return site


def containers(host: LabHost) -> dict[str, str]:
    """Service → id of its running container."""
    form = '{{.Label "com.docker.compose.service"}} {{.ID}}'
    return dict(line.split() for line in host.sh(f"docker ps --no-trunc --format '{form}'").splitlines())


def inside(host: LabHost, service: str, script: str) -> str:
    return host.sh(f"docker exec site-{service}-1 sh -c '{script}'")


def remade(site: Site, tree: Tree, **settings: object) -> set[str]:
    """The services whose containers are others after a revision; the plan had named them, and no more."""
    before = containers(site.host)
    site.commit(tree)
    site.declare("main", **settings)
    told = site.notes(site.fleet.plan("--json"), "runtime:site")
    site.apply()
    site.idle()
    after = containers(site.host)
    assert after.keys() == before.keys()
    new = {name for name in after if after[name] != before[name]}
    assert new == {name for name in after if f"{name}=made from something else" in told}, told
    return new


def test_a_container_is_made_anew_when_and_only_when_what_it_is_made_from_changes(application: Site) -> None:
    host = application.host
    assert set(containers(host)) == {"web", "app", "db", "beside"}
    inside(host, "db", "echo kept >/db/rows")
    inside(host, "app", "echo kept >/uploads/picture")

    assert remade(application, {"README.md": "two\n", "conf/web.conf": "two\n"}) == {"web"}
    # What depends on a service stays, and what lives in its network goes with it.
    assert remade(application, {"conf/db/db.conf": "two\n", "conf/db/more.conf": "new\n"}) == {"db", "beside"}
    assert remade(application, {"web/page": "two\n", "app.env": "MODE=two\n"}) == {"web", "app"}
    assert remade(application, {}, env={"GREETING": "good day"}) == {"app"}
    assert inside(host, "web", "cat /etc/web.conf /page").split() == ["two", "two"]
    assert inside(host, "app", "echo $MODE $GREETING") == "two good day"
    assert inside(host, "db", "cat /db/rows") == "kept"
    assert host.sh(f"cat {PATH}/uploads/picture") == "kept"


def test_what_stopped_is_drift_and_what_left_the_files_is_removed_and_data_outlives_the_project(application: Site) -> None:
    host = application.host
    inside(host, "db", "echo kept >/db/rows")
    inside(host, "app", "echo kept >/uploads/picture")
    before = containers(host)
    host.sh("docker kill site-app-1 && docker pause site-web-1")
    told = application.notes(application.fleet.plan("--json"), "runtime:site")
    assert "app=exited (137)" in told
    assert "web=paused" in told
    application.apply()
    application.idle()
    assert containers(host) == before, "started again, and not made anew"

    # Somebody's own container is nobody's business; a service that the files no longer name goes.
    host.sh(f"docker run --detach --name theirs {BASE_IMAGE} sleep 1000")
    application.deploy({"compose.yaml": COMPOSE.replace('  beside:\n    <<: *usual\n    network_mode: "service:db"\n', "")})
    application.idle()
    left = host.sh("docker ps --all --format '{{.Names}}' | sort").split()
    assert left == ["site-app-1", "site-db-1", "site-web-1", "theirs"]

    # An engine that does not answer is unknown: nothing is planned.
    host.sh("systemctl stop docker.socket docker.service")
    blind = application.fleet.plan()
    assert blind.code == 1, blind
    assert "the Docker engine does not answer" in blind.out, blind
    host.sh("systemctl start docker.service")
    host.wait("docker info >/dev/null")
    host.sh("docker start site-app-1 site-db-1 site-web-1 theirs")

    application.withdraw()
    assert host.sh("docker ps --all --format '{{.Names}}'") == "theirs"
    assert host.sh("docker run --rm --volume site_db:/db " + BASE_IMAGE + " cat /db/rows") == "kept"
    assert host.sh(f"cd {PATH} && find . -type f") == "./uploads/picture"


def test_a_command_is_run_exactly_when_the_release_or_its_settings_change(fleet: Fleet, host: LabHost) -> None:
    site = Site(fleet, host, "releases", {"runtime": {"command": COMMAND}})

    def log() -> list[str]:
        return host.sh("sed 's/[0-9T]*Z-/TIME-/' /var/log/site.log").splitlines()

    first = site.commit({"app": "one\n"})
    site.declare("main")
    site.trial.converge()
    assert log() == [f"start  TIME-{first[:7]}"]
    host.sh("rm /run/site.pid")
    assert "command=down" in site.notes(site.fleet.plan("--json"), "runtime:site")
    site.apply()
    site.idle()
    assert log() == [f"start  TIME-{first[:7]}"] * 2
    second = site.deploy({"app": "two\n"})
    site.idle()
    assert log()[2:] == ["stop", f"start  TIME-{second[:7]}"]
    site.withdraw()
    assert log()[4:] == ["stop"]
    assert not host.has("test -e /run/site.pid")
