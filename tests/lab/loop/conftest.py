"""Hosts for the loop to look after, a fleet whose operator can reach them, and a room to which it speaks."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet import Fleet
from tests.lab.hosts import Flavour, Pool
from tests.lab.loop.controller import Controller
from tests.lab.loop.room import Room

# Hosts that can be cut off from within.
LOOP = Flavour("reconciler-loop", "127.0.6", packages="iptables", folder="loop")


@pytest.fixture(scope="session")
def pool(pool: Pool) -> Pool:
    """As many as there are plain hosts; whether there is an engine to make any is for the plain pool to say."""
    return Pool(pool.size, LOOP)


@pytest.fixture
def controller(fleet: Fleet, tmp_path: Path) -> Iterator[Controller]:
    """The loop, not yet started."""
    with Controller(fleet, tmp_path / "state") as controller:
        yield controller
        sys.stdout.write(controller.tail)  # shown where a test fails


@pytest.fixture
def room() -> Iterator[Room]:
    with Room() as room:
        yield room
