"""A whole repository at once: what is read, what is refused, and that one run names every mistake."""

from __future__ import annotations

import pytest

from desired import files
from desired import load as loading
from desired.git import commit_source, open_repository
from desired.load import Cache, load
from desired.model import Invalid
from desired.yaml import parse
from tests.fleet import Fleet
from tests.unit.desired.support import HOST, loaded, mistake, mistakes


def test_a_small_fleet_becomes_hosts_with_resources(fleet: Fleet) -> None:
    found = loaded(
        fleet,
        {
            "hosts/nas.yaml": "address: root@nas\nbundles: [base]\nfiles:\n  /etc/motd: {content: hello}\n",
            "hosts/known_hosts": "nas ssh-ed25519 AAAA\n",
            "bundles/base.yaml": "files: {/etc/issue: {source: files/issue, mode: '644'}}\n",
            "bundles/unused.yaml": "files: {/x: {content: x}}\n",
            "files/issue": "Debian\n",
            "files/unused": "x",
        },
    )
    issue, motd = found.hosts["nas"].resources
    assert (issue.ref, str(issue.place), issue.spec.body) == ("file:/etc/issue", "bundles/base.yaml:1:9", b"Debian\n")
    assert (motd.ref, str(motd.place), motd.spec.body) == ("file:/etc/motd", "hosts/nas.yaml:4:3", b"hello")
    assert found.commit == fleet.git("rev-parse", "HEAD")
    assert found.known_hosts == "nas ssh-ed25519 AAAA\n"
    assert list(found.tree) == [
        *["bundles/base.yaml", "bundles/unused.yaml", "files/issue", "fleet.yaml", "hosts/known_hosts", "hosts/nas.yaml"]
    ]
    assert found.tree["files/issue"] == fleet.git("rev-parse", "HEAD:files/issue")


def test_hosts_may_stand_in_one_file(fleet: Fleet) -> None:
    text = "nas: {address: root@nas, type: linux}\nweb:\n  address: web\n  files: {/etc/motd: {content: x}}\n"
    found = loaded(fleet, {"hosts.yaml": text, "hosts/db.yaml": HOST})
    assert list(found.hosts) == ["db", "nas", "web"]
    assert str(found.hosts["web"].place) == "hosts.yaml:2:1"
    assert str(found.hosts["web"].resources[0].place) == "hosts.yaml:4:11"


def test_a_host_described_twice_is_named_with_both_places(fleet: Fleet) -> None:
    found = mistake(fleet, {"hosts.yaml": "web: {address: x}\n", "hosts/web.yaml": HOST})
    assert found == "hosts.yaml:1:1: error: web is already described at hosts/web.yaml:1:1\n    delete one"


def test_names_that_differ_only_in_their_case_are_refused(fleet: Fleet) -> None:
    found = mistake(fleet, {"hosts/NAS.yaml": HOST, "hosts/nas.yaml": HOST})
    assert "hosts/nas.yaml:1:1: error: nas is already described at hosts/NAS.yaml:1:1 (as NAS)" in found


def test_the_case_of_a_name_is_kept(fleet: Fleet) -> None:
    assert list(loaded(fleet, {"hosts/NAS-1.lan.yaml": HOST}).hosts) == ["NAS-1.lan"]


@pytest.mark.parametrize("name", ["-x", ".hidden", "a b", "$(id)", "é", "a" * 254, "x;y", "'\""])
def test_a_host_with_a_strange_name_is_refused(fleet: Fleet, name: str) -> None:
    path = f"hosts/{name[:240]}.yaml" if len(name) < 250 else None
    found = mistake(fleet, {path: HOST} if path else {"hosts.yaml": f"{name}: {{address: x}}\n"})
    assert "cannot be the name of a host" in found


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("hosts/web.yml", "hosts/web.yml: error: hosts/ is read by the ending .yaml\n    rename the file to .yaml"),
        ("hosts/paris/web.yaml", "hosts/paris/web.yaml: error: files in subfolders of hosts/ are not read"),
        ("bundles/base.yml", "bundles/base.yml: error: bundles/ is read by the ending .yaml"),
    ],
)
def test_a_manifest_that_would_be_overlooked_is_a_mistake(fleet: Fleet, path: str, complaint: str) -> None:
    assert complaint in mistake(fleet, {"hosts/a.yaml": HOST, path: HOST if path.startswith("hosts") else ""})


