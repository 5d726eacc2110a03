"""Cron entries: what may be asked for, how files are read back, what is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from providers.base import Change, Facts, State, Unknown
from providers.cron import HEADER, CronProvider, CronSpec, CronState
from tests.unit.state.shells import SHELLS, name_of, run_script

CRON = CronProvider()
PATH = "/etc/cron.d/backup"
WORDS = st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="%"), min_size=1, max_size=40)


def entry(**fields: object) -> CronSpec:
    return CronSpec.model_validate({"name": "backup", "schedule": "@daily", "command": "true", **fields})


def written(spec: CronSpec) -> bytes:
    (step,) = CRON.steps([Change(spec, None, CRON.want(spec), frozenset())], Facts())
    assert step.blob is not None
    return step.blob


def answer(content: bytes) -> object:
    head = f"files\nstat {len(content)} 81a4 0 {PATH}\nread {PATH}\ncontents\n".encode()
    return CRON.parse(head + content + b"\nend files\n", [entry()])["backup"]


@pytest.mark.parametrize("name", ["", "a.b", "a/b", "../x", "-x", "a b", "a\nb", "x~", "é", "$(id)"])
def test_a_name_that_cron_would_skip_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        CronSpec(name=name, schedule="@daily", command="true")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"schedule": "61 * * * *"}, "the minute 61 is not between 0 and 59"),
        ({"schedule": None}, "schedule and command are needed"),
        ({"command": ""}, "the command is empty"),
        ({"command": "   "}, "the command is empty"),
        ({"command": "a\n* * * * * root b"}, "line break"),
        ({"command": "date +%F"}, r'cron turns "%" into a line break: write "\%"'),
        ({"command": r"date +\\%F"}, "cron turns"),
        ({"command": "x" * 999}, "longer than the 998 bytes"),
        ({"command": "\udc80"}, "surrogates not allowed"),
        ({"user": "root x"}, "name of an account"),
        ({"env": {"A=B": "x"}}, "pattern"),
        ({"env": {"A": "x\ny"}}, "line break"),
        ({"env": {"A": "\"it's"}}, "both kinds of quotes"),
        ({"env": {"A": "x" * 899}}, "longer than"),
        ({"comment": "a\nb"}, "line break"),
    ],
)
def test_a_wrong_value_is_refused_with_its_reason(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        entry(**fields)
    assert message in str(caught.value)


def test_an_entry_that_left_the_repository_can_be_rebuilt_from_its_record() -> None:
    again = CronSpec.model_validate({"name": "backup", **entry(env={"A": "b"}).record()}).absent()
    assert CRON.want(again) is None
    assert CronSpec(name="backup", ensure="absent").schedule is None


def test_the_file_holds_one_job_with_its_variables() -> None:
    spec = entry(schedule="17  3 * * *", command=r"date +\%F", user="ops", env={"MAILTO": "", "X": " it's "}, comment="Nightly")
    assert written(spec).decode() == (f'{HEADER}\n# Nightly\nMAILTO=""\nX=" it\'s "\n17 3 * * * ops date +\\%F\n')


@given(WORDS, st.dictionaries(st.from_regex(r"\A[A-Z_][A-Z0-9_]{0,9}\Z"), WORDS, max_size=3), WORDS)
def test_what_is_written_reads_back_as_what_is_wanted(command: str, env: dict[str, str], comment: str) -> None:
    try:
        spec = entry(command=command, env=env, comment=comment)
    except ValidationError:
        return
    assert answer(written(spec)) == CRON.want(spec)


def test_blanks_and_the_order_of_variables_do_not_matter() -> None:
    assert answer(b"B = '2'\nA=1  \n\n\t@daily \t root   true  \n") == answer(b"A=1\nB=2\n@daily root true\n")


@pytest.mark.parametrize("line", ["* * * * * root evil", "# note", "A=1", "nonsense", "'A'=1"])
def test_a_line_that_has_no_place_is_told(line: str) -> None:
    state = answer(b"@daily root true\n" + line.encode() + b"\n")
    assert isinstance(state, CronState)
    assert state.other_lines == (line,)


def test_a_file_full_of_foreign_lines_is_told_in_few() -> None:
    state = answer(b"what is this\n" * 500 + b"x" * 5000 + b"\n")
    assert isinstance(state, CronState)
    assert state.other_lines is not None
    assert state.other_lines[-1] == "(and 491 more)"
    assert max(map(len, state.other_lines)) <= 201


def test_a_last_line_without_an_end_is_no_job() -> None:
    state = answer(b"@daily root true")
    assert isinstance(state, CronState)
    assert state.command is None
    assert state.other_lines == ("@daily root true (a line without an end: cron ignores the file)",)


def test_an_error_of_the_disk_is_not_absence() -> None:
    out = f"files\nstat: cannot statx '{PATH}': Input/output error\ncontents\n\nend files\n"
    assert isinstance(CRON.parse(out.encode(), [entry()])["backup"], Unknown)
    assert CRON.parse(out.replace("Input/output error", "No such file or directory").encode(), [entry()])["backup"] is None


def test_an_entry_needs_cron_and_its_user_and_owns_its_file() -> None:
    assert list(CRON.links(entry(user="ops"))) == ["package:apt/cron", "user:ops"]
    assert CRON.path(entry()) == PATH


def test_removing_removes_the_file() -> None:
    (step,) = CRON.steps([Change(entry(ensure="absent"), CronState(), None, frozenset())], Facts())
    assert (step.title, step.run.text, step.blob) == ("remove cron entry backup", f"file_remove {PATH}", None)


@given(st.binary(max_size=300))
def test_any_file_is_read_without_an_exception(content: bytes) -> None:
    assert isinstance(answer(content), CronState)


@given(st.binary(max_size=300))
def test_whatever_a_host_says_is_read_without_an_exception(out: bytes) -> None:
    for text in (out, b"files\n" + out + b"\ncontents\n\nend files\n"):
        assert all(isinstance(found, State | Unknown) for found in CRON.parse(text, [entry()]).values() if found is not None)


@pytest.mark.parametrize("shell", SHELLS, ids=name_of)
def test_the_probe_runs_clean_and_finds_nothing_where_nothing_is(shell: list[str]) -> None:
    spec = CronSpec(name="surely-not-here", schedule="@daily", command="true")
    done = run_script(shell, CRON.probe([spec]).encode())
    assert (done.returncode, done.stderr) == (0, b"")
    assert CRON.parse(done.stdout, [spec]) == {"surely-not-here": None}
