"""What `reconcile alert test` does: the way of a real message, with one that is none. Called by `alert.py`."""

from __future__ import annotations

import asyncio
import platform
import time
from collections.abc import Sequence
from pathlib import Path

from desired.model import Fleet
from desired.policies import Alert
from desired.secrets.names import secret_path
from desired.secrets.vault import Vault
from desired.text import meant
from providers.secret import Secret
from reconciler.alerts.deliver import apprise_chat
from reconciler.alerts.harmless import harmless_name
from reconciler.alerts.model import Message, Receipt
from reconciler.alerts.route import DEADLINE, Address, Line, address_of, in_thread
from reconciler.cli.loading import load_fleet, tell_uncommitted
from reconciler.cli.screen import Screen
from reconciler.errors import CommandError, Exit
from reconciler.render.lines import line
from reconciler.text import plural


def test_alerts(folder: Path, name: str | None, screen: Screen, *, worktree: bool) -> Exit:
    loaded = load_fleet(folder, worktree=worktree)
    alerts = _chosen(loaded.fleet, name)
    vault = Vault()

    def open_secret(secret: str) -> Secret:
        return vault.open_from(loaded.fleet, secret_path(secret))

    receipts = asyncio.run(_send_all([address_of(alert, open_secret) for alert in alerts], [_message(one) for one in alerts]))
    for alert, receipt in zip(alerts, receipts, strict=True):
        if receipt.ok:
            screen.show(line(("✓ ", "green"), (alert.name, "bold"), ": the message was taken"))
        else:
            screen.show(line(("✗ ", "red"), (alert.name, "bold"), f": {receipt.problem}"))
    failed = sum(not receipt.ok for receipt in receipts)
    if failed:
        screen.tell(line(f"{plural(failed, 'alert')} of {len(alerts)} cannot be told anything: see docs/alerts.md"))
    tell_uncommitted(loaded.uncommitted, screen, "were not used; --worktree takes them")
    return Exit.FAILED if failed else Exit.OK


def _chosen(fleet: Fleet, name: str | None) -> Sequence[Alert]:
    names = [alert.name for alert in fleet.alerts]
    if not names:
        raise CommandError("the fleet has no alerts", "add one to fleet.yaml, as docs/alerts.md shows")
    if name is not None and name not in names:
        raise CommandError(f'there is no alert "{name}"', meant(name, names))
    return [alert for alert in fleet.alerts if name in {None, alert.name}]


def _message(alert: Alert) -> Message:
    words = f"This is a test of the alert {alert.name}, sent by reconcile on {platform.node()} at {time.strftime('%H:%M %Z')}."
    return Message("Test: nothing has happened", harmless_name(f"{words}\nIncidents will look like this."), "info")


async def _send_all(addresses: Sequence[Address], messages: Sequence[Message]) -> list[Receipt]:
    return await asyncio.gather(*(_send(address, message) for address, message in zip(addresses, messages, strict=True)))


async def _send(address: Address, message: Message) -> Receipt:
    if address.url is None:
        return Receipt(ok=False, problem=address.problem)
    chat, url = Line(apprise_chat), address.url
    sending = in_thread("alert test", lambda: chat.send(url, message))
    await asyncio.wait({sending}, timeout=DEADLINE)
    return sending.result() if sending.done() else Receipt(ok=False, problem=f"it has not answered for {int(DEADLINE)} s")
