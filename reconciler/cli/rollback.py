"""`reconcile rollback`: back to what a project was before, as a commit. The work is in `rolling_back.py`."""

from __future__ import annotations

import click

from reconciler.cli import options
from reconciler.cli.commands import Cli, FleetCommand, pass_cli


@click.command(cls=FleetCommand)
@click.argument("project")
@click.option("--to", "revision", metavar="REV", help="Go back to this revision, instead of the one before.")
@click.option("--offline", is_flag=True, help="Ask no host: whether a revision failed somewhere is then not known.")
@options.commit
@pass_cli
def rollback(  # noqa: PLR0913  one argument for each option
    cli: Cli,
    project: str,
    revision: str | None,
    *,
    offline: bool,
    dry_run: bool,
    push: bool,
    branch: str | None,
    apply_now: bool,
    yes: bool,
) -> int:
    """Commit what a project was before: its revision, or its slot, and on request apply it.

    Looks at the history of the project's file and takes back what its last change was, the revision or the slot; going back
    twice goes back two revisions. A revision that failed a smoke test on a host is never gone back to: the hosts are asked.
    Where the old slot or release is still there, going back takes no longer than a switch.

    Exit code 0: committed; 1: refused, and nothing was changed; 5: the revision failed on a host. With --apply that of apply.
    """
    from reconciler.cli.editing import Terms
    from reconciler.cli.rolling_back import roll_back

    terms = Terms(dry_run=dry_run, push=push, branch=branch, apply=apply_now, yes=yes)
    return roll_back(cli.folder, project, revision, terms, cli.screen, offline=offline)
