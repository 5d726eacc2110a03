"""The steps that a host is sent: numbered, each with those without which it makes no sense, and what is remembered."""

from __future__ import annotations

import pytest

from providers.base import Detail
from providers.registry import provider_of
from reconciler.order import REFRESH
from reconciler.work import fates
from state.frames import Frame
from state.inventory import Entry
from tests.unit.reconciler.paper import Paper, command, directory, file, package, service, symlink


def test_several_packages_are_one_common_step_and_each_has_one_of_its_own() -> None:
    paper = Paper()
    one, two = paper.add(package("aa")), paper.add(package("bb"))
    work = paper.work()
    assert work.names == {one: (0, 1), two: (0, 2)}
    assert [planned.after for planned in work.steps] == [(), (0,), (0,)]


def test_one_failed_step_skips_its_dependents_and_nothing_else() -> None:
    paper = Paper()
    bad, good = paper.add(package("bad")), paper.add(package("good"))
    paper.add(file("/behind-bad"), needs=[bad])
    paper.add(file("/behind-good"), needs=[good])
    paper.add(file("/free"))
    work = paper.work()
    after = {planned.step.refs[0]: planned.after for planned in work.steps[3:]}
    assert after == {"file:/behind-bad": (0, 1), "file:/behind-good": (0, 2), "file:/free": ()}


def test_two_packages_that_need_different_things_do_not_fall_together() -> None:
    paper = Paper()
    one, two = paper.add(directory("/1")), paper.add(directory("/2"))
    paper.add(package("aa"), needs=[one])
    paper.add(package("bb"), needs=[two])
    work = paper.work()
    assert [(planned.step.refs, planned.after) for planned in work.steps[2:]] == [
        (("package:apt/aa",), (0,)),
        (("package:apt/bb",), (1,)),
    ]


def test_the_shell_functions_of_a_kind_are_sent_once() -> None:
    paper = Paper()
    paper.add(file("/1"))
    paper.add(directory("/2"), needs=["file:/1"])
    paper.add(file("/3"), needs=["directory:/2"])
    libraries = paper.work().libraries
    assert sorted(libraries, key=lambda library: library.text) == sorted(
        {provider_of(ref).library for ref in ("file:/", "directory:/")}, key=lambda library: library.text
    )


def test_a_refresh_has_a_step_of_its_own_after_those_of_what_it_follows() -> None:
    paper = Paper()
    one, two = paper.add(file("/1")), paper.add(file("/2"))
    app = paper.add(service("app"), "as asked", follows=[one, two])
    work = paper.work()
    assert work.names[REFRESH + app] == (2,)
    assert work.steps[2].after == (0, 1)
    assert work.intent.refresh == {app: 2}
    assert work.intent.causes == {app: {one: (0,), two: (1,)}}


def test_a_change_that_does_what_a_due_refresh_would_do_pays_for_it() -> None:
    paper = Paper(pending={"command:build": "file:/f"})
    ref = paper.add(command("build", unless="false"), "different")
    work = paper.work()
    assert work.intent.refresh == {ref: work.names[ref][-1]}


def test_what_is_made_becomes_ours_and_what_was_there_before_does_not() -> None:
    paper = Paper()
    made, found = paper.add(file("/made")), paper.add(file("/found"), "different")
    entries = paper.work().intent.entries
    assert (entries[made].made, entries[found].made) == (True, False)


def test_what_is_ours_stays_ours_when_it_is_changed() -> None:
    paper = Paper()
    ref = paper.add(file("/f"), "different", applied=True)
    assert paper.work().intent.entries[ref].made


@pytest.mark.parametrize("made", [True, False])
def test_a_path_that_is_handed_over_stays_whose_it_was(made: bool) -> None:
    paper = Paper()
    paper.left(symlink("/p"), made=made)
    ref = paper.add(file("/p"), "different")
    assert paper.work().intent.entries[ref].made is made


def test_what_is_removed_is_dropped_and_no_entry() -> None:
    paper = Paper()
    left, unwanted = paper.left(file("/left")), paper.add(file("/unwanted", ensure="absent"), "as asked")
    intent = paper.work().intent
    assert set(intent.drops) == {left, unwanted}
    assert intent.entries == {}


def test_nothing_that_is_held_is_remembered_as_meant() -> None:
    paper = Paper(sync="observe")
    paper.add(file("/f"))
    work = paper.work()
    assert (work.steps, work.intent.entries, work.intent.steps) == ((), {}, {})


def test_what_the_preview_saw_reaches_the_steps() -> None:
    paper = Paper()
    ref = paper.add(package("nginx-full"))
    shown = paper.work({ref: Detail(removes=("nginx-light",))})
    assert "nginx-light" in shown.steps[0].step.run.text
    assert "nginx-light" not in paper.work().steps[0].step.run.text


def test_an_entry_holds_no_content() -> None:
    paper = Paper()
    ref = paper.add(file("/f", "hunter2\n"))
    entry: Entry = paper.work().intent.entries[ref]
    assert "hunter2" not in entry.model_dump_json()


@pytest.mark.parametrize(
    ("common", "own", "fate"),
    [
        ("0", "0", "done"),
        ("0", "1", "failed"),
        ("0", "late", "late"),
        ("1", "skipped", "failed"),
        ("skipped", "skipped", "skipped"),
        ("0", None, "unknown"),
        (None, None, "unknown"),
    ],
)
def test_the_fate_of_work_with_several_steps(common: str | None, own: str | None, fate: str) -> None:
    paper = Paper()
    one = paper.add(package("aa"))
    paper.add(package("bb"))
    statuses = {0: common, 1: own}
    answered = {number: Frame(status, b"") for number, status in statuses.items() if status is not None}
    assert fates(paper.work(), answered)[one] == fate
