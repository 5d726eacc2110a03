"""Who may have touched a host: the sessions and the package runs that it tells of, read once when drift is first seen.

Asked by the loop only then, because it costs a script of its own. Hints for a person, never a ground for anything that is done:
whoever is root on a host can write all of this as he likes. Each tool is a fragment of its own, so that one that hangs or is
missing takes nothing from the others. Times come back by the controller's clock, however wrong the host's is.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from providers.secret import redact
from providers.shell import Sh, lines, sh
from state.channel import Channel
from state.evidence_logs import (
    MONTHS,
    Elevated,
    Login,
    PackageRun,
    epoch,
    parse_apt,
    parse_databases,
    parse_dpkg,
    parse_journal,
)
from state.frames import Frame, frames
from state.script import Fragment, compile_probe

LIMIT = 1 << 20
"""Bytes that are read of it all."""
DEADLINE = 60.0
SECONDS = 10
"""What one tool may take."""
MOST_PATHS = 100
MOST_SESSIONS = 20
MOST_RUNS = 20
LONGEST = 80
"""Characters that are kept of one name."""
SLACK = 60.0
"""Seconds by which two accounts of one login may differ: some name the minute only."""


@dataclass(frozen=True, slots=True)
class Session:
    """Someone who is or was logged in."""

    user: str
    origin: str = ""
    """Address or name from which; empty: at the machine itself, or not told."""
    terminal: str = ""
    since: float | None = None
    until: float | None = None
    """None: still there, as far as the host knows."""


@dataclass(frozen=True, slots=True)
class Touched:
    """When a path was last changed, in content or else, and whose it is."""

    at: float
    owner: str = ""
    missing: bool = False
    """The path is not there: this is about the folder that should hold it."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the host says, newest first; every text is the host's own and hostile."""

    sessions: tuple[Session, ...] = ()
    logins: tuple[Login, ...] = ()
    """Logins that no session accounts for: it has ended."""
    elevated: tuple[Elevated, ...] = ()
    packages: tuple[PackageRun, ...] = ()
    changed: tuple[tuple[str, Touched], ...] = ()
    """Reference → what is told of its path."""


async def ask(channel: Channel, paths: Mapping[str, str], since: float, *, now: float | None = None) -> Evidence:
    """What happened on the host since `since` (seconds since 1970). `paths`: reference → absolute path. Raises `HostError`."""
    now = time.time() if now is None else now
    asked = dict(islice(((ref, path) for ref, path in paths.items() if "\0" not in path), MOST_PATHS))
    script = compile_probe(
        [Fragment(run, SECONDS) for run in evidence_script(list(asked.values()), int(max(0.0, now - since)))]
    )
    output = await channel.run(script.text, limit=LIMIT, deadline=DEADLINE)
    return parse_evidence(frames(output.stdout, output.stderr, script.nonce), list(asked), since, now)


def evidence_script(paths: Sequence[str], seconds: int) -> list[Sh]:
    """Fragments in the order in which `parse_evidence` takes their frames; `seconds`: how far back to look."""
    touched = [sh("path @number@ @path@", number=number, path=path) for number, path in enumerate(paths)]
    return [
        sh(r"""date +%s; (unset TZ; date +%z); while read -r line; do case $line in *session-*.scope*)
  line=${line##*session-}; printf 'own %s\n' "${line%%.scope*}"; break ;; esac; done 2>/dev/null </proc/self/cgroup; :"""),
        sh("who 2>/dev/null | head -n 60; :"),
        sh(r"""
if command -v loginctl >/dev/null 2>&1; then
  loginctl list-sessions --no-legend --no-pager 2>/dev/null | head -n 60 | while read -r id _; do
    case $id in [!A-Za-z0-9]* | '') continue ;; esac
    printf '%s\0' "$id"
  done | xargs -0 loginctl show-session -p Id -p Name -p RemoteHost -p TTY -p Class -p Timestamp -- 2>/dev/null
fi; :"""),
        sh("{ last -F -w 2>/dev/null || last -F 2>/dev/null || last 2>/dev/null; } | head -n 60; :"),
        sh(
            r"""
ago=@seconds@
if command -v journalctl >/dev/null 2>&1; then
  journalctl -q --no-pager -o short-unix -n 2000 --since "@$(($(date +%s) - ago))" -t sshd -t sshd-session -t sudo 2>/dev/null |
    grep -e ' Accepted ' -e ' COMMAND=' | tail -n 100 | cut -c 1-600
fi; :""",
            seconds=seconds,
        ),
        sh(r"""tail -n 5000 /var/log/dpkg.log 2>/dev/null | grep -E '^[^ ]+ [^ ]+ (install|upgrade|remove|purge) ' |
  tail -n 200 | cut -c 1-300; :"""),
        sh(r"""tail -n 120 /var/log/apt/history.log 2>/dev/null | cut -c 1-4000; :"""),
        sh(r"""
for file in apk:/lib/apk/db/installed apk:/usr/lib/apk/db/installed opkg:/usr/lib/opkg/status \
  opkg:/var/lib/opkg/status rpm:/var/lib/rpm/rpmdb.sqlite rpm:/var/lib/rpm/Packages \
  rpm:/usr/lib/sysimage/rpm/rpmdb.sqlite pacman:/var/lib/pacman/local; do
  [ -e "${file#*:}" ] && stat -c "${file%%:*} %Y" "${file#*:}" 2>/dev/null
done; :"""),
        lines([_touch(), *touched, sh(":")]),
    ]


