"""docs/secrets.md as a reader would follow it, in a fleet of their own."""

from __future__ import annotations

from pathlib import Path

from tests.fleet import Fleet
from tests.sshd import make_key
from tests.unit.docs.documents import Reader


def test_a_reader_can_do_everything_that_the_page_on_secrets_shows(fleet: Fleet) -> None:
    make_key(fleet.home / ".ssh" / "id_ed25519")
    fleet.commit({"fleet.yaml": "", "hosts/web.yaml": "address: local\n"})
    reader = Reader.of(fleet)
    reader.where = fleet.root
    reader.follow("docs/secrets.md")
    assert sorted(Path(path).name for path in fleet.root.glob("secrets/**/*.age")) == ["door.age", "token.age"]
