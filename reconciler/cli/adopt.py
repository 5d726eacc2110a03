"""`reconcile adopt`: a folder that is at a project's path already. The work is in `adopting.py`."""

from __future__ import annotations

from pathlib import Path

import click

from reconciler.cli import options
from reconciler.cli.commands import Cli, FleetCommand, pass_cli


@click.command(cls=FleetCommand)
@click.argument("project")
@options.hosts
@click.option("--take-over", is_flag=True, help="Make what is there ours, as it is; edits are copied first.")
@click.option("--set-aside", is_flag=True, help="Rename the folder to a dated name, to deploy afresh.")
@click.option("--bring-shared", is_flag=True, help="With --set-aside: move shared data into the new folder.")
@click.option("--yes", is_flag=True, help="With --take-over or --set-aside: do not ask.")
@options.signers
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document (docs/adopt-and-pull.md).")
@pass_cli
def adopt(  # noqa: PLR0913  one argument for each option
    cli: Cli,
    project: str,
    hosts: tuple[str, ...],
    *,
    take_over: bool,
    set_aside: bool,
    bring_shared: bool,
    yes: bool,
    signers: Path | None,
    as_json: bool,
) -> int:
    """Compare what lies at a project's path with its history, and take it over or set it aside.

    For a folder that was there before reconciler. Says which commit of the project it equals or is nearest to, how many commits
    that is behind, which files differ, are missing or are not the project's, and which side is newer. Then asks what to do;
    without a terminal, and without --take-over or --set-aside, nothing is changed.

    Taking over touches no file: the list of what equals the commit becomes ours, and edits that a later apply would overwrite
    are copied to PATH.before-adopt-TIME first, which only its owner can read. To bring edits back into git, see reconcile pull.
    Setting aside renames the folder to PATH.before-adopt-TIME. What is left to do is then done by reconcile apply.

    HOST is a name or tag:NAME; none means all hosts of the project. Exit code 0: told, or done; 3: a host failed; 4: a host was
    unreachable; 5: refused (also because the fleet's commit is not signed), or nobody said yes; 6: another run changed the host
    meanwhile; 1: there is no such project, or it cannot be deployed.
    """
    from reconciler.cli.adopting import Choice, Terms, adopt_project

    if take_over and set_aside:
        raise click.UsageError("either --take-over or --set-aside, not both")
    chosen: Choice = "take over" if take_over else "set aside" if set_aside else ""
    if bring_shared and not set_aside:
        raise click.UsageError("--bring-shared says what --set-aside does, which is not given")
    if yes and not chosen:
        raise click.UsageError("--yes agrees to --take-over or --set-aside, and neither is given")
    if as_json and chosen and not yes:
        raise click.UsageError("--json leaves nobody to ask: add --yes")
    terms = Terms(project, hosts, chosen, bring_shared=bring_shared, yes=yes, signers=signers, as_json=as_json)
    return adopt_project(cli.folder, terms, cli.screen)
