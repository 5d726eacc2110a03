"""One controller that follows a fleet: its folders, and a follower that can be started anew at any time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from desired.model import Fleet as Desired
from providers.files import FileSpec
from reconciler.loop.following import Followed, Follower, FollowProblem
from reconciler.loop.places import LocalPlace, Place, RemotePlace
from tests.fleet import Fleet, Result

MOTD = "address: root@{name}.lan\nfiles: {{/etc/motd: {{content: {text}}}}}\n"


def host(name: str, text: str = "hello") -> dict[str, str | bytes | None]:
    return {f"hosts/{name}.yaml": MOTD.format(name=name, text=text)}


@dataclass(frozen=True)
class Controller:
    """`state` and `cache` survive a restart."""

    fleet: Fleet
    state: Path
    cache: Path

    def begin(self, *names: str) -> str:
        """A fleet with these hosts; its commit."""
        files: dict[str, str | bytes | None] = {"fleet.yaml": ""}
        for name in names or ("nas", "web"):
            files |= host(name)
        return self.fleet.commit(files)

    def start(self, place: Place | None = None, signers: Path | None = None) -> Follower:
        return Follower(place or LocalPlace(self.fleet.root), self.state, signers=signers, cache=self.cache)

    def remote(self, url: str | Path | None = None, branch: str = "main") -> Follower:
        return self.start(RemotePlace(str(url or self.fleet.root), branch))

    def accept(self, commit: str) -> Result:
        return self.fleet.run("accept", commit, "--state", str(self.state))


def fleet_of(followed: Followed) -> Desired:
    assert followed.fleet is not None, followed.problems
    return followed.fleet


def only(followed: Followed) -> FollowProblem:
    assert len(followed.problems) == 1, followed.problems
    assert followed.problems[0].message
    assert followed.problems[0].hint
    return followed.problems[0]


def text_of(followed: Followed, name: str) -> str:
    """The content of the one file on a host."""
    [resource] = fleet_of(followed).hosts[name].resources
    assert isinstance(resource.spec, FileSpec)
    assert isinstance(resource.spec.content, str)
    return resource.spec.content
