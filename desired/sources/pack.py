"""The history of a commit as a pack: what a checkout on a host needs beside the commits that it has.

Called by `ProjectRepository.pack` while a plan is applied. Objects that the host's own commits hold are left out by comparing
trees, as a server does for a fetch; a few too many do no harm.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import pygit2
from pygit2.enums import ObjectType, SortMode


def pack(repo: pygit2.Repository, commit: str, have: Iterable[str]) -> tuple[bytes, bytes]:
    """(pack, index) with every object of the history of `commit` that the history of `have` lacks. Commits in `have` that this
    repository does not know (somebody's own, on the host) are no help."""
    walker = repo.walk(pygit2.Oid(hex=commit), SortMode.TOPOLOGICAL)
    builder = pygit2.PackBuilder(repo)
    seen: set[bytes] = set()
    for name in have:
        if name in repo and repo[name].type == ObjectType.COMMIT:
            known = repo[name].peel(pygit2.Commit)
            walker.hide(known.id)
            _collect(known.tree, seen, None)
    for found in walker:
        builder.add(found.id)
        _collect(found.tree, seen, builder)
    with tempfile.TemporaryDirectory(prefix="reconciler-pack-") as folder:
        builder.write(folder)
        (packed,) = Path(folder).glob("*.pack")
        return packed.read_bytes(), packed.with_suffix(".idx").read_bytes()


def _collect(top: pygit2.Tree, seen: set[bytes], builder: pygit2.PackBuilder | None) -> None:
    """Adds a tree and what is below it, as far as it is new."""
    waiting = [top]
    while waiting:
        tree = waiting.pop()
        if tree.id.raw in seen:
            continue
        seen.add(tree.id.raw)
        if builder is not None:
            builder.add(tree.id)
        for item in tree:
            if isinstance(item, pygit2.Tree):
                waiting.append(item)
            elif isinstance(item, pygit2.Blob) and item.id.raw not in seen:
                seen.add(item.id.raw)
                if builder is not None:
                    builder.add(item.id)
