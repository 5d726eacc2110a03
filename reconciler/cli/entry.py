"""One run of the program: parses, calls the command, and turns whatever goes wrong into sentences and an exit code.

The only place where errors become text. A person sees a traceback only for a fault of the program itself, and only with -v.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence

import click

from reconciler.cli.commands import Cli, reconcile
from reconciler.cli.screen import Screen, let_go
from reconciler.render.lines import Line, line

INVALID = 1
"""As `reconciler.errors.Exit.INVALID`, also for wrong usage: 2 is what `plan --detailed-exitcode` says for changes."""
INTERRUPTED = 130
READER_LEFT = 141


def run(arguments: Sequence[str], screen: Screen) -> int:
    """The exit code of `reconcile ARGUMENTS…`."""
    cli = Cli(screen)
    try:
        with reconcile.make_context("reconcile", list(arguments) or ["--help"], obj=cli) as context:
            return int(reconcile.invoke(context) or 0)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.UsageError as error:
        screen.tell(*_usage(error))
        return INVALID
    except (KeyboardInterrupt, click.Abort):
        screen.tell(line(("stopped", "yellow")))
        return INTERRUPTED
    except BrokenPipeError:
        let_go(screen.out)
        return READER_LEFT
    except Exception as error:  # noqa: BLE001  the last line of defence: here every error becomes a sentence
        return _explain(error, cli)


def _usage(error: click.UsageError) -> list[Line]:
    lines = [line(("error: ", "alarm"), error.format_message())]
    if error.ctx is not None:
        usage = error.ctx.get_usage().splitlines()[0].removeprefix("Usage: ")
        lines += [
            line((f"usage: {usage}", "dim"), indent=4),
            line((f"more:  {error.ctx.command_path} --help", "dim"), indent=4),
        ]
    return lines


def _explain(error: Exception, cli: Cli) -> int:
    """What a person can act on is said in a sentence; anything else is a fault of ours."""
    from desired.model import Invalid, RepositoryError
    from reconciler.cli.loading import tell_uncommitted
    from reconciler.errors import CommandError
    from reconciler.render.diagnostics import count_words, diagnostic_lines
    from state.channel import HostError

    tell = cli.screen.tell
    match error:
        case Invalid():
            tell(*diagnostic_lines(error.diagnostics))
            tell(line((count_words(error.diagnostics), "bold")))
            tell_uncommitted(error.uncommitted, cli.screen, "were not looked at; reconcile validate --worktree checks them")
            return INVALID
        case CommandError() | RepositoryError() | HostError():
            tell(line(("error: ", "alarm"), str(error)), *_hint(error.hint))
            return int(error.code) if isinstance(error, CommandError) else INVALID
        case OSError():
            name = f"{error.filename}: " if error.filename else ""
            tell(line(("error: ", "alarm"), f"{name}{error.strerror or error}"))
            return INVALID
    tell(line(("error: ", "alarm"), f"a fault of reconciler itself: {type(error).__name__}: {error}"))
    if cli.verbose:
        tell(*(line((text, "dim"), wrap=False) for text in "".join(traceback.format_exception(error)).splitlines()))
    else:
        tell(*_hint("please report it, with what the same command prints when -v is added"))
    return INVALID


def _hint(text: str) -> list[Line]:
    return [line((text, "dim"), indent=4, hang=0)] if text else []
