"""The secret scan as a whole: what is read, remembered, allowed and told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desired.git import commit_source, open_repository, worktree_source
from desired.scan import memory as scan_memory
from desired.scan.scanner import ALLOW, Allow, Finding, Scanner, Setting, read_allow, scan_fleet
from tests.fleet import Fleet

VALUE = "s3cr3t-Enough"
TEXT = f"name: x\npassword: {VALUE}\n".encode()
BLOB, OTHER = "a" * 40, "b" * 40


class Reader:
    """Hands out blobs, and knows which were asked for."""

    def __init__(self, blobs: dict[str, bytes]) -> None:
        self.blobs = blobs
        self.asked: list[str] = []

    def __call__(self, blob: str) -> bytes:
        self.asked.append(blob)
        return self.blobs[blob]


def only(found: tuple[Finding, ...]) -> Finding:
    assert len(found) == 1
    return found[0]


def test_a_finding_names_file_line_and_rule_and_never_the_value() -> None:
    found = only(Scanner(None).scan({"app/db.yaml": BLOB}, Reader({BLOB: TEXT}), Allow()))
    assert (found.path, found.line, found.rule) == ("app/db.yaml", 2, "password")
    told = found.diagnostic("site")
    assert str(told.place) == "site:app/db.yaml:2:1"
    assert told.message == "this looks like a password in site (rule password)"
    assert "reconcile secret encrypt" in told.hint
    assert f"secrets/allow: {found.fingerprint}  # why" in told.hint
    assert VALUE not in repr(found) + str(told)


def test_a_fingerprint_follows_the_content_the_line_and_the_rule_and_not_the_value_or_the_path() -> None:
    twice = TEXT + TEXT
    reader = Reader({BLOB: TEXT, OTHER: twice})
    found = Scanner(None).scan({"a.yaml": BLOB, "b.yaml": BLOB, "c.yaml": OTHER}, reader, Allow())
    assert [(one.path, one.line) for one in found] == [("a.yaml", 2), ("b.yaml", 2), ("c.yaml", 2), ("c.yaml", 4)]
    assert found[0].fingerprint == found[1].fingerprint
    assert len({one.fingerprint for one in found}) == 3
    again = only(Scanner(None).scan({"a.yaml": BLOB}, Reader({BLOB: TEXT.replace(b"Enough", b"Others")}), Allow()))
    assert again.fingerprint == found[0].fingerprint


def test_what_is_allowed_is_no_finding_and_what_was_not_met_is_told() -> None:
    fingerprint = only(Scanner(None).scan({"a.yaml": BLOB}, Reader({BLOB: TEXT}), Allow())).fingerprint
    allowed, wrong = read_allow(f"# the list\n\n{fingerprint}  # a test account\n{'0' * 16} # gone".encode())
    assert wrong == ()
    scanner = Scanner(None)
    assert scanner.scan({"a.yaml": BLOB}, Reader({BLOB: TEXT}), allowed) == ()
    [unused] = allowed.unused(scanner.used)
    assert str(unused).startswith(
        f"secrets/allow:4:1: warning: {'0' * 16} is not found any more\n    the file has changed since"
    )


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (f"{'a' * 16}", "it is not said why this is allowed"),
        (f"{'a' * 16} #  ", "it is not said why this is allowed"),
        (f"{'a' * 15} # why", f'"{"a" * 15}" is no fingerprint'),
        (f"{'A' * 16} # why", f'"{"A" * 16}" is no fingerprint'),
        (f"{'a' * 16} b # why", "is no fingerprint"),
        ("\x1b[31m # why", '"\\x1b[31m" is no fingerprint'),
        (f"{'1' * 16} # again", f"{'1' * 16} is allowed in line 1 already"),
    ],
)
def test_a_line_that_allows_nothing_is_told_with_its_number(line: str, problem: str) -> None:
    allowed, wrong = read_allow(f"{'1' * 16}  # why\n{line}\n".encode())
    assert set(allowed.lines) == {"1" * 16}
    assert [one.place.line for one in wrong] == [2]
    assert problem in wrong[0].message
    assert wrong[0].hint == "each line reads: FINGERPRINT  # why"


@given(st.binary(max_size=300))
def test_any_bytes_are_an_allow_list_or_told_to_be_none(data: bytes) -> None:
    allowed, wrong = read_allow(data)
    assert all(len(fingerprint) == 16 for fingerprint in allowed.lines)
    assert all(1 <= one.place.line <= data.count(b"\n") + 1 for one in wrong)


def test_only_new_content_is_read_and_a_finding_stays_one(tmp_path: Path) -> None:
    reader = Reader({BLOB: TEXT, OTHER: b"clean\n"})
    files = {"a.yaml": BLOB, "b.yaml": OTHER, "c.yaml": OTHER}
    first = Scanner(tmp_path / "cache").scan(files, reader, Allow())
    assert sorted(reader.asked) == [BLOB, OTHER]
    reader.asked.clear()
    assert Scanner(tmp_path / "cache").scan(files, reader, Allow()) == first
    assert reader.asked == [BLOB]


def test_the_same_content_under_another_sort_of_name_is_read_again(tmp_path: Path) -> None:
    reader = Reader({BLOB: TEXT})
    scanner = Scanner(tmp_path)
    assert scanner.scan({"a.lock": BLOB}, reader, Allow()) == ()
    assert len(scanner.scan({"a.yaml": BLOB}, reader, Allow())) == 1
    assert len(scanner.scan({"a.age": BLOB}, reader, Allow())) == 1


def test_content_without_a_blob_id_is_never_remembered(tmp_path: Path) -> None:
    reader = Reader({"new": b"clean\n"})
    for _ in range(2):
        Scanner(tmp_path).scan({"a": "new"}, reader, Allow())
    assert reader.asked == ["new", "new"]


def test_the_memory_is_private_and_may_be_broken_or_missing(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    Scanner(folder).scan({"a": OTHER}, Reader({OTHER: b"clean\n"}), Allow())
    [file] = folder.iterdir()
    assert (file.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)
    for broken in (b"\xff\0" * 50, f"{OTHER} sett".encode(), f"{OTHER} settings{OTHER} settings".encode(), b""):
        file.write_bytes(broken)
        reader = Reader({OTHER: b"clean\n"})
        Scanner(folder).scan({"a": OTHER}, reader, Allow())
        assert reader.asked == [OTHER]
    file.unlink()
    file.mkdir()
    assert Scanner(folder).scan({"a": OTHER}, Reader({OTHER: TEXT}), Allow()) != ()


def test_the_memory_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_memory, "MOST", 100)
    for number in range(0, 300, 50):
        ids = {f"{one}": f"{one:040x}" for one in range(number, number + 50)}
        Scanner(tmp_path).scan(ids, lambda _: b"clean\n", Allow())
    [file] = tmp_path.iterdir()
    assert len(file.read_text().splitlines()) < 200
    reader = Reader({f"{299:040x}": b"clean\n"})
    Scanner(tmp_path).scan({"x": f"{299:040x}"}, reader, Allow())
    assert reader.asked == []


def test_several_processes_remember_together(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from desired.scan.scanner import Allow, Scanner\n"
        "for n in range(40):\n"
        "    Scanner(Path(sys.argv[1])).scan({'a': f'{int(sys.argv[2]) * 1000 + n:040x}'}, lambda _: b'', Allow())"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    workers = [subprocess.Popen([*command, str(number)], cwd=Path(__file__).parents[3]) for number in range(4)]
    assert [worker.wait() for worker in workers] == [0] * 4
    reader = Reader({})
    ids = {f"{number}-{one}": f"{number * 1000 + one:040x}" for number in range(4) for one in range(40)}
    assert Scanner(tmp_path).scan(ids, reader, Allow()) == ()
    assert reader.asked == []


def fleet_findings(fleet: Fleet, setting: Setting = "block", *, worktree: bool = False) -> list[str]:
    repository = open_repository(fleet.root)
    source = worktree_source(repository) if worktree else commit_source(repository)
    return [str(one).partition("\n")[0] for one in scan_fleet(source, Scanner(None), setting, everything=True)]


def test_the_fleet_itself_is_scanned_in_a_commit_and_in_the_working_tree(fleet: Fleet) -> None:
    fleet.commit({"fleet.yaml": "", "files/app.env": TEXT, "files/motd": "hello\n"})
    fleet.write({"files/new.env": b"\n\nAPI_PASSWORD=s3cr3t-Enough\n"})
    told = "files/app.env:2:1: error: this looks like a password (rule password)"
    assert fleet_findings(fleet) == [told]
    assert fleet_findings(fleet, worktree=True) == [
        told,
        "files/new.env:3:1: error: this looks like a password (rule password)",
    ]
    assert fleet_findings(fleet, "warn") == [told.replace("error", "warning")]
    assert fleet_findings(fleet, "off") == []


def test_the_fleets_own_list_allows_and_is_checked(fleet: Fleet) -> None:
    fleet.commit({"fleet.yaml": "", "files/app.env": TEXT})
    source = commit_source(open_repository(fleet.root))
    fingerprint = scan_fleet(source, Scanner(None), "block", everything=True)[0].hint.split(": ")[-1].split()[0]
    fleet.commit({ALLOW: f"{fingerprint}  # nobody's\nwrong\n{'0' * 16}  # gone\n"})
    assert fleet_findings(fleet) == [
        'secrets/allow:2:1: error: "wrong" is no fingerprint',
        f"secrets/allow:3:1: warning: {'0' * 16} is not found any more",
    ]


def test_encrypted_files_links_and_pointers_of_lfs_are_no_findings(fleet: Fleet) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a1" * 32 + b"\nsize 1\n"
    (fleet.root / "link").symlink_to("password=s3cr3t-Enough")
    fleet.commit({"fleet.yaml": "", "secrets/a.age": b"age-encryption.org/v1\n-> X25519 x\n", "files/big": pointer})
    assert fleet_findings(fleet) == []
    fleet.commit({"secrets/a.age": b"PLAIN=1\n"})
    assert fleet_findings(fleet) == [
        "secrets/a.age:1:1: error: this looks like a file that should be encrypted and is not (rule not-encrypted)"
    ]
