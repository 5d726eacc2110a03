"""Real chat servers on loopback: Synapse (Matrix) from PyPI in an environment of its own, and ntfy from Debian's packages.

Both are installed once, into the lab's own folder, and run as processes of the tests. What a test asks of them goes through
their own interfaces, past everything that we wrote.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from tests.lab.hosts import PLAIN, LabError

SYNAPSE = "matrix-synapse==1.163.2"
SUITE = "trixie"
"""The release of Debian that ntfy is taken from: the first that has it."""


class NoServers(LabError):
    """This machine cannot have them: the tests are skipped, unless they are required."""


@dataclass(frozen=True, slots=True)
class Said:
    """A message as its server gives it back."""

    text: str
    raw: dict[str, Any]


class ChatServer(Protocol):
    """What the tests need of either."""

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def room(self) -> str: ...
    def address(self, room: str) -> str: ...
    def said(self, room: str) -> list[Said]: ...


def installed() -> Path:
    """The folder with both, made by the first process that comes."""
    folder = PLAIN.place / "chat"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _install_synapse(folder / SYNAPSE.replace("==", "-"))
        _install_ntfy(folder / f"ntfy-{SUITE}")
    return folder


def _install_synapse(environment: Path) -> None:
    if (environment / "ready").exists():
        return
    shutil.rmtree(environment, ignore_errors=True)
    pip = [
        environment / "bin" / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-compile",
        "--disable-pip-version-check",
        SYNAPSE,
    ]
    for command in ([sys.executable, "-m", "venv", environment], pip):
        _must(command)
    (environment / "ready").touch()


def _install_ntfy(program: Path) -> None:
    if program.exists():
        return
    if not shutil.which("mmdebstrap"):
        if os.getuid() != 0 or not shutil.which("apt-get"):
            raise NoServers("mmdebstrap is missing; once: sudo apt-get install mmdebstrap")
        _must(["apt-get", "-qq", "update"])
        _must(["apt-get", "-qq", "install", "--no-install-recommends", "mmdebstrap"])
    tree = program.with_suffix(".tree")
    shutil.rmtree(tree, ignore_errors=True)
    _must(["mmdebstrap", "--quiet", "--variant=extract", "--include=ntfy", SUITE, tree])
    shutil.copy2(tree / "usr/bin/ntfy", program.with_suffix(".new"))
    shutil.rmtree(tree, ignore_errors=True)
    program.with_suffix(".new").rename(program)


def _must(command: list[Any]) -> None:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise NoServers(f"{' '.join(map(str, command))} failed: {(done.stderr or done.stdout)[-500:]}")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def ask(method: str, url: str, body: Any = None, token: str = "") -> Any:
    """What a server answers, as JSON; raises `urllib.error.URLError`."""
    return json.loads(_answer(method, url, None if body is None else json.dumps(body).encode(), token))


def _answer(method: str, url: str, body: bytes | None, token: str) -> bytes:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(url, data=body, method=method, headers=headers)
    with urllib.request.urlopen(request, timeout=10) as response:
        answer: bytes = response.read()
        return answer


@dataclass(slots=True)
class _Process:
    """A server that can be ended and started again with all that it knows."""

    command: list[str]
    healthy: str
    log: Path
    running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.running = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.log.parent)
        end = time.monotonic() + 60
        while True:
            try:
                _answer("GET", self.healthy, None, "")
            except (urllib.error.URLError, OSError):
                if self.running.poll() is not None or time.monotonic() > end:
                    raise LabError(f"{self.command[0]} did not come up: {self.log.read_text()[-800:]}") from None
                time.sleep(0.1)
            else:
                return

    def stop(self) -> None:
        if self.running is not None:
            self.running.kill()  # as a machine that loses its power
            self.running.wait()
            self.running = None


HOMESERVER = """\
server_name: lab.test
pid_file: {folder}/pid
listeners: [{{port: {port}, type: http, bind_addresses: [127.0.0.1], resources: [{{names: [client]}}]}}]
database: {{name: sqlite3, args: {{database: {folder}/homeserver.db}}}}
media_store_path: {folder}/media
signing_key_path: {folder}/signing.key
registration_shared_secret: {secret}
macaroon_secret_key: {secret}
form_secret: {secret}
report_stats: false
trusted_key_servers: []
rc_message: {{per_second: 1000, burst_count: 1000}}
rc_login:
  address: {{per_second: 1000, burst_count: 1000}}
  account: {{per_second: 1000, burst_count: 1000}}
  failed_attempts: {{per_second: 1000, burst_count: 1000}}
