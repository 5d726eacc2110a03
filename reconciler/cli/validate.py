"""`reconcile validate`: every mistake of the fleet repository in one run, without any host."""

from __future__ import annotations

import click

from reconciler.cli import options
from reconciler.cli.commands import Cli, FleetCommand, pass_cli


@click.command(cls=FleetCommand)
@options.revision
@options.worktree
@options.as_json
@pass_cli
def validate(cli: Cli, revision: str, *, worktree: bool, as_json: bool) -> int:
    """Check the fleet repository, without any host.

    Prints every mistake as file:line:column, with what to do, and what looks like a secret in plain text. Exit code 0: valid;
    1: not.
    """
    if worktree and revision != "HEAD":
        raise click.UsageError("either --rev or --worktree, not both")
    from desired.model import Invalid
    from reconciler.cli.loading import load_fleet, tell_uncommitted
    from reconciler.cli.scanning import scanned
    from reconciler.errors import Exit
    from reconciler.render.diagnostics import count_words, diagnostic_lines
    from reconciler.render.json_form import diagnostics_document
    from reconciler.render.lines import line
    from reconciler.text import plural

    commit, hosts, projects, resources = None, 0, 0, 0
    try:
        loaded = load_fleet(cli.folder, revision, worktree=worktree)
        commit = loaded.fleet.commit
        diagnostics = tuple(sorted([*loaded.fleet.warnings, *scanned(cli.folder, loaded, worktree=worktree)]))
        uncommitted = loaded.uncommitted
        hosts, projects = len(loaded.fleet.hosts), len(loaded.fleet.projects)
        resources = sum(len(host.resources) for host in loaded.fleet.hosts.values())
    except Invalid as invalid:
        diagnostics, uncommitted = invalid.diagnostics, invalid.uncommitted
    valid = not any(one.severity == "error" for one in diagnostics)
    if as_json:
        cli.screen.document(diagnostics_document(commit, diagnostics))
    else:
        cli.screen.show(*diagnostic_lines(diagnostics))
        if diagnostics:
            cli.screen.show(line((count_words(diagnostics), "bold")))
        if valid:
            described = f", {plural(projects, 'project')}" if projects else ""
            cli.screen.show(line(("valid", "green"), f": {plural(hosts, 'host')}, {plural(resources, 'resource')}{described}"))
    tell_uncommitted(uncommitted, cli.screen, "were not looked at; --worktree checks them")
    return Exit.OK if valid else Exit.INVALID
