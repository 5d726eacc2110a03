"""What `reconcile plan` does: load, survey, save, print.

Called by `plan.py`, which holds the options, so that `plan --help` imports nothing of this.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from desired.model import Fleet, Host
from reconciler.cli.loading import load_fleet, prepared, select, tell_uncommitted, tell_warnings
from reconciler.cli.saved import refuse_place, save
from reconciler.cli.scanning import scanned
from reconciler.cli.screen import Screen
from reconciler.cli.signing import refuse_unsigned
from reconciler.cli.survey import survey
from reconciler.draft import Hold, nothing_held
from reconciler.errors import Exit
from reconciler.fleet_run import FleetRun
from reconciler.plan import Plan
from reconciler.policy import policy_hold
from reconciler.render.diagnostics import diagnostic_lines
from reconciler.render.json_form import plan_document
from reconciler.render.lines import line
from reconciler.render.terminal import plan_lines

Form = Literal["text", "json", "markdown"]


@dataclass(frozen=True, slots=True)
class Made:
    """A plan, and what it tells the caller of the program."""

    plan: Plan

    @property
    def _unasked(self) -> bool:
        """An intermittent host that is away is nothing to worry about."""
        return any(host.problem is not None and not host.away for host in self.plan.hosts)

    @property
    def exit(self) -> Exit:
        return Exit.UNREACHABLE if self._unasked else Exit.OK

    @property
    def detailed_exit(self) -> Exit:
        """An answer with a hole in it is never "nothing to do", and never "these changes and no others"."""
        if self._unasked or any(host.unknown for host in self.plan.hosts):
            return Exit.INVALID
        return Exit.CHANGES if self.plan.changes else Exit.OK


@dataclass(frozen=True, slots=True)
class Terms:
    """What was said on the command line."""

    hosts: tuple[str, ...]
    revision: str
    worktree: bool
    out: Path | None
    form: Form
    diff: bool
    allow_deletions: int | None
    now: bool = False
    """Whether windows and suspensions do not count."""
    signers: Path | None = None
    """A list of signers on this machine."""


def plan_fleet(folder: Path, terms: Terms, screen: Screen) -> Made:
    if terms.out is not None:
        refuse_place(terms.out)
    loaded = load_fleet(folder, terms.revision, worktree=terms.worktree)
    if not terms.worktree:
        refuse_unsigned(folder, loaded.fleet, terms.signers)
    fleet, chosen = prepared(loaded.fleet, select(loaded.fleet, terms.hosts))
    tell_warnings(fleet, screen)
    screen.tell(*diagnostic_lines(scanned(folder, loaded, worktree=terms.worktree)))
    policy = policy_hold(fleet, datetime.now(UTC))
    surveyed = asyncio.run(_surveyed(fleet, chosen, screen, nothing_held if terms.now else policy))
    plan = surveyed.model_copy(update={"revision": terms.revision, "hosts_asked": terms.hosts})
    if terms.out is not None:
        save(plan, terms.out)
    if terms.form == "json":
        screen.document(plan_document(plan, loaded.uncommitted))
    elif terms.form == "markdown":
        from reconciler.render.markdown import plan_markdown

        screen.raw(plan_markdown(plan, diff=terms.diff))
    else:
        allowed = fleet.max_deletions if terms.allow_deletions is None else terms.allow_deletions
        screen.show_all(plan_lines(plan, diff=terms.diff, allowed=allowed))
    if held := policy.count(plan):
        what = "is a change that is" if held == 1 else f"are {held} changes that are"
        screen.tell(line(("note: ", "yellow"), f"there {what} held back by windows and suspensions; --now takes them in"))
    tell_uncommitted(loaded.uncommitted, screen, "are not in this plan; --worktree previews them")
    return Made(plan)


async def _surveyed(fleet: Fleet, chosen: list[Host], screen: Screen, hold: Hold) -> Plan:
    async with FleetRun(fleet, chosen, hold=hold) as run:
        return await survey(run, screen)
