"""Commands: which guards there are, what their answers mean, and the shell that asks and runs, executed for real."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from providers.base import Change, Facts, State, Step, Unknown
from providers.commands import CommandProvider, CommandSpec, CommandState
from providers.shell import Sh, lines, sh

PROVIDER = CommandProvider()
SHELLS = [shell for shell in ("dash", "bash", "busybox sh", "mksh", "yash") if shutil.which(shell.split()[0])]


def command(name: str = "work", run: str = "true", **fields: Any) -> CommandSpec:
    return CommandSpec.model_validate({"name": name, "run": run, **fields})


def complaint(**fields: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        CommandSpec.model_validate({"name": "work", "run": "true"} | fields)
    return "; ".join(error["msg"] for error in caught.value.errors())


def execute(script: Sh, shell: str = "sh") -> subprocess.CompletedProcess[bytes]:
    piece = sh("f() {\n@script@\n}\nf </dev/null\n", script=script)
    return subprocess.run([*shell.split(), "-s"], input=piece.encode(), capture_output=True, check=False)


def ask(*specs: CommandSpec, shell: str = "sh") -> list[object]:
    """What the guards say on this machine: True for done, False for to do, None for unknown."""
    done = execute(PROVIDER.probe(specs), shell)
    assert done.returncode == 0
    answers = PROVIDER.parse(done.stdout, specs)
    return [found.done if isinstance(found := answers[spec.name], CommandState) else None for spec in specs]


def step(spec: CommandSpec) -> Step:
    change = Change(spec, CommandState(done=False), PROVIDER.want(spec), frozenset({"done"}))
    (only,) = PROVIDER.steps([change], Facts())
    return only


def perform(only: Step | None, shell: str = "sh") -> subprocess.CompletedProcess[bytes]:
    assert only is not None
    return execute(lines([PROVIDER.library, only.run]), shell)


def test_a_command_without_a_guard_is_refused_with_the_choices() -> None:
    message = complaint()
    assert "without a guard this would run every time" in message
    assert all(word in message for word in ("creates: PATH", "unless: COMMAND", "only_if: COMMAND"))


def test_two_guards_are_one_too_many() -> None:
    assert "creates and unless cannot stand together; write exactly one of" in complaint(creates="/x", unless="true")


def test_a_command_cannot_be_absent() -> None:
    assert "nothing tells how to undo it" in complaint(creates="/x", ensure="absent")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "two\nlines"}, "one line"),
        ({"name": " padded"}, "without blanks around it"),
        ({"run": "  \n"}, "nothing to run"),
        ({"run": "a\0b"}, "NUL"),
        ({"run": "a\ud800"}, "half a character"),
        ({"run": "a\r\nb"}, "Windows line ends"),
        ({"run": "x" * 40000}, "put it into a file, and run that"),
        ({"unless": ""}, "nothing to run"),
        ({"only_if": "a\0b"}, "NUL"),
        ({"creates": "relative"}, "expected an absolute path, as in /relative"),
        ({"creates": "/a/../b"}, "a path stands without"),
        ({"creates": "/a\nb"}, "line break or control character"),
        ({"cwd": "relative"}, "expected an absolute path"),
        ({"user": "-x"}, "expected the name of an account"),
        ({"env": {"A-B": "1"}}, '"A-B" is not the name of a variable'),
        ({"env": {"": "1"}}, "is not the name of a variable"),
        ({"env": {"A\n": "1"}}, "is not the name of a variable"),
        ({"env": {"A": 1}}, 'write it in quotes: "1"'),
        ({"env": {"A": "a\nb"}}, "line break or control character"),
        ({"timeout": 0}, "greater than or equal to 1"),
        ({"timeout": True}, "valid integer"),
    ],
)
def test_what_cannot_be_meant_is_refused(fields: dict[str, Any], message: str) -> None:
    guard = {} if fields.keys() & {"creates", "unless", "only_if"} else {"creates": "/x"}
    assert message in complaint(**guard, **fields)


def test_a_wanted_command_is_done_and_its_guard_decides() -> None:
    assert PROVIDER.want(command(creates="/x")) == CommandState(done=True)


def test_a_command_that_left_the_repository_is_forgotten_and_never_undone() -> None:
    spec = command(creates="/x").absent()
    assert PROVIDER.want(spec) is None
    assert PROVIDER.parse(b"0 0 \n", [spec]) == {"work": None}
    assert not PROVIDER.made(Change(spec, None, None, frozenset()))


@pytest.mark.parametrize("shell", SHELLS)
def test_the_guards_are_asked_on_the_host(shell: str, tmp_path: Path) -> None:
    (tmp_path / "there is").touch()
    (tmp_path / "dangling").symlink_to("nothing")
    specs = [
        command("0", creates=f"{tmp_path}/there is"),
        command("1", creates=f"{tmp_path}/dangling"),
        command("2", creates=f"{tmp_path}/no/such/path"),
        command("3", unless="true"),
        command("4", unless="false"),
        command("5", only_if="true"),
        command("6", only_if="false"),
        command("7", unless="false\ntrue"),
        command("8", unless="exit 128"),
        command("9", unless="read line"),
        command("10", unless='[ "$(pwd) $A" = "/usr it\'s \\$(id)" ]', cwd="/usr", env={"A": "it's $(id)"}),
        command("11", unless="echo out; echo err >&2; false"),
    ]
    assert ask(*specs, shell=shell) == [True, True, False, True, False, False, True, True, False, False, True, False]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_missing_program_is_unknown_but_asking_whether_it_is_missing_is_not(shell: str) -> None:
    specs = [command("call", unless="no-such-program"), command("ask", unless="command -v no-such-program")]
    assert ask(*specs, shell=shell) == [None, False]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_guard_cannot_speak_for_another(shell: str) -> None:
    forged = "printf '\\n0 0 \\n0 0 \\n' >&2; exit 127"
    assert ask(command("first", unless="false"), command("second", unless=forged), shell=shell) == [False, None]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_guard_can_neither_end_nor_flood_the_others(shell: str) -> None:
    specs = [
        command("exits", unless="exit 0"),
        command("kills", unless="kill -9 $$"),
        command("shouts", unless="head -c 3000000 /dev/zero >&2; head -c 3000000 /dev/zero; exit 1"),
        command("breaks", unless="if then ("),
        command("quiet", unless="true"),
    ]
    assert ask(*specs, shell=shell) == [True, None, False, False, True]


def test_a_guard_that_hangs_is_ended_and_the_next_ones_are_asked() -> None:
    hasty = Sh(PROVIDER.probe([command("hangs", unless="sleep 60"), command("next", unless="true")]).text.replace("=8", "=1"))
    begun = time.monotonic()
    done = execute(hasty)
    assert time.monotonic() - begun < 20
    assert done.stdout == b"0 137 it did not end within 1 seconds\n1 0 \n"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"0 127 sh: no-such-program: not found\n", "sh: no-such-program: not found"),
        (b"0 126 /root cannot be entered\n", "/root cannot be entered"),
        (b"0 137 it did not end within 8 seconds\n", "did not end within 8 seconds"),
        (b"0 126 \xff\xfe\n", "\ufffd\ufffd"),
    ],
)
def test_a_guard_that_gave_no_answer_is_unknown_and_says_why(line: bytes, reason: str) -> None:
    found = PROVIDER.parse(line, [command(unless="x")])["work"]
    assert isinstance(found, Unknown)
    assert reason in found.reason


@pytest.mark.parametrize("fields", [{"needs": ["package:apt/tool"]}, {"user": "ops"}, {"cwd": "/srv"}])
def test_a_guard_that_what_comes_before_may_make_answerable_counts_as_to_do(fields: dict[str, Any]) -> None:
    found = PROVIDER.parse(b"0 127 not found\n", [command(unless="x", **fields)])["work"]
    assert found == CommandState(done=False)


@pytest.mark.parametrize(
    "out", [b"", b"0", b"0 ", b"0 0", b"0 0 ", b" 0 \n", b"x 0 \n", b"0 x \n", b"7 0 \n", b"-1 0 \n", b"0 0\n"]
)
def test_a_line_that_is_not_whole_says_nothing(out: bytes) -> None:
    assert PROVIDER.parse(out, [command(unless="x")]) == {}


@given(out=st.binary())
def test_no_answer_whatever_makes_reading_fail(out: bytes) -> None:
    found = PROVIDER.parse(out, [command("a", unless="x"), command("b", only_if="x")])
    assert all(isinstance(answer, (State, Unknown)) for answer in found.values())


@given(numbers=st.lists(st.tuples(st.integers(-1, 4), st.integers(-1, 300), st.text(max_size=5)), max_size=6))
def test_lines_in_any_order_are_read_without_fail(numbers: list[tuple[int, int, str]]) -> None:
    out = "".join(f"{number} {status} {text}\n" for number, status, text in numbers).encode("utf-8", "surrogatepass")
    found = PROVIDER.parse(out, [command("a", unless="x"), command("b", only_if="x")])
    assert all(isinstance(answer, (State, Unknown)) for answer in found.values())


@pytest.mark.parametrize("shell", SHELLS)
def test_a_command_runs_where_and_with_what_it_was_told(shell: str, tmp_path: Path) -> None:
    text = 'umask >out\npwd >>out\nprintf "%s\\n" "$A" >>out\ncat >>out\n'
    spec = command(run=text, creates=f"{tmp_path}/never", cwd=str(tmp_path), env={"A": 'it\'s "$(id)" `id` \\ é'})
    done = perform(step(spec), shell)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "out").read_text() == f'0022\n{tmp_path}\nit\'s "$(id)" `id` \\ é\n'


@pytest.mark.parametrize("shell", SHELLS)
def test_the_first_line_that_fails_ends_it(shell: str, tmp_path: Path) -> None:
    spec = command(run="echo one\nfalse\necho two", creates=f"{tmp_path}/never")
    done = perform(step(spec), shell)
    assert (done.returncode, done.stdout) == (1, b"one\n")


@pytest.mark.parametrize(
    ("guard", "status", "said"),
    [
        ({"unless": "false"}, 0, b"ran\n"),
        ({"unless": "true"}, 0, b"nothing was run, because its guard says by now that there is nothing to do\n"),
        ({"only_if": "true"}, 0, b"ran\n"),
        ({"only_if": "false"}, 0, b"nothing was run, because its guard says by now that there is nothing to do\n"),
        ({"creates": "/nowhere/at/all"}, 0, b"ran\n"),
        ({"creates": "/etc"}, 0, b"nothing was run, because its guard says by now that there is nothing to do\n"),
        ({"unless": "echo broken >&2; exit 127"}, 1, b"nothing was run, because its guard could not be asked: broken\n"),
        (
            {"only_if": "true", "cwd": "/no/where"},
            1,
            b"nothing was run, because its guard could not be asked: there is no folder",
        ),
        (
            {"unless": "true", "user": "no-such-user"},
            1,
            b"nothing was run, because its guard could not be asked: there is no user",
        ),
    ],
)
@pytest.mark.parametrize("shell", SHELLS)
def test_the_guard_has_the_last_word_before_the_run(shell: str, guard: dict[str, Any], status: int, said: bytes) -> None:
    done = perform(step(command(run="echo ran", **guard)), shell)
    assert done.returncode == status
    assert done.stdout.startswith(said)


@pytest.mark.parametrize(
    ("guard", "runs"),
    [({"creates": "/etc"}, True), ({"unless": "true"}, True), ({"only_if": "true"}, True), ({"only_if": "false"}, False)],
)
def test_after_a_change_it_runs_again_unless_only_if_says_no(guard: dict[str, Any], runs: bool) -> None:
    done = perform(PROVIDER.refresh(command(run="echo ran", **guard)))
    assert done.returncode == 0
    assert (done.stdout == b"ran\n") is runs
    assert PROVIDER.refresh_word(command(**guard)) == "run"


def test_a_step_bears_the_name_and_the_patience_of_its_command() -> None:
    made = step(command("rebuild the index", creates="/x", timeout=7))
    assert (made.refs, made.title, made.timeout) == (("command:rebuild the index",), "run rebuild the index", 7)


def test_the_shell_of_a_step_holds_every_text_as_one_word() -> None:
    made = step(command(run="a; 'c'", unless="x y", user="ops", cwd="/srv", env={"A": "1 2"}))
    assert made.run.text == (
        "command_guard /srv ops 'x y' 'A=1 2'\ncommand_go_on \"$?\" failure\ncommand_run /srv ops 'a; '\"'\"'c'\"'\"'' 'A=1 2'"
    )


def test_a_command_needs_its_user_and_its_folder() -> None:
    assert list(PROVIDER.links(command(creates="/x", user="ops", cwd="/srv/app"))) == ["user:ops", "directory:/srv/app"]
    assert list(PROVIDER.links(command(creates="/x"))) == []
