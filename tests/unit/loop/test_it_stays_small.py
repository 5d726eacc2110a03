"""The loop as people leave it running for years: what does not change costs no parsing, no memory and no history.

Twenty hosts that are real SSH servers (`bench/simulated.py`), each visited as fast as it answers; `bench/looping.py` does the
same for longer, with more of them and by the clock.
"""

from __future__ import annotations

import gc
import sqlite3
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.simulated import Simulated, fleet_files
from desired.git import commit_source, open_repository
from desired.load import load
from reconciler.fleet_run import FleetRun
from reconciler.history.store import History
from reconciler.loop.places import LocalPlace
from reconciler.loop.service import Options, Service
from reconciler.serve.settings import Settings
from state import snapshot
from tests.fleet import Fleet

HOSTS, CYCLES = 20, 60
GROWN = 32
"""KiB by which memory may grow over the second half: no more than noise, and less than a byte per cycle and resource."""


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[Simulated]:
    with Simulated(tmp_path / "crowd", HOSTS) as crowd:
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


async def test_hosts_that_do_not_change_cost_no_parsing_no_memory_and_no_history(
    town: Fleet, crowd: Simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: Counter[str] = Counter()
    parse = snapshot.read_answers

    def counted(*arguments: Any) -> Any:
        parsed["kinds"] += 1
        return parse(*arguments)

    monkeypatch.setattr(snapshot, "read_answers", counted)
    history = History.open(tmp_path / "state", now=time.time())
    service = Service.make(Options(LocalPlace(town.root), tmp_path / "state", Settings(listen=None), alerts=False), history)
    try:
        await service.loop.look()
        for _ in range(5):
            await visit_all(service)
        known, asked, remembered = Counter(parsed), crowd.counted(), rows(tmp_path / "state")
        assert known, "nothing was parsed at the beginning, so the counting is broken"

        tracemalloc.start()
        sizes = []
        for cycle in range(CYCLES):
            await visit_all(service)
            if cycle in (CYCLES // 2 - 1, CYCLES - 1):
                gc.collect()
                sizes.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()

        assert parsed == known
        assert {name: counted.scripts - asked[name].scripts for name, counted in crowd.counted().items()} == dict.fromkeys(
            asked, CYCLES
        ), "a quiet cycle is one script"
        assert (sizes[1] - sizes[0]) / 1024 < GROWN
    finally:
        await service.loop.close()
        history.close()
    assert rows(tmp_path / "state") == remembered


def rows(state: Path) -> int:
    """Cycles in the history."""
    database = sqlite3.connect(f"file:{state / 'history.db'}?mode=ro", uri=True)
    found: int = database.execute("SELECT count(*) FROM cycles").fetchone()[0]
    database.close()
    return found


async def test_an_answer_is_given_again_only_as_long_as_nothing_on_the_host_has_changed(town: Fleet, crowd: Simulated) -> None:
    """Else all that is measured against such hosts would be worth nothing."""
    before = crowd.counted()["sim001"]
    fleet = load(commit_source(open_repository(town.root)))
    async with FleetRun(fleet, [fleet.hosts["sim001"]]) as run:
        await run.survey()
        await run.converge(exact=False)
        for _ in range(4):
            assert not (await run.survey()).changes
        asked = crowd.counted()["sim001"]
        assert asked.scripts - before.scripts > asked.shells - before.shells
        crowd.tell("drift", ["sim001"], file="srv/file3", content="by hand\n")
        changed = await run.survey()
        assert [action.ref for host in changed.hosts for action in host.actions] == [
            f"file:{crowd.hosts['sim001']['folder']}/srv/file3"
        ]
        Path(crowd.hosts["sim001"]["folder"], "srv/file4").chmod(0o600)
        assert (await run.survey()).changes == 2
        await run.converge(exact=False)
        assert not (await run.survey()).changes
