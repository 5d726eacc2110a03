"""`reconcile accept`: lets the loop follow one commit that it would not follow by itself."""

from __future__ import annotations

from pathlib import Path

import click

from reconciler.cli.commands import Cli, FleetCommand, pass_cli


@click.command(cls=FleetCommand)
@click.argument("commit", metavar="COMMIT")
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The loop's state folder (default: /var/lib/reconciler for root, else ~/.local/state/reconciler).",
)
@pass_cli
def accept(cli: Cli, commit: str, *, state: Path | None) -> int:
    """Let the loop follow a commit that it would not follow by itself.

    For history that was rewritten, for commits that are not all signed, and for the first commit of a fleet with signers. Read
    the commit first. COMMIT is its id, or the beginning of one that the loop has seen. It counts for this commit alone, and
    what comes after it is judged from there. Where the fleet has signers, the commit itself must be signed by one of its own.
    """
    from reconciler.cli.accepting import accept_commit

    return accept_commit(commit, state, cli.screen)
