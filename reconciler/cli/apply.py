"""`reconcile apply`: shows the plan, asks, brings the hosts there with live progress, and says what came of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli import options
from reconciler.cli.commands import Cli, FleetCommand, pass_cli

if TYPE_CHECKING:
    from desired.model import Fleet, Host
    from reconciler.cli.screen import Screen
    from reconciler.fleet_run import FleetRun
    from reconciler.plan import Plan


@click.command(cls=FleetCommand)
@options.hosts
@options.revision
@click.option("--plan", "plan_file", type=click.Path(path_type=Path), metavar="FILE", help="Apply this saved plan, exactly or not at all.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.allow_deletions
@options.as_json
@pass_cli
def apply(
    cli: Cli,
    hosts: tuple[str, ...],
    revision: str,
    *,
    plan_file: Path | None,
    yes: bool,
    allow_deletions: int | None,
    as_json: bool,
) -> int:
    """Bring the hosts to what the repository says.

    Shows the plan and asks first. HOST is a name or tag:NAME; none means all. Exit code 0: converged; 1: the repository is not valid;
    3: a host failed; 4: a host was unreachable; 5: refused (too many deletions, or nobody said yes); 6: the saved plan is stale.
    """
    if as_json and not yes:
        raise click.UsageError("--json leaves nobody to ask: add --yes")
    if plan_file is not None and revision != "HEAD":
        raise click.UsageError("--plan brings its own revision: leave --rev away")
    from reconciler.cli import saved
    from reconciler.cli.loading import commit_of, load_fleet, select, tell_uncommitted, tell_warnings

    agreed = saved.read(plan_file) if plan_file is not None else None
    if agreed is not None:
        saved.refuse_moved(agreed, commit_of(cli.folder, agreed.revision))
        revision = agreed.revision
    loaded = load_fleet(cli.folder, revision)
    words = hosts or (agreed.hosts_asked if agreed is not None else ())
    chosen = select(loaded.fleet, words)
    tell_warnings(loaded.fleet, cli.screen)
    if not as_json:
        tell_uncommitted(loaded, cli.screen)
    allowed = loaded.fleet.max_deletions if allow_deletions is None else allow_deletions
    terms = _Terms(words, revision, allowed, yes=yes, as_json=as_json, agreed=agreed)
    return asyncio.run(_run(loaded.fleet, chosen, terms, cli.screen))


@dataclass(frozen=True, slots=True)
class _Terms:
    """Under which conditions the plan may be applied."""

    asked: tuple[str, ...]
    revision: str
    allowed: int
    yes: bool
    as_json: bool
    agreed: Plan | None


async def _run(fleet: Fleet, chosen: list[Host], terms: _Terms, screen: Screen) -> int:
    from reconciler.cli.survey import survey
    from reconciler.fleet_run import FleetRun

    if terms.agreed is not None:
        seen = {host.host for host in terms.agreed.hosts if host.problem is None}
        chosen = [host for host in chosen if host.name in seen]
    async with FleetRun(fleet, chosen) as run:
        plan = (await survey(run, screen)).model_copy(update={"revision": terms.revision, "hosts_asked": terms.asked})
        return await _apply(run, plan, terms, screen)


async def _apply(run: FleetRun, plan: Plan, terms: _Terms, screen: Screen) -> int:
    from reconciler.cli.converge import converge
    from reconciler.cli.saved import refuse_different
    from reconciler.fleet_run import exit_code
    from reconciler.render.json_form import apply_document
    from reconciler.render.outcome import outcome_lines
    from reconciler.render.terminal import plan_lines

    if terms.agreed is not None:
        refuse_different(terms.agreed, plan)
    if not terms.as_json:
        screen.show_all(plan_lines(plan, allowed=terms.allowed))
    _refuse_deletions(plan, terms.allowed)
    if plan.changes:
        await _agreement(plan, terms, screen)
    await converge(run, plan, screen)
    code = exit_code(run.runs.values())
    if terms.as_json:
        screen.document(apply_document(plan, run.runs.values(), code))
    elif plan.changes:
        screen.show_all(outcome_lines(run.runs.values()))
    return code


def _refuse_deletions(plan: Plan, allowed: int) -> None:
    from reconciler.errors import Refused
    from reconciler.render.words import budget_words

    words = budget_words(plan, allowed)
    if words is not None:
        message, hint = words
        raise Refused(f"{message}; nothing was changed", hint)


async def _agreement(plan: Plan, terms: _Terms, screen: Screen) -> None:
    """Returns when somebody agreed, and raises `Refused` otherwise."""
    from reconciler.errors import Refused
    from reconciler.text import plural, visible

    if terms.yes:
        return
    if not screen.can_ask:
        raise Refused("there is no terminal to ask on; nothing was changed", "look at the plan, then apply with --yes")
    touched = [host.host for host in plan.hosts if any(action.held is None for action in host.actions)]
    what = "this change" if plan.changes == 1 else f"these {plan.changes} changes"
    where = visible(touched[0]) if len(touched) == 1 else plural(len(touched), "host")
    if not await _asked(f"Apply {what} to {where}? [y/N] ", screen):
        raise Refused("not applied: nobody said yes; nothing was changed")


async def _asked(question: str, screen: Screen) -> bool:
    """Waits for a line without stopping the event loop, so that connections stay alive while a person thinks."""
    screen.err.write(question)
    screen.err.flush()
    loop = asyncio.get_running_loop()
    typed = asyncio.Event()
    loop.add_reader(screen.input, typed.set)
    try:
        await typed.wait()
    finally:
        loop.remove_reader(screen.input)
    return screen.input.readline().strip().lower() in ("y", "yes")
