"""Words for the reader: how values, names and near misses are shown in diagnostics.

Called wherever `desired/` puts something from the repository into a message, so that nothing hostile reaches a terminal and
every mistake comes with the name that was probably meant.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Sequence

_CANDIDATES_LIMIT = 2000


def visible(text: str, width: int = 120) -> str:
    """`text` on one line, with control, invisible and undecodable characters as escapes, cut at `width`."""
    cut = text[: width + 1]
    if not cut.isprintable():
        cut = "".join(_escaped(character) for character in cut)
    return cut if len(cut) <= width else cut[: width - 1] + "…"


def _escaped(character: str) -> str:
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    return ascii(character)[1:-1]


def show(value: object, width: int = 60) -> str:
    """A value from YAML as it would be written, for "found …"."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"the number {visible(str(value), width)}"
        case str():
            return f'"{visible(value, width)}"'
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list"
    return visible(type(value).__name__)


def nearest(word: str, candidates: Iterable[str]) -> str:
    """The candidate that was probably meant, or an empty text."""
    known = list(candidates)
    if len(known) > _CANDIDATES_LIMIT:
        known = [one for one in known if one[:1] == word[:1]][:_CANDIDATES_LIMIT]
    lowered = {one.lower(): one for one in known}
    found = difflib.get_close_matches(word[:200].lower(), lowered, n=1, cutoff=0.66)
    return lowered[found[0]] if found else ""


def meant(word: str, candidates: Iterable[str], otherwise: str = "") -> str:
    """The hint for an unknown name: the nearest right one, or what there is."""
    known = list(candidates)
    if found := nearest(word, known):
        return f"did you mean {visible(found)}?"
    return otherwise or (f"there is: {listing(sorted(known), 30)}" if known else "")


def listing(names: Sequence[str], most: int = 12) -> str:
    """`a, b and 3 more`."""
    shown = ", ".join(visible(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
