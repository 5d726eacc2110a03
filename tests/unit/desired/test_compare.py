"""What a commit would change, offline: host by host, field by field."""

from __future__ import annotations

from types import MappingProxyType

from desired.compare import Comparison, FieldChange, HostChange, compare
from tests.fleet import Fleet
from tests.unit.desired.support import HOST, Files, loaded

BASE: Files = {
    "hosts/web.yaml": HOST + "bundles: [base]\n",
    "bundles/base.yaml": "files:\n  /a: {content: \"one\\ntwo\\n\", mode: '0644'}\n  /t: {source: files/t.j2}\n",
    "files/t.j2": "zone {{ vars.zone }}\n",
    "fleet.yaml": "vars: {zone: UTC}\n",
}


def between(fleet: Fleet, new: Files, old: Files = MappingProxyType({})) -> Comparison:
    before = loaded(fleet, {**BASE, **old})
    return compare(before, loaded(fleet, {"fleet.yaml": BASE["fleet.yaml"], **new}))


def only_host(found: Comparison) -> HostChange:
    (host,) = found.hosts
    return host


def test_a_commit_that_asks_for_the_same_changes_nothing(fleet: Fleet) -> None:
    bundle = "# a remark\nfiles:\n  /t: {source: files/t.j2}\n  /a: {mode: '644', content: \"one\\ntwo\\n\"}\n"
    found = between(fleet, {"bundles/base.yaml": bundle, "README": "x"})
    assert not found
    assert found.hosts == ()


def test_resources_that_come_and_go_are_listed_with_their_place(fleet: Fleet) -> None:
    bundle = "files:\n  /a: {content: \"one\\ntwo\\n\", mode: '0644'}\n  /b: {content: b}\n"
    host = only_host(between(fleet, {"bundles/base.yaml": bundle}))
    assert (host.name, host.action) == ("web", "change")
    assert [(change.ref, change.action, str(change.place)) for change in host.resources] == [
        ("file:/b", "add", "bundles/base.yaml:3:3"),
        ("file:/t", "remove", "bundles/base.yaml:3:3"),
    ]


def test_a_changed_resource_shows_its_fields_and_its_content(fleet: Fleet) -> None:
    new = {
        "bundles/base.yaml": "files:\n  /a: {content: \"one\\n2\\n\", mode: '0640', owner: ops}\n  /t: {source: files/t.j2}\n"
    }
    (change,) = only_host(between(fleet, new)).resources
    assert (change.ref, change.action) == ("file:/a", "change")
    assert change.fields == (FieldChange("mode", "0644", "0640"), FieldChange("owner", None, "ops"))
    assert change.content is not None
    assert change.content.notes == ("content differs (not shown: mode 0640)",)


def test_the_difference_of_a_text_is_a_short_diff(fleet: Fleet) -> None:
    new = {"bundles/base.yaml": "files:\n  /a: {content: \"one\\n2\\n\", mode: '0644'}\n  /t: {source: files/t.j2}\n"}
    (change,) = only_host(between(fleet, new)).resources
    assert change.fields == ()
    assert change.content is not None
    assert change.content.diff == ("--- file:/a (old)", "+++ file:/a (new)", "@@ -1,2 +1,2 @@", " one", "-two", "+2")


def test_a_variable_shows_what_it_changes_in_templates(fleet: Fleet) -> None:
    found = between(fleet, {"fleet.yaml": "vars: {zone: CET}\n"})
    host = only_host(found)
    assert found.settings == host.settings == (FieldChange("vars.zone", "UTC", "CET"),)
    (change,) = host.resources
    assert change.ref == "file:/t"
    assert change.content is not None and change.content.diff[-2:] == ("-zone UTC", "+zone CET")


def test_a_binary_content_is_only_told(fleet: Fleet) -> None:
    text = "files: {/x: {source: files/x}}\n"
    (change,) = only_host(
        between(fleet, {"files/x": b"\0two"}, {"bundles/base.yaml": text, "files/x": b"\0one", "files/t.j2": "unused"})
    ).resources
    assert change.content is not None
    assert "binary" in change.content.notes[0]


def test_hosts_that_come_and_go_come_with_their_resources(fleet: Fleet) -> None:
    found = between(fleet, {"hosts/web.yaml": None, "hosts/db.yaml": HOST + "files: {/z: {content: z}}\n"})
    assert [(host.name, host.action, [change.ref for change in host.resources]) for host in found.hosts] == [
        ("db", "add", ["file:/z"]),
        ("web", "remove", ["file:/a", "file:/t"]),
    ]
    assert {change.action for host in found.hosts for change in host.resources if host.name == "web"} == {"remove"}


def test_settings_of_hosts_and_fleet_are_compared(fleet: Fleet) -> None:
    found = between(
        fleet,
        {
            "hosts/web.yaml": "address: ops@web.lan:2222\nbundles: [base]\nbecome: sudo\ntags: [prod]\njump: gate\n",
            "hosts/known_hosts": "web ssh-ed25519 AAAA\n",
            "fleet.yaml": "vars: {zone: UTC}\nmax_deletions: 9\ninterval: 5m\n",
        },
    )
    assert only_host(found).settings == (
        FieldChange("address", "root@web.lan", "ops@web.lan:2222"),
        FieldChange("become", "none", "sudo"),
        FieldChange("jump", [], ["gate"]),
        FieldChange("tags", [], ["prod"]),
    )
    assert found.settings == (FieldChange("interval", 60, 300), FieldChange("max_deletions", 5, 9))
    assert found.known_hosts


def test_the_address_of_an_alert_is_not_shown(fleet: Fleet) -> None:
    found = between(fleet, {"fleet.yaml": "vars: {zone: UTC}\nalerts: [{url: 'tgram://TOKEN/chat', events: [drift]}]\n"})
    assert found.settings == (FieldChange("alerts", [], [{"url": "tgram://…", "events": ["drift"]}]),)


def test_the_commits_are_named(fleet: Fleet) -> None:
    found = between(fleet, {"README": "x"})
    assert (found.old, found.new) == (fleet.git("rev-parse", "HEAD~1"), fleet.git("rev-parse", "HEAD"))
