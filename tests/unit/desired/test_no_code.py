"""A fleet repository is other people's data: nothing in it is ever imported or run on the controller."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fleet import Fleet
from tests.unit.desired.support import HOST

ROOT = Path(__file__).parents[3]
MODULES = (
    "desired",
    "state",
    "providers",
    "reconciler",
    "sitecustomize",
    "usercustomize",
    "jinja2",
    "yaml",
    "ruamel",
    "pydantic",
)
LOAD = """
import sys
from desired.git import commit_source, open_repository, uncommitted, worktree_source
from desired.load import load
repository = open_repository(".")
for source in (commit_source(repository), worktree_source(repository)):
    print(load(source).hosts["web"].resources[0].spec.body.decode())
print(uncommitted(repository))
"""


@pytest.fixture
def trapped(fleet: Fleet) -> Fleet:
    """A fleet whose repository is full of files that somebody or something might import, read or run."""
    marker = fleet.home / "was-run"
    trap = f"open({str(marker)!r}, 'a').write(__name__)\n"
    files: dict[str, str | bytes | None] = {f"{name}.py": trap for name in MODULES}
    files |= {f"{name}/__init__.py": trap for name in MODULES}
    files |= {f"{name}/render_worker.py": trap for name in ("desired", "files")}
    shell = f"touch {marker}\n"
    files |= {".env": shell, ".envrc": shell, "files/__init__.py": trap, "hosts/conftest.py": trap, "pyvenv.cfg": "home = /\n"}
    text = HOST + "files: {/a: {source: files/a.j2}}\n"
    fleet.commit({"fleet.yaml": "", "hosts/web.yaml": text, "files/a.j2": "{{ host.name }} is here"} | files)
    for hook in ("post-checkout", "pre-commit", "post-index-change"):
        path = fleet.root / ".git" / "hooks" / hook
        path.write_text("#!/bin/sh\n" + shell)
        path.chmod(0o755)
    return fleet


def test_loading_from_inside_a_hostile_repository_runs_nothing_of_it(trapped: Fleet) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", LOAD],
        cwd=trapped.root,
        env=trapped.environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.splitlines()) == (0, ["web is here", "web is here", "[]"]), done.stderr
    assert not (trapped.home / "was-run").exists()


def test_the_trap_would_spring_if_the_repository_were_importable(trapped: Fleet) -> None:
    """The marker file shows what it should: the same program without `-P` and with the repository on its path is caught."""
    subprocess.run([sys.executable, "-c", "import state"], cwd=trapped.root, env=trapped.environment, check=False)
    assert (trapped.home / "was-run").exists()


def test_the_process_that_renders_is_not_influenced_by_where_we_stand(trapped: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    from desired.git import commit_source, open_repository
    from desired.load import load

    monkeypatch.chdir(trapped.root)
    monkeypatch.setenv("PYTHONPATH", str(trapped.root))
    monkeypatch.setenv("PYTHONHOME", str(trapped.root))
    monkeypatch.setenv("PYTHONSTARTUP", str(trapped.root / "sitecustomize.py"))
    fleet = load(commit_source(open_repository(trapped.root)))
    assert fleet.hosts["web"].resources[0].spec.body == b"web is here"
    assert not (trapped.home / "was-run").exists()
