"""The history's file: opened, judged, brought to the newest version, and set aside where it cannot be used.

Called by `store.py` (the writer, alone on the file) and `reader.py`. SQLite before 3.51.3 can damage a WAL file when two
connections write at the same instant, so there is one writer connection in one process, held by a lock of its own, and readers
open the file read-only.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from sqlalchemy import Connection, Engine, StaticPool, create_engine, inspect
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from reconciler.errors import CommandError
from reconciler.history.schema import FIRST, METADATA, MIGRATIONS

NAME = "history.db"
APPLICATION = 0x7265636F
"""Tells a history from another program's database; `file` shows it."""
KEPT_ASIDE = 3
"""How many unusable histories stay beside the new one: a disk that breaks them must not be filled with them."""
UNLIKELY = 1000
"""There is no such version yet: bits fell over."""
JOURNAL_BYTES = 16 << 20
PATIENCE = 5.0
"""Seconds to wait for a reader that holds the file."""
_MAGIC = b"SQLite format 3\0"
_COMPANIONS = ("-wal", "-shm", "-journal")
# The first byte of an SQLite result code is its sort; https://sqlite.org/rescode.html
_BROKEN = {11, 24, 26}  # corrupt, format, not a database
_TROUBLE = {3, 5, 6, 7, 8, 9, 10, 13, 14, 15, 22, 23}  # permission, busy, locked, memory, read-only, I/O, full, cannot open, …


class HistoryError(CommandError):
    """The history is there and must not be touched."""


class BrokenHistory(Exception):
    """The file is no usable history: it is to be set aside."""


Sort = Literal["broken", "trouble", "item"]
STORAGE = (SQLAlchemyError, sqlite3.Error, OSError)
"""What goes wrong with the file, as against with what is written."""


def sort_of(error: SQLAlchemyError | sqlite3.Error) -> Sort:
    """Whether the file is broken, the disk is in trouble, or it is what was to be written that is wrong."""
    code = getattr(getattr(error, "orig", error), "sqlite_errorcode", None)
    if not isinstance(code, int):
        return "item"
    missing = code & 0xFF == 1 and "no such " in words_of(error)  # a table or column that every history has
    return "broken" if missing or code & 0xFF in _BROKEN else "trouble" if code & 0xFF in _TROUBLE else "item"


def words_of(error: Exception) -> str:
    """SQLite's or the system's own words, without the statement."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error.orig) if isinstance(error, DBAPIError) else str(error)


@dataclass(slots=True)
class Database:
    """The writer's open file."""

    file: Path
    engine: Engine
    connection: Connection
    inode: tuple[int, int]
    note: str = ""
    """What had to be done to open it."""
    size: int = 0
    """As it was when we last wrote: it never becomes smaller by itself."""

    @property
    def moved(self) -> bool:
        """Whether the path leads to another file by now, or to none: what is written here would be seen by nobody."""
        try:
            status = self.file.stat()
        except OSError:
            return True
        return (status.st_dev, status.st_ino) != self.inode

    def measure(self) -> bool:
        """Whether the file is at least as long as we left it; from now on as long as it is."""
        before, self.size = self.size, self.file.stat().st_size
        return self.size >= before

    def close(self) -> None:
        with contextlib.suppress(DBAPIError):
            self.connection.close()
        with contextlib.suppress(DBAPIError):
            self.engine.dispose()


def check(connection: Connection) -> None:
    """Raises `BrokenHistory` where the pages of the file do not hang together."""
    found = str(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar())
    if found != "ok":
        raise BrokenHistory(found.splitlines()[-1])


