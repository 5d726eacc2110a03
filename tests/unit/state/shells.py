"""The POSIX shells of this machine, each as a command that reads a script on stdin."""

from __future__ import annotations

import shutil
import subprocess

COMMANDS = (["dash"], ["bash"], ["bash", "--posix"], ["busybox", "sh"], ["mksh"], ["yash"])
SHELLS = [[*command, "-s"] for command in COMMANDS if shutil.which(command[0])] or [["/bin/sh", "-s"]]


def name_of(shell: list[str]) -> str:
    return "-".join(shell[:-1])


def run_script(shell: list[str], script: bytes, *, seconds: float = 60) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(shell, input=script, capture_output=True, timeout=seconds, check=False)
