from __future__ import annotations

import unicodedata
from typing import Any

import pytest

from desired.model import Address, Host, Place
from reconciler.cycle import Failure, Outcome
from reconciler.fleet_run import HostRun
from reconciler.plan import Action, Cause, FieldChange, HostPlan
from reconciler.render.lines import paint
from reconciler.render.outcome import OUTPUT_LINES, outcome_lines
from tests.unit.render.sample import HOSTILE

MOTD = Action(
    ref="file:/etc/motd",
    action="change",
    cause=Cause(why="commit"),
    fields=(FieldChange(field="mode", before="0600", after="0644"),),
)
SHELL = Action(ref="user:ops", action="create", cause=Cause(why="commit"))
RESTART = Action(ref="service:ssh", action="refresh", verb="restart", cause=Cause(why="follows", refs=("file:/etc/motd",)))


def run_of(outcome: Outcome | None, *actions: Action, name: str = "nas", **plan: Any) -> HostRun:
    host = Host(name, Place("hosts/nas.yaml"), Address("local"))
    return HostRun(host, plan=HostPlan(host=name, resources=3, actions=actions, **plan), outcome=outcome)


def shown(*runs: HostRun) -> str:
    return paint(outcome_lines(runs))


def test_what_was_done_is_told_in_the_past() -> None:
    done = Outcome("converged", {"file:/etc/motd": "done", "user:ops": "done", "refresh service:ssh": "done"})
    assert shown(run_of(done, MOTD, SHELL, RESTART)) == (
        "nas: converged, 3 of 3 changes done\n"
        "  ✓ file:/etc/motd  changed mode\n"
        "  ✓ user:ops  created\n"
        "  ✓ service:ssh  restarted\n"
        "\n"
        "1 of 1 host converged.\n"
    )


def test_a_failure_stands_at_its_place_with_the_last_words_of_the_host() -> None:
    output = "\n".join(f"line {number}" for number in range(50))
    failure = Failure("file:/etc/motd", "write file /etc/motd", "failed", output)
    text = shown(
        run_of(Outcome("failed", {"file:/etc/motd": "failed", "refresh service:ssh": "skipped"}, (failure,)), MOTD, RESTART)
    )
    assert "  ✗ file:/etc/motd  failed: write file /etc/motd\n" in text
    assert f"… {50 - OUTPUT_LINES} lines before; --json shows all" in text
    assert "      | line 49\n  · service:ssh  skipped: what it waits for did not succeed\n" in text
    assert "line 29\n" not in text
    assert text.endswith("0 of 1 host converged, 1 failed.\n")


def test_a_step_that_took_too_long_says_so() -> None:
    failure = Failure("user:ops", "add user ops", "late", "")
    assert "took too long and was ended: add user ops" in shown(
        run_of(Outcome("failed", {"user:ops": "late"}, (failure,)), SHELL)
    )


def test_fields_that_did_not_converge_are_named_and_not_called_done() -> None:
    text = shown(run_of(Outcome("failed", {"file:/etc/motd": "done"}, unconverged={"file:/etc/motd": ("mode", "owner")}), MOTD))
    assert "✗ file:/etc/motd  did not converge: mode, owner" in text
    assert "✓" not in text


def test_what_is_held_back_is_told_with_its_reason() -> None:
    held = MOTD.model_copy(update={"held": "sync: observe"})
    assert "· file:/etc/motd  held back: sync: observe" in shown(
        run_of(Outcome("converged", {"user:ops": "done"}), held, SHELL)
    )


def test_a_lost_connection_leaves_open_what_became_of_the_rest() -> None:
    outcome = Outcome("unreachable", {"file:/etc/motd": "done", "user:ops": "unknown"}, message="it broke", hint="look again")
    text = shown(run_of(outcome, MOTD, SHELL))
    assert text.startswith("nas: lost, 1 of 2 changes done\n    it broke\n    look again\n")
    assert "? user:ops  it is not known what became of it" in text


@pytest.mark.parametrize(("status", "word"), [("stale", "not applied"), ("busy", "busy")])
def test_a_host_that_was_not_begun_lists_no_work(status: Any, word: str) -> None:
    text = shown(run_of(Outcome(status, message="why", hint="what to do"), MOTD))
    assert text.startswith(f"nas: {word}\n    why\n    what to do\n\n")
    assert "file:/etc/motd" not in text


def test_the_last_line_counts_hosts_that_were_not_reached_and_those_that_are_away() -> None:
    away = run_of(None, name="laptop", problem="no answer", problem_kind="unreachable", intermittent=True)
    down = run_of(None, name="db", problem="refused", problem_kind="unreachable")
    text = shown(run_of(Outcome("converged")), away, down)
    assert text.startswith("nas: converged, 3 resources as asked\n")
    assert text.endswith("1 of 3 hosts converged, 1 away, 1 not reached.\n")


def test_what_a_host_prints_can_neither_style_nor_forge_a_line() -> None:
    failure = Failure(HOSTILE, HOSTILE, "failed", f"{HOSTILE}\r\n\x1b[2Jgone\x85next\u2028last")
    text = shown(
        run_of(
            Outcome("failed", {HOSTILE: "failed"}, (failure,), message=HOSTILE, hint=HOSTILE),
            SHELL.model_copy(update={"ref": HOSTILE}),
        )
    )
    assert all(character == "\n" or unicodedata.category(character)[0] != "C" for character in text)
    assert all(row.startswith("      | ") for row in text.split("\n") if row.strip().startswith(("| ", "gone", "next", "last")))
