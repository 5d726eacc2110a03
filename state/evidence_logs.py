"""What a host's logs say of logins, commands run as root, and packages: parsers for `state/evidence.py`. Pure and total."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

MONTHS = {
    word: number
    for number, word in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)  # noqa: SIM905 a table of words
}
LONGEST = 80
MOST_NAMES = 200
_SHELLS = frozenset(("sh", "bash", "dash", "ash", "true", "sudo"))
"""What our own `become` runs, and what says nothing of what was done."""


@dataclass(frozen=True, slots=True)
class Login:
    """Someone came in over SSH."""

    user: str
    origin: str
    at: float


@dataclass(frozen=True, slots=True)
class Elevated:
    """Someone ran something as another user. The program alone is kept: its arguments may hold a secret."""

    user: str
    program: str
    at: float


@dataclass(frozen=True, slots=True)
class PackageRun:
    """One run of a package manager."""

    at: float
    tool: str
    names: tuple[tuple[str, str], ...] = ()
    """What was done with which package: ("upgrade", "openssh-server"). Empty: it is only known that it ran."""
    by: str = ""
    """Who asked for it."""


def epoch(text: str) -> float | None:
    """From "2026-03-05 14:02:11", taken as UTC."""
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        return None


_JOURNAL = re.compile(r"(\d{1,11})(?:\.\d+)? \S+ (sshd|sshd-session|sudo)(?:\[\d+\])?: +(.*)", re.ASCII)
_ACCEPTED = re.compile(r"Accepted \S+ for (\S+) from (\S+) port \d+.*", re.ASCII)
_SUDO = re.compile(r"(\S+) : .*?COMMAND=(\S+).*", re.ASCII)


def parse_journal(text: str, shift: float) -> tuple[list[Login], list[Elevated]]:
    """Logins and commands run through sudo, each pair of user and origin or program once, with its last time."""
    logins: dict[tuple[str, str], Login] = {}
    elevated: dict[tuple[str, str], Elevated] = {}
    for line in text.split("\n"):
        found = _JOURNAL.fullmatch(line)
        if found is None:
            continue
        at = float(found[1]) + shift
        if found[2] == "sudo":
            if (match := _SUDO.fullmatch(found[3])) and (program := match[2].rpartition("/")[2]) not in _SHELLS:
                user, program = match[1][:LONGEST], program[:LONGEST]
                elevated[user, program] = Elevated(user, program, at)
        elif match := _ACCEPTED.fullmatch(found[3]):
            user, origin = match[1][:LONGEST], match[2][:LONGEST]
            logins[user, origin] = Login(user, origin, at)
    return list(logins.values()), list(elevated.values())


_DPKG = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (install|upgrade|remove|purge) ([^ :]+)(?::\S*)? .*", re.ASCII)
_TOGETHER = 120.0
"""Seconds within which lines of dpkg's log belong to one run."""


def parse_dpkg(text: str, offset: float, shift: float) -> list[PackageRun]:
    """Its times are local ones; `offset` says by how much they are ahead of UTC."""
    runs: list[PackageRun] = []
    for line in text.split("\n"):
        match = _DPKG.fullmatch(line)
        at = epoch(match[1]) if match else None
        if match is None or at is None:
            continue
        at, item = at - offset + shift, (match[2], match[3][:LONGEST])
        if runs and 0 <= at - runs[-1].at <= _TOGETHER:
            if item not in runs[-1].names and len(runs[-1].names) < MOST_NAMES:
                runs[-1] = PackageRun(runs[-1].at, "dpkg", (*runs[-1].names, item))
        else:
            runs.append(PackageRun(at, "dpkg", (item,)))
    return runs


_VERBS = {"Install": "install", "Upgrade": "upgrade", "Remove": "remove", "Purge": "purge", "Downgrade": "downgrade"}
_PACKAGE = re.compile(r"([a-z0-9][a-z0-9+.-]{0,200})(?::[a-z0-9-]+)? \(", re.ASCII)


def parse_apt(text: str, offset: float, shift: float) -> list[PackageRun]:
    runs = []
    for block in text.split("\n\n"):
        values = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
        at = epoch(" ".join(values.get("Start-Date", "").split()))
        names = tuple(_packages(values))[:MOST_NAMES]
        if at is not None and names:
            tool = "unattended-upgrades" if "unattended-upgrade" in values.get("Commandline", "") else "apt"
            by = values.get("Requested-By", "").split(" ")[0][:LONGEST]
            runs.append(PackageRun(at - offset + shift, tool, names, by))
    return runs


def _packages(values: dict[str, str]) -> Iterator[tuple[str, str]]:
    for key, verb in _VERBS.items():
        for match in _PACKAGE.finditer(values.get(key, "")):
            yield verb, match[1][:LONGEST]


def parse_databases(text: str, shift: float) -> list[PackageRun]:
    """Where the manager keeps no log with times: when its database was last written."""
    found = [re.fullmatch(r"(apk|opkg|rpm|pacman) (\d{1,11})", line, re.ASCII) for line in text.split("\n")]
    return [PackageRun(float(match[2]) + shift, match[1]) for match in found if match is not None]
