"""What lies at a project's path that is not ours yet: asked of the host, and read. The first half of `reconcile adopt`.

`look` asks twice: what is there at all, and then for every file with its digest, so that `adopting.py` can find the commit it
comes from. It only reads. What a host says is data: names are checked where they are used, and an answer that is cut is none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from providers.base import Unknown
from providers.releases.adopt import list_files, listed_files
from providers.releases.model import ReleaseSpec
from providers.shell import lines, sh
from providers.tree import TreeFile
from reconciler.adopt.shell import STANDING, USERS
from state.channel import Channel
from state.frames import Frame, frames
from state.script import Fragment, compile_probe

QUICK = 30
THOROUGH = 3600
"""Seconds in which a slow disk can hash a large folder."""
_MOST = 512 << 20
"""Bytes of a listing."""
_HEX = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?", re.ASCII)
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}", re.ASCII)
_LISTED = re.compile(r"\S+ ([0-7]{1,4}) [0-9]+ [0-9]+ [0-9]+ ([0-9]{1,11})(?:\.[0-9]*)? \S+ [0-9]+ \./(.+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Standing:
    """What is at the path, without its files."""

    kind: Literal["absent", "closed", "folder"] = "folder"
    """closed: it is no folder, or may not be entered."""
    ours: bool = False
    """It was noted there that the project is installed at this path."""
    git: bool = False
    branch: str = ""
    """Of its git clone; "detached" where HEAD is on none."""
    head: str | None = None
    """The commit that HEAD of its git clone stands for."""
    stash: bool = False
    mounts: tuple[str, ...] = ()
    current: str | None = None
    """Where the link `current` leads."""
    releases: tuple[str, ...] = ()
    present: frozenset[str] = frozenset()
    """Those of the names that were asked for that are there."""
    users: tuple[str, ...] = ()
    """Processes that work in it, in words."""
    containers: tuple[str, ...] = ()
    """Containers into which something of it is mounted, in words."""


class Looks(NamedTuple):
    """Of a file, what its digest does not say."""

    mode: str
    time: int
    """When it was last changed, by its own account, in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Folder:
    """What is at the path, and every file of the tree that is in it."""

    standing: Standing
    root: str
    """The folder that holds the tree."""
    release: str = ""
    """Name of the release that is current, where each has a folder of its own."""
    files: Mapping[str, TreeFile] = field(default_factory=dict)
    looks: Mapping[str, Looks] = field(default_factory=dict)


async def ask(
    channel: Channel, fragments: Sequence[Fragment], inventory: str | None, limit: int = 16 << 20
) -> list[Frame | None]:
    """The answers in order; None where there is none. Raises `HostError` where the host could not be asked."""
    script = compile_probe(fragments, inventory=inventory)
    output = await channel.run(script.text, limit=limit, deadline=sum(one.seconds for one in fragments) + QUICK)
    answered = {} if output.cut else frames(output.stdout, output.stderr, script.nonce)
    return [answered.get(number) for number in range(len(fragments))]


async def look(channel: Channel, spec: ReleaseSpec, inventory: str | None) -> Folder | Unknown:
    """What is at the project's path. `Unknown` says why it cannot be told, or why it cannot be taken over as a release."""
    names = shared_places(spec)
    standing_question = lines(
        [STANDING, sh("adopt_standing @name@ @path@ @names@", name=spec.name, path=spec.path, names=names)]
    )
    users_question = lines([USERS, sh("adopt_users @path@", path=spec.path)])
    first, second = await ask(channel, [Fragment(standing_question, QUICK), Fragment(users_question, QUICK)], inventory)
    standing = read_standing(first.out if first and first.ok else b"", names, second.out if second else b"")
    if standing is None:
        return Unknown(f"it could not be told what is at {spec.path}")
    if standing.kind != "folder" or standing.ours:
        return Folder(standing, spec.path)
    release, root = "", spec.path
    if spec.versioned:
        release = live_release(standing, spec)
        if not release:
            return Folder(standing, spec.path)
        root = f"{spec.path}/releases/{release}" + (f"/{spec.sub}" if spec.sub else "")
    inside = listing_spec(spec, root)
    (third,) = await ask(channel, [Fragment(list_files(inside), THOROUGH)], inventory, _MOST)
    if third is None or not third.ok:
        return Unknown(f"not all of {root} could be read: name what is not the project's under shared or exclude")
    files = listed_files(third.out, inside)
    if isinstance(files, Unknown):
        return files
    return Folder(standing, root, release, files, read_looks(third.out))


