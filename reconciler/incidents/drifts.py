"""Drift records: each difference between a host and what it should be, from the first time it was seen to its end.

Kept by `desk.py`, which also makes incidents of drift; each change goes to the history at once, and comes back from there when
the loop begins. A drift is what the host did; what git asks for and is not done yet is `pending`, and is no incident.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Container, Iterable, Iterator
from datetime import UTC, tzinfo

from reconciler.incidents.findings import ASKED_BY_GIT, MOST_LINES, clipped
from reconciler.incidents.model import DriftRecord, Finding, HowEnded
from reconciler.incidents.witness import words
from reconciler.loop.patience import FLAPPING_LONGEST, Streak
from reconciler.loop.report import CycleReport
from reconciler.plan import Action, HostPlan
from reconciler.text import shorten

SAVED_EVERY = 300.0
"""Seconds after which an open record that is only older is written again."""
BUSY = 600.0
"""Seconds in which drift that is found while another run is at work on the host is left to that run."""
MOST_STREAKS = 20_000
LONGEST_FIELD = 120

Name = tuple[str, str]
_OTHERS = frozenset(("busy", "stale"))
"""Outcomes of an apply that another run was in the way of."""


class Drifts:
    """The open records, by host and reference."""

    def __init__(
        self,
        save: Callable[[DriftRecord], None],
        opened: Iterable[DriftRecord] = (),
        heals: Iterable[tuple[str, str, float]] = (),
        broken_off: Iterable[DriftRecord] = (),
    ) -> None:
        """`heals`: host, reference and when, of what was put right of late. `broken_off`: what was being put right when the
        process was killed; the next look shows what became of it."""
        self._save = save
        self._open: dict[str, dict[str, DriftRecord]] = {}
        self._saved: dict[str, float] = {}
        """Id → `last` as it was written."""
        self._streaks: dict[Name, Streak] = {}
        self._left_to_others: dict[str, float] = {}
        """Host → since when another run is in our way there."""
        self._broken_off: dict[str, set[str]] = {}
        """Host → references of what was being put right when we were stopped, or let it go."""
        for record in opened:
            if record.ended is None:
                self._open.setdefault(record.host, {})[record.ref] = record
                self._saved[record.id] = record.last
        for host, ref, at in sorted(heals, key=lambda heal: heal[2]):
            self._streaks.setdefault((host, ref), Streak()).heal(at)
        for record in broken_off:
            self._broken_off.setdefault(record.host, set()).add(record.ref)
            if record.ref not in self._open.get(record.host, {}):
                self._keep(self._counted(record))

    def __iter__(self) -> Iterator[DriftRecord]:
        for records in self._open.values():
            yield from records.values()

    def of(self, host: str) -> Collection[DriftRecord]:
        return self._open.get(host, {}).values()

    def visited(
        self, report: CycleReport, declares: Callable[[str, str], bool] = lambda _host, _ref: True, zone: tzinfo = UTC
    ) -> list[DriftRecord]:
        """Brings the host's records up to date; those that are new, changed or ended. `declares`: whether git asks for it."""
        if not report.reached:
            return []
        ours = self._broken_off.pop(report.host, set())
        before = {action.ref: action for action in report.plan.actions if action.action != "refresh"}
        left = _left(report)
        open_here = self._open.get(report.host, {})
        found = [
            record
            for ref, action in before.items()
            for record in self._seen(report, action, None if left is None else ref in left, zone)
        ]
        if report.outcome is None or report.outcome.status not in _OTHERS:
            self._left_to_others.pop(report.host, None)
        if _let_go(report):
            drifting = {ref for ref, action in before.items() if action.cause.why == "drift" and action.held is None}
            self._broken_off[report.host] = ours | drifting
        unknown = {item.ref for item in report.plan.unknown}
        over = [record for ref, record in open_here.items() if ref not in before and ref not in unknown]
        for record in over:
            how = _by_itself(record, report.commit) if declares(record.host, record.ref) else "gone"
            how = "healed" if record.ref in ours and how != "gone" else how
            found.append(self._end(record, report.began, how))
        return found

    def left_fleet(self, hosts: Container[str], now: float) -> None:
        """Ends what is about hosts that are not in the fleet any more."""
        for record in list(self):
            if record.host not in hosts:
                self._end(record, now, "gone")
        self._left_to_others = {host: since for host, since in self._left_to_others.items() if host in hosts}
        self._broken_off = {host: refs for host, refs in self._broken_off.items() if host in hosts}

    def prune(self, now: float) -> None:
        """Forgets heals that are long past, and the oldest where there are too many."""
        self._streaks = {
            name: streak
            for name, streak in self._streaks.items()
            if not streak.over(now) and streak.heals[-1] <= now + FLAPPING_LONGEST
        }
        for name in list(self._streaks)[: max(0, len(self._streaks) - MOST_STREAKS)]:
            del self._streaks[name]

    def _seen(self, report: CycleReport, action: Action, left: bool | None, zone: tzinfo) -> list[DriftRecord]:  # noqa: FBT001  a third answer: it cannot be told
        """One difference that the cycle found. `left`: whether it is still there."""
        known = self._open.get(report.host, {}).get(action.ref)
        kind = "drift" if action.cause.why == "drift" else "pending" if action.cause.why in ASKED_BY_GIT else None
        if action.cause.why == "unfinished" and known is not None:  # we did not manage to put it right: it is still what it was
            kind = known.kind
        changes: list[DriftRecord] = []
        if known is not None and kind is not None and known.kind != kind:
            changes.append(self._end(known, report.began, "superseded"))
            known = None
        if known is None:
            if kind is None or (kind == "pending" and left is False) or self._anothers(report):
                return changes
            known = self._begin(report, action, zone)
            changes.append(known)
        if left is False:
            ended = self._end(known, report.began + report.seconds, "healed")
            return [*(record for record in changes if record.id != ended.id), ended]
        lost = _lost(report, action) and known.kind == "drift"
        if lost:
            known = self._lose(known, report)
        again = self._again(known, report, action)
        if again is not None or lost:
            changes.append(again or known)
        return changes

    def _lose(self, known: DriftRecord, report: CycleReport) -> DriftRecord:
        """It was put right, and was not so any more when we looked: that counts as drift that came back."""
        streak = self._streaks.setdefault((known.host, known.ref), Streak())
        streak.heal(report.began + report.seconds)
        known = known.model_copy(update={"times": streak.times, "flapping": streak.level > 0})
        self._keep(known)
        return known

    def _anothers(self, report: CycleReport) -> bool:
        """Whether another run is at work on the host, which sees the same and tells of it. What it leaves is ours."""
        if report.outcome is None or report.outcome.status not in _OTHERS or _let_go(report):
            return False
        since = self._left_to_others.setdefault(report.host, report.began)
        return abs(report.began - since) < BUSY

    def _begin(self, report: CycleReport, action: Action, zone: tzinfo) -> DriftRecord:
        drift = action.cause.why == "drift"
        evidence = report.evidence
        record = DriftRecord(
            id=secrets.token_hex(6),
            host=report.host,
            ref=action.ref,
            kind="drift" if drift else "pending",
            fields=_fields(action),
            diff=clipped(action.diff),
            first=report.began,
            last=report.began,
            commit=report.commit,
            place=action.cause.place,
            held=action.held or "",
            evidence=words(evidence, action.ref, report.began, zone) if drift and evidence is not None else (),
        )
        record = self._counted(record) if drift else record
        self._keep(record)
        return record

    def _counted(self, record: DriftRecord) -> DriftRecord:
        """With what is known of the times before."""
        streak = self._streaks.get((record.host, record.ref))
        if streak is None or streak.over(record.first):
            return record
        return record.model_copy(update={"times": streak.times + 1, "flapping": streak.level > 0})

    def _again(self, known: DriftRecord, report: CycleReport, action: Action) -> DriftRecord | None:
        """What is still there; None where nothing about it is new."""
        new = {"fields": _fields(action), "diff": clipped(action.diff), "held": action.held or "", "place": action.cause.place}
        if report.evidence is not None and not known.evidence and known.kind == "drift":
            new["evidence"] = words(report.evidence, action.ref, report.began)
        changed = any(getattr(known, name) != value for name, value in new.items())
        record = known.model_copy(update={**new, "last": max(known.last, report.began)})
        self._open[report.host][action.ref] = record
        if changed or record.last - self._saved.get(record.id, 0.0) >= SAVED_EVERY:
            self._keep(record)
        return record if changed else None

    def _keep(self, record: DriftRecord) -> None:
        self._open.setdefault(record.host, {})[record.ref] = record
        self._saved[record.id] = record.last
        self._save(record)

    def _end(self, record: DriftRecord, at: float, how: HowEnded) -> DriftRecord:
        flapping = record.flapping
        if how == "healed" and record.kind == "drift":
            streak = self._streaks.setdefault((record.host, record.ref), Streak())
            streak.heal(at)
            flapping = streak.level > 0
        ended = record.model_copy(
            update={"ended": at, "how": how, "flapping": flapping, "last": max(record.last, record.first)}
        )
        self._open.get(record.host, {}).pop(record.ref, None)
        if not self._open.get(record.host):
            self._open.pop(record.host, None)
        self._saved.pop(record.id, None)
        self._save(ended)
        return ended


