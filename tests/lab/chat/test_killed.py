"""A controller that loses its life in the middle of what it says, and `reconcile alert test` as an operator runs it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.fleet import Fleet
from tests.lab.chat.servers import ChatServer

ROOT = Path(__file__).parents[3]
INCIDENTS = 5
PROGRAM = """
import asyncio, sys, time
from pathlib import Path
from desired.model import Fleet
from desired.policies import Alert
from reconciler.alerts.outbox import Alerts
from reconciler.history.store import History
from reconciler.incidents.model import Incident, Member, Telling

folder, url, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
history = History.open(folder, now=time.time())
alerts = Alerts(history)
alerts.configure(Fleet(commit=None, hosts={}, alerts=(Alert(name="ops", url=url),)), lambda name: None)
for number in range(count):
    now = time.time()
    member = Member(host=f"web{number}", ref="file:/etc/motd", what="its content differs", since=now, seen=now)
    incident = Incident(id=f"a{number}", event="drift", opened=now, touched=now, members=(member,))
    alerts.put(Telling(incident, "opened", now))
    history.save_incident(incident)
asyncio.run(alerts.flush())
history.close()
"""


def begin(folder: Path, url: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", PROGRAM, str(folder), url, str(INCIDENTS)], cwd=ROOT)


def test_killed_while_it_speaks_it_goes_on_where_it_was(matrix: ChatServer, tmp_path: Path) -> None:
    room = matrix.room()
    kills = (2,)
    for messages in kills:
        running = begin(tmp_path, matrix.address(room))
        end = time.monotonic() + 30
        while len(matrix.said(room)) < messages and time.monotonic() < end:
            time.sleep(0.01)
        running.kill()
        running.wait()
    assert begin(tmp_path, matrix.address(room)).wait(60) == 0
    counts = Counter(said.text.partition("\r\n")[0] for said in matrix.said(room))
    assert set(counts) == {f"# Opened: drift of file:/etc/motd on web{number}" for number in range(INCIDENTS)}
    assert sum(counts.values()) <= INCIDENTS + len(kills), "more than the message that was on its way was repeated"


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """A fleet without hosts, whose operator can open its secrets."""
    fleet = Fleet.create(tmp_path)
    key = fleet.home / ".ssh" / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    fleet.write({"fleet.yaml": ""})
    assert fleet.run("secret", "recipients", "--add", f"{key}.pub").code == 0
    return fleet


def test_an_operator_tries_an_alert(fleet: Fleet, server: ChatServer) -> None:
    room = server.room()
    assert fleet.run("secret", "encrypt", "alerts/ops", "-", stdin=server.address(room)).code == 0
    fleet.commit({"fleet.yaml": "alerts: [{name: ops, url: {secret: alerts/ops}, severity: error}]\n"})
    done = fleet.run("alert", "test")
    assert (done.code, done.out) == (0, "✓ ops: the message was taken\n"), done
    (said,) = server.said(room)
    assert "Test: nothing has happened" in said.text
    assert "This is a test of the alert ops" in said.text


def test_an_operator_learns_what_the_server_answered_and_no_password_is_shown(fleet: Fleet, server: ChatServer) -> None:
    address = server.address(server.room())
    scheme, _, rest = address.partition("://")
    wrong = f"{scheme}://ops:wrong-password-4711@{rest.rpartition('@')[2]}"
    fleet.commit({"fleet.yaml": f"alerts: [{{name: ops, url: '{wrong}'}}]\n"})
    done = fleet.run("alert", "test", "ops")
    assert done.code == 3, done
    assert done.out in {
        "✗ ops: it answered 401 (Unauthorized)\n",
        "✗ ops: it answered 403 (Forbidden)\n",
    }, done
    assert "wrong-password" not in done.out + done.err
