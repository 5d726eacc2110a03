"""The program starts fast: what a command does not need is not imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.fleet import Fleet, reconcile_command
from tests.unit.cli.console import host_file
from tests.unit.cli.terminal import ROOT

LOADED = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from reconciler.cli.entry import run
from reconciler.cli.screen import Screen
code = run(sys.argv[1:], Screen.standard())
print(code, *sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


def loaded(*arguments: str) -> set[str]:
    """The top-level packages that a command imports."""
    done = subprocess.run([sys.executable, "-c", LOADED, str(ROOT), *arguments], capture_output=True, text=True, check=True)
    code, *names = done.stderr.splitlines()[-1].split()
    assert code == "0", done.stderr
    return set(names)


def test_help_and_version_load_nothing_but_click() -> None:
    for arguments in (["--help"], ["--version"], ["apply", "--help"], ["plan", "--help"]):
        assert not loaded(*arguments) & {"pydantic", "pygit2", "asyncssh", "rich", "deepdiff", "asyncio"}, arguments


def test_a_plan_of_this_machine_loads_neither_ssh_nor_rich_nor_deepdiff(fleet: Fleet, sandbox: Path) -> None:
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, 'files:\n  @/motd: {content: "welcome\\n"}\n')})
    assert not loaded("-C", str(fleet.root), "plan") & {"asyncssh", "rich", "deepdiff", "jinja2", "apscheduler", "loguru"}


def test_a_validation_loads_nothing_that_talks_to_hosts(fleet: Fleet, sandbox: Path) -> None:
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, "")})
    assert not loaded("-C", str(fleet.root), "validate") & {"asyncssh", "rich", "deepdiff"}


def test_a_closed_standard_stream_is_no_fault_and_its_number_goes_to_nobody_else(fleet: Fleet, sandbox: Path) -> None:
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, 'files:\n  @/motd: {content: "welcome\\n"}\n')})
    command = [reconcile_command(), "-C", str(fleet.root), "apply", "--yes"]
    for closed in (">&-", "2>&-", "<&-", ">&- 2>&- <&-"):
        (sandbox / "motd").unlink(missing_ok=True)
        done = subprocess.run(["sh", "-c", f'"$@" {closed}', "sh", *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done
        assert "fault" not in done.stderr
        assert (sandbox / "motd").read_text() == "welcome\n"


def test_a_full_disk_behind_the_output_is_named(fleet: Fleet) -> None:
    fleet.commit({"hosts/nas.yaml": "address: local\n"})
    command = [reconcile_command(), "-C", str(fleet.root), "validate"]
    done = subprocess.run(["sh", "-c", '"$@" >/dev/full', "sh", *command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "error: standard output: No space left on device\n")
