"""What `reconcile run` does: from the words of the command line to a loop that runs. Called by `run.py`, which holds the
options."""

from __future__ import annotations

import resource
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from desired.git import open_repository
from reconciler import log
from reconciler.loop.folder import state_folder
from reconciler.loop.places import LocalPlace, Place, RemotePlace
from reconciler.loop.service import Options, serve
from reconciler.serve.settings import DEFAULT, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What was said on the command line."""

    one_pass: bool
    source: str | None
    branch: str
    inside: str
    git_token_file: Path | None
    git_identity: str | None
    signers: Path | None
    folder: Path | None
    listen: str | None
    pages: bool
    token_file: Path | None
    hook_secret_file: Path | None
    alerts: bool
    log_format: Literal["text", "json"]


def run_loop(folder: Path, terms: Terms, *, verbose: bool) -> int:
    """Raises `CommandError` and `RepositoryError` where it cannot even begin."""
    pages = Settings.read((terms.listen or DEFAULT) if terms.pages else None, terms.token_file, terms.hook_secret_file)
    options = Options(
        place=_place(folder, terms),
        folder=(terms.folder or state_folder()).absolute(),
        pages=pages,
        signers=terms.signers,
        alerts=terms.alerts,
    )
    _raise_limit()
    log.set_up(terms.log_format, "debug" if verbose else "info")
    try:
        return serve(options, one_pass=terms.one_pass)
    finally:
        log.close()


def _place(folder: Path, terms: Terms) -> Place:
    if terms.source is None:
        open_repository(folder)  # nobody waits for a repository that was never there
        return LocalPlace(folder)
    return RemotePlace(
        terms.source, terms.branch, token_file=terms.git_token_file, identity=terms.git_identity, inside=terms.inside
    )


def _raise_limit() -> None:
    """A connection to each host is a file to the system, and the usual limit of 1,024 is for smaller programs."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
