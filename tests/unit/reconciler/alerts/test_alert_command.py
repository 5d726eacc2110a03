"""`reconcile alert test`, as an operator runs it; real chats are asked in tests/lab/chat."""

from __future__ import annotations

import json

from tests.fleet import Fleet
from tests.unit.reconciler.alerts.inbox import Inbox


def alerts(*urls: object) -> dict[str, str | bytes | None]:
    return {"fleet.yaml": json.dumps({"alerts": [{"name": f"chat{number}", "url": url} for number, url in enumerate(urls)]})}


def test_all_alerts_are_tried_and_each_answer_is_said(fleet: Fleet, inbox: Inbox) -> None:
    fleet.commit(alerts(f"json://127.0.0.1:{inbox.port}/x", "json://127.0.0.1:9/x", "nonsense://x"))
    done = fleet.run("alert", "test")
    assert done.code == 3, done
    assert done.out.splitlines() == [
        "✓ chat0: the message was taken",
        "✗ chat1: it does not answer",
        "✗ chat2: its address is none that Apprise understands",
    ]
    assert "2 alerts of 3 cannot be told anything" in done.err
    (got,) = inbox.got
    assert got["title"] == "Test: nothing has happened"
    assert got["message"].startswith("This is a test of the alert chat0, sent by reconcile on ")


def test_one_alert_can_be_tried_alone_before_it_is_committed(fleet: Fleet, inbox: Inbox) -> None:
    fleet.commit({"fleet.yaml": ""})
    fleet.write(alerts("json://127.0.0.1:9/x", f"json://127.0.0.1:{inbox.port}/x"))
    done = fleet.run("alert", "test", "chat1", "--worktree")
    assert (done.code, done.out) == (0, "✓ chat1: the message was taken\n"), done


def test_a_secret_that_cannot_be_opened_is_said(fleet: Fleet) -> None:
    fleet.commit(alerts({"secret": "alerts/ops"}) | {"secrets/alerts/ops.age": "age-encryption.org/v1\n"})
    done = fleet.run("alert", "test")
    assert done.code == 3, done
    assert done.out.startswith("✗ chat0: its address is not known: secrets/alerts/ops.age ")


def test_a_name_that_there_is_not_is_answered_with_the_nearest(fleet: Fleet) -> None:
    fleet.commit(alerts("json://127.0.0.1:9/x"))
    done = fleet.run("alert", "test", "chat")
    assert done.code == 1
    assert 'there is no alert "chat"' in done.err
    assert "chat0" in done.err


def test_a_fleet_without_alerts_says_how_to_get_one(fleet: Fleet) -> None:
    fleet.commit({"fleet.yaml": ""})
    done = fleet.run("alert", "test")
    assert done.code == 1
    assert "the fleet has no alerts" in done.err
