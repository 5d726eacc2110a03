"""`--push`: gives one branch of the fleet to the remote that it belongs to, as `git push` would, without forcing anything.

The conversation is that of `sources/remote.py`: the host key is checked, and a login goes to nobody else. Only ssh and folders
of this machine are pushed to: for https git keeps passwords in helper programs, and we run none of those. Called by
`reconciler/cli/editing.py`.
"""

from __future__ import annotations

import os

from desired.git import Repository
from desired.model import RepositoryError
from desired.sources.model import SourceProblem, Wanted
from desired.sources.remote import Damaged, Remote, Rules, prepare
from desired.sources.url import Location, parse_location
from desired.text import visible

_KEPT = "the commit is made, and not pushed"


def push(repo: Repository, branch: str, known_hosts: str = "") -> str:
    """Pushes `branch`; the name of the remote. `known_hosts`: the fleet's pinned keys, which count beside the operator's own.
    `RepositoryError` says why not, and what to do."""
    name, target = _destination(repo, branch)
    by_hand = f"when that is settled: git push {visible(name)} {visible(branch)}"
    try:
        remote = repo.remotes[name]
    except (KeyError, ValueError) as error:
        hint = f"add one: git remote add {visible(name)} URL; then: git push {visible(name)} {visible(branch)}"
        raise RepositoryError(f"{_KEPT}: there is no remote {visible(name)}", hint) from error
    try:
        location = _location(repo, remote.push_url or remote.url or "")
        if location.transport not in ("ssh", "path"):
            raise SourceProblem("refused", "git keeps passwords for https in programs of its own, which are not run from here")
        prepare(None)
        wanted = Wanted("the fleet", location.url, branch)
        Remote(repo, location, wanted, Rules(fleet_hosts=known_hosts)).push(f"refs/heads/{branch}:{target}")
    except SourceProblem as problem:
        if "has commits that ours lacks" in str(problem):
            by_hand = f"bring them in (git pull --rebase), look at the result, then: git push {visible(name)} {visible(branch)}"
        raise RepositoryError(f"{_KEPT}: {problem}", by_hand) from problem
    except Damaged as error:
        raise RepositoryError(f"{_KEPT}: {visible(str(error), 200)}", by_hand) from error
    return name


def _location(repo: Repository, url: str) -> Location:
    """Of a remote as git writes it: a folder may be named from the working tree, or as file://."""
    if url.startswith(("./", "../")):
        url = os.path.normpath(f"{repo.workdir or repo.path}/{url}")
    return parse_location(url.removeprefix("file://") if url.startswith("file:///") else url)


def _destination(repo: Repository, branch: str) -> tuple[str, str]:
    """Remote and reference, as git's configuration says; `origin` and the same name where it says nothing."""
    keys = (f"branch.{branch}.pushremote", "remote.pushdefault", f"branch.{branch}.remote", f"branch.{branch}.merge")
    said = {key: repo.config[key] for key in keys if key in repo.config}
    push_remote, default, remote, merge = (said.get(key) for key in keys)
    names = [one.name for one in repo.remotes if one.name]
    chosen = push_remote or default or remote or (names[0] if len(names) == 1 else "origin")
    return chosen, merge if merge and chosen == remote else f"refs/heads/{branch}"
