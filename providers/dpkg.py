"""What dpkg says about packages: the state, the probe and the parser that `apt.py` and `deb.py` share.

Both kinds ask for the same thing, a package of a name, and differ only in where it comes from. The whole question costs two
processes however many packages there are: dpkg-query reads dpkg's database once (3 ms), grep reads apt's list of what was
installed automatically (1 ms; `apt-mark showmanual` would say the same in 200 ms). dpkg-query has no way to answer with
numbers, so the names come back as text; they are dpkg's own, and only one that was asked for is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, PrivateAttr

from providers.base import Answer, Line, Spec, State, Unknown
from providers.shell import Sh, sh

_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]*[a-z0-9+.](:[a-z0-9]+)?")
_VERSION = re.compile(r"[A-Za-z0-9*?][A-Za-z0-9.+~:*?-]*")
FIELDS = r"${Package}\t${Architecture}\t${db:Status-Want}\t${db:Status-Eflag}\t${db:Status-Status}\t${Version}\n"


def _package_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(
            f'"{value}" is no name of a package: expected lower case letters, digits, "+", "." and "-", at least two of them, '
            'no "-" at the end, and perhaps an architecture, as in libc6:i386'
        )
    if value.partition(":")[2] in {"any", "all", "native"}:
        raise ValueError(f'"{value}" names no architecture: leave ":{value.partition(":")[2]}" out, or write one, as in :i386')
    return value


def _version(value: str) -> str:
    if _VERSION.fullmatch(value):
        return value
    raise ValueError(f'"{value}" is no version of a package: expected one as in "1.26.3-3", or a pattern as in "1.26.*"')


PackageName: TypeAlias = Annotated[str, AfterValidator(_package_name)]
"""A Debian package. Neither an option, nor one of the suffixes (`nginx-`) by which apt takes a name for another order."""
Version: TypeAlias = Annotated[Line, AfterValidator(_version)]
"""A version, or a pattern with `*` and `?`: both the shell's `case` and `fnmatch` read it alike."""


class PackageSpec(Spec):
    """What both kinds of package have."""

    kind = "package"

    name: PackageName
    _declared: frozenset[str] = PrivateAttr(default=frozenset())
    hold: Annotated[
        bool | None,
        Field(description="true: apt must not change it by itself (as apt-mark hold); false: it may; left out: as it is"),
    ] = None

    @property
    def declared(self) -> frozenset[str]:
        """The packages that the manifest of the host speaks of."""
        return self._declared

    def beside(self, neighbours: Iterable[str]) -> Self:
        """A copy that knows what else is declared, by reference."""
        copy = self.model_copy()
        names = (ref.rpartition("/")[2] for ref in neighbours if ref.startswith("package:"))
        copy._declared = frozenset(names)  # noqa: SLF001 our own
        return copy

    @property
    def wanted_version(self) -> str | None:
        """The version that is asked for, or a pattern that it must match; None: any will do."""
        return None

    @property
    def wants_purge(self) -> bool:
        """Whether nothing at all may stay of an absent package."""
        return False


class PackageState(State):
    """A package as dpkg and apt know it."""

    status: str | None = None
    """"installed", or the word of dpkg for a package on which work was broken off: "unpacked", "half-configured" …"""
    version: str | None = None
    """The pattern of the spec where it is fulfilled, the version itself otherwise: so the two compare as they are."""
    hold: bool | None = None
    manual: bool | None = None
    """False: it came as a dependency, and `apt-get autoremove` takes it away with what needed it."""


def wanted(spec: PackageSpec) -> PackageState | None:
    """The state that satisfies `spec`. What is declared is wanted for itself, so it never counts as automatically installed."""
    if not spec.present:
        return None
    return PackageState(status="installed", version=spec.wanted_version, hold=spec.hold, manual=True)


