"""When a cron job runs: the five fields of crontab(5), or a nickname such as @daily.

Checked here, because cron says nothing to whoever wrote the file: it leaves a line out that it does not understand, and a job
that never runs is noticed late. Accepted is what all of the usual crons read alike.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, TypeAlias

from pydantic import AfterValidator

from providers.base import Line

NICKNAMES = ("@reboot", "@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")


@dataclass(frozen=True, slots=True)
class _Field:
    """One of the five fields: the numbers that it takes, and names that stand for them."""

    name: str
    first: int
    last: int
    names: tuple[str, ...] = ()

    def number(self, text: str) -> int:
        if text.lower() in self.names:
            return self.first + self.names.index(text.lower())
        if not re.fullmatch(r"[0-9]{1,4}", text):
            also = f" or {self.names[0]} to {self.names[-1]}" if self.names else ""
            raise ValueError(f'the {self.name} "{text}" is no number from {self.first} to {self.last}{also}')
        if not self.first <= int(text) <= self.last:
            raise ValueError(f"the {self.name} {text} is not between {self.first} and {self.last}")
        return int(text)

    def taken(self, text: str) -> frozenset[int]:
        """The numbers that a text which passed `check` stands for."""
        found: set[int] = set()
        for item in text.split(","):
            span, _, step = item.partition("/")
            low, dash, high = span.partition("-")
            first = self.first if span == "*" else self.number(low)
            last = self.last if span == "*" else self.number(high if dash else low)
            found.update(range(first, last + 1, int(step or 1)))
        return frozenset(found)

    def check(self, text: str) -> None:
        """Raises `ValueError` unless `text` is a list of numbers, ranges and steps."""
        for item in text.split(","):
            span, slash, step = item.partition("/")
            if slash and not (re.fullmatch(r"[0-9]{1,4}", step) and int(step) > 0):
                raise ValueError(f'the step "/{step}" of the {self.name} is no number above 0')
            low, dash, high = span.partition("-")
            if dash:
                if self.number(low) > self.number(high):
                    raise ValueError(f'the {self.name} "{span}" ends before it begins: write two ranges with a comma between')
            elif span != "*":
                self.number(span)
                if slash:
                    raise ValueError(
                        f'the {self.name} "{item}" has a step without a range: write "*/{step}" or "{span}-{self.last}/{step}"'
                    )


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")),
    _Field("day of the week", 0, 7, ("sun", "mon", "tue", "wed", "thu", "fri", "sat")),
)


def _schedule(value: str) -> str:
    if value.startswith("@"):
        if value not in NICKNAMES:
            raise ValueError(f'"{value}" is none of {", ".join(NICKNAMES)}')
        return value
    parts = value.split()
    if len(parts) != len(_FIELDS):
        raise ValueError(f"expected five fields (minute, hour, day, month, weekday) or a word like @daily, not {len(parts)}")
    for field, part in zip(_FIELDS, parts, strict=True):
        field.check(part)
    return " ".join(parts)


def numbers(fields: str) -> tuple[frozenset[int], ...]:
    """What each of the five fields of a checked schedule takes: minutes, hours, days, months, and weekdays of which 0 is
    Sunday, and so is 7."""
    return tuple(field.taken(part) for field, part in zip(_FIELDS, fields.split(), strict=True))


Schedule: TypeAlias = Annotated[Line, AfterValidator(_schedule)]
"""A schedule with single blanks between its fields."""
