"""What all tests share: patient property tests, and a fleet repository made on the spot (`fleet`)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.fleet import Fleet

# Machines differ in speed and are shared: a slow example is no fault. What failed is printed so that it can be run again.
# Every run draws other examples, so that few of them will do; RECONCILER_EXAMPLES asks for more at once.
settings.register_profile(
    "reconciler",
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=int(os.environ.get("RECONCILER_EXAMPLES", "40")),
)
settings.load_profile("reconciler")


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """An empty fleet repository, and the installed `reconcile` to run on it in a home of its own."""
    return Fleet.create(tmp_path)
