from __future__ import annotations

import gzip
import io
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.base import Change, Facts, Unknown
from providers.patterns import Patterns
from providers.releases.adopt import adopt_steps, list_files, listed_files, set_aside_step
from providers.releases.answer import Held, blocks_of, held, unpacked
from providers.releases.kind import ReleaseProvider, ReleaseSpec, ReleaseState
from providers.releases.parcels import INLINE, is_zipped, packed, ship
from state.script import Fragment, PlannedStep, compile_apply, compile_probe
from tests.unit.providers.here import SHELLS
from tests.unit.providers.site import SECOND, Content, Site, tree
from tests.unit.test_scripts_shellcheck import WHOLE_LIBRARY, complaints, errors

FILES: dict[str, Content] = {"a": "1", "d/b": "2", "s": ("0600", "secret"), "l": ("link", "a"), "x.sh": ("0755", "#!")}
PROVIDER = ReleaseProvider()


def spec_of(files: dict[str, Content] = FILES, **fields: Any) -> ReleaseSpec:
    asked = {"name": "site", "strategy": "mirror", "path": "/srv/site", **fields}
    return ReleaseSpec.model_validate(asked).with_tree(tree(files, sentinel=False))


def all_held(spec: ReleaseSpec) -> Held:
    lines = {file.path: (file.mode, file.digest if file.mode == "0600" else file.digest[:16]) for file in spec.files.files}
    return Held(base="20260101T000000Z-aaaaaaa", lines=lines)


def members(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        found = ((info, archive.extractfile(info)) for info in archive.getmembers() if info.isfile())
        return {info.name: content.read() for info, content in found if content is not None}


def test_what_the_host_has_is_not_sent() -> None:
    spec = spec_of()
    assert ship(spec, all_held(spec), beside=False).sent == 0
    changed = spec_of({**FILES, "a": "new", "renamed": "2"})
    shipment = ship(changed, all_held(spec), beside=False)
    assert [member.name for member in shipment.members] == ["f/1/a"]
    assert shipment.control["copies"] == [f"1 {next(file.line for file in changed.files.files if file.path == 'renamed')}\td/b"]


def test_a_secret_is_sent_to_each_release_and_never_copied() -> None:
    spec = spec_of(strategy="releases")
    assert [member.name for member in ship(spec, all_held(spec), beside=True).members] == ["f/1/s"]


def test_the_same_files_give_the_same_bytes() -> None:
    blobs = {packed(ship(spec_of(), Held(), beside=False))[0] for _ in range(2)}
    assert len(blobs) == 1
    [blob] = blobs
    assert blob is not None
    assert members(blob)["f/2/b"] == b"2"


def test_large_contents_are_made_when_they_are_sent_and_in_portions() -> None:
    asked: list[str] = []
    spec = spec_of({f"d/{number}": "x" * (9 << 20) for number in range(3)})

    def read(path: str) -> bytes:
        asked.append(path)
        return spec.files.read(path)

    counted = type(spec.files)(spec.commit, spec.files.files, read)
    blob, parcels = packed(ship(spec.with_tree(counted), Held(), beside=False))
    assert (blob, len(parcels), asked) == (None, 3, [])
    assert [name for parcel in parcels for name in members(parcel()) if name.startswith("f/")] == ["f/1/0", "f/1/1", "f/1/2"]


def test_a_small_parcel_travels_in_the_script() -> None:
    blob, parcels = packed(ship(spec_of(), Held(), beside=False))
    assert blob is not None
    assert len(blob) <= INLINE
    assert parcels == ()


def test_a_small_parcel_is_only_packed_where_that_saves_more_than_a_process_on_the_host_costs() -> None:
    few, _ = packed(ship(spec_of(), Held(), beside=False))
    many, _ = packed(ship(spec_of({"a": "x" * 40_000}), Held(), beside=False))
    assert few is not None
    assert many is not None
    assert (is_zipped(few), is_zipped(many)) == (False, True)
    assert members(many)["f/1/a"] == b"x" * 40_000


def test_a_release_without_its_files_does_nothing_but_say_so() -> None:
    bare = ReleaseSpec.model_validate({"name": "site", "strategy": "mirror", "path": "/srv/site"})
    [step] = PROVIDER.steps([Change(bare, None, PROVIDER.want(bare), frozenset())], Facts())
    assert step.run.text.startswith("path_fail ")


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("node_modules/", ["-type", "d", "-name", "node_modules"]),
        ("*.log", ["-name", "*.log"]),
        ("/build", ["-path", "./build"]),
        ("a/b/", ["-type", "d", "-path", "./a/b"]),
        ("a/*.log", []),
        ("**/x", []),
        ("# comment", []),
    ],
)
def test_what_find_can_say_exactly_is_left_out_on_the_host(pattern: str, words: list[str]) -> None:
    pruned = spec_of(exclude=(pattern,)).pruned()
    assert pruned == (["(", *words, ")", "-prune", "-o"] if words else [])


def test_a_pattern_that_is_taken_back_or_names_a_made_file_is_not_pruned() -> None:
    assert spec_of(exclude=("keep/", "!/a/keep")).pruned() == []
    assert spec_of(exclude=("s",)).pruned() == []
    assert spec_of(exclude=("junk/", "!/a/keep")).pruned() == ["(", "-type", "d", "-name", "junk", ")", "-prune", "-o"]


@given(st.binary())
def test_any_answer_is_read_without_an_error_and_never_as_absent(out: bytes) -> None:
    spec = spec_of()
    for text in (out, b"@0\n" + out, b"@0\n" + out + b"\n.\n"):
        answer = PROVIDER.parse(text, [spec]).get("site")
        said = b"\nabsent" in text or b"\nforeign" in text
        assert said or answer is None or isinstance(answer, (ReleaseState, Unknown))
        assert said or "site" not in PROVIDER.parse(text, [spec]) or answer is not None


