"""What `reconcile apply` does: load, survey, show, refuse or ask, converge, tell.

Called by `apply.py`, which holds the options, so that `apply --help` imports nothing of this.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from desired.model import Fleet, Host
from desired.text import listing
from reconciler.cli import saved
from reconciler.cli.asking import agreed
from reconciler.cli.converge import converge
from reconciler.cli.loading import commit_of, load_fleet, prepared, select, tell_uncommitted, tell_warnings
from reconciler.cli.scanning import refuse_secrets
from reconciler.cli.screen import Screen
from reconciler.cli.signing import refuse_unsigned
from reconciler.cli.survey import survey
from reconciler.draft import nothing_held
from reconciler.errors import Exit, Refused
from reconciler.fleet_run import FleetRun, exit_code
from reconciler.plan import HostPlan, Plan
from reconciler.policy import PolicyHold, policy_hold
from reconciler.render.json_form import apply_document
from reconciler.render.lines import BLANK, line
from reconciler.render.outcome import outcome_lines
from reconciler.render.terminal import plan_lines, summary_lines
from reconciler.render.words import budget_words, source_words
from reconciler.text import plural, visible


@dataclass(frozen=True, slots=True)
class Terms:
    """What was said on the command line."""

    hosts: tuple[str, ...]
    revision: str
    plan_file: Path | None
    yes: bool
    diff: bool
    allow_deletions: int | None
    as_json: bool
    now: bool = False
    """Whether windows and suspensions do not count."""
    signers: Path | None = None
    """A list of signers on this machine."""


@dataclass(frozen=True, slots=True)
class _Task:
    """One apply, once it is known what is meant by the terms."""

    fleet: Fleet
    hosts: list[Host]
    asked: tuple[str, ...]
    revision: str
    terms: Terms
    agreed: Plan | None = None
    unseen: Sequence[HostPlan] = ()
    """Hosts that the saved plan knows nothing of: they are left alone."""

    @property
    def allowed(self) -> int:
        return self.fleet.max_deletions if self.terms.allow_deletions is None else self.terms.allow_deletions


def apply_fleet(folder: Path, terms: Terms, screen: Screen) -> Exit:
    task = _saved_task(folder, terms, terms.plan_file, screen) if terms.plan_file is not None else _task(folder, terms, screen)
    tell_warnings(task.fleet, screen)
    return asyncio.run(_run(task, screen))


def _task(folder: Path, terms: Terms, screen: Screen) -> _Task:
    loaded = load_fleet(folder, terms.revision)
    tell_uncommitted(loaded.uncommitted, screen, "are not applied; reconcile plan --worktree previews them")
    refuse_unsigned(folder, loaded.fleet, terms.signers)
    refuse_secrets(folder, loaded, screen)
    fleet, hosts = prepared(loaded.fleet, select(loaded.fleet, terms.hosts))
    return _Task(fleet, hosts, terms.hosts, terms.revision, terms)


def _saved_task(folder: Path, terms: Terms, file: Path, screen: Screen) -> _Task:
    plan = saved.read(file)
    saved.refuse_moved(plan, commit_of(folder, plan.revision))
    loaded = load_fleet(folder, plan.revision)
    refuse_unsigned(folder, loaded.fleet, terms.signers)
    refuse_secrets(folder, loaded, screen)
    asked = terms.hosts or plan.hosts_asked
    fleet, hosts = prepared(loaded.fleet, select(loaded.fleet, asked))
    unseen = saved.unseen(plan, [host.name for host in hosts])
    screen.tell(*(line((host.host, "bold"), ": not applied: it could not be asked when the plan was made") for host in unseen))
    seen = [host for host in hosts if all(host.name != one.host for one in unseen)]
    return _Task(fleet, seen, asked, plan.revision, terms, plan, unseen)


async def _run(task: _Task, screen: Screen) -> Exit:
    policy = policy_hold(task.fleet, datetime.now(UTC))
    async with FleetRun(task.fleet, task.hosts, hold=nothing_held if task.terms.now else policy) as run:
        surveyed = await survey(run, screen)
        plan = surveyed.model_copy(update={"revision": task.revision, "hosts_asked": task.asked})
        if task.agreed is not None:
            _refuse_closed(task.agreed, plan, policy)
            saved.refuse_different(task.agreed, plan)
        if not task.terms.as_json:
            _show(plan, task, screen)
        _refuse_held(plan, policy)
        _refuse_deletions(plan, task.allowed)
        if plan.changes and not task.terms.yes:
            await _ask(plan, screen)
        await converge(run, plan, screen, exact=task.agreed is not None or not task.terms.yes)
        return _tell(run, plan, task, screen)


def _show(plan: Plan, task: _Task, screen: Screen) -> None:
    if task.agreed is None:
        screen.show_all(plan_lines(plan, diff=task.terms.diff, allowed=task.allowed))
    else:
        screen.show(line(("Saved plan", "bold"), f" for {source_words(plan)}, still exact"))
        screen.show_all(summary_lines(plan, task.allowed))


_ALL_THE_SAME = "wait, or do it all the same with --now"


def _refuse_held(plan: Plan, policy: PolicyHold) -> None:
    """All that would change is held back by windows and suspensions."""
    if not plan.changes and (reasons := policy.reasons(plan)):
        raise Refused(f"all that would change is held back; nothing was changed: {listing(reasons, 3)}", _ALL_THE_SAME)


def _refuse_closed(agreed: Plan, plan: Plan, policy: PolicyHold) -> None:
    """Something that was agreed to may not be done now."""
    free = {(host.host, action.ref) for host in agreed.hosts for action in host.actions if action.held is None}
    held = dict.fromkeys(reason for host, action, reason in policy.held(plan) if (host, action.ref) in free)
    if held:
        message = "what the plan shows may not be done now; nothing was changed"
        raise Refused(f"{message}: {listing(list(held), 3)}", _ALL_THE_SAME)


def _refuse_deletions(plan: Plan, allowed: int) -> None:
    words = budget_words(plan, allowed)
    if words is not None:
        message, hint = words
        raise Refused(f"{message}; nothing was changed", hint)


async def _ask(plan: Plan, screen: Screen) -> None:
    """Returns when somebody agreed, and raises `Refused` otherwise."""
    if not screen.can_ask:
        raise Refused("there is no terminal to ask on; nothing was changed", "look at the plan, then apply with --yes")
    touched = [host.host for host in plan.hosts if any(action.held is None for action in host.actions)]
    what = "this change" if plan.changes == 1 else f"these {plan.changes} changes"
    where = visible(touched[0]) if len(touched) == 1 else plural(len(touched), "host")
    if not await agreed(f"Apply {what} to {where}?", screen):
        raise Refused("not applied: nobody said yes; nothing was changed")


def _tell(run: FleetRun, plan: Plan, task: _Task, screen: Screen) -> Exit:
    code = exit_code(run.runs.values())
    if code is Exit.OK and any(not host.away for host in task.unseen):
        code = Exit.UNREACHABLE
    if task.terms.as_json:
        screen.document(apply_document(plan, run.runs.values(), code))
    elif plan.changes or code is not Exit.OK:
        screen.show(BLANK)
        screen.show_all(outcome_lines(run.runs.values()))
    return code
