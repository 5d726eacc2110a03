"""`reconcile diff`: which resources of which hosts differ between two commits. Asks no host."""

from __future__ import annotations

import click

from reconciler.cli import options
from reconciler.cli.commands import Cli, FleetCommand, pass_cli


@click.command(cls=FleetCommand)
@click.argument("old", metavar="REV1")
@click.argument("new", metavar="[REV2]", default="HEAD")
@click.option("--worktree", is_flag=True, help="Compare with the working tree instead of REV2.")
@options.diff
@options.as_json
@pass_cli
def diff(cli: Cli, old: str, new: str, *, worktree: bool, diff: bool, as_json: bool) -> int:
    """Show which resources differ between two commits, without any host.

    REV2 is HEAD unless it is given. What a host is really like is not asked, nor what lies between two revisions of a project:
    that is what plan does. Exit code 0, or 1 when one of the two commits is not valid.
    """
    if worktree and new != "HEAD":
        raise click.UsageError("either REV2 or --worktree, not both")
    from desired.compare import compare
    from desired.model import Invalid
    from reconciler.cli.loading import load_fleet
    from reconciler.errors import Exit
    from reconciler.render.comparison import comparison_document, comparison_lines
    from reconciler.render.lines import line

    fleets = []
    for revision, in_worktree in ((old, False), (new, worktree)):
        try:
            fleets.append(load_fleet(cli.folder, revision, worktree=in_worktree).fleet)
        except Invalid:
            cli.screen.tell(line(("the working tree" if in_worktree else revision, "bold"), " is not valid:"))
            raise
    comparison = compare(*fleets)
    if as_json:
        cli.screen.document(comparison_document(comparison))
    else:
        cli.screen.show_all(comparison_lines(comparison, diff=diff))
    return Exit.OK
