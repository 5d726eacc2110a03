"""A fleet that is followed, in a home of its own: nothing of the developer's keys, agent or caches has a say."""

from __future__ import annotations

from pathlib import Path

import pytest

from providers import secret as secrets
from tests.fleet import Fleet
from tests.unit.reconciler.following.followed import Controller


@pytest.fixture(autouse=True)
def own_home(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(fleet.home))
    for name in ("SSH_AUTH_SOCK", "XDG_CACHE_HOME", "XDG_STATE_HOME", "STATE_DIRECTORY", "RECONCILER_GIT_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(secrets, "_known", {})


@pytest.fixture
def controller(fleet: Fleet, tmp_path: Path) -> Controller:
    return Controller(fleet, tmp_path / "state", tmp_path / "cache")
