"""Fetches the git repositories of projects into a cache on the controller, and says which commit a revision is.

Called by `desired/deploy/expand.py` for every project, in each cycle, from several threads. The cache is disposable; each
source is fetched once per cycle and process, and several processes may share the cache. What cannot be had is a
`SourceProblem`, never an empty tree: the caller keeps in force what `SourceProblem.last` names.

    sources_url        which URLs are spoken to          sources_cache       the folder, its lock, what is remembered
    sources_hosts      which host keys count             sources_repository  files and history of what was fetched
    sources_home       where libssh2 finds them          sources_tree, sources_sums, sources_changes: its parts
    sources_remote     one conversation with a server    sources_model       what is taken and given
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import pygit2

from desired.sources.cache import Store, default_folder, make_folder, unwritable
from desired.sources.model import HEX, SourceProblem, Wanted, near
from desired.sources.remote import Damaged, Remote, Rules, prepare
from desired.sources.repository import OURS, ProjectRepository, branch_name
from desired.sources.url import Location, parse_location
from desired.text import meant, show, visible

_SHORT = re.compile(r"[0-9a-f]{4,39}")
_REMOTE = re.compile(r"(refs/)?(remotes/)?(origin|heads|tags)/")
"""How a clone or git itself would write the name of a branch or tag."""
_KINDS = {"refs/heads/": "branch", "refs/tags/": "tag"}
_EVERYTHING = ("+refs/heads/*:refs/reconciler/heads/*", "+refs/tags/*:refs/reconciler/tags/*")
ValueT = TypeVar("ValueT")


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a project's revision is now."""

    commit: str
    """Full hex id."""
    ref: str | None
    """`refs/heads/main`, `refs/tags/v1`; None when the revision is a commit id."""
    fetched: float
    """When the source last confirmed it, in seconds since 1970; for a commit id that was in the cache, now."""
    repository: ProjectRepository = field(repr=False, compare=False)

    @property
    def branch(self) -> str | None:
        """`main`, when the revision is a branch."""
        return self.ref.removeprefix("refs/heads/") if self.ref and self.ref.startswith("refs/heads/") else None


class _Chosen(NamedTuple):
    """A commit, and the branch or tag that named it."""

    commit: str
    ref: str | None


