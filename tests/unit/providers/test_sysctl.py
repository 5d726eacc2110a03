"""Kernel settings: what may be asked for, how values and files are read, what is done."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from providers.base import Change, Facts, State, Unknown
from providers.sysctl import SysctlProvider, SysctlSpec, SysctlState, normal
from tests.unit.state.shells import SHELLS, name_of, run_script

SYSCTL = SysctlProvider()
FILE = "/etc/sysctl.d/99-reconciler-vm.swappiness.conf"
SWAPPINESS = SysctlSpec(name="vm.swappiness", value="10")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("swappiness", "is no kernel key"),
        ("vm/swappiness", 'write the key with dots, and a dot in a part of it as "/": "vm.swappiness"'),
        ("net/ipv4/conf/eth0.100/forwarding", '"net.ipv4.conf.eth0/100.forwarding"'),
        ("vm..swappiness", "is no kernel key"),
        (".vm", "is no kernel key"),
        ("vm.", "is no kernel key"),
        ("kernel.//.x", "has a part that is only dots"),
        ("-vm.x y", "is no kernel key"),
        ("vm.*", "is no kernel key"),
        ("vm.a\nb", "is no kernel key"),
        ("vm.a,b", "is no kernel key"),
        ("vm.$(id)", "is no kernel key"),
        ("vm." + "x" * 200, "is no kernel key"),
    ],
)
def test_a_name_that_is_no_key_is_refused_with_what_to_write(name: str, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        SysctlSpec(name=name, value="1")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (True, "write 1 or 0"),
        (1.5, "in quotes"),
        ("a\nb", "line break"),
        ("", "empty"),
        (" \t", "empty"),
        (None, "value is needed"),
    ],
)
def test_a_wrong_value_is_refused_with_its_reason(value: object, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        SysctlSpec.model_validate({"name": "vm.swappiness", "value": value})
    assert message in str(caught.value)


@pytest.mark.parametrize("value", [10, "10", " 10\t", "0x0a", "0XA", "012"])
def test_one_number_is_one_value_however_it_is_written(value: object) -> None:
    spec = SysctlSpec.model_validate({"name": "vm.swappiness", "value": value})
    assert SYSCTL.want(spec) == SysctlState(value="10", persisted="10")


def test_text_that_only_looks_like_a_number_stays_what_it_is() -> None:
    assert normal("08 0x 1-3,5 -1 0 00000000,0000000f") == "08 0x 1-3,5 -1 0 00000000,0000000f"


@given(st.text())
def test_a_normal_value_is_normal(value: str) -> None:
    assert normal(normal(value)) == normal(value)


def test_a_bare_value_may_stand_for_the_entry() -> None:
    assert SysctlSpec.shorthand == "value"


def test_a_key_that_left_the_repository_can_be_rebuilt_from_its_record() -> None:
    assert SYSCTL.want(SysctlSpec.model_validate({"name": "vm.swappiness", **SWAPPINESS.record()}).absent()) is None
    assert SysctlSpec(name="vm.swappiness", ensure="absent").value is None


def test_two_spellings_cannot_own_one_file() -> None:
    assert SYSCTL.path(SWAPPINESS) == FILE
    dotted = SysctlSpec(name="net.ipv4.conf.eth0/100.forwarding", value="1")
    assert SYSCTL.path(dotted) == "/etc/sysctl.d/99-reconciler-net.ipv4.conf.eth0,100.forwarding.conf"


def test_the_kernel_is_asked_before_the_file_is_written() -> None:
    spec = SysctlSpec(name="net.ipv4.conf.eth0/100.forwarding", value="$(id)")
    (step,) = SYSCTL.steps([Change(spec, SysctlState(), SYSCTL.want(spec), frozenset({"value"}))], Facts())
    first = step.run.text.splitlines()[0]
    assert first == "sysctl_set net.ipv4.conf.eth0/100.forwarding /proc/sys/net/ipv4/conf/eth0.100/forwarding '$(id)'"
    assert step.blob is not None
    assert step.blob.endswith(b"\nnet.ipv4.conf.eth0/100.forwarding = $(id)\n")


def test_removing_removes_our_file_and_says_that_the_value_stays() -> None:
    (step,) = SYSCTL.steps([Change(SWAPPINESS.absent(), SysctlState(persisted="10"), None, frozenset())], Facts())
    assert step.title == "remove sysctl vm.swappiness (its value stays until the next boot)"
    assert step.run.text == f"file_remove {FILE}"


def test_what_we_make_is_the_file() -> None:
    wanted = SYSCTL.want(SWAPPINESS)
    assert SYSCTL.made(Change(SWAPPINESS, SysctlState(value="60"), wanted, frozenset({"value", "persisted"})))
    assert not SYSCTL.made(Change(SWAPPINESS, SysctlState(value="60", persisted="10"), wanted, frozenset({"value"})))


@given(st.binary(max_size=300))
def test_whatever_a_host_says_is_read_without_an_exception(out: bytes) -> None:
    for text in (out, b"look 0 value file\nlook 0 file file\n" + out + b"\nend sysctl\n"):
        found = SYSCTL.parse(text, [SWAPPINESS]).values()
        assert all(isinstance(answer, State | Unknown) for answer in found)


def test_silence_is_neither_a_value_nor_absence() -> None:
    for spec in (SWAPPINESS, SWAPPINESS.absent()):
        assert isinstance(SYSCTL.parse(b"\nend sysctl\n", [spec])["vm.swappiness"], Unknown)


@pytest.mark.parametrize("shell", SHELLS, ids=name_of)
def test_the_probe_reads_whole_values_of_this_machine(shell: list[str]) -> None:
    specs = [
        SysctlSpec(name="kernel.pid_max", value="1"),
        SysctlSpec(name="kernel.osrelease", value="1"),
        SysctlSpec(name="kernel.surely.not.here", value="1"),
        SysctlSpec(name="vm.surely.not.here", ensure="absent"),
    ]
    done = run_script(shell, SYSCTL.probe(specs).encode())
    assert (done.returncode, done.stderr) == (0, b"")
    assert SYSCTL.parse(done.stdout, specs) == {
        "kernel.pid_max": SysctlState(value=Path("/proc/sys/kernel/pid_max").read_text().strip()),
        "kernel.osrelease": SysctlState(value=Path("/proc/sys/kernel/osrelease").read_text().strip()),
        "kernel.surely.not.here": SysctlState(),
        "vm.surely.not.here": None,
    }
