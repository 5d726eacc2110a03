"""Rules of the house that no linter knows. Each test names every place that breaks its rule."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from reconciler import __version__
from tests.fleet import Fleet, reconcile_command

ROOT = Path(__file__).parents[2]
PACKAGES = ("providers", "desired", "state", "reconciler")
CODE = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
SHELL = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.sh"))
TESTS = sorted(path for folder in ("tests", "bench") for path in (ROOT / folder).rglob("*.py"))

STARTS_A_SHELL = {"system", "popen", "create_subprocess_shell", "getoutput", "getstatusoutput"}
MAKES_SHELL_TEXT = {"providers/shell.py", "state/script.py"}
PRINTS = ("reconciler/cli", "reconciler/demo")
TRAPS = (*PACKAGES, "sitecustomize", "usercustomize", "conftest", "click", "yaml", "jinja2", "pydantic", "json", "asyncio")
LOCAL_HOST = 'address: local\nfiles: {/nowhere/motd: {content: "{{ host.name }}", template: true}}\n'


def where(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Every call in a file, with the name that is called: `sh`, `subprocess.run`."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def too_long(paths: list[Path], limit: int) -> dict[str, int]:
    lengths = {where(path): len(path.read_text().splitlines()) for path in paths}
    return {name: length for name, length in lengths.items() if length > limit}


def test_a_file_of_the_program_has_at_most_400_lines() -> None:
    assert not too_long([*CODE, *SHELL], 400)


def test_a_file_of_tests_has_at_most_600_lines() -> None:
    assert not too_long(TESTS, 600)


def test_a_function_has_at_most_60_lines() -> None:
    functions = (
        (path, node)
        for path in [*CODE, *TESTS]
        for node in ast.walk(tree_of(path))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    )
    assert not [f"{where(path)}:{node.lineno}" for path, node in functions if (node.end_lineno or 0) - node.lineno >= 60]


def test_every_module_says_what_it_is_for() -> None:
    assert not [where(path) for path in CODE if not ast.get_docstring(tree_of(path))]


def test_no_command_goes_through_a_shell_of_the_controller() -> None:
    found = [
        f"{where(path)}:{call.lineno}"
        for path in CODE
        for name, call in calls(path)
        for module, _, function in [name.rpartition(".")]
        if module in {"os", "subprocess", "asyncio"}
        if function in STARTS_A_SHELL or "shell" in {keyword.arg for keyword in call.keywords}
    ]
    assert not found


def test_shell_text_is_made_from_a_literal_and_named_values() -> None:
    found = [
        f"{where(path)}:{call.lineno}"
        for path in CODE
        for name, call in calls(path)
        if name == "sh" or (name == "Sh" and where(path) not in MAKES_SHELL_TEXT)
        if not isinstance(call.args[0], ast.Constant)
    ]
    assert not found


def test_only_the_command_line_prints() -> None:
    quiet = [path for path in CODE if not where(path).startswith(PRINTS)]
    assert not [f"{where(path)}:{call.lineno}" for path in quiet for name, call in calls(path) if name == "print"]


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["validate"], ["plan"]], ids=" ".join)
def test_nothing_in_the_current_folder_is_ever_imported(fleet: Fleet, arguments: list[str]) -> None:
    """A fleet repository is other people's data, and our package names (`state`, `desired`) are likely folder names in it."""
    marker = fleet.home / "was-imported"
    trap = f"open({str(marker)!r}, 'a').write(__name__)\n"
    files = {f"{name}.py": trap for name in TRAPS} | {f"{name}/__init__.py": trap for name in TRAPS}
    fleet.commit({"fleet.yaml": "", "hosts/here.yaml": LOCAL_HOST, **files})

    done = subprocess.run(
        [reconcile_command(), *arguments], cwd=fleet.root, env=fleet.environment, capture_output=True, text=True, check=False
    )

    assert not marker.exists(), marker.read_text()
    assert done.returncode == 0, done.stderr
    assert done.stdout
    if arguments == ["--version"]:
        assert __version__ in done.stdout
