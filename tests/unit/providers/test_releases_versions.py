from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from providers.releases.kind import ReleaseSpec
from tests.unit.providers.here import SHELLS, name_of
from tests.unit.providers.site import FIRST, SECOND, Content, Site, tree

FILES: dict[str, Content] = {
    "index.html": "welcome\n",
    "d/one": "1",
    "d/two": "2",
    "latest": ("link", "d"),
    ".env": ("0600", "PASSWORD=1\n"),
    "data/seed": "first content",
}
SHARED = ("data/", "var/uploads", "etc/app.ini")


@pytest.fixture(params=SHELLS, ids=name_of)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    shell: Sequence[str] = request.param
    return Site(shell, tmp_path)


@pytest.fixture
def here(tmp_path: Path) -> Site:
    return Site(SHELLS[0], tmp_path)


def spec_of(site: Site, files: dict[str, Content], commit: str = FIRST) -> ReleaseSpec:
    return site.spec(tree(files, commit), strategy="slots", folder="app", shared=SHARED, keep=2)


def test_a_release_appears_whole_beside_the_others(site: Site) -> None:
    site.converge(spec_of(site, FILES))
    first = site.release()
    assert (first / "app/index.html").read_text() == "welcome\n"
    spec = spec_of(site, {**FILES, "index.html": "hello\n"}, SECOND)
    step = site.steps(spec)[0]
    assert "send 3 files" in step.title  # the sentinel, the page, and the secret, which is never taken from another release
    site.converge(spec)
    assert {path.name[-7:] for path in (site.root / "releases").iterdir()} == {"aaaaaaa", "bbbbbbb"}
    assert (first / "app/index.html").read_text() == "welcome\n"
    newest = site.root / "releases" / (site.state(spec).id or "")
    assert (newest / "app/index.html").read_text() == "hello\n"
    assert (newest / "app/latest").readlink() == Path("d")
    assert (newest / "app/.env").stat().st_mode & 0o777 == 0o600


def test_shared_data_outlives_releases_and_begins_with_what_the_tree_holds(site: Site) -> None:
    site.converge(spec_of(site, FILES))
    assert (site.root / "shared/data/seed").read_text() == "first content"
    assert (site.root / "shared/var/uploads").is_dir()
    (site.root / "shared/data/seed").write_text("live")
    (site.root / "shared/etc/app.ini").write_text("made by the application")
    spec = spec_of(site, {**FILES, "data/seed": "another"}, SECOND)
    site.converge(spec)
    app = site.root / "releases" / (site.state(spec).id or "") / "app"
    assert (app / "data/seed").read_text() == "live"
    assert (app / "etc/app.ini").read_text() == "made by the application"
    assert not (app / "data").readlink().is_absolute()


def test_an_edited_release_is_mended_where_it_is(site: Site) -> None:
    spec = spec_of(site, FILES)
    site.converge(spec)
    app = site.release() / "app"
    (app / "d/one").write_text("edited")
    (app / "d/two").unlink()
    (app / "data").unlink()
    state = site.state(spec)
    assert (state.edited, state.missing) == (("d/one",), ("d/two", "data"))
    site.converge(spec)
    assert len(list((site.root / "releases").iterdir())) == 1
    assert (app / "d/one").read_text() == "1"
    assert (app / "data/seed").read_text() == "first content"


def test_old_releases_go_unless_they_are_used_or_somebody_changed_them(here: Site) -> None:
    releases = here.root / "releases"
    ids: dict[str, str] = {}
    spec = spec_of(here, FILES)
    for digit in "abcdef":
        spec = spec_of(here, {**FILES, "index.html": digit}, digit * 40)
        here.converge(spec)
        ids[digit] = here.state(spec).id or ""
        project = here.memory / "projects/site"
        if digit == "a":
            (releases / ids["a"] / "app/mine").write_text("mine")
        if digit == "b":
            (project / "slot.blue").write_text(f"{spec.tree} {ids['b']} 1\n")
        if digit == "c":
            (project / "good").write_text(f"{spec.tree} 1\n")
    assert {path.name for path in releases.iterdir()} == {ids[digit] for digit in "abcef"}
    assert f"{ids['a']} is kept, because somebody changed it: mine" in here.notices(spec)


def test_a_release_that_failed_a_smoke_test_is_the_first_to_go(here: Site) -> None:
    first = spec_of(here, FILES)
    here.converge(first)
    bad = here.state(first).id or ""
    (here.memory / "projects/site/quarantine").write_text(f"{first.tree} 1 smoke\n")
    here.converge(spec_of(here, {**FILES, "d/one": "one"}, SECOND))
    assert bad not in {path.name for path in (here.root / "releases").iterdir()}


def test_a_release_that_was_tampered_with_is_not_copied_from(here: Site) -> None:
    here.converge(spec_of(here, FILES))
    (here.release() / "app/d/one").write_text("evil")
    spec = spec_of(here, {**FILES, "index.html": "new"}, SECOND)
    here.converge(spec)
    assert (here.root / "releases" / (here.state(spec).id or "") / "app/d/one").read_text() == "1"


