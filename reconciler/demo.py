"""The whole story on this machine: a fleet of one host, which is a folder here. Needs no root, network or Docker.

`reconcile demo` (reconciler/cli/demo.py) tells it. What is printed are the real commands, run in this process on a
repository made on the spot, and their real output; a command that does not end as the story needs it ends the story. With
`--svg` the same becomes the README's picture; folder names, times and so commit ids are fixed, so that the picture changes
only when the output does.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from desired.git import Repository, commit_all, create_repository
from reconciler.cli.screen import Screen
from reconciler.errors import CommandError
from reconciler.render.lines import BLANK, line

FOLDER = Path("/tmp/reconciler-demo")  # noqa: S108  made with mkdir, which refuses what is there already
WIDTH = 90
"""Columns of the picture."""
_FIRST_COMMIT = 1767258000
_COLOR = re.compile(r"\x1b\[[0-9;]*m")

Run = Callable[[list[str], Screen], int]
"""`reconciler.cli.entry.run`: handed in, because the command line calls this module and not the other way round."""

_HOST = """\
address: local                 # for a real machine: root@nas.lan
inventory: {root}/inventory
vars: {{port: 8080}}
directories:
  {root}/host/etc: {{mode: "0755"}}
files:
  {root}/host/etc/app.conf: {{source: files/app.conf.j2, mode: "0644"}}
symlinks:
  {root}/host/app.conf: {{target: etc/app.conf}}
commands:
  start the app:
    run: date >> {root}/host/starts
    creates: {root}/host/starts
    follows: [file:{root}/host/etc/app.conf]
"""
_SETTINGS = "listen = {{ vars.port }}\nlog = info\n"
_MORE_SETTINGS = "listen = {{ vars.port }}\nlog = info\nworkers = 4\n"


@dataclass(slots=True)
class Story:
    """One telling."""

    root: Path
    screen: Screen
    run: Run
    repository: Repository
    commits: int = 0

    @property
    def fleet(self) -> Path:
        return self.root / "fleet"

    def tell(self) -> None:
        self._first_apply()
        self._drift()
        self._new_commit()
        self._deletion()
        self.say("That is all there is to it: commit, plan, apply. What to do next:")
        self.screen.show(
            line("reconcile demo --keep       the same, and the folder stays: go on by hand", indent=2, hang=28),
            line(
                "hosts/NAME.yaml             in any git repository, with address: user@machine, begins a fleet",
                indent=2,
                hang=28,
            ),
            line("reconcile validate, plan    check it, and show what would change before anything does", indent=2, hang=28),
        )

    def _first_apply(self) -> None:
        self.say("A fleet is a git repository with a file for each host. This host is a folder on this machine:")
        self.write("hosts/demo.yaml", _HOST.format(root=self.root))
        self.write("files/app.conf.j2", _SETTINGS)
        self.commit("the first host")
        self.screen.show(line(("$ ", "green"), (f"cd {self.fleet}", "bold")))
        self.shell("cat", "hosts/demo.yaml")
        self.say("What would change, and why?")
        self.reconcile("plan", "--out", "../plan.json")
        self.say("Apply exactly that. Then look again: a second plan is empty.")
        self.reconcile("apply", "--plan", "../plan.json", "--yes")
        self.reconcile("plan")

    def _drift(self) -> None:
        self.say("Somebody edits a file on the host by hand. The next plan calls it drift, and the next apply heals it:")
        self.shell("sed", "-i", "s/info/debug/", f"{self.root}/host/etc/app.conf")
        self.reconcile("plan", "--out", "../plan.json")
        self.reconcile("apply", "--plan", "../plan.json", "--yes")

    def _new_commit(self) -> None:
        self.say("A new commit changes the template, and adds a file. One apply shows it and does it:")
        self.write("files/app.conf.j2", _MORE_SETTINGS)
        extra = f'  {self.root}/host/etc/issue: {{content: "Managed from git.\\n"}}\n'
        manifest = (self.fleet / "hosts/demo.yaml").read_text()
        self.write("hosts/demo.yaml", manifest.replace("symlinks:", extra + "symlinks:"))
        self.commit("more workers, and an issue")
        self.reconcile("apply", "--yes")

    def _deletion(self) -> None:
        self.say("The next commit takes that file out again. It leaves the host too, because we made it:")
        manifest = (self.fleet / "hosts/demo.yaml").read_text()
        self.write("hosts/demo.yaml", "".join(text for text in manifest.splitlines(keepends=True) if "etc/issue" not in text))
        self.commit("no issue any more")
        self.reconcile("apply", "--yes")

    def say(self, text: str) -> None:
        self.screen.show(line(("# " + text, "cyan"), hang=2), BLANK)

    def prompt(self, *command: str) -> None:
        self.screen.show(line(("$ ", "green"), (" ".join(command), "bold"), wrap=False))

    def shell(self, *command: str) -> None:
        self.prompt(*command)
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        self.screen.show(*(line(text, wrap=False) for text in done.stdout.splitlines()), BLANK)

    def reconcile(self, *arguments: str) -> None:
        self.prompt("reconcile", *arguments)
        code = self.run(list(arguments), self.screen)
        if code != 0:
            raise CommandError(f"the story broke off: reconcile {arguments[0]} ended with {code}", "please report it")
        self.screen.show(BLANK)

    def write(self, name: str, content: str) -> None:
        file = self.fleet / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)

    def commit(self, message: str) -> None:
        commit_all(self.repository, message, name="Demo", email="demo@example.org", time=_FIRST_COMMIT + 60 * self.commits)
        self.commits += 1


class Recorder(io.StringIO):
    """Keeps what is printed with its colours, and passes it on to a stream that may not want them."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(text if self._stream.isatty() else _COLOR.sub("", text))
        return super().write(text)

    def flush(self) -> None:
        self._stream.flush()


@contextmanager
def sandbox(*, keep: bool) -> Iterator[Path]:
    """A folder of our own, removed at the end."""
    try:
        FOLDER.mkdir(mode=0o700)
        root = FOLDER
    except FileExistsError:
        root = Path(tempfile.mkdtemp(prefix="reconciler-demo-"))
    try:
        yield root
    finally:
        if not keep:
            shutil.rmtree(root)


@contextmanager
def caching_in(folder: Path) -> Iterator[None]:
    """What the commands would keep for later, below the home, is kept with the story."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["XDG_CACHE_HOME"]
        else:
            os.environ["XDG_CACHE_HOME"] = before


def tell(screen: Screen, run: Run, *, keep: bool = False, picture: Path | None = None) -> None:
    """Tells the story; with `picture`, also draws it as SVG."""
    recorder = Recorder(screen.out)
    if picture is not None:
        screen = Screen(recorder, screen.err, screen.input, color=True, width=WIDTH)
    with sandbox(keep=keep) as root:
        (root / "fleet").mkdir()
        with contextlib.chdir(root / "fleet"), caching_in(root / "cache"):
            Story(root, screen, run, create_repository(root / "fleet")).tell()
    if picture is not None:
        draw(recorder.getvalue(), picture)


def draw(text: str, file: Path) -> None:
    """Text with colours as an SVG of a terminal."""
    from rich.console import Console
    from rich.text import Text

    console = Console(
        record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="standard", highlight=False
    )
    console.print(Text.from_ansi(text.strip("\n")))
    picture = console.export_svg(title="reconcile demo", unique_id="demo")
    # Without the addresses of fonts: a picture that fetches nothing.
    file.write_text(re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL), encoding="utf-8")
