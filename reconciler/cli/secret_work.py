"""What `reconcile secret` does, in the working tree of the fleet. It says what to commit; nobody is committed for."""

from __future__ import annotations

import getpass
import hashlib
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from desired.model import RepositoryError
from desired.secrets.names import RECIPIENTS, VALUE_LIMIT, looks_encrypted, secret_name, secret_path
from desired.secrets.recipients import (
    BadRecipient,
    Recipient,
    parse_recipient,
    parse_recipients,
    with_recipients,
    without_recipients,
)
from desired.secrets.vault import Vault, VaultError, encrypt
from desired.source import Unusable
from desired.text import listing, meant, visible
from reconciler.cli.screen import Screen
from reconciler.cli.secret_edit import edit_value
from reconciler.cli.secret_files import SecretFiles
from reconciler.errors import CommandError, Exit
from reconciler.render.lines import line
from reconciler.text import plural

_NOBODY = "reconcile secret recipients --add ~/.ssh/id_ed25519.pub (or an age1… key)"


def encrypt_secret(folder: Path, name: str, file: Path | None, screen: Screen, *, replace: bool) -> Exit:
    path = _path(name)
    files = SecretFiles.of(folder)
    if files.read(path) is not None and not replace:
        raise CommandError(
            f"{path} is already there; nothing was written",
            f"give it a new value with --replace, or: reconcile secret edit {name}",
        )
    keys = _recipients(files)
    value = _value(file, screen)
    _write(files, path, value, keys)
    _tell_written(files, [path], keys, screen)
    return Exit.OK


def edit_secret(folder: Path, name: str, screen: Screen) -> Exit:
    path = _path(name)
    files = SecretFiles.of(folder)
    before = files.read(path)
    keys = _recipients(files)
    value = b"" if before is None else _open(Vault(), path, before)
    edited = edit_value(value, name.rpartition("/")[2])
    if edited == value or not edited:
        if edited != value:
            raise CommandError("the value is empty; nothing was written", f"to give the secret up, delete {path}")
        screen.tell(line("nothing was changed"))
        return Exit.OK
    if files.read(path) != before:
        raise CommandError(f"{path} was changed by somebody else meanwhile; nothing was written", "edit it again")
    _write(files, path, edited, keys)
    _tell_written(files, [path], keys, screen)
    return Exit.OK


def show_secret(folder: Path, name: str, screen: Screen) -> Exit:
    path = _path(name)
    files = SecretFiles.of(folder)
    encrypted = files.read(path)
    if encrypted is None:
        known = [secret_name(one) for one in files.paths()]
        raise CommandError(
            f"there is no secret {visible(name)}", meant(name, known, f"make it: reconcile secret encrypt {name}")
        )
    screen.reveal(_open(Vault(), path, encrypted))
    return Exit.OK


def list_recipients(folder: Path, screen: Screen, *, as_json: bool) -> Exit:
    files = SecretFiles.of(folder)
    keys = parse_recipients(files.recipients())
    if as_json:
        screen.document([{"key": one.text, "comment": one.comment} for one in keys])
        return Exit.OK
    screen.show(*(line(one.line, wrap=False) for one in keys))
    if not keys:
        screen.tell(line("There are no recipients yet: nothing can be encrypted."), line((_NOBODY, "dim"), indent=4))
    return Exit.OK


def change_recipients(folder: Path, added: Sequence[str], removed: Sequence[str], screen: Screen) -> Exit:
    """All secrets are opened before the first one is written, and the list is written last: what breaks off is repeated."""
    files = SecretFiles.of(folder)
    text = files.recipients()
    gone = [_named(word, parse_recipients(text)) for word in removed]
    changed = without_recipients(with_recipients(text, [key for word in added for key in _given(word)]), gone)
    keys = parse_recipients(changed)
    if not keys:
        raise CommandError("then nobody could open the secrets any more; nothing was changed", f"add somebody first: {_NOBODY}")
    values = _open_all(files)
    for path, value in values.items():
        _write(files, path, value, keys)
    if changed != text:
        files.write(RECIPIENTS, changed.encode())
    _tell_written(files, [RECIPIENTS, *values], keys, screen)
    if gone:
        _tell_gone(values, screen)
    return Exit.OK


def _tell_gone(paths: Iterable[str], screen: Screen) -> None:
    names = [secret_name(path) for path in paths]
    if names:
        screen.tell(
            line(
                ("note: ", "yellow"),
                "what the removed key could open until now it still can, in git's history and in memory; new values are needed "
                f"for {listing(names)}: reconcile secret edit NAME",
            )
        )


