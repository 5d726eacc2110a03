"""Several hosts in one repository, each a folder of this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from state.inventory import Record, parse_inventory
from tests.fleet import Fleet


@dataclass(frozen=True, slots=True)
class Boxes:
    fleet: Fleet
    root: Path

    def folder(self, name: str) -> Path:
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def manifest(self, name: str, rest: str = "", *, head: str = "") -> dict[str, str]:
        """The host's file in the repository; `@` stands for its folder."""
        text = f"address: local\ninventory: @/inventory\n{head}{rest}".replace("@", str(self.folder(name)))
        return {f"hosts/{name}.yaml": text}

    def with_file(self, name: str, content: str, *, file: str = "motd", head: str = "") -> dict[str, str]:
        return self.manifest(name, f'files:\n  @/{file}: {{content: "{content}\\n"}}\n', head=head)

    def text(self, name: str, file: str = "motd") -> str:
        return (self.root / name / file).read_text()

    def record(self, name: str) -> Record:
        return parse_inventory((self.root / name / "inventory" / "inventory").read_bytes()).record
