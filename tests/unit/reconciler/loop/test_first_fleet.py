"""A loop that begins without a usable commit: the first one is found soon, and what was wrong until then is told as over."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from reconciler.incidents.desk import Desk
from reconciler.incidents.model import Telling
from reconciler.loop.engine import Loop
from reconciler.loop.following import Followed, Follower
from reconciler.loop.holds import Keepers
from reconciler.loop.patience import Patience
from reconciler.loop.places import LocalPlace
from reconciler.policy import policy_hold
from tests.fleet import Fleet
from tests.unit.reconciler.incidents.scene import Paper
from tests.unit.reconciler.loop.boxes import Boxes
from tests.unit.reconciler.loop.turning import LONG, Recorder, until


class Chat(Recorder):
    """Knows whom to tell as soon as there is a fleet, and speaks at the next turn of the event loop."""

    def __init__(self) -> None:
        super().__init__()
        self.tellings: list[Telling] = []
        self.sent: list[str] = []

    def followed(self, followed: Followed) -> None:
        super().followed(followed)
        if followed.fleet is not None:
            asyncio.get_running_loop().call_soon(lambda: self.sent.extend(telling.stage for telling in self.tellings))


async def test_the_first_usable_commit_is_found_soon_and_ends_what_was_wrong_in_one_message(
    fleet: Fleet, boxes: Boxes, state: Path
) -> None:
    fleet.commit({"fleet.yaml": "interval: [nowhere\n"})
    chat, desk, patience, skipped = Chat(), Desk(Paper()), Patience(), 0.0
    desk.tell = chat.tellings.append
    loop = Loop(
        Follower(LocalPlace(fleet.root), state),
        Keepers(policy_hold, patience),
        patience,
        (chat, desk),
        wall=lambda: time.time() + skipped,
    )
    running = asyncio.ensure_future(loop.run())
    try:
        await until(lambda: chat.seen and desk.incidents)
        skipped = 20.0
        await until(lambda: chat.tellings)
        fleet.commit({"fleet.yaml": LONG, **boxes.with_file("nas", "hello")})
        begun = time.monotonic()
        await until(lambda: chat.sent)
        assert time.monotonic() - begun < 30, "nobody waits a minute for it"
        assert chat.sent == ["opened", "closed"], "both are known before anything is sent"
    finally:
        loop.stop()
        await running
