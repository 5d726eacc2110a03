"""`reconcile plan`: what would change on the hosts, and why. Changes nothing anywhere."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli import options
from reconciler.cli.commands import Cli, FleetCommand, pass_cli

if TYPE_CHECKING:
    from desired.model import Fleet, Host
    from reconciler.cli.screen import Screen
    from reconciler.errors import Exit
    from reconciler.plan import Plan


@click.command(cls=FleetCommand)
@options.hosts
@options.revision
@options.worktree
@options.as_json
@click.option("--markdown", is_flag=True, help="Print Markdown, for a pull request or a chat.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Also save the plan for: reconcile apply --plan FILE.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit code 0: nothing to do, 2: changes, 1: the answer is incomplete.")
@click.option("--diff/--no-diff", default=True, help="Show text diffs (default), or leave them out.")
@options.allow_deletions
@pass_cli
def plan(
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
) -> int:
    """Show what would change on the hosts, and why.

    HOST is a name or tag:NAME; none means all. Exit code 0: every host answered; 4: some could not be asked; 1: the repository is
    not valid. With --detailed-exitcode 0: nothing to do; 2: changes; 1: error, or a host or resource could not be asked.
    """
    if as_json and markdown:
        raise click.UsageError("--json and --markdown cannot both be")
    if out is not None and worktree:
        raise click.UsageError("a plan of the working tree cannot be saved: only commits are applied; leave --out or --worktree away")
    from reconciler.cli.loading import load_fleet, select, tell_uncommitted, tell_warnings
    from reconciler.cli.saved import save
    from reconciler.render.json_form import plan_document
    from reconciler.render.terminal import plan_lines

    loaded = load_fleet(cli.folder, revision, worktree=worktree)
    fleet, screen = loaded.fleet, cli.screen
    chosen = select(fleet, hosts)
    tell_warnings(fleet, screen)
    made = asyncio.run(_made(fleet, chosen, screen)).model_copy(update={"revision": revision, "hosts_asked": hosts})
    if out is not None:
        save(made, out)
    if as_json:
        screen.document(plan_document(made, loaded.uncommitted))
    elif markdown:
        from reconciler.render.markdown import plan_markdown

        screen.raw(plan_markdown(made, diff=diff))
    else:
        allowed = fleet.max_deletions if allow_deletions is None else allow_deletions
        screen.show_all(plan_lines(made, diff=diff, allowed=allowed))
    tell_uncommitted(loaded, screen)
    return exit_code(made, detailed=detailed_exitcode)


async def _made(fleet: Fleet, chosen: list[Host], screen: Screen) -> Plan:
    from reconciler.cli.survey import survey
    from reconciler.fleet_run import FleetRun

    async with FleetRun(fleet, chosen) as run:
        return await survey(run, screen)


def exit_code(made: Plan, *, detailed: bool) -> Exit:
    """What the plan tells its caller. An intermittent host that is away is nothing to worry about."""
    from reconciler.errors import Exit

    unasked = any(host.problem is not None and not host.away for host in made.hosts)
    if not detailed:
        return Exit.UNREACHABLE if unasked else Exit.OK
    if unasked or any(host.unknown for host in made.hosts):
        return Exit.INVALID
    return Exit.CHANGES if made.changes else Exit.OK
