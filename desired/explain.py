"""Turns pydantic's errors into sentences for the person who wrote the file: what was expected, what was found, what is near.

Called by `desired/schema.py` and `desired/manifest.py` wherever a model refuses something. A reader never meets pydantic's own
words, and the value is shown escaped and short.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from desired.text import meant, show, visible
from desired.yaml import Loc


@dataclass(frozen=True, slots=True)
class Complaint:
    """One error of a model, worded. `loc` leads into the data that was validated."""

    loc: tuple[str | int, ...]
    message: str
    hint: str = ""
    at_key: bool = False
    """The key is wrong, not the value behind it."""


_EXPECTED = {
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bytes_type": "text",
    "list_type": "a list, as in [a, b]",
    "tuple_type": "a list, as in [a, b]",
    "set_type": "a list, as in [a, b]",
    "frozen_set_type": "a list, as in [a, b]",
    "dict_type": "a mapping, as in {key: value}",
    "mapping_type": "a mapping, as in {key: value}",
    "model_type": "a mapping, as in {key: value}",
    "model_attributes_type": "a mapping, as in {key: value}",
}
_LIMITS: dict[str, Callable[[dict[str, Any]], str]] = {
    "greater_than_equal": lambda c: f"at least {c['ge']}",
    "greater_than": lambda c: f"more than {c['gt']}",
    "less_than_equal": lambda c: f"at most {c['le']}",
    "less_than": lambda c: f"less than {c['lt']}",
    "string_too_short": lambda c: (
        "text that is not empty" if c["min_length"] == 1 else f"at least {c['min_length']} characters"
    ),
    "string_too_long": lambda c: f"at most {c['max_length']} characters",
    "too_short": lambda c: f"at least {c['min_length']} in the list",
    "too_long": lambda c: f"at most {c['max_length']} in the list",
    "string_pattern_mismatch": lambda c: f"text of the form {visible(c['pattern'], 80)}",
    "finite_number": lambda _: "a finite number",
}


def complaints(
    error: ValidationError,
    data: Any,
    model: type[BaseModel],
    prefix: str = "",
    more_keys: Iterable[str] = (),
    *,
    written: Callable[[Loc], str | None] = lambda _: None,
) -> list[Complaint]:
    """What `model` found wrong in `data`; `prefix` names the thing that `data` describes, for errors of the whole. `more_keys`
    are keys that may stand in `data` besides the model's fields. `written`: how the file spells a number."""
    details = error.errors(include_input=False, include_url=False)
    found = [_as_written(_complaint(detail, data, model, prefix, more_keys), data, written) for detail in details]
    meant_keys = {one.hint for one in found if one.at_key}
    return [
        one
        for one, detail in zip(found, details, strict=True)
        if detail["type"] != "missing" or f"did you mean {detail['loc'][-1]}?" not in meant_keys
    ]


def _as_written(complaint: Complaint, data: Any, written: Callable[[Loc], str | None]) -> Complaint:
    """With a number as the file spells it: who is told to put 1.10 into quotes must not be told to write "1.1"."""
    spelled = None if complaint.at_key else written(complaint.loc)
    if spelled is None:
        return complaint
    value, spelled = str(_value(complaint.loc, data)), visible(spelled, 60)

    def mended(text: str) -> str:
        return text.replace(f'"{value}"', f'"{spelled}"').replace(f"the number {value}", f"the number {spelled}")

    return replace(complaint, message=mended(complaint.message), hint=mended(complaint.hint))


def _complaint(detail: ErrorDetails, data: Any, model: type[BaseModel], prefix: str, more_keys: Iterable[str]) -> Complaint:
    loc = _reachable(detail["loc"], data)
    dotted = ".".join(str(part) if isinstance(part, int) else visible(part, 60) for part in loc)
    match detail["type"]:
        case "missing":
            missing = visible(str(detail["loc"][-1]), 60)
            return Complaint(loc[:-1], f"{prefix + ': ' if prefix else ''}{missing} is missing", f"add {missing}:")
        case "extra_forbidden":
            word = str(loc[-1])
            known = _fields(model, loc[:-1]) + ([] if loc[:-1] else list(more_keys))
            return Complaint(loc, f"there is no key {visible(word, 60)} here", meant(word, known), at_key=True)
        case "value_error" | "assertion_error":
            sentence = visible(detail["msg"].partition(", ")[2] or detail["msg"], 400)
            name = prefix if loc == ("name",) else dotted or prefix
            return Complaint(loc, f"{name}: {sentence}{_found(loc, data, sentence)}".removeprefix(": "))
        case kind:
            return Complaint(loc, *_mismatch(kind, dotted or prefix, _value(loc, data), detail.get("ctx", {}), detail["msg"]))


