"""`reconcile history`: what the loop has found and done. The work is in `remembering.py`."""

from __future__ import annotations

from pathlib import Path

import click

from reconciler.cli import options
from reconciler.cli.commands import Cli, FleetCommand, pass_cli


@click.command(cls=FleetCommand)
@click.argument("words", nargs=-1, metavar="[WORD…]")
@click.option("--since", metavar="WHEN", help="Only what is newer: 2d, 3h30m, 2026-11-20 or 2026-11-20T14:00.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, metavar="N", help="Show the newest N (default: 50).")
@options.history_json
@options.state
@pass_cli
def history(cli: Cli, words: tuple[str, ...], *, since: str | None, limit: int, as_json: bool, state: Path | None) -> int:
    """Show what the loop has found and done.

    One line for each, newest last. WORD is a host or tag:NAME, a project, or a resource such as file:/etc/motd; several hosts,
    or several resources, are alternatives. The id of a run or of an incident shows all that is known of that one. No host is
    asked.
    """
    from reconciler.cli.remembering import show_history

    return show_history(words, cli.screen, state=state, since=since, limit=limit, as_json=as_json)
