"""The group of commands and what they share: where the fleet is (`-C`), colour, and the nearest right word for a wrong one.

A command's module is imported when the command is called. Each defines one click command of its own name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

import click

from reconciler import __version__
from reconciler.cli.screen import Screen

COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "validate": "Check the fleet repository, without any host.",
        "plan": "Show what would change on the hosts, and why.",
        "apply": "Bring the hosts to what the repository says.",
        "run": "Follow git, and keep every host as it says.",
        "status": "Show how each host is, and which revision of each project is there.",
        "drift": "Show what has drifted and what waits to be done, as the loop saw it last.",
        "why": "Show which commit asks for a resource, who wrote it, and what happened to it.",
        "history": "Show what the loop has found and done.",
        "deploy": "Commit another revision of a project, and on request apply it.",
        "switch": "Commit which slot of a project has the traffic, and on request apply it.",
        "rollback": "Commit what a project was before: its revision, or its slot, and on request apply it.",
        "suspend": "Commit that nothing is changed on a host, or of a project, for a while.",
        "resume": "Commit that a suspended host or project is changed again.",
        "project": "List the projects, and check what is really deployed.",
        "adopt": "Compare what lies at a project's path with its history, and take it over or set it aside.",
        "pull": "Bring what was edited on a host back into git, as a branch.",
        "accept": "Let the loop follow a commit that it would not follow by itself.",
        "diff": "Show which resources differ between two commits, without any host.",
        "alert": "Send a test message to where incidents are told.",
        "secret": "Encrypt, edit and show secrets, and say who can open them.",
        "schema": "Print the JSON Schema of the manifests, for editors.",
        "demo": "See the whole story on this machine: no root, network or Docker.",
    }
)
"""Name → what it does, in the order of `--help`; told here so that the overview imports nothing."""


@dataclass(slots=True)
class Cli:
    """What one run of the program knows before its command begins."""

    screen: Screen
    folder: Path = field(default_factory=Path)
    """The desired-state repository, or a folder in it."""
    verbose: bool = False


pass_cli = click.make_pass_decorator(Cli)


def _cli(context: click.Context) -> Cli:
    return context.ensure_object(Cli)


def _set_folder(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        _cli(context).folder = Path(value)


def _set_verbose(context: click.Context, parameter: click.Parameter, value: bool) -> None:  # noqa: FBT001  click's signature
    if value:
        _cli(context).verbose = True


def _set_color(context: click.Context, parameter: click.Parameter, value: bool) -> None:  # noqa: FBT001  click's signature
    if value:
        _cli(context).screen.color = False


def _common() -> list[click.Parameter]:
    """Options that stand before or after the command's name alike."""
    return [
        click.Option(
            ["-C", "folder"],
            metavar="DIR",
            expose_value=False,
            callback=_set_folder,
            help="The fleet repository (default: here).",
        ),
        click.Option(
            ["--no-color"], is_flag=True, expose_value=False, callback=_set_color, help="No colours (as with NO_COLOR=1)."
        ),
        click.Option(
            ["-v", "--verbose"], is_flag=True, expose_value=False, callback=_set_verbose, help="Say more when it fails."
        ),
    ]


class FleetCommand(click.Command):
    """A command with the common options at the end of its own."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.params.extend(_common())


class FleetGroup(click.Group):
    """A command of several words, with the common options at the end, and the nearest right word for a wrong one."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings | {"no_args_is_help": False})
        self.params.extend(_common())

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in self.commands and not name.startswith("-"):
            from desired.text import meant

            raise click.UsageError(f'there is no command "{ctx.info_name} {name}"; {meant(name, self.commands)}', ctx)
        return super().resolve_command(ctx, args)


class Commands(click.Group):
    """Finds commands by name in their modules."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = getattr(import_module(f"reconciler.cli.{cmd_name}"), cmd_name)
        return found

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            from desired.text import meant

            raise click.UsageError(f'there is no command "{name}"; {meant(name, COMMANDS)}', ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Commands, params=_common(), context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="reconcile", message="%(prog)s %(version)s")
def reconcile() -> None:
    """Declarative GitOps for plain hosts: commit what your machines should be, and they become that."""
