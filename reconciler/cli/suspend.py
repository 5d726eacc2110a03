"""`reconcile suspend`: nothing is changed on a host or of a project, as a commit. The work is in `suspending.py`."""

from __future__ import annotations

import click

from reconciler.cli import options
from reconciler.cli.commands import Cli, FleetCommand, pass_cli


@click.command(cls=FleetCommand)
@click.argument("name", metavar="HOST|PROJECT")
@click.option("--reason", metavar="TEXT", help="Why, for whoever wonders.")
@click.option("--until", metavar="WHEN", help='When it ends by itself: 2h, 3d, "18:00", 2026-12-01, 2026-12-01T08:00+01:00.')
@options.commit_alone
@pass_cli
def suspend(
    cli: Cli, name: str, *, reason: str | None, until: str | None, dry_run: bool, push: bool, branch: str | None
) -> int:
    """Commit that nothing is changed on a host, or of a project, for a while.

    It ends with reconcile resume, or at the time that is given. What differs there is still found and reported; apply --now
    changes it all the same. Where a host and a project bear the same name, say host:NAME or project:NAME. A time without its
    distance from UTC is in the fleet's time zone.

    Suspending what is suspended changes the reason and the end that are given. Exit code 0: committed, or it says so already;
    1: refused, and nothing was changed.
    """
    from reconciler.cli.editing import Terms
    from reconciler.cli.suspending import suspend_one

    return suspend_one(cli.folder, name, reason, until, Terms(dry_run=dry_run, push=push, branch=branch), cli.screen)
