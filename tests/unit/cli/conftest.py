"""The whole command line in this process: real commands on a real repository, for this machine in a folder of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fleet import Fleet
from tests.unit.cli.console import Console


@pytest.fixture
def console(fleet: Fleet) -> Console:
    """`reconcile` without a terminal, for the repository of `fleet`."""
    return Console(fleet)


@pytest.fixture
def sandbox(tmp_path: Path) -> Path:
    """The folder that stands for the host's file system."""
    folder = tmp_path / "host"
    folder.mkdir()
    return folder
