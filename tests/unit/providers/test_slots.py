"""One slot of two: what it holds, what is asked of it in view of both and of the route, with real commands on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from providers.base import Change, Facts, Unknown
from providers.blue_green import RouteState, SlotState
from providers.runners.models import ComposeRunner
from providers.services import ServiceState
from providers.slots import SlotProvider, SlotSpec
from tests.unit.providers.here import SHELLS, name_of
from tests.unit.providers.running import SERVER, ProjectHere, trees

SLOTS = SlotProvider()
OLD, NEW = trees("aold", "bnew").values()
DOWN = "the Docker engine does not answer"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[ProjectHere]:
    host = ProjectHere(SLOTS, tmp_path)
    host.install(OLD)
    host.install(NEW, number=2)
    yield host
    host.tidy()


def spec(here: ProjectHere | None, slot: str, tree: Any = NEW, **fields: Any) -> SlotSpec:
    path = str(here.home) if here is not None else "/srv/shop"
    runner = SERVER.model_copy(update={"env": {"SLOT": slot, "WORD": ""}})
    needed = {"name": f"shop/{slot}", "project": "shop", "slot": slot, "path": path, "port": 8081, "runner": runner}
    return SlotSpec.model_validate(needed | {"tree": tree.digest, "commit": tree.commit} | fields)


def both(here: ProjectHere | None, tree: Any = NEW, **fields: Any) -> list[SlotSpec]:
    return [spec(here, slot, tree, **fields) for slot in ("blue", "green")]


def live(slot: str, *quarantine: str, soaked: bool = False) -> dict[str, Any]:
    """The route's answer, as the other resources of the host see it."""
    return {
        "route_shop": RouteState.model_validate({"slot": slot, "settled": True, "soaked": soaked, "quarantine": quarantine})
    }


def slots_of(here: ProjectHere, tree: Any = NEW) -> dict[str, Any]:
    return dict(here.ask(both(here, tree)))


@pytest.mark.parametrize("shell", SHELLS, ids=name_of)
def test_releases_take_turns_in_the_slots(shell: Sequence[str], tmp_path: Path) -> None:
    here = ProjectHere(SLOTS, tmp_path, shell)
    first, second = here.install(OLD), here.install(NEW, number=2)
    try:
        assert here.deploy(*both(here, OLD), route_shop=None) == ["build and start blue of shop from aaaaaaaaaa"]
        assert here.deploy(*both(here), **live("blue")) == ["build and start green of shop from bbbbbbbbbb"]
        assert [(here.home / "slots" / slot).resolve() for slot in ("blue", "green")] == [first, second]
        assert (first / "started").read_text() == "blue\n"
        assert not here.plan(both(here), **live("green"))

        [due] = here.plan(both(here), **live("green", soaked=True))
        assert SLOTS.cause(due) == "due"
        assert here.deploy(*both(here), **live("green", soaked=True)) == ["stop blue of shop"]
        assert not (first / "pid").exists()
        assert not here.plan(both(here), **live("green", soaked=True))

        assert here.deploy(*both(here, active="blue"), **live("green")) == ["start blue of shop again"]
        assert (first / "started").read_text() == "blue\nblue\n"

        here.converge(*(slot.absent() for slot in both(here)))
        assert not (here.home / "slots").exists()
        assert not list(here.home.rglob("pid"))
    finally:
        here.tidy()


def test_what_ran_in_a_slot_is_stopped_by_its_own_command_before_another_release_starts_there(here: ProjectHere) -> None:
    third = trees("third")["third"]
    here.install(third, number=3)
    here.deploy(*both(here, OLD), route_shop=None)
    here.deploy(*both(here), **live("blue"))
    here.deploy(*both(here, third), **live("green"))
    running = {path.parent.name[-7:] for path in here.home.glob("releases/*/pid")}
    assert running == {NEW.commit[:7], third.commit[:7]}
    assert slots_of(here)["shop/blue"].tree == third.digest


def test_a_slot_that_nobody_needs_yet_is_no_change(here: ProjectHere) -> None:
    assert [change.spec.ref for change in here.plan(both(here), route_shop=None)] == ["slot:shop/blue"]


def test_a_slot_is_started_again_with_the_release_and_the_settings_that_it_has(here: ProjectHere) -> None:
    here.deploy(*both(here, OLD), route_shop=None)
    here.tidy()
    other = SERVER.model_copy(update={"start": "exit 9"})
    changes = here.plan(both(here, runner=other, active="blue"), **live("blue", NEW.digest))
    assert [change.spec.ref for change in changes] == ["slot:shop/blue"]
    assert here.carry_out(SLOTS.steps(changes, Facts())) == ["start blue of shop again"]
    assert slots_of(here)["shop/blue"].running