def test_other_files_beside_the_manifests_are_no_mistake(fleet: Fleet) -> None:
    found = loaded(fleet, {"hosts/web.yaml": HOST, "hosts/README.md": "x", "hosts/.gitkeep": "", "bundles/notes.txt": "x"})
    assert list(found.hosts) == ["web"]
    assert not found.warnings


def test_a_repository_that_is_no_fleet_is_refused(fleet: Fleet) -> None:
    fleet.commit({"fleet.yaml": ""})
    assert "fleet.yaml: error: this is no fleet repository" in mistake(fleet, {"fleet.yaml": None, "README.md": "x"})


def test_a_fleet_without_hosts_is_only_warned_about(fleet: Fleet) -> None:
    (warning,) = loaded(fleet, {}).warnings
    assert str(warning).startswith("fleet.yaml: warning: the fleet has no hosts")


def test_known_hosts_that_are_not_text_are_refused(fleet: Fleet) -> None:
    found = mistake(fleet, {"hosts/web.yaml": HOST, "hosts/known_hosts": b"ok\n\xff\n"})
    assert found.startswith("hosts/known_hosts:2:1: error: the line is not UTF-8")


def test_every_mistake_of_the_repository_is_named_in_one_run_in_order(fleet: Fleet) -> None:
    found = mistakes(
        fleet,
        {
            "fleet.yaml": "intervall: 1m\n",
            "hosts/a.yaml": "adress: x\nbundles: [bsae]\n",
            "hosts/b.yaml": "address: b\nfiles: [",
            "hosts/c.yaml": HOST + "files:\n  /x: {contnet: y}\n  relative: {content: y}\n  /y: {source: files/nothing}\n",
            "hosts/d.yaml": HOST
            + "bundles: [base]\nfiles:\n  /t: {source: files/t.j2}\n  /u: {content: '{{ x', template: true}\n",
            "hosts/e.yaml": HOST + "files: {/x: {content: y, mode: 0644, needs: ['file:/z']}}\n",
            "bundles/base.yaml": "symlinks: {/l: {target: 5}}\n",
            "bundles/unused.yaml": "directories: {/d: {mode: 99}}\n",
            "files/t.j2": "one\n{{ vars.missing }}\n",
        },
    )
    assert [one.partition(" error")[0].removesuffix(":") for one in found] == [
        "bundles/base.yaml:1:25",
        "bundles/unused.yaml:1:26",
        "files/t.j2:2:1",
        "fleet.yaml:1:1",
        "hosts/a.yaml:1:1",
        "hosts/a.yaml:2:11",
        "hosts/b.yaml:2:9",
        "hosts/c.yaml:3:8",
        "hosts/c.yaml:4:3",
        "hosts/c.yaml:5:16",
        "hosts/d.yaml:5:17",
        "hosts/e.yaml:2:32",
        "hosts/e.yaml:2:46",
    ], "\n".join(found)


def test_a_value_in_a_message_is_escaped_and_short(fleet: Fleet) -> None:
    name = "/x" + "\\e[31m" + "y" * 200
    found = mistake(fleet, {"hosts/web.yaml": HOST + f'files: {{"{name}": {{content: [1]}}}}\n'})
    assert found.isprintable() or found.replace("\n", "").isprintable()
    assert len(found) < 400


def test_one_mistake_of_a_bundle_is_told_once_for_all_its_hosts(fleet: Fleet) -> None:
    hosts = {f"hosts/h{n}.yaml": HOST + "bundles: [base]\n" for n in range(7)}
    found = mistake(fleet, hosts | {"bundles/base.yaml": "files: {/x: {content: y, needs: ['file:/z']}}\n"})
    assert found.startswith(
        "bundles/base.yaml:1:34: error: needs: file:/z is not declared on this host (hosts h0, h1, h2, h3 and 3 more)"
    )


