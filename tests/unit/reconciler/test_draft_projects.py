"""A project that leaves the repository, gets another name or moves: what is removed, what goes on, and what is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from providers.base import Unknown
from providers.releases.kind import ReleaseSpec
from providers.releases.model import ReleaseState
from providers.runners.models import CommandRunner
from providers.runtimes import RuntimeSpec, RuntimeState
from state.inventory import Entry
from tests.unit.reconciler.paper import Paper, directory, file

TREE = "1" * 32
COMMIT = "c" * 40


def release(name: str, path: str = "/srv/site") -> ReleaseSpec:
    given = {"name": name, "strategy": "mirror", "path": path, "commit": COMMIT, "tree": TREE}
    return ReleaseSpec.model_validate(given)


def runtime(name: str, path: str = "/srv/site") -> RuntimeSpec:
    runner = CommandRunner(start="./start", stop="./stop", status="./status")
    given = {"name": name, "strategy": "mirror", "path": path, "commit": COMMIT, "tree": TREE, "runner": runner}
    return RuntimeSpec.model_validate(given)


@pytest.fixture
def paper() -> Paper:
    """A host that has the project `site`, which the repository does not ask for any more."""
    paper = Paper()
    for spec in (release("site"), runtime("site")):
        paper.entries[spec.ref] = Entry(digest=spec.digest(), made=True, spec=spec.record())
    paper.answers = {
        "release:site": ReleaseState(commit=COMMIT, tree=TREE),
        "runtime:site": RuntimeState(tree=TREE, running=True, services={"command": "up"}),
    }
    return paper


def removed(paper: Paper) -> dict[str, str | None]:
    """What is removed → why it is held back."""
    return {item.ref: item.held for item in paper.draft.changes if item.why == "pruned"}


def test_a_project_that_left_the_repository_is_removed(paper: Paper) -> None:
    assert removed(paper) == {"runtime:site": None, "release:site": None}


def test_so_is_one_whose_folder_is_declared_besides(paper: Paper) -> None:
    paper.add(directory("/srv/site"), "as asked")
    assert removed(paper) == {"runtime:site": None, "release:site": None}
    assert paper.draft.released == {}


def test_so_is_one_that_has_a_neighbour_in_its_folder(paper: Paper) -> None:
    paper.add(file("/srv/site/local.conf"), "as asked")
    assert removed(paper) == {"runtime:site": None, "release:site": None}


def test_under_another_name_it_goes_on_until_it_is_taken_over(paper: Paper) -> None:
    paper.add(release("shop"))
    paper.answers["release:shop"] = Unknown("its folder holds 3 files that reconciler did not put there")
    waits = "release:shop, which is to take its place, is unknown"
    assert removed(paper) == {"runtime:site": waits}
    assert paper.draft.released == {}


def test_under_another_name_it_goes_on_while_its_source_is_away(paper: Paper) -> None:
    paper.add(release("shop"))
    paper.resources["release:shop"] = replace(paper.resources["release:shop"], blocked="nobody answers")
    assert removed(paper) == {"runtime:site": "release:shop, which is to take its place, is left as it is"}


def test_once_it_is_taken_over_the_old_name_is_let_go(paper: Paper) -> None:
    paper.add(release("shop"), applied=True)
    paper.answers["release:shop"] = ReleaseState(commit=COMMIT, tree=TREE)
    assert removed(paper) == {"runtime:site": None}
    assert paper.draft.released == {"release:site": "its path belongs to another resource now"}


def test_in_another_folder_it_is_told_what_stays_in_the_old_one(paper: Paper) -> None:
    paper.add(release("site", "/srv/new"))
    paper.answers["release:site"] = None
    assert paper.draft.notices["release:site"] == (
        "what was deployed in /srv/site stays there, no longer managed: remove it by hand when nothing runs from it",
    )


def test_in_its_old_folder_there_is_nothing_to_tell(paper: Paper) -> None:
    paper.add(release("site"))
    paper.answers["release:site"] = None
    assert paper.draft.notices == {}
