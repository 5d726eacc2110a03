"""The inventory: whoever dies while it is written or acted upon, what it says afterwards is true."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.inventory import Entry, Intent, Inventory, Record, fold, inventory_text, parse_inventory

OLD = Entry(digest="old", made=False)
NEW = Entry(digest="new", made=True)
FILE, SERVICE = "file:/etc/a", "service:a"


def after(intent: Intent, *statuses: str, record: Record | None = None) -> Inventory:
    """What the next reader sees when the run got as far as `statuses`."""
    lines = "".join(f'{{"step":{number},"status":"{status}"}}\n' for number, status in enumerate(statuses))
    return parse_inventory((inventory_text(record or Record(), intent) + lines).encode())


def test_no_file_is_an_empty_inventory() -> None:
    assert parse_inventory(b"") == Inventory(record=Record(), read_digest="none")


def test_a_record_comes_back_as_it_was_written() -> None:
    record = Record(commit="c", resources={FILE: NEW, SERVICE: OLD}, pending={SERVICE: FILE})
    read = parse_inventory(inventory_text(record).encode())
    assert (read.record, read.unfinished, read.broken) == (record, False, None)


def test_equal_records_are_equal_bytes() -> None:
    one = Record(resources={FILE: NEW, SERVICE: OLD})
    other = Record(resources={SERVICE: OLD, FILE: NEW})
    assert inventory_text(one) == inventory_text(other)


def test_a_resource_whose_step_succeeded_is_ours() -> None:
    read = after(Intent(entries={FILE: NEW}, steps={FILE: (0,)}), "0")
    assert read.unfinished
    assert read.resources == {FILE: NEW}


def test_a_resource_whose_step_was_cut_off_is_ours_but_not_known_to_be_as_asked() -> None:
    read = after(Intent(entries={FILE: NEW}, steps={FILE: (0,)}))
    assert read.resources == {FILE: Entry(digest="", made=True)}


def test_a_step_that_was_never_begun_made_nothing() -> None:
    read = after(Intent(entries={"file:/x": NEW, FILE: NEW}, steps={"file:/x": (0,), FILE: (2,)}), "0")
    assert read.resources == {"file:/x": NEW}


def test_what_was_there_before_us_is_not_ours_because_a_step_failed() -> None:
    changed = Entry(digest="new", made=False)
    read = after(Intent(entries={FILE: changed}, steps={FILE: (0,)}), "1", record=Record(resources={FILE: OLD}))
    assert read.resources == {FILE: OLD}


def test_a_resource_of_two_steps_is_done_when_both_are() -> None:
    intent = Intent(entries={FILE: NEW}, steps={FILE: (0, 1)})
    assert after(intent, "0", "0").resources[FILE].digest == "new"
    assert after(intent, "0", "1").resources[FILE].digest == ""


def test_what_could_not_be_removed_stays_on_the_list() -> None:
    intent = Intent(drops=(FILE, SERVICE), steps={FILE: (0,), SERVICE: (1,)})
    read = after(intent, "0", "1", record=Record(resources={FILE: NEW, SERVICE: NEW}))
    assert read.resources == {SERVICE: NEW}


REFRESHING = Intent(entries={FILE: NEW}, steps={FILE: (0,)}, refresh={SERVICE: 1}, causes={SERVICE: {FILE: (0,)}})


@pytest.mark.parametrize("statuses", [(), ("0",), ("0", "1"), ("0", "late"), ("0", "skipped"), ("1", "skipped"), ("late",)])
def test_a_restart_that_a_run_did_not_come_to_is_pending_where_something_may_have_changed(statuses: tuple[str, ...]) -> None:
    assert after(REFRESHING, *statuses).record.pending == {SERVICE: FILE}


def test_a_restart_that_was_done_is_not_pending() -> None:
    assert after(REFRESHING, "0", "0").record.pending == {}


def test_nothing_is_restarted_for_a_change_that_was_skipped() -> None:
    assert after(REFRESHING, "skipped", "skipped").record.pending == {}


def test_what_was_skipped_is_not_ours_though_a_later_step_was_begun() -> None:
    intent = Intent(entries={FILE: NEW}, steps={FILE: (1,), SERVICE: (2,)})
    assert after(intent, "1", "skipped", "0").resources == {}


def test_a_pending_restart_stays_pending_until_it_is_done() -> None:
    record = Record(pending={SERVICE: FILE})
    intent = Intent(refresh={SERVICE: 0})
    assert after(intent, "1", record=record).record.pending == {SERVICE: FILE}
    assert after(intent, "0", record=record).record.pending == {}


@given(st.lists(st.sampled_from(["0", "1", "late", "skipped"]), max_size=3))
def test_folding_what_was_folded_changes_nothing(statuses: list[str]) -> None:
    intent = REFRESHING.model_copy(update={"drops": ("file:/gone",), "steps": {FILE: (0,), "file:/gone": (2,)}})
    record = Record(resources={"file:/gone": NEW})
    done = dict(enumerate(statuses))
    once = fold(record, intent, done)
    assert fold(once, intent, done) == once


def test_a_line_that_a_crash_cut_off_does_not_count() -> None:
    text = inventory_text(Record(), Intent(entries={FILE: NEW}, steps={FILE: (0,)})) + '{"step":0,"sta'
    assert parse_inventory(text.encode()).resources == {FILE: Entry(digest="", made=True)}


@pytest.mark.parametrize(
    "text",
    [
        "\n",
        "{}\nx\n",
        '{"format":2}\n',
        "[]\n",
        '{"format":1}\n{}\n{"step":"x"}\n',
        '{"format":1,"resources":{"a":1}}\n',
        "[" * 9999 + "\n",
    ],
    ids=range(7),
)
def test_a_file_that_is_not_ours_owns_nothing_and_is_said_to_be_broken(text: str) -> None:
    read = parse_inventory(text.encode())
    assert read.broken
    assert read.resources == {}


@given(st.binary())
def test_anything_can_be_read(noise: bytes) -> None:
    read = parse_inventory(noise)
    assert read.broken or not read.resources
