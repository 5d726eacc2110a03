"""The short way of a small revision: the same outcome as the general way, and the general way wherever something is odd."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers import tree
from providers.base import Change, Facts, Step
from providers.releases import steps as releases_steps
from providers.releases.answer import held
from providers.releases.kind import ReleaseProvider, ReleaseState
from providers.releases.small import small
from providers.shell import Sh, sh
from providers.tree import Tree, TreeFile, tree_of
from tests.unit.providers.here import SHELLS, name_of
from tests.unit.providers.site import FIRST, SECOND, Content, Site
from tests.unit.providers.site import tree as tree_from

OLD: dict[str, Content] = {
    "index.html": "welcome\n",
    "a b/it's $(id).txt": "quoted",
    "-rf": "a dash",
    "back\\slash": "b",
    "deep/er/still/x": "x",
    "gone/far/away": "y",
    "run.sh": "#!/bin/sh\n",
    "latest": ("link", "deep/er"),
    ".env": ("0600", "PASSWORD=1\n"),
    "kept": "kept",
}
NEW: dict[str, Content] = {path: content for path, content in OLD.items() if path not in ("gone/far/away", "latest")}
NEW |= {
    "index.html": "hello\n",
    "a b/it's $(id).txt": "quoted 2",
    "-rf": "another dash",
    "back\\slash": "c",
    "run.sh": ("0755", "#!/bin/sh\n"),
    ".env": ("0600", "PASSWORD=2\n"),
    "new/fol der/*": "n",
    "empty": "",
    ".hidden": "h",
    "..odd": "o",
}
ONLY_SMALL = sh("release_put() { path_fail 'the general way'; }")


class Small(Site):
    """A site where only the short way is there. `before`: shell that is put before each step."""

    before = ONLY_SMALL

    def act(self, step: Step) -> subprocess.CompletedProcess[bytes]:
        return super().act(replace(step, run=sh("@before@\n@run@", before=self.before, run=step.run)))

    def install(self, files: Tree | Mapping[str, Content]) -> None:
        self.before = Sh("")
        self.converge(self.spec(files))
        self.before = ONLY_SMALL

    def last_step(self, files: Tree) -> Step:
        [step] = self.steps(self.spec(files))
        return step


@pytest.fixture(params=SHELLS, ids=name_of)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Small:
    shell: Sequence[str] = request.param
    return Small(shell, tmp_path)


@pytest.fixture
def here(tmp_path: Path) -> Small:
    return Small(SHELLS[0], tmp_path)


def memory(site: Site) -> dict[str, str]:
    """What the host remembers; of the stamps without times and inodes, which differ from one installation to the next."""
    found = {path.name: path.read_text() for path in (site.memory / "projects/site").iterdir()}
    found["stamps"] = re.sub(r" [0-9.]+ [0-9.]+ [0-9]+ \./", " ./", found["stamps"])
    return found


def test_both_ways_come_to_the_same(site: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site.install(OLD)
    site.converge(site.spec(tree_from(NEW, SECOND)))
    short = (site.files(), memory(site))
    shutil.rmtree(site.root)
    shutil.rmtree(site.memory)
    site.memory.mkdir()
    site.install(OLD)
    monkeypatch.setattr(releases_steps, "small", lambda *_: None)
    site.before = Sh("")
    site.converge(site.spec(tree_from(NEW, SECOND)))
    assert (site.files(), memory(site)) == short
    assert not (site.root / "gone").exists()
    assert not list(site.root.glob(".reconciler-*"))


def test_a_look_and_the_memory_of_this_process_lead_to_the_same_step(here: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    here.install(OLD)
    spec = here.spec(tree_from(NEW, SECOND))
    assert here.provider.look(Site.changes(here, [spec])) is None
    remembered = here.last_step(spec.files)
    monkeypatch.setattr(tree, "_lists", {})  # as in a new process
    assert here.provider.look(Site.changes(here, [spec])) is not None
    looked = here.last_step(spec.files)
    assert (looked.run, looked.blob, looked.title) == (remembered.run, remembered.blob, remembered.title)
    assert "release_put_small" in looked.run.text


@pytest.mark.parametrize(
    "odd",
    [
        lambda site: (site.memory / "projects/site/coming").write_text(""),
        lambda site: (site.root / ".reconciler-release-000000").mkdir(mode=0o700),
        lambda site: (site.memory / "projects/site/stamps").write_text("!stamps 0 gnu\n"),
        lambda site: (site.root / "mine").write_text("not yours"),
        lambda site: (site.root / "kept").touch(),
    ],
    ids=["a mark", "a left folder", "other stamps", "a foreign file", "a touched file"],
)
def test_what_is_out_of_the_ordinary_is_left_to_the_general_way(here: Small, odd: Callable[[Site], object]) -> None:
    here.install(OLD)
    step = here.last_step(tree_from(NEW, SECOND))
    odd(here)
    assert here.act(step).stderr == b"the general way\n"
    assert here.files()["index.html"] == "welcome\n"
    here.before = Sh("")
    assert here.act(step).returncode == 0
    here.converge(here.spec(tree_from(NEW, SECOND)))
    assert here.files()["index.html"] == "hello\n"


def test_a_content_that_arrives_damaged_is_not_installed(here: Small) -> None:
    here.install(OLD)
    honest = tree_from(NEW, SECOND)
    liar = Tree(honest.commit, honest.files, lambda path: b"HELLO\n" if path == "index.html" else honest.read(path))
    here.before = Sh("")
    done = here.act(here.last_step(liar))
    assert b"arrived damaged: ./f/" in done.stderr
    assert here.files()["index.html"] == "welcome\n"


def test_a_foreign_file_where_a_new_one_belongs_is_the_business_of_the_general_way(here: Small) -> None:
    here.install(OLD)
    (here.root / "empty").write_text("mine")
    here.before = Sh("")
    again = {**OLD, "index.html": "again\n"}
    here.converge(here.spec(tree_from(again, "c" * 40)))  # from now on the stamps hold the foreign file too
    here.before = ONLY_SMALL
    assert here.act(here.last_step(tree_from({**again, "empty": ""}, SECOND))).stderr == b"the general way\n"


@pytest.mark.parametrize(
    "files",
    [
        {**OLD, "index.html": ("link", "kept")},
        {**OLD, "kept/in": "a folder where a file was"} | {"kept": "x"},
        {**{path: text for path, text in OLD.items() if path != "deep/er/still/x"}, "deep/er": "a file where a folder was"},
        {**OLD, **{f"n{number}": str(number) for number in range(301)}},
        {**OLD, "large": "x" * 50_000},
    ],
    ids=["link", "folder", "file", "many", "large"],
)
def test_what_is_no_small_revision_takes_the_general_way_from_the_start(here: Small, files: dict[str, Content]) -> None:
    if "kept/in" in files:
        del files["kept"]
    here.install(OLD)
    assert "release_put_small" not in here.last_step(tree_from(files, SECOND)).run.text


def edited_before_the_last_look(path: Path) -> Sh:
    """Shell that edits a file when everything is moved and before it is noted how it looks."""
    return sh(
        """@general@
