"""What was edited on a host, as changes to a commit of the project: the heart of `reconcile pull`.

What counts as edited is what the drift check of the kind `release` says, held against the list of what was installed; a file
that nobody installed counts only when it was asked for. What is made for the host (`.env`, files with secrets, the sentinel),
what is excluded and what is shared never comes along. Nothing here asks or prints: see `reconciler/cli/pulling.py`.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from desired.deploy.build import excluded
from desired.deploy.tree import ENV
from desired.project import ProjectSettings
from desired.source import odd_name
from desired.sources.model import Nearest, SourceFile, SourceTree
from desired.sources.repository import ProjectRepository, Written
from providers.base import Unknown
from providers.patterns import Patterns
from providers.releases.kind import ReleaseProvider, ReleaseSpec, ReleaseState
from providers.shell import lines, sh
from providers.tree import SENTINEL
from reconciler.adopt.look import QUICK, ask, mounted
from reconciler.pull.read import COUNT_LIMIT, SECONDS, TOTAL_LIMIT, Found, question, read
from reconciler.remembered import Remembered
from reconciler.text import plural, visible
from state.channel import Channel
from state.script import Fragment

_MORE = "… and "
"""How a state begins the line that counts what it does not name."""
_THOROUGH = 1800
_NO_NEWLINE = "\\ No newline at end of file"
_DIFF_BYTES = 1 << 20
_REPOSITORY_MODES = {"0644": 0o100644, "0755": 0o100755, "link": 0o120000}


@dataclass(frozen=True, slots=True)
class Edits:
    """Paths of the deployed tree that somebody changed on a host."""

    commit: str
    """The commit that is deployed there."""
    root: str
    edited: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    """Those that could be brought along, if somebody asks for it."""

    @property
    def some(self) -> bool:
        return bool(self.edited or self.missing or self.modes)


@dataclass(frozen=True, slots=True)
class Changes:
    """One commit's worth of edits."""

    written: Mapping[str, Written | None] = field(default_factory=dict)
    found: Mapping[str, Found] = field(default_factory=dict)
    left: Mapping[str, str] = field(default_factory=dict)
    """Path → why it does not come along."""


_CURRENT = sh(r"""
# pull_current NAME PATH: digest of the tree that is installed where PATH/current leads.
pull_current() {
  at=$(readlink -- "$2/current") && at=${at#"$2/"} && at=${at#releases/} && at=${at%%/*} || return
  read -r _ _ title _ <"$folder/projects/$1/releases/$at.index" && printf '%s\n' "$title"
}
""")


async def live_tree(channel: Channel, spec: ReleaseSpec, noted: Remembered, inventory: str | None) -> str | None:
    """The tree that people see: of the release that the link current leads to, or else the one that runs, or that there is.
    None: it cannot be told."""
    if spec.versioned:
        asked = lines([_CURRENT, sh("pull_current @name@ @path@", name=spec.name, path=spec.path)])
        (frame,) = await ask(channel, [Fragment(asked, QUICK)], inventory)
        told = frame.out.decode("ascii", "replace").strip() if frame is not None and frame.ok else ""
        if told in noted.releases:
            return told
    if spec.strategy == "slots":
        return noted.slots.get(noted.route) if noted.route is not None else _only(noted)
    if spec.strategy == "releases":
        return noted.runtime or _only(noted)
    return _only(noted)


def _only(noted: Remembered) -> str | None:
    return next(iter(noted.releases)) if len(noted.releases) == 1 else None


async def look(channel: Channel, spec: ReleaseSpec, tree: str, inventory: str | None) -> ReleaseState | Unknown:
    """The drift of one installed tree, with every file hashed that may have been touched."""
    provider = ReleaseProvider()
    asked = spec.model_copy(update={"tree": tree}).deep()
    (frame,) = await ask(channel, [Fragment(provider.probe([asked]), _THOROUGH)], inventory, 256 << 20)
    if frame is None or not frame.ok:
        return Unknown("the host did not answer to its end")
    answer = provider.parse(frame.out, [asked]).get(spec.name, Unknown("the host's answer does not say"))
    if isinstance(answer, ReleaseState) and answer.tree == "unfinished":
        return Unknown("an installation there is unfinished: reconcile apply goes on with it")
    return answer if isinstance(answer, (ReleaseState, Unknown)) else Unknown("it is not there")


def edits_of(spec: ReleaseSpec, state: ReleaseState, commit: str, settings: ProjectSettings, ignore: str = "") -> Edits:
    """What of the drift may come back into git. `ignore`: the project's own .gitignore, which counts for added files."""
    kept = _keeper(spec, settings)
    ignored = Patterns(ignore.splitlines())
    root = spec.path
    if spec.versioned and state.id is not None:
        root = f"{spec.path}/releases/{state.id}" + (f"/{spec.sub}" if spec.sub else "")
    added = tuple(path for path in state.added or () if kept(path) and not ignored(path) and not _is_private(path))
    return Edits(
        commit,
        root,
        tuple(filter(kept, state.edited or ())),
        tuple(filter(kept, state.missing or ())),
        tuple(path for path in state.modes or () if kept(path) and path not in (state.edited or ())),
        added,
    )


def foreign_edits(spec: ReleaseSpec, root: str, nearest: Nearest, settings: ProjectSettings) -> Edits:
    """What differs from the nearest commit, in a folder that is not ours yet."""
    kept = _keeper(spec, settings)
    added = tuple(path for path in nearest.extra if kept(path) and not _is_private(path))
    return Edits(nearest.commit.id, root, tuple(filter(kept, nearest.differs)), (), (), added)


