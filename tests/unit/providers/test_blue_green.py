"""Which slot has which release and which has the traffic: one decision, attacked with every state that a host can be in."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from providers.blue_green import SLOTS, Active, Decision, RouteState, SlotAim, SlotName, SlotState, decide, other

TREES = ("old", "new", "newer")
Slots = Mapping[SlotName, SlotState | None]

slot_states = st.none() | st.builds(
    SlotState, tree=st.none() | st.sampled_from(TREES), running=st.none() | st.booleans(), services=st.none()
)
route_states = st.none() | st.builds(
    RouteState,
    slot=st.none() | st.sampled_from(SLOTS),
    settled=st.booleans(),
    soaked=st.none() | st.booleans(),
    quarantine=st.lists(st.sampled_from(TREES), unique=True, max_size=3).map(tuple),
)
worlds = given(
    wanted=st.sampled_from(TREES),
    active=st.sampled_from(("auto", "blue", "green")),
    route=route_states,
    slots=st.fixed_dictionaries({"blue": slot_states, "green": slot_states}),
    stops=st.booleans(),
)


def running(tree: str) -> SlotState:
    return SlotState(tree=tree, running=True)


def live(slot: SlotName, *quarantine: str, soaked: bool = False) -> RouteState:
    return RouteState(slot=slot, settled=True, soaked=soaked, quarantine=quarantine)


def fulfilled(decision: Decision, route: RouteState | None, slots: Slots) -> tuple[RouteState | None, Slots]:
    """What a host is when all that was decided is done."""
    after: dict[SlotName, SlotState | None] = dict(slots)
    for name, aim in decision.slots.items():
        before = slots.get(name) or SlotState()
        tree = before.tree if aim.tree is None else aim.tree
        if tree is not None:
            after[name] = SlotState(tree=tree, running=before.running if aim.running is None else aim.running)
    before_route = route or RouteState()
    if not decision.serves or (after.get(decision.route) or SlotState()).tree is None:
        return route, after
    # A slot that has lost the traffic only now is warm, whatever was before.
    soaked = before_route.soaked if before_route.slot == decision.route else False
    return before_route.model_copy(update={"slot": decision.route, "settled": True, "soaked": soaked}), after


def asks_for_a_change(decision: Decision, route: RouteState | None, slots: Slots) -> bool:
    for name, aim in decision.slots.items():
        state = slots.get(name) or SlotState()
        if aim.tree not in (None, state.tree) or (aim.running not in (None, state.running) and (aim.tree or state.tree)):
            return True
    holds = (slots.get(decision.route) or SlotState()).tree is not None
    return decision.serves and holds and (route is None or route.slot != decision.route)


@worlds
def test_what_was_decided_and_done_is_decided_again_and_asks_for_nothing(
    wanted: str, active: Active, route: RouteState | None, slots: Slots, stops: bool
) -> None:
    for _ in range(2):  # what is in quarantine is stopped once it has lost the traffic: a step of its own
        decision = decide(wanted, active, route, slots, stop_after_soak=stops)
        route, slots = fulfilled(decision, route, slots)
    again = decide(wanted, active, route, slots, stop_after_soak=stops)
    assert not asks_for_a_change(again, route, slots), (again, route, slots)


@worlds
def test_a_slot_with_the_traffic_is_never_stopped_and_never_given_another_release(
    wanted: str, active: Active, route: RouteState | None, slots: Slots, stops: bool
) -> None:
    decision = decide(wanted, active, route, slots, stop_after_soak=stops)
    for name in {decision.route, *([route.slot] if route is not None and route.slot is not None else [])}:
        aim = decision.slots.get(name, SlotAim())
        assert aim.running is not False
    state = slots.get(route.slot) if route is not None and route.slot is not None else None
    if route is not None and route.slot is not None and state is not None and state.tree is not None:
        assert decision.slots.get(route.slot, SlotAim()).tree in (None, state.tree)


@worlds
def test_a_tree_in_quarantine_is_neither_started_nor_given_the_traffic(
    wanted: str, active: Active, route: RouteState | None, slots: Slots, stops: bool
) -> None:
    bad = (route.quarantine if route is not None else None) or ()
    decision = decide(wanted, active, route, slots, stop_after_soak=stops)
    assert not {aim.tree for aim in decision.slots.values()} & set(bad)
    moved = route is None or decision.route != route.slot
    state = slots.get(decision.route)
    aim = decision.slots.get(decision.route, SlotAim())
    if moved and decision.serves:
        assert (aim.tree or (state.tree if state is not None else None)) not in bad
    assert decision.quarantined or wanted not in bad or decision.route == active


@worlds
def test_where_a_slot_is_named_only_a_commit_moves_the_traffic(
    wanted: str, active: Active, route: RouteState | None, slots: Slots, stops: bool
) -> None:
    decision = decide(wanted, active, route, slots, stop_after_soak=stops)
    if route is not None and route.slot is not None and active == route.slot:
        assert decision.route == active
    if active != "auto" and (route is None or route.slot is None):
        assert decision.route == active


@worlds
def test_what_gets_the_traffic_is_made_to_run_first(
    wanted: str, active: Active, route: RouteState | None, slots: Slots, stops: bool
) -> None:
    decision = decide(wanted, active, route, slots, stop_after_soak=stops)
    if decision.serves:
        assert decision.slots[decision.route].running


def test_the_first_release_goes_to_blue_and_gets_the_traffic() -> None:
    decision = decide("new", "auto", None, {"blue": None, "green": None})
    assert decision == Decision("blue", {"blue": SlotAim("new", running=True)})


def test_a_new_release_takes_over_in_the_slot_without_traffic() -> None:
    decision = decide("new", "auto", live("blue"), {"blue": running("old"), "green": None})
    assert decision.route == "green"
    assert decision.slots == {"green": SlotAim("new", running=True)}


def test_a_named_slot_keeps_the_traffic_and_the_new_release_is_prepared_beside_it() -> None:
    decision = decide("new", "blue", live("blue"), {"blue": running("old"), "green": None})
    assert (decision.route, decision.prepared) == ("blue", "green")
    assert decision.slots["green"] == SlotAim("new", running=True)


def test_going_back_by_commit_takes_the_other_slot_as_it_is() -> None:
    decision = decide("new", "blue", live("green"), {"blue": running("old"), "green": running("new")})
    assert (decision.route, decision.slots["blue"]) == ("blue", SlotAim(None, running=True))


def test_a_named_slot_that_holds_a_failed_release_gets_the_wanted_one_before_the_traffic() -> None:
    decision = decide("new", "blue", live("green", "old"), {"blue": running("old"), "green": running("new")})
    assert (decision.route, decision.slots["blue"]) == ("blue", SlotAim("new", running=True))


def test_the_old_slot_is_stopped_when_its_time_has_come_and_kept_where_that_is_asked() -> None:
    slots: Slots = {"blue": running("old"), "green": running("new")}
    assert decide("new", "auto", live("green", soaked=True), slots).slots["blue"] == SlotAim(running=False)
    assert "blue" not in decide("new", "auto", live("green", soaked=True), slots, stop_after_soak=False).slots
    assert "blue" not in decide("new", "auto", live("green"), slots).slots


def test_what_failed_is_left_to_be_looked_at_for_a_while_and_then_stopped_in_any_case() -> None:
    slots: Slots = {"blue": running("new"), "green": running("old")}
    assert "blue" not in decide("new", "auto", live("green", "new"), slots).slots
    for stops in (True, False):
        decision = decide("new", "auto", live("green", "new", soaked=True), slots, stop_after_soak=stops)
        assert decision.slots["blue"] == SlotAim(running=False)


def test_a_live_slot_that_does_not_start_cannot_keep_its_successor_from_taking_over() -> None:
    decision = decide("new", "auto", live("blue"), {"blue": SlotState(tree="old", running=False), "green": None})
    assert decision.route == "green"
    assert "blue" not in decision.slots


def test_a_rescue_that_died_before_it_switched_back_is_finished() -> None:
    slots: Slots = {"blue": running("old"), "green": running("new")}
    decision = decide("new", "auto", live("green", "new"), slots)
    assert (decision.route, decision.quarantined) == ("blue", True)


def test_where_all_is_in_quarantine_nothing_gets_the_traffic() -> None:
    decision = decide("new", "auto", RouteState(quarantine=("new",)), {"blue": None, "green": running("new")})
    assert not decision.serves


def test_the_other_slot_is_the_other_one() -> None:
    assert [other(slot) for slot in SLOTS] == ["green", "blue"]
