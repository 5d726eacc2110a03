"""Projects among the resources of a host's manifests and beside each other: what they need, what needs them, what collides."""

from __future__ import annotations

import pytest

from tests.fleet import Fleet
from tests.unit.desired.support import Files, loaded, mistake, mistakes

NAS = "address: ops@nas.lan\ntags: [docker]\n"
SITE = "source: /srv/git/site.git\nrevision: main\ndeploy: [{host: nas, path: /srv/site}]\n"
RELEASES = SITE + "strategy: releases\n"
SLOTS = SITE + "strategy: slots\nproxy: {caddy: {site: site.lan}}\nslots: {blue: {port: 8081}, green: {port: 8082}}\n"
SHOP = SITE.replace("site", "shop")


def fleet_of(host: str, site: str = SITE, shop: str | None = None) -> Files:
    return {
        "hosts/nas.yaml": NAS + host,
        "projects/site.yaml": site,
        **({"projects/shop.yaml": shop} if shop is not None else {}),
    }


@pytest.mark.parametrize("ref", ["release:site", "runtime:site"])
def test_a_resource_of_a_manifest_may_need_a_project(fleet: Fleet, ref: str) -> None:
    found = loaded(fleet, fleet_of(f"commands: {{warm: {{run: id, creates: /c, needs: ['{ref}']}}}}\n"))
    assert ref in found.hosts["nas"].resources[0].needs


def test_a_resource_of_a_manifest_may_follow_a_route(fleet: Fleet) -> None:
    found = loaded(fleet, fleet_of("commands: {warm: {run: id, creates: /c, follows: ['route:site']}}\n", SLOTS))
    assert found.hosts["nas"].resources[0].follows == {"route:site"}


@pytest.mark.parametrize(
    ("ref", "hint"),
    [
        ("route:site", "needs: route:site is not declared on this host"),
        ("release:sit", "needs: release:sit is not declared on this host"),
    ],
)
def test_a_resource_may_only_need_what_its_host_gets(fleet: Fleet, ref: str, hint: str) -> None:
    assert hint in mistake(fleet, fleet_of(f"files: {{/etc/a: {{content: x, needs: ['{ref}']}}}}\n"))


def test_a_project_of_another_host_cannot_be_needed(fleet: Fleet) -> None:
    files = {**fleet_of(""), "hosts/web.yaml": "address: web\nfiles: {/etc/a: {content: x, needs: ['release:site']}}\n"}
    assert "needs: release:site is not declared on this host" in mistake(fleet, files)


def test_a_host_gets_its_projects_references_also_when_only_they_change(fleet: Fleet) -> None:
    host = "files: {/etc/a: {content: x, needs: ['route:site']}}\n"
    assert "route:site is not declared" in mistake(fleet, fleet_of(host))
    assert loaded(fleet, fleet_of(host, SLOTS)).hosts["nas"].resources[0].needs == {"route:site"}


def test_a_project_needs_what_is_declared_on_each_of_its_hosts(fleet: Fleet) -> None:
    text = SITE.replace("host: nas", "tag: docker") + "needs: [service:docker]\n"
    files = {**fleet_of("services: {docker: {running: true}}\n", text), "hosts/web.yaml": "address: web\ntags: [docker]\n"}
    found = mistake(fleet, files)
    assert found.startswith("projects/site.yaml:4:9: error: needs: service:docker is not declared on a host that this goes to")
    assert "(host web)" in found


def test_a_project_may_need_another(fleet: Fleet) -> None:
    assert loaded(fleet, fleet_of("", SITE + "needs: [runtime:shop]\n", SHOP)).projects.keys() == {"shop", "site"}


def test_needs_in_a_circle_through_a_project_are_shown(fleet: Fleet) -> None:
    host = "files: {/etc/a: {content: x, needs: ['runtime:site']}}\n"
    found = mistake(fleet, fleet_of(host, SITE + "needs: ['file:/etc/a']\n"))
    assert found.startswith("projects/site.yaml:4:9: error: a circle of needs: ")
    assert "file:/etc/a → " in found
    assert "runtime:site" in found


