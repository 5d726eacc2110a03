"""What hosts answer to `adopt` and `pull` is read without ever raising, and what is cut or makes no sense is never taken for
something; the questions mean the same to every shell."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.base import Step
from providers.releases.model import ReleaseSpec
from providers.releases.steps import settings
from providers.shell import lines, sh
from reconciler.adopt.adopting import aside_name, set_aside
from reconciler.adopt.look import Looks, Standing, live_release, read_looks, read_mounted, read_standing
from reconciler.adopt.shell import STANDING, STEPS, USERS
from reconciler.pull.pulling import blob_id
from reconciler.pull.read import FILE_LIMIT, Found, question, read
from state.script import Fragment, PlannedStep, compile_apply, compile_probe
from tests.unit.state.shells import SHELLS, name_of
from tests.unit.test_scripts_shellcheck import WHOLE_LIBRARY, complaints

NAMES = ("index.html", "it's $(id)", "-n", "a b/ c", "\udcff", "new\\line")
WORDS = st.sampled_from([b"@", b"!", b"0", b"1", b" ", b"\n", b"over", b"644", b"gone", b"aGkK", b"has", b"rev", b"\xff"])
ANY = st.binary(max_size=80) | st.lists(WORDS, max_size=30).map(b"".join)


def spec(path: str = "/srv/site", folder: str | None = None) -> ReleaseSpec:
    return ReleaseSpec(name="site", strategy="releases", path=path, folder=folder)


@given(ANY, st.booleans())
def test_any_answer_is_read(out: bytes, whole: bool) -> None:
    out = out + b"\nover\n" if whole else out
    standing = read_standing(out, NAMES, out)
    assert standing is None or standing.present <= set(NAMES)
    assert isinstance(read_looks(out), dict)
    assert isinstance(read_mounted(out), tuple)
    found = read(out, NAMES)
    assert found is None or found.keys() == set(NAMES)


def test_what_containers_mount_is_told_relative_to_the_folder() -> None:
    out = b"at /real/site\nprocess 1 sh\ncontainer web /real/site/a b\ncontainer web /real/site\ncontainer db /real/siteb/x\n"
    assert read_mounted(out) == ("a b",)


@given(st.integers(0, 400))
def test_an_answer_that_is_cut_is_none(end: int) -> None:
    out = b"@0 644 3 1700000000 root\n" + base64.b64encode(b"hi\n") + b"\nover\n"
    assert read(out, NAMES[:1]) == {NAMES[0]: Found(b"hi\n", executable=False, time=1700000000, owner="root")}
    cut = read(out[: min(end, len(out) - 1)], NAMES[:1])
    assert cut is None
    assert read_standing(b"git\nhead main\nove", ()) is None


def test_a_content_that_is_shorter_than_it_says_is_left_out() -> None:
    out = b"@0 644 9 1700000000 root\n" + base64.b64encode(b"hi\n") + b"\nover\n"
    assert read(out, NAMES[:1]) == {NAMES[0]: "it could not be read"}


@pytest.mark.parametrize(
    ("target", "folder", "release"),
    [
        ("releases/1", None, "1"),
        ("/srv/site/releases/1/app", "app", "1"),
        ("./releases/1/", "app", "1"),
        ("releases/1/app", None, ""),
        ("releases/2", None, ""),
        ("releases/../../etc", None, ""),
        ("/etc", None, ""),
        (None, None, ""),
    ],
)
def test_only_a_link_to_a_release_of_the_right_layout_is_current(target: str | None, folder: str | None, release: str) -> None:
    assert live_release(Standing(current=target, releases=("1", "..")), spec(folder=folder)) == release


@pytest.mark.parametrize(
    "listed", [b"f 664 0 0 5 1700000000.25 1700000001.5 42 ./a b", b"81b4 664 0 0 5 1700000000 1700000001 42 ./a b"]
)
def test_permissions_and_time_are_read_from_either_form_of_a_listing(listed: bytes) -> None:
    assert read_looks(b"!stamps - gnu\n" + listed + b"\n!status 0\n!sums\n") == {"a b": Looks("0664", 1700000000)}


@pytest.mark.parametrize("path", ["/srv/site", "/srv/a b", "/srv/-x", "/srv/ü"])
def test_the_name_beside_a_folder_is_a_plain_one(path: str) -> None:
    name = aside_name(spec(path), "20260201T144722Z")
    assert name.isascii()
    assert name.endswith(".before-adopt-20260201T144722Z")
    assert not set(name) & set(" /'\"")


@pytest.mark.parametrize("shell", SHELLS, ids=name_of)
def test_every_shell_reads_files_alike(shell: list[str], tmp_path: Path) -> None:
    names = [name for name in NAMES if shell[0] != "yash" or "\udcff" not in name]
    for name in names:
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(os.fsencode(name) + b"\0\n")
    (tmp_path / "link").symlink_to("index.html")
    (tmp_path / "up").symlink_to(tmp_path)
    (tmp_path / "large").write_bytes(bytes(FILE_LIMIT + 1))
    asked = [*names, "link", "up/index.html", "nothing", "a b", "large"]
    script = question(str(tmp_path), asked).encode()
    done = subprocess.run([*shell], input=script, capture_output=True, timeout=60, check=True)
    answers = read(done.stdout, asked)
    assert answers is not None
    for name in names:
        found = answers[name]
        assert isinstance(found, Found), (name, found)
        assert found.content == os.fsencode(name) + b"\0\n"
    assert [answers[name] for name in asked[len(names) :]] == [
        "it is a link, or is reached by one",
        "it is a link, or is reached by one",
        "it is not there any more",
        "it is no plain file",
        "it has more than 5 MiB",
    ]


@pytest.mark.parametrize("shell", SHELLS, ids=name_of)
def test_every_shell_takes_what_adopt_sends(shell: list[str]) -> None:
    for text in (STANDING, USERS, STEPS):
        done = subprocess.run([*shell[:-1], "-n", "-s"], input=text.encode(), capture_output=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("shell", SHELLS, ids=name_of)
def test_every_shell_says_the_same_of_a_folder(shell: list[str], tmp_path: Path) -> None:
    (tmp_path / "releases/1").mkdir(parents=True)
    (tmp_path / "current").symlink_to("releases/1")
    (tmp_path / "it's").touch()
    names = ["it's", "$(id)"]
    about = sh("folder=/nonexistent\nadopt_standing @name@ @path@ @names@", name="site", path=str(tmp_path), names=names)
    done = subprocess.run(shell, input=lines([STANDING, about]).encode(), capture_output=True, timeout=60, check=True)
    expected = Standing(current="releases/1", releases=("1",), present=frozenset({"it's"}))
    assert read_standing(done.stdout, names) == expected
    nowhere = sh("folder=/nonexistent\nadopt_standing site @path@", path=str(tmp_path / "nothing"))
    done = subprocess.run(shell, input=lines([STANDING, nowhere]).encode(), capture_output=True, timeout=60, check=True)
    assert read_standing(done.stdout, ()) == Standing("absent")


def test_what_is_sent_is_clean_for_shellcheck(tmp_path: Path) -> None:
    about = [sh("adopt_standing site /srv/site a b"), sh("adopt_users /srv/site"), question("/srv/site", ["a", "b/c"])]
    asked = [Fragment(lines([library, one])) for library, one in zip((STANDING, USERS, sh("")), about, strict=True)]
    wanted = spec().model_copy(update={"strategy": "mirror", "shared": ("data/",)})
    save = Step((wanted.ref,), "copy", sh("@s@\nadopt_save aside", s=settings(wanted)), blob=b"x\n")
    steps = [PlannedStep(step) for step in (save, *set_aside(wanted, "now", [("data", "data")]))]
    scripts = {
        "questions": compile_probe(asked).text,
        "steps": compile_apply(steps, expected="none", journal="{}\n{}\n", libraries=[STEPS]).text,
    }
    assert not complaints(tmp_path, scripts, WHOLE_LIBRARY)


@given(st.binary(max_size=200))
def test_a_content_has_the_id_that_git_gives_it(content: bytes) -> None:
    assert blob_id(content) == hashlib.sha1(b"blob " + str(len(content)).encode() + b"\0" + content).hexdigest()
