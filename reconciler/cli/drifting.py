"""What `reconcile drift` does. Called by `drift.py`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from reconciler.cli.past import history_in, hosts_meant, standstill
from reconciler.cli.screen import Screen
from reconciler.errors import Exit
from reconciler.render import drift as render
from reconciler.render.times import span

MOST = 1000


def show_drift(words: Sequence[str], screen: Screen, *, state: Path | None, ended: bool, detailed: bool, as_json: bool) -> Exit:
    reader = history_in(state)
    now, view = time.time(), reader.view()
    hosts = hosts_meant(words, reader.known()[0], view)
    drifts = reader.drifts(open_only=not ended, hosts=hosts, limit=MOST)
    if as_json:
        screen.document(render.drift_document(drifts, view))
    else:
        screen.show_all(render.drift_lines(drifts, view, now))
    if (still := standstill(view, now)) is not None:
        screen.tell(*render.standstill_lines(span(still)))
    drifted = any(one.ended is None and one.kind == "drift" for one in drifts)
    return Exit.CHANGES if detailed and drifted else Exit.OK
