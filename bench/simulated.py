"""Many hosts in one process: real SSH servers, each with a port, a host key and a folder of its own, for a loop to run against.

    with Simulated(folder, 200) as hosts: ...        starts `python simulated.py FOLDER 200` and talks to it over a socket

A script that arrives is run by a real /bin/sh, once; as long as the same bytes come and nothing in the host's folder has
changed (names, inodes, sizes, times), its answer is sent again. So 200 hosts × 1,000 cycles cost the work of the controller and
not 200,000 shells, and every answer is one that a shell gave. Steps change the folder, so no answer outlives them.

A host can be told to drift, hang, refuse logins, drop its connections, go away, come back and change its key.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

import asyncssh

_REMEMBERED = 4
"""Answers kept per host: the probe of now, that of before, and what a closer look asked."""
_AT_ONCE = asyncio.Semaphore(4)
"""Shells that run at the same time: the machine carries the controller, too."""
_LONGEST_LINE = 1 << 20

State: TypeAlias = tuple[tuple[str, int, int, int, int], ...]


@dataclass(slots=True)
class Counted:
    """What a host was asked. Counted here, so that it is no word of the program that is measured."""

    connections: int = 0
    scripts: int = 0
    shells: int = 0
    """Scripts that were really run; the others were answered as before."""
    received: int = 0
    sent: int = 0


@dataclass(slots=True)
class Answer:
    state: State
    status: int
    out: bytes
    err: bytes


@dataclass(slots=True)
class Host:
    """One host. Whatever it has lies below `folder`."""

    name: str
    folder: Path
    key: asyncssh.SSHKey
    accepts: asyncssh.SSHAuthorizedKeys
    port: int = 0
    hangs: bool = False
    refuses: bool = False
    counted: Counted = field(default_factory=Counted)
    answers: OrderedDict[bytes, Answer] = field(default_factory=OrderedDict)
    open: set[asyncssh.SSHServerConnection] = field(default_factory=set)
    server: asyncssh.SSHAcceptor | None = None

    async def come(self) -> None:
        """Listens; at the port it had before, if it had one."""
        if self.server is None:
            self.server = await asyncssh.listen(
                "127.0.0.1",
                self.port,
                server_factory=lambda: Server(self),
                server_host_keys=[self.key],
                encryption_algs=["aes128-gcm@openssh.com"],
                login_timeout=0,
                agent_forwarding=False,
            )
            self.port = self.server.get_port()

    def go(self) -> None:
        """Nothing listens any more, and no connection is left."""
        if self.server is not None:
            self.server.close()
            self.server = None
        self.drop()

    def drop(self) -> None:
        for connection in list(self.open):
            connection.abort()
        self.open.clear()

    def state(self) -> State:
        """All that a script could see of the folder's entries, contents by their times."""
        found: list[tuple[str, int, int, int, int]] = []
        folders = [str(self.folder)]
        while folders:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    seen = entry.stat(follow_symlinks=False)
                    found.append((entry.path, seen.st_ino, seen.st_mode, seen.st_size, seen.st_ctime_ns))
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
        return tuple(sorted(found))

    async def answer(self, script: bytes) -> Answer:
        self.counted.scripts += 1
        self.counted.received += len(script)
        known = self.answers.get(script)
        if known is None or known.state != self.state():
            async with _AT_ONCE:
                known = await self._run(script)
            if known.state == self.state():  # it only looked, and nobody else was there
                self.answers[script] = known
                self.answers.move_to_end(script)
            while len(self.answers) > _REMEMBERED:
                self.answers.popitem(last=False)
        self.counted.sent += len(known.out) + len(known.err)
        return known

    async def _run(self, script: bytes) -> Answer:
        self.counted.shells += 1
        pipe, before = asyncio.subprocess.PIPE, self.state()
        environment = {"HOME": str(self.folder), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        shell = await asyncio.create_subprocess_exec(
            "/bin/sh", "-s", stdin=pipe, stdout=pipe, stderr=pipe, cwd=self.folder, env=environment
        )
        out, err = await shell.communicate(script)
        return Answer(before, shell.returncode or 0, out, err)


class Server(asyncssh.SSHServer):
    """One connection to a host."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self.connection = conn
        self.host.open.add(conn)
        self.host.counted.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        if self.connection is not None:
            self.host.open.discard(self.connection)

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return not self.host.refuses and self.host.accepts.validate(key, "127.0.0.1", "127.0.0.1", None) is not None

    def session_requested(self) -> Session:
        return Session(self.host)


class Session(asyncssh.SSHServerSession[bytes]):
    """One script: taken whole, then answered."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.script = bytearray()
        self.channel: asyncssh.SSHServerChannel[bytes] | None = None
        self.work: asyncio.Task[None] | None = None

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        chan.set_encoding(None)
        self.channel = chan

    def exec_requested(self, command: str) -> bool:
        return command.endswith("/bin/sh -s")

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        self.script += data

    def eof_received(self) -> bool:
        self.work = asyncio.ensure_future(self._answer())
        return True

    async def _answer(self) -> None:
        while self.host.hangs:
            await asyncio.sleep(0.1)
        answer = await self.host.answer(bytes(self.script))
        if self.channel is not None and not self.channel.is_closing():
            self.channel.write(answer.out)
            self.channel.write_stderr(answer.err)
            self.channel.exit(answer.status)


class Crowd:
    """All hosts, and what is said to them over the control socket: a line of JSON each way."""

    def __init__(self, folder: Path, count: int) -> None:
        accepts = asyncssh.import_authorized_keys((folder / "id_ed25519.pub").read_text())
        names = [f"sim{number:03}" for number in range(1, count + 1)]
        for name in names:
            (folder / "hosts" / name).mkdir(parents=True)
        self.folder = folder
        self.hosts = {
            name: Host(name, folder / "hosts" / name, asyncssh.generate_private_key("ssh-ed25519"), accepts) for name in names
        }

    def about(self) -> dict[str, dict[str, object]]:
        return {
            host.name: {
                "port": host.port,
                "folder": str(host.folder),
                "pin": f"[127.0.0.1]:{host.port} {host.key.export_public_key().decode().strip()}",
            }
            for host in self.hosts.values()
        }

    async def serve(self) -> None:
        for host in self.hosts.values():
            await host.come()
        server = await asyncio.start_unix_server(self._listen, self.folder / "control", limit=_LONGEST_LINE)
        (self.folder / "about.new").write_text(json.dumps(self.about()))
        (self.folder / "about.new").rename(self.folder / "about.json")
        async with server:
            await server.serve_forever()

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            said: dict[str, Any] = json.loads(line)
            names = said.get("hosts") or list(self.hosts)
            result = [await self.do(said["do"], self.hosts[name], said) for name in names]
            writer.write(json.dumps(dict(zip(names, result, strict=True))).encode() + b"\n")
            await writer.drain()
        writer.close()

    async def do(self, what: str, host: Host, said: dict[str, Any]) -> object:
        match what:
            case "count":
                return asdict(host.counted)
            case "drift":
                (host.folder / said["file"]).write_text(said["content"])
                host.answers.clear()
            case "hang":
                host.hangs = bool(said["on"])
            case "refuse":
                host.refuses = bool(said["on"])
            case "drop":
                host.drop()
            case "go":
                host.go()
            case "come":
                await host.come()
            case "rekey":
                host.go()
                host.key = asyncssh.generate_private_key("ssh-ed25519")
                await host.come()
                return self.about()[host.name]["pin"]
            case _:
                raise ValueError(what)
        return None


@dataclass
class Simulated:
    """The other side: starts the process, knows its hosts, and talks to it."""

    folder: Path
    count: int
    hosts: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True)
        key = asyncssh.generate_private_key("ssh-ed25519")
        key.write_private_key(self.folder / "id_ed25519")
        (self.folder / "id_ed25519").chmod(0o600)
        key.write_public_key(self.folder / "id_ed25519.pub")
        self.process = subprocess.Popen([sys.executable, __file__, str(self.folder), str(self.count)])
        ready, end = self.folder / "about.json", time.monotonic() + 60
        while not ready.exists():
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("the simulated hosts did not come up")
            time.sleep(0.05)
        self.hosts = json.loads(ready.read_text())
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(self.folder / "control"))
        self._lines = self._socket.makefile("rb")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._lines.close()
        self._socket.close()
        self.process.kill()
        self.process.wait()

    @property
    def key(self) -> Path:
        """The private key that opens every host."""
        return self.folder / "id_ed25519"

    def known_hosts(self) -> str:
        return "".join(f"{host['pin']}\n" for host in self.hosts.values())

    def tell(self, what: str, hosts: Iterable[str] = (), **more: object) -> dict[str, Any]:
        """Does `what` at these hosts, or at all; what each of them says to it."""
        self._socket.sendall(json.dumps({"do": what, "hosts": list(hosts), **more}).encode() + b"\n")
        answered: dict[str, Any] = json.loads(self._lines.readline())
        return answered

    def counted(self) -> dict[str, Counted]:
        return {name: Counted(**counted) for name, counted in self.tell("count").items()}


