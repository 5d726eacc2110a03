"""`reconcile run` as a process of its own: started, signalled, killed and asked, as whoever operates it would."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.fleet import Fleet, Result, reconcile_command

QUICK = "interval: 1s\npoll: 1s\n"
"""fleet.yaml of most tests."""


class Controller:
    """One controller. What it says goes to `log`, over all its lives."""

    def __init__(self, fleet: Fleet, state: Path, *options: str) -> None:
        self.fleet, self.state, self.options = fleet, state, options
        self.log_file = state.with_name(f"{state.name}.log")
        self.process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()

    def start(self, *options: str, env: Mapping[str, str] | None = None) -> Self:
        listen = ("--listen", f"127.0.0.1:{self.port}")
        command = [
            *(reconcile_command(), "-C", str(self.fleet.root), "run", "--state", str(self.state)),
            *(*listen, *self.options, *options),
        ]
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.fleet.home,
                env=self.fleet.environment | dict(env or {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """Without a chance to say or write anything."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def terminate(self, seconds: float = 30) -> int:
        """Asks it to leave; its exit status."""
        assert self.process is not None
        self.process.terminate()
        return self.ended(seconds)

    def ended(self, seconds: float = 30) -> int:
        assert self.process is not None
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the loop did not end within {seconds:g} s:\n{self.tail}") from None

    @property
    def tail(self) -> str:
        return "\n".join(self.log.splitlines()[-60:])

    def get(self, path: str) -> tuple[int, str]:
        """What its own pages answer; status 0 where nothing listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace")
        except OSError:
            return 0, ""

    def api(self, name: str) -> Any:
        status, body = self.get(f"/api/v1/{name}")
        assert status == 200, f"/api/v1/{name}: {status} {body}\n{self.tail}"
        return json.loads(body)

    def status(self) -> dict[str, Any]:
        """The loop's view of itself; empty where it does not answer."""
        status, body = self.get("/api/v1/status")
        return dict(json.loads(body)) if status == 200 else {}

    def seen(self, host: str) -> dict[str, Any]:
        """The loop's view of a host; empty where there is none yet."""
        status, body = self.get(f"/api/v1/hosts/{host}")
        return dict(json.loads(body)) if status == 200 else {}

    def wait(self, what: Callable[[], object], seconds: float = 30, *, meanwhile: str = "") -> None:
        """Until `what` holds; the loop must live all the while."""
        end = time.monotonic() + seconds
        while not what():
            if not self.running:
                raise AssertionError(f"the loop ended by itself:\n{self.tail}")
            if time.monotonic() > end:
                raise AssertionError(f"{meanwhile or 'it'} did not come true within {seconds:g} s:\n{self.tail}")
            time.sleep(0.1)

    def ready(self, seconds: float = 30) -> Self:
        """Until it has a usable desired state."""
        self.wait(lambda: self.get("/readyz")[0] == 200, seconds, meanwhile="readiness")
        return self

    def reads(self, commit: str, seconds: float = 30) -> None:
        """Until it has found `commit`, usable or not."""
        self.wait(lambda: self.status().get("source", {}).get("newest") == commit, seconds, meanwhile=f"finding {commit[:10]}")

    def at_rest(self, host: str, seconds: float = 30, *, commit: str = "") -> None:
        """Until a host is seen as converged, at `commit` where that is given."""

        def rests() -> bool:
            seen = self.seen(host)
            return seen.get("status") == "converged" and (not commit or seen.get("commit") == commit)

        self.wait(rests, seconds, meanwhile=f"{host} at rest")

    def reconcile(self, *arguments: str) -> Result:
        """Another command that reads the same history."""
        command, *rest = arguments
        return self.fleet.run(command, "--state", str(self.state), *rest)

    def written(self) -> str:
        """Everything that it left behind on this machine, as text, to be searched for what must not be there."""
        files = [path for folder in (self.state, self.fleet.home) for path in folder.rglob("*") if path.is_file()]
        found = [path.read_bytes().decode("latin-1") for path in files if path.parent.name != ".ssh"]
        return "\n".join([self.log, *found])
