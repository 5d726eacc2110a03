"""A fleet of lab hosts, what the repository asks of it, and all that can befall the two. Used by `test_day_in_a_life.py`.

Each accident notes what it was the cause of, and how to put right what does not right itself. What the hosts should be is kept
here, in plain words of this file; nothing of the project's code is asked about it.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import TypeAlias

from tests.fleet import Fleet
from tests.lab.debian import Deb, Repository
from tests.lab.hosts import LabHost
from tests.lab.loop.controller import Controller
from tests.lab.loop.room import Room
from tests.sshd import make_key, public
from tests.unit.desired.keys import AgeKey

FILES = 10
CANARY = "kQ7zRw2Lm9xPvT4-nobody-may-read-this"
PASSWORD = "Wd8sJq3Ty6uVb1-nor-this"
PACKAGE = Deb("daytool", "1.0")
SECOND = ("unreachable", "source", "failed")
"""What the second room is told of, and that it is over."""

SMALL = "file:/srv/small/file"
"""What lies on a small disk, which a restart empties."""

Event: TypeAlias = str


def docker(*arguments: str) -> None:
    subprocess.run(["docker", *arguments], check=True, stdout=subprocess.DEVNULL)


@dataclass(slots=True)
class Cause:
    """Something that happened, and the kind of incident that it may be told as."""

    event: Event
    host: str
    ref: str
    at: float

    @property
    def by_hand(self) -> bool:
        return self.event == "drift" and self.ref != SMALL


@dataclass
class Day:
    """`random` decides everything, so that a day can be lived again."""

    fleet: Fleet
    hosts: list[LabHost]
    controller: Controller
    rooms: Mapping[str, Room]
    random: Random
    generation: int = 0
    good: str = ""
    """The newest good commit."""
    wanted: dict[str, str] = field(default_factory=dict)
    """Path → content, on every host."""
    causes: list[Cause] = field(default_factory=list)
    story: list[str] = field(default_factory=list)
    _repairs: dict[str, Callable[[], None]] = field(default_factory=dict)
    """What is out of order now: a host's name, `repository` or a room → what puts it right."""
    _touched: set[tuple[str, str]] = field(default_factory=set)
    _pins: dict[str, str] = field(default_factory=dict)
    _repository: dict[str, object] = field(default_factory=dict)

    # What is asked

    def prepare(self) -> None:
        """Hosts, keys and the first commit."""
        key = make_key(self.fleet.home / "signing")
        signers = f"ada@example.org {public(key)}\n"
        settings = (("gpg.format", "ssh"), ("user.signingkey", str(key)), ("commit.gpgsign", "true"))
        for name, value in settings:
            self.fleet.git("config", name, value)
        age = AgeKey.make().give(self.fleet)
        url = self.rooms["second"].url.replace("json://", f"json://ops:{PASSWORD}@")
        repositories = [Repository(host) for host in self.hosts]
        for host, repository in zip(self.hosts, repositories, strict=True):
            host.sh("mkdir -p /srv/small && echo 'none /srv/small tmpfs size=256k 0 0' >>/etc/fstab && mount /srv/small")
            repository.key = repositories[0].key
            repository.add([PACKAGE])
        self._repository = repositories[0].declared()
        for line in (self.fleet.root / "hosts/known_hosts").read_text().splitlines():
            address, _, pin = line.partition(" ")
            self._pins[address] = pin
        alerts: list[dict[str, object]] = [
            {"name": "first", "url": self.rooms["first"].url},
            {"name": "second", "url": {"secret": "alerts/second"}, "events": [*SECOND, "recovered"]},
        ]
        self.fleet.write(
            {
                "fleet.yaml": json.dumps({"interval": "1s", "poll": "1s", "signers": "signers", "alerts": alerts}),
                "signers": signers,
                "files/lab.asc": repositories[0].key.armored,
                "secrets/token.age": age.encrypt(f"{CANARY}\n".encode()),
                "secrets/alerts/second.age": age.encrypt(f"{url}\n".encode()),
            }
        )
        self.note("the first commit, for whose signers nobody vouches", ("source", "", ""))
        self.commit("the first day")

    def commit(self, message: str) -> None:
        """A good commit: everything of the next generation."""
        self.generation += 1
        self.wanted = {f"/srv/app/file{number}": f"file {number}\nof the whole fleet\n" for number in range(FILES)}
        self.wanted["/srv/app/generation"] = f"generation {self.generation}\n"
        self.wanted["/srv/small/file"] = f"generation {self.generation}\n" + "x" * 5000 + "\n"
        files: dict[str, dict[str, object]] = {
            path: {"content": content, "mode": "0640"} for path, content in self.wanted.items()
        }
        files["/srv/app/token"] = {"content": {"secret": "token"}, "mode": "0600"}
        self.wanted["/srv/app/token"] = f"{CANARY}\n"
        manifest = {
            "repositories": {"lab": self._repository},
            "packages": {"apt": [PACKAGE.name]},
            "services": {"cron": {"running": True}},
            "directories": {"/srv/app": {"mode": "0750"}},
            "files": files,
        }
        written = {
            f"hosts/{host.name}.yaml": json.dumps(self._login(number, host) | manifest, indent=1)
            for number, host in enumerate(self.hosts)
        }
        pins = "".join(f"{address} {pin}\n" for address, pin in self._pins.items())
        self.good = self.fleet.commit(written | {"hosts/known_hosts": pins}, message)

    def _login(self, number: int, host: LabHost) -> dict[str, object]:
        """Every second host is entered as a user with sudo."""
        user, become = ("ops", "sudo") if number % 2 else ("root", "none")
        return {"address": f"{user}@{host.address}", "become": become, "tags": [f"number{number}"]}

    def differing(self) -> dict[str, str]:
        """Host → in what it is not what the newest good commit asks for."""
        found = {host.name: self._differing(host) for host in self.hosts}
        return {name: words for name, words in found.items() if words}

    def _differing(self, host: LabHost) -> str:
        lines = ['test "$(stat -c %a /srv/app)" = 750 || echo /srv/app']
        for path, content in self.wanted.items():
            mode = "600" if path.endswith("token") else "640"
            lines.append(
                f'[ "$(stat -c %F:%a {path} 2>&1)" = "regular file:{mode}" ] || echo "{path}: $(stat -c %F:%a {path})"'
            )
            lines.append(f"printf %s {shlex.quote(content)} | cmp -s - {path} || echo {path}: other content")
        lines.append(f"[ \"$(dpkg-query -W -f '${{db:Status-Abbrev}}' {PACKAGE.name} 2>&1)\" = 'ii ' ] || echo {PACKAGE.name}")
        lines.append("systemctl is-active --quiet cron || echo cron")
        lines.append("ls -A /var/lib/reconciler | grep -vx -e inventory -e lock")
        return host.ask("{\n" + "\n".join(lines) + "\n} 2>&1; true").out

    # What befalls them

    def whole(self) -> LabHost | None:
        """A host to which nothing is happening."""
        return self.random.choice([host for host in self.hosts if host.name not in self._repairs] or [None])

    def note(self, what: str, *causes: tuple[Event, str, str]) -> None:
        self.story.append(f"{time.strftime('%H:%M:%S', time.gmtime())} {what}")
        self.causes += [Cause(*cause, time.time()) for cause in causes]

    def edit(self) -> None:
        """Three things on a host are changed by hand; each of them at most twice a day, so that nothing flaps."""
        host = self.whole()
        edits = {f"file:/srv/app/file{number}": f"echo by hand >/srv/app/file{number}" for number in range(0, FILES, 2)}
        edits |= {f"file:/srv/app/file{number}": f"rm -f /srv/app/file{number}" for number in range(1, FILES, 2)}
        edits |= {
            "directory:/srv/app": "chmod 777 /srv/app",
            "file:/srv/app/token": f"echo '{CANARY} and more' >/srv/app/token",
            "service:cron": "systemctl stop cron",
            f"package:apt/{PACKAGE.name}": f"dpkg --purge {PACKAGE.name} >/dev/null 2>&1",
        }
        if host is None:
            return
        fresh = [ref for ref in sorted(edits) if (host.name, ref) not in self._touched]
        chosen = self.random.sample(fresh, min(3, len(fresh)))
        self._touched |= {(host.name, ref) for ref in chosen}
        self.note(f"{host.name}: by hand {', '.join(chosen)}", *(("drift", host.name, ref) for ref in chosen))
        host.sh("\n".join(edits[ref] for ref in chosen))

    def reboot(self) -> None:
        host = self.whole()
        if host is not None:
            # What lay in memory is gone afterwards.
            self.note(f"{host.name}: restarted", ("unreachable", host.name, ""), ("drift", host.name, SMALL))
            docker("restart", "--time", "0", host.container)

    def cut_off(self) -> None:
        host = self.whole()
        if host is not None:
            rule = f"INPUT -p tcp --dport 22 -j {self.random.choice(['DROP', 'REJECT --reject-with tcp-reset'])}"
            self.note(f"{host.name}: cut off by iptables, {rule}", ("unreachable", host.name, ""))
            host.sh(f"iptables -I {rule}")
            self._repairs[host.name] = lambda: void(host.sh(f"iptables -D {rule}"))

    def pause(self) -> None:
        host = self.whole()
        if host is not None:
            self.note(f"{host.name}: paused", ("unreachable", host.name, ""))
            docker("pause", host.container)
            self._repairs[host.name] = lambda: docker("unpause", host.container)

    def fill_up(self) -> None:
        host = self.whole()
        if host is not None and "repository" not in self._repairs:
            self.note(f"{host.name}: its disk is full", ("failed", host.name, SMALL))
            host.sh("cat /dev/zero >/srv/small/fill 2>/dev/null; true")
            self.commit("for which there is no room")

            def repair() -> None:
                host.sh("rm -f /srv/small/fill")

            self._repairs[host.name] = repair

    def other_host_key(self) -> None:
        host = self.whole()
        if host is None or "repository" in self._repairs:
            return
        self.note(f"{host.name}: another host key", ("unreachable", host.name, ""))
        host.sh(
            "cd /etc/ssh && rm ssh_host_ed25519_key* && ssh-keygen -q -t ed25519 -N '' -f ssh_host_ed25519_key"
            " && systemctl restart ssh && { pkill -KILL -f '^sshd(-session)?: ' || true; systemctl start ssh; }"
        )

        def repair() -> None:
            self._pins[host.address] = host.sh("cut -d ' ' -f 1,2 /etc/ssh/ssh_host_ed25519_key.pub")
            if "repository" not in self._repairs:
                self.commit(f"the new key of {host.name}")

        self._repairs[host.name] = repair

    def good_commit(self) -> None:
        if "repository" not in self._repairs:
            self.note("a good commit")
            self.commit("more of it")

    def bad_commit(self) -> None:
        if "repository" in self._repairs:
            return
        self.note("a commit that is no valid fleet", ("source", "", ""))
        self.fleet.commit({"hosts/broken.yaml": "address: [nowhere\n"}, "broken")

        def repair() -> None:
            self.fleet.write({"hosts/broken.yaml": None})
            self.commit("mended")

        self._repairs["repository"] = repair

    def unsigned_commit(self) -> None:
        if "repository" in self._repairs:
            return
        self.note("a commit that nobody signed", ("source", "", ""))
        self.fleet.write({"bundles/unsigned.yaml": "files: {/srv/unsigned: {content: no}}\n"})
        self.fleet.git("add", "--all")
        self.fleet.git("-c", "commit.gpgsign=false", "commit", "--quiet", "--message", "not signed")
        self._repairs["repository"] = lambda: void(self.fleet.git("reset", "--quiet", "--hard", self.good))

    def rewritten_history(self) -> None:
        if "repository" in self._repairs or self.generation < 2:
            return
        self.note("the history is rewritten", ("source", "", ""))
        self.controller.reads(self.good)  # or there would be nothing to rewrite
        self.fleet.git("commit", "--quiet", "--amend", "--message", "as if it had always been so")
        self._repairs["repository"] = lambda: void(self.fleet.git("reset", "--quiet", "--hard", self.good))

    def killed(self) -> None:
        self.note("the controller is killed and started")
        self.controller.kill()
        self.controller.start()

    def two_controllers(self) -> None:
        self.note("another controller on the same fleet")
        signers = ("--signers", str(self.fleet.root / "signers"))
        with Controller(self.fleet, self.controller.state.with_name("other"), "--no-alerts", *signers) as other:
            other.start()
            other.wait(lambda: other.get("/healthz")[0], meanwhile="an answer of the other controller")
            time.sleep(self.random.uniform(1, 3))

    def room_away(self) -> None:
        room = self.rooms["first"]
        self.note("the first room does not answer")
        room.away = True

        def repair() -> None:
            room.away = False

        self._repairs["room"] = repair

    @property
    def accidents(self) -> list[Callable[[], None]]:
        """Each kind once; editing is what happens most."""
        hosts = [self.edit, self.edit, self.reboot, self.cut_off, self.pause, self.fill_up, self.other_host_key, self.edit]
        repository = [self.good_commit, self.bad_commit, self.unsigned_commit, self.rewritten_history, self.good_commit]
        return [*hosts, *repository, self.killed, self.killed, self.two_controllers, self.room_away]

    def repair(self, name: str) -> None:
        self.note(f"{name}: put right")
        self._repairs.pop(name)()

    def live(self, steps: int) -> None:
        """So many accidents, with repairs in between."""
        deck: list[Callable[[], None]] = []
        for _ in range(steps):
            if not deck:
                deck = self.accidents
                self.random.shuffle(deck)
            deck.pop()()
            time.sleep(self.random.uniform(0.3, 2))
            for name in sorted(self._repairs):
                if self.random.random() < 0.4:
                    self.repair(name)

    def evening(self) -> None:
        """Everything is put right, the repository first, and there is a last good commit."""
        for name in sorted(self._repairs, key=lambda name: name != "repository"):
            self.repair(name)
        self.commit("the last of the day")
        self.note(f"the evening; the last good commit is {self.good[:10]}")

    def forms(self) -> dict[str, str]:
        """What must stand nowhere, with a name for the report."""
        return {"the token": CANARY, "the token backwards": CANARY[::-1], "the password of the room": PASSWORD}


def void(_: object) -> None:
    """For a repair whose answer nobody needs."""
