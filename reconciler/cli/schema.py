"""`reconcile schema`: the JSON Schema of a manifest, for editors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler.cli.commands import Cli, FleetCommand, pass_cli

if TYPE_CHECKING:
    from reconciler.render.json_schema import Sort


@click.command(cls=FleetCommand)
@click.argument("sort", metavar="[FILE]", type=click.Choice(["fleet", "host", "hosts", "bundle", "project"]), default="host")
@pass_cli
def schema(cli: Cli, sort: Sort) -> int:
    """Print the JSON Schema of the manifests, for editors.

    FILE is host (hosts/NAME.yaml, the default), hosts (hosts.yaml), bundle (bundles/NAME.yaml), project (projects/NAME.yaml) or
    fleet (fleet.yaml).
    """
    from reconciler.errors import Exit
    from reconciler.render.json_schema import schema_of

    cli.screen.document(schema_of(sort))
    return Exit.OK