class _Once(Generic[ValueT]):
    """A value that is made by the first who asks, while the others wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._value: ValueT | SourceProblem | None = None

    def get(self, make: Callable[[], ValueT]) -> ValueT:
        with self._lock:
            if self._value is None:
                try:
                    self._value = make()
                except SourceProblem as problem:
                    self._value = problem
            if isinstance(self._value, SourceProblem):
                found = self._value
                again = SourceProblem(found.kind, str(found), found.hint, last=found.last, fetched=found.fetched)
                again.ref = found.ref
                raise again from found
            return self._value


class Sources:
    """The sources of all projects. `cache` defaults to $XDG_CACHE_HOME/reconciler, or ~/.cache/reconciler."""

    def __init__(
        self,
        cache: Path | None = None,
        rules: Rules | None = None,
        *,
        authority: Path | None = None,
        loopback_http: bool = False,
    ) -> None:
        """`authority`: a file with certificate authorities that are trusted besides the system's, by the whole process.
        `loopback_http`: whether unencrypted http to this very machine is spoken."""
        self.cache = cache or default_folder()
        self._rules = rules or Rules()
        self._loopback_http = loopback_http
        self._stores: dict[str, tuple[Store, ProjectRepository]] = {}
        self._resolved: dict[Hashable, _Once[Resolved]] = {}
        self._heads: dict[Hashable, dict[str, str]] = {}
        self._guard = threading.Lock()
        make_folder(self.cache)
        prepare(authority)

    def refresh(self) -> None:
        """A new cycle: from now on each source is asked again, once."""
        with self._guard:
            self._resolved = {}
            self._heads = {}

    def cancel(self) -> None:
        """Ends the transfers that are under way, and those that would follow."""
        self._rules.cancelled.set()

    def resolve(self, wanted: Wanted, *, everything: bool = False) -> Resolved:
        """The commit of a project's revision, with its files in the cache. `everything`: all branches and tags, for `adopt`."""
        key = (_login(wanted), wanted.name, wanted.revision, wanted.rewritten, everything)
        with self._guard:
            once = self._resolved.setdefault(key, _Once())
        return once.get(lambda: self._resolve(wanted, everything=everything))

    def repository(self, url: str) -> ProjectRepository:
        """What the cache holds of a source, without asking it."""
        return self._store(parse_location(url, loopback_http=self._loopback_http))[1]

    def push(self, wanted: Wanted, branch: str) -> None:
        """Sends a branch that `commit_on_top` made to the project's source; never over commits that it lacks."""
        location = parse_location(wanted.url, loopback_http=self._loopback_http)
        name = branch_name(branch)
        store, _ = self._store(location)
        with store.locked(self._rules.cancelled):
            if name not in store.repo().references:
                raise SourceProblem("unusable", f"there is no branch {visible(branch)} to push", "commit to it first")
            try:
                Remote(store.repo(), location, wanted, self._rules).push(f"{name}:{name}")
            except Damaged as error:
                message = f"{visible(branch)} could not be pushed to {location.shown}: {visible(_words(error), 200)}"
                raise SourceProblem(
                    "unusable", message, "check the repository there with git fsck, and the room it has"
                ) from error

    def _store(self, location: Location) -> tuple[Store, ProjectRepository]:
        with self._guard:
            found = self._stores.get(location.digest)
            if found is None:
                store = Store(self.cache, location.digest)
                found = store, ProjectRepository(store, location.shown, self._rules.cancelled)
                self._stores[location.digest] = found
            return found

    def _resolve(self, wanted: Wanted, *, everything: bool) -> Resolved:
        location = parse_location(wanted.url, loopback_http=self._loopback_http)
        if wanted.token is not None and location.transport not in ("https", "http"):
            message = f"{location.shown} has a token, which only an https source takes"
            raise SourceProblem("refused", message, "leave `token:` out; for ssh name a private key: identity: /path")
        store, repository = self._store(location)
        revision = wanted.revision.lower() if HEX.fullmatch(wanted.revision.lower()) else wanted.revision
        try:
            if HEX.fullmatch(revision) and repository.has(revision) and not everything:
                return Resolved(revision, None, time.time(), repository)
            with store.locked(self._rules.cancelled):
                return self._asked(wanted, revision, location, everything=everything)
        except SourceProblem as problem:
            last = store.remembered(wanted.name, revision)
            if last is not None and repository.has(last.commit):
                problem.last, problem.fetched = last.commit, last.fetched
                named = revision if revision.startswith(tuple(_KINDS)) else ""
                seen = store.refs_seen(wanted.name)
                problem.ref = next((ref for ref in (named, *(kind + revision for kind in _KINDS)) if ref in seen), None)
            raise

    def _asked(self, wanted: Wanted, revision: str, location: Location, *, everything: bool) -> Resolved:
        """Under the lock: asks the server. A cache that turns out to be damaged is thrown away and fetched again, once."""
        store, repository = self._store(location)
        visit = _Visit(store, location, wanted, revision, self._rules)
        known = self._heads.get(_login(wanted))
        for again in (True, False):
            try:
                chosen = visit.run(known, everything=everything)
                self._heads[_login(wanted)] = visit.heads
                store.compact()
                return Resolved(chosen.commit, chosen.ref, time.time(), repository)
            except (Damaged, pygit2.GitError, KeyError, ValueError) as error:
                if "no space left" in str(error).lower() or "quota" in str(error).lower():
                    raise unwritable(self.cache, str(error)) from error
                if not again:
                    raise SourceProblem(
                        "unusable",
                        f"{location.shown} could not be fetched whole: {visible(_words(error), 200)}",
                        "check the repository at the source with git fsck",
                    ) from error
                known = None
                store.forget()
        raise AssertionError("unreachable")


