"""What a person can get wrong, and what the program says then: never a traceback, always the nearest right word."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from reconciler.cli.commands import COMMANDS, Cli, reconcile
from reconciler.cli.entry import run
from reconciler.cli.screen import Screen
from tests.fleet import Fleet
from tests.unit.cli.console import UNREACHABLE, Console, host_file

MOTD = 'files:\n  @/motd: {content: "welcome\\n"}\n'


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, console: Console, capsys: pytest.CaptureFixture[str]) -> None:
    assert console(command, "--help").code == 0
    assert f"Usage: reconcile {command}" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_the_overview_says_of_a_command_what_the_command_says_of_itself(command: str) -> None:
    with reconcile.make_context("reconcile", ["schema"], obj=Cli(Screen.standard())) as context:
        found = reconcile.get_command(context, command)
        assert found is not None
        assert (found.help or "").split("\n\n")[0].replace("\n", " ") == COMMANDS[command]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plam"], 'there is no command "plam"; did you mean plan?'),
        (["plan", "--jsn"], "--json"),
        (["plan", "nsa"], 'there is no host "nsa"\n    did you mean nas?'),
        (["plan", "tag:dokcer"], 'no host has the tag "dokcer"\n    did you mean docker?'),
        (["plan", "--rev", "man"], "there is no revision man\n    did you mean main?"),
        (["plan", "--json", "--markdown"], "--json and --markdown cannot both be"),
        (["plan", "--worktree", "--out", "x"], "only commits are applied"),
        (["plan", "--allow-deletions", "-1"], "--allow-deletions"),
        (["plan", "--out", "/nowhere/at/all/plan.json"], "/nowhere/at/all is not a folder"),
        (["plan", "--out", "/dev/null"], "/dev/null is not a file that a plan could be saved in"),
        (["plan", "--rev", "HEAD", "--worktree", "--rev", "main"], "either --rev or --worktree, not both"),
        (["validate", "--rev", "main", "--worktree"], "either --rev or --worktree, not both"),
        (["apply", "--json"], "add --yes"),
        (["apply", "--plan", "x", "--rev", "main"], "leave --rev away"),
        (["apply", "--plan", "/nowhere/plan.json"], "/nowhere/plan.json: No such file or directory"),
        (["diff"], "REV1"),
        (["diff", "HEAD", "HEAD~0", "--worktree"], "not both"),
        (["schema", "hots"], "'hosts'"),
        ([], "Missing command"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_code_1(
    arguments: list[str], words: str, fleet: Fleet, console: Console, sandbox: Path
) -> None:
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, MOTD, "tags: [docker]\n")})
    result = console(*arguments)
    assert result.code == 1, result
    assert result.err.startswith("error: "), result
    assert words in result.err
    assert "Traceback" not in result.err


def test_a_folder_without_repository_says_what_to_do(console: Console, tmp_path: Path) -> None:
    result = console("plan", folder=tmp_path)
    assert result.code == 1
    assert result.err.startswith(f"error: no git repository at {tmp_path}\n    ")


def test_a_repository_without_commit_says_so(console: Console) -> None:
    assert "error: the repository has no commit yet\n" in console("plan").err


def test_a_fleet_without_hosts_has_nothing_to_do(fleet: Fleet, console: Console) -> None:
    fleet.commit({"fleet.yaml": ""})
    assert console("plan", "--detailed-exitcode").code == 0
    assert console("plan", "nas").err == 'error: there is no host "nas"\n    the fleet has no host yet\n'


@pytest.mark.parametrize("command", ["validate", "plan", "apply"])
def test_every_mistake_in_the_repository_is_told_with_its_place(
    command: str, fleet: Fleet, console: Console, sandbox: Path
) -> None:
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, "fils: {}\nbecome: sduo\n"), "hosts/web.yaml": "adress: root@web\n"})
    result = console(command)
    text = result.out if command == "validate" else result.err
    assert result.code == 1, result
    assert "hosts/nas.yaml:3:1: error: " in text
    assert "did you mean files?" in text
    assert "hosts/nas.yaml:4:9: error: " in text
    assert "hosts/web.yaml:1:1: error: " in text
    assert " errors in 2 files\n" in text


def test_validate_says_what_is_valid_and_names_it_in_json(fleet: Fleet, console: Console, sandbox: Path) -> None:
    commit = fleet.commit({"hosts/nas.yaml": host_file(sandbox, MOTD)})
    assert console("validate").out == "valid: 1 host, 1 resource\n"
    assert console.json("validate") == {"valid": True, "commit": commit, "errors": 0, "warnings": 0, "diagnostics": []}
    fleet.write({"hosts/nas.yaml": "address: [1]\n"})
    assert console("validate").code == 0
    broken = console("validate", "--worktree", "--json")
    assert broken.code == 1
    assert broken.json()["diagnostics"][0]["file"] == "hosts/nas.yaml"


def test_the_folder_can_be_named_before_and_after_the_command(fleet: Fleet, sandbox: Path) -> None:
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, MOTD)})
    for arguments in (["-C", str(fleet.root), "validate"], ["validate", "-C", str(fleet.root)]):
        screen = Screen(io.StringIO(), io.StringIO(), io.StringIO())
        assert run(arguments, screen) == 0


def test_uncommitted_changes_are_told_and_can_be_previewed(fleet: Fleet, console: Console, sandbox: Path) -> None:
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, MOTD)})
    fleet.write({"hosts/nas.yaml": host_file(sandbox, MOTD.replace("motd", "issue"))})
    plan = console("plan")
    assert "note: uncommitted changes in hosts/nas.yaml are not in this plan; --worktree previews them\n" in plan.err
    assert f"{sandbox}/motd" in plan.out
    assert console.json("plan")["uncommitted"] == ["hosts/nas.yaml"]
    preview = console("plan", "--worktree")
    assert f"{sandbox}/issue" in preview.out
    assert preview.err == ""
    assert console("plan", "--rev", "HEAD~0").err == ""


def test_hosts_are_chosen_by_name_and_by_tag(fleet: Fleet, console: Console, sandbox: Path) -> None:
    files = {f"hosts/{name}.yaml": UNREACHABLE + f"tags: [{tag}]\n" for name, tag in (("a", "x"), ("b", "y"), ("c", "y"))}
    fleet.commit(files)

    def planned(*words: str) -> list[str]:
        return [host["host"] for host in console("plan", "--json", *words).json()["hosts"]]

    assert planned() == ["a", "b", "c"]
    assert planned("c", "a") == ["a", "c"]
    assert planned("tag:y", "b") == ["b", "c"]


def test_a_fault_of_the_program_is_one_sentence_and_a_traceback_only_when_asked(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("\x1b[31mboom")

    monkeypatch.setattr("reconciler.cli.loading.open_repository", broken)
    quiet = console("plan")
    assert quiet.code == 1
    assert quiet.err.startswith("error: a fault of reconciler itself: RuntimeError: \\x1b[31mboom\n    please report it")
    assert "Traceback" not in quiet.err
    assert "Traceback" in console("plan", "-v").err
    assert "Traceback" in console("-v", "plan").err
