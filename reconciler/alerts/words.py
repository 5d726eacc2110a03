"""Words one incident for a chat: what, where, since when, what was done, what to do next, and a short diff.

For a person who reads it on a telephone, at night: the title says it all, the body is bounded, and a thousand differences are a
few lines with counts. Everything that is not ours goes through `harmless.py`.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from reconciler.alerts.harmless import harmless, harmless_name
from reconciler.alerts.model import BODY, TITLE, Delivery, Message, Saying
from reconciler.incidents.model import ENDINGS, Incident, Member
from reconciler.text import plural, shorten

STAGES: dict[Saying, str] = {
    "opened": "Opened",
    "passed": "Opened and over",
    "updated": "More",
    "reminded": "Still",
    "closed": "Over",
    "again": "Again",
}
NAMED = 3
"""Hosts or resources that are named where there are many."""
LISTED = 20
"""Hosts that are named where nothing but the host differs."""
GROUPS = 8
"""Lines of a list."""
LINES, WIDTH = 10, 100
"""Lines of a diff or of a host's last words, and characters of each."""
_HUNK = re.compile("@@ .* @@")
"""Where in a file: of no use in so short a diff."""
_WAITS = {"deletions": "deletions held back", "rollout": "rollout stopped"}
"""Of what waits for a person, in a title: see `incidents/findings.py`."""
_NO_COMMIT = ("unknown:", "fault:", "error:")
"""Groups of failures that no commit brought about."""
QUOTED = 2
"""Different diffs or last words in one message."""


def message(delivery: Delivery, saying: Saying, now: float, zone: ZoneInfo) -> Message:
    """The whole message about one incident."""
    incident, over = delivery.incident, saying in {"closed", "passed"}
    body = [_when(incident, now, zone), *_what(incident, over=over)]
    if saying != "closed" and (saying != "reminded" or incident.event != "failed"):  # last words are shown once
        body += [*_quoted(incident), *_who(incident)]
    body += [*_done(incident, over=over), *_next(incident, over=over)]
    return Message(title_of(incident, saying), bounded(body), incident.severity, over=over or incident.event == "deployed")


def brief(delivery: Delivery, saying: Saying, now: float, zone: ZoneInfo) -> Message:
    """The same in as few words as there can be, for a chat that did not take the whole."""
    title = title_of(delivery.incident, saying)
    return Message(title, _when(delivery.incident, now, zone), delivery.incident.severity, over=saying in {"closed", "passed"})


def title_of(incident: Incident, saying: Saying) -> str:
    """`Opened: drift of file:/etc/motd on nas`"""
    word = "Done" if incident.event == "deployed" else STAGES[saying]
    return shorten(harmless_name(f"{word}: {subject(incident)}"), TITLE)


def subject(incident: Incident) -> str:
    """What it is about, in a few words. Of the members that are open, or of all where none is."""
    members = incident.open_members or incident.members
    hosts, refs = _distinct(one.host for one in members), _distinct(one.ref for one in members)
    where = f" on {_hosts(hosts)}" if hosts else ""
    match incident.event:
        case "unreachable":
            return f"{_hosts(hosts)} unreachable"
        case "drift" if refs:
            return f"drift of {_resources(members, refs, incident.more)}{where}"
        case "failed" if refs:
            verb = "unknown" if incident.group.startswith("unknown:") else "failed"
            return f"{_resources(members, refs, incident.more)} {verb}{where}"
        case "held" if refs:
            return f"{_resources(members, refs, incident.more)} held back{where}"
        case "held" if (kind := incident.group.partition(":")[0]) in _WAITS:
            return f"{_WAITS[kind]}{where}"
        case "source" if not incident.open_members:  # its sentence is not true any more
            about = named([ref.partition(":")[2] for ref in refs])
            return f"trouble with the source of {about}" if about else "trouble with the fleet's repository"
    sentences = _distinct(one.what for one in members)
    more = f" (and {len(sentences) - 1} more)" if len(sentences) > 1 else ""
    return f"{harmless(sentences[0]) if sentences else incident.event}{more}{where}"