def ask(specs: Sequence[PackageSpec]) -> Sh:
    """The question. `dpkg` itself is asked for too: its row proves that the database was read, and names the architecture."""
    names = sorted({spec.name.partition(":")[0] for spec in specs})
    return sh(
        r"""dpkg-query -W -f=@fields@ -- dpkg @names@
status=$?
if [ "$status" -gt 1 ]; then exit "$status"; fi # 1 only means: some names are not known
if [ -e /var/lib/apt/extended_states ]; then
  grep -F -x -A 2 @patterns@ /var/lib/apt/extended_states
  status=$?
  if [ "$status" -gt 1 ]; then exit "$status"; fi
fi
echo end""",
        fields=FIELDS,
        names=names,
        patterns=[word for name in names for word in ("-e", f"Package: {name}")],
    )


Status: TypeAlias = Literal["absent", "leftover", "there"]


@dataclass(frozen=True, slots=True)
class Row:
    """One package of one architecture."""

    architecture: str
    want: str
    status: str
    version: str

    @property
    def presence(self) -> Status:
        if self.status == "not-installed":
            return "absent"
        return "leftover" if self.status == "config-files" else "there"


@dataclass(slots=True)
class Report:
    """The answer to `ask`, taken apart."""

    native: str = ""
    rows: dict[str, list[Row]] = field(default_factory=dict)
    automatic: set[tuple[str, str]] = field(default_factory=set)

    def find(self, name: str) -> tuple[str, Row | None]:
        """The architecture that `name` means, and the package. Without one it is the host's own, where `all` fits too."""
        bare, _, architecture = name.partition(":")
        architecture = architecture or self.native
        fitting = {architecture, "all"} if architecture == self.native else {architecture}
        rows = [row for row in self.rows.get(bare, []) if row.architecture in fitting]
        order: tuple[Status, ...] = ("there", "leftover", "absent")
        return architecture, min(rows, key=lambda row: order.index(row.presence), default=None)


def take_apart(out: bytes) -> Report | None:
    """None when anything in the answer is not as it should be: then nothing can be told from it."""
    lines = out.decode("utf-8", "backslashreplace").split("\n")
    if len(lines) < 2 or lines[-2:] != ["end", ""]:
        return None
    report = Report()
    package = architecture = ""
    for line in lines[:-2]:
        columns = line.split("\t")
        if len(columns) == 6:
            name, architecture, want, flag, status, version = columns
            status = status if flag == "ok" else f"{status}, reinstallation required"
            report.rows.setdefault(name, []).append(Row(architecture, want, status, version))
        elif line.startswith("Package: "):
            package, architecture = line.removeprefix("Package: "), ""
        elif line.startswith("Architecture: "):
            architecture = line.removeprefix("Architecture: ")
        elif line == "Auto-Installed: 1":
            report.automatic.add((package, architecture))
        elif line not in {"--", "", "Auto-Installed: 0"}:
            return None
    report.native = next((row.architecture for row in report.rows.get("dpkg", []) if row.presence == "there"), "")
    return report if report.native else None


def read(out: bytes, specs: Iterable[PackageSpec]) -> Mapping[str, Answer[PackageState]]:
    """The answer to `ask`. A package of which only configuration is left counts as absent, unless that shall go too."""
    report = take_apart(out)
    if report is None:
        return {spec.name: Unknown("the answer of dpkg-query was cut off or is not readable") for spec in specs}
    return {spec.name: _answer(report, spec) for spec in specs}


def _answer(report: Report, spec: PackageSpec) -> PackageState | None:
    architecture, row = report.find(spec.name)
    if row is None or row.presence == "absent":
        return None
    if row.presence == "leftover":
        return PackageState(status=row.status, version=row.version) if spec.wants_purge and not spec.present else None
    pattern = spec.wanted_version
    return PackageState(
        status=row.status,
        version=pattern if pattern is not None and fnmatchcase(row.version, pattern) else row.version,
        hold=row.want == "hold",
        manual=(spec.name.partition(":")[0], architecture) not in report.automatic,
    )
