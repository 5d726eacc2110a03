"""A fleet with a project whose repository lies on this machine, and all that is kept from one cycle to the next."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from desired.deploy.expand import Cache, expand
from desired.git import commit_source, open_repository
from desired.load import load
from desired.model import Fleet as Desired
from desired.model import Resource
from desired.scan.scanner import Scanner
from desired.secrets.identities import find_identities
from desired.secrets.vault import Vault
from desired.sources.resolve import Sources
from providers.releases.model import ReleaseSpec
from providers.tree import Tree
from tests.fleet import Fleet
from tests.unit.desired.keys import AgeKey
from tests.unit.desired.origin import Origin
from tests.unit.desired.support import Files

NAS = "address: ops@nas.lan\ntags: [docker]\n"


@dataclass
class Works:
    fleet: Fleet
    origin: Origin
    sources: Sources
    key: AgeKey
    vault: Vault
    scanner: Scanner = field(default_factory=lambda: Scanner(None))
    cache: Cache = field(default_factory=Cache)

    @classmethod
    def create(cls, fleet: Fleet, folder: Path) -> Works:
        key = AgeKey.make().give(fleet)
        vault = Vault(lambda: find_identities({"HOME": str(fleet.home)}))
        return cls(fleet, Origin.create(folder / "site"), Sources(folder / "cache"), key, vault)

    def project(self, more: str = "", *, path: str = "/srv/site", origin: Origin | None = None) -> str:
        """A project file."""
        root = (origin or self.origin).root
        return f"source: {root}\nrevision: main\ndeploy: [{{host: nas, path: {path}}}]\n{more}"

    def cycle(self, files: Files | None = None) -> Desired:
        """A commit of the fleet, if there are files; then it is loaded, and the sources are asked again."""
        if files is not None:
            self.fleet.commit({"fleet.yaml": "", "hosts/nas.yaml": NAS, **files})
        found = load(commit_source(open_repository(self.fleet.root)))
        self.sources.refresh()
        return expand(found, self.sources, self.vault, self.scanner, cache=self.cache)

    def deploy(self, more: str = "", **others: str | bytes) -> Desired:
        """A cycle with a project file, and encrypted files named by their keyword."""
        secrets = {
            f"secrets/{name}.age": self.key.encrypt(value.encode() if isinstance(value, str) else value)
            for name, value in others.items()
        }
        return self.cycle({"projects/site.yaml": self.project(more), **secrets})


def resources(found: Desired, host: str = "nas") -> dict[str, Resource]:
    return {resource.ref: resource for resource in found.hosts[host].resources}


def tree(found: Desired, name: str = "site") -> Tree:
    """What the release installs."""
    spec = resources(found)[f"release:{name}"].spec
    assert isinstance(spec, ReleaseSpec)
    return spec.files


def warnings(found: Desired) -> list[str]:
    return [str(one) for one in found.warnings]


def blocked(found: Desired) -> dict[str, str]:
    """Reference → why it is blocked."""
    return {ref: one.blocked for ref, one in resources(found).items() if one.blocked is not None}
