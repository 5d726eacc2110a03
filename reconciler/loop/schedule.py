"""When what is due: a clock for each key, the poll of git and every host, in memory. APScheduler is spoken here alone.

Kept by `reconciler/loop/engine.py`, which derives it anew from the desired state whenever that changes. Nothing is done here:
what is due is only named. APScheduler waits for wall time, so a clock that is set back by two hours would stop it for two
hours; every job therefore also knows its time by the monotonic clock, and `tick` puts all of them right as soon as the two
clocks disagree.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from apscheduler.job import Job
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

JITTER = 0.1
"""Part of its interval by which a key may be early or late: what began together does not stay together."""
JUMP = 3.0
"""Seconds by which the two clocks may part between two ticks before it counts as a jump."""
Clock = Callable[[], float]


class Every(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """An interval, counted from when it is asked: however far a clock jumped, no missed time is caught up with."""

    def __init__(self, seconds: float, first: float, monotonic: Clock) -> None:
        self.seconds = seconds
        self.due = 0.0
        """By the monotonic clock."""
        self._first: float | None = first
        self._monotonic = monotonic

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        wait = self._first if self._first is not None else self.seconds * (1 + JITTER * random.uniform(-1, 1))  # noqa: S311 no secret
        self._first = None
        return self.after(wait, now)

    def after(self, wait: float, now: datetime) -> datetime:
        self.due = self._monotonic() + wait
        return now + timedelta(seconds=wait)


class Schedule:
    """What comes again and again, by key. Make it where the event loop runs."""

    def __init__(self, due: Callable[[str], None], *, wall: Clock = time.time, monotonic: Clock = time.monotonic) -> None:
        self._due = due
        self._wall = wall
        self._monotonic = monotonic
        self._offset = wall() - monotonic()
        self._jobs: dict[str, tuple[Job, Every]] = {}
        defaults = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        self._scheduler: Any = AsyncIOScheduler(timezone=UTC, jobstores={"default": MemoryJobStore()}, job_defaults=defaults)

    def start(self) -> None:
        self._scheduler.start()

    def stop(self) -> None:
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    def derive(self, wanted: Mapping[str, float]) -> None:
        """Key → interval in seconds. What is new comes somewhere within its first interval, so that not everything comes at
        once; what is gone ends; what goes on goes on."""
        for key in self._jobs.keys() - wanted.keys():
            self._jobs.pop(key)[0].remove()
        for key, seconds in wanted.items():
            known = self._jobs.get(key)
            if known is None:
                trigger = Every(seconds, seconds * random.random(), self._monotonic)  # noqa: S311 no secret
                self._jobs[key] = (self._scheduler.add_job(self._fire, trigger, (key,), id=key), trigger)
            elif known[1].seconds != seconds:
                known[1].seconds = seconds
                self.again(key, min(seconds, max(0.0, known[1].due - self._monotonic())))

    async def _fire(self, key: str) -> None:
        """A coroutine, because APScheduler gives anything else a thread."""
        self._due(key)

    def again(self, key: str, seconds: float) -> None:
        """The key is due in so many seconds, and from then on at its interval."""
        if known := self._jobs.get(key):
            job, trigger = known
            job.modify(next_run_time=trigger.after(seconds, self._now()))

    def left(self, key: str) -> float | None:
        """Seconds until the key is due; negative where it should have been. None: it never is."""
        known = self._jobs.get(key) if self._scheduler.running else None
        return known[1].due - self._monotonic() if known else None

    def tick(self) -> float:
        """About once a second. Answers by how many seconds the wall clock has jumped since the last tick; 0.0: it has not."""
        offset = self._wall() - self._monotonic()
        jump = offset - self._offset
        self._offset = offset
        if abs(jump) <= JUMP:
            return 0.0
        now, monotonic = self._now(), self._monotonic()
        for job, trigger in self._jobs.values():
            job.modify(next_run_time=now + timedelta(seconds=max(0.0, trigger.due - monotonic)))
        return jump

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._wall(), UTC)
