"""A saved plan is applied exactly, or refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fleet import Fleet
from tests.unit.cli.console import UNREACHABLE, Console, host_file

MOTD = 'files:\n  @/motd: {content: "welcome\\n"}\n'
BOTH = MOTD + '  @/issue: {content: "managed\\n"}\n'


@pytest.fixture
def saved(fleet: Fleet, console: Console, sandbox: Path, tmp_path: Path) -> Path:
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, MOTD)})
    file = tmp_path / "plan.json"
    assert console("plan", "--out", str(file)).code == 0
    return file


def test_it_is_only_for_its_owner_and_is_the_document_of_json(saved: Path, console: Console) -> None:
    assert saved.stat().st_mode & 0o777 == 0o600
    assert json.loads(saved.read_text()) == console.json("plan")
    assert [file.name for file in saved.parent.iterdir() if "plan" in file.name] == ["plan.json"]


def test_it_is_applied_when_nothing_has_moved(saved: Path, console: Console, sandbox: Path) -> None:
    applied = console("apply", "--plan", str(saved), "--yes")
    assert applied.code == 0, applied
    assert (sandbox / "motd").exists()


def test_it_is_stale_when_the_host_has_moved(saved: Path, console: Console, sandbox: Path) -> None:
    (sandbox / "motd").write_text("somebody was faster\n")
    applied = console("apply", "--plan", str(saved), "--yes")
    assert applied.code == 6, applied
    assert f"what is to be done is not what the plan shows any more, in: nas file:{sandbox}/motd" in applied.err
    assert (sandbox / "motd").read_text() == "somebody was faster\n"


def test_it_is_stale_when_it_was_applied_already(saved: Path, console: Console) -> None:
    assert console("apply", "--plan", str(saved), "--yes").code == 0
    assert console("apply", "--plan", str(saved), "--yes").code == 6


def test_it_is_stale_when_the_revision_has_moved(saved: Path, fleet: Fleet, console: Console, sandbox: Path) -> None:
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, BOTH)})
    applied = console("apply", "--plan", str(saved), "--yes")
    assert applied.code == 6, applied
    assert "and HEAD is " in applied.err
    assert not (sandbox / "motd").exists()


def test_a_plan_made_from_a_commit_id_does_not_become_stale_by_newer_commits(
    fleet: Fleet, console: Console, sandbox: Path, tmp_path: Path
) -> None:
    commit = fleet.commit({"hosts/nas.yaml": host_file(sandbox, MOTD)})
    assert console("plan", "--rev", commit, "--out", str(tmp_path / "plan.json")).code == 0
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, BOTH)})
    assert console("apply", "--plan", str(tmp_path / "plan.json"), "--yes").code == 0
    assert not (sandbox / "issue").exists()


def test_only_the_hosts_that_were_seen_are_touched(fleet: Fleet, console: Console, sandbox: Path, tmp_path: Path) -> None:
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, MOTD), "hosts/down.yaml": UNREACHABLE})
    file = tmp_path / "plan.json"
    assert console("plan", "--out", str(file)).code == 4
    document = json.loads(file.read_text())
    document["hosts"] = [host | {"problem": "was down", "actions": []} for host in document["hosts"]]
    file.write_text(json.dumps(document))
    applied = console("apply", "--plan", str(file), "--yes")
    assert applied.code == 4, applied
    assert "nas: not applied: it could not be asked when the plan was made\n" in applied.err
    assert not (sandbox / "motd").exists()


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"\xff\xfe", b"{}}", b'{"format": 2}', b'{"hosts": [{"x": 1}]}', b"[" * 100_000]
)
def test_a_file_that_is_no_plan_is_refused_in_a_sentence(
    content: bytes, fleet: Fleet, console: Console, tmp_path: Path
) -> None:
    (tmp_path / "broken.json").write_bytes(content)
    applied = console("apply", "--plan", str(tmp_path / "broken.json"), "--yes")
    assert applied.code == 1, applied
    assert "is not a plan that can be read" in applied.err or "made from a working tree" in applied.err


def test_what_would_be_deleted_beyond_the_budget_is_refused_by_name(fleet: Fleet, console: Console, sandbox: Path) -> None:
    fleet.commit({"fleet.yaml": "max_deletions: 1\n", "hosts/nas.yaml": host_file(sandbox, BOTH)})
    assert console("apply", "--yes").code == 0
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, "")})
    plan = console("plan")
    assert plan.code == 0
    assert "the plan makes 2 deletions, and 1 is allowed:" in plan.out
    refused = console("apply", "--yes")
    assert refused.code == 5, refused
    assert f"    - nas file:{sandbox}/issue\n" in refused.out
    assert "reconcile apply --allow-deletions 2" in refused.err
    assert (sandbox / "motd").exists()
    allowed = console("apply", "--yes", "--allow-deletions", "2")
    assert allowed.code == 0, allowed
    assert not (sandbox / "motd").exists()
    assert not (sandbox / "issue").exists()


def test_without_a_terminal_nothing_is_applied_unless_yes_is_said(fleet: Fleet, console: Console, sandbox: Path) -> None:
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, MOTD)})
    refused = console("apply")
    assert refused.code == 5, refused
    assert "there is no terminal to ask on; nothing was changed\n    look at the plan, then apply with --yes\n" in refused.err
    assert not (sandbox / "motd").exists()


def test_with_nothing_to_do_nobody_is_asked(fleet: Fleet, console: Console, sandbox: Path) -> None:
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, MOTD)})
    assert console("apply", "--yes").code == 0
    again = console("apply")
    assert again.code == 0, again
    assert again.out.endswith("\nNothing to do.\n")


def test_apply_in_json_is_one_document_with_the_plan_and_the_outcomes(fleet: Fleet, console: Console, sandbox: Path) -> None:
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, MOTD)})
    document = console.json("apply", "--yes")
    assert document["exit_code"] == 0
    assert document["plan"]["changes"] == 1
    assert document["outcomes"]["nas"]["status"] == "converged"
    assert document["outcomes"]["nas"]["fates"] == {f"file:{sandbox}/motd": "done"}
