"""Groups: what may be asked for, how the database is read, what is done."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from providers.base import Change, Facts, State, Unknown
from providers.groups import GroupProvider, GroupSpec, GroupState, read_accounts
from tests.unit.state.shells import SHELLS, name_of, run_script

GROUPS = GroupProvider()


def steps_for(before: GroupState | None, spec: GroupSpec) -> str:
    (step,) = GROUPS.steps([Change(spec, before, GROUPS.want(spec), frozenset({"gid"}))], Facts())
    return f"{step.title}\n{step.run.text}"


@pytest.mark.parametrize("name", ["", "-r", "1000", "a b", "a:b", "a\nb", "$(id)", "a'b", "é", "a" * 33, "../x"])
def test_a_name_that_a_tool_could_misread_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        GroupSpec(name=name)


@pytest.mark.parametrize("gid", [-1, 2**32 - 1, True, "2000"])
def test_a_gid_is_a_number_that_the_kernel_has(gid: object) -> None:
    with pytest.raises(ValidationError):
        GroupSpec.model_validate({"name": "deploy", "gid": gid})


def test_a_group_that_left_the_repository_can_be_rebuilt_from_its_record() -> None:
    spec = GroupSpec(name="deploy", gid=2000)
    again = GroupSpec.model_validate({"name": "deploy", **spec.record()}).absent()
    assert GROUPS.want(again) is None


def test_a_number_is_only_compared_where_one_is_asked_for() -> None:
    assert GROUPS.want(GroupSpec(name="deploy")) == GroupState()
    assert GROUPS.want(GroupSpec(name="deploy", gid=2000)) == GroupState(gid=2000)


def test_a_group_is_made_in_one_way_whether_it_is_half_there_or_not() -> None:
    assert steps_for(None, GroupSpec(name="deploy", system=True)) == (
        "add group deploy\ngetent group deploy >/dev/null || groupadd -r -- deploy"
    )
    made = steps_for(None, GroupSpec(name="deploy", gid=2000)).split("\n", 1)[1]
    assert steps_for(GroupState(gid=1), GroupSpec(name="deploy", gid=2000)) == f"change group deploy: gid 2000\n{made}"
    assert "groupmod -g 2000 -- deploy" in made
    assert "groupadd -g 2000 -- deploy" in made


def test_removing_a_group_that_is_gone_is_no_failure() -> None:
    text = steps_for(GroupState(gid=1), GroupSpec(name="deploy", ensure="absent"))
    assert text == "remove group deploy\ngroupdel -- deploy || [ $? = 6 ]"


@given(st.binary(max_size=300))
def test_whatever_a_host_says_is_read_without_an_exception(out: bytes) -> None:
    spec = GroupSpec(name="deploy")
    assert isinstance(GROUPS.parse(out, [spec])["deploy"], State | Unknown)


@given(
    st.lists(st.sampled_from(["root:x:0:", "deploy:x:5:", "deploy:x", ":::", "end group 1", "end grou"])),
    st.sampled_from("029"),
)
def test_absent_is_only_said_after_a_whole_answer(lines: list[str], status: str) -> None:
    out = "".join(f"{line}\n" for line in [*lines, f"end group {status}"])
    answer = GROUPS.parse(out.encode(), [GroupSpec(name="deploy")])["deploy"]
    if answer is None:
        assert "root:x:0:" in lines
        assert "end group 1" not in lines[: lines.index("root:x:0:")]
        assert status in "02"


def test_the_first_entry_of_a_name_counts() -> None:
    accounts = read_accounts("root:x:0:\na:x:1:\na:x:2:\nend group 0\n", "group")
    assert accounts.entries["a"][2] == "1"


@pytest.mark.parametrize("shell", SHELLS, ids=name_of)
def test_the_probe_tells_a_group_of_this_machine_from_one_that_is_not_there(shell: list[str]) -> None:
    specs = [GroupSpec(name="root"), GroupSpec(name="surely_not_here")]
    done = run_script(shell, GROUPS.probe(specs).encode())
    assert (done.returncode, done.stderr) == (0, b"")
    assert GROUPS.parse(done.stdout, specs) == {"root": GroupState(gid=0), "surely_not_here": None}


@pytest.mark.parametrize("shell", SHELLS, ids=name_of)
def test_without_getent_the_file_is_read(shell: list[str], tmp_path: Path) -> None:
    printf = shutil.which("printf")
    assert printf
    (tmp_path / "printf").symlink_to(printf)  # mksh has none of its own
    specs = [GroupSpec(name="root"), GroupSpec(name="surely_not_here")]
    done = run_script(shell, f"PATH={tmp_path}\n".encode() + GROUPS.probe(specs).encode())
    assert (done.returncode, done.stderr) == (0, b"")
    assert GROUPS.parse(done.stdout, specs) == {"root": GroupState(gid=0), "surely_not_here": None}
