"""`reconcile demo`: the story of `reconciler/demo.py` on the terminal, or as a picture."""

from __future__ import annotations

from pathlib import Path

import click

from reconciler.cli.commands import Cli, FleetCommand, pass_cli


@click.command(cls=FleetCommand)
@click.option("--keep", is_flag=True, help="Leave the folder where it was made, to go on by hand.")
@click.option("--svg", type=click.Path(path_type=Path), metavar="FILE", help="Also draw what is printed, as an SVG picture.")
@pass_cli
def demo(cli: Cli, *, keep: bool, svg: Path | None) -> int:
    """See the whole story on this machine: no root, network or Docker.

    Makes a fleet repository and a host that is only a folder, and runs the real commands on them: plan, apply, an empty
    second plan, an edit by hand found and healed, a new commit, a deletion. Takes a few seconds and leaves nothing behind.
    """
    from reconciler.cli.entry import run
    from reconciler.demo import tell
    from reconciler.errors import Exit

    tell(cli.screen, run, keep=keep, picture=svg)
    return Exit.OK
