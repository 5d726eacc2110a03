"""Words for differences: which fields of a resource differ, and how, as a person would say it.

`changed_fields` is the one diff that serves all kinds. deepdiff only words what is already known to differ inside a
structured value; it never decides whether something differs.
"""

from __future__ import annotations

from typing import Any

from providers.base import State
from reconciler.text import shorten

LONGEST = 200


def changed_fields(before: State, after: State) -> frozenset[str]:
    """The fields that `after` manages and in which `before` differs."""
    wanted = {name: getattr(after, name) for name in type(after).model_fields}
    return frozenset(name for name, value in wanted.items() if value is not None and getattr(before, name) != value)


def wanted_fields(after: State) -> tuple[str, ...]:
    """The fields that `after` manages."""
    return tuple(name for name in type(after).model_fields if getattr(after, name) is not None)


def field_words(name: str, before: object, after: object) -> tuple[str, str, str]:
    """(field, before, after) as shown. A digest is shown as the content that it stands for."""
    if name == "digest":
        return "content", _digest(before), _digest(after)
    if isinstance(before, (tuple, dict)) and isinstance(after, (tuple, dict)):
        return name, *_structured(before, after)
    return name, _scalar(before), _scalar(after)


def _digest(value: object) -> str:
    return value[:12] if isinstance(value, str) else "none"


def _scalar(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (tuple, list)):
        return shorten(", ".join(_scalar(item) for item in value) or "none", LONGEST)
    return shorten(str(value), LONGEST)


def _structured(before: Any, after: Any) -> tuple[str, str]:
    """Only what differs: what goes on the left, what comes on the right."""
    if isinstance(before, tuple) and all(isinstance(item, str) for item in (*before, *after)):
        gone, come = [item for item in before if item not in after], [item for item in after if item not in before]
    else:
        gone, come = _nested(before, after)
    if not gone and not come:  # the order alone differs
        return _scalar(before), _scalar(after)
    return shorten(", ".join(sorted(gone)) or "–", LONGEST), shorten(", ".join(sorted(come)) or "–", LONGEST)


def _nested(before: Any, after: Any) -> tuple[list[str], list[str]]:
    from deepdiff import DeepDiff  # 100 ms to import, and most plans do not need it

    gone, come = [], []
    tree = DeepDiff(_plain(before), _plain(after), ignore_order=True, view="tree")
    for group in tree.values():
        for item in group:
            path = "" if isinstance(before, tuple) else ".".join(map(str, item.path(output_format="list"))) + "="
            if _there(item.t1):
                gone.append(path + _scalar(item.t1))
            if _there(item.t2):
                come.append(path + _scalar(item.t2))
    return gone, come


def _there(value: object) -> bool:
    return type(value).__name__ != "NotPresent"


def _plain(value: Any) -> Any:
    if isinstance(value, str):  # deepdiff hashes UTF-8; a byte of a host that is not, travels as half a character
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (tuple, list)) else value
