"""`reconcile secret`: encrypted files below secrets/ of the working tree. The work is in `secret_work.py`."""

from __future__ import annotations

from pathlib import Path

import click

from reconciler.cli.commands import Cli, FleetCommand, FleetGroup, pass_cli

name = click.argument("name", metavar="NAME")


@click.group(cls=FleetGroup, subcommand_metavar="COMMAND [ARGS]…")
def secret() -> None:
    """Encrypt, edit and show secrets, and say who can open them.

    The secret NAME is the file secrets/NAME.age of the working tree; commit it as any other file. The keys that open it are
    looked for in RECONCILER_IDENTITY (paths with ":" between), ~/.config/reconciler/identity, /etc/reconciler/identity,
    ~/.ssh/id_ed25519 and ~/.ssh/id_rsa.
    """


@secret.command(cls=FleetCommand)
@name
@click.argument("file", type=click.Path(path_type=Path), metavar="[FILE|-]", required=False)
@click.option("--replace", is_flag=True, help="Give a secret that is already there a new value.")
@pass_cli
def encrypt(cli: Cli, name: str, file: Path | None, *, replace: bool) -> int:
    """Encrypt a file, or what comes on standard input.

    On a terminal the value is asked for. It is encrypted for the keys in secrets/recipients.
    """
    from reconciler.cli.secret_work import encrypt_secret

    return encrypt_secret(cli.folder, name, file, cli.screen, replace=replace)


@secret.command(cls=FleetCommand)
@name
@pass_cli
def edit(cli: Cli, name: str) -> int:
    """Edit a secret, or begin a new one, in $VISUAL or $EDITOR.

    The editor gets a file that only you can read, in memory where this machine has a folder for that; it is removed
    afterwards. Nothing is written when nothing was changed.
    """
    from reconciler.cli.secret_work import edit_secret

    return edit_secret(cli.folder, name, cli.screen)


@secret.command(cls=FleetCommand)
@name
@pass_cli
def show(cli: Cli, name: str) -> int:
    """Print the value of a secret, as it is."""
    from reconciler.cli.secret_work import show_secret

    return show_secret(cli.folder, name, cli.screen)


@secret.command(cls=FleetCommand)
@click.option("--add", "added", multiple=True, metavar="KEY", help="Let this public key (or the keys in this file) open them.")
@click.option("--remove", "removed", multiple=True, metavar="KEY", help="No longer encrypt for this key, or this comment.")
@click.option("--json", "as_json", is_flag=True, help="Print the list as one JSON document (docs/secrets.md).")
@pass_cli
def recipients(cli: Cli, added: tuple[str, ...], removed: tuple[str, ...], *, as_json: bool) -> int:
    """List the keys that secrets are encrypted for, or change them.

    A key is age1…, ssh-ed25519 … or ssh-rsa …. With --add or --remove all secrets are encrypted anew.
    """
    from reconciler.cli.secret_work import change_recipients, list_recipients

    if as_json and (added or removed):
        raise click.UsageError("--json lists; it cannot be given with --add or --remove")
    if added or removed:
        return change_recipients(cli.folder, added, removed, cli.screen)
    return list_recipients(cli.folder, cli.screen, as_json=as_json)
