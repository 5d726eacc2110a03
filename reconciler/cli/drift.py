"""`reconcile drift`: what differs, as the loop saw it last. The work is in `drifting.py`."""

from __future__ import annotations

from pathlib import Path

import click

from reconciler.cli import options
from reconciler.cli.commands import Cli, FleetCommand, pass_cli


@click.command(cls=FleetCommand)
@options.hosts
@click.option("--all", "ended", is_flag=True, help="Also what is over, and how it ended.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit code 0: no drift, 2: drift, 1: error.")
@options.history_json
@options.state
@pass_cli
def drift(cli: Cli, hosts: tuple[str, ...], *, ended: bool, detailed_exitcode: bool, as_json: bool, state: Path | None) -> int:
    """Show what has drifted and what waits to be done, as the loop saw it last.

    Drift: the host is not what was left there. Pending: a commit asks for it, and it is not done yet. HOST is a name or
    tag:NAME; none means all. No host is asked: reconcile plan does that. Exit code 0, or 1 where there is no history.
    """
    from reconciler.cli.drifting import show_drift

    return show_drift(hosts, cli.screen, state=state, ended=ended, detailed=detailed_exitcode, as_json=as_json)
