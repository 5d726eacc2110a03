"""Directories: what a manifest may say, how a host is asked, and what is done, on this machine and with its shells."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from providers.base import Change, Facts, Unknown
from providers.directories import DirectoryProvider, DirectorySpec, DirectoryState
from tests.unit.providers.here import SHELLS, Here, name_of

DIRECTORIES = DirectoryProvider()
ODD_NAMES = ("'\"$(id)`id`", "new\nline", "-rf", " blank ", "back\\slash", "*?[a]", "é", "..odd", ".hidden")


def spec(name: object, *declared: str, **fields: Any) -> DirectorySpec:
    return DirectorySpec.model_validate({"name": str(name), **fields}).with_declared(declared)


def purged(path: str, *extra: str) -> Change[DirectorySpec, DirectoryState]:
    wanted = spec(path, purge=True)
    return Change(wanted, DirectoryState(type="directory", extra=extra), DIRECTORIES.want(wanted), frozenset({"extra"}))


def test_a_path_has_one_spelling() -> None:
    with pytest.raises(ValidationError, match="write /srv/app"):
        spec("/srv/app/")


def test_both_sides_are_worded_alike() -> None:
    wanted = DIRECTORIES.want(spec("/d", mode="755", acl=["d:u:ops:rx", "d:other::r"], purge=True))
    acl = ("default:other::r--", "default:user:ops:r-x")
    assert wanted == DirectoryState(type="directory", mode="0755", acl=acl, extra=())


def test_making_and_purging_are_steps_of_their_own() -> None:
    wanted = spec("/d", mode="0750", purge=True)
    before = DirectoryState(type="directory", mode="0755", extra=("-a b",))
    change = Change(wanted, before, DIRECTORIES.want(wanted), frozenset({"mode", "extra"}))
    steps = list(DIRECTORIES.steps([change], Facts()))
    assert [step.title for step in steps] == ["set owner and permissions of /d", "remove 1 undeclared entry from /d"]
    assert steps[0].run.text == "directory_put /d '' '' 0750 ''"
    assert steps[1].run.text == "directory_purge /d /d '-a b' '-a\\040b'"


def test_what_a_purge_removes_is_listed_one_by_one() -> None:
    assert DIRECTORIES.deletions(purged("/d", "a", "b c")) == ("/d/a", "/d/b c")


def test_a_purged_directory_keeps_what_any_other_resource_owns_in_it() -> None:
    wanted = spec("/d", purge=True)
    paths = ("/d", "/d/file", "/d/sub/deep/file", "/d/link", "/dir")
    neighbours = {f"file:{path}": path for path in paths} | {"user:d": None}
    assert DIRECTORIES.adjust(wanted, neighbours).declared == {"file", "sub", "link"}


@given(st.binary())
def test_no_answer_can_break_the_parser(out: bytes) -> None:
    specs = [spec("/d", purge=True), spec("/o dd"), spec("/gone", ensure="absent")]
    for text in (out, out + b"\nnames\nend\n", b"names\n" + out + b"\0end\n"):
        assert all(isinstance(answer, Unknown) for answer in DIRECTORIES.parse(text, specs).values())


@given(st.lists(st.binary().filter(lambda name: b"\0" not in name and b"/" not in name and name)))
def test_every_name_that_a_host_can_have_comes_through(names: list[bytes]) -> None:
    records = b"".join(b"0/" + name + b"\0" for name in names)
    out = b"41ed:0:0:0:root:root:/d\nnames\n" + records + b"0.\0end\n"
    answer = DIRECTORIES.parse(out, [spec("/d", purge=True)])["/d"]
    assert isinstance(answer, DirectoryState)
    assert answer.extra is not None
    assert {name.encode("utf-8", "surrogateescape") for name in answer.extra} == set(names)


@given(st.binary())
def test_no_answer_can_break_the_preview(out: bytes) -> None:
    DIRECTORIES.seen(out, [purged("/d", "a")])


@pytest.mark.parametrize("shell", SHELLS, ids=name_of)
def test_directories_with_names_of_every_sort_converge(shell: Sequence[str], tmp_path: Path) -> None:
    here = Here(DIRECTORIES, shell)
    specs = [spec(tmp_path / name, mode="0750") for name in (*ODD_NAMES, "plain")]
    here.converge(*specs)
    here.converge(*(wanted.absent() for wanted in specs))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shell", SHELLS, ids=name_of)
@pytest.mark.parametrize("before", ["absent", "sticky", "setgid", "closed", "dangling", "loop"])
def test_every_starting_state_converges(shell: Sequence[str], before: str, tmp_path: Path) -> None:
    target = tmp_path / "d"
    if before in ("dangling", "loop"):
        target.symlink_to("d" if before == "loop" else "nowhere")
    elif before != "absent":
        target.mkdir()
        target.chmod({"sticky": 0o1777, "setgid": 0o2775, "closed": 0}[before])
    Here(DIRECTORIES, shell).converge(spec(target, mode="0755"))
    assert target.stat().st_mode & 0o7777 == 0o755


def test_missing_directories_above_are_made_and_open_to_all(tmp_path: Path) -> None:
    Here(DIRECTORIES).converge(spec(tmp_path / "a" / "b" / "c", mode="0700"))
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "a", tmp_path / "a/b", tmp_path / "a/b/c")] == [
        0o755,
        0o755,
        0o700,
    ]


def test_a_file_in_its_place_is_kept(tmp_path: Path) -> None:
    (tmp_path / "d").write_text("data")
    assert "is not a directory: it is kept" in Here(DIRECTORIES).refusal(spec(tmp_path / "d"))
    assert (tmp_path / "d").read_text() == "data"


def test_a_link_to_a_directory_in_its_place_is_kept_and_named(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "d").symlink_to("real")
    assert "is a symbolic link to real: remove it, or declare" in Here(DIRECTORIES).refusal(spec(tmp_path / "d"))
    assert (tmp_path / "d").is_symlink()


def test_a_directory_with_something_in_it_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / ".hidden").touch()
    (tmp_path / "d" / "data").touch()
    message = Here(DIRECTORIES).refusal(spec(tmp_path / "d", ensure="absent"))
    assert f"{tmp_path}/d is kept: not empty, 2 entries" in message


def test_unwanted_directories_do_not_mean_other_things(tmp_path: Path) -> None:
    (tmp_path / "d").write_text("data")
    assert not Here(DIRECTORIES).changes([spec(tmp_path / "d", ensure="absent")])


@pytest.mark.parametrize("shell", SHELLS, ids=name_of)
def test_a_purge_removes_what_is_not_declared_and_nothing_else(shell: Sequence[str], tmp_path: Path) -> None:
    target, outside = tmp_path / "d", tmp_path / "outside"
    outside.mkdir()
    (outside / "data").touch()
    for name in ODD_NAMES:
        (target / name / "below").mkdir(parents=True)
    (target / "kept").touch()
    (target / "link").symlink_to(outside)
    (target / "dangling").symlink_to("nowhere")
    if "yash" not in shell:  # yash's own patterns match only what it can decode; such a name then stays, and is not listed
        (target / os.fsdecode(b"bad\xff")).touch()

    Here(DIRECTORIES, shell).converge(spec(target, "kept", purge=True))

    assert [path.name for path in target.iterdir()] == ["kept"]
    assert (outside / "data").exists()


@pytest.mark.parametrize("names", [("file", "old"), ("old", "file")], ids=",".join)
def test_the_preview_names_what_lies_below_an_undeclared_directory(tmp_path: Path, names: tuple[str, ...]) -> None:
    (tmp_path / "old" / "sub").mkdir(parents=True)
    (tmp_path / "old" / "sub" / "new\nline").touch()
    (tmp_path / "file").touch()
    changes = [purged(str(tmp_path), *names)]
    question = DIRECTORIES.look(changes)
    assert question is not None
    answer = Here(DIRECTORIES).run(question)
    assert answer.returncode == 0
    found = DIRECTORIES.seen(answer.stdout, changes)[f"directory:{tmp_path}"].removes
    assert sorted(found) == [f"{tmp_path}/old/sub", f"{tmp_path}/old/sub/new\nline"]


def test_the_preview_says_so_when_more_lies_below_than_it_can_list(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    for number in range(400):
        (tmp_path / "old" / f"{number:0200}").touch()
    changes = [purged(str(tmp_path), "old", "other")]
    question = DIRECTORIES.look(changes)
    assert question is not None
    found = DIRECTORIES.seen(Here(DIRECTORIES).run(question).stdout, changes)[f"directory:{tmp_path}"]
    assert found.unsure is not None
    assert "more" in found.unsure
    assert 100 < len(found.removes) < 400
    assert all(Path(name).exists() for name in found.removes)