find() {
  case $1 in
  .) command find "$@" 7<&7 8<&8 ;;
  *) if [ -e @path@ ]; then echo edited by hand >>@path@; fi; command find "$@" ;;
  esac
}""",
        general=ONLY_SMALL,
        path=str(path),
    )


@pytest.mark.parametrize("name", ["kept", "index.html", "new/fol der/*"])
def test_an_edit_that_is_made_during_the_step_shows_as_drift(site: Small, name: str) -> None:
    site.install(OLD)
    spec = site.spec(tree_from(NEW, SECOND))
    [step] = site.steps(spec)
    site.before = edited_before_the_last_look(site.root / name)
    assert site.act(step).returncode == 0
    assert site.state(spec).edited == (name,)
    site.before = Sh("")
    site.converge(spec)
    assert "edited by hand" not in site.files()[name]


def test_a_run_that_is_killed_anywhere_leaves_each_file_old_or_new_and_the_next_one_finishes(here: Small) -> None:
    old = tree_from({path: content for path, content in OLD.items() if path != "latest"})  # a link is never sent this way
    new = tree_from(NEW, SECOND)
    here.install(new)
    for moment in range(1, 40):
        old, new = new, old  # there and back again
        spec = here.spec(new)
        step = here.last_step(new)
        assert "release_put_small" in step.run.text
        here.before = killed(moment)
        finished = here.act(step).returncode == 0
        texts = {path: text for path, text in here.files().items() if not path.startswith(".reconciler-release-")}
        assert all(text in _texts(path, old, new) for path, text in texts.items()), moment
        assert {file.path for file in old.files} & {file.path for file in new.files} <= texts.keys()
        if here.state(spec).tree == new.digest:
            assert len(texts) == len(new.files)
        else:
            assert not finished
        here.before = Sh("")
        here.converge(spec)
        assert not list(here.root.glob(".reconciler-*"))
        if finished:
            break
    assert 15 < moment < 39


def _texts(path: str, *trees: Tree) -> set[str]:
    return {one.read(path).decode() for one in trees if path in {file.path for file in one.files}}


def killed(moment: int) -> Sh:
    """Shell that ends itself before its `moment`th command."""
    guard = sh("commands=0\nguard() { commands=$((commands + 1)); [ $commands != @moment@ ] || die; }", moment=moment)
    die = sh("die() { read -r pid _ </proc/self/stat; kill -9 $pid; }")
    names = ("mkdir", "stat", "tar", "sha256sum", "sync", "mv", "rm", "rmdir")
    wrapped = [sh('@name@() { guard; command @name@ "$@"; }', name=Sh(name)) for name in names]
    return sh("@parts@", parts=Sh("\n".join(part.text for part in (ONLY_SMALL, guard, die, *wrapped))))


def test_a_change_of_anything_but_the_commit_is_no_small_revision() -> None:
    provider = ReleaseProvider()
    asked = {"name": "site", "strategy": "mirror", "path": "/srv/site"}
    spec = provider.spec.model_validate(asked).with_tree(tree_from(NEW, SECOND))
    old = tree_from(OLD)
    clean = ReleaseState(tree=old.digest, edited=(), missing=(), modes=(), touched=0)

    def shortcut(fields: set[str], before: ReleaseState = clean, path: str = "/srv/site") -> bool:
        asked = spec.model_copy(update={"path": path})
        change = Change(asked, before, provider.want(asked), frozenset(fields))
        detail = provider.seen(b"", [change])[spec.ref]
        return small(change, held(detail.have)) is not None

    assert shortcut({"tree"})
    assert shortcut({"tree", "commit", "branch"})
    assert not shortcut({"commit"})
    assert not shortcut({"tree", "owner"})
    assert not shortcut({"tree"}, path="/srv/a site")
    for harm in ({"edited": ("x",)}, {"missing": ("x",)}, {"modes": ("x",)}, {"touched": 3000}, {"tree": "unfinished"}):
        assert not shortcut({"tree"}, clean.model_copy(update=harm))


@given(st.integers(0, 90))
def test_the_memory_of_lists_is_bounded_and_keeps_the_newest(count: int) -> None:
    made = [tree_of(FIRST, [TreeFile(f"f{number}", "0644", "0" * 64, 1)], lambda _: b"") for number in range(count)]
    kept = [tree.listed(one.digest) for one in made]
    assert all(found == one.files for found, one in zip(kept[-60:], made[-60:], strict=True))
    assert sum(found is not None for found in kept) <= 64


def test_a_checkout_takes_the_short_way_too(here: Small) -> None:
    here.install(OLD)
    changes = here.changes([here.spec(tree_from(NEW, SECOND))])
    as_checkout = [
        replace(change, spec=change.spec.model_copy(update={"strategy": "checkout"}).with_tree(change.spec.files))
        for change in changes
    ]
    packed = [
        replace(change, spec=change.spec.with_tree(replace(change.spec.files, pack=lambda _: (b"", b""))))
        for change in as_checkout
    ]
    steps = list(here.provider.steps(packed, Facts()))
    assert ["release_put_small" in step.run.text for step in steps] == [True, False]
