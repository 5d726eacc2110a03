"""Collects what a script says, up to a limit, whatever carries it. Used by the SSH session and by the local channel."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from state.channel import Output

Watch: TypeAlias = Callable[[bytes], None]

_STDERR_LIMIT = 1 << 20


class Capture:
    """Both streams of one script. `out` and `err` answer False as soon as more has come than may be kept: then the carrier ends
    the script, because a host that floods us must cost neither memory nor time."""

    def __init__(self, limit: int, watch: Watch | None = None) -> None:
        self._room = {"out": limit, "err": _STDERR_LIMIT}
        self._pieces: dict[str, list[bytes]] = {"out": [], "err": []}
        self._watch = watch
        self.cut = False

    def out(self, data: bytes) -> bool:
        return self._take("out", data)

    def err(self, data: bytes) -> bool:
        return self._take("err", data)

    def _take(self, stream: str, data: bytes) -> bool:
        if self.cut:
            return False
        room = self._room[stream]
        if len(data) > room:
            data = data[:room]
            self.cut = True
        self._room[stream] = room - len(data)
        self._pieces[stream].append(data)
        if stream == "out" and data and self._watch:
            self._watch(data)
        return not self.cut

    def output(self, status: int | None) -> Output:
        """What came, with `status`; a script that was cut off has none."""
        out, err = (b"".join(self._pieces[stream]) for stream in ("out", "err"))
        return Output(out, err, None if self.cut else status, self.cut)
