"""The four rooms stay apart. The contracts stand in pyproject.toml (`tool.importlinter`) and also run in `make check`."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).parents[2]
PROVIDERS = sorted((ROOT / "providers").rglob("*.py"))
NOT_PURE = {"open", "input", "print", "exec", "eval", "compile", "__import__", "breakpoint", "globals", "setattr"}


def test_every_import_contract_is_kept(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    status = lint_imports(config_filename="pyproject.toml", no_cache=True)
    assert status == 0, capsys.readouterr().out


@pytest.mark.parametrize("path", PROVIDERS, ids=lambda path: path.stem)
def test_providers_call_nothing_that_reads_or_writes(path: Path) -> None:
    tree = ast.parse(path.read_text())
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not called & NOT_PURE


@pytest.mark.parametrize("path", PROVIDERS, ids=lambda path: path.stem)
def test_providers_take_only_the_pure_part_of_pathlib(path: Path) -> None:
    tree = ast.parse(path.read_text())
    whole = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    parts = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "pathlib"
        for alias in node.names
    }
    assert "pathlib" not in whole
    assert parts <= {"PurePath", "PurePosixPath"}
