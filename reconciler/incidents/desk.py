"""Gathers findings into incidents, one per cause, and says when one is to be told: opened, updated, closed.

An observer of the loop; all of it runs on the event loop's thread and costs next to nothing for a host that is as it should
be. Its state is the truth while the process lives; the history is its mirror, from which it is made again after a restart: what
was told is not told again, and what ended meanwhile is closed by the first look that shows it. What a telling becomes in which
chat, and reminders, are for `reconciler/alerts/`.

What counts as one cause:
- the same group (`findings.py`): a commit, a project's revision, an error text, a source;
- drift, and hosts that do not answer: all that may have come about at one time. A host whose last good look is older than the
  incident's last member by `JOIN` or less, or that was never seen good, belongs to it, however long its interval is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Protocol

from desired.model import Fleet
from reconciler.incidents import findings
from reconciler.incidents.case import REOPEN, Case, Key, Ticks
from reconciler.incidents.drifts import Drifts
from reconciler.incidents.drifts import finding as of_drift
from reconciler.incidents.model import DriftRecord, Finding, HowEnded, Incident, Telling
from reconciler.incidents.unsettled import Unsettled
from reconciler.loop.following import Followed
from reconciler.loop.report import CycleReport
from reconciler.plan import HostPlan

JOIN = 600.0
"""Seconds after an incident's last member within which what is found belongs to it."""
TRIES = 2
"""Failed tries in a row that make a host unreachable, or a source; and answers that make it well again."""
DOUBTS = 3
"""Cycles in a row after which it is told that something cannot be told."""
MOST_RECENT = 500
"""Closed incidents that are remembered in case they come back."""
SAVED_EVERY = 300.0
"""Seconds after which what is seen again and again is looked at in full."""
BY_TIME = frozenset(("drift", "unreachable"))

Place = tuple[str, str, str]
"""Event, host and reference: in no more than one open incident at a time."""


class Mirror(Protocol):
    """The part of the history that the desk writes to."""

    def save_incident(self, incident: Incident) -> None: ...
    def save_drift(self, drift: DriftRecord) -> None: ...


def _nobody(telling: Telling) -> None:
    """Without alerts nobody is told."""


@dataclass(slots=True)
class _Silence:
    """A host that does not answer."""

    since: float
    """When that was found first; seconds since 1970."""
    at: float
    """The same by our own count."""
    finding: Finding
    tries: int = 0


