"""One incident while the loop lives: its members, and when something about it is to be told. Kept by `desk.py`.

Time is counted here by `Ticks`, not by the wall clock, which may be set; what people read is the wall clock's.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from desired.schema import Event
from reconciler.incidents.drifts import FLAPPING
from reconciler.incidents.findings import fingerprint
from reconciler.incidents.model import ENDINGS, Finding, HowEnded, Incident, Member, Severity, Stage

GATHER = 15.0
"""Seconds in which findings of one cause may come together before it is told."""
GATHER_UNREACHABLE = 90.0
"""The same for hosts that do not answer: so long it may take until each was asked."""
UPDATE = 600.0
"""Seconds between two tellings of one incident, of which the first closing is excepted."""
LONGEST_UPDATE = 6 * 3600.0
"""What that grows to where the same things come and go."""
REOPEN = 3600.0
"""Seconds in which what comes back is the same incident."""
MOST_MEMBERS = 200
"""Members that are kept; the rest is counted."""
LONGEST_STEP = 30.0

Key = tuple[str, str]
"""Host and reference."""
_GRAVITY: dict[Severity, int] = {"info": 0, "warning": 1, "error": 2}


@dataclass(slots=True)
class Ticks:
    """Seconds that have passed, whatever is done to the clock: a jump counts as a second."""

    at: float = 0.0
    wall: float | None = None

    def advance(self, wall: float) -> None:
        passed = wall - self.wall if self.wall is not None else 0.0
        self.at += passed if 0.0 <= passed <= LONGEST_STEP else 1.0
        self.wall = wall

    def ago(self, wall: float) -> float:
        """The moment that lies as far back as `wall` does; now where that is in the future."""
        return self.at - max(0.0, (self.wall if self.wall is not None else wall) - wall)


@dataclass(slots=True)
class Case:
    """An incident in the making. `of` and `again` make it, `incident` is what it is at present."""

    id: str
    event: Event
    group: str
    opened: float
    due: float
    """When it is told first; by `Ticks`, as all that follows."""
    joined: float
    """When a member came last."""
    severity: Severity = "info"
    told: float | None = None
    touched: float = 0.0
    touched_at: float = 0.0
    closed: float | None = None
    closed_at: float = 0.0
    calm_at: float = 0.0
    """Since when no member is open."""
    done: str = ""
    commit: str | None = None
    more: int = 0
    reopened: int = 0
    tellings: int = 0
    said: Literal["", "opened", "closed"] = ""
    members: dict[Key, Member] = field(default_factory=dict)
    beyond: set[Key] = field(default_factory=set)
    """Open members that are only counted."""
    forgotten: bool = False
    """It comes from the history, with members that were only counted: who they were has to be seen again."""
    open: set[Key] = field(default_factory=set)
    """Members that have not ended, with those that are only counted."""
    news: bool = False
    """Something is new that people want to know."""
    stirred: bool = False
    """Something known came back or ended while the rest goes on."""
    dirty: bool = True
    """It differs from what was saved."""

    @classmethod
    def of(cls, finding: Finding, since: float, at: float, commit: str | None) -> Case:
        """`at`: from when on its like is gathered."""
        due = at + _gather(finding)
        return cls(secrets.token_hex(4), finding.event, finding.group, since, due, at, commit=commit, touched=since)

    @classmethod
    def again(cls, incident: Incident, ticks: Ticks) -> Case:
        """From the history. What was told stays told, and what is open stays so until a look shows that it is over."""
        touched = ticks.ago(incident.touched)
        wait = GATHER_UNREACHABLE if incident.event == "unreachable" else GATHER
        case = cls(incident.id, incident.event, incident.group, incident.opened, ticks.at + wait, touched)
        case.severity, case.told, case.touched, case.touched_at = incident.severity, incident.told, incident.touched, touched
        case.closed, case.done, case.commit, case.more = incident.closed, incident.done, incident.commit, incident.more
        case.reopened, case.tellings = incident.reopened, incident.tellings
        case.said = incident.said or ("opened" if incident.told is not None else "")
        case.members = {(member.host, member.ref): member for member in incident.members}
        case.open = {key for key, member in case.members.items() if member.ended is None}
        case.forgotten = incident.more > 0
        case.closed_at = ticks.ago(incident.closed) if incident.closed is not None else 0.0
        case.calm_at = ticks.at
        case.dirty = False
        return case

    def add(self, finding: Finding, since: float, ticks: Ticks) -> None:
        """A finding that is new here, or back."""
        key = (finding.host, finding.ref)
        known = self.members.get(key)
        again = known is not None or self.closed is not None
        self.commit = finding.commit or self.commit
        if self.event == "deployed":
            self.closed_at, again = ticks.at, False
        elif self.closed is not None and self.told is None:  # nobody heard of it: this is where it begins
            self.closed, self.done, self.opened, self.due = None, "", since, ticks.at + _gather(finding)
            self.members.clear()
            known, again = None, False
        elif self.closed is not None:
            self.closed, self.reopened, self.done = None, self.reopened + 1, ""
            self.stirred = True
        elif not self.open and self.told is not None:
            self.reopened += 1
        if _GRAVITY[finding.severity] > _GRAVITY[self.severity]:
            self.news = self.news or bool(self.members)
            self.severity = finding.severity
        self.open.add(key)
        self.joined, self.dirty = ticks.at, True
        self.stirred = self.stirred or again
        flaps = known is not None and _flaps(finding.what) and not _flaps(known.what)
        self.news = self.news or flaps or (not again and not self.forgotten)
        if known is None and not self._room():
            self.beyond.add(key)
            self.more += 0 if self.forgotten else 1
            return
        times = known.times + 1 if known is not None else 1
        began = known.since if known is not None else since
        self.members[key] = _member(finding, began, since, times)

    def see(self, finding: Finding, seen: float) -> None:
        """A finding that is known and still there."""
        key = (finding.host, finding.ref)
        known = self.members.get(key)
        if finding.commit is not None and finding.commit != self.commit:
            self.commit, self.dirty, self.news = finding.commit, True, True
        if known is None:
            return
        member = _member(finding, known.since, max(seen, known.seen), known.times)
        if finding.standing and not self.group.startswith("unknown:"):
            member = member.model_copy(update={"what": known.what, "hint": known.hint, "lines": known.lines})
        if not member.evidence:
            member = member.model_copy(update={"evidence": known.evidence})
        if member.what != known.what:
            self.stirred = True
            self.news = self.news or (_flaps(member.what) and not _flaps(known.what))
        if member.model_copy(update={"seen": known.seen}) != known:
            self.dirty = True
        self.members[key] = member

    def suits(self, finding: Finding) -> bool:
        """Whether a finding about what is open here is still of this cause. A failure of which only the commit in force is
        another is: whoever tries to mend it has to see that it failed in another way, and no other commit is news."""
        if finding.event not in ("failed", "unreachable") or finding.group == self.group:
            return True
        if finding.event == "unreachable" or finding.standing:
            return finding.event == "failed"
        known = self.members.get((finding.host, finding.ref))
        return known is not None and _print(finding.what, finding.lines) == _print(known.what, known.lines)

    def end(self, key: Key, at: float, how: HowEnded, ticks: Ticks) -> None:
        if key not in self.open:
            return
        self.open.discard(key)
        self.beyond.discard(key)
        self.stirred = self.dirty = True
        if (known := self.members.get(key)) is not None:
            self.members[key] = known.model_copy(update={"ended": max(at, known.since), "how": how})
        if not self.open:
            self.calm_at = ticks.at

    def telling(self, ticks: Ticks, wall: float) -> Stage | None:
        """What is to be told now. Where it is over, it is closed, told or not."""
        if self.told is None:
            return self._first(ticks, wall) if self.closed is None else None
        quiet = ticks.at - self.touched_at
        if self.closed is not None:
            more = self.event == "deployed" and self.news  # it came to more hosts
            return self._say("updated", ticks, wall) if more and quiet >= UPDATE else None
        if not self.open:
            wait = 0.0 if self.reopened == 0 else _longer(self.reopened - 1)
            if min(ticks.at - self.calm_at, quiet if self.reopened else wait) >= wait:
                told = self.said != "closed"
                self._close(ticks, wall)
                return self._say("closed", ticks, wall) if told else None
        back = self.said == "closed" and quiet >= _longer(self.reopened - 1)
        stirred = self.stirred and quiet >= _longer(self.tellings)
        if (self.news and quiet >= UPDATE) or (self.open and (back or stirred)):
            return self._say("updated", ticks, wall)
        return None

    def _first(self, ticks: Ticks, wall: float) -> Stage | None:
        if ticks.at < self.due:
            return None
        if not self.open:
            self._close(ticks, wall)
            if self.event in ("unreachable", "source", "held"):
                return None
        self.told = wall
        return self._say("opened", ticks, wall)

    def _say(self, stage: Stage, ticks: Ticks, wall: float) -> Stage:
        self.touched, self.touched_at = wall, ticks.at
        self.tellings += 1
        self.said = "opened" if self.closed is None else "closed"
        self.news = self.stirred = False
        self.dirty = True
        return stage

    def _close(self, ticks: Ticks, wall: float) -> None:
        self.closed, self.closed_at, self.dirty = wall, ticks.at, True
        self.done = _done(self.members.values()) if self.event != "deployed" else ""

    def _room(self) -> bool:
        """Members that have ended make room for others."""
        if len(self.members) < MOST_MEMBERS:
            return True
        over = next((key for key in self.members if key not in self.open), None)
        if over is None:
            return False
        del self.members[over]
        self.more += 1
        return True

    def incident(self) -> Incident:
        return Incident(
            id=self.id,
            event=self.event,
            group=self.group,
            severity=self.severity,
            opened=self.opened,
            told=self.told,
            touched=self.touched,
            closed=self.closed,
            members=tuple(self.members.values()),
            done=self.done,
            commit=self.commit,
            more=self.more,
            reopened=self.reopened,
            tellings=self.tellings,
            said=self.said,
        )


def _gather(finding: Finding) -> float:
    return GATHER_UNREACHABLE if finding.event == "unreachable" and finding.severity != "error" else GATHER


def _flaps(what: str) -> bool:
    return what.endswith(FLAPPING)


def _print(what: str, lines: tuple[str, ...]) -> str:
    return fingerprint("\n".join((what, *lines[-1:])))


def _longer(times: int) -> float:
    return min(UPDATE * 2.0 ** max(0, min(times, 32)), LONGEST_UPDATE)


def _member(finding: Finding, since: float, seen: float, times: int) -> Member:
    return Member(
        host=finding.host,
        ref=finding.ref,
        what=finding.what,
        hint=finding.hint,
        lines=finding.lines,
        tags=finding.tags,
        since=since,
        seen=max(since, seen),
        evidence=finding.evidence,
        times=times,
    )


def _done(members: Iterable[Member]) -> str:
    """`put right`, or `3 put right, 1 left the fleet`."""
    counts: dict[str, int] = {}
    for member in members:
        word = ENDINGS.get(member.how, "ended")
        counts[word] = counts.get(word, 0) + 1
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{count} {word}" for word, count in sorted(counts.items(), key=lambda item: -item[1]))
