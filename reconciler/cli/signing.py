"""Refuses to ask or change any host for a commit that is not signed as the fleet wants it: for every command that surveys
hosts, because what is asked of them (the guards of `commands`, what a proxy is asked) comes from the commit.

These commands remember nothing of the last commit that was good, unlike the loop. So they judge one commit, by the list of
signers as its first parent had it, or by a list on this machine.
"""

from __future__ import annotations

import time
from pathlib import Path

from desired.git import folder_in, open_repository
from desired.model import Fleet
from desired.signatures.model import SignersError
from desired.signatures.walk import Walk, outside_signers
from desired.text import visible
from reconciler.errors import CommandError, Refused


def refuse_unsigned(folder: Path, fleet: Fleet, signers: Path | None) -> None:
    """Raises `Refused`. `fleet` comes from a commit; `signers`: the file that was given with --signers."""
    repository = open_repository(folder)
    assert fleet.commit is not None
    try:
        outside = outside_signers(signers) if signers is not None else None
    except SignersError as error:
        raise CommandError(str(error), error.hint) from error
    walk = Walk(repository, folder_in(repository, folder), outside, time.time())
    refusal = walk.after_parent(fleet.commit)
    if refusal is not None:
        hint = "have it signed by one of the signers that its parent lists (git commit -S), or say who may sign: --signers FILE"
        if outside is not None:
            hint = f"have it signed by one of those in {visible(str(signers), 200)} (git commit -S)"
        raise Refused(f"{refusal}; no host was asked", refusal.hint or hint)
