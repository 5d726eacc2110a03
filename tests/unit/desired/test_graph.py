"""The order of a host's resources: what was written is law, what lies in the nature of things helps."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desired.graph import Arrangement, arrange
from desired.manifest import AnyProvider, Ask, Layer
from desired.yaml import Document, parse
from providers.apt import Apt
from providers.commands import CommandProvider
from providers.directories import DirectoryProvider, DirectorySpec
from providers.files import FileProvider
from providers.groups import GroupProvider
from providers.services import ServiceProvider
from providers.symlinks import SymlinkProvider
from providers.users import UserProvider
from tests.fleet import Fleet
from tests.unit.desired.support import HOST, loaded, mistake, mistakes

KINDS: dict[str, AnyProvider] = {
    provider.spec.kind: provider
    for provider in (
        FileProvider(),
        DirectoryProvider(),
        SymlinkProvider(),
        Apt(),
        ServiceProvider(),
        UserProvider(),
        GroupProvider(),
        CommandProvider(),
    )
}
DEFAULTS: dict[str, dict[str, object]] = {
    "file": {"content": "x"},
    "symlink": {"target": "/t"},
    "service": {"running": True},
    "command": {"run": "id", "creates": "/c"},
}


def ask(ref: str, **fields: object) -> Ask:
    """One resource, as if from a manifest of its own."""
    kind, _, name = ref.partition(":")
    provider = KINDS[kind]
    given = {key: list(value) if isinstance(value, tuple) else value for key, value in fields.items()}
    data = given if given.get("ensure") == "absent" else DEFAULTS.get(kind, {}) | given
    document = Document("f.yaml", None, None)
    name = name.removeprefix(provider.spec.prefix)
    made = Ask(provider, name, data, (Layer(document, (name,), data, listed=False),))
    assert made.spec, made.problems
    return made


def order(*asks: Ask) -> list[str]:
    found = arrange(asks)
    assert not found.report, list(map(str, found.report))
    return [one.spec.ref for one in found.resources]


def needs(*asks: Ask) -> dict[str, set[str]]:
    return {one.spec.ref: set(one.needs) for one in arrange(asks).resources}


def complaints(*asks: Ask) -> list[str]:
    return [one.message for one in arrange(asks).report]


def test_without_any_tie_the_rank_of_the_kind_decides_and_then_the_name() -> None:
    assert order(ask("file:/b"), ask("file:/a"), ask("user:z"), ask("directory:/d"), ask("service:s"), ask("group:g")) == [
        *["group:g", "user:z", "directory:/d", "file:/a", "file:/b", "service:s"]
    ]


def test_what_is_needed_comes_first() -> None:
    assert order(ask("file:/a", needs=("file:/b",)), ask("file:/b", needs=("file:/c",)), ask("file:/c")) == [
        *["file:/c", "file:/b", "file:/a"]
    ]


def test_what_is_followed_comes_first_too() -> None:
    first, second = arrange([ask("service:a", follows=("file:/b",)), ask("file:/b")]).resources
    assert (first.spec.ref, second.spec.ref) == ("file:/b", "service:a")
    assert (second.needs, second.follows) == (frozenset({"file:/b"}), frozenset({"file:/b"}))


def test_a_path_needs_every_folder_and_link_on_its_way() -> None:
    found = needs(ask("file:/srv/app/x/y"), ask("directory:/srv/app"), ask("symlink:/srv"), ask("directory:/srv/ap"))
    assert found["file:/srv/app/x/y"] == {"directory:/srv/app", "symlink:/srv"}
    assert found["directory:/srv/app"] == {"symlink:/srv"}
    assert found["directory:/srv/ap"] == {"symlink:/srv"}
    assert found["symlink:/srv"] == set()


def test_a_file_needs_its_owner_and_a_user_its_groups() -> None:
    found = needs(ask("file:/a", owner="ops", group="adm"), ask("user:ops", groups=("deploy",)), ask("group:deploy"))
    assert found["file:/a"] == {"user:ops"}
    assert found["user:ops"] == {"group:deploy"}


def test_what_a_kind_learns_from_its_neighbours_counts_for_the_order() -> None:
    assert needs(ask("user:ops"), ask("group:ops"))["user:ops"] == {"group:ops"}


def test_a_service_comes_after_its_package_and_the_files_that_it_follows_lie_between() -> None:
    assert order(
        ask("service:nginx", follows=("file:/etc/nginx/a.conf",)),
        ask("file:/etc/nginx/a.conf"),
        ask("package:apt/nginx"),
    ) == ["package:apt/nginx", "file:/etc/nginx/a.conf", "service:nginx"]


def test_a_package_that_a_service_needs_by_name_counts_as_its_own() -> None:
    found = needs(
        ask("service:ssh", needs=("package:apt/openssh-server",), follows=("file:/etc/ssh/x",)),
        ask("package:apt/openssh-server"),
        ask("file:/etc/ssh/x"),
    )
    assert found["file:/etc/ssh/x"] == {"package:apt/openssh-server"}


def test_removals_come_first_and_in_the_opposite_order() -> None:
    assert order(
        ask("directory:/d", ensure="absent"),
        ask("file:/d/f", ensure="absent"),
        ask("group:g", ensure="absent"),
        ask("user:g", ensure="absent"),
        ask("file:/new"),
    ) == ["file:/d/f", "directory:/d", "user:g", "group:g", "file:/new"]


def test_a_user_is_removed_before_a_group_that_it_was_in() -> None:
    found = needs(ask("user:u", ensure="absent", groups=("a",)), ask("group:a", ensure="absent"))
    assert found == {"user:u": set(), "group:a": {"user:u"}}


def test_a_package_leaves_after_its_service_was_stopped() -> None:
    found = order(ask("package:apt/nginx", ensure="absent"), ask("service:nginx", running=False))
    assert found == ["service:nginx", "package:apt/nginx"]


def test_a_file_does_not_need_an_owner_that_goes_away() -> None:
    assert needs(ask("file:/a", owner="ops"), ask("user:ops", ensure="absent"))["file:/a"] == set()


def test_an_implied_tie_gives_way_to_a_written_one() -> None:
    found = order(
        ask("service:nginx", follows=("file:/etc/x",)),
        ask("file:/etc/x"),
        ask("package:apt/nginx", needs=("file:/etc/x",)),
    )
    assert found == ["file:/etc/x", "package:apt/nginx", "service:nginx"]


def test_a_folder_that_needs_a_file_in_it_gets_its_way() -> None:
    assert order(ask("directory:/a", needs=("file:/a/b",)), ask("file:/a/b")) == ["file:/a/b", "directory:/a"]


@pytest.mark.parametrize(
    ("asks", "message"),
    [
        ([ask("file:/a"), ask("symlink:/a")], "file:/a and symlink:/a are both about the path /a"),
        ([ask("file:/a/b"), ask("file:/a")], "file:/a/b lies in file:/a, which is a file"),
        ([ask("file:/a/b"), ask("directory:/a", ensure="absent")], "file:/a/b lies in directory:/a, which is to be absent"),
    ],
)
def test_paths_that_cannot_be_together_are_a_mistake(asks: list[Ask], message: str) -> None:
    assert complaints(*asks) == [message]


def test_what_is_absent_may_lie_in_what_is_absent_or_in_what_is_a_file_now() -> None:
    assert not complaints(ask("file:/a/b", ensure="absent"), ask("directory:/a", ensure="absent"))
    assert not complaints(ask("file:/a/b", ensure="absent"), ask("file:/a"))


MANIFEST = """
services:
  name-daemon: {{running: true, {key}: [{target}]}}
