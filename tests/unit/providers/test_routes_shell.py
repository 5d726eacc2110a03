"""The shell of routes, run for real by every shell of this machine: a whole switch with a proxy that is two commands."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from providers.base import Change, Facts, Step, Unknown
from providers.blue_green import SlotState
from providers.routes.answer import RouteAnswer
from providers.routes.kind import RouteProvider, RouteSpec
from providers.shell import Sh, lines, sh
from state.local import LocalChannel
from state.snapshot import Probe
from state.target import Target
from tests.unit.providers.here import SHELLS, Here, name_of

PROVIDER = RouteProvider()


@pytest.fixture(params=SHELLS, ids=name_of)
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Host:
    return Host(request.param, tmp_path)


class Host:
    """A project with two slots on this machine, and a file as its proxy."""

    def __init__(self, shell: Sequence[str], root: Path) -> None:
        self.here = Here(PROVIDER, shell)
        self.root, self.home = root, root / "it's $(home)"
        self.traffic = root / "traffic"
        self.memory = root / "inventory" / "projects" / "shop"
        self.memory.mkdir(parents=True)
        self.home.mkdir()
        self.traffic.write_text("none")

    def spec(self, tree: str, **fields: Any) -> RouteSpec:
        at = str(self.traffic)
        commands = {"switch": f'printf %s "$PORT" >"{at}"', "read": f'cat "{at}"', "listen": 80}
        basis = {"name": "shop", "path": str(self.home), "tree": tree, "ports": {"blue": 8081, "green": 8082}}
        return RouteSpec.model_validate(basis | {"proxy": {"command": commands}} | fields)

    def start(self, slot: str, tree: str, release: str) -> None:
        (self.home / "releases" / release).mkdir(parents=True, exist_ok=True)
        (self.memory / f"slot.{slot}").write_text(f"{tree} {release} 1\n")

    def run(self, body: Sh) -> subprocess.CompletedProcess[bytes]:
        return self.here.run(body, folder=str(self.root / "inventory"), uid="0")

    def ask(self, spec: RouteSpec) -> Any:
        done = self.run(PROVIDER.probe([spec]))
        assert (done.returncode, done.stderr) == (0, b"")
        return PROVIDER.parse(done.stdout, [spec]).get("shop", "left out")

    def aim(self, spec: RouteSpec) -> RouteSpec | Unknown:
        answers: dict[str, Any] = {"route:shop": self.ask(spec)}
        for slot in ("blue", "green"):
            note = self.memory / f"slot.{slot}"
            answers[f"slot:shop/{slot}"] = SlotState(tree=note.read_text().split()[0], running=True) if note.exists() else None
        return PROVIDER.aim(spec, answers)

    def steps(self, slot: str, spec: RouteSpec) -> list[Step]:
        found = self.ask(spec)
        before = found if isinstance(found, RouteAnswer) else None
        aimed = spec.aimed("green" if slot == "green" else "blue")
        return list(PROVIDER.steps([Change(aimed, before, PROVIDER.want(aimed), frozenset())], Facts()))

    def do(self, step: Step) -> subprocess.CompletedProcess[bytes]:
        own = sh("PATH=@bin@:$PATH", bin=str(self.root / "bin"))
        return self.run(lines([own, PROVIDER.library, step.run]))

    def install_docker(self, status: int) -> None:
        """Green was started by compose, and this is what the engine says."""
        (self.memory / "how.green").write_text("runner=compose\ncompose_project=shop\n")
        (self.root / "bin").mkdir()
        (self.root / "bin" / "docker").write_text(f"#!/bin/sh\nexit {status}\n")
        (self.root / "bin" / "docker").chmod(0o755)

    def go(self, slot: str, spec: RouteSpec, fail: int | None = None) -> list[int]:
        """All steps, in which the check with this number fails; the exit statuses of the rescues that followed."""
        rescued: list[int] = []
        checks, broken = 0, False
        for step in self.steps(slot, spec):
            if step.rescues:
                if broken:
                    return [*rescued, self.do(step).returncode]
            elif step.check is not None:
                broken = checks == fail
                checks += 1
            else:
                done = self.do(step)
                assert done.returncode == 0, done.stderr
        return rescued


def test_a_first_switch_settles_and_asks_for_nothing_more(host: Host) -> None:
    host.start("blue", "t1", "R1")
    host.traffic.write_text("8082")
    spec = host.spec("t1")
    host.go("blue", spec)
    assert host.ask(spec) == RouteAnswer(slot="blue", settled=True, soaked=False, loaded=True)
    assert (host.home / "current").readlink() == Path("releases/R1")
    assert not (host.memory / "trial").exists()


def switched(host: Host) -> RouteSpec:
    """Blue has the traffic and has passed; green holds another release."""
    host.start("blue", "t1", "R1")
    host.traffic.write_text("8082")
    host.go("blue", host.spec("t1"))
    host.start("green", "t2", "R2")
    return host.spec("t2")


def test_a_second_release_gets_the_traffic_and_the_link_follows(host: Host) -> None:
    spec = switched(host)
    host.go("green", spec)
    assert host.traffic.read_text() == "8082"
    assert (host.home / "current").readlink() == Path("releases/R2")
    assert host.ask(spec).settled
    assert {line.split()[0] for line in (host.memory / "good").read_text().splitlines()} == {"t1", "t2"}


def test_a_test_that_fails_on_the_own_port_leaves_the_traffic_and_quarantines(host: Host) -> None:
    spec = switched(host)
    assert host.go("green", spec, fail=0) == [0]
    found = host.ask(spec)
    assert (found.slot, found.settled, found.quarantine) == ("blue", True, ("t2",))
    told = host.aim(spec)
    assert isinstance(told, Unknown)
    assert "R2 failed its smoke test on the port of slot green" in told.reason
    assert isinstance(host.aim(host.spec("t2", settings="edited")), RouteSpec)


def test_a_test_that_fails_through_the_proxy_gives_the_traffic_back_and_quarantines(host: Host) -> None:
    spec = switched(host)
    assert host.go("green", spec, fail=1) == [0]
    found = host.ask(spec)
    assert host.traffic.read_text() == "8081"
    assert (found.slot, found.settled, found.quarantine) == ("blue", True, ("t2",))
    assert (host.home / "current").readlink() == Path("releases/R1")


@pytest.mark.parametrize(("fail", "back"), [(0, 1), (1, 0)], ids=["on its own port", "through the proxy"])
def test_a_release_is_not_to_blame_where_the_engine_that_runs_it_is_away(host: Host, fail: int, back: int) -> None:
    spec = switched(host)
    host.install_docker(status=1)
    assert host.go("green", spec, fail=fail) == [back]
    found = host.ask(spec)
    assert host.traffic.read_text() == "8081"
    assert (found.slot, found.settled, found.quarantine) == ("blue", True, None)
    assert isinstance(aimed := host.aim(spec), RouteSpec)
    assert aimed.target == "green"


def test_a_release_is_to_blame_where_the_engine_that_runs_it_is_there(host: Host) -> None:
    spec = switched(host)
    host.install_docker(status=0)
    assert host.go("green", spec, fail=0) == [0]
    assert host.ask(spec).quarantine == ("t2",)


def test_the_first_release_of_all_has_nothing_to_go_back_to(host: Host) -> None:
    host.start("blue", "t1", "R1")
    host.traffic.write_text("8082")
    assert host.go("blue", host.spec("t1"), fail=1) == [1]
    assert host.traffic.read_text() == "8081"
    assert isinstance(host.aim(host.spec("t1")), Unknown)


def test_a_release_that_failed_is_never_gone_back_to(host: Host) -> None:
    spec = switched(host)
    (host.memory / "quarantine").write_text("t1 1 x R1 proxy\n")
    assert host.go("green", spec, fail=1) == [1]
    assert host.traffic.read_text() == "8082"


def test_what_was_switched_and_not_noted_is_tested_and_noted_by_the_next_run(host: Host) -> None:
    spec = switched(host)
    for step in host.steps("green", spec)[:4]:
        if not step.rescues and step.check is None:
            assert host.do(step).returncode == 0
    assert not host.ask(spec).settled
    assert isinstance(aimed := host.aim(spec), RouteSpec)
    assert aimed.target == "green"
    host.go("green", spec)
    assert host.ask(spec).settled


def test_a_switch_that_fails_is_not_blamed_on_the_release(host: Host) -> None:
    spec = switched(host)
    refusing = host.spec("t2", proxy={"command": spec.commands.model_dump() | {"switch": "echo no >&2; exit 3"}})
    begin, switch = host.steps("green", refusing)[0], host.steps("green", refusing)[3]
    assert host.do(begin).returncode == 0
    done = host.do(switch)
    assert done.returncode == 1
    assert b"the switch command failed" in done.stderr
    assert host.ask(spec).quarantine is None


def test_a_release_that_changes_between_its_test_and_the_note_is_not_noted(host: Host) -> None:
    spec = switched(host)
    found = host.steps("green", spec)
    for number in (0, 3):
        assert host.do(found[number]).returncode == 0
    host.start("green", "t3", "R3")
    done = host.do(found[-1])
    assert done.returncode == 1
    assert b"another release meanwhile" in done.stderr


def test_a_slot_without_a_release_gets_no_traffic(host: Host) -> None:
    begin = host.steps("green", host.spec("t1"))[0]
    assert host.do(begin).returncode == 1


def test_a_directory_named_current_is_kept(host: Host) -> None:
    spec = switched(host)
    (host.home / "current").unlink()
    (host.home / "current").mkdir()
    found = host.steps("green", spec)
    for number in (0, 3):
        assert host.do(found[number]).returncode == 0
    assert host.do(found[-1]).returncode != 0
    assert (host.home / "current").is_dir()


@pytest.mark.parametrize("said", ["", "boing", "8083", "blue green", "$(id)", "\x1b[31m", "a\nb"])
def test_what_a_command_prints_besides_is_shown_and_never_run(host: Host, said: str) -> None:
    host.traffic.write_text(said)
    found = host.ask(host.spec("t1"))
    assert isinstance(found, Unknown)
    assert repr(said.strip()) in found.reason


def test_a_command_that_fails_is_unknown_once_a_slot_has_had_the_traffic(host: Host) -> None:
    spec = host.spec("t1", proxy={"command": {"switch": "true", "read": "exit 4", "listen": 80}})
    (host.memory / "route").unlink(missing_ok=True)
    assert host.ask(spec) is None
    (host.memory / "route").write_text("blue 1800000000\n")
    assert isinstance(host.ask(spec), Unknown)


@pytest.mark.parametrize("proxy", ["nginx", "caddy", "haproxy"])
def test_a_proxy_that_is_not_there_is_asked_without_a_word_on_stderr(host: Host, proxy: str) -> None:
    spec = host.spec("t1", proxy={proxy: {"site": "shop.lan", "config": f"{host.root}/etc"}})
    done = host.run(PROVIDER.probe([spec]))
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.endswith(b"\nend\n")


def test_the_probe_waits_no_longer_than_its_patience_for_a_command(host: Host) -> None:
    assert shutil.which("timeout")
    done = host.run(lines([PROVIDER.library, sh("command_read 'sleep 0.1; echo blue' && echo said $said")]))
    assert done.stdout == b"said blue\n"


def soaked(host: Host, since: object, *failed: str) -> bool:
    """Whether ten minutes are over: blue has the traffic since then, and green holds the release t2."""
    host.traffic.write_text("blue")
    host.start("green", "t2", "R2")
    (host.memory / "route").write_text(f"blue {since}\n")
    (host.memory / "quarantine").write_text("".join(f"{line}\n" for line in failed))
    found = host.ask(host.spec("t1", soak=600))
    assert isinstance(found, RouteAnswer)
    return bool(found.soaked)


def test_the_soak_is_over_when_its_time_is(host: Host) -> None:
    now = int(time.time())
    assert soaked(host, now - 600)
    assert not soaked(host, now - 590)
    assert not soaked(host, now + 3600), "the clock was set back"


def test_what_failed_stays_as_long_as_an_old_slot_would(host: Host) -> None:
    now = int(time.time())
    assert soaked(host, 1, f"t2 {now - 600} x R2 proxy")
    assert not soaked(host, 1, f"t2 {now - 590} x R2 proxy")
    assert soaked(host, 1, f"t9 {now - 590} x R9 proxy"), "another release"


@pytest.mark.parametrize("since", ["", "x", "08", "-5", "1" * 40, "$(id)", "a[$(id)]"])
def test_a_time_that_is_none_is_no_time_to_reckon_with(host: Host, since: str) -> None:
    assert not soaked(host, since)
    assert soaked(host, 1, f"t2 {since} x R2 proxy")


async def test_a_route_on_which_nothing_happens_is_read_once_until_its_soak_is_over(tmp_path: Path) -> None:
    host = Host(["sh"], tmp_path)
    host.traffic.write_text("blue")
    host.start("green", "t2", "R2")
    spec = host.spec("t1", soak=3)
    probe = Probe([(PROVIDER, [spec])], str(tmp_path / "inventory"))
    channel = LocalChannel(Target("nas", "local"))
    (host.memory / "route").write_text(f"blue {int(time.time())}\n")
    first = await probe.ask(channel)
    await asyncio.sleep(1.1)
    assert await probe.ask(channel) is first
    end = time.monotonic() + 60
    while (last := await probe.ask(channel)) is first:
        assert time.monotonic() < end
        await asyncio.sleep(0.2)
    told = [snapshot.answers[spec.ref] for snapshot in (first, last)]
    assert [isinstance(answer, RouteAnswer) and answer.soaked for answer in told] == [False, True]
    assert await probe.ask(channel) is last
