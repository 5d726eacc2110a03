"""Many hosts at once: what becomes of one never stops another."""

from __future__ import annotations

from pathlib import Path

import pytest

from desired.model import Address, Fleet, Host, Place
from providers.files import FileProvider
from reconciler.errors import Exit
from reconciler.fleet_run import FleetRun, exit_code
from tests.unit.reconciler.hosts import COMMIT, Box


def fleet_of(*hosts: Host) -> Fleet:
    return Fleet(COMMIT, {host.name: host for host in hosts})


def named(box: Box, name: str, address: str = "local") -> Host:
    host = box.host()
    return Host(name, Place(f"hosts/{name}.yaml"), Address(address), inventory=host.inventory, resources=host.resources)


async def test_an_unreachable_host_stands_beside_the_others(tmp_path: Path) -> None:
    (tmp_path / "up").mkdir()
    box = Box(tmp_path / "up")
    box.file("f")
    hosts = [named(box, "down", "no-such-host.invalid"), named(box, "up")]
    async with FleetRun(fleet_of(*hosts), hosts) as run:
        plan = await run.survey()
        assert [(host.host, host.problem_kind, len(host.actions)) for host in plan.hosts] == [
            ("down", "unreachable", 0),
            ("up", None, 1),
        ]
        await run.converge()
        assert (tmp_path / "up/f").exists()
        assert exit_code(run.runs.values()) is Exit.UNREACHABLE


async def test_a_fault_of_our_own_on_one_host_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = [Box(tmp_path / name) for name in ("bad", "good")]
    for box in boxes:
        box.folder.mkdir()
        box.file("f")
    real = FileProvider.parse

    def faulty(self: FileProvider, out: bytes, specs: object) -> object:
        if b"/bad/" in out:
            raise ZeroDivisionError("by accident")
        return real(self, out, specs)  # type: ignore[arg-type]  # handed on as it came

    monkeypatch.setattr(FileProvider, "parse", faulty)
    hosts = [named(box, box.folder.name) for box in boxes]
    async with FleetRun(fleet_of(*hosts), hosts) as run:
        plan = await run.survey()
        assert [host.problem_kind for host in plan.hosts] == ["fault", None]
        assert "ZeroDivisionError: by accident" in (plan.hosts[0].problem or "")
        assert "test_fleet_run.py" in plan.hosts[0].hint
        await run.converge()
        assert exit_code(run.runs.values()) is Exit.INVALID
    assert (tmp_path / "good/f").exists()
    assert not (tmp_path / "bad/f").exists()


async def test_a_host_that_was_given_another_commit_meanwhile_is_not_taken_back(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.file("f", "ours\n")
    hosts = [named(box, "up")]
    newer = Box(tmp_path)
    newer.file("f", "newer\n")
    theirs = Fleet("d" * 40, {"up": named(newer, "up")})
    async with FleetRun(fleet_of(*hosts), hosts) as run, FleetRun(theirs, list(theirs.hosts.values())) as other:
        await run.survey()
        await other.survey()
        await other.converge()
        await run.converge(exact=False)
        outcome = run.runs["up"].outcome
    assert outcome is not None
    assert outcome.status == "stale"
    assert (tmp_path / "f").read_text() == "newer\n"


async def test_what_nobody_looked_at_is_planned_anew_when_another_run_came_in_between(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.file("f", "first\n")
    hosts = [named(box, "up")]
    for exact, status, text in ((True, "stale", "by hand\n"), (False, "converged", "first\n")):
        async with FleetRun(fleet_of(*hosts), hosts) as run:
            await run.survey()
            async with FleetRun(fleet_of(*hosts), hosts) as other:
                await other.survey()
                box.inventory.unlink(missing_ok=True)
                await other.converge()
            (tmp_path / "f").write_text("by hand\n")
            await run.converge(exact=exact)
            outcome = run.runs["up"].outcome
            assert outcome is not None
            assert (outcome.status, (tmp_path / "f").read_text()) == (status, text)
