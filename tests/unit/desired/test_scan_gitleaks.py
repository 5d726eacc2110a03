"""The second opinion: what gitleaks is shown, what is read of its report, and what happens when it fails.

A stand-in speaks as gitleaks does, since few machines that run these tests have it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from desired.scan.gitleaks import Gitleaks
from desired.scan.scanner import Allow, Finding, Scanner

CLEAN, SECRET = "a" * 40, "b" * 40
BLOBS = {CLEAN: b"one\ntwo\nthree\n", SECRET: b"password: s3cr3t-Enough\n", "d" * 40: b"four\nfive\n"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("GITLEAKS_CONFIG", "/etc/passwd")
    return tmp_path


def stand_in(folder: Path, report: Any, status: int = 0) -> None:
    """Writes the report, and down what it was asked and shown."""
    (folder / "report").write_text(report if isinstance(report, str) else json.dumps(report))
    program = folder / "bin" / "gitleaks"
    program.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" >{folder}/asked\nenv >{folder}/environment\n'
        "for one; do case $last in --source) source=$one ;; --report-path) report=$one ;; esac; last=$one; done\n"
        f'ls -A "$source" >{folder}/shown\ncp {folder}/report "$report"\nexit {status}\n'
    )
    program.chmod(0o755)


def finding(name: str, line: Any = 2, rule: Any = "sidekiq-secret", **more: Any) -> dict[str, Any]:
    return {"File": f"/somewhere/{name}", "StartLine": line, "EndLine": line, "RuleID": rule, "Secret": "REDACTED", **more}


def scan(folder: Path, files: dict[str, str]) -> tuple[tuple[Finding, ...], set[str]]:
    scanner = Scanner(folder / "cache", gitleaks=Gitleaks.installed())
    return scanner.scan(files, BLOBS.__getitem__, Allow()), scanner.notes


def test_what_gitleaks_finds_beyond_our_rules_is_a_finding(folder: Path) -> None:
    stand_in(folder, [finding("0.txt", 3), finding("0.txt", 7), finding("0.txt", 8, "other"), finding("0.txt", 1)])
    found, notes = scan(folder, {"a.yaml": CLEAN, ".gitleaks.toml": SECRET, "go.sum": SECRET})
    assert [(one.path, one.line, one.rule) for one in found] == [
        (".gitleaks.toml", 1, "password"),
        (".gitleaks.toml", 2, "gitleaks:other"),
        ("a.yaml", 2, "gitleaks:sidekiq-secret"),
    ]
    assert not notes
    assert (folder / "shown").read_text().split() == ["0.txt"]
    asked = (folder / "asked").read_text().splitlines()
    assert "--redact" in asked
    assert "--no-git" in asked
    assert "GITLEAKS_CONFIG" not in (folder / "environment").read_text()


def test_many_contents_travel_in_few_files_and_each_finding_comes_back_to_its_own(folder: Path) -> None:
    big = {f"{number:040x}": b"x\n" * (200_000 + number) for number in range(6)}
    stand_in(folder, [finding("0.txt", 2), finding("1.txt", 2), finding("2.txt", 2 + 200_004 + 2 + 7)])
    scanner = Scanner(None, gitleaks=Gitleaks.installed())
    found = scanner.scan({f"{blob[-1]}.yaml": blob for blob in big}, big.__getitem__, Allow())
    assert (folder / "shown").read_text().split() == ["0.txt", "1.txt", "2.txt"]
    assert [(one.path, one.line) for one in found] == [("0.yaml", 1), ("2.yaml", 1), ("5.yaml", 8)]


def test_placeholders_and_its_careless_rule_are_dropped(folder: Path) -> None:
    BLOBS["c" * 40] = b"key = YOUR-KEY-HERE\n"
    report = [finding("0.txt", 2, StartColumn=7, EndColumn=19), finding("0.txt", 2, "generic-api-key")]
    stand_in(folder, report)
    assert scan(folder, {"a.ini": "c" * 40}) == ((), set())


def test_what_begins_in_one_content_and_ends_in_another_is_dropped(folder: Path) -> None:
    stand_in(folder, [finding("0.txt", 3) | {"EndLine": 8}])
    assert scan(folder, {"a.yaml": CLEAN, "b.yaml": "d" * 40}) == ((), set())


def test_only_new_content_is_shown_and_another_version_sees_it_again(folder: Path) -> None:
    stand_in(folder, [])
    scan(folder, {"a.yaml": CLEAN})
    (folder / "shown").unlink()
    scan(folder, {"a.yaml": CLEAN})
    assert not (folder / "shown").exists()
    (folder / "bin" / "gitleaks").write_text((folder / "bin" / "gitleaks").read_text() + "# newer\n")
    scan(folder, {"a.yaml": CLEAN, "secrets/x.age": CLEAN})
    assert (folder / "shown").read_text() == "0.txt\n"


@pytest.mark.parametrize(
    "report",
    [
        "",
        "null",
        "{",
        "[" * 100_000,
        "7",
        '["x", 7, null, {}]',
        json.dumps([finding("9.txt"), finding("x"), finding("0.txt", "2"), finding("0.txt", 2, 7), finding("0.txt", -5)]),
    ],
)
def test_a_report_that_makes_no_sense_finds_nothing_and_ours_counts_all_the_same(folder: Path, report: str) -> None:
    stand_in(folder, report)
    found, notes = scan(folder, {"a.yaml": CLEAN, "b.yaml": SECRET})
    assert [(one.path, one.rule) for one in found] == [("b.yaml", "password")]
    assert all(note.startswith("gitleaks could not be asked") for note in notes)


def test_a_failing_gitleaks_is_told_and_nothing_is_remembered_as_seen_by_it(folder: Path) -> None:
    stand_in(folder, [], status=2)
    found, notes = scan(folder, {"a.yaml": CLEAN})
    assert found == ()
    assert notes == {"gitleaks could not be asked (exit status 2); the built-in rules were"}
    assert not (folder / "cache").exists()


def test_nothing_of_what_was_looked_at_is_left_behind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder / "tmp"))
    stand_in(folder, [])
    scan(folder, {"b.yaml": SECRET})
    assert list((folder / "tmp").iterdir()) == []


def test_where_it_is_not_installed_it_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert Gitleaks.installed() is None
