from __future__ import annotations

from pathlib import Path

import pytest

from tests.fleet import Fleet
from tests.unit.reconciler.loop.boxes import Boxes


@pytest.fixture
def boxes(fleet: Fleet, tmp_path: Path) -> Boxes:
    """Hosts that are folders of this machine."""
    return Boxes(fleet, tmp_path / "boxes")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The controller's own folder."""
    folder = tmp_path / "state"
    folder.mkdir()
    return folder
