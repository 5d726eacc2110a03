"""`reconcile project list` and `reconcile project check`. The work is in `checking.py`."""

from __future__ import annotations

from pathlib import Path

import click

from reconciler.cli import options
from reconciler.cli.commands import Cli, FleetCommand, FleetGroup, pass_cli


@click.group(cls=FleetGroup)
def project() -> None:
    """List the projects, and check what is really deployed."""


@project.command("list", cls=FleetCommand)
@options.revision
@options.listing_json
@pass_cli
def list_(cli: Cli, revision: str, *, as_json: bool) -> int:
    """List the projects with their revision, strategy and hosts, without any host."""
    from reconciler.cli.checking import list_projects

    return list_projects(cli.folder, revision, cli.screen, as_json=as_json)


@project.command("check", cls=FleetCommand)
@click.argument("projects", nargs=-1, metavar="[PROJECT…]")
@click.option("--expect", metavar="REV", help="Compare with this revision of the source, instead of the file's.")
@click.option("--deep", is_flag=True, help="Compare the content of every file, not only sizes and times.")
@options.signers
@options.listing_json
@pass_cli
def check(cli: Cli, projects: tuple[str, ...], expect: str | None, *, deep: bool, signers: Path | None, as_json: bool) -> int:
    """Show which revision is really on each host, and whether it is the source's.

    PROJECT is a name; none means all. Everything is asked anew: the hosts for what is there, the source for what the revision
    is now. Tells how many commits lie between the two, which files were edited on a host, and which slot has the traffic.

    Exit code 0: all as in the source; 3: one is not; 4: a host could not be asked (one that may be away does not count); 5: the
    commit is not signed as the fleet asks; 1: the repository is not valid, or there is no such project or revision.
    """
    from reconciler.cli.checking import check_projects

    return check_projects(cli.folder, projects, cli.screen, expect=expect, deep=deep, signers=signers, as_json=as_json)
