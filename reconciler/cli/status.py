"""`reconcile status`: how the hosts are, and what is deployed on them. The work is in `checking.py`."""

from __future__ import annotations

import click

from reconciler.cli import options
from reconciler.cli.commands import Cli, FleetCommand, pass_cli


@click.command(cls=FleetCommand)
@options.hosts
@options.listing_json
@pass_cli
def status(cli: Cli, hosts: tuple[str, ...], *, as_json: bool) -> int:
    """Show how each host is, and which revision of each project is there.

    HOST is a name or tag:NAME; none means all. The hosts are asked anew; nothing is changed. Exit code 0: everything is as it
    should be; 3: something is not; 4: a host could not be asked (one that may be away does not count); 1: the repository is not
    valid.
    """
    from reconciler.cli.checking import show_status

    return show_status(cli.folder, hosts, cli.screen, as_json=as_json)
