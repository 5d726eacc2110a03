"""The way of a fleet from its first plan to a prune, as the command line tells it."""

from __future__ import annotations

from pathlib import Path

from tests.fleet import Fleet
from tests.unit.cli.console import UNREACHABLE, Console, host_file

MOTD = 'files:\n  @/motd: {content: "welcome\\n", mode: "0644"}\n'
BOTH = MOTD + '  @/issue: {content: "managed\\n"}\n'


def test_from_the_first_plan_to_an_empty_one(fleet: Fleet, console: Console, sandbox: Path) -> None:
    commit = fleet.commit({"hosts/nas.yaml": host_file(sandbox, MOTD)})
    plan = console("plan")
    assert plan.code == 0, plan
    assert f"Plan for commit {commit[:10]}, 1 host" in plan.out
    assert f"  + file:{sandbox}/motd  create  hosts/nas.yaml:4:3\n" in plan.out
    assert not (sandbox / "motd").exists()
    assert not (sandbox / "inventory").exists()

    applied = console("apply", "--yes")
    assert applied.code == 0, applied
    assert f"✓ file:{sandbox}/motd  created" in applied.out
    assert applied.out.endswith("1 of 1 host converged.\n")
    assert (sandbox / "motd").read_text() == "welcome\n"

    again = console("plan", "--detailed-exitcode")
    assert again.code == 0, again
    assert "nas: nothing to do, 1 resource as asked" in again.out


def test_an_edit_by_hand_is_drift_with_a_text_diff_and_is_healed(fleet: Fleet, console: Console, sandbox: Path) -> None:
    commit = fleet.commit({"hosts/nas.yaml": host_file(sandbox, MOTD)})
    assert console("apply", "--yes").code == 0
    (sandbox / "motd").write_text("go away\n")
    plan = console("plan", "--detailed-exitcode")
    assert plan.code == 2, plan
    assert f"drift: it is not what commit {commit[:10]} left, hosts/nas.yaml:4:3" in plan.out
    assert "      -go away\n      +welcome\n" in plan.out
    assert console("apply", "--yes").code == 0
    assert (sandbox / "motd").read_text() == "welcome\n"


def test_what_somebody_wrote_into_a_file_is_shown_and_does_nothing_to_the_terminal(
    fleet: Fleet, console: Console, sandbox: Path
) -> None:
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, MOTD)})
    (sandbox / "motd").write_bytes(b"\x1b[2J[/bold][link=file:///]\xe2\x80\xaex\n")
    for arguments in (["plan"], ["plan", "--markdown"], ["apply", "--yes"]):
        result = console(*arguments)
        assert "-\\x1b[2J[/bold][link=file:///]\\u202ex" in result.out
        assert not set("\x1b\u202e") & set(result.out + result.err)


def test_what_leaves_the_repository_is_removed_where_we_made_it(fleet: Fleet, console: Console, sandbox: Path) -> None:
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, BOTH)})
    assert console("apply", "--yes").code == 0
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, MOTD)})
    plan = console("plan")
    assert f"  - file:{sandbox}/issue  remove\n      no longer in the repository, and we made it\n" in plan.out
    applied = console("apply", "--yes")
    assert applied.code == 0, applied
    assert f"✓ file:{sandbox}/issue  removed" in applied.out
    assert not (sandbox / "issue").exists()


def test_what_was_there_before_us_stays_and_the_plan_says_so(fleet: Fleet, console: Console, sandbox: Path) -> None:
    (sandbox / "issue").write_text("mine\n")
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, BOTH)})
    assert console("apply", "--yes").code == 0
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, MOTD)})
    plan = console("plan", "--detailed-exitcode")
    assert f"· file:{sandbox}/issue  stays on the host, no longer managed: it was there before us" in plan.out
    assert plan.code == 0, plan
    assert (sandbox / "issue").exists()


def test_a_host_that_is_down_is_named_and_stops_no_other(fleet: Fleet, console: Console, sandbox: Path) -> None:
    fleet.commit({"hosts/down.yaml": UNREACHABLE, "hosts/nas.yaml": host_file(sandbox, MOTD)})
    plan = console("plan")
    assert plan.code == 4, plan
    assert "down: unreachable: " in plan.out
    assert "1 to create on 1 host; 1 host could not be asked." in plan.out
    assert console("plan", "--detailed-exitcode").code == 1
    applied = console("apply", "--yes")
    assert applied.code == 4, applied
    assert "1 of 2 hosts converged, 1 not reached." in applied.out
    assert (sandbox / "motd").exists()


def test_an_intermittent_host_that_is_away_is_nothing_to_act_on(fleet: Fleet, console: Console) -> None:
    fleet.commit({"hosts/laptop.yaml": UNREACHABLE + "availability: intermittent\n"})
    assert console("plan", "--detailed-exitcode").code == 0
    assert "laptop: away: " in console("plan").out
    assert console("apply", "--yes").code == 0


def test_a_failed_step_shows_the_words_of_the_host_and_skips_what_needs_it(
    fleet: Fleet, console: Console, sandbox: Path
) -> None:
    files = 'files:\n  @/bad: {content: "x\\n", validate: "printf \'\\\\033[31mno\\\\n\'; test ! -s {}"}\n'
    files += '  @/after: {content: "y\\n", needs: ["file:@/bad"]}\n  @/other: {content: "z\\n"}\n'
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, files)})
    applied = console("apply", "--yes")
    assert applied.code == 3, applied
    assert f"✗ file:{sandbox}/bad  failed: write file {sandbox}/bad\n      | \\x1b[31mno\n" in applied.out
    assert f"· file:{sandbox}/after  skipped: what it waits for did not succeed" in applied.out
    assert f"✓ file:{sandbox}/other  created" in applied.out
    assert not (sandbox / "bad").exists()
    assert not (sandbox / "after").exists()


def test_the_unknown_stands_beside_the_rest(fleet: Fleet, console: Console, sandbox: Path) -> None:
    files = f'commands:\n  ask:\n    run: "true"\n    only_if: no-such-program-anywhere\n{MOTD}'
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, files)})
    plan = console("plan")
    assert f"  + file:{sandbox}/motd  create  hosts/nas.yaml:" in plan.out
    assert "  ? command:ask  unknown: " in plan.out
    assert "1 to create on 1 host; 1 resource unknown." in plan.out
    assert console("plan", "--detailed-exitcode").code == 1


def test_progress_without_a_terminal_is_a_line_for_each_finished_step(fleet: Fleet, console: Console, sandbox: Path) -> None:
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, BOTH)})
    applied = console("apply", "--yes")
    assert applied.err.splitlines() == [f"nas 1/2 ✓ write file {sandbox}/issue", f"nas 2/2 ✓ write file {sandbox}/motd"]


def test_what_is_observed_is_shown_and_held_back(fleet: Fleet, console: Console, sandbox: Path) -> None:
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, MOTD, "sync: observe\n")})
    plan = console("plan")
    assert "held back, will not be done: sync: observe" in plan.out
    assert "Nothing to do; 1 change held back." in plan.out
    assert console("apply", "--yes").code == 0
    assert not (sandbox / "motd").exists()
