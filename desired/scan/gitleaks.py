"""Asks gitleaks as well, where it is installed on the controller: a second opinion on new contents. Used by `scanner.py`.

It sees nothing but copies in a private folder, many contents in one file (it is slow at opening files), so that no setting of
the repository (`.gitleaks.toml`, `.gitleaksignore`) has a say. It is told to blacken what it finds, and of its report only
place and rule are read. Dropped is what is plainly a placeholder, what begins in one content and ends in another, and what its
rule for keys of any kind finds, which takes every digest for one: we have our own.
"""

from __future__ import annotations

import bisect
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from desired.scan.rules import placeholder

KeyT = TypeVar("KeyT")
DEADLINE = 300
"""Seconds for one run."""
_CARELESS = ("generic-api-key",)
_PACK = 1 << 20
_TITLE = b"# contents\n"
"""So that no file begins like a picture or an archive, which gitleaks would leave out."""


@dataclass(frozen=True, slots=True)
class Gitleaks:
    """The program, and what stands for its version."""

    program: str
    version: str

    @classmethod
    def installed(cls) -> Gitleaks | None:
        """The one on the PATH, told from others by its size and time: asking it for its version takes longer than a scan."""
        program = shutil.which("gitleaks")
        if program is None:
            return None
        try:
            status = Path(program).stat()
        except OSError:
            return None
        return cls(program, f"{status.st_size:x}-{status.st_mtime_ns:x}")

    @contextlib.contextmanager
    def batch(self) -> Iterator[Batch[Any]]:
        with tempfile.TemporaryDirectory(prefix="reconcile-scan-", ignore_cleanup_errors=True) as folder:
            yield Batch(self.program, Path(folder))


class Batch(Generic[KeyT]):
    """Contents to look at in one run."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program = program
        self._files = folder / "files"
        self._files.mkdir()
        self._report = folder / "report.json"
        self._packs: list[list[tuple[int, KeyT]]] = []
        """Per file, in which line which content begins."""
        self._pack = bytearray()
        self._line = 0

    def add(self, key: KeyT, data: bytes) -> None:
        """What is no text is left out, as gitleaks would."""
        if b"\0" in data:
            return
        if not self._pack or len(self._pack) + len(data) > _PACK:
            self._flush()
            self._packs.append([])
            self._pack += _TITLE
            self._line = 2
        self._packs[-1].append((self._line, key))
        self._pack += data + b"\n\n"
        self._line += data.count(b"\n") + 2

    def _flush(self) -> None:
        if self._pack:
            (self._files / f"{len(self._packs) - 1}.txt").write_bytes(self._pack)
        self._pack.clear()

    def found(self) -> tuple[list[tuple[KeyT, int, str]], str]:
        """Content, line and rule of each finding; and what went wrong, if anything did."""
        self._flush()
        if not self._packs:
            return [], ""
        command = [self._program, "detect", "--no-git", "--source", str(self._files), "--redact", "--no-banner"]
        command += ["--report-format", "json", "--report-path", str(self._report), "--exit-code", "0", "--log-level", "fatal"]
        environment = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
        try:
            done = subprocess.run(
                command,
                cwd=self._files,
                env=environment | {"HOME": str(self._files)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=DEADLINE,
                check=False,
            )
            if done.returncode:
                return [], f"gitleaks could not be asked (exit status {done.returncode}); the built-in rules were"
            return list(self._read(json.loads(self._report.read_bytes()))), ""
        except (OSError, ValueError, RecursionError, subprocess.TimeoutExpired) as error:
            return [], f"gitleaks could not be asked ({type(error).__name__}); the built-in rules were"

    def _read(self, report: Any) -> Iterator[tuple[KeyT, int, str]]:
        texts: dict[str, list[bytes]] = {}
        for one in report if isinstance(report, list) else []:
            if not isinstance(one, dict):
                continue
            name, line, rule = Path(str(one.get("File"))).name, one.get("StartLine"), one.get("RuleID")
            number = name.removesuffix(".txt")
            if not (number.isdecimal() and int(number) < len(self._packs) and isinstance(line, int) and isinstance(rule, str)):
                continue
            starts = self._packs[int(number)]
            at = bisect.bisect_right(starts, line, key=lambda start: start[0]) - 1
            if name not in texts:
                texts[name] = (self._files / name).read_bytes().split(b"\n")
            end = one.get("EndLine")
            if at < 0 or rule in _CARELESS or (at + 1 < len(starts) and isinstance(end, int) and end >= starts[at + 1][0]):
                continue
            if not placeholder(_value(texts[name], line, one)):
                yield starts[at][1], line - starts[at][0] + 1, f"gitleaks:{rule[:60]}"


def _value(lines: list[bytes], line: int, one: dict[str, Any]) -> bytes:
    """What was found, or the beginning of it; versions of gitleaks differ by one in where they begin to count."""
    start, end = one.get("StartColumn"), one.get("EndColumn")
    if one.get("EndLine") != line or not (0 < line <= len(lines) and isinstance(start, int) and isinstance(end, int)):
        return b""
    return lines[line - 1][max(0, start - 2) : end + 1]
