"""Every example is a fleet that can be copied: valid, and complete in itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.fleet import Fleet
from tests.unit.docs.documents import ROOT, Reader

EXAMPLES = sorted(path.name for path in (ROOT / "examples").iterdir() if path.is_dir())


def copy(example: str, fleet: Fleet) -> None:
    """The example as the content of `fleet`, committed."""
    shutil.copytree(ROOT / "examples" / example, fleet.root, dirs_exist_ok=True)
    fleet.commit({})


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_valid_without_a_warning(fleet: Fleet, example: str) -> None:
    copy(example, fleet)
    checked = fleet.run("validate")
    assert checked.code == 0, checked
    assert checked.out.startswith("valid: "), checked
    assert not checked.err, checked


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_introduced_by_a_page_of_its_own_and_in_the_overview(example: str) -> None:
    assert (ROOT / "examples" / example / "README.md").read_text().startswith("# ")
    assert f"[{example}]({example})" in (ROOT / "examples" / "README.md").read_text()


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_file_of_an_example_is_used(fleet: Fleet, example: str) -> None:
    copy(example, fleet)
    manifests = "".join(path.read_text() for path in fleet.root.rglob("*.yaml"))
    files = [path.relative_to(fleet.root) for path in (fleet.root / "files").rglob("*") if path.is_file()]
    assert not [str(path) for path in files if str(path) not in manifests]


def test_an_example_is_copied_as_the_overview_says(fleet: Fleet) -> None:
    reader = Reader.of(fleet)
    reader.follow("examples/README.md")
    assert reader.where == Path(fleet.home / "fleet")
