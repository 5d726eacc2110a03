"""docs/commands.md names every command, every option and every exit code, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from reconciler.cli.commands import COMMANDS, Cli, reconcile
from reconciler.cli.screen import Screen
from reconciler.errors import Exit

DOCS = (Path(__file__).parents[3] / "docs" / "commands.md").read_text()
LATER = {Exit.ROLLED_BACK}
"""Exit codes of commands that do not exist yet."""


def section(name: str) -> str:
    return DOCS.split(f"\n## {name}\n")[1].split("\n## ")[0]


def documented(text: str) -> set[str]:
    return {
        option
        for row in text.splitlines()
        if row.startswith("| `-")
        for option in re.findall(r"`(--?[A-Za-z-]+)", row.split("|")[1])
    }


def options(command: click.Command) -> set[str]:
    return {
        name for option in command.params if isinstance(option, click.Option) for name in (*option.opts, *option.secondary_opts)
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_is_documented(name: str) -> None:
    with reconcile.make_context("reconcile", [name], obj=Cli(Screen.standard())) as context:
        command = reconcile.get_command(context, name)
    assert command is not None
    common = {"-C", "--no-color", "-v", "--verbose"}
    assert documented(section(name)) == options(command) - common


def test_the_common_options_are_documented() -> None:
    assert documented(DOCS.split("\n## ", maxsplit=1)[0]) == options(reconcile) - {"-h", "--help"}


def test_every_exit_code_is_documented() -> None:
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", section("Exit codes"), re.MULTILINE)}
    assert codes == {int(code) for code in set(Exit) - LATER} | {130, 141}