files: {{/b: {{content: x}}}}
directories: {{/srv/app: }}
"""


@pytest.mark.parametrize(
    ("target", "hint"),
    [
        ("file:/c", "declare it, or bring in the bundle that does"),
        ("directory:/srv/ap", "did you mean directory:/srv/app?"),
        ("directory:/elsewhere", "declare it, or bring in the bundle that does"),
        ("fil:/b", "did you mean file:/b?"),
        ("/b", "a reference begins with one of"),
        ("nginx", "a reference begins with one of"),
        ("servce:ssh", "a reference begins with one of"),
        ("", "a reference begins with one of"),
    ],
)
@pytest.mark.parametrize("key", ["needs", "follows"])
def test_a_reference_to_nothing_is_a_mistake_with_the_nearest_right_one(fleet: Fleet, target: str, hint: str, key: str) -> None:
    empty = '""'
    found = mistake(fleet, {"hosts/web.yaml": HOST + MANIFEST.format(key=key, target=f'"{target}"')})
    assert found.startswith(f"hosts/web.yaml:4:{35 + len(key)}: error: {key}: {target or empty} is not declared on this host")
    assert hint in found


def test_a_reference_to_something_that_is_wrong_itself_is_not_a_second_mistake(fleet: Fleet) -> None:
    text = HOST + "files: {/a: {content: x, needs: ['file:/b']}, /b: {contnet: y}}\n"
    assert "contnet" in mistake(fleet, {"hosts/web.yaml": text})


def test_a_circle_is_a_mistake_that_shows_its_way_round(fleet: Fleet) -> None:
    text = HOST + (
        "files:\n"
        "  /a: {content: x, needs: ['service:b']}\n"
        "  /c: {content: x, needs: ['file:/d', 'file:/a']}\n"
        "  /d: {content: x}\n"
        "  /behind: {content: x, needs: ['file:/a']}\n"
        "services:\n"
        "  b: {running: true, follows: ['file:/c']}\n"
    )
    assert mistake(fleet, {"hosts/web.yaml": text}) == (
        "hosts/web.yaml:3:28: error: a circle of needs: file:/a → service:b → file:/c → file:/a\n"
        "    file:/a at hosts/web.yaml:3:3, service:b at hosts/web.yaml:8:3, file:/c at hosts/web.yaml:4:3"
    )


def test_every_circle_is_told_also_the_one_of_something_that_needs_itself(fleet: Fleet) -> None:
    text = HOST + (
        "files:\n"
        "  /a: {content: x, needs: ['file:/a']}\n"
        "  /b: {content: x, needs: ['file:/c']}\n"
        "  /c: {content: x, needs: ['file:/b']}\n"
    )
    found = mistakes(fleet, {"hosts/web.yaml": text})
    assert ["file:/a → file:/a" in found[0], "file:/b → file:/c → file:/b" in found[1], len(found)] == [True, True, 2]


def test_every_kind_has_its_look_at_the_neighbours_once_all_are_known(fleet: Fleet) -> None:
    text = HOST + "directories: {/d: {purge: true}}\nfiles: {/d/kept: {content: x}, /elsewhere: {content: x}}\n"
    found = loaded(fleet, {"hosts/web.yaml": text}).hosts["web"].resources[0].spec
    assert isinstance(found, DirectorySpec)
    assert found.declared == frozenset({"kept"})


NAMES = [f"/{letter}" for letter in "abcdefg"] + ["/a/x", "/a/x/y", "/b/x"]


@st.composite
def manifests(draw: st.DrawFn) -> list[Ask]:
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1))
    refs = [f"{draw(st.sampled_from(['file', 'directory', 'symlink']))}:{name}" for name in names]
    some = st.lists(st.sampled_from(refs), max_size=2, unique=True).map(tuple)
    return [ask(ref, needs=draw(some), follows=draw(some), ensure=draw(st.sampled_from(["present", "absent"]))) for ref in refs]


@given(manifests(), st.randoms())
def test_nothing_ever_stands_before_what_it_needs_and_the_order_does_not_depend_on_the_file(
    asks: list[Ask], chance: random.Random
) -> None:
    found = arrange(asks)
    _in_order(found)
    if not found.report:
        assert len(found.resources) == len(asks)
        written = {one.ref: {*one.spec.needs, *one.spec.follows} for one in asks if one.spec}
        assert all(written[one.spec.ref] <= one.needs for one in found.resources)
    shuffled = asks[:]
    chance.shuffle(shuffled)
    assert [one.spec.ref for one in arrange(shuffled).resources] == [one.spec.ref for one in found.resources]


def _in_order(found: Arrangement) -> None:
    seen: set[str] = set()
    for one in found.resources:
        assert one.needs <= seen
        seen.add(one.spec.ref)


def _many(count: int) -> Sequence[Ask]:
    tree = [ask(f"directory:/d{n // 50}") for n in range(0, count, 50)]
    return [
        *tree,
        *(ask(f"file:/d{n // 50}/f{n}", needs=(f"file:/d{(n - 1) // 50}/f{n - 1}",) if n % 7 else ()) for n in range(count)),
    ]


def test_a_thousand_resources_are_put_in_order_in_a_moment() -> None:
    asks = _many(1000)
    started = time.process_time()
    found = arrange(asks)
    assert time.process_time() - started < 1
    _in_order(found)


def test_a_thousand_resources_with_a_circle_that_ours_would_close_are_too() -> None:
    asks = [*_many(1000), ask("directory:/e", needs=("file:/e/x",)), ask("file:/e/x", needs=("file:/d0/f0",))]
    started = time.process_time()
    found = arrange(asks)
    assert time.process_time() - started < 2
    assert not found.report
    _in_order(found)


def test_places_of_written_references_are_known() -> None:
    document = parse(b"/a: {needs: [x]}\n", "f.yaml")
    one = Ask(
        KINDS["file"], "/a", {"content": "x", "needs": ["file:/b"]}, (Layer(document, ("/a",), {"needs": []}, listed=False),)
    )
    assert str(one.where(("needs", 0))) == "f.yaml:1:14"
