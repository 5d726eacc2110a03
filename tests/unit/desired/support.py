"""Loads a fleet repository as every command does: from a commit, through pygit2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import pytest

from desired.git import commit_source, open_repository
from desired.load import Cache, load
from desired.model import Fleet as Desired
from desired.model import Invalid
from tests.fleet import Fleet

Files: TypeAlias = Mapping[str, str | bytes | None]
HOST = "address: root@web.lan\n"
ENCRYPTED = b"age-encryption.org/v1\n-> X25519 nobody\n"
"""What loading takes for an encrypted file: it opens none."""


def loaded(fleet: Fleet, files: Files, cache: Cache | None = None) -> Desired:
    """What a commit of `files` (and a fleet.yaml) asks for."""
    fleet.commit({"fleet.yaml": "", **files})
    return load(commit_source(open_repository(fleet.root)), cache=cache)


def mistakes(fleet: Fleet, files: Files) -> list[str]:
    """All that is wrong with a commit of `files`, as it would be printed."""
    with pytest.raises(Invalid) as caught:
        loaded(fleet, files)
    return [str(diagnostic) for diagnostic in caught.value.diagnostics]


def mistake(fleet: Fleet, files: Files) -> str:
    """The one thing that is wrong with a commit of `files`."""
    found = mistakes(fleet, files)
    assert len(found) == 1, found
    return found[0]
