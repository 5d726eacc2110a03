"""An apply's script: under one lock, journalled, stopped at a step boundary, and never leaving anything behind."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from providers.base import Step
from providers.shell import Sh, sh
from state.frames import Frame, finished, frames, stopped
from state.script import INLINE, Compiled, PlannedStep, compile_apply, staged_name
from tests.unit.state.shells import SHELLS, name_of, run_script

every_shell = pytest.mark.parametrize("shell", SHELLS, ids=name_of)
JOURNAL = '{"format":1}\n{"commit":"x"}\n'


def step(run: Sh, *, blob: bytes | None = None, after: tuple[int, ...] = (), timeout: int = 30) -> PlannedStep:
    return PlannedStep(Step(("file:/x",), "do it", run, blob, timeout), after)


def script(folder: Path, *steps: PlannedStep, expected: str = "none") -> Compiled:
    return compile_apply(steps, expected=expected, journal=JOURNAL, inventory=str(folder))


def answers(shell: list[str], compiled: Compiled) -> dict[int, Frame]:
    done = run_script(shell, compiled.text)
    assert finished(done.stdout, compiled.nonce), done.stderr
    return frames(done.stdout, done.stderr, compiled.nonce)


def digest_of(folder: Path) -> str:
    """What a plan made now would expect of the inventory."""
    inventory = folder / "inventory"
    return hashlib.sha256(inventory.read_bytes()).hexdigest() if inventory.exists() else "none"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "it's $HOME" / "inventory"


@every_shell
def test_steps_run_in_order_and_tell_what_they_printed(shell: list[str], folder: Path, tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    steps = [step(sh("echo @number@ | tee -a @log@; exit @status@", number=n, log=log, status=n)) for n in range(3)]
    found = answers(shell, script(folder, *steps))
    assert [(found[n].status, found[n].out) for n in range(3)] == [("0", b"0\n"), ("1", b"1\n"), ("2", b"2\n")]
    assert Path(log).read_text() == "0\n1\n2\n"


@every_shell
def test_a_failed_step_skips_only_what_depends_on_it(shell: list[str], folder: Path) -> None:
    steps = [step(sh("false")), step(sh(":"), after=(0,)), step(sh(":"), after=(1,)), step(sh("echo free"))]
    found = answers(shell, script(folder, *steps))
    assert [found[n].status for n in range(4)] == ["1", "skipped", "skipped", "0"]


@every_shell
@pytest.mark.parametrize("size", [0, 1, 5000, INLINE])
def test_content_arrives_byte_for_byte(shell: list[str], folder: Path, tmp_path: Path, size: int) -> None:
    content = (bytes(range(256)) * (size // 256 + 1))[:size]
    target = tmp_path / "target"
    found = answers(shell, script(folder, step(sh('cat "$blob" >@target@', target=str(target)), blob=content)))
    assert found[0].ok, found[0].out
    assert target.read_bytes() == content


@every_shell
def test_large_content_is_taken_from_where_it_was_uploaded_and_only_if_it_is_whole(shell: list[str], folder: Path) -> None:
    content = bytes(INLINE + 1)
    staged = folder / "staged" / staged_name(content)
    staged.parent.mkdir(parents=True)
    staged.write_bytes(content[:-1])
    compiled = script(folder, step(sh('wc -c <"$blob"'), blob=content))
    assert answers(shell, compiled)[0].status == "74"
    (folder / "inventory").unlink()
    staged.parent.mkdir()
    staged.write_bytes(content)
    found = answers(shell, script(folder, *[step(sh('wc -c <"$blob"'), blob=content)] * 2))
    assert [(found[n].status, found[n].out.strip()) for n in (0, 1)] == [("0", str(INLINE + 1).encode())] * 2
    assert not staged.parent.exists()


@every_shell
def test_a_step_that_does_not_end_is_ended_with_all_it_started(shell: list[str], folder: Path) -> None:
    began = time.monotonic()
    mine = 100_000 + os.getpid()  # tests run side by side
    found = answers(shell, script(folder, step(sh("sleep @n@ & sleep @n@", n=mine), timeout=1), step(sh("echo next"))))
    assert (found[0].status, found[1].out) == ("late", b"next\n")
    assert time.monotonic() - began < 15
    assert subprocess.run(["pgrep", "-f", f"sleep {mine}"], check=False).returncode == 1


@every_shell
def test_nothing_is_left_but_the_inventory_and_the_lock_file(shell: list[str], folder: Path) -> None:
    answers(shell, script(folder, step(sh('echo x >"$stage/rest"; mkdir "$stage/more"; echo y >"$blob.part"'), blob=b"z")))
    assert sorted(entry.name for entry in folder.iterdir()) == ["inventory", "lock"]
    assert folder.stat().st_mode & 0o777 == 0o700


@every_shell
def test_what_a_killed_step_was_to_put_in_the_place_of_a_projects_file_goes(shell: list[str], folder: Path) -> None:
    project = folder / "projects" / "shop.new"
    (project / "releases").mkdir(parents=True)
    for name in ("route", ".route.new", "kept.new", "releases/R1.index", "releases/R1.stamps.new"):
        (project / name).touch()
    answers(shell, script(folder, step(sh("true"))))
    left = [str(path.relative_to(project)) for path in sorted(project.rglob("*")) if path.is_file()]
    assert left == ["releases/R1.index", "route"]


@every_shell
def test_the_journal_is_in_place_before_the_first_step_and_tells_how_far_it_came(shell: list[str], folder: Path) -> None:
    inventory = str(folder / "inventory")
    found = answers(shell, script(folder, step(sh("cat @inventory@", inventory=inventory)), step(sh("exit 9"))))
    assert found[0].out.decode() == JOURNAL
    lines = (folder / "inventory").read_text().removeprefix(JOURNAL).splitlines()
    assert [json.loads(line) for line in lines] == [{"step": 0, "status": "0"}, {"step": 1, "status": "9"}]


@every_shell
def test_nothing_is_done_when_the_inventory_is_not_the_one_the_plan_saw(shell: list[str], folder: Path, tmp_path: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "inventory").write_text("other\n")
    mark = tmp_path / "mark"
    compiled = script(folder, step(sh("touch @mark@", mark=str(mark))))
    done = run_script(shell, compiled.text)
    assert stopped(done.stdout, compiled.nonce) == "stale"
    assert not mark.exists()
    assert (folder / "inventory").read_text() == "other\n"
    digest = hashlib.sha256(b"other\n").hexdigest()
    answers(shell, script(folder, step(sh("touch @mark@", mark=str(mark))), expected=digest))
    assert mark.exists()


@every_shell
def test_two_runs_never_work_at_the_same_time(shell: list[str], folder: Path, tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    work = sh("echo in >>@log@; sleep 1; echo out >>@log@", log=log)
    first, second = script(folder, step(work)), script(folder, step(work))
    with ThreadPoolExecutor(2) as pool:
        outputs = [done.stdout for done in pool.map(lambda compiled: run_script(shell, compiled.text), (first, second))]
    assert Path(log).read_text() == "in\nout\n"
    reasons = {stopped(output, compiled.nonce) for output, compiled in zip(outputs, (first, second), strict=True)}
    assert reasons == {None, "stale"}, "the second one waited, and then saw that the first had been there"


@every_shell
def test_without_flock_the_lock_of_a_dead_run_is_taken_over(shell: list[str], folder: Path, tmp_path: Path) -> None:
    hidden = tmp_path / "bin"
    hidden.mkdir()
    text = script(folder, step(sh("echo worked"))).text.replace(b"command -v flock", b"command -v no-such-flock")
    folder.mkdir(parents=True)
    (folder / "lock.held").write_text(f"{os.getpid()}.1.another-boot")  # our number, but we were not started then
    (folder / "lock.1234").write_text("what a run that was killed left")
    done = run_script(shell, text)
    assert b"worked" in done.stdout
    assert sorted(entry.name for entry in folder.iterdir()) == ["inventory", "lock"]


def children_of(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in found.stdout.split()]


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 10
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)


@pytest.fixture
def long_run(folder: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A run that is in the middle of a step of two seconds."""
    log = tmp_path / "log"
    compiled = script(
        folder, step(sh("echo in >>@log@; sleep 2; echo out >>@log@", log=str(log))), step(sh("echo two >>@log@", log=str(log)))
    )
    with subprocess.Popen(SHELLS[0], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        process.stdin.write(compiled.text)
        process.stdin.close()
        wait_for(log)
        yield process, log
        process.kill()


def test_when_the_controller_goes_away_the_step_is_finished_and_the_next_is_not_begun(
    long_run: tuple[subprocess.Popen[bytes], Path], folder: Path
) -> None:
    process, log = long_run
    assert process.stdout is not None
    process.stdout.close()
    process.wait(20)
    assert log.read_text() == "in\nout\n"
    assert '"step":0,"status":"0"' in (folder / "inventory").read_text()
    assert sorted(entry.name for entry in folder.iterdir()) == ["inventory", "lock"]


def test_when_the_hosts_shell_is_killed_the_next_run_waits_for_the_step_that_is_still_at_work(
    long_run: tuple[subprocess.Popen[bytes], Path], folder: Path
) -> None:
    process, log = long_run
    process.send_signal(signal.SIGKILL)
    process.wait()
    found = answers(SHELLS[0], script(folder, step(sh("cat @log@", log=str(log))), expected=digest_of(folder)))
    assert found[0].out == b"in\nout\n", "the next run began while the orphan was at work"
    assert sorted(entry.name for entry in folder.iterdir()) == ["inventory", "lock"]


def clock_of(folder: Path) -> int:
    """The process that ends the step at work when its time is up."""
    return int((folder / "running").read_text().split()[1].partition(".")[0])


def test_a_step_that_outlived_its_shell_is_not_cut_while_its_own_clock_runs(
    long_run: tuple[subprocess.Popen[bytes], Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, log = long_run
    process.kill()
    monkeypatch.setattr("state.script.PATIENCE", 0)
    compiled = script(folder, step(sh("echo worked")), expected=digest_of(folder))
    assert stopped(run_script(SHELLS[0], compiled.text).stdout, compiled.nonce) == "locked"
    time.sleep(2.5)
    assert log.read_text() == "in\nout\n"


def test_a_step_that_outlived_its_shell_and_its_clock_is_ended(
    long_run: tuple[subprocess.Popen[bytes], Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, log = long_run
    process.kill()
    os.kill(clock_of(folder), signal.SIGKILL)
    monkeypatch.setattr("state.script.PATIENCE", 0)
    found = answers(SHELLS[0], script(folder, step(sh("cat @log@", log=str(log))), expected=digest_of(folder)))
    assert found[0].out == b"in\n"


def test_the_clock_of_a_dead_run_goes_with_its_step_and_ends_no_later_one(folder: Path, tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    compiled = script(folder, step(sh("echo in >>@log@; sleep 1", log=log), timeout=3))
    with subprocess.Popen([*SHELLS[0]], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        process.stdin.write(compiled.text)
        process.stdin.close()
        wait_for(tmp_path / "log")
        clock = clock_of(folder)
        process.kill()
    found = answers(SHELLS[0], script(folder, step(sh("sleep 4; echo whole")), expected=digest_of(folder)))
    assert (found[0].status, found[0].out) == ("0", b"whole\n")
    assert not Path(f"/proc/{clock}").exists() or " Z " in Path(f"/proc/{clock}/stat").read_text()


def test_a_daemon_started_by_a_step_does_not_keep_the_lock(folder: Path) -> None:
    daemon = step(sh("setsid sleep 7 >/dev/null 2>&1 & echo started"))
    assert answers(SHELLS[0], script(folder, daemon))[0].ok
    began = time.monotonic()
    assert answers(SHELLS[0], script(folder, step(sh(":")), expected=digest_of(folder)))[0].ok
    assert time.monotonic() - began < 5


def test_steps_start_with_the_signals_as_the_shell_found_them(folder: Path) -> None:
    """What is ignored stays ignored in every daemon that a step starts."""
    ask = sh("grep -E '^Sig(Ign|Blk)' /proc/self/status")
    found = answers(SHELLS[0], script(folder, step(ask)))
    assert found[0].out == run_script(SHELLS[0], ask.encode() + b"\n").stdout


def test_a_folder_that_cannot_be_made_is_told_and_no_step_is_run() -> None:
    compiled = compile_apply([step(sh(":"))], expected="none", journal=JOURNAL, inventory="/proc/no-such-place")
    assert stopped(run_script(SHELLS[0], compiled.text).stdout, compiled.nonce) == "folder"


@every_shell
def test_a_folder_that_cannot_be_written_is_told_and_no_step_is_run(shell: list[str], folder: Path) -> None:
    (folder / "lock").mkdir(parents=True)  # root may write everywhere, but not through this
    compiled = script(folder, step(sh("echo worked")))
    done = run_script(shell, compiled.text)
    assert (stopped(done.stdout, compiled.nonce), b"worked" in done.stdout) == ("folder", False)


@every_shell
def test_what_was_skipped_is_in_the_journal_too(shell: list[str], folder: Path) -> None:
    answers(shell, script(folder, step(sh("false")), step(sh(":"), after=(0,)), step(sh(":"))))
    lines = (folder / "inventory").read_text().removeprefix(JOURNAL).splitlines()
    assert [json.loads(line)["status"] for line in lines] == ["1", "skipped", "0"]


@every_shell
def test_a_run_whose_journal_cannot_be_written_stops_after_the_step_and_says_why(shell: list[str], folder: Path) -> None:
    # As if the disk were full: the line has nowhere to go.
    lost = step(sh("rm -f @file@ && mkdir @file@", file=str(folder / "inventory")))
    compiled = script(folder, lost, step(sh("echo worked")))
    done = run_script(shell, compiled.text)
    assert stopped(done.stdout, compiled.nonce) == "stage"
    assert frames(done.stdout, done.stderr, compiled.nonce)[0].ok
    assert b"worked" not in done.stdout


@every_shell
def test_the_litter_of_a_step_that_was_killed_is_swept_away_and_nothing_else(
    shell: list[str], folder: Path, tmp_path: Path
) -> None:
    litter, other = tmp_path / "a\n-b", tmp_path / "other"
    for place in (litter, other):
        place.mkdir(mode=0o700)
        (place / "-rf *\n").touch()
        (place / ".hidden").touch()
    (tmp_path / "link").symlink_to(other)
    for path in (litter, tmp_path / "link"):
        noted = step(sh('printf "%s\\n" @path@ >"$litter"; exit 1', path=str(path)))
        answers(shell, script(folder, noted, expected=digest_of(folder)))
    assert not litter.exists()
    assert sorted(entry.name for entry in other.iterdir()) == ["-rf *\n", ".hidden"]