def lock(folder: Path) -> int | None:
    """Holds the folder's history for one writer, until the descriptor is closed; it dies with the process. None: another
    process has it."""
    descriptor = os.open(folder / "history.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def open_for_writing(folder: Path, now: float, migrations: Sequence[Sequence[str]] = MIGRATIONS) -> Database:
    """Opens the history, or sets aside what stands in its place and begins anew. The caller holds the lock.

    Raises `HistoryError` for a history of a newer version, `OSError` or `DBAPIError` where the disk is in trouble.
    """
    file = folder / NAME
    note = ""
    if (reason := _unusable(file, migrations)) is not None:
        note = _begun_anew(file, reason, now)
    if not file.exists() or not file.stat().st_size:
        for companion in _COMPANIONS:  # of a file that is gone: its journal must not be played into the new one
            Path(f"{file}{companion}").unlink(missing_ok=True)
    try:
        opened = _open(file, migrations)
    except BrokenHistory as broken:
        note = _begun_anew(file, str(broken), now)
        opened = _open(file, migrations)
    opened.note = note
    return opened


def set_aside(file: Path, now: float) -> Path:
    """Renames an unusable history with what belongs to it, and removes the oldest of those that lie there already."""
    when = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    target, number = file.with_name(f"{file.name}.broken-{when}"), 1
    while os.path.lexists(target):
        number += 1
        target = file.with_name(f"{file.name}.broken-{when}-{number}")
    file.rename(target)
    for companion in _COMPANIONS:
        with contextlib.suppress(FileNotFoundError):
            Path(f"{file}{companion}").rename(f"{target}{companion}")
    before = [one for one in file.parent.glob(f"{file.name}.broken-*") if not one.name.endswith(_COMPANIONS) and one.is_file()]
    for old in sorted(before, key=lambda one: one.stat().st_ctime)[:-KEPT_ASIDE]:
        for companion in ("", *_COMPANIONS):
            Path(f"{old}{companion}").unlink(missing_ok=True)
    return target


def _begun_anew(file: Path, reason: str, now: float) -> str:
    return f"the history was not usable ({reason}) and is begun anew; what was there is kept as {set_aside(file, now).name}"


def _unusable(file: Path, migrations: Sequence[Sequence[str]]) -> str | None:
    """What the first bytes of the file tell without opening it as a database: a newer one is not touched at all."""
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return "it is no file"
    with file.open("rb") as stream:
        head = stream.read(100)
    if not head:
        return None
    if len(head) < 100 or not head.startswith(_MAGIC):
        return "it is no database"
    if int.from_bytes(head[68:72], "big") != APPLICATION:
        return "it is the database of something else"
    version = int.from_bytes(head[60:64], "big")
    if version > UNLIKELY:
        return "its version makes no sense"
    _refuse_newer(version, file, migrations)
    return None


def _refuse_newer(version: int, file: Path, migrations: Sequence[Sequence[str]]) -> None:
    if version > FIRST + len(migrations):
        raise HistoryError(
            f"{file} is of version {version}, written by a newer reconciler; this one knows {FIRST + len(migrations)}",
            "run the newer version, or move the file away to begin a new history: nothing else depends on it",
        )


def refusal(file: Path) -> None:
    """Raises `HistoryError` for what a reader cannot read; a reader sets nothing aside."""
    try:
        reason = _unusable(file, MIGRATIONS)
    except OSError as error:
        raise HistoryError(f"the history in {file} cannot be read: {words_of(error)}") from error
    if reason is not None:
        raise HistoryError(
            f"{file} is no history: {reason}",
            "reconcile run sets it aside and begins a new one when it starts; nothing on any host depends on it",
        )


def _open(file: Path, migrations: Sequence[Sequence[str]]) -> Database:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        status = os.fstat(descriptor)
        if status.st_mode & 0o077 and status.st_uid == os.geteuid():
            os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)
    engine = engine_of(file, writing=True)
    try:
        connection = engine.connect()
        opened = Database(file, engine, connection, (status.st_dev, status.st_ino))
        _bring_up(connection, file, migrations)
    except DBAPIError as error:
        engine.dispose()
        if sort_of(error) == "trouble":
            raise
        raise BrokenHistory(words_of(error)) from error
    except BaseException:
        engine.dispose()
        raise
    return opened


def _bring_up(connection: Connection, file: Path, migrations: Sequence[Sequence[str]]) -> None:
    """Checks, creates or migrates, whole or not at all."""
    newest = FIRST + len(migrations)
    if not number_of(connection, "page_count"):
        # In the old journal mode, so that what is in the file's first page is there from the beginning.
        connection.exec_driver_sql("PRAGMA auto_vacuum=INCREMENTAL")
        with transaction(connection):
            METADATA.create_all(connection, checkfirst=False)
            connection.exec_driver_sql(f"PRAGMA application_id={APPLICATION}")
            connection.exec_driver_sql(f"PRAGMA user_version={newest}")
    version = number_of(connection, "user_version")
    _refuse_newer(version, file, migrations)
    check(connection)
    connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    if version < newest:
        with transaction(connection):
            for statement in (statement for step in migrations[max(version, FIRST) - FIRST :] for statement in step):
                connection.exec_driver_sql(statement)
            connection.exec_driver_sql(f"PRAGMA user_version={newest}")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    if missing := METADATA.tables.keys() - set(inspect(connection).get_table_names()):
        raise BrokenHistory(f"it has no table {min(missing)}")


@contextlib.contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """Everything inside is there, or nothing. Outside of it each statement stands for itself."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def number_of(connection: Connection, pragma: str) -> int:
    return int(connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() or 0)


def engine_of(file: Path, *, writing: bool) -> Engine:
    """One connection, used by one thread at a time; for readers the file is opened read-only."""
    place = f"file:{quote(str(file.absolute()))}?mode={'rw' if writing else 'ro'}"
    pragmas = ["trusted_schema=OFF", "cell_size_check=ON", "foreign_keys=ON"]
    pragmas += ["synchronous=NORMAL", f"journal_size_limit={JOURNAL_BYTES}"] if writing else ["query_only=ON"]

    def connect() -> sqlite3.Connection:
        # No isolation level: Python begins no transaction by itself, and `transaction` begins all of ours.
        connection = sqlite3.connect(place, uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
        connection.text_factory = _readable
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
        return connection

    # What is stored never stands in an error's words.
    return create_engine("sqlite://", creator=connect, poolclass=StaticPool, hide_parameters=True)


def _readable(raw: bytes) -> str:
    """A bit that fell over may leave text that is not UTF-8: it is shown as it is rather than refused."""
    return raw.decode("utf-8", "replace")
