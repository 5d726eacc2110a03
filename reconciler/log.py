"""The log of what runs for long: one record is one line on standard error, for people or as JSON. loguru is spoken here alone.

Called by `reconcile run` (`set_up`, once) and by everything under `reconciler/loop/`, `serve/`, `alerts/` and `history/`.
Commands that a person waits for do not log: they speak through `reconciler/render/`. Until `set_up` nothing is written, and
loguru is not even loaded.

What stands in a record may come from hosts, from git and from servers. So: texts are never taken for formats, secrets are out
of them before they are cut or escaped, and control characters cannot forge a second line. A log that cannot be written (a full
disk, a closed pipe, a reader that has stopped) costs lines, which are counted, and never the loop: `reconciler/log_stream.py`.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from providers.secret import redact
from reconciler.log_stream import LogStream
from reconciler.text import shorten, visible

Format = Literal["text", "json"]
Level = Literal["debug", "info", "warning", "error"]
Field = str | int | float | bool | None

LIBRARIES = ("aiohttp", "apprise", "apscheduler", "asyncio", "asyncssh", "sqlalchemy")
"""They log by Python's own `logging`. What they say below a warning is of no use to an operator, and may hold scripts."""
_LONGEST = 8_000
_LONGEST_FOREIGN = 300
_ADDRESS = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]{0,30})://\S*")
_PRIORITY = {"debug": 7, "info": 6, "warning": 4, "error": 3}

_run: ContextVar[str] = ContextVar("run", default="")
_host: ContextVar[str] = ContextVar("host", default="")


class _Log:
    """What `set_up` made; one for the process."""

    def __init__(self) -> None:
        self.logger: Any = None
        self.stream: LogStream | None = None
        self.form: Format = "text"
        self.before: list[logging.Handler] = []
        """Who listened to Python's own `logging` until then."""


_log = _Log()


def set_up(format: Format = "text", level: Level = "info", *, descriptor: int | None = None) -> None:  # noqa: A002 as the option
    """Begin to write to standard error. Called again, it begins anew (`descriptor`: somewhere else)."""
    close()
    from loguru import logger

    _log.form = format
    _log.stream = LogStream(descriptor)
    _log.logger = logger
    logger.remove()
    # `diagnose` would print local variables, passwords among them. With a format of our own loguru adds no traceback either.
    logger.add(_write, level=level.upper(), format=lambda _: "", diagnose=False, backtrace=False, catch=False)
    bridge = _Bridge(logging.WARNING)
    _log.before = logging.root.handlers[:]
    logging.root.handlers[:] = [bridge]
    logging.raiseExceptions = False
    logging.captureWarnings(capture=True)
    for library in LIBRARIES:
        logging.getLogger(library).setLevel(logging.WARNING)
    threading.excepthook = _uncaught


def close() -> None:
    """Write what still waits, for a second at most, and stop."""
    if _log.stream is None:
        return
    _log.logger.remove()
    _log.stream.close()
    _log.logger, _log.stream = None, None
    logging.root.handlers[:] = _log.before
    logging.captureWarnings(capture=False)
    threading.excepthook = threading.__excepthook__


def lost() -> int:
    """Lines that could not be written since `set_up`."""
    return _log.stream.lost if _log.stream else 0


@contextmanager
def about(*, run: str | None = None, host: str | None = None) -> Iterator[None]:
    """Every record made inside, in this task and in those that it starts, carries the id of the run and the host."""
    tokens = [(variable, variable.set(value)) for variable, value in ((_run, run), (_host, host)) if value is not None]
    try:
        yield
    finally:
        for variable, token in reversed(tokens):
            variable.reset(token)


def say(level: Level, message: str, /, **fields: Field) -> None:
    """One record. `message` is a text and never a format; `fields` are keys of their own in JSON, `name=value` for people
    (`run` and `host` take the place of those of the task)."""
    _record(level, message, fields)


def debug(message: str, /, **fields: Field) -> None:
    _record("debug", message, fields)


