"""Options that several commands share, so that they are called, and explained, the same everywhere."""

from __future__ import annotations

import click

hosts = click.argument("hosts", nargs=-1, metavar="[HOST…]")
"""Names, or `tag:NAME`; none: the whole fleet."""

revision = click.option(
    "--rev", "revision", default="HEAD", metavar="REV", help="Commit, branch or tag to take (default: HEAD)."
)

worktree = click.option("--worktree", is_flag=True, help="Take the working tree, with everything that is not committed yet.")

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document (docs/plan-json.md).")

diff = click.option("--diff/--no-diff", default=True, help="Show text diffs (default), or leave them out.")

allow_deletions = click.option(
    "--allow-deletions",
    type=click.IntRange(min=0),
    metavar="N",
    help="Accept up to N deletions (default: max_deletions of fleet.yaml).",
)
