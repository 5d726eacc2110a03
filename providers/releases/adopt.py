"""Taking over a folder that is there already (`reconcile adopt`): what lies in it, and how it becomes ours or is moved aside.

To adopt is to write the list that an installation would have written, of those files alone that are known to be from a commit,
and then to converge as ever: files that equal the wanted ones are never touched, and the others show as what they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from providers.base import Step, Unknown
from providers.releases.adopt_shell import LIST
from providers.releases.ask import ASK
from providers.releases.model import ReleaseSpec
from providers.releases.steps import settings
from providers.shell import Sh, lines, sh
from providers.tree import FileMode, TreeFile

_NAME = re.compile(r"[A-Za-z0-9._@+-]{1,255}")
_GNU = re.compile(r"([fl]) ([0-7]{3,4}) [0-9]+ [0-9]+ ([0-9]{1,19}) [0-9.]+ [0-9.]+ [0-9]+ \./(.+)")
_STAT = re.compile(r"([8a])[0-9a-f]{3} ([0-7]{1,4}) [0-9]+ [0-9]+ ([0-9]{1,19}) [0-9]+ [0-9]+ [0-9]+ \./(.+)")
_SUM = re.compile(r"(\\?)([0-9a-f]{64})  \./(.+)")


def list_files(spec: ReleaseSpec) -> Sh:
    """A fragment that reads every file at the project's path; `listed_files` reads its answer."""
    return lines([ASK, LIST, sh("release_catalogue @path@ @pruned@", path=spec.path, pruned=spec.pruned())])


def listed_files(out: bytes, spec: ReleaseSpec) -> Mapping[str, TreeFile] | Unknown:
    """Path → file, as a tree would list it. Of its permissions only counts whether its owner may execute it."""
    text = out.decode("utf-8", "surrogateescape")
    head, mark, tail = text.partition("\n!sums\n")
    if not mark or not ("\n" + tail).endswith("\n!end\n") or "!status 0" not in head.split("\n"):
        return Unknown(f"not all of {spec.path} could be read")
    sums = {_plain(match[3], match[1]): match[2] for match in map(_SUM.fullmatch, tail.split("\n")) if match is not None}
    patterns = spec.patterns
    found: dict[str, TreeFile] = {}
    for match in (_GNU.fullmatch(line) or _STAT.fullmatch(line) for line in head.split("\n")):
        if match is None or spec.is_untouched(match[4]) or patterns.matches(match[4]):
            continue
        if match[4] not in sums:
            return Unknown(f"{spec.path}/{match[4]} could not be read")
        found[match[4]] = TreeFile(match[4], _mode(match[1], match[2]), sums[match[4]], int(match[3]))
    return found


def _plain(name: str, escaped: str) -> str:
    return name.replace("\\\\", "\\") if escaped else name


def _mode(kind: str, mode: str) -> FileMode:
    if kind in "la":
        return "link"
    return "0755" if int(mode, 8) & 0o100 else "0644"


def adopt_steps(spec: ReleaseSpec, index_text: str, identity: str = "") -> tuple[Step, ...]:
    """Makes what is at `spec.path` ours, or the release `identity` below it. `index_text`: as `Tree.index`, with the digest and
    commit of what it is nearest to."""
    if identity and not _NAME.fullmatch(identity):
        raise ValueError(f"not the name of a release: {identity!r}")
    digest, commit = index_text.split("\n", 1)[0].split(" ")[2:4]
    known = spec.model_copy(update={"tree": digest, "commit": commit})
    run = sh("@settings@\nrelease_adopt @pruned@", settings=settings(known, identity=identity), pruned=spec.pruned())
    text = index_text.encode("utf-8", "surrogateescape")
    return (Step((spec.ref,), f"take over what is in {spec.path}", run, blob=text, timeout=3600),)


def set_aside_step(spec: ReleaseSpec, name: str) -> Step:
    """Gives the folder at `spec.path` the plain name `name` beside it. `ValueError` for a name that is none."""
    if not _NAME.fullmatch(name) or name in (".", ".."):
        raise ValueError(f"not a plain name: {name!r}")
    run = sh("@settings@\nrelease_set_aside @name@", settings=settings(spec), name=name)
    return Step((spec.ref,), f"set {spec.path} aside as {name}", run, timeout=600)
