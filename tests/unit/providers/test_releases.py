from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.unit.providers.here import SHELLS, name_of
from tests.unit.providers.site import FIRST, SECOND, Content, Site, tree

FILES: dict[str, Content] = {
    "index.html": "welcome\n",
    "a b/it's $(id).txt": "quoted",
    "-rf": "a dash",
    "back\\slash": "b",
    "deep/er/still/x": "x",
    "run.sh": ("0755", "#!/bin/sh\n"),
    "latest": ("link", "deep/er"),
    "nowhere": ("link", "/no/where"),
    ".env": ("0600", "PASSWORD=1\n"),
    "was-file": "f",
    "was-folder/in": "d",
}


@pytest.fixture(params=SHELLS, ids=name_of)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    shell: Sequence[str] = request.param
    return Site(shell, tmp_path)


@pytest.fixture
def here(tmp_path: Path) -> Site:
    return Site(SHELLS[0], tmp_path)


def test_a_tree_is_installed_as_it_is_and_a_second_plan_is_empty(site: Site) -> None:
    site.converge(site.spec(FILES))
    found = site.files()
    assert found.pop(".sync_rev") == f"{FIRST}\n"
    assert found == {path: f"→ {text[1]}" if text[0] == "link" else text[1] for path, text in _pairs(FILES).items()}
    assert os.access(site.root / "run.sh", os.X_OK)
    assert stat.S_IMODE((site.root / ".env").stat().st_mode) == 0o600
    assert site.state(site.spec(FILES)).commit == FIRST


def _pairs(files: dict[str, Content]) -> dict[str, tuple[str, str]]:
    return {path: value if isinstance(value, tuple) else ("0644", value) for path, value in files.items()}


def test_what_somebody_changed_is_named_and_healed(site: Site) -> None:
    spec = site.spec(FILES)
    site.converge(spec)
    (site.root / "index.html").write_text("hacked!\n")
    (site.root / ".env").write_text("PASSWORD=2\n")
    (site.root / "run.sh").chmod(0o777)
    (site.root / "latest").unlink()
    (site.root / "latest").symlink_to("/etc/passwd")
    (site.root / "deep/er/still/x").unlink()
    (site.root / "-rf").touch()
    state = site.state(spec)
    assert (state.edited, state.missing, state.modes) == ((".env", "index.html", "latest"), ("deep/er/still/x",), ("run.sh",))
    site.converge(spec)
    assert site.files()["index.html"] == "welcome\n"
    assert site.files()["latest"] == "→ deep/er"


def test_a_new_revision_sends_what_changed_and_removes_what_is_gone(site: Site) -> None:
    site.converge(site.spec(FILES))
    files = {path: text for path, text in FILES.items() if path not in ("deep/er/still/x", "was-file", "was-folder/in")}
    files |= {
        "index.html": "hello\n",
        "was-file/now": "d",
        "was-folder": ("link", "run.sh"),
        "latest": "a file",
        "renamed": "x",
    }
    spec = site.spec(tree(files, SECOND))
    [step] = site.steps(spec)
    assert step.title.startswith("send 4 files")  # two have a content that the host has under another name
    site.converge(spec)
    found = site.files()
    assert (found["index.html"], found["was-file/now"], found["was-folder"]) == ("hello\n", "d", "→ run.sh")
    assert (found["latest"], found["renamed"], found[".sync_rev"]) == ("a file", "x", f"{SECOND}\n")
    assert not (site.root / "deep").exists()
    site.converge(site.spec(FILES))
    assert site.files()["was-folder/in"] == "d"


def test_files_that_are_not_ours_stay_and_are_told(site: Site) -> None:
    spec = site.spec(FILES)
    site.converge(spec)
    (site.root / "deep/mine").write_text("mine")
    (site.root / "odd\nname").write_text("odd")
    assert "deep/mine" in site.notices(spec)
    site.converge(site.spec(tree({"index.html": "only this"}, SECOND)))
    assert set(site.files()) == {"index.html", ".sync_rev", "deep/mine", "odd\nname"}
    assert "deep/mine" in site.notices(spec)


def test_an_edited_file_that_left_the_revision_is_kept(here: Site) -> None:
    here.converge(here.spec(FILES))
    (here.root / "run.sh").write_text("edited here")
    spec = here.spec(tree({"index.html": "only this"}, SECOND))
    here.converge(spec)
    assert here.files()["run.sh"] == "edited here"
    assert "run.sh" in here.notices(spec)


def test_a_folder_that_is_not_ours_is_not_touched(site: Site) -> None:
    site.root.mkdir()
    (site.root / "index.html").write_text("somebody's")
    assert "holds 1 file that reconciler did not put there (index.html)" in site.doubt(site.spec(FILES))
    assert "reconcile adopt site" in site.doubt(site.spec(FILES))


