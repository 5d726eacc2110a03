"""`deploy`, `switch` and `rollback` on real repositories: what they commit, what they refuse, and what they leave alone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest

from reconciler.cli.project import project
from tests.fleet import Fleet, Result
from tests.sshd import USER, Sshd, make_key
from tests.unit.cli.console import Console

SITE = """\
# The site.
source: @source
revision: v1   # first
deploy:
  - {host: nas, path: @host/site}
"""
SHOP = """\
source: @source
revision: v1
deploy: [{host: nas, path: @host/shop}]
strategy: slots
slots:
  # two of them
  blue: {port: 8081}
  green: {port: 8082}
proxy: {command: {listen: 80, switch: "true", read: "echo blue"}}
runtime: {command: {start: "true", stop: "true"}}
"""
OLD, NEW = "1" * 32, "2" * 32


SUBCOMMANDS = [("list", {"--rev", "--json"}), ("check", {"--expect", "--deep", "--signers", "--json"})]


@dataclass(frozen=True, slots=True)
class Town:
    """A fleet with two projects on one host, a source with three commits, and the program to run on them."""

    fleet: Fleet
    console: Console
    source: Path
    host: Path

    def __call__(self, *words: str) -> Result:
        return self.console(*words)

    def commit_of(self, revision: str) -> str:
        return git(self.source, "rev-parse", f"{revision}^{{commit}}")

    def file(self, name: str) -> str:
        return (self.fleet.root / "projects" / f"{name}.yaml").read_text()

    def subjects(self) -> list[str]:
        return self.fleet.git("log", "--first-parent", "--format=%s").splitlines()

    def remember(self, name: str, files: dict[str, str]) -> None:
        """What the host has noted of a project."""
        for path, text in files.items():
            file = self.host / "inventory" / "projects" / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)


def git(folder: Path, *arguments: str) -> str:
    identity = {f"GIT_{role}_{word}": "Grace" for role in ("AUTHOR", "COMMITTER") for word in ("NAME", "EMAIL")}
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"} | identity
    return subprocess.run(
        ["git", *arguments], cwd=folder, env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()


def make_source(folder: Path) -> Path:
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    for number, subject in enumerate(("Begin", "Mend the menu", "Say \x1b[31mhello")):
        (folder / f"page{number}.html").write_text(f"{number}\n")
        (folder / "index.html").write_text(f"{number}\n")
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", "--message", subject)
        git(folder, "tag", f"v{number + 1}")
    return folder


@pytest.fixture
def town(fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Town:
    for name, value in (fleet.environment | {"XDG_CACHE_HOME": str(tmp_path / "cache")}).items():
        monkeypatch.setenv(name, value)
    source, host = make_source(tmp_path / "source"), tmp_path / "host"
    host.mkdir()
    texts = {"site": SITE, "shop": SHOP}
    files = {
        f"projects/{name}.yaml": text.replace("@source", str(source)).replace("@host", str(host))
        for name, text in texts.items()
    }
    fleet.commit({"fleet.yaml": "", "hosts/nas.yaml": f"address: local\ninventory: {host}/inventory\n", **files}, "begin")
    return Town(fleet, Console(fleet), source, host)


def state(town: Town) -> tuple[str, ...]:
    """All that a refusal must leave as it was."""
    files = sorted((town.fleet.root / "projects").iterdir())
    return (town.fleet.git("rev-parse", "--all"), town.fleet.git("status", "--porcelain"), *(one.read_text() for one in files))


def refused(town: Town, *words: str, code: int = 1) -> str:
    before = state(town)
    result = town(*words)
    assert result.code == code, result
    assert state(town) == before
    assert "Traceback" not in result.err
    return result.err


def test_a_deployment_is_one_line_and_one_commit_that_says_what_it_brings(town: Town) -> None:
    newest = town.commit_of("main")
    result = town("deploy", "site", newest[:8])
    assert result.code == 0, result
    assert town.file("site") == SITE.replace("v1 ", f"{newest} ").replace("@source", str(town.source)).replace(
        "@host", str(town.host)
    )
    assert town.fleet.git("show", "--format=%B", "--name-only", "HEAD") == (
        f"Deploy site {newest[:10]} (was v1)\n\nBrings 2 commits:\n\n- {newest[:10]} Say \\x1b[31mhello\n"
        f"- {town.commit_of('v2')[:10]} Mend the menu\n\n\nprojects/site.yaml"
    )
    assert f"site to commit {newest[:10]}, on nas\nbrings 2 commits\n  {newest[:10]}  Say \\x1b[31mhello  Grace\n" in result.out
    assert "3 files differ\n  + page1.html\n  + page2.html\n  ~ index.html\n" in result.out
    assert "      -revision: v1   # first\n" in result.out
    assert f"committed {town.fleet.git('rev-parse', 'HEAD')[:10]} on main: Deploy site" in result.out
    assert town.fleet.git("status", "--porcelain") == ""
    assert "\x1b" not in result.out + result.err


@pytest.mark.parametrize("name", ["main", "v2"])
def test_a_branch_or_a_tag_stays_a_name(town: Town, name: str) -> None:
    assert town("deploy", "site", name).code == 0
    assert f"revision: {name}   # first\n" in town.file("site")
    assert town.subjects()[0] == f"Deploy site {name} (was v1)"


def test_a_commit_id_that_looks_like_a_number_is_quoted(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    git(town.source, "tag", "1e10", "v2")
    assert town("deploy", "site", "1e10").code == 0
    assert 'revision: "1e10"   # first\n' in town.file("site")
    assert town("validate").code == 0


def test_going_back_is_told_as_such(town: Town) -> None:
    assert town("deploy", "site", "v3").code == 0
    result = town("deploy", "site", "v1")
    assert "goes back by 2 commits\n" in result.out
    assert "Takes back 2 commits:" in town.fleet.git("log", "-1", "--format=%B")


def test_what_is_deployed_already_makes_no_commit(town: Town) -> None:
    before = state(town)
    result = town("deploy", "site", "v1")
    assert result.code == 0
    assert "projects/site.yaml says so already: there is nothing to commit\n" in result.out
    assert state(town) == before


def test_a_dry_run_shows_the_commit_and_changes_nothing(town: Town) -> None:
    before = state(town)
    result = town("deploy", "site", "main", "--dry-run")
    assert result.code == 0
    assert "+revision: main   # first\n" in result.out
    assert result.out.endswith("nothing was changed: --dry-run\n")
    assert state(town) == before


def test_a_branch_of_its_own_leaves_the_working_tree_as_it_is(town: Town) -> None:
    before = town.file("site"), town.fleet.git("rev-parse", "main")
    assert town("deploy", "site", "main", "--branch", "deploy/site").code == 0
    assert (town.file("site"), town.fleet.git("rev-parse", "main")) == before
    assert town.fleet.git("log", "-1", "--format=%s", "deploy/site") == "Deploy site main (was v1)"


def test_a_push_brings_the_commit_to_the_fleets_remote(town: Town, tmp_path: Path) -> None:
    town.fleet.git("clone", "--quiet", "--bare", ".", str(tmp_path / "remote"))
    town.fleet.git("remote", "add", "origin", str(tmp_path / "remote"))
    result = town("deploy", "site", "main", "--push")
    assert result.code == 0, result
    assert result.out.endswith("pushed to origin\n")
    assert git(tmp_path / "remote", "rev-parse", "main") == town.fleet.git("rev-parse", "main")


def test_a_push_over_ssh_goes_to_a_server_that_is_known_and_to_no_other(town: Town, tmp_path: Path) -> None:
    key = make_key(tmp_path / "key")
    town.fleet.add_key(key)
    sshd = Sshd(tmp_path / "sshd", key)
    sshd.start()
    try:
        town.fleet.git("clone", "--quiet", "--bare", ".", str(tmp_path / "remote"))
        url = f"ssh://{USER}@127.0.0.1:{sshd.port}{tmp_path}/remote"
        town.fleet.git("remote", "add", "origin", url)
        stranger = town("deploy", "site", "v2", "--push")
        assert stranger.code == 1
        assert "the commit is made, and not pushed" in stranger.err
        assert "host key is not known" in stranger.err
        (town.fleet.home / ".ssh" / "known_hosts").write_text(sshd.pin)
        known = town("deploy", "site", "v3", "--push")
        assert known.code == 0, known
    finally:
        sshd.stop()
    assert git(tmp_path / "remote", "rev-parse", "main") == town.fleet.git("rev-parse", "main")


def test_a_source_that_no_longer_has_the_old_revision_does_not_stop_the_next_one(town: Town) -> None:
    git(town.source, "tag", "--delete", "v1")
    result = town("deploy", "site", "v2")
    assert result.code == 0, result
    assert "note: which commits this brings cannot be told: " in result.out


def test_work_of_others_stays_theirs(town: Town) -> None:
    town.fleet.write({"hosts/nas.yaml": "address: elsewhere\n", "notes.txt": "mine\n"})
    town.fleet.git("add", "notes.txt")
    before = town.fleet.git("status", "--porcelain")
    assert town("deploy", "site", "main").code == 0
    assert town.fleet.git("status", "--porcelain") == before
    assert town.fleet.git("show", "--format=", "--name-only", "HEAD") == "projects/site.yaml"


def test_a_fleet_in_a_folder_of_a_larger_repository_is_edited_there(town: Town) -> None:
    inside = town.fleet.root / "machines"
    inside.mkdir()
    for name in ("fleet.yaml", "hosts", "projects"):
        (town.fleet.root / name).rename(inside / name)
    town.fleet.commit({"README": "more than a fleet\n"}, "move")
    for words in (["deploy", "site", "v2"], ["deploy", "site", "v3"], ["rollback", "site"]):
        result = town.console(*words, folder=inside / "hosts")
        assert result.code == 0, result
    assert town.subjects()[0] == "Roll back site to v2 (was v3)"
    assert town.fleet.git("show", "--format=", "--name-only", "HEAD") == "machines/projects/site.yaml"
    assert town.fleet.git("status", "--porcelain") == ""


def _edit(town: Town) -> None:
    town.fleet.write({"projects/site.yaml": town.file("site") + "keep: 7\n"})


def _detach(town: Town) -> None:
    town.fleet.git("checkout", "--quiet", "--detach")


def _lock(town: Town) -> None:
    (town.fleet.root / ".git" / "index.lock").touch()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [(_edit, "changes that are not committed"), (_detach, "HEAD is detached"), (_lock, "another git command is at work")],
)
@pytest.mark.parametrize("command", [["deploy", "site", "main"], ["switch", "shop", "green"], ["rollback", "site"]])
def test_a_repository_that_is_not_ready_is_left_alone(
    town: Town, command: list[str], spoil: Callable[[Town], None], words: str
) -> None:
    assert town("deploy", "site", "v2").code == 0
    spoil(town)
    if command[0] == "switch" and spoil is _edit:
        town.fleet.write({"projects/shop.yaml": town.file("shop") + "keep: 7\n"})
    assert words in refused(town, *command)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["deploy", "sit", "main"], 'there is no project "sit"\n    did you mean site?'),
        (["deploy", "site", "mian"], "did you mean main?"),
        (["deploy", "site", "deadbeef"], "neither a commit, a branch nor a tag"),
        (["deploy", "site", "-x"], "No such option"),
        (["deploy", "site", "--", "-x"], "-x"),
        (["deploy", "site"], "Missing argument 'REV'"),
        (["deploy", "site", "main", "--yes"], "--yes answers the question of --apply"),
        (["deploy", "site", "main", "--apply", "--branch", "x"], "one of them"),
        (["deploy", "site", "main", "--branch", "main"], "there is already a branch main"),
        (["deploy", "site", "main", "--branch", "a..b"], "cannot be the name of a branch"),
        (["switch", "site"], "site has no slots: its strategy is mirror"),
        (["switch", "shop"], "slots.active of shop is auto"),
        (["switch", "shop", "red"], "'blue', 'green', 'auto'"),
        (["rollback", "site"], "site has never been anything else than v1"),
        (["rollback", "site", "--to", "mian"], "did you mean main?"),
        (["project", "chek"], 'there is no command "project chek"; did you mean check?'),
        (["project"], "Missing command"),
        (["project", "check", "sit"], "did you mean site?"),
    ],
)
def test_wrong_words_are_answered_and_change_nothing(town: Town, command: list[str], words: str) -> None:
    assert words in refused(town, *command)


def test_a_deployment_that_would_make_the_fleet_invalid_is_not_committed(town: Town) -> None:
    git(town.source, "tag", "new\u2028line".encode().decode(), "v2")
    assert "new\\u2028line" in refused(town, "deploy", "site", "new\u2028line")


def test_a_switch_names_the_other_slot(town: Town) -> None:
    first = town("switch", "shop", "green")
    assert "green gets the traffic and keeps it" in first.out
    assert "slots:\n  active: green\n  # two of them\n" in town.file("shop")
    assert town("switch", "shop").code == 0
    assert "  active: blue\n" in town.file("shop")
    assert "a new revision takes over of itself" in town("switch", "shop", "auto").out
    assert town.subjects()[:3] == [
        "Switch shop to auto (was blue)",
        "Switch shop to blue (was green)",
        "Switch shop to green (was auto)",
    ]


def test_a_rollback_takes_back_what_came_last_and_the_next_one_goes_further(town: Town) -> None:
    for revision in ("v2", "v3"):
        assert town("deploy", "site", revision).code == 0
    town.fleet.commit({"projects/site.yaml": town.file("site") + "keep: 7\n"}, "keep more")
    first = town("rollback", "site")
    assert first.code == 0, first
    assert "Roll back site to v2 (was v3), on nas\n" in first.out
    assert "revision: v2   # first\n" in town.file("site")
    assert "keep: 7\n" in town.file("site")
    assert town("rollback", "site").code == 0
    assert town.subjects()[:2] == ["Roll back site to v1 (was v2)", "Roll back site to v2 (was v3)"]
    assert "there is nothing before v1" in refused(town, "rollback", "site")


def test_a_rollback_takes_back_a_switch_where_that_came_last(town: Town) -> None:
    assert town("deploy", "shop", "v2").code == 0
    assert town("switch", "shop", "green").code == 0
    assert town("switch", "shop").code == 0
    assert town("rollback", "shop").code == 0
    assert town.subjects()[0] == "Switch shop back to green (was blue)"
    assert "revision: v2\n" in town.file("shop")


def _shop_on_the_host(town: Town) -> None:
    town.remember(
        "shop",
        {
            "releases/a.index": f"reconciler-tree 1 {OLD} {town.commit_of('v1')}\n0644 x 1 index.html\n",
            "releases/b.index": f"reconciler-tree 1 {NEW} {town.commit_of('v2')}\n",
            "slot.blue": f"{OLD} a 1700000000\n",
            "slot.green": f"{NEW} b 1700000000\n",
            "route": "green 1700000000\n",
        },
    )


def test_a_rollback_says_where_it_is_instant(town: Town) -> None:
    _shop_on_the_host(town)
    assert town("deploy", "shop", "v2").code == 0
    result = town("rollback", "shop", "--dry-run")
    assert "note: nas: blue still holds it; going back is a switch of the proxy, which is instant\n" in result.out


def test_a_revision_that_failed_on_a_host_is_passed_over(town: Town) -> None:
    for revision in ("v2", "v3"):
        assert town("deploy", "shop", revision).code == 0
    _shop_on_the_host(town)
    town.remember("shop", {"quarantine": f"{NEW} 1700000000 GET / answered 500\n"})
    result = town("rollback", "shop")
    assert result.code == 0, result
    assert "note: v2 is passed over: it failed a smoke test on nas\n" in result.out
    assert town.subjects()[0] == "Roll back shop to v1 (was v3)"
    assert "v2 failed a smoke test on nas; nothing was changed" in refused(town, "rollback", "shop", "--to", "v2", code=5)
    offline = town("rollback", "shop", "--to", "v2", "--offline")
    assert offline.code == 0
    assert "note: no host was asked (--offline)" in offline.out


def test_a_host_that_cannot_be_asked_does_not_stop_a_rollback(town: Town) -> None:
    assert town("deploy", "site", "v2").code == 0
    town.fleet.commit({"hosts/nas.yaml": "address: root@127.0.0.1:1\n"}, "move the nas")
    result = town("rollback", "site")
    assert result.code == 0, result
    assert "note: whether a revision failed on nas is not known: " in result.out


def test_a_source_that_is_away_does_not_stop_a_rollback(town: Town) -> None:
    assert town("deploy", "site", "v2").code == 0
    town.source.rename(town.source.with_name("gone"))
    result = town("rollback", "site")
    assert result.code == 0, result
    assert "note: which commits this takes back cannot be told: " in result.out
    assert town.subjects()[0] == "Roll back site to v1 (was v2)"


def test_a_repository_without_projects_or_without_commits_says_so(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    console = Console(fleet)
    assert "the repository has no commit yet" in console("deploy", "site", "main").err
    assert f"no git repository at {tmp_path}" in console("deploy", "site", "main", folder=tmp_path).err
    fleet.commit({"fleet.yaml": ""})
    result = console("deploy", "site", "main")
    assert 'there is no project "site"\n    the fleet has no project yet' in result.err


@pytest.fixture
def over_ssh(town: Town, tmp_path: Path) -> Iterator[Town]:
    """The same town, with its host behind a real server and a second host that nobody can reach."""
    key = make_key(tmp_path / "operator")
    sshd = Sshd(tmp_path / "sshd", key)
    sshd.start()
    nas = f"address: {USER}@127.0.0.1:{sshd.port}\nidentity: {key}\ninventory: {town.host}/inventory\n"
    off = "address: root@127.0.0.1:1\navailability: intermittent\n"
    site = town.file("site").replace("revision: v1 ", "revision: main ") + f"  - {{host: off, path: {town.host}/site}}\n"
    files = {"hosts/nas.yaml": nas, "hosts/off.yaml": off, "hosts/known_hosts": sshd.pin, "projects/site.yaml": site}
    town.fleet.commit({**files, "projects/shop.yaml": None}, "over ssh")
    try:
        yield town
    finally:
        sshd.stop()


def checked(town: Town, *words: str) -> tuple[int, dict[str, Any]]:
    """The exit code, and what is said of the host that can be reached."""
    result = town("project", "check", "--json", *words)
    assert result.out, result
    (report,) = (one for one in result.json()["projects"] if one["host"] == "nas")
    return result.code, report


def test_what_is_really_there_is_read_from_the_host_and_compared_with_the_source(over_ssh: Town) -> None:
    code, report = checked(over_ssh)
    assert (code, report["verdict"], report["commit"]) == (3, "missing", None)

    assert over_ssh("apply", "--yes").code == 0
    code, report = checked(over_ssh, "site")
    assert (code, report["verdict"], report["commit"]) == (0, "equal", over_ssh.commit_of("main"))
    assert checked(over_ssh, "--expect", "v3")[0] == 0
    code, report = checked(over_ssh, "--expect", "v1")
    assert (code, report["verdict"], report["behind"], report["ahead"]) == (3, "differs", 0, 2)

    (over_ssh.source / "index.html").write_text("new\n")
    git(over_ssh.source, "commit", "--all", "--quiet", "--message", "One more")
    code, report = checked(over_ssh)
    assert (code, report["verdict"], report["behind"]) == (3, "differs", 1)
    assert report["commit"] == over_ssh.commit_of("v3")


def test_edits_on_a_host_are_named_and_other_files_are_not_ours(over_ssh: Town) -> None:
    assert over_ssh("apply", "--yes").code == 0
    site = over_ssh.host / "site"
    (site / "index.html").write_text("edited by hand\n")
    (site / "page1.html").unlink()
    (site / "mine\x1b.txt").write_text("mine\n")
    code, report = checked(over_ssh)
    assert (code, report["verdict"], report["drift"]) == (3, "differs", ["edited: index.html", "missing: page1.html"])
    status = over_ssh("status")
    assert status.code == 3, status
    assert "nas  drift in release:site, 1 change to apply" in status.out
    assert "the right commit, but not as we left it\n" in status.out
    assert "not the project's, left alone: mine\\x1b.txt\n" in status.out
    assert "\x1b" not in status.out
    assert "off  away: " in status.out


def test_an_edit_that_keeps_size_and_times_is_found_by_a_deep_check(over_ssh: Town) -> None:
    assert over_ssh("apply", "--yes").code == 0
    page = over_ssh.host / "site" / "page1.html"
    before = page.stat()
    page.write_text("X\n")
    os.utime(page, ns=(before.st_atime_ns, before.st_mtime_ns))
    code, report = checked(over_ssh, "--deep")
    assert (code, report["drift"]) == (3, ["edited: page1.html"])


def test_a_source_that_is_away_never_reads_as_equal(over_ssh: Town) -> None:
    assert over_ssh("apply", "--yes").code == 0
    over_ssh.fleet.commit({"projects/site.yaml": over_ssh.file("site").replace("main ", "v1 ")}, "another revision")
    over_ssh.source.rename(over_ssh.source.with_name("gone"))
    code, report = checked(over_ssh)
    assert (code, report["verdict"], report["commit"]) == (
        3,
        "unknown",
        git(over_ssh.source.with_name("gone"), "rev-parse", "v3"),
    )
    assert "there is no repository" in report["reason"]


def test_a_deployment_with_apply_ends_as_the_apply_does(over_ssh: Town) -> None:
    assert "add --yes" in refused(over_ssh, "deploy", "site", "v2", "--apply", code=5)
    deployed = over_ssh("deploy", "site", "v2", "--apply", "--yes")
    assert deployed.code == 0, deployed
    assert "✓ release:site  created" in deployed.out
    assert (over_ssh.host / "site" / "index.html").read_text() == "1\n"
    back = over_ssh("rollback", "site", "--apply", "--yes", "--to", "v1")
    assert back.code == 0, back
    assert (over_ssh.host / "site" / "index.html").read_text() == "0\n"
    over_ssh.fleet.commit({"hosts/off.yaml": "address: root@127.0.0.1:1\n"}, "the other one has to be there")
    assert over_ssh("deploy", "site", "v3", "--apply", "--yes").code == 4
    assert over_ssh("project", "check").code == 4
    assert over_ssh("status").code == 4


def test_the_list_names_every_project_without_asking_anybody(town: Town) -> None:
    town.source.rename(town.source.with_name("gone"))
    listed = town("project", "list")
    assert listed.out.splitlines() == [f"shop  v1  slots   nas:{town.host}/shop", f"site  v1  mirror  nas:{town.host}/site"]
    first, second = town("project", "list", "--json").json()["projects"]
    assert (first["active"], second["active"]) == ("auto", None)
    assert second["hosts"] == [{"host": "nas", "path": f"{town.host}/site"}]


@pytest.mark.parametrize(("name", "options"), SUBCOMMANDS)
def test_the_options_of_the_project_commands_are_documented(name: str, options: set[str]) -> None:
    command = project.commands[name]
    known = {option for one in command.params if isinstance(one, click.Option) for option in one.opts}
    assert known - {"-C", "--no-color", "-v", "--verbose"} == options
    text = (Path(__file__).parents[3] / "docs" / "commands.md").read_text().split("\n## project\n")[1].split("\n## ")[0]
    assert {option for option in options if f"| `{name}` | `{option}" in text} == options