def _resources(members: Sequence[Member], refs: Sequence[str], more: int) -> str:
    return refs[0] if len(refs) == 1 and not more else plural(len({(one.host, one.ref) for one in members}) + more, "resource")


def _hosts(hosts: Sequence[str]) -> str:
    return " and ".join(hosts) if len(hosts) <= 2 else plural(len(hosts), "host")


def named(names: Sequence[str]) -> str:
    """`nas, web1, web2 and 7 more`"""
    more = len(names) - NAMED
    if more <= 1:
        return ", ".join(names)
    return f"{', '.join(names[:NAMED])} and {more} more"


def _distinct(texts: Iterable[str]) -> list[str]:
    return sorted({text for text in texts if text})


def moment(at: float, now: float, zone: ZoneInfo) -> str:
    """`14:02 CET`, with the day where it is not today."""
    then, today = datetime.fromtimestamp(at, zone), datetime.fromtimestamp(now, zone).date()
    day = "" if then.date() == today else f"{then.day} {then:%b} " if then.year == today.year else f"{then.date()} "
    return f"{day}{then:%H:%M %Z}"


def lasted(seconds: float) -> str:
    """`8 min`, `3 h 20 min`, `2 days`"""
    minutes = int(max(seconds, 0.0)) // 60
    if minutes < 1:
        return "less than a minute"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")
    return plural(minutes // (24 * 60), "day")


def _when(incident: Incident, now: float, zone: ZoneInfo) -> str:
    since = moment(incident.opened, now, zone)
    if incident.event == "deployed":
        return f"at {since}"
    if incident.closed is not None:
        took = incident.closed - incident.opened
        until = f" to {moment(incident.closed, now, zone)}" if took >= 60 else ""
        return f"{since}{until} ({lasted(took)})"
    return f"{incident.severity}, since {since}" + (
        f" ({lasted(now - incident.opened)})" if now - incident.opened >= 3600 else ""
    )


def _what(incident: Incident, *, over: bool) -> list[str]:
    """What and where: one sentence where all is one, else a list of groups with counts."""
    members = incident.members if over else incident.open_members or incident.members
    sentences = _distinct(one.what for one in members)
    refs, hosts = _distinct(one.ref for one in members), _distinct(one.host for one in members)
    lines = [_flat(harmless(shorten(sentences[0], 300)))] if len(sentences) == 1 else []
    if len(members) > 1 or not sentences:
        lines += _groups(members, refs, hosts, sentences, incident.more)
    ended, all_ = len(incident.members) - len(incident.open_members), len(incident.members)
    if not over and 0 < ended < all_:
        lines.append(f"{ended} of {all_} {'is' if ended == 1 else 'are'} over")
    return lines


def _flat(line: str) -> str:
    """What begins with a letter begins no heading, list, quotation or definition in any markup."""
    return line if line[:1].isalpha() else f"· {line}"


def _groups(members: Sequence[Member], refs: list[str], hosts: list[str], sentences: list[str], more: int) -> list[str]:
    """A few by what they are, many by resource or by host, whichever is shorter. `more`: how many there are besides."""
    if refs and 1 < len(sentences) <= NAMED + 1 and not more:
        where = [f"· {named([harmless_name(host) for host in hosts])}"] if len(hosts) > 1 else []
        return [*where, *_several(members)]
    if not refs:
        names = [harmless_name(host) for host in hosts]
        left = len(names) - LISTED + more
        told = [", ".join(names[:LISTED]) + (f" and {left} more" if left > 0 else "")] if names else []
        return told if len(sentences) <= 1 else [*told, *_several(members)]
    by_ref = len(refs) < len(hosts)
    key: Callable[[Member], str] = (lambda one: one.ref) if by_ref else (lambda one: one.host)
    other: Callable[[Member], str] = (lambda one: one.host) if by_ref else (lambda one: one.ref)
    counts = Counter(key(one) for one in members)
    lines = []
    shown = counts.most_common(GROUPS)
    for name, count in shown:
        others = [harmless_name(text) for text in _distinct(other(one) for one in members if key(one) == name)]
        lines.append(f"· {harmless_name(name or 'the fleet')}: {_counted(count, others, 'host' if by_ref else 'resource')}")
    left = sum(counts.values()) - sum(count for _, count in shown) + more
    return [*lines, f"and {left} more; reconcile drift shows them"] if left else lines


def _counted(count: int, others: list[str], what: str) -> str:
    return named(others) if count <= NAMED + 1 else f"{plural(count, what)}: {named(others)}"


def _several(members: Sequence[Member]) -> list[str]:
    """What differs from host to host, each sentence once."""
    counts = Counter(one.what for one in members)
    lines = [
        f"· {harmless(shorten(what, 160))}" + (f" ({count})" if count > 1 else "") for what, count in counts.most_common(GROUPS)
    ]
    return [*lines, f"and {len(counts) - GROUPS} more"] if len(counts) > GROUPS else lines


def _quoted(incident: Incident) -> list[str]:
    """A short diff, or the last words of what failed: what is the same for many is shown once."""
    members = incident.open_members or incident.members
    quotes: dict[tuple[str, ...], list[Member]] = {}
    for member in members:
        quote = tuple(line for line in member.lines if not _HUNK.match(line))
        if quote:
            quotes.setdefault(quote, []).append(member)
    tail = incident.event == "failed"
    lines: list[str] = []
    for quote, those in list(quotes.items())[:QUOTED]:
        kept = quote[-LINES:] if tail else quote[:LINES]
        cut = ["│ …"] if len(quote) > len(kept) else []
        if len(those) < len(members):
            whose = harmless_name(" on ".join(name for name in (those[0].ref, those[0].host) if name))
            lines.append(_flat(whose + (f" and {len(those) - 1} more:" if len(those) > 1 else ":")))
        shown = [f"│ {harmless(shorten(line, WIDTH))}" for line in kept]
        lines += [*cut, *shown] if tail else [*shown, *cut]
    return lines


def _who(incident: Incident) -> list[str]:
    evidence = list(dict.fromkeys(text for one in incident.members for text in one.evidence))
    return [f"Perhaps: {'; '.join(harmless(shorten(text, 120)) for text in evidence[:NAMED])}"] if evidence else []


def _done(incident: Incident, *, over: bool) -> list[str]:
    label = "Done" if incident.done == ENDINGS["healed"] else "Ended"
    lines = [f"{label}: {harmless(shorten(incident.done, 200))}"] if incident.done else []
    caused = incident.event in {"failed", "held", "source"} and not incident.group.startswith(_NO_COMMIT)
    if incident.commit and caused and not over:
        lines.append(f"Commit: {harmless_name(incident.commit[:12])}")
    return lines


def _next(incident: Incident, *, over: bool) -> list[str]:
    """What to do: what the finding says itself, and a command to copy."""
    if over or incident.event == "deployed":
        return []
    hints = list(dict.fromkeys(one.hint for one in incident.open_members if one.hint))
    lines = [f"Next: {harmless(shorten(hint, 240))}" for hint in hints[:1]]
    if lines and "reconcile " in hints[0]:
        return lines
    return [*lines, f"{'See' if lines else 'Next'}: {command_for(incident)}"]


def command_for(incident: Incident) -> str:
    """The command that shows more."""
    members = incident.open_members or incident.members
    refs, hosts = _distinct(one.ref for one in members), _distinct(one.host for one in members)
    if incident.event == "source":
        return "reconcile validate"
    if incident.event == "unreachable":
        return f"reconcile plan {harmless_name(shlex.quote(hosts[0]))}" if len(hosts) == 1 else "reconcile status"
    if len(refs) == 1:
        on = f" --host {shlex.quote(hosts[0])}" if len(hosts) == 1 else ""
        return harmless_name(f"reconcile why {shlex.quote(refs[0])}{on}")
    return "reconcile drift" if incident.event == "drift" else "reconcile status"


def bounded(lines: Sequence[str]) -> str:
    """As many of the lines as every chat takes; the last one (what to do next) always."""
    text = "\n".join(lines)
    if len(text) <= BODY:
        return text
    last = shorten(lines[-1], 300)
    room = BODY - len(last) - 3
    kept: list[str] = []
    for line in lines[:-1]:
        room -= len(line) + 1
        if room < 0:
            break
        kept.append(line)
    return "\n".join([*kept, "…", last])
