"""What a host's evidence comes to in words: who may have caused a drift, as hints for whoever reads of it.

Called by `drifts.py` for each new drift; the words are kept in its record. Times are those of the fleet's time zone.
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

from reconciler.text import shorten
from state.evidence import Evidence, Session, Touched
from state.evidence_logs import PackageRun

MOST = 6
"""Sentences about one drift."""
NAMED = 3
"""Packages that one of them names."""
_DONE = {"install": "installed", "upgrade": "upgraded", "remove": "removed", "purge": "purged", "downgrade": "downgraded"}


def words(evidence: Evidence, ref: str, now: float, zone: tzinfo = UTC) -> tuple[str, ...]:
    """About one resource, the nearest first: its own file, packages of its name, who was there, what else ran."""
    kind, _, name = ref.partition(":")
    package = name.rpartition("/")[2] if kind == "package" else ""
    naming = [run for run in evidence.packages if package and any(item == package for _, item in run.names)]
    others = [run for run in evidence.packages if run not in naming]
    found = [_touched(touched, name, now, zone) for other, touched in evidence.changed if other == ref][:1]
    found += [_run(run, package, now, zone) for run in naming[:1]]
    found += [_session(session, now, zone) for session in evidence.sessions[:2]]
    found += [f"{item.user} ran {item.program} through sudo at {clock(item.at, now, zone)}" for item in evidence.elevated[:2]]
    found += [f"{login.user} logged in from {login.origin} at {clock(login.at, now, zone)}" for login in evidence.logins[:2]]
    found += [_run(run, package, now, zone) for run in others[:2]]
    return tuple(shorten(sentence, 200) for sentence in found[:MOST])


def clock(at: float, now: float, zone: tzinfo) -> str:
    """As in 14:02, with its day where that is not today's."""
    try:
        moment, today = datetime.fromtimestamp(at, zone), datetime.fromtimestamp(now, zone)
    except (ValueError, OverflowError, OSError):
        return "a time that no clock shows"
    if moment.date() == today.date():
        return f"{moment:%H:%M}"
    return f"{moment:%H:%M} on {moment:%d} {moment:%b} {moment:%Y}"


def _touched(touched: Touched, path: str, now: float, zone: tzinfo) -> str:
    at = clock(touched.at, now, zone)
    if touched.missing:
        return f"the folder of {path} was last changed at {at}"
    return f"{path} was last changed at {at}" + (f", and belongs to {touched.owner}" if touched.owner else "")


def _session(session: Session, now: float, zone: tzinfo) -> str:
    origin = f" from {session.origin}" if session.origin else ""
    terminal = f" ({session.terminal})" if session.terminal else ""
    since = f" since {clock(session.since, now, zone)}" if session.since is not None else ""
    if session.until is None:
        return f"{session.user} was logged in{origin}{terminal}{since}"
    return f"{session.user} was logged in{origin}{terminal}{since}, until {clock(session.until, now, zone)}"


def _run(run: PackageRun, package: str, now: float, zone: tzinfo) -> str:
    at = clock(run.at, now, zone)
    if not run.names:
        return f"{run.tool} changed packages at {at}"
    first = sorted(run.names, key=lambda item: item[1] != package)
    verb = first[0][0]
    same = [name for word, name in first if word == verb]
    more = len(run.names) - len(same[:NAMED])
    names = ", ".join(same[:NAMED]) + (f" and {more} more" if more else "")
    by = f", asked for by {run.by}" if run.by else ""
    return f"{run.tool} {_DONE.get(verb, verb)} {names} at {at}{by}"
