"""`reconcile status`: how the hosts are, and what is deployed on them. The work is in `checking.py`."""

from __future__ import annotations

from pathlib import Path

import click

from reconciler.cli import options
from reconciler.cli.commands import Cli, FleetCommand, pass_cli


@click.command(cls=FleetCommand)
@options.hosts
@click.option("--last", is_flag=True, help="Ask no host: show what the loop saw last.")
@options.listing_json
@options.state
@options.signers
@pass_cli
def status(cli: Cli, hosts: tuple[str, ...], *, last: bool, as_json: bool, state: Path | None, signers: Path | None) -> int:
    """Show how each host is, and which revision of each project is there.

    HOST is a name or tag:NAME; none means all. The hosts are asked anew, unless --last is given; nothing is changed. Exit code
    0: everything is as it should be; 3: something is not; 4: a host could not be asked (one that may be away does not count);
    5: the commit is not signed as the fleet asks; 1: the repository is not valid.
    """
    if last:
        from reconciler.cli.last_seen import show_last

        if signers is not None:
            raise click.UsageError("--signers judges what hosts would be asked, and --last asks none: one of them")
        return show_last(hosts, cli.screen, state=state, as_json=as_json)
    from reconciler.cli.checking import show_status

    return show_status(cli.folder, hosts, cli.screen, state=state, signers=signers, as_json=as_json)
