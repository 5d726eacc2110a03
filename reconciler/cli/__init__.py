"""The command line: `reconcile`. `main` is the console script; each command stands in the module of its name.

Commands are imported when they are called, and what they need (asyncssh, pygit2, rich) when they get to it, so that
`--help` answers at once and a plan does not pay for what an apply needs.
"""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """The console script."""
    from reconciler.cli.entry import run
    from reconciler.cli.screen import Screen

    sys.exit(run(sys.argv[1:], Screen.standard()))
