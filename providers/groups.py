"""Groups: there, with the wanted number.

Who is a member is said at the user (`users.py`), never here. What both kinds share stands here: how the account databases are
asked (`ask_accounts`) and read (`read_accounts`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, TypeAlias

from pydantic import Field

from providers.account import AccountName
from providers.base import Answer, Change, Facts, Provider, Spec, State, Step, Unknown
from providers.shell import Sh, sh

AccountNumber: TypeAlias = Annotated[int, Field(ge=0, le=4294967294)]


def ask_accounts(database: str, names: Sequence[str] = ()) -> Sh:
    """Prints the entries of `passwd` or `group` (all of them without `names`) and then how that went.

    "0" is asked for too: without its answer a database was not read, and nobody can be called absent. No `--` here, because not
    every getent knows it; an account name never begins with a dash. A host without getent has only its own files.
    """
    return sh(
        r"""if command -v getent >/dev/null; then
  getent @database@ @names@
else
  while IFS= read -r line || [ -n "$line" ]; do printf '%s\n' "$line"; done </etc/@database@
fi
printf 'end %s %s\n' @database@ "$?"
""",
        database=database,
        names=("0", *names) if names else (),
    )


@dataclass(frozen=True, slots=True)
class Accounts:
    """One database as it was read: its entries by name, first come first served, as the system does it."""

    entries: Mapping[str, list[str]]
    trouble: str | None = None
    """Why nothing can be told from it."""
    rest: str = ""
    """What the report says after it."""


def read_accounts(text: str, database: str) -> Accounts:
    """The part of a report that `ask_accounts` printed for `database`."""
    before, mark, after = f"\n{text}".partition(f"\nend {database} ")
    status, newline, rest = after.partition("\n")
    if not mark or not newline:
        return Accounts({}, f"the answer about {database} was cut off")
    entries: dict[str, list[str]] = {}
    for line in before.split("\n"):
        fields = line.split(":")
        if len(fields) >= 4:
            entries.setdefault(fields[0], fields)
    if status not in {"0", "2"} or all(fields[2] != "0" for fields in entries.values()):
        return Accounts({}, f"the {database} database could not be read (status {status})")
    return Accounts(entries, rest=rest)


def number(text: str) -> int | None:
    """A uid or gid as a host prints it; None for anything else."""
    return int(text) if re.fullmatch(r"[0-9]{1,10}", text, re.ASCII) else None


class GroupSpec(Spec):
    kind: ClassVar[str] = "group"

    name: AccountName
    gid: Annotated[AccountNumber | None, Field(description="Number; left out: the host chooses one", examples=[2000])] = None
    system: Annotated[bool, Field(description="When it is created: take a number from the system's range")] = False


class GroupState(State):
    gid: int | None = None


class GroupProvider(Provider[GroupSpec, GroupState]):
    name = "group"
    section = "groups"
    rank = 10
    tools = ("groupadd", "groupmod", "groupdel")
    spec = GroupSpec
    state = GroupState

    def probe(self, specs: Sequence[GroupSpec]) -> Sh:
        return ask_accounts("group", [spec.name for spec in specs])

    def parse(self, out: bytes, specs: Sequence[GroupSpec]) -> Mapping[str, Answer[GroupState]]:
        groups = read_accounts(out.decode("utf-8", "backslashreplace"), "group")
        return {spec.name: self._answer(groups, spec.name) for spec in specs}

    @staticmethod
    def _answer(groups: Accounts, name: str) -> Answer[GroupState]:
        if groups.trouble:
            return Unknown(groups.trouble)
        if name not in groups.entries:
            return None
        gid = number(groups.entries[name][2])
        return Unknown("its entry in the group database has no number") if gid is None else GroupState(gid=gid)

    def want(self, spec: GroupSpec) -> GroupState | None:
        return GroupState(gid=spec.gid) if spec.present else None

    def steps(self, changes: Sequence[Change[GroupSpec, GroupState]], facts: Facts) -> Iterable[Step]:
        for change in changes:
            spec = change.spec
            if change.action == "delete":
                yield Step((spec.ref,), f"remove group {spec.name}", _remove(spec.name))
            elif change.action == "create":
                yield Step((spec.ref,), f"add group {spec.name}", _make(spec))
            else:
                yield Step((spec.ref,), f"change group {spec.name}: gid {spec.gid}", _make(spec))


def _make(spec: GroupSpec) -> Sh:
    """The group with its number, whether it is there or not: what a run that was killed left is taken from there."""
    add = sh("groupadd -r") if spec.system else sh("groupadd")
    if spec.gid is None:
        return sh("getent group @name@ >/dev/null || @add@ -- @name@", name=spec.name, add=add)
    return sh(
        """holder=$(getent group @gid@) && holder=${holder%%:*} && [ "$holder" != @name@ ] && {
  printf 'gid %s already belongs to the group %s\\n' @gid@ "$holder"
  exit 1
}
if getent group @name@ >/dev/null; then
  groupmod -g @gid@ -- @name@
else
  @add@ -g @gid@ -- @name@
fi""",
        name=spec.name,
        gid=spec.gid,
        add=add,
    )


def _remove(name: str) -> Sh:
    """Status 6 says that there is no such group: what was asked for. Somebody's primary group groupdel refuses to remove."""
    return sh("groupdel -- @name@ || [ $? = 6 ]", name=name)
