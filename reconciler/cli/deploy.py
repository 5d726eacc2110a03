"""`reconcile deploy`: a new revision of a project, as a commit. The work is in `deploying.py`."""

from __future__ import annotations

import click

from reconciler.cli import options
from reconciler.cli.commands import Cli, FleetCommand, pass_cli


@click.command(cls=FleetCommand)
@click.argument("project")
@click.argument("revision", metavar="REV")
@options.commit
@pass_cli
def deploy(  # noqa: PLR0913  one argument for each option
    cli: Cli, project: str, revision: str, *, dry_run: bool, push: bool, branch: str | None, apply_now: bool, yes: bool
) -> int:
    """Commit another revision of a project, and on request apply it.

    REV is a commit, tag or branch of the project's source, which is asked for it. Shows the commits that come with it and the
    files that differ; then changes `revision:` in the project's file, and nothing else, and commits that. A commit is written
    with its full id; a tag or branch keeps its name, and a branch is followed from then on.

    A project has one revision for all its hosts. Other uncommitted work is left alone; the project's own file must have none.
    Exit code 0: committed, or it says so already; 1: refused, and nothing was changed. With --apply that of apply.
    """
    from reconciler.cli.deploying import deploy_revision
    from reconciler.cli.editing import Terms

    terms = Terms(dry_run=dry_run, push=push, branch=branch, apply=apply_now, yes=yes)
    return deploy_revision(cli.folder, project, revision, terms, cli.screen)
