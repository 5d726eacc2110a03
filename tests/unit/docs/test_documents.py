"""What the documents say is so: commands run, links lead somewhere, tests that are named exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.fleet import Fleet
from tests.unit.docs.documents import ROOT, Reader, agrees, blocks

PAGES = sorted(
    str(path.relative_to(ROOT)) for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]
)
NEEDS_A_HOST = (
    "ssh ",
    "ssh-keyscan",
    "ssh-keygen",
    "reconcile plan",
    "reconcile apply",
    "reconcile diff HEAD~1",
    "reconcile run",
    "reconcile status",
)
INSTALLS = ("python3 -m venv", "~/.local/share/reconciler/bin/pip", "ln -sf ~/.local/share/reconciler")
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")


def anchors(page: Path) -> set[str]:
    """The names under which a page's headings are linked to."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", ["README.md", "docs/quickstart.md"])
def test_a_reader_gets_as_far_as_one_can_without_a_host(fleet: Fleet, document: str) -> None:
    """The rest is done in the lab: tests/lab/test_documents.py."""
    reader = Reader.of(fleet)
    reader.follow(document, leave_out=NEEDS_A_HOST + INSTALLS)
    assert reader.where == fleet.home / "fleet"


@pytest.mark.parametrize("page", PAGES)
def test_every_link_within_the_project_leads_somewhere(page: str) -> None:
    wrong = []
    for path, anchor in _LINK.findall((ROOT / page).read_text()):
        target = (ROOT / page).parent / path if path else ROOT / page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(f"{path}#{anchor}" if anchor else path)
    assert not wrong


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    pages = [path.relative_to(ROOT / "docs") for path in (ROOT / "docs").glob("**/*.md")]
    assert not [str(page) for page in pages if page.parts[0] not in {"README.md", "decisions"} and f"]({page})" not in index]


def test_no_page_installs_the_other_project_of_our_name() -> None:
    """`reconciler` on the public package index is somebody else's."""
    named = re.compile(r"(?:pip|pipx|uv)\s[^`\n]*\binstall\s+(?:-\S+\s+)*reconciler\b")
    assert not [page for page in PAGES if named.search((ROOT / page).read_text())]


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 160


@pytest.mark.parametrize("page", ["security.md", "promises.md"])
def test_the_tests_that_a_page_names_exist(page: str) -> None:
    trees = [ast.parse(path.read_text()) for path in (ROOT / "tests").rglob("test_*.py")]
    tests = {
        node.name for tree in trees for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / page).read_text()))
    assert named
    assert not named - tests


def test_the_security_page_has_every_item_of_the_checklist_once() -> None:
    numbers = re.findall(r"^\| (\d+) \|", (ROOT / "docs" / "security.md").read_text(), re.MULTILINE)
    assert [int(number) for number in numbers] == list(range(1, 47))


@pytest.mark.parametrize(
    ("shown", "real", "same"),
    [
        ("Plan for commit 0123456789, 1 host", "Plan for commit abcdef0123, 1 host", True),
        ("one\n[…]\nfour", "one\ntwo\nthree\nfour", True),
        ("one\n[…]", "one\ntwo", True),
        ("[…]\ntwo", "one\ntwo", True),
        ("[…]\ntwo", "one\ntwo\nthree", False),
        ("one", "one\ntwo", False),
        ("1 host", "2 hosts", False),
        ("a.c", "abc", False),
    ],
)
def test_shown_output_is_compared_word_for_word_except_where_it_moves(shown: str, real: str, *, same: bool) -> None:
    assert agrees(shown, real) is same


def test_a_block_knows_its_place() -> None:
    first = next(block for block in blocks("README.md") if block.language == "sh")
    assert (ROOT / "README.md").read_text().splitlines()[first.line - 1] == first.text.splitlines()[0]
