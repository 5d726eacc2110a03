"""Where the controller keeps what is its own: the last good commit, the history, the lock of the loop."""

from __future__ import annotations

import os
from pathlib import Path


def state_folder() -> Path:
    """$STATE_DIRECTORY under systemd; /var/lib/reconciler for root; else $XDG_STATE_HOME/reconciler, which is
    ~/.local/state/reconciler where nothing else is said."""
    given = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if given.startswith("/"):
        return Path(given)
    if os.geteuid() == 0:
        return Path("/var/lib/reconciler")
    base = os.environ.get("XDG_STATE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".local" / "state") / "reconciler"
