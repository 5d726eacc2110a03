"""Moments and spans as a person would say them. JSON has seconds since 1970 instead.

Times are those of this machine's own time zone. A clock may be wrong and a row damaged, so any number is answered.
"""

from __future__ import annotations

from datetime import datetime

_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
_SHORT = 2.0


def moment(at: float, *, seconds: bool = False) -> str:
    """`2026-11-20 13:58`."""
    try:
        return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return "an unknown time"


def span(seconds: float) -> str:
    """`3 minutes`: one unit, the largest that is there."""
    for unit, name in _UNITS:
        if abs(seconds) >= unit:
            count = int(abs(seconds) // unit)
            return f"{count} {name}{'' if count == 1 else 's'}"
    return "a moment"


def ago(at: float, now: float) -> str:
    """`3 minutes ago`, `just now`; a time to come, by a clock that was set back, is told as a moment."""
    if at > now + _SHORT:
        return f"at {moment(at)}"
    return f"{span(now - at)} ago" if now - at >= _SHORT else "just now"
