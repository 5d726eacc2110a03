"""What a host says about the routes of its projects, and the state that follows. Pure and total; used by `kind.py`.

Each line begins with the number of the spec that it is about:

    0 blue TREE ID EPOCH            release in a slot, or nothing
    0 good blue                     that release has passed its tests
    0 route SLOT EPOCH              what has passed them through the proxy, and since when
    0 soaked                        the other slot has been warm behind it for as long as it is to be
    0 proxied DIGEST                with which snippet
    0 bad TREE EPOCH REQUEST ID WHERE…
    0 proxy THERE ALIVE LOADED SLOT  the snippet's file, a process, whether it runs with our text, and the slot
    0 said WORD · 0 strange BASE64 · 0 mute     what the owner's own command says

No line tells the time, so that a host on which nothing has happened gives the same answer again, which is then not even read.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from providers.blue_green import SLOTS, RouteState, SlotName

_SUM = re.compile(r"\\?([0-9a-f]{64}) [ *](/.+)")
_EPOCH = re.compile(r"[0-9]{1,11}", re.ASCII)


class RouteAnswer(RouteState):
    """A route as it is found; `loaded` is compared too."""

    loaded: bool | None = None
    """The proxy runs with the configuration that leads to the slots, and that lies on the disk as it should."""
    failure: str | None = None
    """What became of the release that the repository asks for, where it is quarantined. Only of an actual state."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A release in quarantine."""

    tree: str
    when: int | None
    request: str
    """Digest of what was asked for then: asked differently, it is tried again."""
    release: str
    where: str

    @property
    def sentence(self) -> str:
        at = f" on {_date(self.when)}" if self.when is not None else ""
        kind, _, slot = self.where.partition(" ")
        test = f"on the port of slot {slot}" if kind == "own" and slot in SLOTS else "through the proxy"
        return (
            f"release {self.release} failed its smoke test {test}{at}:"
            " it is not tried again until the project's file or revision changes"
        )


def _date(epoch: int) -> str:
    """Seconds since 1970 as a date. Years are counted from March, so that the leap day is a year's last."""
    days, seconds = divmod(epoch, 86400)
    era, day = divmod(days + 719468, 146097)
    year = (day - day // 1460 + day // 36524 - day // 146096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5 - 1
    month = month + 3 if month < 10 else month - 9
    hour, minute = divmod(seconds // 60, 60)
    return f"{year + era * 400 + (month <= 2):04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC"


@dataclass(slots=True)
class Told:
    """All lines about one route."""

    trees: dict[str, str] = field(default_factory=dict)
    good: set[str] = field(default_factory=set)
    route: tuple[str, int | None] | None = None
    over: bool = False
    """The soak, as the host counts it."""
    proxied: str = ""
    failed: list[Failed] = field(default_factory=list)
    proxy: tuple[str, str, str, str] | None = None
    said: str | None = None
    strange: str | None = None
    mute: bool = False

    def settled(self, live: SlotName | None, digest: str) -> bool:
        """What has the traffic has passed its tests, through the proxy as it is set up now."""
        noted = self.route is not None and self.route[0] == live
        return live is not None and noted and live in self.good and self.proxied == digest

    def soaked(self, live: SlotName | None) -> bool:
        return self.over and live is not None and self.route is not None and self.route[0] == live


@dataclass(frozen=True, slots=True)
class Heard:
    """The whole answer."""

    routes: dict[int, Told]
    sums: dict[str, str]
    root: bool


def read(out: bytes) -> Heard | None:
    """None where the answer is not whole."""
    text = out.decode("utf-8", "surrogateescape")
    if not text.endswith("\nend\n"):
        return None
    routes: dict[int, Told] = {}
    sums: dict[str, str] = {}
    root = False
    for line in text.split("\n"):
        first, _, rest = line.partition(" ")
        if match := _SUM.fullmatch(line):
            sums[match[2]] = match[1]
        elif first == "root":
            root = rest == "yes"
        elif first.isascii() and first.isdecimal() and len(first) <= 6:
            _tell(routes.setdefault(int(first), Told()), rest)
    return Heard(routes, sums, root)


def _epoch(text: str) -> int | None:
    return int(text) if _EPOCH.fullmatch(text) else None


def _tell(told: Told, rest: str) -> None:
    word, *values = rest.split(" ")
    match word, values:
        case (("blue" | "green"), [tree, *_]) if tree:
            told.trees[word] = tree
        case "good", [slot]:
            told.good.add(slot)
        case "route", [slot, since, *_]:
            told.route = (slot, _epoch(since))
        case "soaked", []:
            told.over = True
        case "proxied", [digest]:
            told.proxied = digest
        case "bad", [tree, when, request, release, *where]:
            told.failed.append(Failed(tree, _epoch(when), request, release, " ".join(where)))
        case "proxy", [there, alive, loaded, slot]:
            told.proxy = (there, alive, loaded, slot)
        case "said", [said]:
            told.said = said
        case "strange", [encoded]:
            told.strange = _decoded(encoded)
        case "mute", []:
            told.mute = True


def _decoded(encoded: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode("utf-8", "replace").strip()
    except (binascii.Error, ValueError):
        return ""


def counted(failed: Iterable[Failed], request: str) -> list[Failed]:
    """Those that failed as what is asked for now."""
    return [one for one in failed if one.request == request]
