"""A probe's script: whatever a fragment does, the others answer, and nobody's answer can be taken for another's."""

from __future__ import annotations

import os
import subprocess
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.shell import Sh, sh
from state.frames import Frame, finished, frames
from state.script import Compiled, Fragment, compile_probe
from tests.unit.state.shells import SHELLS, name_of, run_script

every_shell = pytest.mark.parametrize("shell", SHELLS, ids=name_of)


def answers(shell: list[str], *fragments: Sh, seconds: int = 20) -> dict[int, Frame]:
    script = compile_probe([Fragment(fragment, seconds) for fragment in fragments])
    done = run_script(shell, script.text)
    return frames(done.stdout, done.stderr, script.nonce)


@every_shell
def test_each_fragment_answers_for_itself(shell: list[str]) -> None:
    found = answers(shell, sh("echo one"), sh("exit 3"), sh("echo why >&2; false"), sh("echo four"))
    assert found[0] == Frame("0", b"one\n")
    assert found[1].status == "3"
    assert found[2] == Frame("1", b"", b"why\n")
    assert found[3] == Frame("0", b"four\n")


@every_shell
def test_output_without_a_last_newline_and_with_zero_bytes_comes_back_as_it_was(shell: list[str]) -> None:
    found = answers(shell, sh(r"printf 'a\0b'"), sh(r"printf '\n\n'"), sh("printf ''"))
    assert [found[number].out for number in range(3)] == [b"a\0b", b"\n\n", b""]


@every_shell
def test_a_fragment_finds_nothing_on_its_stdin(shell: list[str]) -> None:
    found = answers(shell, sh("cat; echo end"), sh("echo next"))
    assert (found[0].out, found[1].out) == (b"end\n", b"next\n")


@every_shell
def test_a_fragment_cannot_change_what_the_next_one_sees(shell: list[str]) -> None:
    found = answers(
        shell,
        sh("PATH=/nowhere; nonce=x; cd /tmp; umask 0; set -e; exec 1>&-"),
        sh("pwd; umask; command -v cat >/dev/null && echo cat"),
    )
    assert [word.lstrip(b"0") for word in found[1].out.split()] == [b"/", b"77", b"cat"]


@every_shell
def test_a_fragment_that_hangs_is_ended_and_the_others_answer(shell: list[str]) -> None:
    began = time.monotonic()
    mine = 200_000 + os.getpid()  # tests run side by side
    found = answers(shell, sh("echo begun; sleep @n@ & sleep @n@", n=mine), sh("echo next"), seconds=5)
    assert found[0].status == "late"
    assert found[1] == Frame("0", b"next\n")
    assert time.monotonic() - began < 20
    assert subprocess.run(["pgrep", "-f", f"sleep {mine}"], check=False).returncode == 1, "a process was left behind"


@every_shell
def test_a_script_that_arrives_cut_does_nothing(shell: list[str]) -> None:
    script = compile_probe([Fragment(sh("echo did something"))]).text
    for cut in range(0, len(script) - 1, 97):
        assert b"did something\n" not in run_script(shell, script[:cut]).stdout


@every_shell
def test_much_output_comes_whole(shell: list[str]) -> None:
    found = answers(shell, sh("head -c 3000000 /dev/zero"), sh("echo next"))
    assert found[0].out == bytes(3000000)
    assert found[1].out == b"next\n"


def test_the_end_of_the_report_is_told_from_a_cut_one() -> None:
    script = compile_probe([Fragment(sh("echo x"))])
    done = run_script(SHELLS[0], script.text)
    assert finished(done.stdout, script.nonce)
    assert not finished(done.stdout[:-2], script.nonce)


def test_the_same_questions_with_the_same_nonce_are_the_same_bytes() -> None:
    def ask() -> Compiled:
        return compile_probe([Fragment(sh("echo x"))], inventory="/x", nonce="n")

    assert ask() == ask()


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_whatever_a_host_prints_without_the_nonce_stays_in_its_own_frame(one: bytes, two: bytes) -> None:
    nonce = "0123456789abcdef01234567"
    stream = b"\n@" + nonce.encode() + b" start\n"
    for number, text in enumerate((one, two)):
        stream += text + f"\n@{nonce} e {number} 0\n".encode()
    found = frames(stream, b"", nonce)
    assert (found[0].out, found[1].out) == (one, two)


@given(st.binary())
def test_frames_are_read_from_anything(noise: bytes) -> None:
    assert frames(noise, noise, "0123456789abcdef01234567") == {}
