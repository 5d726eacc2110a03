"""`reconcile switch`: gives a project's traffic to the other slot, as a commit. The work is in `deploying.py`."""

from __future__ import annotations

import click

from reconciler.cli import options
from reconciler.cli.commands import Cli, FleetCommand, pass_cli


@click.command(cls=FleetCommand)
@click.argument("project")
@click.argument("slot", metavar="[SLOT]", type=click.Choice(["blue", "green", "auto"]), required=False)
@options.commit
@pass_cli
def switch(  # noqa: PLR0913  one argument for each option
    cli: Cli, project: str, slot: str | None, *, dry_run: bool, push: bool, branch: str | None, apply_now: bool, yes: bool
) -> int:
    """Commit which slot of a project has the traffic, and on request apply it.

    SLOT is blue or green, and holds the traffic there until another commit moves it; without SLOT it is the other one. With
    auto a new revision takes over of itself as soon as it has passed its smoke tests.

    The slot is smoke-tested before it gets the traffic, and the proxy is read back after; a failure leaves the traffic where it
    is. Exit code 0: committed, or it says so already; 1: refused, and nothing was changed. With --apply that of apply.
    """
    from reconciler.cli.deploying import switch_slot
    from reconciler.cli.editing import Terms

    terms = Terms(dry_run=dry_run, push=push, branch=branch, apply=apply_now, yes=yes)
    return switch_slot(cli.folder, project, slot, terms, cli.screen)
