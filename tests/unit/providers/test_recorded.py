"""Recorded answers of real hosts, read again: tests/recorded/KIND/CASE.json, found by themselves.

A new way in which hosts answer is a new file there, not new code here. A file holds

    why      one sentence: what the case shows
    specs    what was asked: a list of manifest entries with their names
    bodies   name → text, where a spec carries content
    out      what the probe printed (or out_base64, where that is not text)
    answers  name → the fields of the state that are set · null for absent · "unknown"
"""

from __future__ import annotations

import base64
import importlib
import inspect
import json
import pkgutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import providers
from providers.base import Provider, Spec, State
from providers.registry import PROJECT_PROVIDERS, PROVIDERS

ROOT = Path(__file__).parents[3]
CASES = sorted((ROOT / "tests" / "recorded").glob("*/*.json"))
FIELDS = {"why", "specs", "bodies", "out", "out_base64", "answers"}
AnyProvider = Provider[Any, Any]


def all_providers() -> dict[str, AnyProvider]:
    """Every kind that a module of `providers` defines, registered or not."""
    for module in pkgutil.iter_modules(providers.__path__):
        importlib.import_module(f"providers.{module.name}")
    found: dict[str, AnyProvider] = {}
    waiting: list[type[AnyProvider]] = Provider.__subclasses__()
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if not inspect.isabstract(kind) and kind.__module__.startswith("providers."):
            found[kind.name] = kind()
    return found


KINDS = all_providers()


class Case:
    """One recording."""

    def __init__(self, path: Path) -> None:
        data = json.loads(path.read_text())
        assert set(data) <= FIELDS, f"{path}: {sorted(set(data) - FIELDS)} means nothing here"
        assert data["why"].strip(), f"{path}: say in one sentence what the case shows"
        self.provider = KINDS[path.parent.name]
        bodies = data.get("bodies", {})
        self.specs: list[Spec] = [self.provider.spec.model_validate(spec) for spec in data["specs"]]
        self.specs = [spec.with_body(bodies[spec.name].encode()) if spec.name in bodies else spec for spec in self.specs]
        text = data.get("out")
        self.out: bytes = base64.b64decode(data["out_base64"]) if text is None else text.encode()
        self.answers: dict[str, object] = data["answers"]

    def read(self, out: bytes) -> dict[str, object]:
        """What `parse` makes of `out`, in the words of a recording."""
        answers = self.provider.parse(out, self.specs)
        names = [spec.name for spec in self.specs]
        assert set(answers) <= set(names), "an answer about something that was not asked"
        return {name: plain(answers[name]) if name in answers else "unknown" for name in names}


def plain(answer: object) -> object:
    if isinstance(answer, State):
        return answer.model_dump(mode="json", exclude_none=True)
    return None if answer is None else "unknown"


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def cuts(out: bytes) -> Sequence[int]:
    """Places at which an answer may break off: all of them, or some three hundred of a long one."""
    return range(0, len(out), max(1, len(out) // 300))


@pytest.mark.parametrize("path", CASES, ids=name_of)
def test_a_recorded_answer_is_read_as_its_file_says(path: Path) -> None:
    case = Case(path)
    assert case.read(case.out) == case.answers


@pytest.mark.parametrize("path", CASES, ids=name_of)
def test_an_answer_that_breaks_off_says_the_same_or_nothing(path: Path) -> None:
    case = Case(path)
    for cut in cuts(case.out):
        for name, answer in case.read(case.out[:cut]).items():
            assert answer in (case.answers[name], "unknown"), f"cut after {cut} bytes: {case.out[:cut]!r}"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_six_recordings_and_one_that_is_broken(kind: str) -> None:
    recorded = [Case(path) for path in CASES if path.parent.name == kind]
    assert len(recorded) >= 6
    assert any("unknown" in case.answers.values() for case in recorded), "none of them shows broken output"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_page_that_names_each_of_its_fields(kind: str) -> None:
    page = (ROOT / "docs" / "kinds" / f"{kind}.md").read_text()
    fields = KINDS[kind].spec.model_fields.items()
    own = {field.alias or name for name, field in fields if name not in Spec.model_fields}
    assert not {field for field in own if f"`{field}`" not in page}


def test_every_kind_is_registered_once() -> None:
    assert sorted(provider.name for provider in (*PROVIDERS, *PROJECT_PROVIDERS)) == sorted(KINDS)


def test_no_recording_is_left_of_a_kind_that_is_gone() -> None:
    assert {path.parent.name for path in CASES} <= KINDS.keys()