def test_a_folder_with_only_shared_excluded_or_declared_things_counts_as_empty(site: Site) -> None:
    for name in ("data/db", "cache/x", "conf/app.ini", "a/b.log"):
        (site.root / name).parent.mkdir(parents=True)
        (site.root / name).write_text("kept")
    neighbours = {"file:conf": str(site.root / "conf/app.ini")}
    spec = site.spec(FILES, neighbours, shared=("data/",), exclude=("cache/", "a/*.log"))
    site.converge(spec)
    assert site.notices(spec) == ""
    assert site.files()["data/db"] == site.files()["conf/app.ini"] == site.files()["a/b.log"] == "kept"


def test_what_is_shared_is_never_touched_whatever_the_tree_holds_there(site: Site) -> None:
    spec = site.spec({"data/seed": "from the tree", "x": "x"}, shared=("data/",))
    site.converge(spec)
    assert not (site.root / "data").exists()
    (site.root / "data").mkdir()
    (site.root / "data/seed").write_text("live")
    site.converge(site.spec(tree({"x": "y"}, SECOND), shared=("data/",)))
    assert site.files()["data/seed"] == "live"


def test_a_link_that_is_not_ours_is_never_followed(site: Site, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "x").write_text("precious")
    spec = site.spec({"d/x": "ours"})
    site.converge(spec)
    (site.root / "d/x").unlink()
    (site.root / "d").rmdir()
    (site.root / "d").symlink_to(victim)
    assert "stands where a folder of the project belongs" in site.refusal(spec)
    assert (victim / "x").read_text() == "precious"


def test_a_folder_with_foreign_files_is_not_replaced_by_a_file(here: Site) -> None:
    here.converge(here.spec({"d/x": "x"}))
    (here.root / "d/mine").write_text("mine")
    assert "d is a folder that holds what is not ours" in here.refusal(here.spec(tree({"d": "file"}, SECOND)))
    assert here.files()["d/mine"] == "mine"


def test_what_left_the_repository_is_removed_and_nothing_else(site: Site) -> None:
    spec = site.spec(FILES, shared=("data/",))
    site.converge(spec)
    (site.root / "data").mkdir()
    (site.root / "data/db").write_text("live")
    (site.root / "mine").write_text("mine")
    (site.root / "index.html").write_text("edited!!")
    site.converge(site.gone(spec))
    assert site.files() == {"data/db": "live", "mine": "mine", "index.html": "edited!!"}
    assert site.ask([site.gone(spec)]) == {"site": None}


def test_an_untouched_tree_is_removed_with_its_folder(site: Site) -> None:
    spec = site.spec(FILES)
    site.converge(spec)
    site.converge(site.gone(spec))
    assert not site.root.exists()
    assert not list((site.memory / "projects").iterdir())


def test_a_deep_probe_finds_what_hides_its_traces(here: Site) -> None:
    spec = here.spec({"x": "one", "y": "y"})
    here.converge(spec)
    stamps = here.memory / "projects/site/stamps"
    (here.root / "x").write_text("two")
    lines = here.run(here.provider.probe([spec])).stdout
    assert b"\nE x\n" in lines
    listing = ["find", ".", "-mindepth", "1", "!", "-type", "d", "-printf", "%y %m %U %G %s %T@ %C@ %i ./%P\n"]
    forged = subprocess.run(listing, cwd=here.root, capture_output=True, text=True, check=True).stdout.splitlines()
    title = stamps.read_text().splitlines()[0]
    stamps.write_text("\n".join(sorted([title, "!status 0", *forged])) + "\n")
    assert here.state(spec).edited == ()
    assert here.state(spec.deep()).edited == ("x",)


def test_a_tree_that_cannot_be_read_is_unknown_and_never_absent(here: Site) -> None:
    here.root.mkdir()
    here.root.rmdir()
    here.root.write_text("a file")
    assert "no folder" in here.doubt(here.spec(FILES))


def test_contents_that_arrive_damaged_are_not_installed(here: Site) -> None:
    honest = tree({"x": "what was promised"})
    liar = type(honest)(honest.commit, honest.files, lambda _: b"something else...")
    spec = here.spec(liar)
    assert "arrived damaged" in here.refusal(spec)
    assert here.files() == {}


def test_many_files_travel_in_parcels(here: Site) -> None:
    spec = here.spec({f"d{number}/f": os.urandom(12000).hex() for number in range(40)})
    [step] = here.steps(spec)
    assert step.blob is None
    assert len(step.parcels) == 1
    here.converge(spec)
