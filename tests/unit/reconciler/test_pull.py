"""`reconcile pull` on a real host: which edits come back into git, which never do, and that the hotfix is not fought after."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet import Fleet, Result
from tests.unit.cli.terminal import terminal
from tests.unit.reconciler.settled import Settled, git, put, settled


@pytest.fixture
def town(fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settled]:
    for name, value in (fleet.environment | {"XDG_CACHE_HOME": str(tmp_path / "cache")}).items():
        monkeypatch.setenv(name, value)
    with settled(fleet, tmp_path) as made:
        yield made


def deployed(town: Settled, **more: str) -> Settled:
    town.project(**more)
    applied = town("apply", "--yes")
    assert applied.code == 0, applied
    return town


def branch_in(town: Settled) -> str:
    return git(town.source, "for-each-ref", "--format=%(refname:short)", "refs/heads/reconcile/")


def pulled(town: Settled, *more: str) -> Result:
    result = town("pull", "site", "--yes", "--push", *more)
    assert result.code == 0, result
    return result


def test_a_hotfix_comes_back_as_one_honest_commit_and_is_not_fought_when_it_is_merged(town: Settled) -> None:
    deployed(town)
    (town.path / "bin/run").write_text("echo hotfix\n")
    (town.path / "start.html").unlink()
    (town.path / "conf/app.yaml").chmod(0o755)
    host = town.files()
    result = pulled(town)
    assert "    -echo hi\n    +echo hotfix\n" in result.out
    assert town.files() == host
    branch = branch_in(town)
    assert branch.startswith("reconcile/pull-nas-2")
    assert git(town.source, "rev-list", f"main..{branch}").count("\n") == 0
    assert git(town.source, "rev-parse", f"{branch}^") == town.commit_of("main")
    told = git(town.source, "show", "--format=%an <%ae>%n%B", "--name-status", branch)
    assert told.startswith("Ada <ada@example.org>\nBring back edits made on nas\n")
    assert f"site was edited in {town.path} on nas" in told
    assert "- bin/run: last changed 2" in told
    assert told.endswith("M\tbin/run\nM\tconf/app.yaml\nD\tstart.html")

    git(town.source, "update-ref", "refs/heads/main", branch)
    assert town("apply", "--yes").code == 0
    assert town("plan", "--detailed-exitcode").code == 0
    assert town.contents()["bin/run"] == b"echo hotfix\n"
    assert not (town.path / "start.html").is_symlink()
    assert os.access(town.path / "conf/app.yaml", os.X_OK)
    assert "nothing to bring back" in town("pull", "site").out


def test_what_is_data_secret_excluded_or_a_link_never_comes_along(town: Settled, tmp_path: Path) -> None:
    deployed(town, env="{OWNER: ada}", exclude="['*.log']")
    elsewhere = tmp_path / "shadow"
    elsewhere.write_text("root:secret\n")
    (town.path / "data").mkdir()
    for name in (".env", ".env.local", ".sync_rev", "data/db", "noise.log"):
        (town.path / name).write_text("private\n")
    (town.path / "index.html").unlink()
    (town.path / "index.html").symlink_to(elsewhere)
    (town.path / "linked").symlink_to(elsewhere)
    (town.path / "hard").hardlink_to(elsewhere)
    (town.path / "conf/app.yaml").unlink()
    (town.path / "conf").rmdir()
    (town.path / "conf").symlink_to(tmp_path)
    (town.path / "plain").write_text("plain\n")
    os.mkfifo(town.path / "pipe")
    result = pulled(town, "--added")
    assert git(town.source, "show", "--format=", "--name-status", branch_in(town)) == "D\tconf/app.yaml\nA\tplain"
    assert "root:secret" not in result.out
    assert "private" not in result.out
    for words in ("index.html: it is a link", "hard: it has another name elsewhere", "pipe: it is no plain file"):
        assert f"left out: {words}" in result.out


def test_added_files_come_along_only_when_they_are_asked_for(town: Settled) -> None:
    deployed(town)
    (town.path / "new.txt").write_text("new\n")
    result = town("pull", "site", "--yes")
    assert "+ not the project's: new.txt\n  nothing else differs: name them with --added" in result.out
    (town.path / "index.html").write_text("three\n")
    with terminal(town.fleet, "pull", "site", "--push", XDG_CACHE_HOME=os.environ["XDG_CACHE_HOME"]) as there:
        there.until("Bring 'new.txt' along, which nobody installed? [y/N]")
        there.type("y\n")
        there.until("Commit 2 files from nas? [y/N]")
        there.type("y\n")
        assert there.end() == 0
    assert git(town.source, "show", "--format=", "--name-status", branch_in(town)) == "M\tindex.html\nA\tnew.txt"


def test_what_the_project_ignores_is_not_offered(town: Settled) -> None:
    town.commit("Ignore", {".gitignore": "*.pyc\ncache/\n"})
    deployed(town)
    (town.path / "cache").mkdir()
    for name in ("app.pyc", "cache/x", "kept.py"):
        (town.path / name).write_text("x\n")
    assert town.console.json("pull", "site")["hosts"][0]["added"] == ["kept.py"]


def test_a_secret_in_the_edits_blocks_all_of_them_and_is_never_shown_in_the_refusal(town: Settled) -> None:
    deployed(town)
    key = "ghp_" + "q7RzK2mVx9LtB4wYc8NdH3sJfP6aUeG1iZoT"
    (town.path / "bin/run").write_text(f"TOKEN={key}\n")
    (town.path / "index.html").write_text("three\n")
    refused = town("pull", "site", "--yes", "--push")
    assert refused.code == 5, refused
    assert "what was edited looks like it holds secrets: nothing was committed" in refused.out
    assert "secret: bin/run:1 looks like" in refused.out
    assert "secrets/allow" in refused.out
    assert not branch_in(town)


def test_of_releases_the_one_that_is_current_is_meant(town: Settled) -> None:
    deployed(town, strategy="releases")
    base = town.commit_of("main")
    (town.path / "current/index.html").write_text("three\n")
    town.commit("Newer", {"index.html": "newer\n"})
    pulled(town)
    branch = branch_in(town)
    assert git(town.source, "rev-parse", f"{branch}^") == base
    assert git(town.source, "show", f"{branch}:index.html") == "three"


def test_a_folder_that_is_not_ours_yet_gives_its_edits_back_before_it_is_adopted(town: Settled) -> None:
    town.project()
    put(town.work, "v2", town.path)
    (town.path / "bin/run").write_text("echo hotfix\n")
    (town.path / "index.html").unlink()
    result = pulled(town)
    assert f"not ours yet; nearest to commit {town.commit_of('v2')[:10]}" in result.out
    branch = branch_in(town)
    assert git(town.source, "rev-parse", f"{branch}^") == town.commit_of("v2")
    assert git(town.source, "show", "--format=", "--name-status", branch) == "M\tbin/run"


def test_after_taking_over_edits_can_still_be_pulled(town: Settled) -> None:
    town.project()
    put(town.work, "v2", town.path)
    (town.path / "bin/run").write_text("echo hotfix\n")
    taken = town("adopt", "site", "--take-over", "--yes")
    assert "the edits come back into git with reconcile pull site nas" in taken.out
    pulled(town)
    assert git(town.source, "show", "--format=", "--name-status", branch_in(town)) == "M\tbin/run"


def test_without_a_push_the_branch_can_be_put_into_a_clone_or_fetched(town: Settled, tmp_path: Path) -> None:
    deployed(town)
    (town.path / "index.html").write_text("three\n")
    git(tmp_path, "clone", "--quiet", str(town.source), "clone")
    result = town("pull", "site", "--yes", "--into", str(tmp_path / "clone"))
    assert result.code == 0, result
    branch = git(tmp_path / "clone", "for-each-ref", "--format=%(refname:short)", "refs/heads/reconcile/")
    assert git(tmp_path / "clone", "show", f"{branch}:index.html") == "three"
    assert git(tmp_path / "clone", "status", "--porcelain") == ""
    fetched = town("pull", "site", "--yes")
    command = next(text.strip() for text in fetched.out.splitlines() if text.strip().startswith("git fetch "))
    git(tmp_path / "clone", *command.split()[1:], "--force")
    nowhere = town("pull", "site", "--yes", "--into", str(tmp_path / "host"))
    assert nowhere.code == 1, nowhere
    assert "the commit is made, and went no further: there is no git repository at" in nowhere.out


def test_a_mere_look_commits_nothing(town: Settled) -> None:
    deployed(town)
    (town.path / "index.html").write_text("three\n")
    state = town.state()
    document = town.console.json("pull", "site")
    assert (document["exit_code"], document["hosts"][0]["state"], document["hosts"][0]["commit"]) == (0, "edited", None)
    assert "+three" in document["hosts"][0]["diff"]
    refused = town("pull", "site")
    assert refused.code == 5, refused
    assert "there is no terminal to ask on; nothing was committed" in refused.err
    assert town.state() == state
    with terminal(town.fleet, "pull", "site", XDG_CACHE_HOME=os.environ["XDG_CACHE_HOME"]) as there:
        there.until("Commit 1 file from nas? [y/N]")
        there.type("n\n")
        there.until("not committed: nobody said yes")
        assert there.end() == 5


def test_nothing_edited_nothing_deployed_and_nobody_to_commit_are_said(town: Settled, monkeypatch: pytest.MonkeyPatch) -> None:
    town.project()
    assert "not deployed there: nothing to bring back" in town("pull", "site").out
    assert town("apply", "--yes").code == 0
    clean = town("pull", "site", "--yes")
    assert clean.code == 0
    assert f"as it was deployed ({town.commit_of('main')[:10]}): nothing to bring back" in clean.out
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL"):
        monkeypatch.delenv(name)
    nobody = town("pull", "site")
    assert nobody.code == 1
    assert "git does not know the name and the email to commit with" in nobody.err


def test_two_hosts_with_other_edits_give_a_branch_each(town: Settled) -> None:
    nas = (town.fleet.root / "hosts/nas.yaml").read_text()
    town.fleet.commit({"hosts/web.yaml": nas.replace("/inventory", "/inventory-web")})
    file = f"source: {town.source}\nrevision: main\nruntime: none\ndeploy:\n"
    file += "".join(f"  - {{host: {host}, path: {town.host}/{host}}}\n" for host in ("nas", "web"))
    town.fleet.commit({"projects/site.yaml": file})
    assert town("apply", "--yes").code == 0
    for host in ("nas", "web"):
        (town.host / host / "index.html").write_text(f"{host}\n")
    assert pulled(town).out.count("✓ committed") == 2
    for branch in branch_in(town).split():
        host = branch.split("-")[1]
        assert git(town.source, "show", f"{branch}:index.html") == host


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("pull",), "Missing argument 'PROJECT'"),
        (("pull", "sit"), 'there is no project "sit"\n    did you mean site?'),
        (("pull", "site", "--json", "--push"), "add --yes"),
        (("pull", "site", "away"), "site does not go to away"),
    ],
)
def test_wrong_words_are_answered_in_a_sentence(town: Settled, words: tuple[str, ...], told: str) -> None:
    town.project()
    town.fleet.commit({"hosts/away.yaml": "address: root@127.0.0.1:1\n"})
    result = town(*words)
    assert (result.code, told in result.err) == (1, True), result
