"""The fleet's own repository, followed: from "git is to be asked again" to the desired state that is in force.

Called by `reconciler/loop/engine.py` in a thread, for each poll and hint. A commit that cannot be used never takes the place of
one that can: the last good commit stays in force, and what is wrong with the newer one is a problem that people are told of.
"""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from desired.git_history import between, grew, has
from desired.model import Fleet, RepositoryError
from desired.signatures.model import SignersError
from desired.signatures.walk import Walk, outside_signers
from desired.sources.model import SourceProblem
from desired.sources.resolve import Sources
from desired.text import visible
from reconciler.loop.accepted import Memory
from reconciler.loop.fleets import Fleets, Loaded, Unfit
from reconciler.loop.folder import state_folder
from reconciler.loop.places import Clone, Newest, Place, PlaceProblem
from reconciler.loop.trust import Guard

_FAR = 10_000
"""Commits after which nobody counts any further."""
_AGAIN = 3600
"""Seconds after which a commit that was refused is judged again: signers have dates."""

FollowProblemKind = Literal[
    "unreachable", "vanished", "rewritten", "refused", "invalid", "unsigned", "secrets", "project", "memory"
]
"""unreachable: the repository did not answer · vanished: its branch is gone · rewritten: its history no longer contains the
commit in force · refused: host key, certificate, login · invalid: the newest commit is no valid fleet · unsigned: a commit is
not signed by one of the signers · secrets: it holds a secret in plain text · project: a project's source or file cannot be
used, which blocks that project and nothing else · memory: what the loop keeps of this in its folder was not usable, or cannot
be written."""


@dataclass(frozen=True, slots=True)
class FollowProblem:
    """Why what was found last cannot be used as it is."""

    kind: FollowProblemKind
    subject: str
    """What it is about: empty for the fleet's repository, else the project's name."""
    message: str
    hint: str = ""
    commit: str | None = None
    """The commit that cannot be used."""


@dataclass(frozen=True, slots=True)
class Followed:
    """What a look at the repository came to."""

    fleet: Fleet | None
    """What is in force, with the resources of its projects; the same object as last time where nothing is new. None until a
    first usable commit was found."""
    commit: str | None
    """In force."""
    subject: str
    """First line of its message."""
    newest: str | None
    """Found last, usable or not."""
    url: str
    """Without credentials; the folder, for a repository on this machine."""
    branch: str
    read: float | None
    """Seconds since 1970 at which the repository was last read with success."""
    problems: tuple[FollowProblem, ...] = ()


@dataclass(frozen=True, slots=True)
class _Force:
    """What is in force."""

    loaded: Loaded
    fleet: Fleet

    @property
    def commit(self) -> str:
        return self.loaded.commit


@dataclass(slots=True)
class _Look:
    """One look, while it lasts."""

    problems: list[FollowProblem] = field(default_factory=list)
    newest: Newest | None = None
    brought: bool = False
    """Whether the projects were asked."""
    lasting: FollowProblem | None = None
    """What lies in the newest commit itself, and will be the same the next time."""

    def tell(
        self,
        kind: FollowProblemKind,
        message: str,
        hint: str = "",
        *,
        subject: str = "",
        commit: str | None = None,
        lasting: bool = False,
    ) -> None:
        problem = FollowProblem(kind, subject, message, hint, commit)
        self.problems.append(problem)
        if lasting:
            self.lasting = problem

    @contextmanager
    def telling(self, commit: str) -> Iterator[None]:
        """What goes wrong with a commit in here is told, and everything else goes on."""
        try:
            yield
        except Unfit as unfit:
            self.tell(unfit.kind, str(unfit), unfit.hint, commit=commit, lasting=unfit.lasting)
        except SignersError as error:
            self.tell("unsigned", str(error), error.hint, commit=commit)
        except PlaceProblem as problem:
            if not any(str(problem) == known.message for known in self.problems):
                self.tell(problem.kind, str(problem), problem.hint)
        except (RepositoryError, SourceProblem) as error:
            self.tell("invalid" if isinstance(error, RepositoryError) else "unreachable", str(error), error.hint, commit=commit)
        except OSError as error:
            message = f"{visible(str(error.filename or 'a file'))} cannot be used: {error.strerror or error}"
            self.tell("unreachable", message, "it is tried again at the next look", commit=commit)