def _words(error: Exception) -> str:
    """What libgit2 said, without the quotes that a `KeyError` puts around it."""
    return str(error).strip("'")


def _checked_out(heads: Mapping[str, str]) -> str:
    """The branch that HEAD stands for at the source, as far as its commit tells."""
    names = (name.removeprefix("refs/heads/") for name, commit in heads.items() if commit == heads.get("HEAD"))
    return next((name for name in names if name != "HEAD" and not name.startswith("refs/")), "HEAD")


def _login(wanted: Wanted) -> Hashable:
    """A source, and as whom it is asked: what one login was told is not another's."""
    return wanted.url, wanted.username, wanted.token.version if wanted.token else None, wanted.identity


class _Visit:
    """One revision of one project, asked of its source."""

    def __init__(self, store: Store, location: Location, wanted: Wanted, revision: str, rules: Rules) -> None:
        self._store = store
        self._location = location
        self._wanted = wanted
        self._revision = revision
        self._rules = rules
        self.heads: dict[str, str] = {}
        """What the server has, by its full name."""

    def run(self, known: dict[str, str] | None, *, everything: bool) -> _Chosen:
        """The commit, in the cache and held against what was promised. `known`: what the server said in this cycle already."""
        if self._location.transport == "path" and not Path(self._location.url).is_dir():
            message = f"there is no repository at {self._location.shown} on the controller"
            raise SourceProblem("unreachable", message, "check the source in the project's file, and whether a disk is missing")
        repo = self._store.ready()
        remote = Remote(repo, self._location, self._wanted, self._rules)
        heads = self.heads = remote.heads() if known is None else known
        ref = None if HEX.fullmatch(self._revision) else self._named(heads)
        if everything or ref is None:
            self._prune(repo, heads)
            remote.fetch(_EVERYTHING)
        if ref is None:
            chosen = _Chosen(self._by_id(repo, remote, heads), None)
        else:
            chosen = _Chosen(self._by_name(repo, remote, heads, ref), ref)
            self._hold_to_promise(repo, chosen)
        self._store.remember(self._wanted.name, self._revision, chosen.ref, chosen.commit)
        return chosen

    def _named(self, heads: Mapping[str, str]) -> str | None:
        """The branch or tag that the revision names; None when it can only be the beginning of a commit id."""
        revision = self._revision
        full = revision.startswith(tuple(_KINDS))
        candidates = [revision] if full else [kind + revision for kind in _KINDS]
        if revision.startswith("-") or not all(map(pygit2.reference_is_valid_name, candidates)):
            raise self._unknown("is not a name that a branch, a tag or a commit can have", "name a commit, a tag or a branch")
        found = [name for name in candidates if name in heads]
        if len(found) > 1:
            raise self._unknown("is both a branch and a tag", f"say which: revision: {found[0]}, or revision: {found[1]}")
        if found:
            return found[0]
        if gone := [name for name in candidates if name in self._store.refs_seen(self._wanted.name)]:
            raise self._vanished(gone[0])
        if _SHORT.fullmatch(revision):
            return None
        known = [name.split("/", 2)[2] for name in heads if name.startswith(tuple(_KINDS)) and not name.endswith("^{}")]
        local = _REMOTE.sub("", revision) if revision not in ("HEAD", "@") else _checked_out(heads)
        raise self._unknown("is neither a branch nor a tag", meant(local, known, near(known)))

    def _vanished(self, ref: str) -> SourceProblem:
        last = self._store.seen(self._wanted.name, ref) or ""
        kind = _KINDS[ref[: ref.index("/", 5) + 1]]
        return SourceProblem(
            "vanished",
            f"the {kind} {visible(self._revision)} is gone from {self._location.shown}; it was last seen at {last[:10]}",
            f"name another revision in the project's file; to stay where it is: revision: {last}",
        )

    def _unknown(self, what: str, hint: str) -> SourceProblem:
        return SourceProblem("unknown-revision", f"{show(self._revision, 120)} {what}, at {self._location.shown}", hint)

    def _by_name(self, repo: pygit2.Repository, remote: Remote, heads: Mapping[str, str], ref: str) -> str:
        """Fetches a branch or tag unless the cache has it as it is, and reads where it points."""
        mine = OURS + ref.removeprefix("refs/")
        if mine not in repo.references or str(repo.references[mine].target) != heads[ref] or heads[ref] not in repo:
            self._prune(repo, heads)
            remote.fetch([f"+{ref}:{mine}"])
        try:
            found = repo[repo.references[mine].target]
            commit = found.peel(pygit2.Commit)
            _ = commit.tree
        except pygit2.InvalidSpecError as error:
            raise self._unknown("is a tag, but not of a commit", "name a tag that stands for a commit") from error
        except (pygit2.GitError, KeyError, ValueError) as error:
            raise Damaged(str(error)) from error
        return str(commit.id)

    def _by_id(self, repo: pygit2.Repository, remote: Remote, heads: Mapping[str, str]) -> str:
        """A commit by its id, or by the beginning of it, after everything was fetched."""
        if HEX.fullmatch(self._revision) and self._revision not in repo:
            # A server may give a commit that no branch holds any more, if asked for it by its whole id.
            try:
                remote.fetch([f"+{self._revision}:{OURS}asked/{self._revision}"])
            except (SourceProblem, Damaged) as error:
                raise self._absent(heads) from error
        try:
            return str(repo.revparse_single(self._revision).peel(pygit2.Commit).id)
        except KeyError as error:
            raise self._absent(heads) from error
        except ValueError as error:
            reason = "could be several commits" if "ambiguous" in str(error).lower() else "is not a commit"
            raise self._unknown(reason, "write the whole commit id, 40 characters") from error
        except pygit2.GitError as error:
            raise Damaged(str(error)) from error

    def _absent(self, heads: Mapping[str, str]) -> SourceProblem:
        known = [name.split("/", 2)[2] for name in heads if name.startswith(tuple(_KINDS)) and not name.endswith("^{}")]
        return self._unknown("is neither a commit, a branch nor a tag", near(known))

    def _prune(self, repo: pygit2.Repository, heads: Mapping[str, str]) -> None:
        """Forgets branches that the server has no more: a new `a/b` could not be written beside an old `a`."""
        for name in list(repo.references):
            if name.startswith((f"{OURS}heads/", f"{OURS}tags/")) and f"refs/{name.removeprefix(OURS)}" not in heads:
                repo.references.delete(name)

    def _hold_to_promise(self, repo: pygit2.Repository, chosen: _Chosen) -> None:
        """A branch only grows: what it was the last time must be in its history. So must what a tag stood for."""
        ref = chosen.ref or ""
        old = self._store.seen(self._wanted.name, ref)
        if old is None or old == chosen.commit or self._wanted.rewritten == "allow":
            return
        try:
            if old in repo and repo.descendant_of(chosen.commit, old):
                return
            back = old in repo and repo.descendant_of(old, chosen.commit)
        except (pygit2.GitError, KeyError, ValueError) as error:
            raise Damaged(str(error)) from error
        how = "was set back to an earlier commit" if back else "was rewritten"
        kind = _KINDS[ref[: ref.index("/", 5) + 1]]
        raise SourceProblem(
            "rewritten",
            f"the {kind} {visible(self._revision)} of {self._location.shown} {how}: it was {old[:10]}, and is now "
            f"{chosen.commit[:10]}, which does not contain it",
            f"if that was meant, say so in the project's file: rewritten: allow, or name the commit: revision: {chosen.commit}",
        )
