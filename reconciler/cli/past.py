"""From the command line's words to the past: which history, which hosts, since when. For `history`, `drift` and `why`.

These commands need no fleet: what happened stands in the history alone, and a host that has left git has one, too.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from pathlib import Path

from desired.text import meant
from desired.values import duration, moment
from reconciler.errors import CommandError
from reconciler.history.reader import Reader
from reconciler.loop.folder import state_folder
from reconciler.loop.view import LoopView

LONG_AGO = 600.0
"""Seconds without a sign of life after which the loop is taken to stand still."""


def reader_in(state: Path | None) -> Reader:
    """Where `--state` says, or where the loop keeps it."""
    return Reader(state if state is not None else state_folder())


def history_in(state: Path | None) -> Reader:
    """The same for what cannot do without."""
    reader = reader_in(state)
    if not reader.there:
        raise CommandError(
            f"there is no history in {reader.folder}",
            "reconcile run writes it; where it runs with --state DIR, name the same folder here",
        )
    return reader


def hosts_meant(words: Sequence[str], known: Collection[str], view: LoopView | None) -> frozenset[str] | None:
    """The hosts that were named, by name or as `tag:NAME`; None where none was."""
    if not words:
        return None
    tags = {host.host: host.tags for host in view.hosts} if view is not None else {}
    found: set[str] = set()
    for word in words:
        tag = word.removeprefix("tag:")
        named = {host for host in tags if tag in tags[host]} if tag != word else {word} & (set(known) | tags.keys())
        if not named:
            every = {f"tag:{tag}" for host in tags.values() for tag in host} if tag != word else {*known, *tags}
            what = f'no host has the tag "{tag}"' if tag != word else f'the history knows no host "{word}"'
            raise CommandError(what, meant(word, every))
        found |= named
    return frozenset(found)


def since_when(word: str | None) -> float | None:
    """`2d` (ago), or a moment in the time of this machine."""
    if word is None:
        return None
    try:
        return time.time() - duration(word, 36_600)
    except ValueError:
        pass
    try:
        return moment(word).timestamp()
    except (ValueError, OverflowError) as error:
        raise CommandError(
            f'--since: "{word}" is neither a duration nor a moment', "write 2d, 3h30m, 2026-11-20 or 2026-11-20T14:00"
        ) from error


def standstill(view: LoopView | None, now: float) -> float | None:
    """For how long the loop has given no sign of life, where that is long; None: it has."""
    if view is None or now - view.turned < LONG_AGO:
        return None
    return now - view.turned
