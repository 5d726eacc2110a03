from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from reconciler.plan import Action, Cause, HostPlan, Plan
from reconciler.render.lines import cells, paint
from reconciler.render.terminal import DIFF_LINES, plan_lines
from tests.unit.render.sample import COMMIT, HOSTILE_PLAN, NAS, PLAN

GOLDEN = Path(__file__).with_name("plan-80-columns.txt")


def shown(plan: Plan, *, width: int | None = None, diff: bool = True, allowed: int | None = None) -> str:
    return paint(plan_lines(plan, diff=diff, allowed=allowed), width=width)


def only(action: Action) -> Plan:
    return Plan(commit=COMMIT, hosts=(HostPlan(host="nas", actions=(action,)),))


def test_a_plan_with_everything_in_it_looks_as_it_was_agreed() -> None:
    assert shown(PLAN, width=80, allowed=1) == GOLDEN.read_text()


def test_only_what_must_not_be_broken_is_wider_than_the_terminal() -> None:
    wide = [row for row in shown(PLAN, width=80).split("\n") if cells(row) > 80]
    assert [row.strip()[:12] for row in wide] == ["~ file:/srv/"]


def test_a_host_with_nothing_to_do_takes_one_line() -> None:
    assert "web2: nothing to do, 12 resources as asked\n" in shown(PLAN)


def test_a_host_that_cannot_be_asked_hides_no_other() -> None:
    text = shown(PLAN)
    assert "db: unreachable: db.lan:22 refuses the connection\n    is sshd running there?\n" in text
    assert "web3: nothing to do" in text
    assert "laptop: away: no answer within 10 s" in text


def test_without_diffs_the_digests_say_that_the_content_differs() -> None:
    text = shown(PLAN, diff=False)
    assert "+worker_processes" not in text
    assert "content: aaaaaaaaaaaa → bbbbbbbbbbbb" in text


def test_a_long_diff_is_cut_and_says_so() -> None:
    diff = tuple(f"+{number}" for number in range(DIFF_LINES + 5))
    text = shown(only(Action(ref="file:/a", action="change", cause=Cause(why="commit"), diff=diff)))
    assert f"+{DIFF_LINES - 1}\n" in text
    assert f"+{DIFF_LINES}\n" not in text
    assert "5 more lines; --json shows all" in text


def test_a_removed_line_that_begins_with_dashes_is_not_taken_for_a_header() -> None:
    diff = ("--- now", "+++ wanted", "@@ -1 +1 @@", "--- a comment in SQL")
    painted = paint(plan_lines(only(Action(ref="file:/a", action="change", cause=Cause(why="commit"), diff=diff))), color=True)
    assert "\x1b[31m--- a comment in SQL\x1b[0m" in painted
    assert "wanted" not in painted


def test_the_budget_is_named_with_every_deletion_when_it_is_exceeded() -> None:
    text = shown(PLAN, allowed=1)
    assert "the plan makes 2 deletions, and 1 is allowed:" in text
    assert "    - nas package:apt/apache2\n    - nas file:/etc/old\n" in text
    assert "--allow-deletions 2" in text
    assert "is allowed" not in shown(PLAN, allowed=2)


@pytest.mark.parametrize(
    ("applied", "words"),
    [("abcdef0123456789", "drift: it is not what commit abcdef0123 left"), (None, "drift: it is not what an earlier run left")],
)
def test_drift_names_the_commit_that_was_left(applied: str | None, words: str) -> None:
    action = Action(ref="file:/a", action="change", cause=Cause(why="drift", place="hosts/nas.yaml:1:1"))
    assert f"{words}, hosts/nas.yaml:1:1" in shown(Plan(hosts=(HostPlan(host="nas", applied=applied, actions=(action,)),)))


def test_a_plan_of_the_working_tree_says_so() -> None:
    text = shown(Plan(hosts=(NAS,)))
    assert "Plan for the working tree, 1 host" in text
    assert "+ user:ops  create  hosts/nas.yaml:12:3\n" in text


def test_an_empty_plan_ends_with_nothing_to_do() -> None:
    assert shown(Plan(commit=COMMIT, hosts=(HostPlan(host="nas", resources=2),))).endswith("\nNothing to do.\n")


@pytest.mark.parametrize("width", [None, 40, 80])
def test_text_from_hosts_and_repositories_can_neither_style_nor_forge_a_line(width: int | None) -> None:
    text = shown(HOSTILE_PLAN, width=width, allowed=0)
    assert all(character == "\n" or unicodedata.category(character)[0] != "C" for character in text)
    assert not any(row.strip().startswith("forged") for row in text.split("\n")) or width is not None
    assert "\\x1b[31mred" in text
    assert "[/bold]" in text