def info(message: str, /, **fields: Field) -> None:
    _record("info", message, fields)


def warning(message: str, /, **fields: Field) -> None:
    _record("warning", message, fields)


def error(message: str, /, **fields: Field) -> None:
    _record("error", message, fields)


def fault(message: str, raised: BaseException, /, **fields: Field) -> str:
    """An error of the program itself, with where it happened. The id that comes back may be shown to anybody: it is how an
    operator finds the record."""
    name = secrets.token_hex(4)
    _record("error", message, {**fields, "fault": name}, raised)
    return name


def _record(level: Level, message: str, fields: Mapping[str, Field], raised: BaseException | None = None) -> None:
    if _log.logger is not None:
        _log.logger.bind(fields=fields).opt(exception=raised).log(level.upper(), message)


def _write(message: Any) -> None:
    """What loguru calls for each record, in the task that made it."""
    record = message.record
    stream = _log.stream
    if stream is None:
        return
    level = record["level"].name.lower()
    values: dict[str, Field] = {
        "message": _harmless(record["message"]),
        "run": _harmless(_run.get()),
        "host": _harmless(_host.get()),
        **{name: _harmless(value) if isinstance(value, str) else value for name, value in record["extra"]["fields"].items()},
    }
    caught = record["exception"]
    if caught is not None and caught.value is not None:
        values["error"] = _harmless(_one_line(caught.value, caught.traceback))
    line = _as_json(record["time"], level, values) if _log.form == "json" else _as_text(record["time"], level, values)
    priority = f"<{_PRIORITY.get(level, 6)}>" if stream.journal and _log.form == "text" else ""
    stream.write(f"{priority}{line}\n".encode())


def _harmless(text: str) -> str:
    return visible(redact(shorten(text, _LONGEST)))


def _as_json(time: datetime, level: str, values: dict[str, Field]) -> str:
    return json.dumps({"time": time.isoformat(timespec="milliseconds"), "level": level, **values})


def _as_text(time: datetime, level: str, values: dict[str, Field]) -> str:
    message, run, host = values.pop("message"), values.pop("run"), values.pop("host")
    subject = " ".join(str(part) for part in (run, host) if part)
    rest = "".join(f" {name}={value}" for name, value in values.items() if value is not None)
    return f"{time.isoformat(sep=' ', timespec='seconds')} {level:7} {f'[{subject}] ' if subject else ''}{message}{rest}"


def _one_line(error: BaseException, trace: TracebackType | None) -> str:
    """What was raised and the way there, innermost first, without the lines of code: they may hold literal values."""
    frames = traceback.extract_tb(trace)[-12:]
    places = [f"{'/'.join(Path(frame.filename).parts[-3:])}:{frame.lineno} in {frame.name}" for frame in frames]
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    because = f"; after {type(cause).__name__}: {cause}" if cause is not None else ""
    return f"{type(error).__name__}: {error}{because} ({' < '.join(reversed(places)) or 'nowhere'})"


def _uncaught(happened: threading.ExceptHookArgs) -> None:
    if happened.exc_value is not None:
        fault(f"thread {happened.thread.name if happened.thread else '?'} ended", happened.exc_value)


class _Bridge(logging.Handler):
    """From Python's own `logging` to ours. Of what others wrote only the first line is taken, and no address: those of chats
    hold tokens."""

    def emit(self, record: logging.LogRecord) -> None:
        level: Level = "error" if record.levelno >= logging.ERROR else "warning"
        raised = record.exc_info[1] if record.exc_info else None
        fields: dict[str, Field] = {"source": record.name}
        if raised is None or record.name == "asyncio":  # which reports what our own tasks raised
            _record(level, _foreign(_worded(record)), fields, raised)
        else:
            _record(level, _foreign(_worded(record)), {**fields, "kind": type(raised).__name__})


def _worded(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):
        return str(record.msg)


def _foreign(text: str) -> str:
    first = redact(text).strip().partition("\n")[0]
    return shorten(_ADDRESS.sub(r"\1://…", first), _LONGEST_FOREIGN)