"""


@dataclass(slots=True)
class Matrix:
    """Synapse, with one account that is in every room."""

    place: Path
    """Where it is installed."""
    folder: Path
    port: int = field(default_factory=free_port)
    token: str = ""
    password: str = field(default_factory=lambda: secrets.token_hex(12))
    _process: _Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        if self._process is None:
            secret = secrets.token_hex(16)
            settings = self.folder / "homeserver.yaml"
            settings.write_text(HOMESERVER.format(folder=self.folder, port=self.port, secret=secret))
            program = [
                str(self.place / SYNAPSE.replace("==", "-") / "bin/python"),
                "-m",
                "synapse.app.homeserver",
                "-c",
                str(settings),
            ]
            _must([*program, "--generate-keys"])
            self._process = _Process(program, f"{self.url}/health", self.folder / "log")
            self._process.start()
            self._register(secret)
        else:
            self._process.start()

    def _register(self, secret: str) -> None:
        register = f"{self.url}/_synapse/admin/v1/register"
        nonce = ask("GET", register)["nonce"]
        text = f"{nonce}\0ops\0{self.password}\0notadmin"
        mac = hmac.new(secret.encode(), text.encode(), hashlib.sha1).hexdigest()
        account = {"nonce": nonce, "username": "ops", "password": self.password, "admin": False, "mac": mac}
        self.token = ask("POST", register, account)["access_token"]

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()

    def room(self) -> str:
        alias = f"room{secrets.token_hex(4)}"
        ask(
            "POST", f"{self.url}/_matrix/client/v3/createRoom", {"room_alias_name": alias, "preset": "private_chat"}, self.token
        )
        return alias

    def address(self, room: str) -> str:
        return f"matrix://ops:{self.password}@127.0.0.1:{self.port}/{quote(f'#{room}:lab.test')}"

    def said(self, room: str) -> list[Said]:
        alias = quote(f"#{room}:lab.test")
        identity = ask("GET", f"{self.url}/_matrix/client/v3/directory/room/{alias}", token=self.token)["room_id"]
        path = f"{self.url}/_matrix/client/v3/rooms/{quote(identity)}/messages?dir=f&limit=500"
        events = ask("GET", path, token=self.token)["chunk"]
        contents = [event["content"] for event in events if event["type"] == "m.room.message"]
        return [Said(content["body"], content) for content in contents]


@dataclass(slots=True)
class Ntfy:
    """ntfy, closed to everybody but the holder of a token."""

    place: Path
    folder: Path
    port: int = field(default_factory=free_port)
    token: str = ""
    _process: _Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        if self._process is None:
            settings = {
                "base-url": self.url,
                "listen-http": f"127.0.0.1:{self.port}",
                "cache-file": str(self.folder / "cache.db"),
                "auth-file": str(self.folder / "users.db"),
                "auth-default-access": "deny-all",
                "visitor-request-limit-burst": 100_000,  # we ask more often than people do
            }
            file = self.folder / "server.yml"
            file.write_text(json.dumps(settings))
            program = str(self.place / f"ntfy-{SUITE}")
            self._process = _Process([program, "serve", "--config", str(file)], f"{self.url}/v1/health", self.folder / "log")
            self._process.start()
            self._register(program, file)
        else:
            self._process.start()

    def _register(self, program: str, settings: Path) -> None:
        users = {"NTFY_PASSWORD": secrets.token_hex(12), "NTFY_CONFIG_FILE": str(settings)}
        printed = ""
        for command in (["user", "add", "--role=admin", "ops"], ["token", "add", "ops"]):
            done = subprocess.run([program, *command], env=os.environ | users, capture_output=True, text=True, check=True)
            printed += done.stdout + done.stderr
        self.token = next(word for word in printed.split() if word.startswith("tk_")).rstrip(",")

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()

    def room(self) -> str:
        return f"room{secrets.token_hex(4)}"

    def address(self, room: str) -> str:
        return f"ntfy://{self.token}@127.0.0.1:{self.port}/{room}"

    def said(self, room: str) -> list[Said]:
        lines = _answer("GET", f"{self.url}/{room}/json?poll=1&since=all", None, self.token).splitlines()
        events = [json.loads(line) for line in lines]
        return [Said(f"{event.get('title', '')}\n{event['message']}", event) for event in events if event["event"] == "message"]
