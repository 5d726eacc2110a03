"""`reconcile alert`: where incidents are told. The work is in `alerting.py`."""

from __future__ import annotations

import click

from reconciler.cli import options
from reconciler.cli.commands import Cli, FleetCommand, FleetGroup, pass_cli


@click.group(cls=FleetGroup, subcommand_metavar="COMMAND [ARGS]…")
def alert() -> None:
    """Send a test message to where incidents are told."""


@alert.command(cls=FleetCommand)
@click.argument("name", metavar="[NAME]", required=False)
@options.worktree
@pass_cli
def test(cli: Cli, name: str | None, *, worktree: bool) -> int:
    """Send a test message to one alert, or to all.

    NAME is the alert's name in fleet.yaml. Filters, quiet hours and digests do not hold it back. Says what each server
    answered. Exit code 0: every message was taken; 3: one was not; 1: the repository is not valid.
    """
    from reconciler.cli.alerting import test_alerts

    return test_alerts(cli.folder, name, cli.screen, worktree=worktree)