def listing_spec(spec: ReleaseSpec, root: str) -> ReleaseSpec:
    """As the tree at `root` itself is asked for: git's own folder is no part of it, and costs nothing."""
    exclude = (*spec.exclude, ".git")
    return spec.model_copy(update={"path": root, "exclude": exclude, "strategy": "mirror", "folder": None})


def shared_places(spec: ReleaseSpec) -> list[str]:
    """Where the shared names may be in a folder that somebody else has laid out, best first."""
    names = [name.rstrip("/") for name in spec.shared]
    return [*(f"shared/{name}" for name in names), *names] if spec.versioned else names


def live_release(standing: Standing, spec: ReleaseSpec) -> str:
    """The release that `current` leads to, where it is laid out as the project's file says; else nothing."""
    target = (standing.current or "").rstrip("/").removeprefix(f"{spec.path}/").removeprefix("./")
    top, _, rest = target.partition("/")
    release, _, folder = rest.partition("/")
    known = top == "releases" and _ID.fullmatch(release) is not None and release in standing.releases
    return release if known and folder in ("", spec.sub) else ""


def read_standing(out: bytes, names: Sequence[str], users: bytes = b"") -> Standing | None:
    """Total: None where the answer did not come to its end."""
    said: dict[str, list[str]] = {}
    for text in out.decode("utf-8", "surrogateescape").split("\n"):
        word, _, rest = text.partition(" ")
        said.setdefault(word, []).append(rest)
    if "over" not in said:
        return None
    if "absent" in said or "closed" in said:
        return Standing("absent" if "absent" in said else "closed")
    head = said.get("rev", [""])[0]
    numbers = {int(text) for text in said.get("has", ()) if text.isascii() and text.isdecimal() and len(text) < 7}
    processes, containers = _users(users)
    return Standing(
        ours="ours" in said,
        git="git" in said,
        branch=said.get("head", [""])[0].removeprefix("refs/heads/"),
        head=head if _HEX.fullmatch(head) else None,
        stash="stash" in said,
        mounts=tuple(said.get("mount", ())),
        current=said["current"][0] if "current" in said else None,
        releases=tuple(sorted(said.get("release", ()))),
        present=frozenset(name for number, name in enumerate(names) if number in numbers),
        users=processes,
        containers=containers,
    )


def _users(out: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    processes, containers = [], []
    for text in out.decode("utf-8", "surrogateescape").split("\n"):
        match text.split(" ", 2):
            case ["process", number, called]:
                processes.append(f"{called or 'a process'} ({number})")
            case ["container", called, source]:
                containers.append(f"{called} uses {source}")
    return tuple(processes), tuple(containers)


async def mounted(channel: Channel, path: str, inventory: str | None) -> tuple[str, ...]:
    """What of the folder is mounted into containers that run now, relative to it."""
    text = lines([USERS, sh("adopt_users @path@", path=path)])
    (frame,) = await ask(channel, [Fragment(text, QUICK)], inventory)
    return read_mounted(frame.out) if frame is not None and frame.ok else ()


def read_mounted(out: bytes) -> tuple[str, ...]:
    """Total."""
    text = out.decode("utf-8", "surrogateescape").split("\n")
    here = next((line.removeprefix("at ") for line in text if line.startswith("at ")), "")
    sources = (line.split(" ", 2)[2] for line in text if line.startswith("container ") and line.count(" ") > 1)
    return tuple(sorted({source.removeprefix(f"{here}/") for source in sources if here and source.startswith(f"{here}/")}))


def read_looks(out: bytes) -> dict[str, Looks]:
    """From the listing of `list_files`, in either of its forms. Total."""
    head = out.decode("utf-8", "surrogateescape").partition("\n!sums\n")[0]
    found = (_LISTED.fullmatch(text) for text in head.split("\n"))
    return {match[3]: Looks(match[1].zfill(4), int(match[2])) for match in found if match is not None}
