"""A package from a `.deb` file of the fleet repository, for software that stands in no repository of apt.

The file is given to apt, not to dpkg, so that what it depends on comes from the host's repositories. One step per file,
since a step carries one content; everything else (who may be removed, locks, repair) is as in `apt.py`. The version that is
wanted is read from the file itself, here and not on the host, so drift is found without sending it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from providers import dpkg
from providers.apt import TOGETHER, alone, begin, marks, moves, order, title, told
from providers.apt_preview import read_preview
from providers.apt_shell import APT
from providers.base import Answer, Change, Detail, Facts, Line, Provider, Step
from providers.debfile import NotReadable, read_control
from providers.dpkg import PackageSpec, PackageState, Version
from providers.shell import Sh, lines, sh


class DebSpec(PackageSpec):
    prefix: ClassVar[str] = "deb/"
    blobs: ClassVar[str | None] = "source"

    source: Annotated[
        Line | None, Field(description="The .deb in the fleet repository", examples=["files/agent_2.1-1_amd64.deb"])
    ] = None
    version: Annotated[
        Version | None,
        Field(description="Version of the file; only needed where its control part is packed with zstd", examples=["2.1-1"]),
    ] = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.present and self.source is None:
            raise ValueError("source must be given: the path of the .deb in this repository")
        if self.version is not None and set(self.version) & set("*?"):
            raise ValueError(f'"{self.version}" is a pattern; a file has one version')
        return self

    def with_body(self, body: bytes) -> Self:
        """MUST be told as a mistake in the repository when it raises `ValueError`: the file is not what the manifest says."""
        try:
            control = read_control(body)
        except NotReadable as problem:
            raise ValueError(f"{self.source}: {problem}") from None
        if control is None and self.version is None:
            raise ValueError(f"{self.source} is packed with zstd, which cannot be looked into here: give its version")
        if control is not None:
            self._compare("package", control.package, self.name.partition(":")[0])
            self._compare("version", control.version, self.version or control.version)
            self._compare("architecture", control.architecture, self.name.partition(":")[2] or control.architecture)
        version = self.version if control is None else control.version
        return super().with_body(body).model_copy(update={"version": version})

    def _compare(self, what: str, found: str, said: str) -> None:
        if found != said:
            raise ValueError(f"{self.source} has {what} {found}, not {said}")

    @property
    def wanted_version(self) -> str | None:
        return self.version


class Deb(Provider[DebSpec, PackageState]):
    name = "deb"
    section = "packages.deb"
    rank = 40
    library = APT
    tools = ("apt-get", "apt-mark", "dpkg", "dpkg-query")
    spec = DebSpec
    state = PackageState

    def probe(self, specs: Sequence[DebSpec]) -> Sh:
        return dpkg.ask(specs)

    def parse(self, out: bytes, specs: Sequence[DebSpec]) -> Mapping[str, Answer[PackageState]]:
        return dpkg.read(out, specs)

    def want(self, spec: DebSpec) -> PackageState | None:
        return dpkg.wanted(spec)

    def steps(self, changes: Sequence[Change[DebSpec, PackageState]], facts: Facts) -> Iterable[Step]:
        for change in changes:
            if change.spec.present and moves(change):
                yield _install(change)
            else:
                yield alone(change, begin([change]), after_common_step=False)

    def look(self, changes: Sequence[Change[DebSpec, PackageState]]) -> Sh | None:
        """Only for removals: the file of an installation is not on the host yet."""
        going = [change for change in changes if change.action == "delete"]
        if not going:
            return None
        words = [word for change in going for word in order(change)]
        return lines([APT, begin(going), sh("apt_preview @words@", words=words)])

    def seen(self, out: bytes, changes: Sequence[Change[DebSpec, PackageState]]) -> Mapping[str, Detail]:
        going = {change.spec.name: change for change in changes if change.action == "delete"}
        return told(read_preview(out, going), list(going.values()))

    def adjust(self, spec: DebSpec, neighbours: Mapping[str, str | None]) -> DebSpec:
        return spec.beside(neighbours)


def _install(change: Change[DebSpec, PackageState]) -> Step:
    """Going back to an older version is allowed: it is exactly the one of the file."""
    spec = change.spec
    run = sh(
        r"""apt_options="$apt_options --allow-downgrades"
apt_file install @name@ @version@ || return""",
        name=spec.name,
        version=spec.wanted_version or "",
    )
    return Step((spec.ref,), title(change), lines([begin([change]), run, *marks(change)]), blob=spec.body, timeout=TOGETHER)
