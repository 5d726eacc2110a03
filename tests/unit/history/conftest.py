from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.history.store import History
from tests.unit.history.happened import NOON

Opens = Callable[[], History]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def opened(state: Path) -> Iterator[Opens]:
    """Opens the history of `state`, which tries again soon after trouble; all that were opened are closed in the end."""
    known: list[History] = []

    def begin() -> History:
        for earlier in known:
            earlier.close()
        known.append(History.open(state, now=NOON, pause=0.05))
        return known[-1]

    yield begin
    for history in known:
        history.close()


@pytest.fixture
def history(opened: Opens) -> History:
    return opened()
