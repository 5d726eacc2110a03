"""`reconcile resume`: takes a suspension back, as a commit. The work is in `suspending.py`."""

from __future__ import annotations

import click

from reconciler.cli import options
from reconciler.cli.commands import Cli, FleetCommand, pass_cli


@click.command(cls=FleetCommand)
@click.argument("name", metavar="HOST|PROJECT")
@options.commit_alone
@pass_cli
def resume(cli: Cli, name: str, *, dry_run: bool, push: bool, branch: str | None) -> int:
    """Commit that a suspended host or project is changed again.

    Where a host and a project bear the same name, say host:NAME or project:NAME. Exit code 0: committed, or it was not
    suspended; 1: refused, and nothing was changed.
    """
    from reconciler.cli.editing import Terms
    from reconciler.cli.suspending import resume_one

    return resume_one(cli.folder, name, Terms(dry_run=dry_run, push=push, branch=branch), cli.screen)
