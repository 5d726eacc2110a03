"""The loop neither gives up nor fights: how long it leaves alone what failed, what drifts again and again, who is silent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.loop.patience import (
    FAILED_LONGEST,
    FLAPPING_FIRST,
    FLAPPING_LONGEST,
    FLAPPING_TIMES,
    FLAPPING_WITHIN,
    FORGOTTEN,
    PACE_LONGEST,
    Patience,
    ages,
    pace,
)

HOST, REF, DIGEST = "web1", "file:/etc/motd", "aaaa"
SLACK = 1.1
"""What the spreading may add to a wait."""


def fail(patience: Patience, times: int, now: float) -> None:
    for _ in range(times):
        patience.failed(HOST, REF, DIGEST, now)


def heal(patience: Patience, times: int, now: float = 0.0, *, every: float = 60.0) -> float:
    for number in range(times):
        patience.healed(HOST, REF, now + number * every, DIGEST)
    return now + (times - 1) * every


def wait_of(patience: Patience, now: float) -> float:
    """Until when it is held, to within a second."""
    end = now
    while patience.hold(HOST, REF, DIGEST, end) is not None:
        end += 1.0
    return end - now


def test_what_never_failed_is_not_held() -> None:
    assert Patience().hold(HOST, REF, DIGEST, 5.0) is None


def test_each_failure_in_a_row_is_followed_by_a_longer_wait_up_to_a_limit() -> None:
    waits = []
    patience = Patience()
    for _ in range(12):
        fail(patience, 1, 1000.0)
        waits.append(wait_of(patience, 1000.0))
    assert waits[:4] == sorted(set(waits[:4]))
    assert waits[1] / waits[0] == pytest.approx(2, rel=0.1)
    assert FAILED_LONGEST <= waits[-1] <= FAILED_LONGEST * SLACK + 1


def test_the_reason_stays_the_same_until_it_is_tried_again() -> None:
    patience = Patience()
    fail(patience, 3, 0.0)
    reasons = {patience.hold(HOST, REF, DIGEST, now) for now in range(100)}
    assert reasons == {"it failed 3 times in a row; tried again 2 min after that"}


def test_the_reason_names_the_time_of_the_next_try_where_a_clock_is_at_hand() -> None:
    patience = Patience(clock=lambda now: f"second {now:.0f}")
    fail(patience, 1, 0.0)
    reason = patience.hold(HOST, REF, DIGEST, 1.0)
    assert reason is not None
    assert reason.startswith("it failed once; tried again at second 3")


def test_another_commit_is_tried_at_once_and_begins_to_count_anew() -> None:
    patience = Patience()
    fail(patience, 5, 0.0)
    assert patience.hold(HOST, REF, "bbbb", 1.0) is None
    patience.failed(HOST, REF, "bbbb", 1.0)
    assert "once" in str(patience.hold(HOST, REF, "bbbb", 2.0))


def test_a_success_ends_the_wait_and_the_count() -> None:
    patience = Patience()
    fail(patience, 5, 0.0)
    patience.succeeded(HOST, REF, DIGEST, 1.0)
    assert patience.hold(HOST, REF, DIGEST, 2.0) is None
    fail(patience, 1, 3.0)
    assert "once" in str(patience.hold(HOST, REF, DIGEST, 4.0))


def test_a_failure_of_one_resource_holds_no_other() -> None:
    patience = Patience()
    fail(patience, 5, 0.0)
    assert patience.hold(HOST, "file:/etc/issue", DIGEST, 1.0) is None
    assert patience.hold("web2", REF, DIGEST, 1.0) is None


def test_drift_that_was_healed_seldom_is_healed_at_once_again() -> None:
    patience = Patience()
    end = heal(patience, FLAPPING_TIMES - 1)
    assert patience.hold(HOST, REF, DIGEST, end) is None
    assert not patience.flapping(HOST, REF)


def test_drift_that_was_healed_often_but_over_a_long_time_is_not_flapping() -> None:
    patience = Patience()
    end = heal(patience, 20, every=FLAPPING_WITHIN)
    assert not patience.flapping(HOST, REF)
    assert patience.hold(HOST, REF, DIGEST, end) is None


def test_what_was_healed_three_times_within_an_hour_is_flapping_and_left_alone() -> None:
    patience = Patience()
    end = heal(patience, FLAPPING_TIMES)
    assert patience.flapping(HOST, REF)
    assert str(patience.hold(HOST, REF, DIGEST, end)).startswith("flapping: ")
    assert FLAPPING_FIRST <= wait_of(patience, end) <= FLAPPING_FIRST * SLACK + 1


def test_the_longer_it_flaps_the_longer_it_is_left_alone_up_to_six_hours() -> None:
    patience = Patience()
    now = heal(patience, FLAPPING_TIMES)
    waits = []
    for _ in range(10):
        waits.append(wait_of(patience, now))
        now += waits[-1] + 30
        patience.healed(HOST, REF, now, DIGEST)
    assert waits[1] / waits[0] == pytest.approx(2, rel=0.1)
    assert FLAPPING_LONGEST <= waits[-1] <= FLAPPING_LONGEST * SLACK + 1


def test_a_fight_is_over_when_it_stayed_right_for_an_hour_after_the_wait() -> None:
    patience = Patience()
    now = heal(patience, FLAPPING_TIMES) + FLAPPING_FIRST * SLACK + FLAPPING_WITHIN + 1
    patience.keep({HOST}, now)
    assert not patience.flapping(HOST, REF)
    patience.healed(HOST, REF, now, DIGEST)
    assert patience.hold(HOST, REF, DIGEST, now) is None


def test_another_commit_for_a_flapping_resource_is_tried_at_once() -> None:
    patience = Patience()
    end = heal(patience, FLAPPING_TIMES)
    assert patience.hold(HOST, REF, "bbbb", end) is None
    patience.healed(HOST, REF, end, "bbbb")
    assert patience.hold(HOST, REF, "bbbb", end) is None


def test_a_restart_does_not_begin_the_fight_anew() -> None:
    wall, now = 1_800_000_000.0, 12.0
    heals = [(HOST, REF, wall - age) for age in (30, 300, 600)]
    patience = Patience(ages(heals, wall, now))
    assert patience.flapping(HOST, REF)
    assert patience.hold(HOST, REF, DIGEST, now) is not None
    assert patience.hold(HOST, REF, "bbbb", now) is None


def test_heals_from_a_future_that_the_clock_no_longer_knows_count_as_of_now() -> None:
    assert ages([(HOST, REF, 2000.0), ("web2", REF, 900.0)], 1000.0, 5.0) == [("web2", REF, -95.0), (HOST, REF, 5.0)]


def test_hosts_that_left_and_waits_that_are_long_over_are_forgotten() -> None:
    patience = Patience()
    for number in range(1000):
        patience.failed(HOST, f"file:/{number}", DIGEST, 0.0)
        patience.healed("gone", f"file:/{number}", 0.0)
    patience.keep({HOST}, 1.0)
    assert len(patience._failures) == 1000
    assert not patience._fights
    patience.keep({HOST}, FORGOTTEN * 2)
    assert not patience._failures


@given(st.integers(1, 10_000), st.floats(1, 86_400), st.floats(0, 1))
def test_a_silent_host_is_asked_again_soon_then_seldom_and_never_later_than_the_limit(
    tries: int, interval: float, chance: float
) -> None:
    wait = pace(tries, interval, chance)
    assert 0 < wait <= max(interval, PACE_LONGEST) * SLACK
    assert pace(tries + 1, interval, chance) >= wait


@given(st.lists(st.tuples(st.sampled_from("fhs"), st.floats(0, 7200), st.sampled_from(["aaaa", "bbbb"])), max_size=40))
def test_whatever_happens_every_wait_ends(events: list[tuple[str, float, str]]) -> None:
    patience, now = Patience(), 0.0
    for word, pause, digest in events:
        now += pause
        if word == "f":
            patience.failed(HOST, REF, digest, now)
        elif word == "h":
            patience.healed(HOST, REF, now, digest)
        else:
            patience.succeeded(HOST, REF, digest, now)
    for digest in ("aaaa", "bbbb"):
        assert patience.hold(HOST, REF, digest, now + FLAPPING_LONGEST * SLACK + 1) is None


def test_what_was_done_and_differs_is_tried_again_at_once_and_counts_the_second_time() -> None:
    patience = Patience()
    assert patience.spared(HOST, REF, DIGEST)
    assert patience.hold(HOST, REF, DIGEST, 1.0) is None
    assert not patience.spared(HOST, REF, DIGEST)
    patience.failed(HOST, REF, DIGEST, 1.0)
    assert not patience.spared(HOST, REF, DIGEST), "what failed already has no claim to it"
    patience.succeeded(HOST, REF, DIGEST, 100.0)
    assert patience.spared(HOST, REF, DIGEST)
    assert patience.spared(HOST, REF, "bbbb"), "another commit begins anew"
    patience.keep([], 0.0)
    assert patience.spared(HOST, REF, "bbbb")
