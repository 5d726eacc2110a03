from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from reconciler.plan import Action, Cause, HostPlan, Plan
from reconciler.render.markdown import plan_markdown
from tests.unit.render.sample import COMMIT, HOSTILE_PLAN, PLAN

SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")


def test_markdown_tells_the_same_story() -> None:
    text = plan_markdown(PLAN)
    assert text.startswith("## Plan for commit 1a2b3c4d5e\n\n**2 to create, 1 to change, 1 to delete")
    assert "- `~` `file:/etc/nginx/nginx.conf` change\n  - drift: it is not what commit `0f0e0d0c0b` left" in text
    assert "  ```diff\n  --- now\n" in text
    assert "### `db`\n\n- ⚠ **unreachable**: `db.lan:22 refuses the connection`" in text
    assert text.endswith("Nothing to do on `web1`, `web2`, `web3`.\n")


def test_a_long_diff_is_folded_away() -> None:
    action = Action(ref="file:/a", action="change", cause=Cause(why="commit"), diff=tuple("+x" for _ in range(40)))
    text = plan_markdown(Plan(commit=COMMIT, hosts=(HostPlan(host="nas", actions=(action,)),)))
    assert "<details><summary>40 lines of diff</summary>" in text
    assert text.count("<details>") == text.count("</details>") == 1


def test_nothing_foreign_stands_outside_of_code() -> None:
    outside = "".join(
        SPAN.sub("", row) for row in re.sub(r"(?s)(`{3,})diff\n.*?\1", "", plan_markdown(HOSTILE_PLAN)).split("\n")
    )
    for trap in ("javascript", "<img", "@all", "evil", "[/bold]", "\x1b", "\u202e"):
        assert trap not in outside, trap


@given(st.text(min_size=1))
def test_a_fence_is_longer_than_any_run_of_backticks_in_its_diff(content: str) -> None:
    action = Action(ref="file:/a", action="change", cause=Cause(why="commit"), diff=(content, "+```"))
    rows = plan_markdown(Plan(commit=COMMIT, hosts=(HostPlan(host="nas", actions=(action,)),))).split("\n")
    fence = next(row.strip().removesuffix("diff") for row in rows if row.strip().startswith("```"))
    assert sum(row.strip() == fence for row in rows) == 1
    assert all(fence not in row for row in rows if row.strip() not in (fence, f"{fence}diff"))


@given(st.text(min_size=1, max_size=30))
def test_a_reference_is_one_code_span_whatever_it_is_called(ref: str) -> None:
    action = Action(ref=ref, action="delete", cause=Cause(why="pruned"))
    text = plan_markdown(Plan(commit=COMMIT, hosts=(HostPlan(host="nas", actions=(action,)),)))
    row = next(row for row in text.split("\n") if row.startswith("- `-`"))
    assert SPAN.sub("", row) == "-   remove"
