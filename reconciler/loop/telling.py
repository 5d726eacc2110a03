"""What the loop's log says of git and hosts: what is new, once. An observer; the loop is quiet while nothing happens."""

from __future__ import annotations

from reconciler import log
from reconciler.log import Level
from reconciler.loop.following import Followed
from reconciler.loop.report import CycleReport
from reconciler.render.words import headline, short
from reconciler.text import plural

MOST = 10
"""Differences of one host that are named before the rest is only counted."""


class Teller:
    def __init__(self) -> None:
        self._commit: str | None = None
        self._problems: frozenset[tuple[str, str, str]] = frozenset()
        self._hosts: dict[str, str] = {}
        """Host → what was said of it last."""

    def followed(self, followed: Followed) -> None:
        if followed.commit is not None and followed.commit != self._commit:
            hosts = plural(len(followed.fleet.hosts), "host") if followed.fleet is not None else "no hosts"
            log.info(f"commit {short(followed.commit)} is in force: {followed.subject}", hosts=hosts)
            self._commit = followed.commit
        problems = frozenset((problem.kind, problem.subject, problem.message) for problem in followed.problems)
        for problem in followed.problems:
            if (problem.kind, problem.subject, problem.message) not in self._problems:
                about = f"project {problem.subject}" if problem.subject else "the fleet's repository"
                log.warning(f"{about}: {problem.message}", kind=problem.kind, hint=problem.hint or None)
        if self._problems and not problems:
            log.info("git is well again")
        self._problems = problems
        if followed.fleet is not None:
            self._hosts = {name: said for name, said in self._hosts.items() if name in followed.fleet.hosts}

    def began(self, report: CycleReport) -> None:
        """What becomes of it is said when it is over."""

    def visited(self, report: CycleReport) -> None:
        if report.quiet:
            if self._hosts.get(report.host):
                self._say(report, "info", "as it should be")
            self._hosts[report.host] = ""
            return
        if not report.reached:
            self._once(report, "info" if report.plan.away else "warning", f"{report.plan.problem_kind}: {report.plan.problem}")
            return
        held = [
            f"{action.ref} ({headline(action)}): {action.held}" for action in report.plan.actions if action.held is not None
        ]
        unknown = [f"{item.ref}: {item.reason}" for item in report.plan.unknown]
        said = []
        if report.outcome is not None:
            counts = report.outcome.fates.values()
            done = sum(fate == "done" for fate in counts)
            message = f": {report.outcome.message}" if report.outcome.message else ""
            well = report.outcome.status == "converged"
            self._say(report, "info" if well else "warning", f"{report.outcome.status}, {done} of {len(counts)} done{message}")
            for failure in report.outcome.failures:
                self._say(report, "warning", f"{failure.title}: {failure.fate}: {failure.output[-500:]}")
            for ref, fields in report.outcome.unconverged.items():
                self._say(report, "warning", f"{ref} did not converge: {', '.join(fields)}")
        if held:
            said.append(f"held back: {_some(held)}")
        if unknown:
            said.append(f"not known: {_some(unknown)}")
        if said:
            self._once(report, "warning" if unknown else "info", "; ".join(said))
        else:
            self._hosts[report.host] = ""

    def ticked(self, now: float) -> None:
        """Nothing is said by time."""

    def _once(self, report: CycleReport, level: Level, message: str) -> None:
        if self._hosts.get(report.host) != message:
            self._hosts[report.host] = message
            self._say(report, level, message)

    def _say(self, report: CycleReport, level: Level, message: str) -> None:
        log.say(level, message, run=report.run, host=report.host)


def _some(words: list[str]) -> str:
    more = len(words) - MOST
    return ", ".join(words[:MOST]) + (f" and {more} more" if more > 0 else "")
