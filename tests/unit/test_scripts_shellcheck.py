"""Whole generated scripts, as a host gets them: clean for shellcheck, and understood by every shell of this machine.

What is asked comes from the recordings of each kind (`tests/recorded`), so a new kind is covered as soon as it has some.
Part of `make check`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from providers.base import Change, Facts, Spec, State, Step
from providers.registry import PROVIDERS
from reconciler.cycle import group
from reconciler.wording import changed_fields
from state.facts import facts_probe
from state.inventory import inventory_probe
from state.script import INLINE, Fragment, PlannedStep, compile_apply, compile_probe
from tests.unit.providers.test_recorded import CASES, Case
from tests.unit.state.shells import SHELLS, name_of

KINDS = {provider.name: provider for provider in PROVIDERS}
ROOT = Path(__file__).parents[2]
SHELLCHECK = Path(sys.executable).with_name("shellcheck")
NOWHERE = "/nonexistent/it's"
QUOTED = "SC2016"
"""A `$` in single quotes: a value that came from a manifest, and stays what it is."""
WHOLE_LIBRARY = "SC2329,SC2154"
"""Functions that are not called, and what they alone would use. Questions bring all functions of a family along. Steps must
not: there, such a function would be dead."""
_FUNCTION = re.compile(r"^([a-z_]+)\(\) *[{(].*?(?:^[})]|[})]$)", re.MULTILINE | re.DOTALL)
BROKEN = ("if", "main() {\necho $x\n}\nmain\n")
"""Two scripts with which it is shown that the tools do find fault."""


@cache
def cases(kind: str) -> tuple[Case, ...]:
    return tuple(Case(path) for path in CASES if path.parent.name == kind)


def specs_of(kind: str) -> list[Spec]:
    """All that the recordings of a kind ask for, each name once."""
    return list({spec.ref: spec for case in cases(kind) for spec in case.specs}.values())


def changes_of(kind: str) -> Iterator[Change[Any, Any]]:
    """What is missing, what is as recorded, what differs in every field, and what has to go."""
    provider = KINDS[kind]
    for case in cases(kind):
        answers = provider.parse(case.out, case.specs)
        for spec in case.specs:
            want, found = provider.want(spec), answers.get(spec.name)
            if want is None:
                yield from (Change(spec, found, None, frozenset()) for _ in range(isinstance(found, State)))
                continue
            yield Change(spec, None, want, frozenset())
            yield Change(spec, want, want, frozenset(want.model_dump(exclude_none=True)))
            yield Change(spec.absent(), want, None, frozenset())
            if isinstance(found, State) and (fields := changed_fields(found, want)):
                yield Change(spec, found, want, fields)


def steps_of(kind: str) -> list[Step]:
    provider = KINDS[kind]
    changes = list(changes_of(kind))
    refreshes = [step for spec in specs_of(kind) if (step := provider.refresh(spec)) is not None]
    # All at once, and each alone, because a kind may do the two in different ways.
    alone = [step for change in changes for step in provider.steps([change], Facts())]
    steps = [*provider.steps(changes, Facts()), *alone, *refreshes]
    return list({(step.run, step.blob): step for step in steps}.values())


def probe_of(kind: str) -> bytes:
    fragments = [facts_probe(), inventory_probe(), KINDS[kind].probe(specs_of(kind))]
    return compile_probe([Fragment(fragment) for fragment in fragments], inventory=NOWHERE).text


def look_of(kind: str) -> bytes:
    look = KINDS[kind].look(list(changes_of(kind)))
    return compile_probe([Fragment(look)] if look is not None else []).text


def apply_of(kind: str) -> bytes:
    planned = [PlannedStep(step, (number - 1,) if number else ()) for number, step in enumerate(steps_of(kind))]
    return compile_apply(planned, expected="none", journal="{}\n{}\n", libraries=[KINDS[kind].library]).text


def of_no_kind() -> dict[str, bytes]:
    """Scripts that hold hardly more than what stands in `state/`."""
    blobs = [None, b"", b"short", bytes(INLINE + 1)]
    steps = [PlannedStep(Step(("file:/x",), "x", facts_probe(), blob)) for blob in blobs]
    return {
        "empty probe": compile_probe([]).text,
        "record": compile_apply([], expected="none", journal="{}\n").text,
        "contents": compile_apply(steps, expected="0" * 64, journal="{}\n{}\n", inventory=NOWHERE, set_aside=True).text,
    }


def of_all_kinds() -> dict[str, bytes]:
    """As a host with some of everything gets them."""
    specs = [spec for kind in KINDS for spec in specs_of(kind)]
    fragments = [Fragment(provider.probe(items)) for provider, items in group(specs)]
    steps = [PlannedStep(step) for kind in KINDS for step in steps_of(kind)]
    libraries = dict.fromkeys(provider.library for provider in PROVIDERS)
    return {
        "probe of all kinds": compile_probe(fragments).text,
        "apply of all kinds": compile_apply(steps, expected="none", journal="{}\n{}\n", libraries=libraries).text,
    }


def scripts_of(kind: str) -> dict[str, bytes]:
    return {f"{kind} probe": probe_of(kind), f"{kind} look": look_of(kind), f"{kind} apply": apply_of(kind)}


def complaints(folder: Path, scripts: dict[str, bytes], *but: str) -> str:
    """What shellcheck has to say, with the lines that it speaks of."""
    for name, text in scripts.items():
        (folder / name).write_bytes(text)
    exclude = f"--exclude={','.join((QUOTED, *but))}"
    command = [str(SHELLCHECK), "--shell=sh", "--norc", "--severity=style", exclude, *scripts]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


def functions(text: str) -> dict[str, str]:
    """The functions that a piece of shell defines, by name."""
    return {match[1]: match[0] for match in _FUNCTION.finditer(text)}


def errors(shell: list[str], text: bytes) -> bytes:
    """What a shell that only reads a script says of it."""
    if shell[0] == "yash":  # it reads characters rather than bytes, and so no name that is not UTF-8
        text = text.decode("utf-8", "replace").encode()
    done = subprocess.run([*shell[:-1], "-n", "-s"], input=text, capture_output=True, timeout=60, check=False)
    return done.stderr or (b"" if done.returncode == 0 else b"exit status %d" % done.returncode)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_shown_with_something_to_do(kind: str) -> None:
    assert specs_of(kind)
    assert {change.action for change in changes_of(kind)} == {"create", "change", "delete"}
    assert steps_of(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_shellcheck_finds_no_fault_in_the_scripts_of_a_kind(kind: str, tmp_path: Path) -> None:
    scripts = scripts_of(kind)
    apply = scripts.pop(f"{kind} apply")
    assert complaints(tmp_path, {"apply": apply}) == ""
    assert complaints(tmp_path, scripts, WHOLE_LIBRARY) == ""


def test_shellcheck_finds_no_fault_in_what_stands_around_the_kinds(tmp_path: Path) -> None:
    assert complaints(tmp_path, of_no_kind()) == ""


def test_no_two_kinds_give_one_name_to_two_functions_and_none_takes_a_name_of_ours() -> None:
    """All libraries of an apply are read by one shell, and then what stands around them."""
    ours = {name for file in ("prelude.sh", "apply.sh") for name in functions((ROOT / "state" / file).read_text())}
    assert {"mark", "step", "keep"} <= ours
    known: dict[str, str] = {}
    for provider in PROVIDERS:
        for name, body in functions(provider.library.text).items():
            assert name not in ours, f"{provider.name} defines {name}"
            assert known.setdefault(name, body) == body, f"{provider.name} defines {name} in its own way"
    assert len(known) > 50


@pytest.mark.parametrize("shell", SHELLS, ids=name_of)
@pytest.mark.parametrize("kind", KINDS)
def test_every_shell_understands_the_scripts_of_a_kind(shell: list[str], kind: str) -> None:
    assert {name: error for name, text in scripts_of(kind).items() if (error := errors(shell, text))} == {}


@pytest.mark.parametrize("shell", SHELLS, ids=name_of)
def test_every_shell_understands_what_stands_around_the_kinds_and_where_all_of_them_meet(shell: list[str]) -> None:
    scripts = of_no_kind() | of_all_kinds()
    assert {name: error for name, text in scripts.items() if (error := errors(shell, text))} == {}


def test_a_fault_would_be_found(tmp_path: Path) -> None:
    cut, unquoted = BROKEN
    assert all(errors(shell, cut.encode()) for shell in SHELLS)
    assert "SC2086" in complaints(tmp_path, {"unquoted": unquoted.encode()})
