"""`reconcile pull`: edits made on a host, back into git. The work is in `pulling.py`."""

from __future__ import annotations

from pathlib import Path

import click

from reconciler.cli import options
from reconciler.cli.commands import Cli, FleetCommand, pass_cli


@click.command(cls=FleetCommand)
@click.argument("project")
@options.hosts
@click.option("--added", is_flag=True, help="Bring files along that nobody installed; on a terminal each is asked for.")
@click.option("--push", is_flag=True, help="Push the branch to the project's source; nothing is ever forced.")
@click.option("--into", metavar="DIR", help="Put the branch into this clone of the project as well.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.signers
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document (docs/adopt-and-pull.md); only looks without --yes."
)
@pass_cli
def pull(  # noqa: PLR0913  one argument for each option
    cli: Cli,
    project: str,
    hosts: tuple[str, ...],
    *,
    added: bool,
    push: bool,
    into: str | None,
    yes: bool,
    signers: Path | None,
    as_json: bool,
) -> int:
    """Bring what was edited on a host back into git, as a branch.

    Takes the files of the deployed tree that were edited, removed or made executable on the host, and makes one commit of them
    on top of the commit that is deployed there: on the branch reconcile/pull-HOST-TIME, in your name, saying which host they
    come from. With releases and slots that is the release that is current. Shows the diff and asks first.

    What is excluded or shared, .env, files with secrets, links and what is larger than 5 MiB never comes along. What looks like
    a secret blocks all of it. Nothing is changed on the host: when the branch is merged and deployed, it has what it has.

    HOST is a name or tag:NAME; none means all hosts of the project, with a branch for each. Exit code 0: committed, or nothing
    to bring back; 3: it cannot be told what is there; 4: a host was unreachable; 5: nobody said yes, a secret was found, or the
    fleet's commit is not signed; 1:
    there is no such project, or the branch could not be pushed.
    """
    from reconciler.cli.pulling import Terms, pull_project

    if as_json and push and not yes:
        raise click.UsageError("--json only looks without --yes, and --push has nothing to push then: add --yes")
    terms = Terms(project, hosts, added=added, push=push, into=into, yes=yes, signers=signers, as_json=as_json)
    return pull_project(cli.folder, terms, cli.screen)
