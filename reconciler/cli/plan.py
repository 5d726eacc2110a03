"""`reconcile plan`: what would change on the hosts, and why. Changes nothing anywhere. The work is in `planning.py`."""

from __future__ import annotations

from pathlib import Path

import click

from reconciler.cli import options
from reconciler.cli.commands import Cli, FleetCommand, pass_cli


@click.command(cls=FleetCommand)
@options.hosts
@options.revision
@options.worktree
@options.as_json
@click.option("--markdown", is_flag=True, help="Print Markdown, for a pull request or a chat.")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="Also save the plan for: reconcile apply --plan FILE."
)
@click.option("--detailed-exitcode", is_flag=True, help="Exit code 0: nothing to do, 2: changes, 1: the answer is incomplete.")
@options.diff
@options.allow_deletions
@options.now
@options.signers
@pass_cli
def plan(  # noqa: PLR0913  one argument for each option
    cli: Cli,
    hosts: tuple[str, ...],
    revision: str,
    *,
    worktree: bool,
    as_json: bool,
    markdown: bool,
    out: Path | None,
    detailed_exitcode: bool,
    diff: bool,
    allow_deletions: int | None,
    now: bool,
    signers: Path | None,
) -> int:
    """Show what would change on the hosts, and why.

    HOST is a name or tag:NAME; none means all. Exit code 0: every host answered; 4: some could not be asked; 1: the repository
    is not valid; 5: the commit is not signed as the fleet asks. With --detailed-exitcode 0: nothing to do; 2: changes; 1:
    error, or a host or resource could not be asked.
    """
    if as_json and markdown:
        raise click.UsageError("--json and --markdown cannot both be")
    if worktree and revision != "HEAD":
        raise click.UsageError("either --rev or --worktree, not both")
    if worktree and signers is not None:
        raise click.UsageError("--signers judges commits, and --worktree takes what is not committed: one of them")
    if out is not None and worktree:
        raise click.UsageError(
            "a plan of the working tree cannot be saved: only commits are applied; leave --out or --worktree away"
        )
    from reconciler.cli.planning import Form, Terms, plan_fleet

    form: Form = "json" if as_json else "markdown" if markdown else "text"
    terms = Terms(hosts, revision, worktree, out, form, diff=diff, allow_deletions=allow_deletions, now=now, signers=signers)
    made = plan_fleet(cli.folder, terms, cli.screen)
    return made.detailed_exit if detailed_exitcode else made.exit
