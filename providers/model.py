"""The base of every model here, and the types of fields that several share.

It stands apart from `base.py` so that what a contract is made of (`smoke.py`) and the contract itself can both use it.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Strict

Ensure: TypeAlias = Literal["present", "absent"]
Sync: TypeAlias = Literal["enforce", "deploy", "observe"]

Item = TypeVar("Item")
Seq: TypeAlias = Annotated[tuple[Item, ...], Strict(strict=False)]
"""A YAML list, kept as a tuple. Its items stay strict."""


def _quoted(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
    raise ValueError(f'write it in quotes: "{value}" (without them YAML reads a number)')


def _mode(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        raise ValueError('write the mode in quotes, as in "0644" (without them YAML reads a number)')
    if isinstance(value, str) and 3 <= len(value) <= 4 and set(value) <= set("01234567"):
        return value.zfill(4)
    raise ValueError('expected three or four octal digits in quotes, as in "0644"')


def _one_line(value: object) -> object:
    if isinstance(value, str) and any(ord(c) < 32 or c == "\x7f" for c in value):
        raise ValueError("a line break or control character cannot stand here")
    return value


Mode: TypeAlias = Annotated[str, BeforeValidator(_mode)]
"""Permissions as four octal digits: `644` and `0644` are the same."""
Line: TypeAlias = Annotated[str, BeforeValidator(_one_line), BeforeValidator(_quoted)]
"""Text without line breaks and control characters."""


class Model(BaseModel):
    """What all our models share: immutable, strict (no text read as a number), and no unknown keys."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True)