def _mismatch(kind: str, name: str, value: Any, context: dict[str, Any], message: str) -> tuple[str, str]:
    """The sentence and the hint for a value of the wrong sort."""
    hint = ""
    if kind in ("literal_error", "enum"):
        choices = re.findall(r"'([^']*)'", str(context["expected"])) or [str(context["expected"])]
        expected = choices[0] if len(choices) == 1 else f"{', '.join(choices[:-1])} or {choices[-1]}"
        hint = meant(value, choices, otherwise=" ").strip() if isinstance(value, str) else ""
    elif kind in _LIMITS:
        expected = _LIMITS[kind](context)
    elif kind in _EXPECTED:
        expected = _EXPECTED[kind]
        if expected == "text" and isinstance(value, (bool, int, float)):
            hint = f'write it in quotes: "{str(value).lower() if isinstance(value, bool) else value}"'
        elif expected == "text" and isinstance(value, dict) and len(value) == 1:
            hint = "a colon with a blank behind it makes a mapping: leave the blank out, or write the text in quotes"
        elif expected.endswith("number") and isinstance(value, str) and value.isdecimal():
            hint = f"write it without quotes: {value}"
        elif expected.startswith("a list") and isinstance(value, str):
            hint = f"write [{visible(value, 60)}]"
        elif expected == "true or false" and isinstance(value, str) and value.lower() in _OLD_BOOLEANS:
            hint = f"write {'true' if _OLD_BOOLEANS[value.lower()] else 'false'}"
    else:
        return f"{name}: {visible(message[:1].lower() + message[1:], 200)}, found {show(value)}", ""
    return f"{name}: expected {expected}, found {show(value)}", hint


_OLD_BOOLEANS = {"yes": True, "on": True, "y": True, "true": True, "no": False, "off": False, "n": False, "false": False}


def _found(loc: Loc, data: Any, sentence: str) -> str:
    value = _value(loc, data)
    if loc in ((), ("name",)) or loc[-1] == "url" or isinstance(value, (dict, list)):
        return ""  # the URL of an alert may hold a token
    if isinstance(value, str) and (f'"{visible(value)}"' in sentence or (len(value) > 2 and visible(value) in sentence)):
        return ""
    return f", found {show(value)}"


def _reachable(loc: Loc, data: Any) -> tuple[str | int, ...]:
    """`loc` without what stands for nothing in the data: pydantic adds the names of union members and validators. Its last part
    stays even when it is not there, because it is what is missing; a name with a blank is no field's but a union member's."""
    path: list[str | int] = []
    for position, part in enumerate(loc):
        inside = isinstance(data, dict) and part in data
        if inside or (isinstance(data, list) and isinstance(part, int) and part < len(data)):
            data = data[part]
            path.append(part)
        elif position == len(loc) - 1 and isinstance(data, dict) and isinstance(part, str) and " " not in part:
            path.append(part)
    return tuple(path)


def _value(loc: Loc, data: Any) -> Any:
    for part in loc:
        try:
            data = data[part]
        except (LookupError, TypeError):
            return None
    return data


def _fields(model: type[BaseModel], loc: Loc) -> list[str]:
    """The keys that a mapping at `loc` may have."""
    models: list[type[BaseModel]] = [model]
    for part in loc:
        if isinstance(part, str):
            models = [inner for one in models for field in _named(one, part) for inner in _models(field.annotation)]
    return sorted({field.alias or name for one in models for name, field in one.model_fields.items() if name != "name"})


def _named(model: type[BaseModel], key: str) -> Iterator[FieldInfo]:
    return (field for name, field in model.model_fields.items() if key == (field.alias or name))


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)
