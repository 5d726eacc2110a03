"""Progress of an apply, per host and step: redrawn lines on a terminal, one line per finished step elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from providers.secret import redact
from reconciler.cli.screen import Screen
from reconciler.fleet_run import HostRun
from reconciler.plan import Plan
from reconciler.render.lines import Line, Style, line
from reconciler.stages import StepEvent
from reconciler.text import plural, shorten, visible
from reconciler.work import Fate

if TYPE_CHECKING:
    from rich.table import Table

SHOWN_HOSTS = 20
"""Hosts at work that are drawn at the same time; the rest is counted."""
_MARKS: dict[Fate, tuple[str, Style]] = {"done": ("✓ ", "green"), "skipped": ("· ", "yellow")}


class Progress:
    """What is known so far; this one prints a line per finished step."""

    def __init__(self, screen: Screen, plan: Plan) -> None:
        self._screen = screen
        self.steps: dict[str, tuple[int, int]] = {}
        """Host → (steps that ended, all steps)."""
        self._waiting = {host.host for host in plan.hosts if any(action.held is None for action in host.actions)}

    def step(self, event: StepEvent) -> None:
        """A step began or ended."""
        self._waiting.discard(event.host)
        done, _ = self.steps.get(event.host, (0, 0))
        self.steps[event.host] = (done + (event.fate is not None), event.count)
        if event.fate is not None:
            self._ended(event, event.fate)

    def host(self, run: HostRun) -> None:
        """A host is finished."""

    def say(self, message: Line) -> None:
        self._screen.tell(message)

    def _ended(self, event: StepEvent, fate: Fate) -> None:
        mark, style = _MARKS.get(fate, ("✗ ", "red"))
        number = f"{event.number + 1}/{event.count} "
        suffix = "" if fate == "done" else f" ({fate})"
        self.say(line((event.host, "bold"), " ", (number, "dim"), (mark, style), event.title, (suffix, style)))


class LiveProgress(Progress):
    """Draws one line per host at work, with the step that it is at. Finished hosts leave the picture: the summary tells of
    them."""

    def __init__(self, screen: Screen, plan: Plan) -> None:
        super().__init__(screen, plan)
        from rich.console import Console
        from rich.live import Live
        from rich.spinner import Spinner

        self._at: dict[str, str] = {}
        self._console = Console(file=screen.err, no_color=not screen.colored(screen.err), highlight=False, markup=False)
        self._spinner = Spinner("dots")
        self._live = Live(get_renderable=self._picture, console=self._console, transient=True, refresh_per_second=10)

    def start(self) -> None:
        self._live.start()

    def stop(self) -> None:
        self._live.stop()

    def step(self, event: StepEvent) -> None:
        self._at[event.host] = event.title
        super().step(event)

    def host(self, run: HostRun) -> None:
        self._at.pop(run.host.name, None)
        self._waiting.discard(run.host.name)

    def say(self, message: Line) -> None:
        self._console.print(redact(message.text), style="yellow", markup=False)

    def _ended(self, event: StepEvent, fate: Fate) -> None:
        if self.steps[event.host][0] == event.count:
            self._at[event.host] = "looking at the result"

    def _picture(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 1))
        for column in range(4):
            table.add_column(no_wrap=True, overflow="ellipsis", justify="right" if column == 2 else "left")
        for host, title in list(self._at.items())[:SHOWN_HOSTS]:
            done, count = self.steps[host]
            table.add_row(
                self._spinner,
                Text(shorten(visible(host), 30), style="bold"),
                Text(f"{min(done + 1, count)}/{count}", style="dim"),
                Text(visible(redact(title))),
            )
        more = len(self._at) - SHOWN_HOSTS
        beside = [plural(more, "more host") + " at work"] if more > 0 else []
        if self._waiting:
            beside.append(f"{plural(len(self._waiting), 'host')} to begin")
        if beside:
            table.add_row("", Text(", ".join(beside), style="dim"))
        return table


@contextmanager
def progress(screen: Screen, plan: Plan) -> Iterator[Progress]:
    """The sort of progress that the screen can show; nothing is drawn where there is nothing to do."""
    if not (screen.live and plan.changes):
        yield Progress(screen, plan)
        return
    live = LiveProgress(screen, plan)
    live.start()
    try:
        yield live
    finally:
        live.stop()
