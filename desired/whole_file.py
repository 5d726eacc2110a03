"""Files on this machine, written whole or not at all: what a reader finds is the old content or the new one.

Used for the fleet's own files (`desired/git_write.py`), for secrets and saved plans (`reconciler/cli/`), and for caches.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path


def write_whole(file: Path, content: bytes, mode: int = 0o600) -> None:
    """Replaces `file`, or makes it, with these permissions. Raises `OSError`; then the old file is untouched."""
    descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        Path(name).replace(file)
    except BaseException:  # Ctrl-C too: nothing of it may stay behind
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
