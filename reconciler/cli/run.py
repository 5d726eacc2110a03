"""`reconcile run`: the loop. The work is in `running.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from reconciler.cli.commands import Cli, FleetCommand, pass_cli

_FILE = click.Path(path_type=Path)


@click.command(cls=FleetCommand)
@click.option("--once", "one_pass", is_flag=True, help="One pass over all hosts, and the exit code of apply: for cron.")
@click.option("--source", metavar="URL", help="Follow a branch at a git server, instead of the repository here (-C).")
@click.option("--branch", metavar="NAME", help="With --source: the branch (default: main).")
@click.option("--path", "inside", metavar="DIR", help="With --source: the fleet's folder in the repository.")
@click.option(
    "--git-token-file", type=_FILE, metavar="FILE", help="With --source over https: holds the token ($RECONCILER_GIT_TOKEN)."
)
@click.option("--git-identity", metavar="FILE", help="With --source over ssh: the private key to log in with.")
@click.option("--signers", type=_FILE, metavar="FILE", help="Who may sign commits, instead of the fleet's own list.")
@click.option("--state", type=_FILE, metavar="DIR", help="Where history and the last good commit are kept.")
@click.option("--listen", metavar="ADDR:PORT", help="Where the pages are served (default: 127.0.0.1:9276).")
@click.option("--no-listen", is_flag=True, help="Serve no pages.")
@click.option("--token-file", type=_FILE, metavar="FILE", help="The token that the pages ask for.")
@click.option("--hook-secret-file", type=_FILE, metavar="FILE", help="The secret with which the forge signs its hooks.")
@click.option("--no-alerts", is_flag=True, help="Tell no chat.")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", help="Log lines for people, or as JSON.")
@pass_cli
def run(  # noqa: PLR0913  one argument for each option
    cli: Cli,
    *,
    one_pass: bool,
    source: str | None,
    branch: str | None,
    inside: str | None,
    git_token_file: Path | None,
    git_identity: str | None,
    signers: Path | None,
    state: Path | None,
    listen: str | None,
    no_listen: bool,
    token_file: Path | None,
    hook_secret_file: Path | None,
    no_alerts: bool,
    log_format: Literal["text", "json"],
) -> int:
    """Follow git, and keep every host as it says.

    Runs until it is told to stop: SIGTERM or Ctrl-C lets running steps end and leaves, a second one leaves at once; SIGHUP
    reads secrets and keys again. With --once it makes one pass. Exit code of a pass, 0: converged; 1: the repository is not
    valid; 3: a host failed; 4: a host or git was unreachable; 5: refused (too many deletions, a window, a signature, a secret),
    or another loop works from the same state folder; 7: a deployment was rolled back.
    """
    if source is None:
        given = {"--branch": branch, "--path": inside, "--git-token-file": git_token_file, "--git-identity": git_identity}
        if wrong := [name for name, value in given.items() if value is not None]:
            raise click.UsageError(f"{wrong[0]} goes with --source URL: a repository here is followed as it is checked out")
    if listen is not None and no_listen:
        raise click.UsageError("say either --listen or --no-listen")
    from reconciler.cli.running import Terms, run_loop

    terms = Terms(
        one_pass=one_pass,
        source=source,
        branch=branch or "main",
        inside=inside or "",
        git_token_file=git_token_file,
        git_identity=git_identity,
        signers=signers,
        folder=state,
        listen=listen,
        pages=not (no_listen or (one_pass and listen is None)),
        token_file=token_file,
        hook_secret_file=hook_secret_file,
        alerts=not no_alerts,
        log_format=log_format,
    )
    return run_loop(cli.folder, terms, verbose=cli.verbose)
