"""The loop as people leave it running for years: what does not change costs no parsing, no memory and no history.

Twenty hosts that are real SSH servers (`bench/simulated.py`), each visited as fast as it answers; `bench/looping.py` does the same for
longer, with more of them and by the clock.
"""

from __future__ import annotations

import gc
import sqlite3
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.simulated import Simulated, fleet_files
from reconciler.history.store import History
from reconciler.loop.places import LocalPlace
from reconciler.loop.service import Options, Service
from reconciler.serve.settings import Settings
from state import snapshot
from tests.fleet import Fleet

HOSTS, CYCLES = 20, 60
GROWN = 64
"""KiB by which memory may grow over the second half: no more than noise, and less than a byte per cycle and resource."""


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulated]:
    with Simulated(tmp_path_factory.mktemp("crowd") / "hosts", HOSTS) as crowd:
        yield crowd


@pytest.fixture
def town(crowd: Simulated, fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """A fleet of the crowd, and an operator who can log in there."""
    monkeypatch.setenv("HOME", str(fleet.home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    fleet.add_key(crowd.key)
    fleet.commit(fleet_files(crowd, 10))
    return fleet


async def visit_all(service: Service) -> None:
    for name in service.loop.fleet.hosts:
        service.loop.visit(name)
    await service.loop.idle()
    service.desk.ticked(time.time())
