"""A host's report: what it says is read, and what it does not say is unknown."""

from __future__ import annotations

from pathlib import Path

import pytest

from providers.base import Unknown
from providers.files import FileProvider, FileSpec
from state.channel import LoginError
from state.snapshot import Probe, Snapshot
from tests.unit.state.conftest import Open, StartServer

HERE = FileSpec(name="/etc/hostname", mode="0644")


def probe(folder: Path) -> Probe:
    return Probe([(FileProvider(), [HERE])], str(folder / "inventory"))


async def test_a_login_that_runs_nothing_is_told_with_its_own_words(
    start_server: StartServer, open_channel: Open, tmp_path: Path
) -> None:
    channel = await open_channel(start_server("ForceCommand echo 'This account is not available.'; exit 1"))
    with pytest.raises(LoginError, match=r"did not run our script, but said: This account is not available\."):
        await probe(tmp_path).ask(channel)


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.95])
async def test_what_a_cut_report_does_not_hold_is_unknown(
    open_channel: Open, start_server: StartServer, tmp_path: Path, cut: float
) -> None:
    asked = probe(tmp_path)
    channel = await open_channel(start_server())
    output = await channel.run(asked.script.text)
    short = type(output)(output.stdout[: int(len(output.stdout) * cut)], output.stderr, None)
    found = asked.read(short)
    assert isinstance(found, Snapshot)
    answer = found.answers[HERE.ref]
    assert isinstance(answer, Unknown) or answer == asked.read(output).answers[HERE.ref]


async def test_the_host_is_asked_only_once_what_it_is(open_channel: Open, start_server: StartServer, tmp_path: Path) -> None:
    asked = probe(tmp_path)
    folder = tmp_path / "inventory"
    folder.mkdir()
    (folder / "inventory").write_text("reconciler-inventory 1 0123456789abcdef\n{}\n")
    channel = await open_channel(start_server())
    first, second = await asked.ask(channel), await asked.ask(channel)
    assert first.facts == second.facts
    assert second.facts.kernel
    assert first.inventory == second.inventory
    assert b"os-release" not in asked.script.text
    (folder / "inventory").write_text('reconciler-inventory 1 1111111111111111\n{"commit":"new"}\n')
    third = await asked.ask(channel)
    assert third.inventory is not None
    assert third.inventory.record.commit == "new"
