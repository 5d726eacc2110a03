"""A secret in an editor: a file of its own in a folder of its own, in memory where there is a place for that, gone afterwards.

Editors leave copies beside the file (swap files, backups): they lie in the same folder and go with it. What an editor keeps
elsewhere (an undo history in the home) is its user's choice.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click

from desired.secrets.names import VALUE_LIMIT
from desired.text import visible
from reconciler.errors import CommandError

PREFIX = "reconcile-secret-"
_ENDINGS = (signal.SIGTERM, signal.SIGHUP)


def edit_value(value: bytes, title: str, environment: Mapping[str, str] = os.environ) -> bytes:
    """What the editor leaves of `value`. `title` is the file's name, by which editors choose their colours."""
    command = _editor(environment)
    with _ending_in_order(), _private_folder(environment) as folder:
        file = folder / title
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(value)
        _run([*command, str(file)])
        return _read(file)


def _editor(environment: Mapping[str, str]) -> list[str]:
    named = environment.get("VISUAL") or environment.get("EDITOR") or "vi"
    try:
        command = shlex.split(named)
    except ValueError as error:
        raise CommandError(
            f"EDITOR cannot be understood: {visible(named, 100)}", "set it to a command, as in EDITOR=nano"
        ) from error
    if not command or shutil.which(command[0]) is None:
        raise CommandError(
            f"there is no editor {visible(named, 100)}", "set EDITOR to one that is installed, as in EDITOR=nano"
        )
    return command


def _run(command: list[str]) -> None:
    process = subprocess.Popen(command)
    try:
        status = process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    if status != 0:
        raise CommandError(f"the editor ended with status {status}; nothing was written")


def _read(file: Path) -> bytes:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise CommandError("the editor left no file; nothing was written") from None
    with os.fdopen(descriptor, "rb") as stream:
        value = stream.read(VALUE_LIMIT + 1)
    if len(value) > VALUE_LIMIT:
        raise CommandError(f"the value is longer than {VALUE_LIMIT >> 20} MiB; nothing was written")
    return value


@contextmanager
def _private_folder(environment: Mapping[str, str]) -> Iterator[Path]:
    """Ours alone, and removed with all that is in it."""
    place = next((path for path in _in_memory(environment) if os.access(path, os.W_OK | os.X_OK) and path.is_dir()), None)
    if place is not None:
        _sweep(place)
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=place))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _in_memory(environment: Mapping[str, str]) -> Iterator[Path]:
    if environment.get("XDG_RUNTIME_DIR"):
        yield Path(environment["XDG_RUNTIME_DIR"])
    yield Path("/dev/shm")  # noqa: S108 a folder of our own is made in it


def _sweep(place: Path) -> None:
    """Removes what a run that was killed outright has left."""
    for folder in place.glob(f"{PREFIX}*-*"):
        number = folder.name.removeprefix(PREFIX).partition("-")[0]
        status = folder.lstat()
        if number.isdecimal() and not Path("/proc", number).exists() and status.st_uid == os.getuid():
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """While an editor runs, Ctrl-C is for the editor; a signal that ends us still lets us clear up."""

    def end(number: int, frame: FrameType | None) -> None:
        raise click.exceptions.Exit(128 + number)

    def ignore(number: int, frame: FrameType | None) -> None:
        """A handler, because a signal that is ignored would be ignored by the editor as well."""

    before = {number: signal.signal(number, end) for number in _ENDINGS} | {signal.SIGINT: signal.signal(signal.SIGINT, ignore)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