def _keeper(spec: ReleaseSpec, settings: ProjectSettings) -> Callable[[str], bool]:
    made = {SENTINEL, ENV, *settings.secrets}
    patterns = excluded(settings)
    data = tuple(name.rstrip("/") for name in settings.shared)

    def keep(path: str) -> bool:
        if path.startswith(_MORE) or path in made or patterns(path) or spec.is_untouched(path):
            return False
        return not any(path == name or path.startswith(f"{name}/") for name in data)

    return keep


async def without_data(channel: Channel, edits: Edits, base: SourceTree, inventory: str | None) -> Edits:
    """Added files, less those in folders that hold the data of containers: mounted, and with no file of the project in them."""
    if not edits.added:
        return edits
    sources = await mounted(channel, edits.root, inventory)
    data = [f"{source}/" for source in sources if not any(path.startswith(f"{source}/") for path in base.files)]
    return replace(edits, added=tuple(path for path in edits.added if not path.startswith(tuple(data))))


def _is_private(path: str) -> bool:
    """Files that nobody committed, and whose name says that they hold secrets."""
    name = path.rpartition("/")[2]
    return name == ENV or name.startswith(f"{ENV}.")


def too_many(edits: Edits, added: Sequence[str]) -> str | None:
    """Why it is not done at all: somebody should look at so many edits."""
    count = len(edits.edited) + len(edits.modes) + len(added)
    if count > COUNT_LIMIT or len(edits.missing) > COUNT_LIMIT:
        return f"{plural(max(count, len(edits.missing)), 'file')} differ there; at most {COUNT_LIMIT} come back in one commit"
    return None


async def fetch(
    channel: Channel, edits: Edits, added: Sequence[str], base: SourceTree, inventory: str | None
) -> Changes | Unknown:
    """Reads the edited files, and makes of them what a commit on top of the deployed one would say."""
    left = {path: reason for path in (*edits.edited, *edits.modes, *added) if (reason := _odd(path))}
    paths = [path for path in (*edits.edited, *edits.modes, *added) if path not in left]
    (frame,) = await ask(channel, [Fragment(question(edits.root, paths), SECONDS)], inventory, 2 * TOTAL_LIMIT)
    answers = read(frame.out, paths) if frame is not None and frame.ok else None
    if answers is None:
        return Unknown(f"the edited files could not be read to their end; together they may have {TOTAL_LIMIT >> 20} MiB")
    found = {path: one for path, one in answers.items() if isinstance(one, Found)}
    left |= {path: one for path, one in answers.items() if isinstance(one, str)}
    if sum(len(one.content) for one in found.values()) > TOTAL_LIMIT:
        return Unknown(f"the edited files have more than {TOTAL_LIMIT >> 20} MiB together")
    written: dict[str, Written | None] = {}
    for path, one in found.items():
        mine = Written(0o100755 if one.executable else 0o100644, one.content)
        known = base.files.get(path)
        if known is not None and _same(known, mine):
            left[path] = "only its owner or permissions changed, which git does not keep"
        else:
            written[path] = mine
    written |= {path: None for path in edits.missing if path in base.files}
    return Changes(written, {path: one for path, one in found.items() if path in written}, left)


def _odd(path: str) -> str | None:
    return next((reason for part in path.split("/") if (reason := odd_name(part))), None)


def _same(known: SourceFile, mine: Written) -> bool:
    return _REPOSITORY_MODES[known.mode] == mine.mode and known.sha256 == hashlib.sha256(mine.content).hexdigest()


def blob_id(content: bytes) -> str:
    """Git's id of a content, by which the secret scan knows it."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def diff_of(changes: Changes, base: SourceTree, repository: ProjectRepository) -> Iterator[str]:
    """A unified diff, line by line; what is binary or large is only named."""
    for path, mine in sorted(changes.written.items()):
        known = base.files.get(path)
        old = repository.read(known.blob) if known is not None else b""
        new = mine.content if mine is not None else b""
        yield f"--- {'a/' + path if known else '/dev/null'}"
        yield f"+++ {'b/' + path if mine is not None else '/dev/null'}"
        if known is not None and mine is not None and _REPOSITORY_MODES[known.mode] != mine.mode:
            yield f"mode {_REPOSITORY_MODES[known.mode]:o} → {mine.mode:o}"
        if max(len(old), len(new)) > _DIFF_BYTES or b"\0" in old[:8000] or b"\0" in new[:8000]:
            yield f"binary or large: {len(old)} → {len(new)} bytes"
            continue
        yield from list(difflib.unified_diff(_lines(old), _lines(new), n=3, lineterm=""))[2:]


def _lines(content: bytes) -> list[str]:
    text = content.decode("utf-8", "surrogateescape")
    parts = text.split("\n")
    return parts[:-1] if not parts[-1] else [*parts, _NO_NEWLINE]


def branch_of(host: str, when: datetime) -> str:
    return f"reconcile/pull-{host}-{when.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def message_of(project: str, host: str, edits: Edits, changes: Changes) -> str:
    """An honest commit message: whence, and what the host itself says about who and when."""
    text = [
        f"Bring back edits made on {host}",
        "",
        f"{project} was edited in {visible(edits.root)} on {host}, on top of the deployed commit",
        f"{edits.commit}. What the host says of it:",
        "",
    ]
    for path, mine in sorted(changes.written.items()):
        found = changes.found.get(path)
        if mine is None or found is None:
            text.append(f"- {visible(path)}: removed there")
        else:
            when = datetime.fromtimestamp(found.time, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            text.append(f"- {visible(path)}: last changed {when}, belongs to {visible(found.owner)}")
    return "\n".join([*text, ""])
