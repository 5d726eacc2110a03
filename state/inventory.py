"""What the host remembers for us: which resources we manage there, which of them we made, and what a run was about to do.

The file `inventory` in the host's folder (`/var/lib/reconciler`) is the truth about ownership: a controller that lost its
disk rebuilds everything from git and from here. Its first line is a title, its second the record as of the last finished
run. An apply first puts a third line, its `Intent`, in place (atomically, with everything folded so far), and `apply.sh`
adds a line per finished step. Whoever reads the file folds those lines into the record, so a run that died anywhere leaves a
truthful inventory behind.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationError

from providers.base import Model, Seq
from providers.shell import Sh, sh

_TITLE = re.compile(rb"reconciler-inventory 1 [0-9a-f]{16}")


class Entry(Model):
    """One managed resource. `digest` is that of the spec last seen satisfied; empty when a run broke off while making it so."""

    digest: str = ""
    made: bool = False
    """We made it, so it is ours to remove when it leaves the repository. What stood there before us is only let go."""
    spec: dict[str, Any] = Field(default_factory=dict)


class Record(Model):
    """The state of affairs after a run."""

    commit: str | None = None
    resources: dict[str, Entry] = Field(default_factory=dict)
    pending: dict[str, str] = Field(default_factory=dict)
    """Resources that must still be refreshed, each with what it followed: a run died between the change and the restart."""


class Intent(Model):
    """What a run is about to do, by the numbers of its steps."""

    commit: str | None = None
    entries: dict[str, Entry] = Field(default_factory=dict)
    """What becomes of a resource when its step succeeds."""
    drops: Seq[str] = ()
    """Resources that are gone when their step succeeds."""
    steps: dict[str, Seq[int]] = Field(default_factory=dict)
    """Resource → the steps that must all succeed for it."""
    refresh: dict[str, int] = Field(default_factory=dict)
    """Resource → the step that refreshes it."""
    causes: dict[str, dict[str, Seq[int]]] = Field(default_factory=dict)
    """Resource to be refreshed → followed resource → the steps that change the followed one."""


class Inventory(Model):
    """A record, folded with what an unfinished run left, and what it was read from."""

    record: Record
    read_digest: str = "none"
    """SHA-256 of the whole file: the steps of a plan are sent with it, and do nothing where it is another by then."""
    title: str = ""
    """The file's first line. It changes with every record that is written, and is short: see `inventory_probe`."""
    broken: str | None = None
    """Why the file could not be understood; then nothing is known about ownership, and nothing is pruned."""
    unfinished: bool = False
    """A run left its journal behind, or is still at work."""
    towards: str | None = None
    """The commit that such a run is for."""

    @property
    def resources(self) -> Mapping[str, Entry]:
        return self.record.resources


def inventory_probe(known: str = "") -> Sh:
    """Prints the file, or nothing where there is none; fails where that cannot be told. Of a file whose first line is `known`
    it prints that line alone: no process is started, and nothing is sent twice."""
    return sh(
        r"""
known=@known@
if [ -n "$known" ]; then
  title=
  read -r title 2>/dev/null <"$folder/inventory"
  if [ "$title" = "$known" ]; then printf '%s\n' "$title"; exit; fi
fi
if [ -e "$folder/inventory" ]; then exec cat "$folder/inventory"; fi
above=$folder
while [ ! -d "$above" ] && [ -n "$above" ]; do above=${above%/*}; done
[ -x "${above:-/}" ]
""",
        known=known,
    )


def parse_inventory(out: bytes) -> Inventory:
    """Total: what cannot be read comes back as `broken`, with nothing owned."""
    if not out:
        return Inventory(record=Record())
    digest = hashlib.sha256(out).hexdigest()
    # A last line without its newline is one that a crash cut off while it was being written.
    title, *rest = out.split(b"\n")[:-1] or [b""]
    try:
        if not _TITLE.fullmatch(title):
            raise ValueError("another file, or of another version")
        first, *rest = rest or [b""]
        record = Record.model_validate_json(first)
        intent = Intent.model_validate_json(rest[0]) if rest else None
        outcomes = [json.loads(line) for line in rest[1:] if line]
        done = {int(outcome["step"]): str(outcome["status"]) for outcome in outcomes}
    except (ValidationError, ValueError, KeyError, TypeError, RecursionError):
        return Inventory(record=Record(), read_digest=digest, broken="it is not what this program wrote")
    folded = fold(record, intent, done) if intent else record
    towards = intent.commit if intent is not None else None
    return Inventory(
        record=folded, read_digest=digest, title=title.decode("ascii"), unfinished=intent is not None, towards=towards
    )


def fold(record: Record, intent: Intent, done: Mapping[int, str]) -> Record:
    """The record as it is after a run that got as far as `done` (step number → status)."""
    # Steps run in order: beyond the last one that reported, at most one more was begun.
    begun = max(done, default=-1) + 1
    resources = dict(record.resources)
    for ref, entry in intent.entries.items():
        steps = intent.steps.get(ref, ())
        if all(done.get(step) == "0" for step in steps):
            resources[ref] = entry
        elif entry.made and any(_was_begun(step, done, begun) for step in steps):
            # Perhaps half made: ours, but not known to be as asked.
            resources[ref] = entry.model_copy(update={"digest": ""})
    for ref in intent.drops:
        if all(done.get(step) == "0" for step in intent.steps.get(ref, ())):
            resources.pop(ref, None)
    return record.model_copy(update={"resources": resources, "pending": _pending(record, intent, done, begun)})


def _was_begun(step: int, done: Mapping[int, str], begun: int) -> bool:
    """Whether the step may have changed something: one that failed may have done so, too."""
    return done[step] != "skipped" if step in done else step <= begun


def _pending(record: Record, intent: Intent, done: Mapping[int, str], begun: int) -> dict[str, str]:
    pending = dict(record.pending)
    for ref, followed in intent.causes.items():
        for cause, steps in followed.items():
            if any(_was_begun(step, done, begun) for step in steps):
                pending.setdefault(ref, cause)
    for ref, step in intent.refresh.items():
        if done.get(step) == "0":
            pending.pop(ref, None)
    return pending


def inventory_text(record: Record, intent: Intent | None = None) -> str:
    """The file's content. Keys are sorted and defaults left out, so equal records give equal bytes."""
    body = "".join(_line(part) for part in (record, intent) if part is not None)
    return f"reconciler-inventory 1 {hashlib.sha256(body.encode()).hexdigest()[:16]}\n{body}"


def _line(part: Model) -> str:
    data = part.model_dump(mode="json", exclude_defaults=True)
    return json.dumps(data, sort_keys=True, separators=(",", ":")) + "\n"
