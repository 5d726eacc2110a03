"""docs/history.md describes every field of every document, and no other."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from pydantic import BaseModel

from desired.git_blame import Author
from desired.model import Place
from reconciler.errors import Exit
from reconciler.explanation import Asker, Explanation, Past
from reconciler.history.events import Happened
from reconciler.history.records import ActionRecord, CycleRecord, DeploymentRecord, StepRun
from reconciler.incidents.model import DriftRecord, Incident, Member
from reconciler.loop.view import HostView, ProjectView, SourceView
from reconciler.render.drift import drift_document
from reconciler.render.view import view_document
from reconciler.render.why import why_document
from tests.unit.history.happened import drift, view

DOCS = (Path(__file__).parents[3] / "docs" / "history.md").read_text()


def section(name: str) -> str:
    return DOCS.split(f"\n### {name}\n")[1].split("\n### ")[0]


def documented(text: str) -> set[str]:
    """The fields in the first column of tables."""
    cells = [row.split("|")[1] for row in text.splitlines() if row.startswith("| `")]
    return {name for cell in cells for name in re.findall(r"`([a-z_]+)`", cell)}


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("What history prints", Happened),
        ("A cycle", CycleRecord),
        ("An action", ActionRecord),
        ("A step", StepRun),
        ("A deployment", DeploymentRecord),
        ("What drift prints", DriftRecord),
        ("An incident", Incident),
        ("A finding", Member),
    ],
)
def test_every_field_is_documented(name: str, model: type[BaseModel]) -> None:
    assert documented(section(name)) == set(model.model_fields)


def test_every_field_of_why_is_documented() -> None:
    text = section("What why prints")
    own, _, asked = text.partition("Each of `asked`:")
    document = why_document(Explanation("x", None, (Asker(Place("a"), ()),), past=Past()))
    assert documented(own) == set(document) - {"format"}
    assert documented(asked) == set(document["asked"][0])
    assert all(f"`{name}`" in own for name in document["history"])
    assert documented(section("An author")) == {one.name for one in fields(Author)}


def test_every_field_of_the_last_view_is_documented() -> None:
    text = section("What status --last prints")
    shown = [documented(table.partition("|---")[2]) for table in text.split("\n\n") if table.startswith("|")]
    assert shown == [set(model.model_fields) for model in (SourceView, HostView, ProjectView)]
    document = view_document(view(), Exit.OK)
    assert set(document) == {"format", "last", "exit_code"}
    assert all(f"`{name}`" in text for name in document["last"])


def test_every_field_of_drift_is_documented() -> None:
    document = drift_document([drift()], view())
    assert all(f"`{name}`" in section("What drift prints") for name in document if name != "format")
