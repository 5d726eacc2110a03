"""The example `nas-blue-green` on a real host: how it is set up, and an oracle that knows none of the project's code."""

from __future__ import annotations

from pathlib import Path

from tests.fleet import Fleet
from tests.lab.hosts import LabHost
from tests.lab.projects.workshop import Project, make_base_image, use

SITE = "site.lan"
PLACE = "/volume2/docker/site"
PORTS = {"8081": "blue", "8082": "green"}


def set_up(fleet: Fleet, host: LabHost, folder: Path) -> tuple[Project, str]:
    """What comes before the project, as the example says: the NAS with its proxy, switched to 8081 by hand. Returned are the
    project's repository, and the file that will deploy it."""
    make_base_image(host)
    host.sh("rm /etc/nginx/sites-enabled/default && systemctl start nginx")
    remote = str(folder / "site.git")
    project = Project.of("nas-blue-green", fleet, remote)
    use("nas-blue-green", fleet, {"nas.lan": host}, {"ssh://git@git.lan/edition/site.git": remote})
    site = (fleet.root / "projects/site.yaml").read_text()
    fleet.commit({"projects/site.yaml": None})
    first = fleet.apply()
    assert first.code == 0, first
    assert host.sh("site-proxy 8081; site-proxy") == "8081"
    return project, site


def page(text: str, title: str = "title") -> str:
    return f"<{title}>Site</{title}>\n<p>{text}\n"


def read(host: LabHost, path: str = "/", site: str = SITE) -> str:
    """What a visitor gets."""
    return host.sh(f"curl --fail --silent --header 'Host: {site}' http://127.0.0.1{path}")


def served(host: LabHost) -> str:
    """What a visitor reads on the first page."""
    return read(host).rpartition("<p>")[2]


def slot(host: LabHost) -> str:
    """Which slot has the traffic, as the proxy says."""
    return PORTS[host.sh("site-proxy")]


def port_of_other(slot: str) -> str:
    return next(port for port, name in PORTS.items() if name != slot)


def containers(host: LabHost) -> set[str]:
    """Ids of all that run."""
    return set(host.sh("docker ps --quiet --no-trunc").split())


def release_of_current(host: LabHost) -> str:
    return host.sh(f"readlink -f {PLACE}/current").removeprefix(f"{PLACE}/releases/").split("/")[0]
