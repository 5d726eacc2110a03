"""Plans in files: `plan --out` writes one, `apply --plan` reads it and refuses it when it is not true any more."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from desired.text import listing
from desired.whole_file import write_whole
from providers.secret import redacted
from reconciler.errors import CommandError, Stale
from reconciler.plan import HostPlan, Plan
from reconciler.render.json_form import DERIVED, plan_document, text_of
from reconciler.render.words import short

LARGEST = 256 << 20


def refuse_place(file: Path) -> None:
    """Says before anything is asked that no plan can be saved in `file`. What is no plain file (a device, a pipe) is never
    replaced by one."""
    if file.exists() and not file.is_file():
        raise CommandError(f"{file} is not a file that a plan could be saved in", "name a file: --out plan.json")
    if not file.absolute().parent.is_dir():
        raise CommandError(f"the plan cannot be saved: {file.parent} is not a folder", "make it, or name another file")


def save(plan: Plan, file: Path) -> None:
    """Whole or not at all, and for its owner only: diffs show what is in files."""
    file = file.resolve()
    try:
        write_whole(file, text_of(plan_document(plan)).encode("ascii"))
    except OSError as error:
        raise CommandError(f"the plan could not be saved in {file}: {error.strerror}") from error


def as_saved(plan: Plan) -> Plan:
    """What would be read back: no secret is ever written."""
    document = plan.model_dump()
    clean = redacted(document)
    return plan if clean is document else Plan.model_validate(clean)


def read(file: Path) -> Plan:
    """A plan that `save` wrote."""
    again = "make one with: reconcile plan --out FILE"
    with file.open("rb") as stream:
        data = stream.read(LARGEST)
    try:
        document = json.loads(data)
        plan = Plan.model_validate({key: value for key, value in document.items() if key not in DERIVED})
    except (ValueError, AttributeError, RecursionError) as error:
        reason = "it was made by another version" if isinstance(error, ValidationError) else "it is not JSON"
        raise CommandError(f"{file} is not a plan that can be read: {reason}", again) from error
    if plan.commit is None:
        raise CommandError(f"{file} was made from a working tree; only commits are applied", again)
    return plan


def refuse_moved(saved: Plan, commit: str | None) -> None:
    """The revision from which the plan was made must still be the same commit: a newer one supersedes it."""
    if commit != saved.commit:
        raise Stale(
            f"the plan was made from commit {short(saved.commit)}, and {saved.revision} is {short(commit)} now",
            "look at a new plan; to hold on to a commit, plan it by its id: --rev COMMIT",
        )


def unseen(saved: Plan, names: Sequence[str]) -> list[HostPlan]:
    """The hosts among `names` of which the plan says nothing, because they could not be asked when it was made."""
    known = {host.host: host for host in saved.hosts}
    if missing := [name for name in names if name not in known]:
        raise CommandError(f"the saved plan does not hold {listing(missing)}", f"it holds: {listing(list(known))}")
    return [known[name] for name in names if known[name].problem is not None]


def refuse_different(saved: Plan, fresh: Plan) -> None:
    """What is to be done now must be exactly what the saved plan shows. A host that does not answer now is told by the
    apply itself."""
    before = {host.host: host for host in saved.hosts}
    lines = [
        f"{host.host} {ref}"
        for host in as_saved(fresh).hosts
        if host.problem is None
        for ref in host.differing(before.get(host.host, HostPlan(host=host.host)))
    ]
    if lines:
        raise Stale(
            "what is to be done is not what the plan shows any more, in: " + listing(lines, 20),
            "hosts or sources of projects have moved since it was made: look at a new plan",
        )