def test_a_broken_file_does_not_hide_that_its_host_is_there(fleet: Fleet) -> None:
    """A host whose file cannot be read is a mistake of the whole commit; never a host that asks for nothing."""
    assert mistakes(fleet, {"hosts/web.yaml": "address: [", "hosts/db.yaml": HOST})


def test_with_a_cache_only_changed_files_are_parsed_again(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []

    def counting(data: bytes, file: str) -> object:
        parsed.append(file)
        return parse(data, file)

    monkeypatch.setattr(loading, "parse", counting)
    cache = Cache()
    text = HOST + "bundles: [base]\nfiles: {/a: {content: 'a {{ host.name }}', template: true}}\n"
    first = loaded(
        fleet, {"hosts/a.yaml": text, "hosts/b.yaml": text, "bundles/base.yaml": "files: {/b: {content: b}}\n"}, cache
    )
    assert sorted(parsed) == ["bundles/base.yaml", "fleet.yaml", "hosts/a.yaml", "hosts/b.yaml"]

    parsed.clear()
    second = loaded(fleet, {"hosts/b.yaml": text + "become: sudo\n"}, cache)
    assert parsed == ["hosts/b.yaml"]
    assert second.hosts["b"].become == "sudo"
    assert second.hosts["a"] == first.hosts["a"]
    assert second.hosts == loaded(fleet, {}).hosts


def test_with_a_cache_mistakes_are_told_every_time(fleet: Fleet) -> None:
    cache = Cache()
    fleet.commit(
        {"fleet.yaml": "", "hosts/web.yaml": "address: x\nbecom: sudo\nfiles: {/x: {content: '{{ y }}', template: true}}\n"}
    )
    source = commit_source(open_repository(fleet.root))
    told = []
    for _ in range(3):
        with pytest.raises(Invalid) as caught:
            load(source, cache=cache)
        told.append(caught.value.diagnostics)
    assert told[0] == told[1] == told[2]
    assert len(told[0]) == 2


def test_what_a_cache_keeps_is_bounded_by_the_last_two_loads(fleet: Fleet) -> None:
    cache = Cache()
    for n in range(5):
        loaded(
            fleet,
            {"hosts/web.yaml": HOST + f"vars: {{n: {n}}}\nfiles: {{/x: {{content: '{{{{ vars.n }}}}', template: true}}}}\n"},
            cache,
        )
    assert len(cache.files) <= 4
    assert len(cache.contents.renders.rendered) <= 2


def test_hosts_with_the_same_bundle_share_their_specs_and_contents(fleet: Fleet) -> None:
    text = HOST + "bundles: [base]\n"
    base = "files: {/a: {source: files/a}, /t: {content: 'same {{ fleet.x }}', template: true}}\n"
    found = loaded(
        fleet,
        {"fleet.yaml": "vars: {x: 1}\n", "hosts/a.yaml": text, "hosts/b.yaml": text, "bundles/base.yaml": base, "files/a": "a"},
    )
    for one, other in zip(found.hosts["a"].resources, found.hosts["b"].resources, strict=True):
        assert one is other


def test_settings_that_are_wrong_do_not_hide_mistakes_in_the_sections(fleet: Fleet) -> None:
    found = mistakes(fleet, {"hosts/web.yaml": "address: '-'\nfiles: {/x: {contnet: y}}\n"})
    assert ["hosts/web.yaml:1:10" in found[0], "hosts/web.yaml:2:14" in found[1]] == [True, True], found


def test_reading_a_file_depends_on_that_file_alone() -> None:
    """What makes caching by blob id sound: the readers get a document and a name, nothing else."""
    document = parse(b"address: a\nfiles: {/x: {content: y}}\n", "hosts/a.yaml")
    one, other = files.read_host(document, "a"), files.read_host(document, "a")
    assert one.manifests[0].settings == other.manifests[0].settings
