"""What a commit changes about projects, told without asking a source or a host."""

from __future__ import annotations

from desired.compare import Comparison, FieldChange, ProjectChange, compare
from desired.model import Place
from reconciler.render.comparison import comparison_document, comparison_lines
from reconciler.render.lines import paint
from tests.fleet import Fleet
from tests.unit.desired.support import ENCRYPTED, HOST, Files, loaded

SITE = "source: ssh://git@git.lan/me/site.git\nrevision: v1\ndeploy: [{tag: web, path: /srv/site}]\n"
BASE: Files = {"hosts/web.yaml": HOST + "tags: [web]\n", "hosts/db.yaml": "address: db\n", "projects/site.yaml": SITE}


def between(fleet: Fleet, new: Files, old: Files = BASE) -> Comparison:
    return compare(loaded(fleet, {**BASE, **old}), loaded(fleet, new))


def site(found: Comparison) -> ProjectChange:
    (change,) = found.projects
    assert change.name == "site"
    return change


def test_another_revision_is_a_difference_though_no_source_is_asked(fleet: Fleet) -> None:
    found = between(fleet, {"projects/site.yaml": SITE.replace("v1", "v2")})
    assert site(found) == ProjectChange(
        "site", "change", Place("projects/site.yaml", 2, 11), ("web",), (FieldChange("revision", "v1", "v2"),)
    )
    assert found.hosts == ()
    assert "~ project site  on web  projects/site.yaml:2:11\n      revision: v1 → v2\n" in paint(comparison_lines(found))
    assert comparison_document(found)["projects"][0]["fields"] == ({"field": "revision", "old": "v1", "new": "v2"},)


def test_a_remark_in_a_project_file_is_none(fleet: Fleet) -> None:
    assert not between(fleet, {"projects/site.yaml": f"# ours\n{SITE}keep:\n"})


def test_a_project_that_comes_or_goes_is_told_with_its_hosts(fleet: Fleet) -> None:
    shop = SITE.replace("site", "shop")
    found = between(fleet, {"projects/site.yaml": None, "projects/shop.yaml": shop})
    assert [(one.name, one.action, one.hosts) for one in found.projects] == [
        ("shop", "add", ("web",)),
        ("site", "remove", ("web",)),
    ]
    text = paint(comparison_lines(found))
    assert "+ project shop  new project, on web" in text
    assert "- project site  no longer in the fleet: what it installed on web is removed" in text
    assert text.endswith("2 projects differ.\n")


def test_a_host_that_gets_the_tag_gets_the_project(fleet: Fleet) -> None:
    found = between(fleet, {"hosts/db.yaml": "address: db\ntags: [web]\n"})
    assert site(found).fields == (FieldChange("deploy", ["web /srv/site"], ["db /srv/site", "web /srv/site"]),)
    assert [host.name for host in found.hosts] == ["db"]


def test_values_inside_of_mappings_are_told_by_their_path(fleet: Fleet) -> None:
    slots = "strategy: slots\nslots: {blue: {port: 8081}, green: {port: 8082}}\nproxy: {caddy: {site: site.lan}}\n"
    old, new = SITE + slots, SITE + slots.replace("8082", "9000").replace("slots: {blue", "slots: {active: green, blue")
    found = between(fleet, {"projects/site.yaml": new}, {"projects/site.yaml": old})
    assert site(found).fields == (
        FieldChange("slots.active", None, "green"),
        FieldChange("slots.green.port", 8082, 9000),
    )


def test_that_a_secret_is_another_one_is_told_and_nothing_of_it(fleet: Fleet) -> None:
    text = SITE + "secrets: {.env: secrets/site.env.age}\n"
    old: Files = {"projects/site.yaml": text, "secrets/site.env.age": ENCRYPTED}
    found = between(fleet, {"secrets/site.env.age": ENCRYPTED + b"other"}, old)
    assert site(found).secrets == ("secrets/site.env.age",)
    assert "secrets/site.env.age: another secret (not shown)" in paint(comparison_lines(found))
