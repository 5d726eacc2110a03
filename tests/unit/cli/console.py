"""Runs commands as the console script does, with streams that are no terminals, and keeps what came out."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.cli.entry import run
from reconciler.cli.screen import Screen
from tests.fleet import Fleet, Result

UNREACHABLE = "address: root@127.0.0.1:1\n"
"""Nothing listens there."""


@dataclass(frozen=True, slots=True)
class Console:
    fleet: Fleet

    def __call__(self, *arguments: str, folder: Path | None = None) -> Result:
        screen = Screen(io.StringIO(), io.StringIO(), io.StringIO())
        command = ["-C", str(folder or self.fleet.root), *arguments]
        code = run(command, screen)
        return Result(("reconcile", *command), code, text_of(screen.out), text_of(screen.err))

    def json(self, *arguments: str) -> Any:
        return self(*arguments, "--json").json()


def text_of(stream: Any) -> str:
    text: str = stream.getvalue()
    return text


def host_file(sandbox: Path, rest: str, head: str = "") -> str:
    """A manifest of this machine; `@` in it stands for the sandbox."""
    return f"address: local\ninventory: {sandbox}/inventory\n{head}{rest}".replace("@", f"{sandbox}")
