"""`reconcile run` as a whole program, against a real sshd: what it says, what it does when it is told to stop, how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fleet import Fleet, reconcile_command
from tests.sshd import USER, Sshd, make_key
from tests.unit.reconciler.loop.boxes import Boxes
from tests.unit.reconciler.loop.turning import LONG, PATIENCE, SHORT, WAITS

QUIET = ("--no-listen", "--no-alerts")


@dataclass(slots=True)
class Running:
    """A loop in a process of its own."""

    process: subprocess.Popen[str]
    log: Path

    def until(self, true: Callable[[], object], seconds: float = PATIENCE) -> None:
        """The machine may be busy with other things: a deadline is there to end a test that fails, not to measure."""
        end = time.monotonic() + seconds
        while not true():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.05)

    def says(self, words: str) -> None:
        self.until(lambda: words in self.log.read_text())

    def told(self, number: int, seconds: float = PATIENCE) -> int:
        self.process.send_signal(number)
        return self.process.wait(seconds)


@contextlib.contextmanager
def running(fleet: Fleet, state: Path, *arguments: str) -> Iterator[Running]:
    log = state / "log"
    command = [reconcile_command(), "-C", str(fleet.root), "run", "--state", str(state), *QUIET, *arguments]
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=fleet.home, env=fleet.environment, stderr=file, stdout=file, text=True)
    try:
        yield Running(process, log)
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def server(fleet: Fleet, tmp_path: Path) -> Iterator[Sshd]:
    key = make_key(tmp_path / "key")
    fleet.add_key(key)
    server = Sshd(tmp_path / "sshd", key)
    server.start()
    yield server
    server.stop()


def remote(boxes: Boxes, server: Sshd, name: str, rest: str) -> dict[str, str]:
    files = boxes.manifest(name, rest)
    text = files[f"hosts/{name}.yaml"].replace("address: local", f"address: {USER}@127.0.0.1:{server.port}")
    return {f"hosts/{name}.yaml": text, "hosts/known_hosts": server.pin}


def one_pass(fleet: Fleet, state: Path, *arguments: str) -> tuple[int, str]:
    result = fleet.run("run", "--once", "--state", str(state), "--no-alerts", *arguments)
    return result.code, result.err


def test_it_says_what_it_follows_and_heals_over_ssh_and_leaves_in_order(
    fleet: Fleet, boxes: Boxes, state: Path, server: Sshd
) -> None:
    fleet.commit({"fleet.yaml": SHORT, **remote(boxes, server, "nas", 'files:\n  @/motd: {content: "hello\\n"}\n')}, "begin")
    motd = boxes.folder("nas") / "motd"
    with running(fleet, state) as loop:
        loop.says(f"following {fleet.root}, the branch that is checked out (main)")
        loop.says(f"state={state}")
        loop.says("is in force: begin")
        loop.says("converged, 1 of 1 done")
        motd.write_text("edited\n")
        loop.until(lambda: motd.read_text() == "hello\n")
        assert loop.told(signal.SIGTERM) == 0
        assert "left in order" in loop.log.read_text()
    assert server.log.count("Accepted publickey") == 1, "one connection serves all cycles"


def test_a_connection_that_breaks_is_made_anew_and_is_no_trouble_of_the_host(
    fleet: Fleet, boxes: Boxes, state: Path, server: Sshd
) -> None:
    fleet.commit({"fleet.yaml": SHORT, **remote(boxes, server, "nas", 'files:\n  @/motd: {content: "hello\\n"}\n')})
    with running(fleet, state) as loop:
        loop.says("converged, 1 of 1 done")
        for process in server.connections():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        loop.until(lambda: server.log.count("Accepted publickey") == 2)
        assert "unreachable" not in loop.log.read_text()


def test_sigterm_lets_the_running_step_end_and_begins_no_other(fleet: Fleet, boxes: Boxes, state: Path, server: Sshd) -> None:
    steps = f'commands:\n  first: {{run: "{WAITS}; touch @/first", creates: "@/first"}}\n'
    steps += '  second: {run: "touch @/second", creates: "@/second", needs: ["command:first"]}\n'
    fleet.commit({"fleet.yaml": LONG, **remote(boxes, server, "nas", steps)})
    box = boxes.folder("nas")
    with running(fleet, state) as loop:
        loop.until((box / "begun").exists)
        loop.process.send_signal(signal.SIGTERM)
        loop.says("told to stop")
        (box / "go").touch()
        assert loop.process.wait(PATIENCE) == 0
        assert (box / "first").exists()
        assert not (box / "second").exists()
    assert one_pass(fleet, state)[0] == 0
    assert (box / "second").exists()


def test_a_second_signal_leaves_at_once(fleet: Fleet, boxes: Boxes, state: Path, server: Sshd) -> None:
    steps = f'commands:\n  first: {{run: "{WAITS}; touch @/first", creates: "@/first"}}\n'
    fleet.commit({"fleet.yaml": LONG, **remote(boxes, server, "nas", steps)})
    box = boxes.folder("nas")
    with running(fleet, state) as loop:
        loop.until((box / "begun").exists)
        loop.process.send_signal(signal.SIGINT)
        loop.says("told to stop")
        time.sleep(1)  # what comes at once after the first one is the same signal
        assert loop.told(signal.SIGTERM) == -signal.SIGTERM
        assert not (box / "first").exists(), "it did not wait for the step"
        (box / "go").touch()


def test_sighup_reads_keys_again_without_ending_anything(fleet: Fleet, boxes: Boxes, state: Path, server: Sshd) -> None:
    fleet.commit({"fleet.yaml": SHORT, **remote(boxes, server, "nas", 'files:\n  @/motd: {content: "hello\\n"}\n')})
    with running(fleet, state) as loop:
        loop.until((boxes.folder("nas") / "motd").exists)
        loop.process.send_signal(signal.SIGHUP)
        loop.says("reading everything again")
        loop.until(lambda: server.log.count("Accepted publickey") == 2)
        assert loop.told(signal.SIGTERM) == 0


def test_the_second_loop_on_one_state_folder_says_who_holds_it(fleet: Fleet, boxes: Boxes, state: Path) -> None:
    fleet.commit({"fleet.yaml": LONG, **boxes.with_file("nas", "hello")})
    with running(fleet, state) as loop:
        loop.says("is in force")
        code, said = one_pass(fleet, state)
        assert code == 5, said
        assert f"another loop works from {state}: process {loop.process.pid} on " in said
        loop.told(signal.SIGKILL)
    assert one_pass(fleet, state)[0] == 0, "a lock never outlives its owner"


def test_what_it_says_can_be_read_by_programs(fleet: Fleet, boxes: Boxes, state: Path) -> None:
    fleet.commit({"fleet.yaml": LONG, **boxes.with_file("nas", "hello")})
    _, said = one_pass(fleet, state, "--log-format", "json")
    lines = [json.loads(line) for line in said.splitlines()]
    done = next(line for line in lines if "write file" in line["message"])
    assert done["host"] == "nas"
    assert len(done["run"]) == 12


def test_a_pass_that_finds_all_well_ends_with_0(fleet: Fleet, boxes: Boxes, state: Path) -> None:
    fleet.commit({"fleet.yaml": LONG, **boxes.with_file("nas", "hello"), **boxes.with_file("web", "hello")})
    assert one_pass(fleet, state)[0] == 0
    assert boxes.text("nas") == boxes.text("web") == "hello\n"
    assert one_pass(fleet, state)[0] == 0


@pytest.mark.parametrize(
    ("code", "files"),
    [
        (1, {"hosts/bad.yaml": "adress: local\n"}),
        (3, {"hosts/bad.yaml": "@@commands:\n  x: {run: 'false', creates: /nowhere/x}\n"}),
        (4, {"hosts/bad.yaml": "address: ops@127.0.0.1:1\n"}),
        (0, {"hosts/bad.yaml": "address: ops@127.0.0.1:1\navailability: intermittent\n"}),
        (5, {"hosts/bad.yaml": "@@suspend: {reason: moving}\nfiles: {'@/x': {content: x}}\n"}),
    ],
    ids=["invalid", "failed", "unreachable", "away", "suspended"],
)
def test_the_exit_code_of_a_pass_says_what_a_person_must_act_on(
    fleet: Fleet, boxes: Boxes, state: Path, code: int, files: dict[str, str]
) -> None:
    text = files["hosts/bad.yaml"]
    made = boxes.manifest("bad", text.removeprefix("@@")) if text.startswith("@@") else files
    fleet.commit({"fleet.yaml": LONG, **boxes.with_file("nas", "hello")})
    assert one_pass(fleet, state)[0] == 0
    fleet.commit(made)
    (boxes.root / "nas/motd").write_text("edited\n" if code not in (1, 5) else "hello\n")
    found, said = one_pass(fleet, state)
    assert found == code, said
    assert boxes.text("nas") == "hello\n", "what can be done elsewhere is done all the same"


def test_deletions_over_the_budget_end_a_pass_with_5_and_stay(fleet: Fleet, boxes: Boxes, state: Path) -> None:
    both = {**boxes.with_file("one", "x"), **boxes.with_file("two", "x")}
    fleet.commit({"fleet.yaml": f"{LONG}max_deletions: 1\n", **both})
    assert one_pass(fleet, state)[0] == 0
    fleet.commit({**boxes.manifest("one"), **boxes.manifest("two")})
    code, said = one_pass(fleet, state)
    assert code == 5, said
    assert "reconcile apply --allow-deletions 2" in said
    assert boxes.text("one") == boxes.text("two") == "x\n"


def test_a_bad_commit_leaves_the_good_one_in_force(fleet: Fleet, boxes: Boxes, state: Path) -> None:
    fleet.commit({"fleet.yaml": LONG, **boxes.with_file("nas", "hello")})
    assert one_pass(fleet, state)[0] == 0
    fleet.commit({"hosts/nas.yaml": "adress: local\n"})
    (boxes.root / "nas/motd").write_text("edited\n")
    code, said = one_pass(fleet, state)
    assert code == 1, said
    assert boxes.text("nas") == "hello\n"


def test_what_another_controller_brought_is_not_taken_back_before_git_was_asked(
    fleet: Fleet, boxes: Boxes, state: Path
) -> None:
    """Two loops on one fleet: the one that has not looked yet must not undo what the other did."""
    fleet.commit({"fleet.yaml": "interval: 1s\npoll: 1h\n", **boxes.with_file("nas", "old")})
    with running(fleet, state) as loop:
        loop.says("1 of 1 done")
        newest = fleet.commit(boxes.with_file("nas", "new"))
        assert fleet.apply().code == 0
        loop.says(f"commit {newest[:10]} is in force")
        text = loop.log.read_text()
        assert text.count("write file") == 1, text
    assert boxes.text("nas") == "new\n"