def fleet_files(hosts: Simulated, resources: int, settings: str = "", *, there: bool = True) -> dict[str, str]:
    """A fleet of these hosts: each asks for `resources` files of about a kilobyte, and their folder. They are `there` already,
    because hosts that share a machine with their controller would take minutes to come to it."""
    files = {"fleet.yaml": settings, "hosts/known_hosts": hosts.known_hosts()}
    body = "".join(f"setting_{line} = value {line}\n" for line in range(40))
    for name, host in hosts.hosts.items():
        folder = f"{host['folder']}/srv"
        wanted = {
            f"{folder}/file{number}": {"content": f"# {name} {number}\n{body}", "mode": "0644"} for number in range(resources)
        }
        if there:
            Path(folder).mkdir(mode=0o755)
            for path, asked in wanted.items():
                Path(path).write_text(asked["content"])
                Path(path).chmod(0o644)
        manifest = {
            "address": f"root@127.0.0.1:{host['port']}",
            "inventory": f"{host['folder']}/inventory",
            "directories": {folder: {"mode": "0755"}},
            "files": wanted,
        }
        files[f"hosts/{name}.yaml"] = json.dumps(manifest, indent=1)
    return files


if __name__ == "__main__":
    asyncio.run(Crowd(Path(sys.argv[1]), int(sys.argv[2])).serve())
