"""How long the loop waits before it tries again what failed, fights again over what drifts, asks again who does not answer.

Kept by `reconciler/loop/engine.py` and asked through its `Hold`. In memory only: what is forgotten with the process is
merely tried once more, and heals come back from the history so that a restart does not start a fight anew. `now` is the
monotonic clock everywhere, so that a clock that is set in either direction makes no wait longer or shorter.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from reconciler.text import plural

FAILED_FIRST = 30.0
FAILED_LONGEST = 3600.0
"""Seconds until what failed is tried again: after the first time, doubled each time, and at most."""
FLAPPING_TIMES = 3
FLAPPING_WITHIN = 3600.0
"""Healed so often within so many seconds: something on the host works against us, and it is flapping."""
FLAPPING_FIRST = 600.0
FLAPPING_LONGEST = 6 * 3600.0
"""Seconds for which what is flapping is left alone: at first, doubled each time, and at most."""
PACE_FIRST = 15.0
PACE_LONGEST = 300.0
"""Seconds until an unreachable host is asked again: soon, so that one lost packet is told from a host that is gone; later no
more than so often."""
FORGOTTEN = 24 * 3600.0
"""Seconds after the end of its wait at which a failure or a streak of heals is forgotten."""

Name = tuple[str, str]


@dataclass(slots=True)
class _Wait:
    """One thing that is left alone until a time."""

    digest: str
    times: int
    until: float
    reason: str


@dataclass(slots=True)
class Streak:
    """The heals of one resource, by one clock or another. Also kept by `incidents/drifts.py`, which says what flaps."""

    heals: deque[float] = field(default_factory=lambda: deque(maxlen=FLAPPING_TIMES))
    times: int = 0
    """How many there were in a row."""
    level: int = 0
    """How often it was left alone, each time for longer; 0: it is not flapping."""
    until: float = 0.0
    """It is left alone until then."""

    def heal(self, now: float) -> None:
        if self.over(now):
            self.heals.clear()
            self.times = self.level = 0
        self.heals.append(now)
        self.times += 1
        if self.level or (len(self.heals) == FLAPPING_TIMES and now - self.heals[0] <= FLAPPING_WITHIN):
            self.level += 1
            self.until = now + min(FLAPPING_FIRST * 2.0 ** min(self.level - 1, 32), FLAPPING_LONGEST)

    def over(self, now: float) -> bool:
        """It stayed right for so long that the next time has nothing to do with the last."""
        return not self.heals or now > max(self.until if self.level else self.heals[-1], self.heals[-1]) + FLAPPING_WITHIN


@dataclass(slots=True)
class _Fight:
    """A streak, and what is done about it."""

    streak: Streak = field(default_factory=Streak)
    digest: str = ""
    until: float = 0.0
    reason: str = ""


def pace(tries: int, interval: float, chance: float) -> float:
    """Seconds until a host that did not answer `tries` times in a row is asked again; `chance` between 0 and 1 spreads them."""
    longest = max(interval, PACE_LONGEST)
    wait = min(interval, PACE_FIRST) if tries <= 1 else min(interval * 2.0 ** min(tries - 2, 32), longest)
    return wait * (0.9 + 0.2 * chance)


def ages(heals: Iterable[tuple[str, str, float]], wall: float, now: float) -> list[tuple[str, str, float]]:
    """Heals as the history keeps them (host, reference, seconds since 1970) by the monotonic clock, oldest first. One that lies
    in the future, because the clock was set back meanwhile, counts as of now."""
    return sorted(((host, ref, now - max(0.0, wall - at)) for host, ref, at in heals), key=lambda heal: heal[2])


class Patience:
    """What is left alone for a while, by host, reference and what is asked for: another commit is tried at once."""

    def __init__(self, heals: Iterable[tuple[str, str, float]] = (), *, clock: Callable[[float], str] | None = None) -> None:
        """`heals`: see `ages`. `clock` words a moment of the monotonic clock ("14:05"); without it, reasons name durations."""
        self._clock = clock
        self._failures: dict[Name, _Wait] = {}
        self._fights: dict[Name, _Fight] = {}
        self._spared: dict[Name, str] = {}
        """What was done once and differed all the same, with what was asked for then."""
        for host, ref, at in heals:
            self.healed(host, ref, at)

    def failed(self, host: str, ref: str, digest: str, now: float) -> None:
        """An attempt at what `digest` asks for did not succeed."""
        self._spared.pop((host, ref), None)
        before = self._failures.get((host, ref))
        times = before.times + 1 if before is not None and before.digest == digest else 1
        wait = _spread(min(FAILED_FIRST * 2.0 ** min(times - 1, 32), FAILED_LONGEST), host, ref)
        often = "once" if times == 1 else f"{times} times in a row"
        reason = f"it failed {often}; {self._again(now, wait)}"
        self._failures[host, ref] = _Wait(digest, times, now + wait, reason)

    def spared(self, host: str, ref: str, digest: str) -> bool:
        """Whether what was done, and differs all the same, may be tried again at once: the first time, since somebody may have
        edited it between the step and our look."""
        if (host, ref) in self._failures or self._spared.get((host, ref)) == digest:
            return False
        self._spared[host, ref] = digest
        return True

    def succeeded(self, host: str, ref: str, digest: str, now: float) -> None:
        """It is as asked: nothing is held against it."""
        self._spared.pop((host, ref), None)
        self._failures.pop((host, ref), None)

    def healed(self, host: str, ref: str, now: float, digest: str = "") -> None:
        """Drift was put right."""
        fight = self._fights.setdefault((host, ref), _Fight())
        if digest and fight.digest and digest != fight.digest:
            fight = self._fights[host, ref] = _Fight()
        fight.digest = digest or fight.digest
        fight.streak.heal(now)
        if fight.streak.level:
            wait = _spread(fight.streak.until - now, host, ref)
            fight.until = now + wait
            fight.reason = (
                f"flapping: it was put right {FLAPPING_TIMES} times or more and drifted again; {self._again(now, wait)}"
            )

    def fought(self, host: str, ref: str, digest: str) -> bool:
        """Whether it was put right before, and not so long ago that it is forgotten."""
        fight = self._fights.get((host, ref))
        return fight is not None and fight.digest in ("", digest)

    def hold(self, host: str, ref: str, digest: str, now: float) -> str | None:
        """Why it is left alone now, in words that stay the same until it is tried again; None: it may be tried."""
        failure = self._failures.get((host, ref))
        if failure is not None and failure.digest == digest and now < failure.until:
            return failure.reason
        fight = self._fights.get((host, ref))
        if fight is None or now >= fight.until:
            return None
        if not fight.digest:  # from the history, which keeps no digests: it is what is asked for first
            fight.digest = digest
        return fight.reason if fight.digest == digest else None

    def flapping(self, host: str, ref: str) -> bool:
        """Whether it was put right so often of late that it is fought over."""
        fight = self._fights.get((host, ref))
        return fight is not None and fight.streak.level > 0

    def keep(self, hosts: Collection[str], now: float) -> None:
        """Forgets hosts that left the fleet, and what has been quiet for long."""
        self._failures = {
            name: wait for name, wait in self._failures.items() if name[0] in hosts and now < wait.until + FORGOTTEN
        }
        self._spared = {name: digest for name, digest in self._spared.items() if name[0] in hosts}
        self._fights = {
            name: fight
            for name, fight in self._fights.items()
            if name[0] in hosts and not (now >= fight.until and fight.streak.over(now))
        }

    def _again(self, now: float, wait: float) -> str:
        if self._clock is not None:
            return f"tried again at {self._clock(now + wait)}"
        return f"tried again {_words(wait)} after that"


def _spread(wait: float, host: str, ref: str) -> float:
    """A little longer for some than for others, always the same for one: what failed together is not tried all at once."""
    return wait * (1.0 + (zlib.crc32(f"{host}\n{ref}".encode("utf-8", "surrogatepass")) % 1000) / 10000)


def _words(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else plural(round(seconds / 3600), "hour")
