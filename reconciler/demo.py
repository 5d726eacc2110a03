"""The whole story on this machine: a fleet of one host, which is a folder here. Needs no root, network or Docker.

`reconcile demo` (reconciler/cli/demo.py) tells it. What is printed are the real commands, run in this process on a repository made on the
spot, and their real output; a command that does not end as the story needs it ends the story. With `--svg` the same becomes the README's
picture; folder names, times and so commit ids are fixed, so that the picture changes only when the output does.
"""

from __future__ import annotations

import io
import re
import shutil
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

Run = Callable[[list[str], Screen, Path], int]
"""`reconciler.cli.entry.run`: handed in, because the command line calls this module and not the other way round."""

_HOST = """\
address: local                 # for a real machine: root@nas.lan
inventory: {root}/inventory
vars: {{port: 8080}}
directories:
  {root}/host/etc: {{mode: "0755"}}
files:
  {root}/host/etc/motd: {{content: "Welcome to {{{{ host.name }}}}.\\n", template: true}}
  {root}/host/etc/app.conf: {{source: files/app.conf.j2, mode: "0640"}}
symlinks:
  {root}/host/app.conf: {{target: etc/app.conf}}
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
        self.say("A commit, a plan, an apply; and nothing that the host does in between stays unseen. What to do next:")
        self.screen.show(
            line("reconcile demo --keep      leaves the folder, to go on by hand", indent=2),
            line("hosts/NAME.yaml            with address: user@machine begins a fleet of your own, in any git repository", indent=2, hang=27),
            line("reconcile validate, plan   check it and show what would change, before anything does", indent=2, hang=27),
        )

    def _first_apply(self) -> None:
        self.say("A fleet is a git repository with a file for each host. This host is a folder on this machine:")
        self.write("hosts/demo.yaml", _HOST.format(root=self.root))
        self.write("files/app.conf.j2", _SETTINGS)
        self.commit("the first host")
        self.shell(f"cd {self.fleet}")
        self.shell("cat hosts/demo.yaml")
        self.screen.show(*(line(text, wrap=False) for text in (self.fleet / "hosts/demo.yaml").read_text().splitlines()))
        self.say("What would have to change, and why?")
        self.reconcile("plan")
        self.say("Make it so. Then look again: a second plan is empty.")
        self.reconcile("apply", "--yes")
        self.reconcile("plan")

    def _drift(self) -> None:
        self.say("Somebody edits a file on the host by hand. That is drift, and it shows who is right:")
        self.shell(f"sed -i s/info/debug/ {self.root}/host/etc/app.conf")
        settings = self.root / "host/etc/app.conf"
        settings.write_text(settings.read_text().replace("info", "debug"))
        self.reconcile("plan")
        self.reconcile("apply", "--yes")

    def _new_commit(self) -> None:
        self.say("A commit changes the template and adds a file.")
        self.write("files/app.conf.j2", _MORE_SETTINGS)
        extra = f'  {self.root}/host/etc/issue: {{content: "Managed from git.\\n"}}\n'
        manifest = (self.fleet / "hosts/demo.yaml").read_text()
        self.write("hosts/demo.yaml", manifest.replace("symlinks:", extra + "symlinks:"))
        self.commit("more workers, and an issue")
        self.reconcile("apply", "--yes")

    def _deletion(self) -> None:
        self.say("The next commit takes the file out again. It is removed from the host, because we made it:")
        manifest = (self.fleet / "hosts/demo.yaml").read_text()
        self.write("hosts/demo.yaml", "".join(text for text in manifest.splitlines(keepends=True) if "etc/issue" not in text))
        self.commit("no issue any more")
        self.reconcile("plan")
        self.reconcile("apply", "--yes")

    def say(self, text: str) -> None:
        self.screen.show(BLANK, line(("# " + text, "cyan"), hang=2), BLANK)

    def shell(self, command: str) -> None:
        self.screen.show(line(("$ ", "green"), (command, "bold"), wrap=False))

    def reconcile(self, *arguments: str) -> None:
        self.shell("reconcile " + " ".join(arguments))
        code = self.run(list(arguments), self.screen, self.fleet)
        if code != 0:
            raise CommandError(f"the story broke off: reconcile {arguments[0]} ended with {code}", "please report it")

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


def tell(screen: Screen, run: Run, *, keep: bool = False, picture: Path | None = None) -> None:
    """Tells the story; with `picture`, also draws it as SVG."""
    recorder = Recorder(screen.out)
    if picture is not None:
        screen = Screen(recorder, screen.err, screen.input, color=True, width=WIDTH)
    with sandbox(keep=keep) as root:
        (root / "fleet").mkdir()
        Story(root, screen, run, create_repository(root / "fleet")).tell()
    if picture is not None:
        draw(recorder.getvalue(), picture)


def draw(text: str, file: Path) -> None:
    """Text with colours as an SVG of a terminal."""
    from rich.console import Console
    from rich.text import Text

    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="standard", highlight=False)
    console.print(Text.from_ansi(text.strip("\n")))
    console.save_svg(str(file), title="reconcile demo", unique_id="demo")
