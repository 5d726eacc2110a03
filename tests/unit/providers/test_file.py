"""Files: what a manifest may say, how a host is asked, and what is done, on this machine and with its shells."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from providers.base import Change, Facts, Unknown
from providers.files import FileProvider, FileSpec, FileState
from tests.unit.providers.here import SHELLS, Here, name_of

FILES = FileProvider()
ODD_NAMES = (
    "'\"$(id)`id`",
    "new\nline",
    "-rf",
    " blank ",
    "back\\slash",
    "*?[a]",
    "é",
    "x" * 255,
    "a: No such file or directory",
)
STATE = FileState(type="file", owner="root", group="root", mode="0644", digest="0" * 64)


def spec(name: object, **fields: Any) -> FileSpec:
    made = FileSpec.model_validate({"name": str(name), **fields})
    return made.with_body(made.content.encode()) if isinstance(made.content, str) else made


def change(wanted: FileSpec, before: FileState | None, *fields: str) -> Change[FileSpec, FileState]:
    return Change(wanted, before, FILES.want(wanted), frozenset(fields))


def run_text(wanted: FileSpec, before: FileState | None, *fields: str) -> str:
    [step] = FILES.steps([change(wanted, before, *fields)], Facts())
    return step.run.text


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("etc/motd", {"content": ""}, "expected an absolute path, as in /etc/motd"),
        ("/etc//motd", {"content": ""}, "write /etc/motd"),
        ("/etc/motd/", {"content": ""}, "write /etc/motd"),
        ("/etc/../root", {"content": ""}, 'without "//", "." and ".."'),
        ("/", {"content": ""}, "the root directory itself is not managed"),
        ("/a\0b", {"content": ""}, "NUL"),
        ("/" + "x" * 256, {"content": ""}, "255 for each of its parts"),
        ("/f", {}, "nothing is asked for: give content or source"),
        ("/f", {"content": "", "source": "f"}, "content and source exclude each other"),
        ("/f", {"mode": "0644", "template": True}, "template and validate need a content or a source"),
        ("/f", {"content": "", "mode": 420}, "write the mode in quotes"),
        ("/f", {"content": "", "owner": 0}, 'write it in quotes: "0"'),
        ("/f", {"content": "", "owner": "-R"}, "expected the name of an account"),
        ("/f", {"content": "", "owner": "root:adm"}, "expected the name of an account"),
        ("/f", {"content": "", "validate": "nginx -t"}, "put {} where its path belongs"),
        ("/f", {"content": "", "validate": "nginx -t -c '{}'"}, "outside of quotes"),
        ("/f", {"acl": ["user::rw"]}, 'is said by "mode"'),
        ("/f", {"acl": ["user:ops:read"]}, "expected an entry such as"),
        ("/f", {"acl": ["user:a b:r"]}, '"a b" cannot stand in an entry for user'),
        ("/f", {"acl": ["u:ops:r", "user:ops:w"]}, "two entries for user:ops"),
    ],
)
def test_a_mistake_in_a_manifest_is_named(name: str, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        spec(name, **fields)
    assert message in str(caught.value)


def test_an_unwanted_file_needs_no_content() -> None:
    assert FILES.want(spec("/f", ensure="absent")) is None


def test_what_the_inventory_keeps_is_enough_to_remove_the_file() -> None:
    wanted = spec("/f", content="secret", owner="root", acl=["u:ops:r"], validate="true {}")
    recorded = wanted.record()
    assert recorded == {"owner": "root", "acl": ["user:ops:r--"]}
    rebuilt = FileSpec.model_validate(recorded | {"name": "/f", "ensure": "absent"})
    assert (rebuilt.ref, FILES.want(rebuilt)) == ("file:/f", None)


def test_both_sides_are_worded_alike() -> None:
    wanted = FILES.want(spec("/f", content="x\n", owner="007", mode="644", acl=["g:adm:xr", "u:ops:w"]))
    digest = hashlib.sha256(b"x\n").hexdigest()
    assert wanted == FileState(type="file", owner="7", mode="0644", acl=("group:adm:r-x", "user:ops:-w-"), digest=digest)


def test_accounts_and_the_acl_tools_come_first_where_they_are_declared() -> None:
    needed = FILES.links(spec("/f", owner="ops", group="4", acl=["user:backup:r", "group:33:r"]))
    assert list(needed) == ["user:ops", "user:backup", "package:apt/acl"]


def test_new_content_is_put_in_place_with_all_that_is_managed() -> None:
    wanted = spec("/etc/x", content="x", owner="root", mode="0640", acl=["u:ops:rw"], validate="visudo -cf {}")
    text = "file_put /etc/x root '' 0640 user::rw-,group::r--,other::---,user:ops:rw- 'visudo -cf \"$1\"' 'visudo -cf {}'"
    assert run_text(wanted, None) == text
    assert run_text(wanted, STATE, "digest", "mode") == text


def test_a_difference_around_the_content_leaves_the_content_alone() -> None:
    assert run_text(spec("/etc/x", content="x", owner="ops"), STATE, "owner") == "file_set /etc/x ops '' '' ''"
    assert run_text(spec("/etc/x", acl=[]), STATE, "acl") == "file_set /etc/x '' '' '' -"


def test_a_file_without_managed_content_is_never_made_up() -> None:
    assert run_text(spec("/etc/x", mode="0600"), None).startswith("path_fail '/etc/x is not there as a regular file")


@given(st.binary())
def test_no_answer_can_break_the_parser(out: bytes) -> None:
    specs = [spec("/f", content=""), spec("/o dd", mode="0600", acl=[]), spec("/gone", ensure="absent")]
    for text in (out, out + b"\nend\n"):
        assert all(isinstance(answer, Unknown) for answer in FILES.parse(text, specs).values())


PIECES = (
    "81a4",
    "8",
    ":",
    "0",
    "/f",
    "#1",
    "'",
    "No such file or directory",
    "# file: ",
    "# acl -nE",
    "user::rw-",
    "\n",
    "a" * 64,
    "  ",
)


@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_no_mixture_of_true_answers_can_break_the_parser(text: str) -> None:
    specs = [spec("/f", content="", acl=["user:ops:r"]), spec("/o dd", content="")]
    assert FILES.parse(f"{text}\nend\n".encode(), specs).keys() == {"/f", "/o dd"}


@pytest.mark.parametrize("shell", SHELLS, ids=name_of)
def test_files_with_names_of_every_sort_converge(shell: Sequence[str], tmp_path: Path) -> None:
    here = Here(FILES, shell)
    specs = [spec(tmp_path / name, content=name * 3, mode="0640") for name in (*ODD_NAMES, "plain")]
    here.converge(*specs)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {name: name * 3 for name in (*ODD_NAMES, "plain")}

    here.converge(*(wanted.absent() for wanted in specs))
    assert not list(tmp_path.iterdir())


def with_rights(mode: int) -> Callable[[Path], None]:
    def start(target: Path) -> None:
        target.write_text("wanted\n")
        target.chmod(mode)

    return start


START: dict[str, Callable[[Path], object]] = {
    "absent": lambda _: None,
    "other content": lambda target: target.write_text("other"),
    "a link that leads nowhere": lambda target: target.symlink_to("nowhere"),
    "a link in a loop": lambda target: target.symlink_to("f"),
    "a link to a folder": lambda target: target.symlink_to("../outside"),
    "an empty folder": lambda target: target.mkdir(),
    "a fifo": os.mkfifo,
    "setuid": with_rights(0o4444),
    "left by a killed run": lambda target: (target.parent / ".f.reconciler-aBc123").mkdir(mode=0o700),
}


@pytest.mark.parametrize("shell", SHELLS, ids=name_of)
@pytest.mark.parametrize("before", START)
def test_every_starting_state_converges(shell: Sequence[str], before: str, tmp_path: Path) -> None:
    target, outside = tmp_path / "in" / "f", tmp_path / "outside"
    outside.mkdir()
    target.parent.mkdir(mode=0o755)
    START[before](target)

    Here(FILES, shell).converge(spec(target, content="wanted\n", mode="0644"))

    assert target.read_text() == "wanted\n"
    assert not target.is_symlink()
    assert [path.name for path in target.parent.iterdir()] == ["f"]
    assert not list(outside.iterdir())


def test_a_folder_with_something_in_it_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "f" / "data").mkdir(parents=True)
    assert "not empty: it is kept" in Here(FILES).refusal(spec(tmp_path / "f", content="x"))
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    message = Here(FILES).refusal(spec(tmp_path / "no" / "f", content="x"))
    assert message == f"the directory {tmp_path}/no does not exist: declare it under directories\n"


def test_what_validate_refuses_changes_nothing(tmp_path: Path) -> None:
    target = tmp_path / "site.conf"
    target.write_text("old")
    message = Here(FILES).refusal(spec(target, content="new", validate="echo broken >&2; grep -q good {}"))
    assert message == "broken\nthe new content was refused (exit status 1) by: echo broken >&2; grep -q good {}\n"
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"site.conf": "old"}


def test_validate_sees_the_new_file_beside_the_old_one_with_its_ending(tmp_path: Path) -> None:
    (tmp_path / "included.conf").touch()
    check = 'new={}; case $new in */.*.site.conf) [ -e "${new%/*}/included.conf" ] && grep -q good {} ;; *) false ;; esac'
    Here(FILES).converge(spec(tmp_path / "site.conf", content="good", validate=check))


def test_what_is_not_managed_stays_when_the_content_changes(tmp_path: Path) -> None:
    target = tmp_path / "f"
    target.write_text("old")
    target.chmod(0o4751)
    Here(FILES).converge(spec(target, content="new"))
    assert target.read_text() == "new"
    assert target.stat().st_mode & 0o7777 == 0o4751


def test_a_new_file_is_readable_by_all_unless_a_mode_is_given(tmp_path: Path) -> None:
    Here(FILES).converge(spec(tmp_path / "f", content="x"))
    assert (tmp_path / "f").stat().st_mode & 0o7777 == 0o644


def test_a_difference_in_the_mode_does_not_write_the_content_again(tmp_path: Path) -> None:
    target = tmp_path / "f"
    target.write_text("x")
    target.chmod(0o600)
    before = target.stat()
    Here(FILES).converge(spec(target, content="x", mode="0644"))
    assert (target.stat().st_ino, target.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_where_others_can_write_to_the_folder_the_mode_is_still_set_and_nothing_stays_behind(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    (folder / "f").write_text("x")
    Here(FILES).converge(spec(folder / "f", mode="0604"))
    assert [path.name for path in folder.iterdir()] == ["f"]


def test_a_name_with_a_second_link_is_not_trusted_where_others_can_write(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    (tmp_path / "precious").write_text("x")
    (folder / "f").hardlink_to(tmp_path / "precious")
    assert "has further names" in Here(FILES).refusal(spec(folder / "f", mode="0666"))
    assert (tmp_path / "precious").stat().st_mode & 0o777 != 0o666


def test_an_own_link_on_the_way_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "way").symlink_to("./real")
    Here(FILES).converge(spec(tmp_path / "way" / "f", content="x"))
    assert (tmp_path / "real" / "f").read_text() == "x"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a link that belongs to somebody else")
def test_a_link_that_somebody_else_has_planted_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "way").symlink_to("real")
    os.lchown(tmp_path / "way", 12345, 12345)
    message = Here(FILES).refusal(spec(tmp_path / "way" / "f", content="x"))
    assert message == f"{tmp_path}/way is a symbolic link that belongs to user 12345: it is not followed\n"
    assert not list((tmp_path / "real").iterdir())


def seen(wanted: FileSpec, before: FileState | None) -> Any:
    changes = [change(wanted, before, *(("digest",) if before is not None else ()))]
    question = FILES.look(changes)
    out = Here(FILES).run(question).stdout if question is not None else b""
    return FILES.seen(out, changes)[wanted.ref]


def test_the_preview_shows_a_text_diff(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("one\ntwo\n")
    detail = seen(spec(tmp_path / "f", content="one\n2"), STATE)
    path = tmp_path / "f"
    assert detail.diff == (
        f"--- {path} (now)", f"+++ {path} (wanted)", "@@ -1,2 +1,2 @@", " one", "-two", "+2", "\\ No newline at end of file",
    )  # fmt: skip


def test_the_preview_of_a_new_file_shows_its_lines() -> None:
    assert seen(spec("/nowhere/f", content="one\n"), None).diff[-1] == "+one"


def test_the_preview_says_binary_with_sizes(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"\0" * 12_345)
    assert seen(spec(tmp_path / "f", content="text"), STATE).notes == ("binary, 12 kB → 4 bytes",)


@pytest.mark.parametrize(("now", "wanted"), [("0600", None), ("0644", "0640"), ("0640", "0644")])
def test_what_not_everybody_may_read_is_not_shown(now: str, wanted: str | None, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("hunter2\n")
    detail = seen(spec(tmp_path / "f", content="hunter3\n", mode=wanted), STATE.model_copy(update={"mode": now}))
    assert not detail.diff
    assert "content differs (not shown: mode 06" in detail.notes[0]


def test_a_long_diff_is_cut(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    diff = seen(spec(tmp_path / "f", content="line\n" * 1000), STATE).diff
    assert len(diff) == 201
    assert diff[-1] == "… 803 more lines"


@given(st.binary())
def test_no_content_can_break_the_preview(out: bytes) -> None:
    changes = [change(spec("/f", content="x"), STATE, "digest")]
    for text in (out, b"@0\n" + out + b"\nend\n"):
        assert FILES.seen(text, changes).keys() == {"file:/f"}


def test_a_link_to_a_device_is_replaced_by_the_file(tmp_path: Path) -> None:
    """A masked unit is such a link."""
    target = tmp_path / "unit.service"
    target.symlink_to("/dev/null")
    Here(FILES).converge(spec(target, content="[Unit]\n"))
    assert not target.is_symlink()
    assert target.read_text() == "[Unit]\n"
