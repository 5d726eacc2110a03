"""The example `nas-blue-green` where somebody did all of it by hand until now: releases, `current`, a slot that serves."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.fleet import Fleet
from tests.lab.hosts import LabHost
from tests.lab.projects.edition import PLACE, SITE, page, served, set_up, slot
from tests.lab.projects.workshop import Project, applied, visitors

OLD = "20260101-120000"


def deploy_by_hand(host: LabHost, project: Project) -> None:
    """What a person types on the NAS. Compose calls the project after the folder that it is typed in: `current`."""
    app = f"{PLACE}/releases/{OLD}/app"
    packed = subprocess.run(["git", "archive", "HEAD"], cwd=project.root, stdout=subprocess.PIPE, check=True).stdout
    command = ["docker", "exec", "--interactive", host.container, "sh", "-c", f"mkdir -p {app} && tar -C {app} -x"]
    subprocess.run(command, input=packed, check=True)
    host.sh(f"""
        cd {PLACE}
        ln -s releases/{OLD}/app current
        cd current
        printf 'PUBLIC_OWNER=Archive\\nPUBLIC_REPO=site\\n' >.env
        docker compose up --detach --build web_blue 2>&1
    """)
    host.wait("curl --fail --silent http://127.0.0.1:8081/")


def test_what_was_done_by_hand_is_taken_over_while_it_serves(docker_fleet: Fleet, docker_host: LabHost, tmp_path: Path) -> None:
    fleet, host = docker_fleet, docker_host
    project, site = set_up(fleet, host, tmp_path)
    deploy_by_hand(host, project)
    named = site.replace("{compose: docker-compose.yml}", "{compose: {files: docker-compose.yml, project: current}}")
    assert named != site
    fleet.commit({"projects/site.yaml": named})
    old = project.git("rev-parse", "--short=10", "HEAD")
    with visitors(host, 80, SITE) as tally:
        project.commit({"site/index.html": page("Second printing.")}, "A second printing")
        untouched = fleet.apply()
        assert untouched.code == 3, untouched
        assert "reconcile adopt site" in untouched.out
        adopted = fleet.run("adopt", "site", "--take-over", "--yes")
        assert adopted.code == 0, adopted
        assert f"equals commit {old}" in adopted.out
        assert "1 commit behind" in adopted.out
        assert (served(host), slot(host)) == ("First printing.", "blue")
        applied(fleet)
        assert (served(host), slot(host)) == ("Second printing.", "green")
        project.commit({"site/index.html": page("Third printing.")}, "A third printing")
        applied(fleet)
        assert (served(host), slot(host)) == ("Third printing.", "blue")
    assert len(tally.bodies) == 3
    assert host.has(f"test -f {PLACE}/releases/{OLD}/app/docker-compose.yml")
