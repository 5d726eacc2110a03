"""Symbolic links: what a manifest may say, how a host is asked, and what is done, on this machine and with its shells."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from providers.base import Change, Facts, Unknown
from providers.symlinks import SymlinkProvider, SymlinkSpec, SymlinkState
from tests.unit.providers.here import SHELLS, Here, name_of

LINKS = SymlinkProvider()
ODD = ("'\"$(id)`id`", "new\nline", "-rf", " blank ", "back\\slash", "*?[a]", "é", "line break\n", "links 0 1")


def spec(name: object, target: str | None = "x", **fields: Any) -> SymlinkSpec:
    return SymlinkSpec.model_validate({"name": str(name), "target": target, **fields})


def test_a_link_must_lead_somewhere() -> None:
    with pytest.raises(ValidationError, match="target is missing"):
        spec("/l", None)


def test_the_step_says_it_in_one_line() -> None:
    wanted = spec("/etc/localtime", "/usr/share/zoneinfo/UTC")
    [step] = LINKS.steps([Change(wanted, None, LINKS.want(wanted), frozenset())], Facts())
    assert step.run.text == "symlink_put /etc/localtime /usr/share/zoneinfo/UTC"
    assert step.title == "link /etc/localtime to /usr/share/zoneinfo/UTC"


def test_a_file_that_a_link_replaces_counts_as_deleted() -> None:
    wanted = spec("/etc/localtime")
    assert LINKS.deletions(Change(wanted, SymlinkState(type="file"), LINKS.want(wanted), frozenset({"type"}))) == (
        "file:/etc/localtime",
    )


@given(st.binary())
def test_no_answer_can_break_the_parser(out: bytes) -> None:
    for text in (out, out + b"\nend\n"):
        for answer in LINKS.parse(text, [spec("/l"), spec("/o dd", ensure="absent")]).values():
            assert isinstance(answer, (Unknown, SymlinkState))


@given(st.lists(st.binary(min_size=1).filter(lambda target: b"\0" not in target), min_size=1, max_size=5))
def test_every_target_that_a_host_can_have_comes_through_or_nothing_does(targets: list[bytes]) -> None:
    specs = [spec(f"/{index}") for index in range(len(targets))]
    out = b"links 0 %d\n" % len(targets) + b"".join(target + b"\0" for target in targets) + b"\nend\n"
    answers = LINKS.parse(out, specs)
    found = [answer.target for answer in answers.values() if isinstance(answer, SymlinkState) and answer.target]
    assert [target.encode("utf-8", "surrogateescape") for target in found] == targets
    assert not LINKS.parse(out.replace(b"\0", b"", 1), specs)


@pytest.mark.parametrize("shell", SHELLS, ids=name_of)
def test_links_with_names_and_targets_of_every_sort_converge(shell: Sequence[str], tmp_path: Path) -> None:
    here = Here(LINKS, shell)
    specs = [spec(tmp_path / name, target) for name, target in zip(ODD, reversed(ODD), strict=True)]
    here.converge(*specs)
    assert {path.name: str(path.readlink()) for path in tmp_path.iterdir()} == dict(zip(ODD, reversed(ODD), strict=True))

    here.converge(*(wanted.absent() for wanted in specs))
    assert not list(tmp_path.iterdir())


START: dict[str, Callable[[Path], object]] = {
    "absent": lambda _: None,
    "a link to a folder": lambda link: link.symlink_to("folder"),
    "a link that leads nowhere": lambda link: link.symlink_to("nowhere"),
    "a link in a loop": lambda link: link.symlink_to("l"),
    "a file": lambda link: link.write_text("data"),
    "an empty folder": lambda link: link.mkdir(),
    "a fifo": os.mkfifo,
}


@pytest.mark.parametrize("shell", SHELLS, ids=name_of)
@pytest.mark.parametrize("before", START)
def test_every_starting_state_converges(shell: Sequence[str], before: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    START[before](tmp_path / "l")
    Here(LINKS, shell).converge(spec(tmp_path / "l", "../elsewhere"), spec(tmp_path / "m", "l"))
    assert str((tmp_path / "l").readlink()) == "../elsewhere"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "l", "m"]
    assert not list((tmp_path / "folder").iterdir())


def test_a_folder_with_something_in_it_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "l" / "data").mkdir(parents=True)
    assert "not empty: it is kept" in Here(LINKS).refusal(spec(tmp_path / "l"))


def test_an_unwanted_link_does_not_mean_a_file_of_that_name(tmp_path: Path) -> None:
    (tmp_path / "l").write_text("data")
    assert not Here(LINKS).changes([spec(tmp_path / "l", ensure="absent")])


def test_a_link_that_is_not_utf8_on_the_host_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "l").symlink_to(os.fsdecode(b"\xff"))
    Here(LINKS).converge(spec(tmp_path / "l", "x"))
