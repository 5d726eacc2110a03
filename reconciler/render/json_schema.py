"""JSON Schemas of the files in a fleet repository, made from the models that read them: what `reconcile schema` prints.

An editor that knows the schema completes keys, shows their meaning and marks mistakes while one types. It is an aid:
`reconcile validate` knows more (references, conflicts, what a template yields).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from desired.manifest import SECTIONS
from desired.project import ProjectSettings
from desired.schema import BundleSettings, FleetSettings, HostSettings
from providers.base import Provider

Sort = Literal["fleet", "host", "hosts", "bundle", "project"]
TITLES: Mapping[Sort, str] = {
    "fleet": "fleet.yaml",
    "host": "hosts/NAME.yaml",
    "hosts": "hosts.yaml",
    "bundle": "bundles/NAME.yaml",
    "project": "projects/NAME.yaml",
}
_WITHOUT_SECTIONS = ("fleet", "project")
_SETTINGS: Mapping[Sort, type[BaseModel]] = {
    "fleet": FleetSettings,
    "host": HostSettings,
    "hosts": HostSettings,
    "bundle": BundleSettings,
    "project": ProjectSettings,
}


def schema_of(sort: Sort) -> dict[str, Any]:
    """The schema of one sort of file, complete in itself."""
    settings = _SETTINGS[sort]
    specs: list[type[BaseModel]] = [] if sort in _WITHOUT_SECTIONS else [provider.spec for provider in _providers()]
    references, shared = models_json_schema([(model, "validation") for model in [settings, *specs]])
    definitions = shared.get("$defs", {})
    schema: dict[str, Any] = dict(definitions.pop(references[settings, "validation"]["$ref"].rpartition("/")[2]))
    if sort not in _WITHOUT_SECTIONS:
        names = {spec: references[spec, "validation"]["$ref"].rpartition("/")[2] for spec in specs}
        for name in names.values():
            definitions[name] = _resource(definitions[name], complete=sort == "bundle")
        schema["properties"] = {**schema["properties"], **_sections(names)}
    if sort == "hosts":
        definitions["Host"] = schema
        schema = {"type": "object", "additionalProperties": {"$ref": "#/$defs/Host"}}
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": TITLES[sort]}
    schema.pop("title", None)
    return {**head, **schema, "$defs": definitions}


def _providers() -> list[Provider[Any, Any]]:
    found: list[Provider[Any, Any]] = []
    for section in SECTIONS.values():
        found += [section] if isinstance(section, Provider) else section.values()
    return found


def _resource(spec: dict[str, Any], *, complete: bool) -> dict[str, Any]:
    """A spec as it is written under its name. In a host's file it may be completed by a bundle, so nothing is required
    there."""
    properties = {name: value for name, value in spec["properties"].items() if name != "name"}
    required = [name for name in spec.get("required", ()) if name != "name"] if complete else []
    resource = {key: value for key, value in spec.items() if key not in ("properties", "required", "title")}
    return resource | {"properties": properties} | ({"required": required} if required else {})


def _sections(names: Mapping[type[BaseModel], str]) -> dict[str, Any]:
    """`files: …` and `packages: {apt: …}`, each as a mapping from names or as a list."""
    sections: dict[str, Any] = {}
    for word, section in SECTIONS.items():
        if isinstance(section, Provider):
            sections[word] = _section(names[section.spec])
        else:
            inner = {name: _section(names[provider.spec]) for name, provider in section.items()}
            sections[word] = {"type": ["object", "null"], "properties": inner, "additionalProperties": False}
    return sections


def _section(name: str) -> dict[str, Any]:
    fields = {"$ref": f"#/$defs/{name}"}
    item = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    return {
        "anyOf": [
            {"type": "object", "additionalProperties": {"anyOf": [fields, {"type": "null"}]}},
            {"type": "array", "items": {"anyOf": [{"type": "string"}, item]}},
            {"type": "null"},
        ]
    }
