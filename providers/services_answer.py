"""What `systemctl show` answered, taken apart: one scope for the system and one for each user, with a block per unit.

Used by `services.py` alone, which knows what the blocks mean; here is only decided whether an answer can be trusted at all.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from providers.base import Unknown


@dataclass(slots=True)
class Scope:
    """The answer for the system, or for one user."""

    manager: str
    """alive, dead (the user's is not running), nobody (no such user), closed (we may not look), none (no systemd here)"""
    lingers: bool | None = None
    ran: set[str] = field(default_factory=set)
    sysv: set[str] = field(default_factory=set)
    blocks: list[dict[str, str]] = field(default_factory=list)
    status: str | None = None


def read_scopes(out: bytes) -> dict[str, Scope]:
    """The scopes of an answer. One without its end line was cut and has no status."""
    scopes: dict[str, Scope] = {}
    scope = Scope("none")
    block: dict[str, str] = {}
    for line in out.decode("utf-8", "replace").split("\n"):
        key, equals, value = line.partition("=")
        words = line.split(" ")
        if equals:
            block[key] = value
            continue
        if block:
            scope.blocks.append(block)
            block = {}
        match words:
            case ["scope", number, manager, *rest] if number not in scopes:
                scope = scopes[number] = Scope(manager, lingers=rest == ["yes"] if rest else None)
            case ["manager", "inactive" | "failed"]:
                scope.manager = "dead"
            case ["end", number, status] if scopes.get(number) is scope:
                scope.status = "0" if scope.manager == "dead" else status
            case ["ran", unit]:
                scope.ran.add(unit)
            case ["sysv", unit]:
                scope.sysv.add(unit)
    return scopes


def block_for(scope: Scope, position: int, unit: str, count: int) -> tuple[Scope, dict[str, str]] | Unknown:
    """Where the answer for one unit stands, when the scope as a whole can be trusted."""
    if scope.manager == "none":
        return Unknown("this host is not run by systemd")
    if scope.manager == "closed":
        return Unknown("only root, or the user itself, can ask for the units of this user")
    if scope.status is None:
        return Unknown("the answer of systemctl was cut")
    if scope.status != "0":
        return Unknown(f"systemctl answered with status {scope.status}")
    if scope.manager in {"dead", "nobody"}:
        return scope, {}
    if len(scope.blocks) != count or not _is_about(scope.blocks[position], unit):
        return Unknown("systemctl did not answer for this unit")
    return scope, scope.blocks[position]


def _is_about(block: Mapping[str, str], unit: str) -> bool:
    if not {"LoadState", "ActiveState", "SubState", "UnitFileState", "NeedDaemonReload"} <= block.keys():
        return False
    try:
        return unit in shlex.split(block.get("Names", ""))  # a name with a backslash comes quoted
    except ValueError:
        return False