@pytest.mark.parametrize(
    "host",
    [
        "directories: {/srv/site: {mode: '0755'}}\n",
        "directories: {/srv: {}, /srv/site/data: {}}\n",
        "files: {/srv/site/local.conf: {content: x}}\n",
        "files: {/srv/site/releases/x: {content: x}}\n",
        "symlinks: {/srv: {target: /data/srv}}\n",
        "files: {/srv/sites: {content: x}}\n",
        "directories: {/srv: {purge: true}}\n",
    ],
)
def test_resources_around_and_inside_of_a_mirror_are_its_neighbours(fleet: Fleet, host: str) -> None:
    assert loaded(fleet, fleet_of(host)).warnings == ()


WRONG = [
    (SITE, "files: {/srv/site: {content: x}}", "site goes to /srv/site, which is declared as a file"),
    (SITE, "symlinks: {/srv/site: {target: /x}}", "site goes to /srv/site, which is declared as a symlink"),
    (SITE, "directories: {/srv/site: {ensure: absent}}", "site goes to /srv/site, which is to be absent"),
    (SITE, "directories: {/srv: {ensure: absent}}", "site would lie in directory:/srv, which is to be absent"),
    (SITE, "directories: {/srv/site: {purge: true}}", "directory:/srv/site is purged, and would be emptied of site"),
    (SITE, "files: {/srv: {content: x}}", "site would lie in file:/srv, which is no folder"),
    (RELEASES, "files: {/srv/site/releases/x: {content: x}}", "file:/srv/site/releases/x stands where site puts its own"),
    (RELEASES, "symlinks: {/srv/site/current: {target: x}}", "symlink:/srv/site/current stands where site puts its own"),
    (SITE + "strategy: checkout\n", "files: {/srv/site/.git/config: {content: x}}", "stands where site puts its own"),
    (
        SITE + "runtime: {systemd: a.service}\n",
        "files: {/etc/systemd/system/a.service: {content: x}}",
        "file:/etc/systemd/system/a.service stands where site puts its own",
    ),
]


@pytest.mark.parametrize(("site", "host", "complaint"), WRONG, ids=[complaint for _, _, complaint in WRONG])
def test_a_resource_and_a_project_do_not_fight_over_a_path(fleet: Fleet, site: str, host: str, complaint: str) -> None:
    found = mistake(fleet, fleet_of(f"{host}\n", site))
    assert found.startswith("projects/site.yaml:3:10: error: ")
    assert complaint in found
    assert "hosts/nas.yaml:3:" in found


@pytest.mark.parametrize(
    ("shop", "complaint"),
    [
        (SHOP.replace("/srv/shop", "/srv/site"), "site and shop both go to /srv/site"),
        (SHOP.replace("/srv/shop", "/srv/site/shop"), "shop would lie inside site, in /srv/site/shop"),
        (SHOP.replace("/srv/shop", "/srv"), "site would lie inside shop, in /srv/site"),
    ],
)
def test_two_projects_on_a_host_stay_apart(fleet: Fleet, shop: str, complaint: str) -> None:
    assert complaint in mistakes(fleet, fleet_of("", SITE, shop))[0]


def test_two_projects_may_have_the_same_path_on_different_hosts(fleet: Fleet) -> None:
    shop = SHOP.replace("host: nas, path: /srv/shop", "host: web, path: /srv/site")
    assert loaded(fleet, {**fleet_of("", SITE, shop), "hosts/web.yaml": "address: web\n"}).warnings == ()


def test_slots_of_two_projects_on_a_host_have_ports_of_their_own(fleet: Fleet) -> None:
    shop = SLOTS.replace("/srv/site", "/srv/shop").replace("8081", "8083")
    found = mistake(fleet, fleet_of("", SLOTS, shop))
    assert "port 8082 is also a slot's port of shop on the same host" in found


def test_two_projects_on_a_host_bring_different_units(fleet: Fleet) -> None:
    unit = "runtime: {systemd: app.service}\n"
    assert "shop brings a unit app.service too" in mistake(fleet, fleet_of("", SITE + unit, SHOP + unit))


def test_what_collides_on_several_hosts_is_told_once(fleet: Fleet) -> None:
    files = {
        "projects/site.yaml": SITE.replace("host: nas", "tag: docker"),
        "bundles/base.yaml": "files: {/srv/site: {content: x}}\n",
        **{f"hosts/{name}.yaml": NAS + "bundles: [base]\n" for name in ("a", "b")},
    }
    found = mistake(fleet, files)
    assert "declared as a file (hosts a, b)\n    see bundles/base.yaml:1:9" in found