def test_a_start_that_failed_leaves_nothing_noted_so_that_the_old_release_is_not_taken_for_the_new(here: ProjectHere) -> None:
    here.deploy(*both(here, OLD), route_shop=None)
    here.deploy(*both(here), **live("blue"))
    here.deploy(*both(here, OLD, expect={"NONE": "1"}), **live("blue"))
    (here.home / "releases" / "20261120T100001Z-aaaaaaa" / "broken").touch()
    (here.notes / "slot.blue").write_text(f"{NEW.digest} x 1\n")
    here.deploy(*both(here, OLD), **live("green"))
    assert slots_of(here)["shop/blue"].tree is None


def test_a_wrong_value_stops_the_slot_before_it_is_noted(here: ProjectHere) -> None:
    wanted = both(here, expect={"OWNER": "Archicratia"})
    (here.home / "releases" / "20261120T100002Z-bbbbbbb" / ".env").write_text("OWNER=archicratia\n")
    [step] = SLOTS.steps(here.plan(wanted, route_shop=None), Facts())
    done = here.act(step)
    assert done.returncode != 0
    assert b'OWNER is expected to be "Archicratia", and is "archicratia"' in done.stdout
    assert here.plan(wanted, route_shop=None)


def test_the_newest_release_with_a_tree_is_taken(here: ProjectHere) -> None:
    newest = here.install(NEW, number=3)
    here.deploy(*both(here), route_shop=None)
    assert (here.home / "slots" / "blue").resolve() == newest


def test_a_release_that_is_not_there_is_told(here: ProjectHere) -> None:
    [missing] = trees("cnone").values()
    [step] = SLOTS.steps(here.plan(both(here, missing), route_shop=None), Facts())
    assert b"no release in" in here.act(step).stderr


def test_what_is_unknown_of_one_of_them_holds_back_both() -> None:
    wanted = spec(None, "blue")
    for ref in ("route:shop", "slot:shop/green", "slot:shop/blue"):
        answers = {"route:shop": None, "slot:shop/blue": None, "slot:shop/green": None} | {ref: Unknown("cut")}
        aimed = SLOTS.aim(wanted, answers)
        assert isinstance(aimed, Unknown)
        assert "cut" in aimed.reason


def test_an_engine_at_rest_can_be_planned_only_where_this_run_starts_it() -> None:
    answers = {"route:shop": None, "slot:shop/blue": SlotState(tree=OLD.digest, engine=DOWN), "slot:shop/green": None}
    assert SLOTS.aim(spec(None, "blue"), answers) == Unknown(DOWN)
    aimed = SLOTS.aim(spec(None, "blue"), answers | {"service:docker": ServiceState(running=False)})
    assert isinstance(aimed, SlotSpec)


def test_what_cannot_be_started_again_is_told() -> None:
    lost = {"slot:shop/blue": SlotState(running=False), "slot:shop/green": None}
    aimed = SLOTS.aim(spec(None, "blue", active="blue"), lost | {"route:shop": live("blue", NEW.digest)["route_shop"]})
    assert isinstance(aimed, Unknown)
    assert "it is not known with which release" in aimed.reason


def test_what_is_asked_of_a_slot_does_not_depend_on_what_it_is_aimed_at() -> None:
    wanted = spec(None, "blue")
    answers = {"route:shop": live("green")["route_shop"], "slot:shop/blue": None, "slot:shop/green": SlotState(tree=NEW.digest)}
    aimed = SLOTS.aim(wanted, answers)
    assert isinstance(aimed, SlotSpec)
    assert SLOTS.want(aimed) is None
    assert (aimed.digest(), aimed.record()) == (wanted.digest(), wanted.record())


def test_a_title_names_what_is_started() -> None:
    runner = ComposeRunner(files=("c.yaml",), project="shop", services={"web_blue": "1"}, alone=False, depends=("db",))
    wanted = spec(None, "blue", runner=runner)
    [step] = SLOTS.steps([Change(wanted, None, SLOTS.want(wanted), frozenset())], Facts())
    assert step.title == "build and start web_blue from bbbbbbbbbb"
    assert {"release:shop", "service:docker"} <= set(SLOTS.links(wanted))


def test_what_is_recorded_is_enough_to_remove_it() -> None:
    wanted = spec(None, "green")
    again = SlotSpec.model_validate(wanted.record() | {"name": "shop/green", "ensure": "absent"})
    assert again.runner == wanted.runner
    assert SLOTS.want(again) is None


def test_a_slot_has_the_name_of_its_project_and_its_own() -> None:
    with pytest.raises(ValidationError, match="PROJECT/SLOT"):
        spec(None, "green", name="shop/blue")


@given(st.binary())
def test_no_answer_can_break_the_parser_or_be_taken_for_absent(out: bytes) -> None:
    assert not SLOTS.parse(out, both(None))
    for answer in SLOTS.parse(b"spec 0\nspec 1\n" + out + b"\nend\n", both(None)).values():
        assert answer is None or isinstance(answer, (Unknown, SlotState))
