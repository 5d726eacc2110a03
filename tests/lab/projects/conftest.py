"""Hosts that run applications, and a fleet whose operator can reach them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fleet import Fleet
from tests.lab.hosts import DOCKER, LabHost, Pool, connect


@pytest.fixture(scope="session")
def docker_pool(pool: Pool) -> Pool:
    """As many as there are plain hosts; whether there is an engine to make any is for the plain pool to say."""
    return Pool(pool.size, DOCKER)


@pytest.fixture
def docker_host(docker_pool: Pool) -> Iterator[LabHost]:
    """One fresh host with a Docker engine that answers."""
    with docker_pool.take() as (host,):
        host.wait("docker info >/dev/null")
        yield host


@pytest.fixture
def docker_hosts(docker_pool: Pool) -> Iterator[list[LabHost]]:
    """Three of them."""
    with docker_pool.take(3) as hosts:
        for host in hosts:
            host.wait("docker info >/dev/null")
        yield hosts


@pytest.fixture
def docker_fleet(tmp_path_factory: pytest.TempPathFactory, docker_pool: Pool) -> Fleet:
    """A fleet repository whose operator can reach the hosts with Docker engines; nothing is committed yet."""
    fleet = Fleet.create(tmp_path_factory.mktemp("fleet"))
    connect(fleet, docker_pool)
    return fleet