def _touch() -> Sh:
    return sh(
        r"""
path() { # $1: number, $2: path; what is not there is told by the folder that should hold it
  if [ -e "$2" ] || [ -L "$2" ]; then
    stat -c "$1 there %Y %Z %U" -- "$2" 2>/dev/null
  else
    case $2 in ?*/*) stat -c "$1 missing %Y %Z %U" -- "${2%/*}" 2>/dev/null ;; esac
  fi
}
"""
    )


def parse_evidence(answered: Mapping[int, Frame], refs: Sequence[str], since: float, now: float) -> Evidence:
    """Total: what is missing or odd is left out."""
    texts = [_text(answered.get(number)) for number in range(9)]
    clock = _Clock.read(texts[0], since, now)
    sessions, own = _sessions(texts[1], texts[2], texts[3], clock)
    logins, elevated = parse_journal(texts[4], clock.shift)
    runs = parse_apt(texts[6], clock.offset, clock.shift)
    named = {(verb, name) for run in runs for verb, name in run.names}
    runs += [run for run in parse_dpkg(texts[5], clock.offset, clock.shift) if not named.issuperset(run.names)]
    runs += parse_databases(texts[7], clock.shift)
    kept = [run for run in runs if clock.of_late(run.at)]
    seen = {(session.user, session.origin) for session in sessions}
    return Evidence(
        sessions=tuple(sessions[:MOST_SESSIONS]),
        logins=tuple(
            login
            for login in sorted(logins, key=lambda login: -login.at)
            if clock.of_late(login.at) and (login.user, login.origin) not in own | seen
        )[:MOST_SESSIONS],
        elevated=tuple(item for item in sorted(elevated, key=lambda item: -item.at) if clock.of_late(item.at))[:MOST_SESSIONS],
        packages=tuple(sorted(kept, key=lambda run: -run.at)[:MOST_RUNS]),
        changed=tuple(_changed(texts[8], refs, clock)),
    )


def _text(frame: Frame | None) -> str:
    return redact(frame.out.decode("utf-8", "replace")) if frame is not None else ""


@dataclass(frozen=True, slots=True)
class _Clock:
    """The host's clock against ours."""

    shift: float
    """Seconds that are added to a time of the host's."""
    offset: float
    """Seconds by which its local time is ahead of UTC."""
    host: float
    """What it took for now."""
    own: str
    """Our own session there."""
    since: float
    now: float

    @classmethod
    def read(cls, text: str, since: float, now: float) -> _Clock:
        words = text.split("\n")
        host = float(words[0]) if words[0].isascii() and words[0].isdecimal() and len(words[0]) < 12 else now
        zone = next((match for line in words[1:2] if (match := re.fullmatch(r"([+-])(\d\d)(\d\d)", line, re.ASCII))), None)
        offset = (int(zone[2]) * 3600 + int(zone[3]) * 60) * (-1 if zone[1] == "-" else 1) if zone else 0
        own = next((line.removeprefix("own ") for line in words if line.startswith("own ")), "")
        shift = now - host if abs(now - host) > SLACK else 0.0
        return cls(shift, offset, host, own, since, now)

    def of_late(self, at: float) -> bool:
        return self.since - SLACK <= at <= self.now + SLACK

    def moment(self, words: str, year: str = "") -> float | None:
        """From "Nov 20 13:52" or "Nov 20 13:52:11" in UTC. Without a year it is the last such day."""
        match = re.fullmatch(r"(\w{3}) +(\d{1,2}) (\d\d):(\d\d)(?::(\d\d))?", words, re.ASCII)
        month = MONTHS.get(match[1]) if match else None
        if match is None or month is None:
            return None
        this = int(year) if year else datetime.fromtimestamp(self.host, UTC).year
        for guess in (this,) if year else (this, this - 1):
            at = epoch(f"{guess:04d}-{month:02d}-{int(match[2]):02d} {match[3]}:{match[4]}:{match[5] or '00'}")
            if at is not None and (year or at <= self.host + 86400):
                return at + self.shift
        return None


