"""Whatever stands in a project's file, it is read or refused with places and plain words, and never breaks the program."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from desired.project import (
    CommandSettings,
    ComposeSettings,
    DeploySettings,
    ProjectSettings,
    RuntimeSettings,
    SecretFile,
    SlotSettings,
    SlotsSettings,
    SystemdSettings,
)
from desired.projects import ProjectFile, Projects, read_project, references
from desired.report import Report
from desired.yaml import parse
from providers.proxies.models import Proxy
from providers.smoke import Smoke
from reconciler.render.json_schema import schema_of

MODELS = (
    ProjectSettings,
    DeploySettings,
    SecretFile,
    ComposeSettings,
    SystemdSettings,
    CommandSettings,
    RuntimeSettings,
    SlotSettings,
    SlotsSettings,
    Smoke,
    Proxy,
)
WORDS = sorted({name for model in MODELS for name in model.model_fields})
GIVEN = {
    "source": "/srv/git/a.git",
    "revision": "main",
    "deploy": [{"host": "nas", "path": "/srv/a"}],
    "strategy": "slots",
    "slots": {"blue": {"port": 1}, "green": {"port": 2}},
    "proxy": {"caddy": {"site": "a.lan"}},
}
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-5, 70000)
    | st.text(max_size=12)
    | st.sampled_from(["/srv/a", "none", "slots", "releases", "a.service", "secrets/a.age", ".env", "10m", "../x", "nas"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)


FILES = st.dictionaries(st.sampled_from(sorted(ProjectSettings.model_fields)) | st.text(max_size=5), VALUES, max_size=6)


@given(FILES | FILES.map(lambda data: {**GIVEN, **data}))
@settings(max_examples=200, deadline=None)
def test_any_project_file_is_read_or_refused_in_plain_words(data: dict[str, Any]) -> None:
    read = read_project(parse(json.dumps(data).encode(), "projects/a.yaml"), "a")
    files = {file.name: file for file in read.manifests}
    report = Report()
    projects = Projects(files, {}, report)
    for one in (*read.report, *report):
        assert one.place.file == "projects/a.yaml"
        assert one.place.line == 1
        assert all(sign.isprintable() or unicodedata.category(sign) == "Zs" for sign in one.message + one.hint)
        assert "validation error" not in one.message
    for file in files.values():
        assert isinstance(file, ProjectFile)
        assert references(file.name, file.settings)
        assert (read.report.errors > 0) >= bool(file.wrong)
    assert set(projects.projects) <= {"a"}


def test_the_schema_takes_the_short_forms_too() -> None:
    schema = schema_of("project")
    assert set(schema["required"]) == {"source", "revision", "deploy"}
    short = {
        "deploy": {"$ref": "#/$defs/DeploySettings"},
        "runtime": {"enum": ["compose", "none"], "type": "string"},
    }
    for key, form in short.items():
        assert form in schema["properties"][key]["anyOf"]
    secret = schema["properties"]["secrets"]["additionalProperties"]["anyOf"]
    assert {"type": "string"} in secret
    for way in ("compose", "systemd", "command"):
        assert {"type": "string"} in schema["$defs"]["RuntimeSettings"]["properties"][way]["anyOf"]
