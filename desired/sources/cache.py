"""The cache of one project source: a bare repository, and beside it what we remember of the source. All of it is disposable.

    DIGEST.*.git    the objects; refs/reconciler/heads/*, refs/reconciler/tags/* as the server had them
    DIGEST.lock     locked (flock) by whoever fetches; readers need no lock, for nothing is ever taken out of a cache in use
    DIGEST.json     per project: the commit that each revision last was, and the newest commit seen of each branch
    DIGEST.sums     sha256 and size of each file's content by its blob id (`desired/sources/sums.py`)

A repository that is fetched again gets another name each time: libgit2 shares open packs by their path within a process, and
would go on reading the damaged one. What we remember stands outside of it, so that a cache that was lost does not forget which
history was promised. Called by `desired/sources/resolve.py`.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pygit2

from desired.sources.model import SourceProblem
from desired.sources.remote import Damaged
from desired.text import visible

_PACKS = 50
"""Each fetch leaves a pack; with more than this they are made one."""
_PATIENCE = 1800.0
_STALE = ("*.lock", "objects/*.lock", "objects/pack/pack_git2_*", "objects/pack/*.lock", "objects/tmp_object*")


def default_folder() -> Path:
    """$XDG_CACHE_HOME/reconciler, or ~/.cache/reconciler."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "reconciler"


def make_folder(folder: Path) -> None:
    """Creates the cache folder, for nobody else to look into; refuses one that belongs to somebody else."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        status = folder.stat()
        if status.st_uid == os.getuid() and status.st_mode & 0o077:
            folder.chmod(0o700)
    except OSError as error:
        raise unwritable(folder, error.strerror or str(error)) from error
    if status.st_uid != os.getuid():
        raise SourceProblem(
            "unusable",
            f"the cache folder {visible(str(folder))} belongs to another user, and is therefore not trusted",
            "remove it, or set XDG_CACHE_HOME to a folder of your own",
        )


def unwritable(folder: Path, reason: str) -> SourceProblem:
    hint = "make room or mend the rights there, or set XDG_CACHE_HOME to another folder; the cache may be deleted at any time"
    return SourceProblem("unusable", f"the cache in {visible(str(folder))} cannot be used: {visible(reason, 200)}", hint)


@dataclass(frozen=True, slots=True)
class Memory:
    """What a project's revision was the last time."""

    commit: str
    fetched: float