class Desk:
    """See above. `tell` is set by the service."""

    def __init__(
        self,
        history: Mirror,
        *,
        opened: Sequence[Incident] = (),
        drifts: Sequence[DriftRecord] = (),
        heals: Iterable[tuple[str, str, float]] = (),
        broken_off: Iterable[DriftRecord] = (),
        seen: Mapping[str, float] | None = None,
    ) -> None:
        """`heals`: what was put right within the last day (host, reference, when). `broken_off`: see `Drifts`. `seen`: host →
        when it answered last."""
        self.tell: Callable[[Telling], None] = _nobody
        self._history = history
        self._zone: tzinfo = UTC
        self._ticks = Ticks()
        self._drifts = Drifts(history.save_drift, drifts, heals, broken_off)
        self._restored = list(opened)
        self._cases: dict[str, Case] = {}
        """Open ones, and those that may come back."""
        self._where: dict[Place, Case] = {}
        """Open members."""
        self._hosts: dict[str, set[Place]] = {}
        self._seen = dict(seen or {})
        """Host → when it answered last; seconds since 1970."""
        self._good: dict[str, float] = {}
        """Host → when it answered last, by our own count."""
        self._asked: dict[str, float] = {}
        self._silent: dict[str, _Silence] = {}
        self._answers: dict[str, tuple[int, float]] = {}
        self._doubts: dict[str, dict[str, int]] = {}
        self._unsettled = Unsettled()
        self._last: dict[str, tuple[HostPlan, float]] = {}
        """Host → the plan that was looked at in full last, and when."""
        self._fleet: Fleet | None = None
        self._blocked: frozenset[str] = frozenset()
        self._looks: dict[str, int] = {}
        """Source → looks in a row that did not reach it."""
        self._waiting: Followed | None = None
        """What was read before there was a clock."""
        self._pruned = 0.0

    @property
    def incidents(self) -> tuple[Incident, ...]:
        """The open ones, oldest first."""
        self._take_up()
        return tuple(case.incident() for case in self._cases.values() if case.closed is None)

    @property
    def drifts(self) -> tuple[DriftRecord, ...]:
        return tuple(self._drifts)

    # What the loop reports.

    def followed(self, followed: Followed) -> None:
        now = self._ticks.wall
        if now is None:
            self._waiting = followed
            return
        found = {finding.ref: finding for finding in findings.of_source(followed)}
        self._blocked = frozenset(problem.subject for problem in followed.problems if problem.kind == "project")
        self._looks = {ref: self._looks.get(ref, 0) + 1 for ref, finding in found.items() if finding.severity == "warning"}
        for ref, finding in found.items():
            if ("source", "", ref) in self._where or self._looks.get(ref, TRIES) >= TRIES:
                stale = finding.group == "unreachable" and followed.read is not None
                self._find(finding, min(followed.read or now, now) if stale else now, finding.commit)
        for place in [place for place in self._hosts.get("", ()) if place[2] not in found]:
            self._end(place, now, "recovered")
        if followed.fleet is not None and followed.fleet is not self._fleet:
            self._fleet = followed.fleet
            self._zone = followed.fleet.policies.timezone
            self._left_fleet(followed.fleet, now)

    def began(self, report: CycleReport) -> None:
        """What comes of it counts; where nothing does, the history tells whoever is there next that it had begun."""

    def visited(self, report: CycleReport) -> None:
        self._take_up()
        host = report.host
        self._asked[host] = self._ticks.at
        if report.reached:
            if self._as_before(report):
                self._seen[host], self._good[host] = report.began, self._ticks.at
                return
            self._reached(report)
            self._seen[host], self._good[host] = report.began, self._ticks.at
            self._last[host] = (report.plan, self._ticks.at)
        else:
            self._last.pop(host, None)
            self._unreached(report)

    def ticked(self, now: float) -> None:
        self._ticks.advance(now)
        self._take_up()
        if self._waiting is not None:
            followed, self._waiting = self._waiting, None
            self.followed(followed)
        for case in list(self._cases.values()):
            self._tend(case, now)
        if self._ticks.at - self._pruned > SAVED_EVERY:
            self._pruned = self._ticks.at
            self._drifts.prune(now)

    def flush(self, now: float) -> None:
        """Tells all that is still gathered, for a loop that makes one pass only: there is no second try."""
        self._take_up()
        for silence in self._silent.values():
            if silence.finding.group != "away":
                self._find(silence.finding, silence.since, None)
        for finding, since, commit in self._unsettled.waiting():
            self._find(finding, since, commit)
        for case in self._cases.values():
            case.due = min(case.due, self._ticks.at)
        self.ticked(now)

    # Hosts.

    def _as_before(self, report: CycleReport) -> bool:
        """Whether nothing about the host is new, so that nothing need be looked at."""
        host = report.host
        if report.outcome is not None or host in self._silent or host in self._doubts or host in self._answers:
            return False
        if not self._hosts.get(host) and not self._drifts.of(host) and not report.plan.actions and not report.plan.unknown:
            return True
        last = self._last.get(host)
        return last is not None and last[0] is report.plan and self._ticks.at - last[1] < SAVED_EVERY

    def _reached(self, report: CycleReport) -> None:
        host, now = report.host, report.began
        self._silent.pop(host, None)
        self._answered(host, now)
        for record in self._drifts.visited(report, self._declares, self._zone):
            self._drifted(record, report)
        for record in list(self._drifts.of(host)):
            if ("drift", host, record.ref) not in self._where:
                self._drifted(record, report)
        left = findings.remaining(report)
        drifting = {record.ref for record in self._drifts.of(host) if record.kind == "drift"}
        found = [
            *findings.tried(report),
            *self._unsettled.visited(report, lambda ref: ("failed", host, ref) in self._where, drifting),
            *findings.refused(report, self._blocked),
            *findings.held(report),
            *self._unknown(report),
        ]
        for finding in found:
            self._find(finding, now, report.commit)
        self._over(report, left, {(finding.event, host, finding.ref) for finding in found})
        for finding in findings.deployed(report):
            self._find(finding, now, report.commit)
            self._end((finding.event, host, finding.ref), now, "")

    def _drifted(self, record: DriftRecord, report: CycleReport) -> None:
        if record.kind != "drift":
            return
        self._find(of_drift(record, report.tags), record.first, record.commit)
        if record.ended is not None:
            self._end(("drift", record.host, record.ref), record.ended, record.how)

    def _unknown(self, report: CycleReport) -> list[Finding]:
        """What nothing is known of for several cycles, or was told of already."""
        plan = report.after or report.plan
        doubts = {item.ref: item for item in plan.unknown if not item.refused}
        known = self._doubts.pop(report.host, {})
        counts = {ref: min(known.get(ref, 0) + 1, DOUBTS) for ref in doubts}
        if counts:
            self._doubts[report.host] = counts
        return [
            findings.doubt(report, item)
            for ref, item in doubts.items()
            if counts[ref] >= DOUBTS or ("failed", report.host, ref) in self._where
        ]

    def _over(self, report: CycleReport, left: frozenset[str] | None, found: set[Place]) -> None:
        """Ends what the cycle shows to be right again."""
        drifting = {record.ref for record in self._drifts.of(report.host)}
        for place in [place for place in self._hosts.get(report.host, ()) if place not in found]:
            event, _, ref = place
            case = self._where[place]
            if event == "held" or (event == "failed" and findings.right(report, ref, left, case.group)):
                self._end(place, report.began, "recovered" if case.commit == report.commit else "superseded")
            elif event == "drift" and ref not in drifting and left is not None and ref not in left:
                self._end(place, report.began, "vanished")  # its record was lost

    def _unreached(self, report: CycleReport) -> None:
        host = report.host
        finding = findings.problem(report)
        self._answers.pop(host, None)
        if finding is None:
            return
        silence = self._silent.setdefault(host, _Silence(report.began, self._ticks.at, finding))
        silence.finding, silence.tries = finding, silence.tries + 1
        since = silence.since
        if finding.group == "away":
            since = min(since, self._seen.get(host, since))
            told = report.away_after is not None and report.began - since >= report.away_after
        else:
            told = finding.severity == "error" or silence.tries >= TRIES
        if told or (finding.event, host, "") in self._where:
            self._find(finding, since, report.commit, silence.at)

    def _answered(self, host: str, now: float) -> None:
        """A host is well again when it has answered twice."""
        place = ("unreachable", host, "")
        if place not in self._where:
            self._answers.pop(host, None)
            return
        times, first = self._answers.get(host, (0, now))
        self._answers[host] = (times + 1, first)
        if times + 1 >= TRIES or self._where[place].severity == "error":
            del self._answers[host]
            self._end(place, first, "recovered")

    def _declares(self, host: str, ref: str) -> bool:
        """Whether git asks for something there, as far as that is known."""
        known = self._fleet.hosts.get(host) if self._fleet is not None else None
        return known is None or any(resource.ref == ref for resource in known.resources)

    def _left_fleet(self, fleet: Fleet, now: float) -> None:
        self._drifts.left_fleet(fleet.hosts, now)
        self._unsettled.keep(fleet.hosts)
        for host in [host for host in self._hosts if host and host not in fleet.hosts]:
            for place in list(self._hosts.get(host, ())):
                self._end(place, now, "gone")
        for memory in (self._seen, self._good, self._asked, self._silent, self._answers, self._doubts, self._last):
            for host in [host for host in memory if host not in fleet.hosts]:
                memory.pop(host)

    # Cases.

    def _find(self, finding: Finding, since: float, commit: str | None, at: float | None = None) -> None:
        """Puts a finding where it belongs. `at`: since when its like is gathered; default: from now on."""
        place = (finding.event, finding.host, finding.ref)
        case = self._where.get(place)
        if case is not None and not case.suits(finding):
            self._end(place, since, "superseded" if finding.event == "failed" and commit != case.commit else "replaced")
            case = None
        if case is not None:
            case.see(finding, since)
            return
        case = self._back(finding) or self._joins(finding)
        if case is None:
            case = Case.of(finding, since, self._ticks.at if at is None else at, commit)
            self._cases[case.id] = case
        case.add(finding, since, self._ticks)
        self._where[place] = case
        self._hosts.setdefault(finding.host, set()).add(place)

    def _back(self, finding: Finding) -> Case | None:
        """The incident in which it was a member before, where that is open or was of late."""
        key: Key = (finding.host, finding.ref)
        return next(
            (
                case
                for case in reversed(self._cases.values())
                if case.event == finding.event and case.group == finding.group and key in case.members
            ),
            None,
        )

    def _joins(self, finding: Finding) -> Case | None:
        good = self._good.get(finding.host)
        for case in reversed(self._cases.values()):
            if (case.event, case.group) != (finding.event, finding.group):
                continue
            if case.closed is not None and case.event != "deployed":
                continue
            if case.event not in BY_TIME or good is None or good <= case.joined + JOIN:
                return case
        return None

    def _end(self, place: Place, at: float, how: HowEnded) -> None:
        case = self._where.pop(place, None)
        if case is None:
            return
        case.end(place[1:], at, how, self._ticks)
        here = self._hosts[place[1]]
        here.discard(place)
        if not here:
            del self._hosts[place[1]]

    def _tend(self, case: Case, now: float) -> None:
        """Tells what is to be told, saves what is new, forgets what is long over."""
        if case.forgotten and self._ticks.at > JOIN:
            case.forgotten = False
        if case.told is None and case.event == "unreachable" and self._all_asked(case):
            case.due = min(case.due, self._ticks.at)
        if (stage := case.telling(self._ticks, now)) is not None:
            self.tell(Telling(case.incident(), stage, now))
        elif case.closed is not None and self._forgettable(case):
            del self._cases[case.id]
        if case.dirty:
            case.dirty = False
            self._history.save_incident(case.incident())

    def _forgettable(self, case: Case) -> bool:
        return self._ticks.at - case.closed_at > REOPEN or len(self._cases) > MOST_RECENT + len(self._where)

    def _all_asked(self, case: Case) -> bool:
        """Whether every host was asked since the first of the case fell silent, and none is in doubt."""
        first = min((self._silent[host].at for host, _ in case.open if host in self._silent), default=self._ticks.at)
        hosts = self._fleet.hosts if self._fleet is not None else self._asked
        if any(silence.tries < TRIES for silence in self._silent.values()):
            return False
        return all(self._asked.get(host, -1.0) >= first for host in hosts)

    def _take_up(self) -> None:
        """Makes the cases of the history, once: as soon as a clock has ticked, or something is to be found."""
        for incident in self._restored:
            case = Case.again(incident, self._ticks)
            self._cases[case.id] = case
            for host, ref in case.open:
                self._where[case.event, host, ref] = case
                self._hosts.setdefault(host, set()).add((case.event, host, ref))
        self._restored.clear()
