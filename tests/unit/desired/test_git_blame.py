"""Who asked for a line, and who took it away, as far as git tells."""

from __future__ import annotations

import subprocess
from pathlib import Path

from desired.git import fleet_folder, folder_in, open_repository
from desired.git_blame import author_of, blame, dropped, removed
from tests.fleet import Fleet

BASE = (
    "files:\n  /etc/motd: {content: hello}\n  /etc/motd.d/x: {content: x}\n  /etc/issue:\n    content: a\n\n    mode: '0600'\n"
)


def subjects(fleet: Fleet, commit: str, *lines: int) -> list[tuple[str, str] | None]:
    """For each line the subject of its commit, and of the one that changed its block later."""
    repository = open_repository(fleet.root)
    found = [blame(repository, commit, "bundles/base.yaml", line) for line in lines]
    return [(one.author.subject, one.changed.subject if one.changed else "") if one else None for one in found]


def test_a_line_has_the_commit_that_brought_it(fleet: Fleet) -> None:
    fleet.commit({"bundles/base.yaml": BASE}, "Begin\n\nAt length.")
    commit = fleet.commit({"bundles/base.yaml": BASE.replace("hello", "welcome").replace("0600", "0644")}, "Say welcome")
    assert subjects(fleet, commit, 1, 2, 3, 4) == [
        ("Begin", "Say welcome"), ("Say welcome", ""), ("Begin", ""), ("Begin", "Say welcome"),
    ]  # fmt: skip
    assert subjects(fleet, commit, 0, 99) == [None, None]


def test_what_git_does_not_have_is_not_known(fleet: Fleet) -> None:
    commit = fleet.commit({"bundles/base.yaml": BASE, "bundles/large.yaml": "x\n" * (1 << 20)})
    repository = open_repository(fleet.root)
    assert blame(repository, commit, "bundles/other.yaml", 1) is None
    assert blame(repository, commit, "bundles/large.yaml", 1) is None
    assert blame(repository, "f" * 40, "bundles/base.yaml", 1) is None
    assert author_of(repository, "f" * 40) is None
    assert removed(repository, "f" * 40, "", "x") is None


def test_a_bare_repository_and_a_fleet_in_a_folder_tell_the_same(fleet: Fleet, tmp_path: Path) -> None:
    commit = fleet.commit({"machines/fleet.yaml": "", "machines/bundles/base.yaml": BASE, "other.yaml": "/etc/issue"}, "Begin")
    later = fleet.commit({"machines/bundles/base.yaml": BASE.partition("  /etc/issue")[0], "other.yaml": ""}, "No issue")
    subprocess.run(["git", "clone", "--quiet", "--bare", str(fleet.root), str(tmp_path / "bare")], check=True)
    inside = open_repository(fleet.root)
    top = fleet_folder(inside, folder_in(inside, fleet.root / "machines" / "bundles"))
    assert top == "machines"
    for repository in (inside, open_repository(tmp_path / "bare")):
        found = blame(repository, commit, f"{top}/bundles/base.yaml", 2)
        assert found is not None
        assert (found.text, found.author.name, found.author.email) == (BASE.splitlines()[1], "Ada", "ada@example.org")
        gone = removed(repository, later, top, "/etc/issue")
        assert gone is not None
        assert gone.commit == later
        assert removed(repository, commit, top, "/etc/issue") is None


def test_the_commit_that_took_a_line_out_is_the_last_that_did(fleet: Fleet) -> None:
    fleet.commit({"bundles/base.yaml": BASE, "hosts/web.yaml": "address: web\nsysctl: {vm.swappiness: 10}\n"}, "Begin")
    without = BASE.replace("  /etc/motd: {content: hello}\n", "")
    fleet.commit({"bundles/base.yaml": without}, "Out")
    fleet.commit({"bundles/base.yaml": BASE}, "In again")
    fleet.commit({"bundles/base.yaml": without + "# needs: ['file:/etc/motd']\n"}, "Out again")
    commit = fleet.commit({"hosts/web.yaml": None}, "No web")
    repository = open_repository(fleet.root)
    told = {name: removed(repository, commit, "", name) for name in ("/etc/motd", "vm.swappiness", "/etc/issue", "/etc/mot")}
    assert {name: one.subject if one else None for name, one in told.items()} == {
        "/etc/motd": "Out again", "vm.swappiness": "No web", "/etc/issue": None, "/etc/mot": None,
    }  # fmt: skip
    gone = dropped(repository, commit, "hosts/web.yaml")
    assert gone is not None
    assert gone.commit == commit
    assert dropped(repository, commit, "bundles/base.yaml") is None


def test_hostile_words_of_a_commit_come_back_as_text(fleet: Fleet) -> None:
    fleet.git("config", "i18n.commitEncoding", "latin1")
    fleet.write({"bundles/base.yaml": BASE})
    fleet.git("add", "--all")
    author = b"\xe9v\x1b[31me <e@x>"
    command = [b"git", b"commit", b"--quiet", b"--author", author, b"--message", b"caf\xe9 \x1b]0;x\x07\nmore"]
    subprocess.run(command, cwd=fleet.root, env=fleet.environment, check=True)
    found = author_of(open_repository(fleet.root), fleet.git("rev-parse", "HEAD"))
    assert found is not None
    assert (found.name, found.subject) == ("\ufffdv\x1b[31me", "caf\ufffd \x1b]0;x\x07")
