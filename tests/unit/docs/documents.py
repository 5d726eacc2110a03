"""The documents as a reader would follow them: their files are written, their commands run, their output compared.

    ```yaml         whose first line is `# hosts/server.yaml`: the block is written to this file
    ```sh           commands, one per line; each has to succeed
    ```console      `$ command`, and below it what a terminal shows

In shown output a line `[…]` stands for any lines, and commit ids, keys and versions of packages for any others. Used by the
tests beside this file, and in the lab for what needs a real host.
"""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.fleet import Fleet, reconcile_command

ROOT = Path(__file__).parents[3]
ANYTHING = "[…]"
PATIENCE = 300

_BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# (?P<path>[\w./-]+\.yaml)\b.*\n")
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")
_PROGRESS = re.compile(r"\S+ \d+/\d+ [✓✗·] .*\n")
"""On a good terminal progress is drawn over itself, and nothing of it is left in the end."""
_MOVING = {
    re.compile(r"SHA256:[A-Za-z0-9+/]{43}"): "SHA256:…",
    re.compile(r"ssh-ed25519 AAAA[A-Za-z0-9+/=…]+"): "ssh-ed25519 AAAA…",
    re.compile(r"\b[0-9a-f]{10}\b"): "COMMIT",
    re.compile(r"(?<=version )\S+"): "VERSION",
    re.compile(r"(?<= \()[0-9]\S*(?=\))"): "VERSION",
}


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block. `line` is the first line of its text in the document."""

    document: str
    line: int
    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The file that the block shows."""
        match = _FILE.match(self.text)
        return match["path"] if match and self.language == "yaml" else None

    @property
    def commands(self) -> list[tuple[str, str]]:
        """Commands with the output that is shown below them."""
        if self.language == "sh":
            return [(line, "") for line in self.text.splitlines() if line]
        parts = re.split(r"^\$ ", self.text, flags=re.MULTILINE)
        assert not parts[0], f"{self}: a console block begins with a command"
        return [(command, shown) for command, _, shown in (part.partition("\n") for part in parts[1:])]

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def blocks(document: str) -> Iterator[Block]:
    text = (ROOT / document).read_text()
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("text")) + 1
        yield Block(document, line, match["language"], match["text"])


def steady(text: str) -> str:
    """`text` without what differs from run to run."""
    for moving, word in _MOVING.items():
        text = moving.sub(word, text)
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())


def agrees(shown: str, real: str) -> bool:
    """Whether a document's output is what was really printed."""
    pattern = re.escape(steady(shown))
    gap = re.escape(ANYTHING)
    pattern = pattern.replace(f"{gap}\\\n", r"(?:.*\n)*?").replace(f"\\\n{gap}", r"(?:\n.*)*")
    return re.fullmatch(pattern, steady(real)) is not None


@dataclass(slots=True)
class Reader:
    """Somebody with a copy of this project and a home, who follows a document in a terminal and says yes when asked."""

    home: Path
    environment: dict[str, str]
    where: Path = field(init=False)

    @classmethod
    def of(cls, fleet: Fleet, *, more: Mapping[str, str] | None = None) -> Self:
        """The operator of `fleet`, with `reconcile` installed, in the folder of the copy. `more` goes into the environment."""
        terminal = {"TERM": "dumb", "COLUMNS": "100", "GIT_PAGER": "cat", "MAKEFLAGS": "--dry-run"}
        reader = cls(fleet.home, {**fleet.environment, **terminal, **(more or {})})
        reader.environment["PATH"] = f"{reader.programs}:{os.environ['PATH']}"
        reader.programs.mkdir(parents=True)
        (reader.programs / "reconcile").symlink_to(reconcile_command())
        reader.where = fleet.home / "reconciler"
        shutil.copytree(ROOT, reader.where, ignore=shutil.ignore_patterns(".*", "__pycache__", "dist"), symlinks=True)
        return reader

    @property
    def programs(self) -> Path:
        return self.home / ".local" / "bin"

    def follow(self, document: str, *, leave_out: tuple[str, ...] = ()) -> None:
        """All blocks of the document, but no command that begins with one of the words in `leave_out`."""
        for block in blocks(document):
            if block.file:
                path = self.where / block.file
                path.parent.mkdir(exist_ok=True)
                path.write_text(block.text)
            elif block.language in {"sh", "console"}:
                self._do(block, leave_out)

    def _do(self, block: Block, leave_out: tuple[str, ...]) -> None:
        for command, shown in block.commands:
            if command.startswith(leave_out):
                continue
            status, out = self.type(command)
            if block.language == "sh":
                assert status == 0, f"{block}: {command}\nended with status {status}\n{out}"
            else:
                assert agrees(shown, out), f"{block}: $ {command}\n{out}\n--- but the document shows\n{shown}"

    def type(self, command: str) -> tuple[int, str]:
        """Exit status, and what is left on the screen."""
        after = self.home / "where"
        script = f"set -e\n{command}\npwd >{shlex.quote(str(after))}\n"
        status, out = in_a_terminal(["bash", "-c", script], self.where, self.environment)
        if status == 0:
            self.where = Path(after.read_text().strip())
        return status, _PROGRESS.sub("", out)


def in_a_terminal(command: list[str], folder: Path, environment: Mapping[str, str]) -> tuple[int, str]:
    """Runs a command on a pseudo-terminal and answers its questions."""
    screen, inside = pty.openpty()
    process = subprocess.Popen(
        command, cwd=folder, env=dict(environment), stdin=inside, stdout=inside, stderr=inside, start_new_session=True
    )
    os.close(inside)
    raw, answered, end = b"", 0, time.monotonic() + PATIENCE
    try:
        while piece := _read(screen, end):
            raw += piece
            if raw.count(b"[y/N] ") > answered:
                answered += 1
                os.write(screen, b"y\n")
        return process.wait(30), _CONTROL.sub("", raw.decode())
    finally:
        process.kill()
        process.wait()
        os.close(screen)


def _read(screen: int, end: float) -> bytes:
    if not select.select([screen], [], [], max(0.0, end - time.monotonic()))[0]:
        raise TimeoutError(f"no word for {PATIENCE} s")
    try:
        return os.read(screen, 65536)
    except OSError:  # the last process on the other side is gone
        return b""
