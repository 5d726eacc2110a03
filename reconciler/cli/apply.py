"""`reconcile apply`: brings the hosts to what the repository says. The work is in `applying.py`."""

from __future__ import annotations

from pathlib import Path

import click

from reconciler.cli import options
from reconciler.cli.commands import Cli, FleetCommand, pass_cli


@click.command(cls=FleetCommand)
@options.hosts
@options.revision
@click.option(
    "--plan",
    "plan_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Apply this saved plan, exactly or not at all.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.diff
@options.allow_deletions
@options.now
@options.signers
@options.as_json
@pass_cli
def apply(  # noqa: PLR0913  one argument for each option
    cli: Cli,
    hosts: tuple[str, ...],
    revision: str,
    *,
    plan_file: Path | None,
    yes: bool,
    diff: bool,
    allow_deletions: int | None,
    now: bool,
    signers: Path | None,
    as_json: bool,
) -> int:
    """Bring the hosts to what the repository says.

    Shows the plan and asks first. HOST is a name or tag:NAME; none means all. Exit code 0: converged; 1: the repository is
    not valid; 3: a host failed; 4: a host was unreachable; 5: refused (an unsigned commit, too many deletions, nobody said yes,
    or windows and suspensions hold back all that would change); 6: the saved plan is stale.
    """
    if as_json and not yes:
        raise click.UsageError("--json leaves nobody to ask: add --yes")
    if plan_file is not None and revision != "HEAD":
        raise click.UsageError("--plan brings its own revision: leave --rev away")
    from reconciler.cli.applying import Terms, apply_fleet

    terms = Terms(
        hosts,
        revision,
        plan_file,
        yes=yes,
        diff=diff,
        allow_deletions=allow_deletions,
        as_json=as_json,
        now=now,
        signers=signers,
    )
    return apply_fleet(cli.folder, terms, cli.screen)
