"""Bundles and hosts: the host's own file decides, field by field; bundles have to agree."""

from __future__ import annotations

from typing import Any

import pytest

from providers.base import Spec
from tests.fleet import Fleet
from tests.unit.desired.support import HOST, loaded, mistake, mistakes

BOTH = HOST + "bundles: [one, two]\n"


def specs(fleet: Fleet, host: str, **bundles: str) -> dict[str, Spec]:
    files: dict[str, str | bytes | None] = {f"bundles/{name}.yaml": text for name, text in bundles.items()}
    resources = loaded(fleet, {"hosts/web.yaml": host, "files/a": "from a file", **files}).hosts["web"].resources
    return {resource.ref: resource.spec for resource in resources}


def test_a_host_has_what_its_bundles_ask_for(fleet: Fleet) -> None:
    found = specs(fleet, BOTH, one="files: {/a: {content: a}}\n", two="files: {/b: {content: b}}\n")
    assert {ref: spec.body for ref, spec in found.items()} == {"file:/a": b"a", "file:/b": b"b"}


def test_a_bundle_brings_along_the_bundles_that_it_names(fleet: Fleet) -> None:
    found = specs(fleet, HOST + "bundles: [one]\n", one="bundles: [two]\nvars: {x: 1}\n", two="files: {/b: {content: b}}\n")
    assert list(found) == ["file:/b"]


def test_the_host_decides_field_by_field(fleet: Fleet) -> None:
    host = HOST + "bundles: [one]\nfiles: {/a: {mode: '0600'}}\n"
    (spec,) = specs(fleet, host, one="files: {/a: {content: a, owner: root, mode: '0644'}}\n").values()
    assert spec.record() | {"content": None} == {"owner": "root", "mode": "0600", "content": None}
    assert spec.body == b"a"


def test_the_place_of_what_both_ask_for_is_the_hosts(fleet: Fleet) -> None:
    host = HOST + "bundles: [one]\nfiles: {/a: {mode: '0600'}}\n"
    found = loaded(fleet, {"hosts/web.yaml": host, "bundles/one.yaml": "files: {/a: {content: a}}\n"})
    assert str(found.hosts["web"].resources[0].place) == "hosts/web.yaml:3:9"


def test_a_mistake_in_what_both_ask_for_is_named_where_the_field_stands(fleet: Fleet) -> None:
    found = mistake(
        fleet,
        {
            "hosts/web.yaml": HOST + "bundles: [one]\nfiles: {/a: {mode: '0600'}}\n",
            "bundles/one.yaml": "files: {/a: {content: a, source: files/a}}\n",
        },
    )
    assert found.startswith("bundles/one.yaml:1:9: error: file:/a: content and source exclude each other")

    found = mistake(
        fleet,
        {
            "hosts/web.yaml": HOST + "bundles: [one]\nfiles: {/a: {mode: 99x}}\n",
            "bundles/one.yaml": "files: {/a: {content: a}}\n",
        },
    )
    assert found.startswith("hosts/web.yaml:3:20: error: mode: expected three or four octal digits")


def test_a_field_without_value_takes_the_bundles_away(fleet: Fleet) -> None:
    host = HOST + "bundles: [one]\nfiles: {/a: {owner: }}\n"
    (spec,) = specs(fleet, host, one="files: {/a: {content: a, owner: ops}}\n").values()
    assert "owner" not in spec.record()


def test_the_hosts_content_replaces_the_bundles_source_and_the_other_way_round(fleet: Fleet) -> None:
    host = HOST + "bundles: [one]\nfiles: {/a: {content: own}}\n"
    (spec,) = specs(fleet, host, one="files: {/a: {source: files/a, template: true, mode: '0600'}}\n").values()
    assert (spec.body, spec.record()["mode"]) == (b"own", "0600")

    host = HOST + "bundles: [one]\nfiles: {/a: {source: files/a}}\n"
    (spec,) = specs(fleet, host, one="files: {/a: {content: '{{ host.name }}', template: true}}\n").values()
    assert spec.body == b"from a file"


def test_absent_in_the_hosts_file_takes_everything_else_away(fleet: Fleet) -> None:
    host = HOST + "bundles: [one]\nfiles: {/a: {ensure: absent}}\n"
    (spec,) = specs(fleet, host, one="files: {/a: {content: a, mode: '0600'}}\n").values()
    assert not spec.present
    assert spec.record() == {"ensure": "absent"}


def test_bundles_may_ask_for_the_same_thing_if_they_agree(fleet: Fleet) -> None:
    found = specs(
        fleet, BOTH, one="files: {/a: {content: a, mode: '644'}}\n", two='files: {/a: {mode: "0644", content: "a"}}\n'
    )
    assert list(found) == ["file:/a"]


@pytest.mark.parametrize(
    ("one", "two", "fields"),
    [
        ("{content: a, mode: '0600'}", "{content: a, mode: '0644'}", "mode"),
        ("{content: a}", "{content: b}", "content"),
        ("{content: a}", "{content: a, mode: '0644'}", "mode"),
        ("{content: a}", "{ensure: absent}", "content, ensure"),
        ("{content: a}", "{source: files/a}", "content, source"),
        ("{content: a, validate: 'x {}'}", "{content: a, validate: 'y {}'}", "validate"),
    ],
)
def test_bundles_that_differ_are_a_mistake_with_both_places(fleet: Fleet, one: str, two: str, fields: str) -> None:
    files: dict[str, str | bytes | None] = {
        "bundles/one.yaml": f"files: {{/a: {one}}}\n",
        "bundles/two.yaml": f"files: {{/a: {two}}}\n",
        "files/a": "a",
    }
    assert mistake(fleet, {"hosts/web.yaml": BOTH, **files}) == (
        f"bundles/two.yaml:1:9: error: file:/a is asked for differently at bundles/one.yaml:1:9, in {fields} (host web)\n"
        "    let the bundles agree, or set these fields in the host's own file, which decides"
    )


