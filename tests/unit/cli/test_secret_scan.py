"""The secret scan on the command line: `validate` tells what it finds, and the guard refuses."""

from __future__ import annotations

import io

import pytest

from reconciler.cli.loading import load_fleet
from reconciler.cli.scanning import refuse_secrets
from reconciler.cli.screen import Screen
from reconciler.errors import Exit, Refused
from tests.fleet import Fleet

HOST = "address: local\n"
LEAK = "user: app\npassword: s3cr3t-Enough\n"


def test_validate_names_the_line_and_not_the_value_until_it_is_allowed(fleet: Fleet) -> None:
    fleet.commit({"fleet.yaml": "", "hosts/a.yaml": HOST, "files/app.yaml": LEAK})
    found = fleet.run("validate")
    assert found.code == 1, found
    assert "files/app.yaml:2:1" in found.out
    assert "this looks like a password (rule password)" in found.out
    assert "s3cr3t-Enough" not in found.out + found.err
    fingerprint = found.out.partition("secrets/allow: ")[2].split()[0]
    fleet.commit({"secrets/allow": f"{fingerprint}  # of a test account\n"})
    allowed = fleet.run("validate")
    assert allowed.code == 0, allowed
    assert "valid: 1 host" in allowed.out


@pytest.mark.parametrize(("setting", "code", "told"), [("block", 1, True), ("warn", 0, True), ("off", 0, False)])
def test_the_fleet_says_what_a_finding_leads_to(fleet: Fleet, setting: str, code: int, told: bool) -> None:
    fleet.commit({"fleet.yaml": f'secret_scan: "{setting}"\n', "hosts/a.yaml": HOST, "files/app.yaml": LEAK})
    found = fleet.run("validate", "--json")
    assert found.code == code, found
    assert ("this looks like a password" in found.out) is told


def test_the_working_tree_is_searched_where_it_is_validated(fleet: Fleet) -> None:
    fleet.commit({"fleet.yaml": "", "hosts/a.yaml": HOST})
    fleet.write({"files/app.yaml": LEAK})
    assert fleet.run("validate").code == 0
    assert fleet.run("validate", "--worktree").code == 1


def test_what_was_clean_is_remembered_in_a_private_folder(fleet: Fleet) -> None:
    fleet.commit({"fleet.yaml": "", "hosts/a.yaml": HOST})
    assert fleet.run("validate").code == 0
    [memory] = (fleet.home / ".cache" / "reconciler" / "scan").iterdir()
    assert memory.stat().st_mode & 0o777 == 0o600


def test_the_guard_refuses_and_says_which_line(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(fleet.home / "cache"))
    fleet.commit({"fleet.yaml": "", "hosts/a.yaml": HOST, "files/app.yaml": LEAK})
    told = io.StringIO()
    screen = Screen(io.StringIO(), told, io.StringIO())
    with pytest.raises(
        Refused, match="the secret scan stands against 1 line of the fleet repository; nothing was changed"
    ) as no:
        refuse_secrets(fleet.root, load_fleet(fleet.root), screen)
    assert no.value.code == Exit.REFUSED
    assert "files/app.yaml:2:1" in told.getvalue()
    fleet.commit({"fleet.yaml": "secret_scan: warn\n"})
    refuse_secrets(fleet.root, load_fleet(fleet.root), screen)
