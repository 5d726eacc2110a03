"""The sections of a manifest: two ways to write a list of resources, both strict."""

from __future__ import annotations

import pytest

from tests.fleet import Fleet
from tests.unit.desired.support import HOST, loaded, mistake, mistakes


def refs(fleet: Fleet, sections: str) -> list[tuple[str, str]]:
    return [
        (resource.ref, str(resource.place))
        for resource in loaded(fleet, {"hosts/web.yaml": HOST + sections}).hosts["web"].resources
    ]


def test_a_section_is_a_mapping_from_names_to_fields(fleet: Fleet) -> None:
    assert refs(fleet, "directories:\n  /srv/a: {mode: '0750'}\n  /srv/b:\n") == [
        ("directory:/srv/a", "hosts/web.yaml:3:3"),
        ("directory:/srv/b", "hosts/web.yaml:4:3"),
    ]


def test_or_a_list_of_names_and_of_mappings_with_a_name(fleet: Fleet) -> None:
    assert refs(fleet, "directories:\n  - /srv/a\n  - {mode: '0750', name: /srv/b}\n") == [
        ("directory:/srv/a", "hosts/web.yaml:3:5"),
        ("directory:/srv/b", "hosts/web.yaml:4:26"),
    ]


def test_a_section_without_content_is_empty(fleet: Fleet) -> None:
    assert refs(fleet, "files:\ndirectories: {}\nsymlinks: []\n") == []


@pytest.mark.parametrize(
    ("sections", "complaint"),
    [
        ("files: text", 'hosts/web.yaml:2:8: error: files: expected a mapping or a list of names, found "text"'),
        (
            "files: {/a: text}",
            'hosts/web.yaml:2:13: error: /a: expected a mapping of its fields, found "text"\n    write {} for all defaults',
        ),
        (
            "files: {/a: {name: /b, content: x}}",
            "hosts/web.yaml:2:14: error: the name is already given: /a\n    delete this key",
        ),
        (
            "directories: [1]",
            (
                "hosts/web.yaml:2:15: error: expected a name, or a mapping with name, found the number 1\n"
                '    write it in quotes: "1"'
            ),
        ),
        ("directories: [{mode: '0755'}]", "hosts/web.yaml:2:15: error: name is missing"),
        ("directories: [{name: 5}]", "hosts/web.yaml:2:22: error: name: expected text, found the number 5"),
        ("directories: [[/a]]", "hosts/web.yaml:2:15: error: expected a name, or a mapping with name, found a list"),
        (
            "directories: [/a, {name: /a}]",
            "hosts/web.yaml:2:26: error: /a stands twice in directories\n    first at hosts/web.yaml:2:15",
        ),
        ("files: {/a: {content: x}, /a: {}}", "hosts/web.yaml:2:27: error: the key /a stands twice"),
        (
            "files: {/a: {content: x, mod: '0644'}}",
            "hosts/web.yaml:2:26: error: there is no key mod here\n    did you mean mode?",
        ),
        (
            "files: {/a: {content: yes no, validate: id}}",
            "hosts/web.yaml:2:41: error: validate: the command must name the new file",
        ),
        (
            "files: {/a: {content: 5}}",
            'hosts/web.yaml:2:23: error: content: expected text, found the number 5\n    write it in quotes: "5"',
        ),
        (
            "files: {/a: {content: true}}",
            'hosts/web.yaml:2:23: error: content: expected text, found true\n    write it in quotes: "true"',
        ),
        (
            "files: {/a: {content: x, template: on}}",
            'hosts/web.yaml:2:36: error: template: expected true or false, found "on"\n    write true',
        ),
        (
            "files: {/a: {content: x, ensure: gone}}",
            'hosts/web.yaml:2:34: error: ensure: expected present or absent, found "gone"',
        ),
        (
            "files: {/a: {content: x, needs: file:/b}}",
            'hosts/web.yaml:2:33: error: needs: expected a list, as in [a, b], found "file:/b"',
        ),
        ("files: {/a: {content: x, needs: [{a: b}]}}", "hosts/web.yaml:2:34: error: needs.0: expected text, found a mapping"),
        ("files: {/a: {}}", "hosts/web.yaml:2:9: error: file:/a: nothing is asked for"),
        ("files: {'': {content: x}}", "hosts/web.yaml:2:9: error:"),
        (
            "files: {/a: {content: {secret: x}}}",
            "hosts/web.yaml:2:23: error: content: secrets/x.age is not in the repository\n    make it: reconcile",
        ),
        (
            "files: {/a: {content: x, acl: [{secret: y}]}}",
            "hosts/web.yaml:2:32: error: a secret cannot stand here\n    it can stand in: content of a file, url of alerts",
        ),
        ("filse: {/a: {content: x}}", "hosts/web.yaml:2:1: error: there is no key filse here\n    did you mean files?"),
    ],
)
def test_a_mistake_in_a_section_is_named_with_place_value_and_remedy(fleet: Fleet, sections: str, complaint: str) -> None:
    found = mistake(fleet, {"hosts/web.yaml": HOST + sections + "\n"})
    assert found.startswith(complaint)


def test_mistakes_in_one_resource_are_all_named(fleet: Fleet) -> None:
    found = mistakes(fleet, {"hosts/web.yaml": HOST + "files: {/a: {content: 5, mode: 644, ownr: x}}\n"})
    assert len(found) == 3


@pytest.mark.parametrize("name", ["/a b", "/a'b", '/a\\"b', "/$(id)", "/-rf", "/é", "/a;b", "/ ", "/*"])
def test_a_name_that_a_file_may_have_arrives_unchanged(fleet: Fleet, name: str) -> None:
    plain = name.replace('\\"', '"')
    assert refs(fleet, f'files: {{"{name}": {{content: x}}}}\n') == [(f"file:{plain}", "hosts/web.yaml:2:9")]