class _Work:
    """One look in a thread, which ends by itself or with the process."""

    def __init__(self, look: Callable[[], Followed]) -> None:
        self.began = time.monotonic()
        self.done = threading.Event()
        self.answers: list[Followed | BaseException] = []

        def work() -> None:
            try:
                self.answers.append(look())
            except BaseException as error:  # noqa: BLE001  a fault of ours, raised where the look was asked for
                self.answers.append(error)
            self.done.set()

        threading.Thread(target=work, name="follow", daemon=True).start()


class Follower:
    """Follows one place. Its methods may be called from any thread; one look is made at a time."""

    def __init__(
        self,
        place: Place,
        folder: Path,
        *,
        signers: Path | None = None,
        cache: Path | None = None,
        clock: Callable[[], float] = time.time,
        patience: float = 300.0,
    ) -> None:
        """`folder`: the controller's state folder. `signers`: a list of signers on this machine, which then decides instead of
        the fleet's own. `cache`: where sources are fetched to; default: the user's cache folder. `patience`: seconds after
        which a look says that it is still waiting."""
        self._place = place
        self._memory = Memory(folder)
        self._signers = signers
        self._clock = clock
        self._patience = patience
        self._cancelled = threading.Event()
        self._fleets = Fleets(self._cancelled, cache)
        self._turn = threading.Lock()
        self._work: _Work | None = None
        self._told: tuple[FollowProblem, ...] = ()
        """The problems of the last look."""
        self._anew = False
        self._force: _Force | None = None
        self._clone: Clone | None = None
        self._newest: str | None = None
        self._read: float | None = None
        self._refused: tuple[tuple[object, ...], FollowProblem] | None = None
        """The last commit that was refused for a reason that lies in it, and in view of what."""
        self._distances: dict[tuple[str, str], int | None] = {}

    def look(self) -> Followed:
        """Asks the place, and the sources of the projects. Blocks; to be called in a thread. Never raises for what git,
        servers, files or people can do; what stands in the way is among the problems."""
        with self._turn:
            if self._cancelled.is_set():
                return self._now(self._told)
            # libgit2 cannot be woken where it waits for a server. So a look has a thread of its own, which may be left behind;
            # the next one goes on waiting for it.
            work = self._work = self._work or _Work(self._look)
            if self._cancelled.is_set():  # in between
                work.done.set()
            if not work.done.wait(self._patience):
                return self._now((*self._told, self._waiting_for(work)))
            if self._cancelled.is_set() and not work.answers:
                return self._now(self._told)
            self._work = None
            answer = work.answers[0]
            if isinstance(answer, BaseException):
                raise answer
            self._told = answer.problems
            return answer

    def _waiting_for(self, work: _Work) -> FollowProblem:
        minutes = (time.monotonic() - work.began) / 60
        message = f"the look at {self._place.url} and its projects has been under way for {minutes:.0f} min: a server is slow"
        return FollowProblem("unreachable", "", message, "it goes on; see which server answers slowly, or not at all")

    def reload(self) -> None:
        """The next look opens secrets with the keys that are there then, and holds on to nothing that was cached."""
        self._anew = True

    def cancel(self) -> None:
        """Ends the transfers that are under way, and the look that waits for them: for the end of the loop. From now on a look
        says at once what is in force, and asks nobody."""
        self._cancelled.set()
        if (work := self._work) is not None:
            work.done.set()

    def behind(self, commit: str) -> int | None:
        """How many commits of the fleet lie between `commit` and the one in force; None where that is not known."""
        force, clone = self._force, self._clone
        if force is None or clone is None:
            return None
        key = (commit, force.commit)
        if key not in self._distances:
            self._distances = {pair: known for pair, known in self._distances.items() if pair[1] == force.commit}
            self._distances[key] = _distance(clone, *key)
        return self._distances[key]

    def _look(self) -> Followed:
        look = _Look()
        self._fleets.refresh()
        self._ask(look)
        if self._anew:
            self._begin_anew(look)
        if look.newest is not None and look.newest.commit != (self._force.commit if self._force else self._good()):
            self._consider(look, look.newest)
        if self._force is None:
            self._resume(look)
        elif not look.brought:
            self._bring(look, self._force)
        self._tell_memory(look)
        return self._now(look.problems)

    def _good(self) -> str | None:
        """The commit in force, or the one that was when the loop last ran."""
        return self._force.commit if self._force else self._memory.of(self._place.key).good

    def _sources(self) -> Sources:
        return self._fleets.sources(self._force.loaded.fleet.known_hosts if self._force else "")

    def _ask(self, look: _Look) -> None:
        try:
            look.newest = self._place.ask(self._sources)
        except PlaceProblem as problem:
            look.tell(problem.kind, str(problem), problem.hint)
            return
        self._clone = look.newest.clone
        self._newest = look.newest.commit
        self._read = self._clock()
        self._memory.saw(self._place.key, look.newest.commit)

    def _begin_anew(self, look: _Look) -> None:
        """What is in force stays so, loaded again."""
        self._anew = False
        self._fleets.forget()
        self._refused = None
        if self._force is not None and self._clone is not None:
            with look.telling(self._force.commit):
                self._put_in_force(look, self._fleets.load(self._clone, self._force.commit))

    def _consider(self, look: _Look, newest: Newest) -> None:
        """Puts the newest commit in force, or tells why not."""
        good, accepted = self._good(), self._memory.accepted()
        view = (good, newest.commit, accepted, int(self._clock() // _AGAIN), _stamp(self._signers))
        if self._refused is not None and self._refused[0] == view:
            look.problems.append(self._refused[1])
            return
        self._refused = None
        with look.telling(newest.commit):
            doubt = self._guard(newest.clone).doubt(good, newest.commit, accepted)
            if doubt is not None:
                look.tell(doubt.kind, doubt.message, doubt.hint, commit=newest.commit, lasting=True)
            else:
                self._put_in_force(look, self._fleets.load(newest.clone, newest.commit))
                self._memory.used(tuple(one for one in accepted if _part_of(newest, one)))
        if look.lasting is not None:
            self._refused = (view, look.lasting)

    def _guard(self, clone: Clone) -> Guard:
        outside = outside_signers(self._signers) if self._signers is not None else None
        where = (
            "" if self._memory.folder == state_folder() else f"--state {shlex.quote(visible(str(self._memory.folder), 500))} "
        )
        walk = Walk(clone.repository, clone.inside, outside, self._clock(), self._cancelled)
        return Guard(clone, walk, f"reconcile accept {where}".rstrip())

    def _resume(self, look: _Look) -> None:
        """After a restart beside a commit that cannot be used, or beside a place that does not answer: the last good one."""
        good = self._good()
        if good is None:
            return
        with look.telling(good):
            self._clone = look.newest.clone if look.newest else self._place.clone(self._sources)
            if has(self._clone.repository, good):
                self._put_in_force(look, self._fleets.load(self._clone, good))
            elif look.newest is None:
                look.tell("unreachable", f"the last good commit, {good[:10]}, is not in the cache any more", commit=good)

    def _put_in_force(self, look: _Look, loaded: Loaded) -> None:
        fleet = self._fleets.deploy(loaded, self._force.fleet if self._force else None)
        self._force = _Force(loaded, fleet)
        self._memory.put_in_force(self._place.key, loaded.commit)
        look.brought = True
        self._tell_projects(look, fleet)

    def _bring(self, look: _Look, force: _Force) -> None:
        """Asks the projects of what is in force again."""
        self._force = force
        with look.telling(force.commit):
            self._force = _Force(force.loaded, self._fleets.deploy(force.loaded, force.fleet))
        self._tell_projects(look, self._force.fleet)

    def _tell_projects(self, look: _Look, fleet: Fleet) -> None:
        for name, blocked in fleet.blocked.items():
            look.tell("project", str(blocked), blocked.hint, subject=name)
        for name, deployed in fleet.deployed.items():
            if deployed.kept is not None:
                hint = "it is asked again at the next look"
                look.tell("project", deployed.kept, hint, subject=name, commit=deployed.commit)

    def _tell_memory(self, look: _Look) -> None:
        if self._memory.trouble:
            self._memory.write()
        for told in (self._memory.notice, self._memory.trouble):
            if told:
                look.tell("memory", told, "look at the folder: its rights, and the room on the disk")
        self._memory.notice = ""

    def _now(self, problems: Sequence[FollowProblem]) -> Followed:
        force = self._force
        return Followed(
            fleet=force.fleet if force else None,
            commit=force.commit if force else None,
            subject=force.loaded.subject if force else "",
            newest=self._newest,
            url=self._place.url,
            branch=self._place.branch,
            read=self._read,
            problems=tuple(problems),
        )


def _part_of(newest: Newest, commit: str) -> bool:
    repository = newest.clone.repository
    return has(repository, commit) and grew(repository, commit, newest.commit)


def _distance(clone: Clone, commit: str, to: str) -> int | None:
    try:
        found = between(clone.repository, commit, to, _FAR) if has(clone.repository, commit) else None
    except RepositoryError:
        return None
    return None if found is None else len(found)


def _stamp(file: Path | None) -> int:
    """Changes when the file does."""
    try:
        return file.stat().st_mtime_ns if file is not None else 0
    except OSError:
        return -1