@given(st.binary())
def test_any_look_is_read_without_an_error(out: bytes) -> None:
    spec = spec_of()
    change = Change(spec, ReleaseState(tree="0" * 32), PROVIDER.want(spec), frozenset({"tree"}))
    for data in (out, gzip.compress(out), gzip.compress(b"@0\nT " + out + b"\nZ\n.\n")):
        assert set(PROVIDER.seen(data, [change])) == {"release:site"}
    assert not isinstance(listed_files(out, spec), dict) or b"!end" in out


def test_a_look_at_several_projects_says_something_of_each() -> None:
    said = [f"@{number}\nT 0644 {number:016} 1 a\nZ\n.\n" for number in range(3)]
    found = blocks_of("".join(said), 3)
    assert {number: held(body).lines for number, body in found.items()} == {
        number: {"a": ("0644", f"{number:016}")} for number in range(3)
    }


def test_a_look_that_is_cut_says_nothing() -> None:
    whole = gzip.compress(b"@0\nT 0644 0123456789abcdef 5 a\nZ\n.\n")
    assert held(blocks_of(unpacked(whole), 1)[0]).lines == {"a": ("0644", "0123456789abcdef")}
    assert not any(held(blocks_of(unpacked(whole[:cut]), 1).get(0, "")).lines for cut in range(len(whole)))


@pytest.mark.parametrize(
    ("lines", "path", "excluded"),
    [
        (["*.log"], "a/b.log", True),
        (["/b.log"], "a/b.log", False),
        (["docs/"], "docs/a/b", True),
        (["docs/"], "docs", False),
        (["a/**/z"], "a/b/c/z", True),
        (["*", "!keep"], "keep", False),
        (["d/", "!d/keep"], "d/keep", True),
    ],
)
def test_patterns_mean_what_they_mean_to_git(lines: list[str], path: str, excluded: bool, tmp_path: Path) -> None:
    assert Patterns(lines).matches(path) is excluded
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    (tmp_path / ".gitignore").write_text("\n".join(lines) + "\n")
    told = subprocess.run(["git", "check-ignore", "-q", "--no-index", path], cwd=tmp_path, check=False)
    assert (told.returncode == 0) is excluded


def scripts() -> dict[str, bytes]:
    """Probe, look and every step of every strategy."""
    specs = [spec_of(strategy=strategy, shared=("it's/",), exclude=("a/",)) for strategy in ("mirror", "releases", "checkout")]
    specs[2] = specs[2].with_tree(
        type(specs[2].files)("a" * 40, specs[2].files.files, specs[2].files.read, lambda _: (b"", b""))
    )
    made = [Change(spec, None, PROVIDER.want(spec), frozenset()) for spec in specs]
    other = [Change(spec, ReleaseState(tree="0" * 32), PROVIDER.want(spec), frozenset({"tree"})) for spec in specs]
    gone = [Change(spec.absent(), ReleaseState(), None, frozenset()) for spec in specs]
    steps = [*PROVIDER.steps([*made, *gone], Facts()), *adopt_steps(specs[0], specs[0].files.index)]
    steps.append(set_aside_step(specs[0], "site.old"))
    planned = [PlannedStep(step) for step in steps]
    look = PROVIDER.look(other)
    assert look is not None
    return {
        "probe": compile_probe([Fragment(PROVIDER.probe(specs))]).text,
        "look": compile_probe([Fragment(look), Fragment(list_files(specs[0]))]).text,
        "apply": compile_apply(planned, expected="none", journal="{}\n{}\n", libraries=[PROVIDER.library]).text,
    }


def test_shellcheck_finds_no_fault_in_what_is_sent(tmp_path: Path) -> None:
    assert complaints(tmp_path, scripts(), WHOLE_LIBRARY) == ""


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
def test_every_shell_understands_what_is_sent(shell: list[str]) -> None:
    assert {name: error for name, text in scripts().items() if (error := errors([*shell, "-s"], text))} == {}


def test_a_folder_that_is_there_is_listed_and_taken_over_without_touching_it(tmp_path: Path) -> None:
    here = Site(SHELLS[0], tmp_path)
    here.root.mkdir()
    for name, text in {"a": "1", "edited": "by hand", "extra": "e"}.items():
        (here.root / name).write_text(text)
    spec = here.spec(tree({"a": "1", "edited": "as committed", "missing": "m"}, SECOND, sentinel=False))
    found = listed_files(here.run(list_files(spec)).stdout, spec)
    assert not isinstance(found, Unknown)
    assert found["a"] == next(file for file in spec.files.files if file.path == "a")
    [step] = adopt_steps(spec, spec.files.index)
    before = (here.root / "a").stat()
    assert here.act(step).returncode == 0
    state = here.state(spec)
    assert (state.tree, state.edited, state.missing, state.added) == (spec.tree, ("edited",), ("missing",), ("extra",))
    assert (here.root / "a").stat() == before


def test_a_folder_is_set_aside_and_never_over_another(tmp_path: Path) -> None:
    here = Site(SHELLS[0], tmp_path)
    here.root.mkdir()
    (here.root / "a").write_text("kept")
    step = set_aside_step(here.spec({}), "site.2026-11-20")
    assert here.act(step).returncode == 0
    assert (here.root.parent / "site.2026-11-20/a").read_text() == "kept"
    here.root.mkdir()
    assert b"is there already" in here.act(step).stderr
    with pytest.raises(ValueError, match="not a plain name"):
        set_aside_step(here.spec({}), "../x")
