"""Whatever a commit holds, loading it gives a fleet or mistakes with places; never another exception."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from desired.load import load
from desired.model import Fleet, Invalid
from desired.schema import BundleSettings, FleetSettings, HostSettings
from desired.source import Entry, Source
from providers.registry import PROVIDERS

SECTIONS = [provider.section.partition(".")[0] for provider in PROVIDERS]
FIELDS = sorted({field.alias or name for provider in PROVIDERS for name, field in provider.spec.model_fields.items()})

words = st.sampled_from(
    [
        "",
        "a",
        "/a",
        "/a/b",
        "../a",
        "-x",
        "0644",
        "root",
        "present",
        "absent",
        "file:/a",
        "user:root",
        "files/a",
        "$(id)",
        "\n",
        "é'\"",
    ]
)
scalars = st.none() | st.booleans() | st.integers(-2, 70000) | st.floats(allow_nan=False, allow_infinity=False) | words
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words | st.sampled_from(["secret", "name"]), inner, max_size=3),
    max_leaves=5,
)
fields = st.dictionaries(st.sampled_from(FIELDS), values, max_size=4)
section = st.dictionaries(words, fields | values, max_size=3) | st.lists(values | fields, max_size=3) | values
sections = st.dictionaries(
    st.sampled_from(SECTIONS), section | st.dictionaries(st.sampled_from(["apt", "deb", "x"]), section), max_size=3
)


def settings_of(model: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(sorted(model.model_fields)) | words, values, max_size=4)


def source_of(files: dict[str, bytes]) -> Source:
    entries = {path: Entry(hashlib.sha1(data).hexdigest(), 0o100644) for path, data in files.items()}
    return Source(entries, read_blob=lambda path, _: files[path], blob_size=lambda path, _: len(files[path]))


def outcome(files: dict[str, bytes]) -> Fleet | None:
    try:
        return load(source_of(files))
    except Invalid as error:
        found = error.diagnostics
    assert found
    assert list(found) == sorted(found)
    assert all(one.place.file and one.message and (one.message + one.hint).isprintable() for one in found)
    return None


@given(settings_of(FleetSettings), settings_of(HostSettings), sections, settings_of(BundleSettings), sections)
@settings(max_examples=300)
def test_any_manifest_becomes_a_fleet_or_mistakes(
    fleet: dict[str, Any], host: dict[str, Any], own: dict[str, Any], bundle: dict[str, Any], shared: dict[str, Any]
) -> None:
    files = {
        "fleet.yaml": json.dumps(fleet).encode(),
        "hosts/web.yaml": json.dumps({"address": "web", **host, **own}).encode(),
        "hosts/db.yaml": json.dumps({"address": "db", "bundles": ["base"], **own}).encode(),
        "bundles/base.yaml": json.dumps({**bundle, **shared}).encode(),
        "files/a": b"{{ host.name }}",
    }
    found = outcome(files)
    if found:
        assert list(found.hosts) == ["db", "web"]


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_any_bytes_in_the_files_become_a_fleet_or_mistakes(host: bytes, other: bytes) -> None:
    outcome(
        {
            "fleet.yaml": other,
            "hosts/web.yaml": host,
            "bundles/base.yaml": other,
            "hosts/known_hosts": other,
            "hosts.yaml": host,
        }
    )


def test_the_simplest_fleet_is_one() -> None:
    """So that the properties above are not about mistakes alone."""
    assert outcome({"hosts/web.yaml": b"address: web\nfiles: {/a: {content: x}}\n"})
