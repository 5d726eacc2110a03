"""Options that several commands share, so that they are called, and explained, the same everywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

hosts = click.argument("hosts", nargs=-1, metavar="[HOST…]")
"""Names, or `tag:NAME`; none: the whole fleet."""

revision = click.option(
    "--rev", "revision", default="HEAD", metavar="REV", help="Commit, branch or tag to take (default: HEAD)."
)

worktree = click.option("--worktree", is_flag=True, help="Take the working tree, with everything that is not committed yet.")

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document (docs/plan-json.md).")

diff = click.option("--diff/--no-diff", default=True, help="Show text diffs (default), or leave them out.")

allow_deletions = click.option(
    "--allow-deletions",
    type=click.IntRange(min=0),
    metavar="N",
    help="Accept up to N deletions (default: max_deletions of fleet.yaml).",
)

signers = click.option(
    "--signers",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Who may sign commits: a file on this machine, which decides instead of the repository's.",
)

now = click.option("--now", is_flag=True, help="Also what windows and suspensions hold back.")

state = click.option(
    "--state",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where the loop keeps its state (default: /var/lib/reconciler; without root ~/.local/state/reconciler).",
)

history_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document (docs/history.md).")

listing_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document (docs/deploying.md).")


_THEN = (
    click.option("--yes", is_flag=True, help="With --apply: do not ask."),
    click.option("--apply", "apply_now", is_flag=True, help="Then apply to the project's hosts, as reconcile apply does."),
)
_COMMIT = (
    click.option("--branch", metavar="NAME", help="Commit to a new branch, and leave the working tree as it is."),
    click.option("--push", is_flag=True, help="Then push the commit; nothing is ever forced."),
    click.option("--dry-run", is_flag=True, help="Show the commit, and change nothing."),
)


def commit_alone(command: Command) -> Command:
    """What every command that edits a file of the fleet and commits it can be told."""
    for option in _COMMIT:
        command = option(command)
    return command


def commit(command: Command) -> Command:
    """The same, with what may follow the commit of a project."""
    for option in (*_THEN, *_COMMIT):
        command = option(command)
    return command