def _open_all(files: SecretFiles) -> dict[str, bytes]:
    """Every secret's value, or a refusal that names those that cannot be opened."""
    vault = Vault()
    values: dict[str, bytes] = {}
    problems: list[VaultError | CommandError] = []
    for path in files.paths():
        try:
            values[path] = _open(vault, path, files.read(path) or b"")
        except (VaultError, CommandError) as error:
            problems.append(error)
    if problems:
        message = f"nothing was changed: {plural(len(problems), 'secret')} cannot be encrypted anew; {problems[0]}"
        raise CommandError(message, problems[0].hint)
    return values


def _path(name: str) -> str:
    try:
        return secret_path(name)
    except Unusable as error:
        raise CommandError(str(error), error.hint) from error


def _recipients(files: SecretFiles) -> list[Recipient]:
    keys = parse_recipients(files.recipients())
    if not keys:
        raise CommandError(f"there is nobody to encrypt for: {RECIPIENTS} names no key", f"add yourself: {_NOBODY}")
    return keys


def _value(file: Path | None, screen: Screen) -> bytes:
    """From a file, a pipe, or a person, who is asked twice and sees nothing."""
    if file is not None and str(file) != "-":
        with file.open("rb") as stream:
            return _bounded(stream.read(VALUE_LIMIT + 1))
    if screen.can_ask:
        try:
            value, again = (getpass.getpass(word, stream=screen.err) for word in ("value: ", "again: "))
        except EOFError:  # Ctrl-D
            raise CommandError("no value was given; nothing was written") from None
        if again != value:
            raise CommandError("the two differ; nothing was written")
        return _bounded(value.encode("utf-8", "surrogateescape"))
    binary = getattr(screen.input, "buffer", None)
    return _bounded(binary.read(VALUE_LIMIT + 1) if binary is not None else screen.input.read().encode())


def _bounded(value: bytes) -> bytes:
    if not value:
        raise CommandError("the value is empty; nothing was written")
    if len(value) > VALUE_LIMIT:
        raise CommandError(f"the value is longer than {VALUE_LIMIT >> 20} MiB; nothing was written")
    if looks_encrypted(value):
        raise CommandError("the value is encrypted already; nothing was written", "an age file is copied to secrets/ as it is")
    return value


def _open(vault: Vault, path: str, encrypted: bytes) -> bytes:
    return vault.open(path, encrypted, hashlib.sha256(encrypted).hexdigest()).reveal()


def _write(files: SecretFiles, path: str, value: bytes, keys: Sequence[Recipient]) -> None:
    files.write(path, encrypt(value, keys))


def _given(word: str) -> list[Recipient]:
    """A key, or the keys in a file such as ~/.ssh/id_ed25519.pub."""
    if not word.startswith(("age1", "ssh-")) and (file := Path(word).expanduser()).is_file():
        with file.open("rb") as stream:
            found = parse_recipients(stream.read(VALUE_LIMIT).decode("utf-8", "replace"), str(file))
        if not found:
            raise CommandError(f"there is no key in {visible(str(file))}")
        return found
    return [parse_recipient(word)]


def _named(word: str, known: Sequence[Recipient]) -> Recipient:
    found = [one for one in known if one.called(word)]
    if not found:
        try:
            found = [one for one in known if one == parse_recipient(word)]
        except BadRecipient:
            found = []
    if len(found) != 1:
        many = "several keys have this comment: name the key itself" if found else "reconcile secret recipients lists them"
        raise CommandError(f"{RECIPIENTS} does not say whom you mean by {visible(word, 80)}; nothing was changed", many)
    return found[0]


def _tell_written(files: SecretFiles, paths: Sequence[str], keys: Sequence[Recipient], screen: Screen) -> None:
    secrets = [path for path in paths if path != RECIPIENTS]
    counted = secrets if len(secrets) < 2 else [plural(len(secrets), "secret")]
    what = " and ".join([*paths[: len(paths) - len(secrets)], *counted])
    screen.tell(line(("wrote ", "green"), what, f", for {plural(len(keys), 'recipient')}"))
    here = Path.cwd() == files.root
    where = "git" if here else f"git -C {shlex.quote(str(files.root))}"
    named = " ".join(map(shlex.quote, paths)) if len(paths) <= 3 else "secrets"
    screen.tell(line((f"commit it: {where} add {named} && {where} commit", "dim"), indent=4, wrap=False))
    _tell_unreadable(files, paths[-1], screen)


def _tell_unreadable(files: SecretFiles, path: str, screen: Screen) -> None:
    """Whoever locks himself out should hear of it while he still has the value."""
    if path == RECIPIENTS:
        return
    try:
        _open(Vault(), path, files.read(path) or b"")
    except RepositoryError as error:
        screen.tell(line(("note: ", "yellow"), f"you cannot open it yourself: {error}"))