_WHEN = re.compile(
    r"\b(?:(?P<iso>\d{4}-\d\d-\d\d \d\d:\d\d)|(?P<at>[A-Z][a-z]{2} +\d{1,2} \d\d:\d\d(?::\d\d)?))(?=\s|$)", re.ASCII
)
_TERMINAL = re.compile(r"pts/\d+|tty\w*|console|:\d+", re.ASCII)
_ORIGIN = re.compile(r"\(?([\w.:%-]*[.:\w][\w.:%-]*)\)?", re.ASCII)
_IDLE = re.compile(r"\d\d:\d\d|old|\d+", re.ASCII)
_LAST = re.compile(
    r"(?P<user>\S+)\s+(?P<line>\S+)\s+(?P<origin>\S*)\s*\b\w{3} (?P<at>\w{3} +\d{1,2} \d\d:\d\d(?::\d\d)?)(?: (?P<year>\d{4}))?"
    r"(?P<rest>.*)",
    re.ASCII,
)
_END = re.compile(r"\s+- (?:\w{3} )?(?P<at>\w{3} +\d{1,2} \d\d:\d\d:\d\d) (?P<year>\d{4})|\s+- (?P<time>\d\d:\d\d)", re.ASCII)
_NOBODY = frozenset(("reboot", "shutdown", "runlevel", "USER", "wtmp", "wtmpdb", "LOGIN"))


def _sessions(who: str, logind: str, last: str, clock: _Clock) -> tuple[list[Session], set[tuple[str, str]]]:
    """Sessions, each once and newest first, without our own; and who we are ourselves, and from where."""
    found, own = _of_logind(logind, clock)
    mine = {(session.user, session.origin) for session in own}
    for session in (*_of_who(who, clock), *_of_last(last, clock)):
        if not session.terminal and (session.user, session.origin) in mine:
            continue
        twin = next((at for at, other in enumerate(found) if _same(session, other)), None)
        if twin is None:
            found.append(session)
        elif not found[twin].terminal:
            found[twin] = session
    kept = [session for session in found if session.until is None or clock.of_late(session.until)]
    return sorted(kept, key=lambda session: -(session.since or 0.0)), mine


def _same(one: Session, other: Session) -> bool:
    if one.user != other.user or (one.terminal and other.terminal and one.terminal != other.terminal):
        return False
    if one.since is None or other.since is None or abs(one.since - other.since) > SLACK:
        return False
    return one.origin == other.origin or not (one.origin and other.origin)


def _of_logind(text: str, clock: _Clock) -> tuple[list[Session], list[Session]]:
    found: list[Session] = []
    own: list[Session] = []
    for block in text.split("\n\n"):
        values = dict(line.split("=", 1) for line in block.split("\n") if "=" in line)
        stamp = re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", values.get("Timestamp", ""), re.ASCII)
        at = epoch(stamp[0]) if stamp else None
        user, kind = values.get("Name", ""), values.get("Class", "user")
        if not user or not kind.startswith("user"):
            continue
        since = at + clock.shift if at is not None else None
        session = Session(user[:LONGEST], values.get("RemoteHost", "")[:LONGEST], values.get("TTY", "")[:LONGEST], since)
        (own if values.get("Id", "") == clock.own else found).append(session)
    return found, own


def _of_who(text: str, clock: _Clock) -> Iterator[Session]:
    """GNU's `who` and busybox's, which put the address on either side of the time."""
    for line in text.split("\n"):
        match = _WHEN.search(line[:400])
        words = line[: match.start()].split() if match is not None else []
        if match is None or not words or words[0] in _NOBODY:
            continue
        iso = epoch(f"{match['iso']}:00") if match["iso"] else None
        since = iso + clock.shift if iso is not None else clock.moment(match["at"] or "")
        terminal = next((word for word in words[1:] if _TERMINAL.fullmatch(word)), "")
        others = [
            word for word in (*words[2:], *line[match.end() : 400].split()) if not _IDLE.fullmatch(word) and word != terminal
        ]
        origin = next((found[1] for word in others if (found := _ORIGIN.fullmatch(word))), "")
        yield Session(words[0][:LONGEST], origin[:LONGEST], terminal[:LONGEST], since)


def _of_last(text: str, clock: _Clock) -> Iterator[Session]:
    for line in text.split("\n"):
        match = _LAST.fullmatch(line[:400])
        if match is None or match["user"] in _NOBODY or "~" in match["line"]:
            continue
        since = clock.moment(match["at"], match["year"] or "")
        if since is None:
            continue
        end = _END.match(match["rest"])
        until: float | None = None
        if end is not None and end["at"]:
            until = clock.moment(end["at"], end["year"])
        elif end is not None:
            hours, _, minutes = end["time"].partition(":")
            begin = datetime.fromtimestamp(since - clock.shift, UTC)
            passed = (int(hours) - begin.hour) * 3600 + (int(minutes) - begin.minute) * 60
            until = since + passed % 86400
        elif "still logged in" not in match["rest"]:
            until = since
        yield Session(match["user"][:LONGEST], match["origin"][:LONGEST], match["line"][:LONGEST], since, until)


def _changed(text: str, refs: Sequence[str], clock: _Clock) -> Iterator[tuple[str, Touched]]:
    for line in text.split("\n")[: 2 * MOST_PATHS]:
        match = re.fullmatch(r"(\d{1,4}) (there|missing) (\d{1,11}) (\d{1,11}) (.*)", line, re.ASCII)
        if match is not None and int(match[1]) < len(refs):
            at = float(max(int(match[3]), int(match[4]))) + clock.shift
            yield refs[int(match[1])], Touched(at, match[5][:LONGEST], match[2] == "missing")
