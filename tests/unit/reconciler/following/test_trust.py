"""History that was rewritten and commits that nobody signed: not followed, until a person accepts one by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.desired.signing import commit, listed, signer
from tests.unit.reconciler.following.followed import Controller, host, only

LIST = "keys/allowed_signers"
SIGNED = "signers: keys/allowed_signers\n"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ada", "bob"):
        signer(folder, name)
    return folder


def signed_fleet(controller: Controller, key: Path) -> str:
    return commit(controller.fleet, {"fleet.yaml": SIGNED, LIST: listed(key), **host("web")}, key)


def test_a_rewritten_branch_is_not_followed_until_its_commit_is_accepted_by_name(controller: Controller) -> None:
    first = controller.begin()
    good = controller.fleet.commit(host("web", "good"))
    follower = controller.start()
    follower.look()
    controller.fleet.git("reset", "-q", "--hard", first)
    other = controller.fleet.commit(host("web", "other"))
    for each in (follower, controller.start()):
        found = each.look()
        assert (found.commit, found.newest, only(found).kind) == (good, other, "rewritten")
        assert f"reconcile accept --state {controller.state} {other[:12]}" in only(found).hint

    told = controller.accept(other[:12])
    assert (told.code, told.out) == (0, f"accepted {other[:10]}: the loop takes it at its next look\n")
    assert (follower.look().commit, follower.look().problems) == (other, ())
    assert controller.start().look().commit == other


def test_a_branch_that_is_set_back_is_not_followed_and_an_acceptance_counts_once(controller: Controller) -> None:
    first = controller.begin()
    good = controller.fleet.commit(host("web", "good"))
    follower = controller.start()
    follower.look()
    controller.fleet.git("reset", "-q", "--hard", first)
    assert "was set back to an earlier commit" in only(follower.look()).message
    controller.accept(first)
    assert follower.look().commit == first

    controller.fleet.git("reset", "-q", "--hard", good)
    assert follower.look().commit == good
    controller.fleet.git("reset", "-q", "--hard", first)
    assert (follower.look().commit, only(follower.look()).kind) == (good, "rewritten")


def test_what_comes_after_an_accepted_commit_is_followed_from_there(controller: Controller) -> None:
    controller.begin()
    controller.start().look()
    controller.fleet.git("checkout", "-q", "--orphan", "fresh")
    accepted = controller.fleet.commit({"fleet.yaml": ""}, "another beginning")
    newest = controller.fleet.commit(host("nas", "again"))
    follower = controller.start()
    assert only(follower.look()).kind == "rewritten"
    controller.accept(accepted)
    assert (follower.look().commit, list((controller.state / "accepted").iterdir())) == (newest, [])


def test_another_branch_that_contains_the_good_commit_is_no_rewriting(controller: Controller) -> None:
    controller.begin()
    follower = controller.start()
    follower.look()
    controller.fleet.git("checkout", "-q", "-b", "side")
    newest = controller.fleet.commit({"a": "b"})
    found = follower.look()
    assert (found.commit, found.branch) == (newest, "side")


def test_the_first_commit_of_a_fleet_with_signers_is_refused_with_the_command_that_lets_it_in(
    controller: Controller, keys: Path
) -> None:
    first = signed_fleet(controller, keys / "ada")
    follower = controller.start()
    found = follower.look()
    assert (found.fleet, only(found).kind, only(found).commit) == (None, "unsigned", first)
    assert f"reconcile accept --state {controller.state} {first[:12]}" in only(found).hint
    assert "reconcile run --signers FILE" in only(found).hint
    controller.accept(first)
    assert follower.look().commit == first
    assert controller.start().look().commit == first


def test_an_accepted_first_commit_has_to_be_signed_by_one_of_its_own_signers(controller: Controller, keys: Path) -> None:
    unsigned = commit(controller.fleet, {"fleet.yaml": SIGNED, LIST: listed(keys / "ada"), **host("web")})
    follower = controller.start()
    controller.start().look()
    controller.accept(unsigned)
    found = follower.look()
    assert (found.fleet, only(found).kind) == (None, "unsigned")
    assert "is not signed" in only(found).message


def test_what_is_not_signed_is_not_followed_and_the_good_commit_stays(controller: Controller, keys: Path) -> None:
    good = signed_fleet(controller, keys / "ada")
    controller.start().look()
    controller.accept(good)
    follower = controller.start()
    assert follower.look().commit == good
    signed = commit(controller.fleet, host("web", "signed"), keys / "ada")
    assert follower.look().commit == signed

    unsigned = commit(controller.fleet, host("web", "unsigned"))
    for each in (follower, controller.start()):
        found = each.look()
        assert (found.commit, only(found).kind, only(found).commit) == (signed, "unsigned", unsigned)
        assert "“a change”, by Ada" in only(found).message

    on_top = commit(controller.fleet, host("web", "on top"), keys / "ada")
    found = follower.look()
    assert (found.commit, found.newest) == (signed, on_top)
    assert unsigned[:10] in only(found).message
    controller.accept(on_top)
    assert (follower.look().commit, follower.look().problems) == (on_top, ())


def test_a_new_list_after_all_keys_were_lost_is_let_in_by_name(controller: Controller, keys: Path) -> None:
    good = signed_fleet(controller, keys / "ada")
    controller.start().look()
    controller.accept(good)
    follower = controller.start()
    follower.look()
    fresh = commit(controller.fleet, {LIST: listed(keys / "bob")}, keys / "bob")
    assert only(follower.look()).kind == "unsigned"
    controller.accept(fresh)
    assert follower.look().commit == fresh
    newest = commit(controller.fleet, host("web", "by bob"), keys / "bob")
    assert follower.look().commit == newest


def test_a_list_on_the_controller_decides_instead_of_the_repositorys(
    controller: Controller, keys: Path, tmp_path: Path
) -> None:
    (tmp_path / "signers").write_text(listed(keys / "bob"))
    by_ada = signed_fleet(controller, keys / "ada")
    follower = controller.start(signers=tmp_path / "signers")
    assert (only(follower.look()).kind, follower.look().fleet) == ("unsigned", None)
    by_bob = commit(controller.fleet, host("web", "by bob"), keys / "bob")
    assert follower.look().commit == by_bob
    late = commit(controller.fleet, {"fleet.yaml": ""}, keys / "ada")
    found = follower.look()
    assert (found.commit, only(found).commit) == (by_bob, late)
    (tmp_path / "signers").write_text(listed(keys / "ada", keys / "bob"))
    assert follower.look().commit == late
    assert by_ada != late


@pytest.mark.parametrize("content", [None, "", "ada ssh-ed25519 broken\n"])
def test_a_list_on_the_controller_that_cannot_be_used_lets_nothing_in(
    controller: Controller, tmp_path: Path, content: str | None
) -> None:
    controller.begin()
    if content is not None:
        (tmp_path / "signers").write_text(content)
    found = controller.start(signers=tmp_path / "signers").look()
    assert (found.fleet, only(found).kind) == (None, "unsigned")
    assert str(tmp_path / "signers") in only(found).message


def test_plan_and_apply_judge_the_commit_by_the_list_of_its_parent(controller: Controller, keys: Path, tmp_path: Path) -> None:
    fleet = controller.fleet
    here: dict[str, str | bytes | None] = {"hosts/here.yaml": "address: local\n"}
    commit(fleet, {"fleet.yaml": SIGNED, LIST: listed(keys / "ada"), **here}, keys / "ada")
    first = fleet.run("plan")
    assert first.code == 5, first
    assert "has no parent here" in first.err
    (tmp_path / "signers").write_text(listed(keys / "ada"))
    assert fleet.run("plan", "--signers", str(tmp_path / "signers")).code == 0
    commit(fleet, {"a": "1"}, keys / "ada")
    assert fleet.run("plan").code == 0
    assert fleet.run("apply", "--yes").code == 0
    commit(fleet, {"a": "2"})
    assert fleet.run("plan", "--worktree").code == 0
    for command in (("plan",), ("apply", "--yes")):
        done = fleet.run(*command)
        assert done.code == 5, done
        assert "is not signed; no host was asked" in done.err
    assert fleet.run("plan", "--signers", "nowhere").code == 1


@pytest.mark.parametrize("command", [("status",), ("project", "check"), ("adopt", "site"), ("pull", "site")], ids=" ".join)
def test_nothing_that_an_unsigned_commit_says_is_asked_of_a_host(
    controller: Controller, keys: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """A survey runs what the repository says: the guards of commands, for one."""
    fleet, asked = controller.fleet, tmp_path / "asked"
    (tmp_path / "site").mkdir()
    here = f"address: local\ncommands: {{x: {{run: 'true', unless: 'touch {asked}'}}}}\n"
    site = f"source: {fleet.root}\nrevision: main\nstrategy: mirror\ndeploy: [{{host: here, path: {tmp_path}/site}}]\n"
    files: dict[str, str | bytes | None] = {"hosts/here.yaml": here, "projects/site.yaml": site}
    commit(fleet, {"fleet.yaml": SIGNED, LIST: listed(keys / "ada")}, keys / "ada")
    commit(fleet, files)
    done = fleet.run(*command)
    assert done.code == 5, done
    assert "is not signed; no host was asked" in done.err
    assert not asked.exists()
    commit(fleet, {"a": "1"}, keys / "ada")
    (tmp_path / "signers").write_text(listed(keys / "ada"))
    done = fleet.run(*command, "--signers", str(tmp_path / "signers"))
    assert done.code != 5, done
    assert asked.exists()


def test_a_pass_over_a_fleet_that_nobody_vouched_for_yet_is_refused(controller: Controller, keys: Path) -> None:
    commit(controller.fleet, {"fleet.yaml": SIGNED, LIST: listed(keys / "ada"), **host("web")})
    done = controller.fleet.run("run", "--once", "--state", str(controller.state), "--no-alerts")
    assert done.code == 5, done


def test_a_pass_over_a_fleet_that_cannot_be_reached_says_so(controller: Controller) -> None:
    source = ("--source", "https://127.0.0.1:1/fleet.git")
    done = controller.fleet.run("run", "--once", *source, "--state", str(controller.state), "--no-alerts")
    assert done.code == 4, done


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("", "is no commit id"),
        ("abc", "is no commit id"),
        ("HEAD", "is no commit id"),
        ("0" * 12, "the loop has seen no commit 000000000000"),
    ],
)
def test_only_a_commit_can_be_accepted(controller: Controller, word: str, told: str) -> None:
    newest = controller.begin()
    controller.start().look()
    done = controller.accept(word)
    assert done.code == 1
    assert told in done.err
    if word.startswith("0"):
        assert f"it saw last: {newest[:12]}" in done.err
    assert not (controller.state / "accepted").exists()


def test_accepting_says_where_there_is_nothing_to_accept(controller: Controller) -> None:
    newest = controller.begin()
    done = controller.accept(newest)
    assert (done.code, "no loop has followed anything" in done.err) == (1, True)
    controller.start().look()
    done = controller.accept(newest)
    assert (done.code, "is in force already" in done.err) == (1, True)
    later = "1" * 40
    assert controller.accept(later).code == 0
    again = controller.accept(later)
    assert (again.code, "is accepted already" in again.out) == (0, True)
