"""From a change of a deployed tree to steps: install, bring in step, clear away. Called by `kind.py`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from providers.base import Change, Step
from providers.releases.answer import Held, held
from providers.releases.git import git_step
from providers.releases.model import ReleaseSpec, ReleaseState
from providers.releases.parcels import Shipment, is_zipped, packed, ship
from providers.releases.small import small
from providers.shell import Sh, sh

ReleaseChange = Change[ReleaseSpec, ReleaseState]
_LONG = 3600
"""Seconds that the moving of hundreds of thousands of files may take on a slow disk."""


def settings(spec: ReleaseSpec, *, identity: str = "", base: str = "", count: int = 0, packed: str = "") -> Sh:
    """The variables that the functions of `releases/shell.py` go by."""
    return sh(
        """release=@release@ strategy=@strategy@ path=@path@ sub=@sub@ tree=@tree@ commit=@commit@ keep=@keep@
id=@id@ base=@base@ count=@count@ packed=@packed@ owner_wanted=@owner@ group_wanted=@group@
ignored=@ignored@
shared=@shared@""",
        release=spec.name,
        strategy=spec.strategy,
        path=spec.path,
        sub=spec.sub,
        tree=spec.tree,
        commit=spec.commit,
        keep=spec.keep,
        id=identity,
        base=base,
        count=count,
        packed=packed,
        owner=spec.owner or "",
        group=spec.group or "",
        ignored="\n".join(spec.untouched),
        shared="\n".join(spec.shared) if spec.versioned else "",
    )


def steps(change: ReleaseChange) -> Iterator[Step]:
    if change.after is None:
        yield from _removal(change)
        return
    spec = change.spec
    if not spec.loaded:
        message = f"the files of {spec.name} were not loaded: nothing was done"
        yield Step((spec.ref,), f"install {spec.name}", sh("path_fail @message@", message=message))
        return
    have = held(change.detail.have) if change.detail is not None else Held()
    if change.fields & {"owner", "group"}:  # the contents are right, and none of the files is
        have = replace(have, lines={}, contents={**have.contents, **have.lines})
    healed = _healed(change)
    beside = spec.versioned and not healed
    if not change.fields or change.fields - {"commit", "branch"} or spec.strategy != "checkout":
        yield _install(change, have, healed, beside=beside)
    if spec.strategy == "checkout":
        yield git_step(change)
    if beside:
        run = sh("@settings@\nrelease_retire @pruned@", settings=settings(spec), pruned=spec.pruned())
        yield Step((spec.ref,), f"remove releases of {spec.name} that are no longer kept", run, timeout=_LONG)


def _healed(change: ReleaseChange) -> str:
    """The release that holds the wanted tree already, and only needs to be mended."""
    before, spec = change.before, change.spec
    if not spec.versioned or before is None or before.id is None or before.tree not in (spec.tree, "unfinished"):
        return ""
    return before.id


def _install(change: ReleaseChange, have: Held, healed: str, *, beside: bool) -> Step:
    spec = change.spec
    shortcut = None if beside or healed else small(change, have)
    shipment = shortcut.shipment if shortcut is not None else ship(spec, have, beside=beside)
    blob, parcels = packed(shipment)
    base = have.base if beside and (have.lines or have.contents) else ""
    if shortcut is not None and blob is not None:
        action = sh(
            "release_put_small @base@ @digest@ @moved@",
            base=shortcut.base,
            digest=shortcut.digest,
            moved="\n".join(f"./{path}" for path in shortcut.moved),
        )
    else:
        action = sh("release_add") if beside else sh("release_put")
    zipped = "z" if blob is not None and is_zipped(blob) else ""
    run = sh(
        "@settings@\n@action@ @pruned@",
        settings=settings(spec, identity=healed, base=base, count=len(parcels), packed=zipped),
        action=action,
        pruned=spec.pruned(),
    )
    return Step((spec.ref,), _title(spec, shipment, beside=beside), run, blob=blob, parcels=parcels, timeout=_LONG)


def _title(spec: ReleaseSpec, shipment: Shipment, *, beside: bool) -> str:
    files = "1 file" if shipment.sent == 1 else f"{shipment.sent} files"
    size = readable(shipment.size)
    if beside:
        return f"install a release of {spec.name} at {spec.commit[:10]}: send {files} ({size})"
    return f"send {files} ({size}) to {spec.path}" if shipment.sent else f"bring {spec.path} in step with its list"


def readable(size: int) -> str:
    """A number of bytes for people."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size} {unit}"
        size = -(-size // 1000)
    return f"{size} GB"


def _removal(change: ReleaseChange) -> Iterator[Step]:
    spec = change.spec
    run = sh("@settings@\nrelease_remove @pruned@", settings=settings(spec), pruned=spec.pruned())
    yield Step((spec.ref,), f"remove what was installed in {spec.path}", run, timeout=_LONG)
