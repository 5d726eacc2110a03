"""Exit codes, and the errors that end a command with one of them.

CommandError                a sentence for the person at the terminal; never a traceback
├── Refused                 a guard said no: deletion budget, policy
├── Stale                   the plan is not true any more
└── (desired.model.Invalid) the repository's own diagnostics, exit code 1
"""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What `apply` and `run --once` tell their caller. `plan` without `--detailed-exitcode` ends with OK or INVALID."""

    OK = 0
    INVALID = 1
    CHANGES = 2
    FAILED = 3
    UNREACHABLE = 4
    REFUSED = 5
    STALE = 6
    ROLLED_BACK = 7


class CommandError(Exception):
    """`str` says what, where and why; `hint` says what to do."""

    code = Exit.INVALID

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Refused(CommandError):
    code = Exit.REFUSED


class Stale(CommandError):
    code = Exit.STALE