class Store:
    """The cache of one source."""

    def __init__(self, folder: Path, digest: str) -> None:
        self._cache = folder
        self._digest = digest
        self.sums = folder / f"{digest}.sums"
        self._lock = folder / f"{digest}.lock"
        self._memory = folder / f"{digest}.json"
        self._open: tuple[Path, pygit2.Repository] | None = None
        self._opening = threading.Lock()

    @contextmanager
    def locked(self, cancelled: threading.Event) -> Iterator[None]:
        """While this lasts nobody else, here or in another process, fetches into this cache."""
        ends = time.monotonic() + _PATIENCE
        try:
            lock = self._lock.open("ab")
        except OSError as error:
            raise unwritable(self._cache, error.strerror or str(error)) from error
        with lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError as error:
                    if time.monotonic() > ends or cancelled.wait(0.02):
                        message = f"another process has been fetching into {visible(str(self._cache))} all the time"
                        raise SourceProblem("unreachable", message, "see what it is waiting for, or end it") from error
            self._sweep()
            yield

    def _sweep(self) -> None:
        """What a killed process left: git's lock files would block every later fetch, half packs only take room."""
        left = [path for suffix in ("new", "old") for path in self._cache.glob(f"{self._digest}.*.{suffix}") if path.is_dir()]
        for path in left:
            shutil.rmtree(path, ignore_errors=True)
        for folder in self._folders():
            stale = [path for pattern in _STALE for path in folder.glob(pattern)]
            for path in [*stale, *(folder / "refs").rglob("*.lock")]:
                path.unlink(missing_ok=True)

    def _folders(self) -> list[Path]:
        """The repository, if there is one."""
        return sorted(self._cache.glob(f"{self._digest}.*.git"))

    def repo(self) -> pygit2.Repository:
        """The repository, opened once; `Damaged` where nothing was fetched yet, or what was fetched does not open."""
        with self._opening:
            if self._open is None or not self._open[0].is_dir():
                self._open = None
                folders = self._folders()
                if not folders:
                    raise Damaged("nothing was fetched yet")
                try:
                    self._open = folders[0], pygit2.Repository(str(folders[0]))
                except (pygit2.GitError, KeyError, ValueError) as error:
                    raise Damaged(str(error)) from error
            return self._open[1]

    def ready(self) -> pygit2.Repository:
        """The repository to fetch into, made when there is none. Called under the lock."""
        if not self._folders():
            self._make()
        return self.repo()

    def _make(self) -> None:
        """A new one, whole or not at all. Redirects are off: libgit2 would send a login along to another host."""
        folder = self._cache / f"{self._digest}.{secrets.token_hex(4)}.git"
        fresh = folder.with_suffix(".new")
        try:
            repo = pygit2.init_repository(str(fresh), bare=True)
            repo.config["http.followRedirects"] = "false"
            repo.config["core.logAllRefUpdates"] = "false"
            fresh.rename(folder)
        except (pygit2.GitError, KeyError, ValueError, OSError) as error:
            raise unwritable(self._cache, str(error)) from error
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def forget(self) -> None:
        """Deletes the repository; the next use fetches it again. What we remember of the source stays."""
        with self._opening:
            self._open = None
            self._remove()
            self.sums.unlink(missing_ok=True)

    def _remove(self) -> None:
        """First by a rename, so that nobody opens half a repository."""
        for folder in self._folders():
            away = folder.with_suffix(".old")
            with suppress(OSError):
                folder.rename(away)
            shutil.rmtree(away, ignore_errors=True)

    def compact(self) -> None:
        """Makes one pack of many. Called under the lock, after a fetch."""
        repo = self.repo()
        folder = Path(repo.path) / "objects" / "pack"
        packs = {path.stem for path in folder.glob("pack-*.pack")}
        if len(packs) <= _PACKS:
            return
        try:
            repo.pack()
        except (pygit2.GitError, KeyError, ValueError, OSError) as error:
            raise Damaged(str(error)) from error
        if {path.stem for path in folder.glob("pack-*.pack")} - packs:
            for name in packs:
                for suffix in (".idx", ".pack"):
                    (folder / (name + suffix)).unlink(missing_ok=True)
            with self._opening:
                self._open = None

    def remembered(self, project: str, revision: str) -> Memory | None:
        found = self._read().get(project, {}).get("revisions", {}).get(revision)
        return Memory(str(found["commit"]), float(found["fetched"])) if found else None

    def seen(self, project: str, ref: str) -> str | None:
        """The newest commit of a branch or tag that was accepted for the project."""
        found = self._read().get(project, {}).get("seen", {}).get(ref)
        return str(found) if found else None

    def refs_seen(self, project: str) -> list[str]:
        return list(self._read().get(project, {}).get("seen", {}))

    def remember(self, project: str, revision: str, ref: str | None, commit: str) -> None:
        """Called under the lock. Written by rename, and flushed: it is the measure for the next fetch."""
        known = self._read()
        entry = known.setdefault(project, {"revisions": {}, "seen": {}})
        entry["revisions"][revision] = {"commit": commit, "fetched": time.time()}
        if ref is not None:
            entry["seen"][ref] = commit
        fresh = self._memory.with_suffix(f".{os.getpid()}.{threading.get_ident()}.new")
        try:
            with fresh.open("w") as file:
                json.dump(known, file)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._memory)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            raise unwritable(self._cache, error.strerror or str(error)) from error

    def _read(self) -> dict[str, Any]:
        """What cannot be read is a cache that was lost, and means that nothing is remembered."""
        try:
            found = json.loads(self._memory.read_text())
        except (OSError, ValueError):
            return {}
        return found if _is_memory(found) else {}


def _is_memory(found: Any) -> bool:
    """Whether the file has the shape in which `remember` writes it."""
    return isinstance(found, dict) and all(
        isinstance(entry, dict)
        and isinstance(entry.get("seen"), dict)
        and isinstance(entry.get("revisions"), dict)
        and all(
            isinstance(one, dict) and isinstance(one.get("commit"), str) and isinstance(one.get("fetched"), (int, float))
            for one in entry["revisions"].values()
        )
        for entry in found.values()
    )
