"""Who commits: as git itself would find it, in the environment, the repository's configuration and the user's own.

Everywhere else the user's configuration has no say (`git.py` empties its search paths). Here it is looked up for a moment,
through a repository opened for that alone, so that `include` and `includeIf` mean what they mean to git. Called by
`git_write.py`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Literal, NamedTuple

import pygit2
from pygit2.enums import ConfigLevel

from desired.git import Repository
from desired.model import RepositoryError
from desired.text import visible

Role = Literal["author", "committer"]
_RAW_DATE = re.compile(r"@?(\d{1,12})(?: ([+-])(\d\d)(\d\d))?", re.ASCII)


class Identity(NamedTuple):
    """In the order of libgit2's signature."""

    name: str
    email: str
    time: int
    """Seconds since 1970."""
    offset: int
    """Minutes east of Greenwich."""


def identity_of(repo: Repository, role: Role, environment: Mapping[str, str]) -> Identity:
    """`RepositoryError` where nobody has said who is at work: a commit is never made in an invented name."""
    prefix = f"GIT_{role.upper()}"
    found = {}
    for word in ("name", "email"):
        value = environment.get(f"{prefix}_{word.upper()}") or setting(repo, environment, f"{role}.{word}", f"user.{word}")
        if word == "email":
            value = value or environment.get("EMAIL")
        found[word] = " ".join(re.sub(r"[<>\0-\x1f\x7f]", " ", value or "").split())
    if missing := [word for word in ("name", "email") if not found[word]]:
        raise RepositoryError(
            f"git does not know the {' and the '.join(missing)} to commit with; nothing was changed",
            'say it once: git config --global user.name "…", git config --global user.email "…"',
        )
    return Identity(found["name"], found["email"], *_moment(environment.get(f"{prefix}_DATE", "")))


def _moment(text: str) -> tuple[int, int]:
    """Seconds and offset: now, or what git's own variable says (`@1700000000 +0100`, or ISO 8601)."""
    if not text:
        now = datetime.now().astimezone()
        return int(time.time()), _minutes(now)
    if match := _RAW_DATE.fullmatch(text):
        sign = -1 if match[2] == "-" else 1
        return int(match[1]), sign * (int(match[3] or 0) * 60 + int(match[4] or 0))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        hint = 'write it as "@1700000000 +0100", or as 2026-01-31T12:00:00+01:00, or leave it away'
        raise RepositoryError(f"{visible(text, 60)} is not a date to commit with; nothing was changed", hint) from error
    moment = moment if moment.tzinfo is not None else moment.astimezone()
    return int(moment.timestamp()), _minutes(moment)


def _minutes(moment: datetime) -> int:
    offset = moment.utcoffset()
    return int(offset.total_seconds() // 60) if offset is not None else 0


def setting(repo: Repository, environment: Mapping[str, str], *names: str) -> str | None:
    """The first of `names` that git's configuration knows."""
    with _users_configuration(environment):
        try:
            known: list[pygit2.Config] = [pygit2.Repository(repo.path).config]
            if (file := environment.get("GIT_CONFIG_GLOBAL")) and Path(file).exists():
                known.append(pygit2.Config(file))
            return next((config[name] for name in names for config in known if name in config), None)
        except (pygit2.GitError, OSError, ValueError) as error:
            raise RepositoryError(
                f"git's configuration cannot be read: {visible(str(error), 200)}", "git config --list says where"
            ) from error


@contextmanager
def _users_configuration(environment: Mapping[str, str]) -> Iterator[None]:
    """libgit2 looks where git would. Its search paths belong to the whole process: they are emptied again at once."""
    home = environment.get("HOME", "")
    xdg = environment.get("XDG_CONFIG_HOME") or (f"{home}/.config" if home else "")
    own = not environment.get("GIT_CONFIG_GLOBAL")
    paths = {
        ConfigLevel.SYSTEM: "" if environment.get("GIT_CONFIG_NOSYSTEM") else "/etc",
        ConfigLevel.XDG: f"{xdg}/git" if xdg and own else "",
        ConfigLevel.GLOBAL: home if own else "",
    }
    try:
        for level, path in paths.items():
            pygit2.settings.search_path[level] = path
        yield
    finally:
        for level in paths:
            pygit2.settings.search_path[level] = ""