def test_a_release_with_other_permissions_throughout_still_gives_its_contents(site: Site) -> None:
    site.converge(spec_of(site, {"index.html": "welcome\n", "d/one": "1"}))
    for path in (site.release() / "app").rglob("*"):
        if path.is_file():
            path.chmod(0o664)
    spec = spec_of(site, {"index.html": "hello\n", "d/one": "1"}, SECOND)
    site.converge(spec)
    copied = site.root / "releases" / (site.state(spec).id or "") / "app/d/one"
    assert (copied.read_text(), copied.stat().st_mode & 0o777) == ("1", 0o644)


def test_all_releases_go_with_the_project_and_shared_data_stays(site: Site) -> None:
    spec = spec_of(site, FILES)
    site.converge(spec)
    site.converge(spec_of(site, {**FILES, "d/one": "one"}, SECOND))
    (site.root / "shared/data/db").write_text("live")
    site.converge(site.gone(spec))
    assert not (site.root / "releases").exists()
    assert (site.root / "shared/data/db").read_text() == "live"


def repository(folder: Path) -> tuple[Path, list[str]]:
    """A git repository with two commits, and their ids."""
    root = folder / "source"
    root.mkdir()
    settings = ["config user.email a@example.org", "config user.name a"]
    for number, command in enumerate(["init -q -b main", *settings, "add -A", "commit -qm one", "add -A", "commit -qm two"]):
        (root / "page").write_text("two\n" if number > 4 else "one\n")
        subprocess.run(["git", *command.split(" ")], cwd=root, check=True, capture_output=True)
    ids = subprocess.run(["git", "rev-list", "--reverse", "HEAD"], cwd=root, check=True, capture_output=True, text=True).stdout
    return root, ids.split()


def checkout(site: Site, source: Path, commit: str, text: str) -> ReleaseSpec:
    def pack(have: frozenset[str]) -> tuple[bytes, bytes]:
        wanted = "".join(f"{line}\n" for line in [commit, *(f"^{known}" for known in have if known in reachable)])
        base = site.memory / "packed"
        command = ["git", "pack-objects", "--revs", "-q", str(base)]
        name = subprocess.run(command, cwd=source, input=wanted, check=True, capture_output=True, text=True).stdout.strip()
        return Path(f"{base}-{name}.pack").read_bytes(), Path(f"{base}-{name}.idx").read_bytes()

    listed = subprocess.run(["git", "rev-list", commit], cwd=source, check=True, capture_output=True, text=True).stdout
    reachable = set(listed.split())
    made = tree({"page": text, ".env": ("0600", "A=1\n")}, commit, sentinel=False)
    with_pack = type(made)(made.commit, made.files, made.read, pack)
    return site.spec(with_pack, strategy="checkout", branch="main", origin="ssh://git@git.lan/me/site.git")


def git(site: Site, *words: str) -> str:
    command = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", *words]
    return subprocess.run(command, cwd=site.root, check=True, capture_output=True, text=True).stdout.strip()


def test_a_checkout_is_a_repository_that_git_finds_clean(here: Site, tmp_path: Path) -> None:
    source, (one, two) = repository(tmp_path)
    here.converge(checkout(here, source, one, "one\n"))
    assert (git(here, "rev-parse", "HEAD"), git(here, "status", "--porcelain")) == (one, "")
    here.converge(checkout(here, source, two, "two\n"))
    assert (git(here, "rev-parse", "main"), git(here, "status", "--porcelain")) == (two, "")
    assert git(here, "log", "--format=%s") == "two\none"
    assert git(here, "remote", "get-url", "origin") == "ssh://git@git.lan/me/site.git"
    git(here, "fsck", "--strict")


def test_commits_that_were_made_on_the_host_are_kept_when_head_moves_back(here: Site, tmp_path: Path) -> None:
    source, (_, two) = repository(tmp_path)
    spec = checkout(here, source, two, "two\n")
    here.converge(spec)
    (here.root / "page").write_text("hotfix\n")
    git(here, "commit", "-qam", "hotfix")
    hotfix = git(here, "rev-parse", "HEAD")
    state = here.state(spec)
    assert (state.commit, state.edited) == (hotfix, ("page",))
    here.converge(spec)
    assert git(here, "rev-parse", "HEAD") == two
    assert git(here, "for-each-ref", "--format=%(objectname)", "refs/reconciler/kept") == hotfix
    here.converge(here.gone(spec))
    assert (here.root / ".git").is_dir()  # it holds what is nowhere else


def test_a_checkout_that_nobody_committed_to_goes_with_its_repository(here: Site, tmp_path: Path) -> None:
    source, (one, _) = repository(tmp_path)
    spec = checkout(here, source, one, "one\n")
    here.converge(spec)
    here.converge(here.gone(spec))
    assert not here.root.exists()
