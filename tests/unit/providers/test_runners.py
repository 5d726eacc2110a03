"""The ways in which something runs: what the host keeps of their settings, and how its answers about them are judged."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from providers.base import Unknown
from providers.runners import compose, nature
from providers.runners.asking import Answered, read
from providers.runners.judging import engine_words, judge, unit_word
from providers.runners.models import CommandRunner, ComposeRunner, NoRunner, Runner, SystemdRunner
from providers.shell import sh
from tests.unit.providers.here import SHELLS, name_of

SHOP = ComposeRunner(
    files=("a b.yaml", "-x.yaml"),
    project="shop",
    services={"web": "w1", "db": "d1"},
    once=("db",),
    profiles=("it's",),
    env={"PORT": "8081", "ODD": "a 'b' $(id) \\ \"c\""},
    sealed={".env.age": "/etc/age/it's key"},
)


def seen_by(shell: Sequence[str], runner: Runner, name: str, folder: Path) -> str:
    """The value of a variable after the host has read its file."""
    (folder / "how").write_bytes(nature.how(runner).encode())
    script = sh(". @file@\neval @show@", file=str(folder / "how"), show=f'printf %s. "${name}"')
    done = subprocess.run([*shell, "-s"], input=script.encode(), capture_output=True, timeout=20, check=True)
    return done.stdout.decode().removesuffix(".")


@pytest.mark.parametrize("shell", SHELLS, ids=name_of)
def test_every_shell_reads_the_settings_as_they_were_given(shell: Sequence[str], tmp_path: Path) -> None:
    assert seen_by(shell, SHOP, "compose_services", tmp_path) == "db web"
    assert json.loads(seen_by(shell, SHOP, "compose_override", tmp_path)) == {
        "services": {name: {"labels": {compose.LABEL: digest}} for name, digest in SHOP.services.items()}
    }
    assert seen_by(shell, SystemdRunner(unit="a\\x2db@c.service"), "unit", tmp_path) == "a\\x2db@c.service"


@pytest.mark.parametrize("shell", SHELLS, ids=name_of)
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("compose_options", ["-f", "./a b.yaml", "-f", "./-x.yaml", "--profile", "it's"]),
        ("compose_sealed", [".env.age", "/etc/age/it's key"]),
    ],
)
def test_lists_come_apart_again_as_the_words_that_they_were(
    shell: Sequence[str], name: str, words: list[str], tmp_path: Path
) -> None:
    (tmp_path / "list").write_text(f"set -- {seen_by(shell, SHOP, name, tmp_path)}\n")
    script = sh(". @file@\nfor word do printf '%s\\n' \"$word\"; done", file=str(tmp_path / "list"))
    done = subprocess.run([*shell, "-s"], input=script.encode(), capture_output=True, timeout=20, check=True)
    assert done.stdout.decode().splitlines() == words


@settings(max_examples=25, deadline=None)
@given(value=st.text(alphabet=st.characters(blacklist_categories=("Cc", "Cs")), max_size=30))
def test_a_variable_reaches_a_command_unharmed(value: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("how")
    text = seen_by(SHELLS[0], CommandRunner(start="true", env={"VALUE": value}), "command_env", folder)
    script = sh('eval "export $1"\nprintf %s. "$VALUE"')
    done = subprocess.run([*SHELLS[0], "-c", script.text, "sh", text], capture_output=True, timeout=20, check=True)
    assert done.stdout.decode() == f"{value}."


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "compose", "files": ["c"], "project": "Shop", "services": {}},
        {"type": "compose", "files": ["c"], "project": "shop", "services": {"a b": "1"}},
        {"type": "compose", "files": [], "project": "shop", "services": {}},
        {"type": "systemd", "unit": "-x.service"},
        {"type": "systemd", "unit": "a b.service"},
        {"type": "command", "start": "x", "env": {"A-B": "1"}},
    ],
)
def test_a_name_that_a_shell_would_read_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter[Runner](Runner).validate_python(wrong)


@pytest.mark.parametrize("runner", [SHOP, SystemdRunner(unit="a.service"), CommandRunner(start="x"), NoRunner()])
def test_what_is_recorded_of_a_runner_makes_it_again(runner: Runner) -> None:
    assert TypeAdapter[Runner](Runner).validate_python(nature.record(runner)) == runner


def test_patience_and_pulling_are_no_other_way_of_running() -> None:
    assert nature.made(SHOP) == nature.made(SHOP.model_copy(update={"timeout": 5, "pull": "never"}))
    assert nature.made(SHOP) != nature.made(SHOP.model_copy(update={"services": {"web": "w2"}}))


@pytest.mark.parametrize(
    ("containers", "word"),
    [
        ([], "missing"),
        ([("running", "", "w1")], "up"),
        ([("running", "healthy", "w1")], "up"),
        ([("running", "health: starting", "w1")], "up"),
        ([("running", "unhealthy", "w1")], "unhealthy"),
        ([("exited", "0", "w1")], "exited (0)"),
        ([("restarting", "1", "w1")], "restarting (1)"),
        ([("paused", "Paused", "w1")], "paused"),
        ([("created", "", "w1")], "created"),
        ([("running", "", "")], compose.OUTDATED),
        ([("running", "", "w1"), ("running", "", "w1")], "2 of 1"),
    ],
)
def test_a_service_is_told_in_one_word(containers: list[tuple[str, str, str]], word: str) -> None:
    assert compose.word(containers, once=False, inputs="w1") == word


def test_a_service_whose_work_is_done_is_up_and_none_may_be_asked_for() -> None:
    assert compose.word([("exited", "0", "")], once=True) == "up"
    assert compose.word([("exited", "1", "")], once=True) == "exited (1)"
    assert compose.word([], once=False, count=0) == "up"
    assert compose.word([("running", "", "")] * 3, once=False, count=-1) == "up"


@pytest.mark.parametrize(
    ("block", "word"),
    [
        ("LoadState=loaded ActiveState=active SubState=running UnitFileState=enabled", "up"),
        ("LoadState=loaded ActiveState=active SubState=running UnitFileState=disabled", "not enabled"),
        ("LoadState=loaded ActiveState=activating SubState=auto-restart UnitFileState=enabled", "restarting"),
        ("LoadState=loaded ActiveState=failed SubState=failed UnitFileState=enabled", "failed"),
        ("LoadState=loaded ActiveState=inactive Type=oneshot Result=success UnitFileState=enabled", "up"),
        ("LoadState=loaded ActiveState=inactive Type=simple Result=success UnitFileState=enabled", "inactive"),
        ("LoadState=not-found ActiveState=inactive", "missing"),
        ("", "unknown"),
    ],
)
def test_a_unit_is_told_in_one_word(block: str, word: str) -> None:
    assert unit_word(dict(one.split("=", 1) for one in block.split()), enabled=True) == word


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("124 ", "does not answer"),
        ("1 Cannot connect to the Docker daemon", "does not answer: Cannot connect"),
        ("1 permission denied while trying to connect", "does not let us in"),
        ("unknown its socket is there, but the command docker is not", "could not be asked: its socket is there"),
    ],
)
def test_an_engine_that_does_not_answer_is_never_an_empty_one(said: str, words: str) -> None:
    answered = read(b"spec 0\nnote \nengine %s\nend\n" % said.encode())
    assert answered is not None
    found = judge(answered, answered.noted[0], SHOP)
    assert isinstance(found, Unknown)
    assert words in found.reason == engine_words(said)


@given(st.binary())
def test_no_answer_can_break_the_reader(out: bytes) -> None:
    assert read(out) is None or out.endswith(b"\nend\n")
    whole = read(out + b"\nend\n")
    assert whole is None or isinstance(whole, Answered)


@given(st.tuples(*[st.text(max_size=8)] * 5))
def test_what_stands_in_a_label_cannot_pass_for_another_line(texts: tuple[str, ...]) -> None:
    answered = read(f"engine up\nc {json.dumps(texts)}\nend\n".encode())
    assert answered is not None
    assert answered.containers == {texts[:2]: [texts[2:]]}