def test_the_host_settles_what_its_bundles_differ_about(fleet: Fleet) -> None:
    one, two = "files: {/a: {content: a, mode: '0600'}}\n", "files: {/a: {content: a, mode: '0644'}}\n"
    (spec,) = specs(fleet, BOTH + "files: {/a: {mode: '0640'}}\n", one=one, two=two).values()
    assert spec.record()["mode"] == "0640"

    (spec,) = specs(fleet, BOTH + "files: {/a: {ensure: absent}}\n", one=one, two=two).values()
    assert not spec.present


def test_but_only_where_it_says_something_about_it(fleet: Fleet) -> None:
    found = mistake(
        fleet,
        {
            "hosts/web.yaml": BOTH + "files: {/a: {owner: root}}\n",
            "bundles/one.yaml": "files: {/a: {content: a, mode: '0600'}}\n",
            "bundles/two.yaml": "files: {/a: {content: a, mode: '0644'}}\n",
        },
    )
    assert "asked for differently at bundles/one.yaml:1:9, in mode (host web)" in found


def test_a_bundle_that_is_not_there_is_named_with_the_nearest(fleet: Fleet) -> None:
    found = mistakes(fleet, {"hosts/web.yaml": HOST + "bundles: [bsae]\n", "bundles/base.yaml": "bundles: [other]\n"})
    assert found == [
        "bundles/base.yaml:1:11: error: there is no bundle other\n    bundles are the files in bundles/, named without .yaml",
        "hosts/web.yaml:2:11: error: there is no bundle bsae\n    did you mean base?",
    ]


def test_bundles_that_bring_each_other_are_a_mistake_with_the_way_round(fleet: Fleet) -> None:
    found = mistake(
        fleet,
        {
            "hosts/web.yaml": HOST + "bundles: [a]\n",
            "bundles/a.yaml": "bundles: [b]\n",
            "bundles/b.yaml": "bundles: [c]\n",
            "bundles/c.yaml": "vars: {x: 1}\nbundles: [a]\n",
        },
    )
    assert found.startswith("bundles/a.yaml:1:11: error: bundles bring each other along in a circle: a → b → c → a")


def test_a_bundle_that_brings_itself_is_a_circle_too(fleet: Fleet) -> None:
    found = mistake(fleet, {"hosts/web.yaml": HOST, "bundles/a.yaml": "bundles: [a]\n"})
    assert "in a circle: a → a" in found


def test_a_bundle_on_two_ways_counts_once(fleet: Fleet) -> None:
    found = specs(fleet, BOTH, one="bundles: [base]\n", two="bundles: [base]\n", base="files: {/a: {content: a}}\n")
    assert list(found) == ["file:/a"]


def test_a_long_chain_of_bundles_is_no_problem(fleet: Fleet) -> None:
    chain = {f"b{n}": f"bundles: [b{n + 1}]\n" for n in range(300)} | {"b300": "files: {/a: {content: a}}\n"}
    assert list(specs(fleet, HOST + "bundles: [b0]\n", **chain)) == ["file:/a"]


def variables(fleet: Fleet, host: str, one: str, two: str, general: str = "vars: {a: fleet, b: fleet, c: fleet}\n") -> Any:
    files: dict[str, str | bytes | None] = {"fleet.yaml": general, "bundles/one.yaml": one, "bundles/two.yaml": two}
    return loaded(fleet, {"hosts/web.yaml": host, **files}).hosts["web"].vars


def test_variables_of_the_host_go_before_its_bundles_and_these_before_the_fleets(fleet: Fleet) -> None:
    found = variables(fleet, BOTH + "vars: {a: host}\n", "vars: {a: one, b: one}\n", "vars: {b: one, d: two}\n")
    assert found == {"a": "host", "b": "one", "c": "fleet", "d": "two"}


def test_bundles_that_differ_about_a_variable_are_a_mistake_unless_the_host_gives_it(fleet: Fleet) -> None:
    files: dict[str, str | bytes | None] = {"bundles/one.yaml": "vars: {x: 1}\n", "bundles/two.yaml": "vars: {x: true}\n"}
    assert mistake(fleet, {"hosts/web.yaml": BOTH, **files}).startswith(
        "bundles/two.yaml:1:11: error: vars.x is true here and the number 1 at bundles/one.yaml:1:11 (host web)"
    )
    assert variables(fleet, BOTH + "vars: {x: 7}\n", "vars: {x: 1}\n", "vars: {x: 2}\n")["x"] == 7


def test_a_bundle_has_to_be_right_by_itself(fleet: Fleet) -> None:
    found = mistake(fleet, {"hosts/web.yaml": HOST, "bundles/unused.yaml": "files: {/a: {mode: 5}}\n"})
    assert found.startswith("bundles/unused.yaml:1:20: error: mode: write the mode in quotes")


def test_a_bundle_has_no_address(fleet: Fleet) -> None:
    found = mistake(fleet, {"hosts/web.yaml": HOST, "bundles/base.yaml": "address: x\n"})
    assert found.startswith("bundles/base.yaml:1:1: error: there is no key address here")