FLAPPING = "is flapping: it drifts each time it was put right"
FLAPS = (
    "It was put right again and again, so something on the host works against it. It is left alone for longer and longer: "
    "find what changes it, or commit what it should be."
)


def finding(record: DriftRecord, tags: tuple[str, ...]) -> Finding:
    """A drift as a thing that is wrong."""
    names = ", ".join(field.partition(":")[0] for field in record.fields)
    what = f"{record.ref} drifted" + (f": {names}" if names else "")
    hint = ""
    if record.flapping:
        what, hint = f"{record.ref} {FLAPPING}", FLAPS
    elif record.held:
        hint = "It is only reported: commit what is there, or apply what is asked for."
    lines = record.diff or record.fields
    return Finding("drift", "", record.host, record.ref, "warning", what, hint, tuple(lines), tags, evidence=record.evidence)


def _let_go(report: CycleReport) -> bool:
    """Whether it was broken off in the middle, by ourselves: steps that had ended by then may have put right what drifted."""
    return report.outcome is not None and report.outcome.status == "stale" and bool(report.outcome.steps)


def _lost(report: CycleReport, action: Action) -> bool:
    outcome = report.outcome
    return outcome is not None and outcome.fates.get(action.ref) == "done" and action.ref in outcome.unconverged


def _left(report: CycleReport) -> frozenset[str] | None:
    """What differs when the cycle has ended; None where that cannot be told."""
    outcome = report.outcome
    if outcome is None:
        return _differing(report.plan)
    if report.after is not None:
        return _differing(report.after) | frozenset(item.ref for item in report.after.unknown)
    if outcome.status == "converged":
        return frozenset(action.ref for action in report.plan.actions if outcome.fates.get(action.ref) != "done")
    return None if outcome.fates else _differing(report.plan)


def _differing(plan: HostPlan) -> frozenset[str]:
    return frozenset(action.ref for action in plan.actions if action.action != "refresh")


def _by_itself(record: DriftRecord, commit: str | None) -> HowEnded:
    """Nothing was done, and it is as it should be. With another commit in force, that is what git asks for now."""
    if record.commit == commit:
        return "vanished"
    return "accepted" if record.kind == "drift" else "superseded"


def _fields(action: Action) -> tuple[str, ...]:
    if action.action != "change":
        return ("it is missing",) if action.action == "create" else ("it is there again",)
    said = [
        f"{field.field}: {field.before} → {field.after}" if field.before and field.after else field.field
        for field in action.fields
    ]
    return tuple(shorten(line.replace("\n", " "), LONGEST_FIELD) for line in said[:MOST_LINES])
