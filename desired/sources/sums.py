"""sha256 and size of file contents by their blob id, computed once and kept in a file: reading them again costs microseconds.

Used by `desired/sources/tree.py`. The file is a row of batches, each with a checksum; several processes append to it, each
batch in one write under a lock. A batch that is not whole ends the reading, and is written over.
"""

from __future__ import annotations

import fcntl
import os
import struct
import threading
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

_HEAD = struct.Struct(">4sII")
_MAGIC = b"sum1"
_RECORD = struct.Struct(">20s32sQB")


class Sum(NamedTuple):
    """What is known of one content."""

    sha256: bytes
    size: int
    pointer: bool
    """Whether it is only a pointer of Git LFS."""


class Sums:
    """The file of one cache. What is asked for is read in when the file has grown."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[bytes, bytes] = {}
        self._end = 0
        self._lock = threading.Lock()

    def refresh(self) -> None:
        """Reads what others have added. A file that was deleted or cut is read from its beginning."""
        with self._lock:
            try:
                with self._path.open("rb") as file:
                    self._take(file.fileno())
            except OSError:
                self._end = 0

    def _take(self, descriptor: int) -> None:
        size = os.fstat(descriptor).st_size
        if size < self._end:
            self._end = 0
        data = os.pread(descriptor, size - self._end, self._end)
        at = 0
        while at + _HEAD.size <= len(data):
            magic, length, checksum = _HEAD.unpack_from(data, at)
            batch = data[at + _HEAD.size : at + _HEAD.size + length]
            if magic != _MAGIC or len(batch) != length or length % _RECORD.size or zlib.crc32(batch) != checksum:
                break
            records = (batch[start : start + _RECORD.size] for start in range(0, length, _RECORD.size))
            self._known.update((record[:20], record[20:]) for record in records)
            at += _HEAD.size + length
        if data and not at and self._end:
            self._end = 0  # another file stands there now
            self._take(descriptor)
            return
        self._end += at

    def get(self, blob: bytes) -> Sum | None:
        record = self._known.get(blob)
        if record is None:
            return None
        return Sum(record[:32], int.from_bytes(record[32:40]), record[40] == 1)

    def add(self, fresh: Mapping[bytes, Sum]) -> None:
        """Keeps them, here and in the file. A file that cannot be written costs time at the next start, nothing else."""
        batch = b"".join(_RECORD.pack(blob, one.sha256, one.size, one.pointer) for blob, one in fresh.items())
        with self._lock:
            self._known.update((blob, _RECORD.pack(blob, *one)[20:]) for blob, one in fresh.items())
            try:
                descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError:
                return
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                self._take(descriptor)
                os.ftruncate(descriptor, self._end)
                data = _HEAD.pack(_MAGIC, len(batch), zlib.crc32(batch)) + batch
                if os.pwrite(descriptor, data, self._end) == len(data):
                    self._end += len(data)
            except OSError:
                return
            finally:
                os.close(descriptor)
