"""An apply in several scripts: between two of them the controller asks something, and what came of it counts like a step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from providers.base import Step
from providers.shell import Sh, sh
from state.frames import Frame, finished, frames, left_inventory, stopped
from state.inventory import Entry, Intent, Record, inventory_text, parse_inventory
from state.script import Compiled, PlannedStep, Stage, compile_apply, staged_name
from tests.unit.state.shells import SHELLS, name_of, run_script

every_shell = pytest.mark.parametrize("shell", SHELLS, ids=name_of)
INTENT = Intent(entries={"route:site": Entry(digest="d" * 16, made=True)}, steps={"route:site": (0, 1, 2)})
JOURNAL = inventory_text(Record(), INTENT)


def planned(run: Sh, *after: int, rescues: bool = False) -> PlannedStep:
    return PlannedStep(Step(("route:site",), "do it", run, rescues=rescues), after)


def compiled(folder: Path, stage: Stage, *steps: PlannedStep, expected: str = "none") -> Compiled:
    return compile_apply(steps, expected=expected, journal=JOURNAL, inventory=str(folder), stage=stage)


def answers(shell: list[str], script: Compiled) -> tuple[dict[int, Frame], str]:
    done = run_script(shell, script.text)
    assert finished(done.stdout, script.nonce), done.stderr
    return frames(done.stdout, done.stderr, script.nonce), left_inventory(done.stdout, script.nonce)


def test_of_a_script_that_was_cut_no_later_stage_can_go_on() -> None:
    assert left_inventory(b"", "nonce") == "lost"


@every_shell
def test_the_second_script_goes_on_where_the_first_one_and_the_controller_stopped(shell: list[str], tmp_path: Path) -> None:
    found, left = answers(shell, compiled(tmp_path, Stage(last=False), planned(sh("echo one"))))
    assert found[0].out == b"one\n"
    stage = Stage(first=2, begins=False, outcomes={0: "0", 1: "0"}, asked=(1,))
    found, _ = answers(shell, compiled(tmp_path, stage, planned(sh("echo three"), 0, 1), expected=left))
    assert (found[2].status, found[2].out) == ("0", b"three\n")
    lines = (tmp_path / "inventory").read_text().splitlines()[3:]
    assert [json.loads(line) for line in lines] == [{"step": number, "status": "0"} for number in (0, 1, 2)]
    folded = parse_inventory((tmp_path / "inventory").read_bytes())
    assert folded.resources["route:site"].digest == "d" * 16


@every_shell
def test_what_the_controller_found_wrong_stops_what_depends_on_it(shell: list[str], tmp_path: Path) -> None:
    _, left = answers(shell, compiled(tmp_path, Stage(last=False), planned(sh(":"))))
    stage = Stage(first=2, begins=False, outcomes={0: "0", 1: "1"}, asked=(1,))
    found, _ = answers(shell, compiled(tmp_path, stage, planned(sh("echo switched"), 0, 1), expected=left))
    assert found[2] == Frame("skipped", b"")
    assert not parse_inventory((tmp_path / "inventory").read_bytes()).resources["route:site"].digest


@every_shell
def test_a_stage_does_nothing_where_another_run_came_in_between(shell: list[str], tmp_path: Path) -> None:
    answers(shell, compiled(tmp_path, Stage(last=False), planned(sh(":"))))
    stage = Stage(first=2, begins=False, outcomes={0: "0", 1: "0"}, asked=(1,))
    script = compiled(tmp_path, stage, planned(sh('touch "$folder/done"')), expected="0" * 64)
    assert stopped(run_script(shell, script.text).stdout, script.nonce) == "stale"
    assert not (tmp_path / "done").exists()


@every_shell
@pytest.mark.parametrize(
    ("outcomes", "fate"),
    [
        ({0: "0", 1: "0"}, "skipped"),
        ({0: "0", 1: "1"}, "0"),
        ({0: "late", 1: "skipped"}, "0"),
        ({0: "skipped", 1: "skipped"}, "skipped"),
    ],
)
def test_a_rescue_is_done_only_where_something_was_begun_and_failed(
    shell: list[str], tmp_path: Path, outcomes: Mapping[int, str], fate: str
) -> None:
    script = compiled(tmp_path, Stage(first=2, outcomes=outcomes), planned(sh("echo back"), 0, 1, rescues=True))
    found, _ = answers(shell, script)
    assert found[2].status == fate


@every_shell
def test_parcels_lie_in_their_order_beside_the_step_and_are_gone_after_it(shell: list[str], tmp_path: Path) -> None:
    contents = [b"first\n", b"second\n"]
    (tmp_path / "staged").mkdir()
    for content in contents:
        (tmp_path / "staged" / staged_name(content)).write_bytes(content)
    stage = Stage(parcels={0: [staged_name(content) for content in contents]})
    found, _ = answers(shell, compiled(tmp_path, stage, planned(sh('cat "$parcels/1" "$parcels/2"'))))
    assert found[0].out == b"first\nsecond\n"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["inventory", "lock"]
