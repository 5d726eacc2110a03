"""What goes together and what waits for what, shown on hosts of paper and held on any that hypothesis can think of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from reconciler.draft import draft
from reconciler.order import REFRESH, Batch
from reconciler.work import make_work
from state.inventory import Intent, Record, fold
from tests.unit.reconciler.paper import Found, Paper, command, directory, file, names_of, package, service, symlink


def test_what_is_of_one_kind_and_waits_for_nothing_goes_together() -> None:
    paper = Paper()
    paper.add(package("jq"))
    paper.add(package("nginx"))
    paper.add(file("/f"))
    assert paper.order == [["package:apt/jq", "package:apt/nginx"], ["file:/f"]]


def test_packages_are_one_transaction_whether_they_come_or_go() -> None:
    paper = Paper()
    paper.add(package("telnet", ensure="absent"), "as asked")
    paper.add(package("jq"))
    assert paper.order == [["package:apt/telnet", "package:apt/jq"]]


def test_where_nothing_else_decides_the_kind_does() -> None:
    paper = Paper()
    for spec in (service("s"), command("c", unless="false"), file("/f"), symlink("/l"), directory("/d"), package("pp")):
        paper.add(spec, "different" if spec.kind in ("service", "command") else "missing")
    assert [name for names in paper.order for name in names] == [
        "package:apt/pp",
        "directory:/d",
        "symlink:/l",
        "file:/f",
        "command:c",
        "service:s",
    ]


def test_what_is_needed_comes_first_against_the_usual_order_of_kinds() -> None:
    paper = Paper()
    key = paper.add(file("/etc/key"))
    app = paper.add(package("app"), needs=[key])
    assert paper.order == [[key], [app]]


def test_of_two_packages_only_the_one_that_needs_something_waits_for_it() -> None:
    paper = Paper()
    key = paper.add(file("/etc/key"))
    free, bound = paper.add(package("free")), paper.add(package("bound"), needs=[key])
    assert [(names_of(batch), set(batch.after)) for batch in paper.batches] == [
        ([free], set()),
        ([key], set()),
        ([bound], {key}),
    ]


def test_packages_that_are_ready_at_once_and_wait_for_different_things_are_not_mixed() -> None:
    """One transaction for both would be skipped as a whole when only one of the two things fails."""
    paper = Paper()
    one, two = paper.add(directory("/1")), paper.add(directory("/2"))
    first, second = paper.add(package("aa"), needs=[one]), paper.add(package("bb"), needs=[two])
    assert [(names_of(batch), set(batch.after)) for batch in paper.batches[1:]] == [([first], {one}), ([second], {two})]


def test_what_is_as_asked_hands_on_what_it_waits_for() -> None:
    paper = Paper()
    app = paper.add(package("app"))
    folder = paper.add(directory("/etc/app"), "as asked", needs=[app])
    inner = paper.add(directory("/etc/app/d"), "as asked", needs=[folder])
    config = paper.add(file("/etc/app/d/f"), needs=[inner])
    assert [(names_of(batch), set(batch.after)) for batch in paper.batches] == [([app], set()), ([config], {app})]


def test_what_is_held_is_not_sent_and_what_differs_behind_it_is() -> None:
    paper = Paper()
    app = paper.add(package("app"))
    held = paper.add(directory("/d", sync="observe"), "different", needs=[app])
    config = paper.add(file("/d/f"), needs=[held])
    assert [(names_of(batch), set(batch.after)) for batch in paper.batches] == [([app], set()), ([config], {app})]


def test_a_refresh_waits_for_all_that_it_follows_and_for_the_own_change() -> None:
    paper = Paper()
    one, two = paper.add(file("/1")), paper.add(symlink("/2"))
    app = paper.add(service("app", enabled=True), "different", follows=[one, two])
    last = paper.batches[-1]
    assert names_of(last) == [REFRESH + app]
    assert last.after == {one, two, app}


def test_what_needs_a_service_waits_for_its_restart() -> None:
    paper = Paper()
    config = paper.add(file("/f"))
    database = paper.add(service("database"), "as asked", follows=[config])
    paper.add(service("app"), "different", needs=[database])
    assert paper.order == [[config], [REFRESH + database], ["service:app"]]
    assert paper.batches[-1].after == {REFRESH + database}


def test_what_left_the_repository_goes_last_and_packages_of_it_go_together() -> None:
    paper = Paper()
    for spec in (directory("/a"), package("one"), file("/a/f"), package("two"), service("s")):
        paper.left(spec)
    paper.add(service("new"), "different")
    assert paper.order == [
        ["service:new"],
        ["service:s"],
        ["file:/a/f"],
        ["directory:/a"],
        ["package:apt/two", "package:apt/one"],
    ]


def test_a_chain_of_a_thousand_keeps_its_order() -> None:
    paper = Paper()
    last: list[str] = []
    for number in range(1000):
        last = [paper.add(command(f"c{number}", unless="false"), "different", needs=last)]
    assert paper.order == [[f"command:c{number}"] for number in range(1000)]


MAKERS = (
    lambda n: package(f"p{n}"),
    lambda n: directory(f"/d{n}"),
    lambda n: symlink(f"/l{n}"),
    lambda n: file(f"/f{n}"),
    lambda n: file(f"/g{n}", sync="observe"),
    lambda n: command(f"c{n}", unless="test -e /x"),
    lambda n: service(f"s{n}"),
)
STATES: tuple[Found, ...] = ("missing", "as asked", "as asked", "different", "unknown")


@st.composite
def hosts(draw: st.DrawFn) -> Paper:
    """Any graph of resources in any state, with refreshes that are due and things that left the repository."""
    paper = Paper(sync=draw(st.sampled_from(["enforce", "enforce", "deploy"])))
    for number in range(draw(st.integers(0, 12))):
        spec = draw(st.sampled_from(MAKERS))(number)
        earlier = st.lists(st.sampled_from(sorted(paper.resources)), max_size=3) if paper.resources else st.just([])
        found = draw(st.sampled_from(STATES))
        ref = paper.add(spec, found, needs=draw(earlier), follows=draw(earlier), applied=draw(st.booleans()))
        if draw(st.integers(0, 9)) == 0:
            paper.pending[ref] = "file:/before"
    for number in draw(st.lists(st.integers(100, 104), unique=True, max_size=3)):
        paper.left(draw(st.sampled_from(MAKERS[:4]))(number), made=draw(st.booleans()))
    return paper


def positions(batches: list[Batch]) -> dict[str, int]:
    return {name: index for index, batch in enumerate(batches) for name in names_of(batch)}


def ancestors(paper: Paper, ref: str) -> set[str]:
    """Everything that `ref` needs, however far away."""
    found: set[str] = set()
    waiting = [ref]
    while waiting:
        needed = set(paper.resources[waiting.pop()].needs) - found
        found |= needed
        waiting += needed
    return found


@given(hosts())
def test_every_change_that_is_not_held_is_sent_exactly_once(paper: Paper) -> None:
    drafted = paper.draft
    sent = [name for names in paper.order for name in names]
    refreshed = [REFRESH + item.ref for item in drafted.refreshes if item.held is None]
    assert sorted(sent) == sorted([item.ref for item in drafted.active] + refreshed)


@given(hosts())
def test_nothing_is_sent_before_what_it_needs_however_far_away_that_is(paper: Paper) -> None:
    at = positions(paper.batches)
    for name, position in at.items():
        ref = name.removeprefix(REFRESH)
        if ref not in paper.resources:
            continue
        for other in ancestors(paper, ref):
            assert at.get(other, -1) < position
            assert at.get(REFRESH + other, -1) < position
        if name.startswith(REFRESH):
            assert at.get(ref, -1) < position


@given(hosts())
def test_a_batch_is_of_one_kind_and_waits_only_for_what_was_sent_before(paper: Paper) -> None:
    done: set[str] = set()
    for batch in paper.batches:
        assert {item.provider for item in batch.work} == {batch.provider}
        assert batch.after <= done
        done |= set(names_of(batch))


@given(hosts())
def test_steps_wait_only_for_earlier_ones_and_no_work_is_without_a_step(paper: Paper) -> None:
    work = paper.work()
    for number, planned in enumerate(work.steps):
        assert all(earlier < number for earlier in planned.after)
    assert all(work.names.values())
    assert sorted(number for numbers in work.names.values() for number in numbers) == sorted(
        number for number, planned in enumerate(work.steps) for _ in planned.step.refs
    )


def sent(paper: Paper) -> tuple[list[str], Intent]:
    work = paper.work()
    return [f"{planned.step.title} {planned.after}" for planned in work.steps], work.intent


@given(hosts(), st.randoms(use_true_random=False))
def test_the_same_host_is_given_the_same_steps_whatever_order_the_answers_came_in(paper: Paper, chance: object) -> None:
    before = sent(paper)
    answers = list(paper.answers.items())
    chance.shuffle(answers)  # type: ignore[attr-defined]  # random.Random
    paper.answers = dict(answers)
    assert sent(paper) == before


@given(hosts())
def test_what_is_unknown_or_held_is_in_no_step_and_neither_is_what_needs_the_unknown(paper: Paper) -> None:
    drafted = paper.draft
    touched = {name.removeprefix(REFRESH) for name in positions(paper.batches)}
    unknown = {doubt.resource.ref for doubt in drafted.doubts}
    assert not touched & unknown
    assert not {ref for ref in touched & paper.resources.keys() if ancestors(paper, ref) & unknown}


@given(hosts())
def test_once_everything_is_as_asked_nothing_is_left_to_do(paper: Paper) -> None:
    for resource in paper.resources.values():
        paper.add(resource.spec, "as asked", needs=resource.needs, follows=resource.follows)
    for ref in paper.entries.keys() - paper.resources.keys():
        paper.answers[ref] = None
    paper.pending.clear()
    assert paper.draft.empty


@given(hosts(), st.data())
def test_wherever_a_run_dies_no_refresh_is_lost(paper: Paper, data: st.DataObject) -> None:
    """Steps end as they like, the run dies after any of them; what changed is told to its followers by the next plan."""
    drafted = paper.draft
    work = make_work(drafted, None)
    done = dict(enumerate(data.draw(st.lists(st.sampled_from(["0", "0", "1"]), max_size=len(work.steps)))))
    record = fold(drafted.inventory.record, work.intent, done)
    changed = {ref for ref, steps in work.intent.steps.items() if any(done.get(step) == "0" for step in steps)}
    refreshed = {ref for ref, step in work.intent.refresh.items() if done.get(step) == "0"}
    owed = {refresh.ref for refresh in drafted.refreshes if changed & set(refresh.because)} - refreshed
    assert owed <= record.pending.keys()
    next_plan = draft(paper.host, replace(drafted.snapshot, inventory=drafted.inventory.model_copy(update={"record": record})))
    again: Mapping[str, object] = {refresh.ref: refresh for refresh in next_plan.refreshes}
    assert owed <= again.keys() | {planned.ref for planned in next_plan.changes}


@given(hosts())
def test_a_run_that_did_all_it_meant_to_leaves_nothing_owed_but_what_was_held(paper: Paper) -> None:
    drafted = paper.draft
    work = make_work(drafted, None)
    record: Record = fold(drafted.inventory.record, work.intent, dict.fromkeys(range(len(work.steps)), "0"))
    held = {refresh.ref for refresh in drafted.refreshes if refresh.held is not None}
    quiet = drafted.inventory.record.pending.keys() - {refresh.ref for refresh in drafted.refreshes}
    assert record.pending.keys() <= held | quiet
