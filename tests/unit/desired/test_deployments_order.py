"""Projects find their places among a host's other resources: after what they lie in, before what is started from them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from desired.model import Fleet as Desired
from providers.directories import DirectorySpec
from tests.fleet import Fleet
from tests.unit.desired.origin import Origin
from tests.unit.desired.works import NAS, Works, resources

SLOTS = "strategy: slots\nproxy: {caddy: {site: site.lan}}\nslots: {blue: {port: 8081}, green: {port: 8082}}\n"
SLOTS += "runtime: {command: {start: ./start, stop: ./stop}}\n"


@pytest.fixture
def works(fleet: Fleet, tmp_path: Path) -> Works:
    works = Works.create(fleet, tmp_path)
    works.origin.commit({"index.html": "one"})
    return works


def deployed(works: Works, host: str, more: str = "", **others: str) -> Desired:
    projects = {f"projects/{name}.yaml": text for name, text in others.items()}
    return works.cycle({"hosts/nas.yaml": NAS + host, "projects/site.yaml": works.project(more), **projects})


def before(found: Desired, *refs: str) -> bool:
    """Whether they stand in this order, and each needs the one before."""
    order = resources(found)
    places = [list(order).index(ref) for ref in refs]
    reached = all(_needs(found, later, earlier) for earlier, later in pairwise(refs))
    return places == sorted(places) and reached


def _needs(found: Desired, ref: str, goal: str) -> bool:
    known = resources(found)
    return goal in known[ref].needs or any(_needs(found, one, goal) for one in known[ref].needs if one in known)


@pytest.mark.parametrize(
    ("host", "more", "order"),
    [
        ("directories: {/srv: {}}", "", ["directory:/srv", "release:site", "runtime:site"]),
        ("directories: {/srv/site: {mode: '0750'}}", "", ["directory:/srv/site", "release:site"]),
        ("symlinks: {/srv: {target: /data/srv}}", "", ["symlink:/srv", "release:site"]),
        ("users: {deploy: {}}", "owner: deploy", ["user:deploy", "release:site"]),
        ("groups: {deploy: {}}", "group: deploy", ["group:deploy", "release:site"]),
        ("services: {docker: {running: true}}", "needs: [service:docker]", ["service:docker", "release:site"]),
        ("files: {/srv/site/local.conf: {content: x}}", "", ["release:site", "file:/srv/site/local.conf", "runtime:site"]),
        ("files: {/srv/site/a/b: {content: x}}", SLOTS, ["release:site", "file:/srv/site/a/b", "slot:site/blue", "route:site"]),
        ("files: {/etc/a: {content: x, needs: ['runtime:site']}}", "", ["runtime:site", "file:/etc/a"]),
        ("files: {/etc/a: {content: x, needs: ['route:site']}}", SLOTS, ["slot:site/green", "route:site", "file:/etc/a"]),
        ("packages: {apt: [caddy]}\nservices: {caddy: {running: true}}", SLOTS, ["service:caddy", "route:site"]),
    ],
)
def test_what_is_needed_comes_first(works: Works, host: str, more: str, order: list[str]) -> None:
    found = deployed(works, f"{host}\n", f"{more}\n")
    assert found.warnings == ()
    assert before(found, *order)


def test_what_was_written_goes_before_what_is_found(works: Works) -> None:
    host = "files: {/srv/site/warm: {content: x, needs: ['runtime:site']}}\n"
    assert before(deployed(works, host), "release:site", "runtime:site", "file:/srv/site/warm")


def test_a_project_may_need_another(works: Works, tmp_path: Path) -> None:
    shop = Origin.create(tmp_path / "shop")
    shop.commit({"a": "b"})
    found = deployed(works, "", "needs: ['runtime:zoo']\n", zoo=works.project(path="/srv/zoo", origin=shop))
    assert before(found, "release:zoo", "runtime:zoo", "release:site", "runtime:site")


def test_a_purged_folder_keeps_the_projects_in_it(works: Works) -> None:
    spec = resources(deployed(works, "directories: {/srv: {purge: true}}\n"))["directory:/srv"].spec
    assert isinstance(spec, DirectorySpec)
    assert "site" in spec.declared


def test_resources_that_have_nothing_to_do_with_projects_stay_the_same_objects(works: Works) -> None:
    host = "files: {/etc/a: {content: x}, /etc/b: {content: x, needs: ['file:/etc/a']}}\ndirectories: {/etc/c: {purge: true}}\n"
    works.cycle({"hosts/nas.yaml": NAS + host, "projects/site.yaml": works.project()})
    first, second = resources(works.cycle()), resources(works.cycle())
    assert all(first[ref] is second[ref] for ref in first)


def test_thousands_of_files_in_a_projects_folder_are_put_in_order_at_once(works: Works) -> None:
    files = "".join(f"  /srv/site/{number}: {{content: x}}\n" for number in range(3000))
    found = deployed(works, f"files:\n{files}  /srv/site/last: {{content: x, needs: ['runtime:site']}}\n")
    order = list(resources(found))
    assert order.index("release:site") < order.index("file:/srv/site/0") < order.index("runtime:site")
    assert order[-1] == "file:/srv/site/last"


def test_an_order_never_contradicts_itself(works: Works) -> None:
    host = "directories: {/srv: {}, /srv/site/data: {}}\nfiles: {/srv/site/data/a: {content: x}}\nusers: {deploy: {}}\n"
    found = deployed(works, host, SLOTS + "owner: deploy\n")
    seen: set[str] = set()
    for ref, resource in resources(found).items():
        assert resource.needs <= seen, ref
        seen.add(ref)
