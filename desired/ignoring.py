"""Differences that do not count: which resources and fields a rule of `ignore` means, and what is left to compare.

Checked by `desired/policy_checks.py`; applied by `reconciler/draft.py` and `reconciler/check.py`. What is ignored is taken as
if it were as asked, or as if nothing were asked of it, so that no kind of resource has to know of rules: it is not compared,
shown, counted or done.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from fnmatch import translate
from functools import lru_cache
from typing import Any, TypeAlias, TypeVar

from desired.policies import IgnoreRule
from desired.text import listing
from providers.base import Provider, Spec, State
from providers.patterns import Patterns
from providers.registry import PROJECT_PROVIDERS, PROVIDERS, provider_of

AnyProvider: TypeAlias = Provider[Any, Any]
SpecT = TypeVar("SpecT", bound=Spec)
StateT = TypeVar("StateT", bound=State)

_ESSENTIAL = frozenset(
    (
        *("type", "status", "done", "tree", "commit", "branch", "current", "slot", "settled", "soaked", "quarantine"),
        *("earlier", "refused", "added", "kept", "formerly", "id"),
    )
)
"""Fields without which it would not be the thing that is asked for, and those that are never compared: no rule means them."""
_WORDS = {"digest": "content"}
"""Fields that people know by another name."""
_GUARDING = frozenset(("owner", "group", "mode", "acl"))
"""Fields by which a kind judges who may see a content: they stay what they are, also where they do not count."""
_IN_TREE = ("edited", "missing", "modes")
"""Fields of a deployed tree that are lists of its files."""
_WILD = re.compile(r"[*?\[]")


def _fields(provider: AnyProvider) -> frozenset[str]:
    return frozenset(provider.state.model_fields) - _ESSENTIAL


def words_of(provider: AnyProvider) -> frozenset[str]:
    """The fields of a kind that a rule may name."""
    return frozenset(_WORDS.get(name, name) for name in _fields(provider))


def fields_of(provider: AnyProvider, word: str) -> frozenset[str]:
    """The fields of a kind's state that a word of a rule means."""
    return frozenset(name for name in _fields(provider) if _WORDS.get(name, name) == word)


def kinds_meant(pattern: str) -> list[AnyProvider]:
    """The kinds of which some resource could match a pattern."""
    wild = _WILD.search(pattern)
    if wild is None:
        try:
            return [provider_of(pattern)]
        except KeyError:
            return []
    literal = pattern[: wild.start()]
    everything = (*PROVIDERS, *PROJECT_PROVIDERS)
    beginnings = {f"{provider.spec.kind}:{provider.spec.prefix}": provider for provider in everything}
    if ":" not in literal:
        matches = matcher(pattern.partition(":")[0])
        return [provider for provider in everything if matches(provider.spec.kind)]
    within = max((beginning for beginning in beginnings if literal.startswith(beginning)), key=len, default=None)
    return [one for beginning, one in beginnings.items() if beginning == within or beginning.startswith(literal)]


@lru_cache(maxsize=1024)
def matcher(pattern: str) -> Callable[[str], bool]:
    """Whether a reference is meant: `*` stands for anything, slashes included."""
    compiled = re.compile(translate(pattern))
    return lambda ref: compiled.match(ref) is not None


@lru_cache(maxsize=1024)
def _patterns(paths: tuple[str, ...]) -> Patterns:
    return Patterns(paths)


def overlook(rules: Sequence[IgnoreRule], ref: str, before: StateT, after: State) -> tuple[StateT, frozenset[str]]:
    """`before` as it counts, where what a rule says may differ is as `after` asks for it; and the fields that may differ."""
    mine = [rule for rule in rules if matcher(rule.resource)(ref)]
    if not mine:
        return before, frozenset()
    ignored = _ignored(mine, provider_of(ref))
    found: dict[str, Any] = {}
    for rule in mine:
        if rule.paths:
            found |= _without(before, _patterns(rule.paths))
    for name in ignored - _GUARDING:
        if getattr(after, name) is not None:
            found[name] = getattr(after, name)
    return before.model_copy(update=found) if found else before, ignored


def unmanaged(rules: Sequence[IgnoreRule], spec: SpecT) -> SpecT:
    """What is asked of something that is there already: its owner and permissions are left alone where they may differ."""
    ignored = _GUARDING & _ignored([rule for rule in rules if matcher(rule.resource)(spec.ref)], provider_of(spec.ref))
    for name in sorted(ignored & type(spec).model_fields.keys()):
        freed = spec.model_copy(update={name: None})
        if getattr(provider_of(spec.ref).want(freed), name, None) is None:
            spec = freed
    return spec


def set_back(rules: Sequence[IgnoreRule], ref: str, before: State, after: State) -> str | None:
    """What may differ and does, and would be as asked again if the whole resource were made anew: in words, for a notice."""
    counted, _ = overlook(rules, ref, before, after)
    differing = [name for name in type(before).model_fields if getattr(before, name) != getattr(counted, name)]
    words = [_WORDS.get(name, name) for name in differing if name not in _IN_TREE]
    for name in differing:
        if name in _IN_TREE:
            words += [path for path in getattr(before, name) if path not in getattr(counted, name)]
    return f"may differ, and may be as asked again after this change: {listing(words)}" if words else None


def _ignored(rules: Iterable[IgnoreRule], provider: AnyProvider) -> frozenset[str]:
    found: set[str] = set()
    for rule in rules:
        if rule.fields:
            found.update(*(fields_of(provider, word) for word in rule.fields))
        elif not rule.paths:
            found |= _fields(provider)
    return frozenset(found)


def _without(before: State, patterns: Patterns) -> dict[str, tuple[str, ...]]:
    """The lists of files without those that may differ."""
    lists = {name: value for name in _IN_TREE if isinstance(value := getattr(before, name, None), tuple)}
    return {name: tuple(path for path in paths if not patterns.matches(path)) for name, paths in lists.items()}
