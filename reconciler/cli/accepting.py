"""What `reconcile accept` does: finds the commit that is meant among those that the loop has seen, and leaves word for it."""

from __future__ import annotations

from pathlib import Path

from desired.sources.model import HEX
from desired.text import visible
from reconciler.cli.screen import Screen
from reconciler.errors import CommandError, Exit
from reconciler.loop.accepted import PREFIX, Remembered, accept, accepted_in, read_file
from reconciler.loop.folder import state_folder
from reconciler.render.lines import line


def accept_commit(word: str, state: Path | None, screen: Screen) -> Exit:
    folder = state or state_folder()
    commit = _meant(word.lower(), folder)
    if commit in accepted_in(folder):
        screen.show(line((commit[:10], "bold"), " is accepted already; the loop takes it at its next look"))
        return Exit.OK
    try:
        accept(folder, commit)
    except OSError as error:
        message = f"{visible(str(folder), 200)} cannot be written: {error.strerror}"
        raise CommandError(message, "run it as the user who runs the loop, or as root") from error
    screen.show(line(("accepted ", "green"), (commit[:10], "bold"), ": the loop takes it at its next look"))
    return Exit.OK


def _meant(word: str, folder: Path) -> str:
    """The full id; `CommandError` where nothing, or more than one, is meant."""
    if not PREFIX.fullmatch(word):
        hint = "write the id that the loop shows, at least 4 of its digits"
        raise CommandError(f'"{visible(word, 60)}" is no commit id', hint)
    places = _places(folder)
    if any(one.good == word for one in places):
        raise CommandError(f"{word[:10]} is in force already", "there is nothing to accept")
    if HEX.fullmatch(word):
        return word
    seen = dict.fromkeys(commit for one in places for commit in one.seen if commit.startswith(word))
    if len(seen) == 1:
        return next(iter(seen))
    if seen:
        raise CommandError(f"{word} could be {len(seen)} commits", "write more of the commit id")
    newest = [one.seen[-1][:12] for one in places if one.seen]
    there = f"it saw last: {', '.join(newest)}" if newest else "it has seen no commit yet"
    raise CommandError(f"the loop has seen no commit {word}; {there}", "write the whole id of a commit that is still to come")


def _places(folder: Path) -> list[Remembered]:
    file = folder / "follow.json"
    hint = "run it as the user who runs the loop, or name its state folder: --state DIR"
    try:
        return list(read_file(file).values())
    except FileNotFoundError:
        raise CommandError(f"no loop has followed anything from {visible(str(folder), 200)} yet", hint) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise CommandError(f"{visible(str(file), 200)} cannot be used: {reason}", hint) from error
