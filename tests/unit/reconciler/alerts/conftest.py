"""An inbox on loopback for what Apprise sends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.reconciler.alerts.inbox import Inbox, open_inbox


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with open_inbox() as box:
        yield box
