"""How a commit goes over the hosts, as a state machine without hosts, and then over real ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desired.model import Address, Host, Place
from desired.policies import Rollout as Settings
from reconciler.loop.rollout import STOPPED, Rollout
from tests.fleet import Fleet
from tests.unit.reconciler.loop.boxes import Boxes
from tests.unit.reconciler.loop.turning import LONG, still, until

NAMES = ("a", "b", "c", "d")


def begun(settings: Settings | None, *, tags: dict[str, tuple[str, ...]] | None = None) -> Rollout:
    hosts = {name: Host(name, Place(f"hosts/{name}.yaml"), Address("local"), tags=(tags or {}).get(name, ())) for name in NAMES}
    rollout = Rollout()
    rollout.begin(settings, hosts)
    return rollout


def passed(rollout: Rollout, *names: str) -> None:
    for name in names:
        rollout.looked(name, left=False, failed=False)


def test_without_settings_nobody_waits() -> None:
    rollout = begun(None)
    assert [rollout.admit(name) for name in NAMES] == [None] * 4


def test_the_named_canary_goes_first_and_the_rest_when_it_has_passed() -> None:
    rollout = begun(Settings(canary="c"))
    assert rollout.admit("a") == "the rollout waits for c, which goes first"
    assert rollout.admit("c") is None
    assert rollout.affected() == []
    passed(rollout, "c")
    assert rollout.affected() == ["a"]
    assert rollout.admit("a") is None


def test_a_canary_that_has_nothing_to_do_has_to_be_looked_at_all_the_same() -> None:
    rollout = begun(Settings(canary="c"))
    assert rollout.first() == ["c"]
    assert rollout.reason("a") is not None
    passed(rollout, "c")
    assert rollout.reason("a") is None


def test_where_any_host_may_go_first_it_is_the_first_that_has_something_to_do() -> None:
    rollout = begun(Settings(canary=True))
    passed(rollout, "a")
    assert rollout.admit("b") is None
    assert rollout.admit("c") == "the rollout waits for b, which goes first"


def test_of_a_tag_one_goes_first_and_others_wait_until_it_is_known_which() -> None:
    rollout = begun(Settings(canary="tag:trial"), tags={"b": ("trial",), "c": ("trial",)})
    assert rollout.admit("a") == "the rollout waits for one of b, c, which goes first"
    assert rollout.admit("c") is None
    assert rollout.admit("b") == "the rollout waits for c, which goes first"


def test_where_no_host_of_the_tag_has_anything_to_do_the_rest_begins() -> None:
    rollout = begun(Settings(canary="tag:trial"), tags={"b": ("trial",), "c": ("trial",)})
    passed(rollout, "b", "c")
    assert rollout.admit("a") is None


def test_a_canary_that_fails_stops_the_rollout_until_it_has_passed() -> None:
    rollout = begun(Settings(canary="a", max_failures=3))
    assert rollout.admit("a") is None
    rollout.looked("a", left=True, failed=True)
    assert rollout.reason("b") == f"{STOPPED}: a, which goes first, failed"
    assert rollout.reason("a") is None, "the host itself may be tried again"
    passed(rollout, "a")
    assert rollout.reason("b") is None


def test_when_more_hosts_fail_than_may_no_further_one_is_begun() -> None:
    rollout = begun(Settings(max_failures=1))
    for name in "ab":
        assert rollout.admit(name) is None
        rollout.looked(name, left=True, failed=True)
    assert rollout.admit("c") == f"{STOPPED}: a, b failed, and 1 may"


def test_so_many_at_a_time_and_the_next_when_one_is_done() -> None:
    rollout = begun(Settings(max_parallel=2))
    assert [rollout.admit(name) for name in "ab"] == [None, None]
    assert rollout.admit("c") == rollout.admit("d") == "the rollout goes to 2 hosts at a time"
    assert rollout.affected() == []
    passed(rollout, "a")
    assert rollout.affected() == ["c"]


def test_a_host_that_waits_and_goes_away_is_not_called_up_in_place_of_another() -> None:
    rollout = begun(Settings(max_parallel=1))
    for name in "abc":
        rollout.admit(name)
    passed(rollout, "a")
    assert rollout.affected() == ["b"]
    assert rollout.looked("b", left=True, failed=True)
    assert rollout.affected() == ["c"]
    assert rollout.failed == []


def test_a_new_desired_state_begins_anew() -> None:
    rollout = begun(Settings(canary="a"))
    passed(rollout, "a", "b")
    rollout.begin(rollout.settings, {name: Host(name, Place("x"), Address("local")) for name in NAMES})
    assert rollout.reason("b") is not None


@given(
    st.fixed_dictionaries(
        {"max_failures": st.integers(0, 3)},
        optional={"canary": st.sampled_from([True, "a", "tag:none"]), "max_parallel": st.integers(1, 3)},
    ).map(Settings.model_validate),
    st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(["admit", "pass", "fail", "busy"])), max_size=40),
)
def test_whatever_happens_the_canary_is_never_skipped_and_the_limits_hold(
    settings: Settings, events: list[tuple[str, str]]
) -> None:
    rollout, working, good, bad = begun(settings), set[str](), set[str](), set[str]()
    for name, event in events:
        if event == "admit" and name not in working | good | bad:
            if rollout.admit(name) is None:
                if settings.canary is not None and (working or good or bad):
                    assert good, "somebody was begun before one had passed"
                working.add(name)
                assert settings.max_parallel is None or len(working) <= settings.max_parallel
                assert len(bad) <= settings.max_failures
        elif event == "pass" and name in working | bad:
            passed(rollout, name)
            working, bad, good = working - {name}, bad - {name}, good | {name}
        elif event == "fail" and name in working:
            rollout.looked(name, left=True, failed=True)
            working, bad = working - {name}, bad | {name}
        elif event == "busy" and name in working:
            rollout.looked(name, left=True, failed=False)


BAD = 'commands:\n  try: {run: "echo no >&2; false", creates: "@/never"}\n'


async def test_a_commit_that_breaks_the_canary_reaches_no_other_host(fleet: Fleet, boxes: Boxes, state: Path) -> None:
    rollout = f"{LONG}rollout: {{canary: b}}\n"
    good = {name: content for name in NAMES for name, content in boxes.with_file(name, "hello").items()}
    fleet.commit({"fleet.yaml": rollout, **good})
    async with still(fleet, state) as here:
        await here.looked()
        assert [boxes.text(name) for name in NAMES] == ["hello\n"] * 4
        first = next(report.host for report in here.heard.reports if report.outcome is not None)
        assert first == "b"

        fleet.commit({name: content for host in NAMES for name, content in boxes.manifest(host, BAD).items()})
        await here.looked()
        assert here.host("b").status == "failed"
        for name in "acd":
            assert here.host(name).reasons == (f"{STOPPED}: b, which goes first, failed",)
            assert [report.outcome.status for report in here.heard.of(name) if report.outcome] == ["converged"]

        (boxes.root / "a/motd").unlink(missing_ok=True)
        fleet.commit({name: content for host in NAMES for name, content in boxes.with_file(host, "mended").items()})
        await here.looked()
        assert [boxes.text(name) for name in NAMES] == ["mended\n"] * 4


async def test_drift_is_healed_while_a_rollout_stands_still(fleet: Fleet, boxes: Boxes, state: Path) -> None:
    fleet.commit({"fleet.yaml": f"{LONG}rollout: {{canary: a}}\n", **boxes.with_file("a", "x"), **boxes.with_file("b", "x")})
    async with still(fleet, state) as here:
        await here.looked()
        old = boxes.record("b").commit
        two = 'files:\n  @/motd: {content: "x\\n"}\n  @/more: {content: "y\\n"}\n'
        fleet.commit({**boxes.manifest("a", BAD), **boxes.manifest("b", two)})
        await here.looked()
        (boxes.root / "b/motd").write_text("edited\n")
        await here.visited("b")
        assert boxes.text("b") == "x\n"
        assert not (boxes.root / "b/more").exists()
        assert boxes.record("b").commit == old, "it cannot be said to be at the commit that it waits for"
        assert here.host("b").behind == 1


@pytest.mark.parametrize("parallel", [1, 2])
async def test_no_more_hosts_than_allowed_are_changed_at_a_time(fleet: Fleet, boxes: Boxes, state: Path, parallel: int) -> None:
    work = "mkdir -p @/../busy/$$; sleep 0.3; ls @/../busy >>@/../seen; rmdir @/../busy/$$; touch @/done"
    run = f'commands:\n  try: {{run: "{work}", creates: "@/done"}}\n'
    hosts = {name: content for host in NAMES for name, content in boxes.manifest(host, run).items()}
    fleet.commit({"fleet.yaml": f"{LONG}rollout: {{max_parallel: {parallel}}}\n", **hosts})
    async with still(fleet, state) as here:
        await here.loop.look()
        await until(lambda: all((boxes.root / name / "done").exists() for name in NAMES))
        await here.loop.idle()
        assert {here.host(name).status for name in NAMES} == {"converged"}
    # Each host lists who is at work when its own step ends: as many lines as hosts, were they alone.
    assert len((boxes.root / "seen").read_text().split()) <= 4 * parallel
