"""docs/following.md: its steps can be followed, and its table knows every kind of problem."""

from __future__ import annotations

import re
from typing import get_args

from reconciler.loop.following import FollowProblemKind
from tests.fleet import Fleet
from tests.sshd import make_key
from tests.unit.docs.documents import ROOT, Reader


def test_a_reader_can_sign_commits_as_the_page_shows(fleet: Fleet) -> None:
    make_key(fleet.home / ".ssh" / "id_ed25519")
    fleet.commit({"fleet.yaml": "", "hosts/web.yaml": "address: local\n"})
    reader = Reader.of(fleet)
    reader.where = fleet.root
    reader.follow("docs/following.md")
    assert "gpgsig -----BEGIN SSH SIGNATURE-----" in fleet.git("cat-file", "commit", "HEAD")
    assert fleet.run("plan").code == 0


def test_every_kind_of_problem_is_explained() -> None:
    text = (ROOT / "docs" / "following.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == set(get_args(FollowProblemKind))
