"""Lab tests: the installed `reconcile` against real hosts.

Without a Docker engine they are skipped and say so. With RECONCILER_LAB_REQUIRED=1 (in CI) that is a failure.
RECONCILER_LAB_HOSTS is the number of hosts that tests may use at a time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet import Fleet
from tests.lab.hosts import LabHost, NoEngine, Pool, connect


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker("lab")


@pytest.fixture(scope="session")
def pool() -> Pool:
    try:
        return Pool(int(os.environ.get("RECONCILER_LAB_HOSTS", "4")))
    except NoEngine as error:
        if os.environ.get("RECONCILER_LAB_REQUIRED") == "1":
            raise
        pytest.skip(str(error))


@pytest.fixture
def host(pool: Pool) -> Iterator[LabHost]:
    """One fresh host."""
    with pool.take() as (host,):
        yield host


@pytest.fixture
def hosts(pool: Pool) -> Iterator[list[LabHost]]:
    """Three fresh hosts."""
    with pool.take(3) as hosts:
        yield hosts


@pytest.fixture
def fleet(fleet: Fleet, pool: Pool) -> Fleet:
    """A fleet repository whose operator can reach the lab's hosts; nothing is committed yet."""
    connect(fleet, pool)
    return fleet
