"""`reconcile why`: where a resource comes from, and what happened to it. The work is in `explaining.py`."""

from __future__ import annotations

from pathlib import Path

import click

from reconciler.cli import options
from reconciler.cli.commands import Cli, FleetCommand, pass_cli


@click.command(cls=FleetCommand)
@click.argument("ref", metavar="REF")
@click.option("--host", metavar="HOST", help="Only what concerns this host.")
@options.history_json
@options.state
@pass_cli
def why(cli: Cli, ref: str, *, host: str | None, as_json: bool, state: Path | None) -> int:
    """Show which commit asks for a resource, who wrote it, and what happened to it.

    REF is a resource such as file:/etc/motd, or a project. What has left the repository is explained as far as git and the
    history tell. No host is asked. Exit code 0; 1: nothing is known of it, or the repository is not valid.
    """
    from reconciler.cli.explaining import explain

    return explain(cli.folder, ref, cli.screen, host=host, state=state, as_json=as_json)
