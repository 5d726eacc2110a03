from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from desired.model import Address, Diagnostic, Host, Place
from reconciler.cycle import Failure, Outcome, StepRecord
from reconciler.errors import Exit
from reconciler.fleet_run import HostRun
from reconciler.plan import Action, Cause, FieldChange, HostPlan, Plan, UnknownResource
from reconciler.render.json_form import DERIVED, apply_document, diagnostics_document, plan_document, text_of
from tests.unit.render.sample import HOSTILE, HOSTILE_PLAN, PLAN

DOCS = (Path(__file__).parents[3] / "docs" / "plan-json.md").read_text()
HOST = Host("nas", Place("hosts/nas.yaml"), Address("local"))


def documented(section: str) -> set[str]:
    """The fields in the table of a section of docs/plan-json.md."""
    text = DOCS.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `([a-z_]+)`", text, re.MULTILINE))


@pytest.mark.parametrize(
    ("section", "model"),
    [
        ("A host", HostPlan),
        ("An action", Action),
        ("A cause", Cause),
        ("A field", FieldChange),
        ("An unknown resource", UnknownResource),
    ],
)
def test_every_field_of_a_plan_is_documented_and_nothing_else(section: str, model: type[BaseModel]) -> None:
    assert documented(section) == set(model.model_fields)


def test_the_plan_itself_is_documented_with_its_derived_keys() -> None:
    assert documented("The plan") == set(plan_document(PLAN)) == set(Plan.model_fields) | set(DERIVED)


def test_the_documents_of_apply_and_validate_are_documented() -> None:
    outcome = Outcome(
        "failed", {"user:ops": "failed"}, (Failure("user:ops", "add user ops", "failed", "no"),), {"user:a": ("uid",)}
    )
    outcome = replace(outcome, steps=(StepRecord("add user ops", ("user:ops",), "failed", "no"),))
    document = apply_document(PLAN, [HostRun(HOST, outcome=outcome)], Exit.FAILED)
    assert documented("What apply prints") == set(document)
    assert documented("An outcome") == set(document["outcomes"]["nas"])
    assert documented("A failure") == set(document["outcomes"]["nas"]["failures"][0])
    assert documented("A step") == set(document["outcomes"]["nas"]["steps"][0])
    valid = diagnostics_document(None, (Diagnostic(Place("a", 1, 2), "m"),))
    assert documented("What validate prints") == set(valid)
    assert documented("A diagnostic") == set(valid["diagnostics"][0])


def test_names_that_are_not_utf8_do_not_break_the_output_and_come_back_whole() -> None:
    text = text_of(plan_document(HOSTILE_PLAN))
    assert text.isascii()
    assert json.loads(text)["hosts"][0]["actions"][0]["ref"] == HOSTILE
    assert json.loads(text)["hosts"][0]["released"] == {HOSTILE: HOSTILE}


TEXT = st.text(st.characters(categories=None), max_size=20)
TEXTS = st.lists(TEXT, max_size=2).map(tuple)
CAUSES = st.builds(Cause, why=st.sampled_from(["commit", "drift", "follows"]), place=TEXT, refs=TEXTS)
ACTIONS = st.builds(
    Action,
    ref=TEXT,
    action=st.sampled_from(["create", "change"]),
    cause=CAUSES,
    diff=TEXTS,
    removes=TEXTS,
    held=st.none() | TEXT,
)
HOSTS = st.builds(HostPlan, host=TEXT, actions=st.lists(ACTIONS, max_size=2).map(tuple), released=st.dictionaries(TEXT, TEXT))


@given(st.builds(Plan, commit=st.none() | TEXT, hosts=st.lists(HOSTS, max_size=2).map(tuple), hosts_asked=TEXTS))
def test_a_plan_survives_the_way_through_its_document(plan: Plan) -> None:
    document: dict[str, Any] = json.loads(text_of(plan_document(plan)))
    assert Plan.model_validate({key: value for key, value in document.items() if key not in DERIVED}) == plan


def test_the_derived_keys_sum_up_the_plan() -> None:
    document = plan_document(PLAN, ["hosts/nas.yaml"])
    assert document["changes"] == 6
    assert document["deletions"] == ["nas package:apt/apache2", "nas file:/etc/old"]
    assert document["summary"].startswith("2 to create")
    assert document["uncommitted"] == ["hosts/nas.yaml"]
