"""Tells what is wrong with the lists of signers that a fleet names, before they are in force: called by `desired/load.py`."""

from __future__ import annotations

from collections.abc import Mapping

from desired.files import FleetFile
from desired.model import Place
from desired.report import Report
from desired.signatures.signers import Signers
from desired.source import Source, Unusable, repository_path
from desired.text import visible

_FORM = "each line reads: NAME [OPTIONS] TYPE KEY, as in the file that git config gpg.ssh.allowedSignersFile names"


def check_signers(source: Source, fleet: FleetFile, report: Report) -> Mapping[str, str]:
    """Path → blob id of the lists."""
    found: dict[str, bytes] = {}
    tree = {}
    for index, name in enumerate(fleet.settings.signers):
        place = fleet.where(("signers", index)) if len(fleet.settings.signers) > 1 else fleet.where(("signers",))
        try:
            path = repository_path(name)
            found[path] = source.read(path)
            tree[path] = source[path].id
        except Unusable as error:
            report.add(place, str(error), error.hint)
    signers = Signers.of(found.items())
    for path, wrong in signers.wrong:
        report.add(Place(visible(path), wrong.line, 1), f"this line lists no signer: {wrong.reason}", _FORM)
    if found and signers.empty and not signers.wrong:
        report.add(Place(visible(next(iter(found)))), "this file lists no signer: nobody could commit any more", _FORM)
    return tree
