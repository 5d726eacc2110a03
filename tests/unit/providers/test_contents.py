"""Short files in one answer: each gets its own bytes, whatever stands in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.contents import ASK, LIMIT, read_contents
from providers.shell import lines, sh
from tests.unit.state.shells import SHELLS, name_of, run_script

HOSTILE = (
    b"",
    b"no newline",
    b"\n\n",
    b"a\0b\xff\n",
    b"\nend files\n",
    b"\ncontents\nfiles\nread /etc/passwd\nstat 1 8180 0 /x\n",
)


@pytest.mark.parametrize("shell", SHELLS, ids=name_of)
def test_no_content_can_pass_for_another_file(shell: list[str], tmp_path: Path) -> None:
    files = {str(tmp_path / f"a file {number}"): content for number, content in enumerate(HOSTILE)}
    for path, content in files.items():
        Path(path).write_bytes(content)
    (tmp_path / "large").write_bytes(b"x" * (LIMIT + 1))
    (tmp_path / "link").symlink_to("/etc/passwd")
    others = [str(tmp_path / name) for name in ("large", "link", "missing")]
    ask = sh("echo before; contents @paths@", paths=[*files, *others, str(tmp_path)])
    done = run_script(shell, lines([ASK, ask]).encode())
    assert (done.returncode, done.stderr) == (0, b"")
    answer = read_contents(done.stdout)
    assert answer is not None
    assert (answer.before.strip(), answer.trouble) == ("before", None)
    assert {path: file.data for path, file in answer.files.items() if file.data is not None} == files
    assert others[2] not in answer.files
    assert answer.files[others[0]].size == LIMIT + 1
    assert answer.files[others[1]].link
    for cut in range(len(done.stdout)):
        shorter = read_contents(done.stdout[:cut])
        if shorter is not None:
            assert all(file.data is None for file in shorter.files.values())


def test_a_file_that_grew_in_between_is_not_read_at_all() -> None:
    answer = read_contents(b"files\nstat 2 8180 0 /a\nread /a\ncontents\nabc\nend files\n")
    assert answer is not None
    assert answer.files["/a"].data is None


def test_an_error_that_is_not_about_absence_is_told() -> None:
    answer = read_contents(b"files\nstat: cannot statx '/a': Input/output error\ncontents\n\nend files\n")
    assert answer is not None
    assert answer.trouble == "stat: cannot statx '/a': Input/output error"


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_an_exception(out: bytes) -> None:
    read_contents(out)
    read_contents(b"files\n" + out + b"\ncontents\n" + out + b"\nend files\n")
