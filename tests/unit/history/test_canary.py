"""A step that tells a secret in every way a shell knows, run by the loop: nothing of it is in the history or told from it."""

from __future__ import annotations

from pathlib import Path

from tests.sshd import USER, Sshd
from tests.unit.reconciler.test_secret_canary import LEAK, Canary, canary, sshd

__all__ = ["canary", "sshd"]


def test_a_secret_that_a_host_repeats_is_neither_kept_nor_told(canary: Canary, sshd: Sshd, tmp_path: Path) -> None:
    (canary.host / "leak").write_text(LEAK)
    canary.commit(f"{USER}@127.0.0.1:{sshd.port}", validate=f"bash {canary.host}/leak {{}}")
    state = tmp_path / "state"

    def run(*arguments: str) -> str:
        done = canary.fleet.run(*arguments, "--state", str(state))
        assert not canary.found_in(done.out + done.err), arguments
        return done.out

    run("run", "--once")
    failed = [line.split()[-1] for line in run("history").splitlines() if ", failed: file:" in line]
    assert len(failed) == 1
    assert "[secret]" in run("history", failed[0])
    for arguments in (["history", "--json"], ["history", failed[0], "--json"], ["drift"], ["status", "--last", "--json"]):
        assert run(*arguments)
    assert "failed" in run("why", f"file:{canary.host}/token")
    kept = [path for path in state.rglob("*") if path.is_file()]
    assert state / "history.db" in kept
    assert not [path for path in kept if canary.found_in(path.read_bytes().decode("utf-8", "replace"))]
