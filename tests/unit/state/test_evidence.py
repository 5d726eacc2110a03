"""Who may have touched a host, as its own tools tell it; and whatever else a host may say."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.evidence import MOST_PATHS, MOST_SESSIONS, Evidence, Session, Touched, ask, evidence_script, parse_evidence
from state.evidence_logs import Elevated, Login, PackageRun
from state.frames import Frame, finished, frames
from state.local import LocalChannel
from state.script import Fragment, compile_probe
from state.target import Target
from tests.unit.state.shells import SHELLS, name_of

NOW = datetime(2026, 3, 5, 14, 10, tzinfo=UTC).timestamp()
CLOCK, WHO, LOGIND, LAST, JOURNAL, DPKG, APT, DATABASES, FILES = range(9)
QUESTIONS = 9
HOSTILE = "/tmp/it's $(touch /nonexistent/x)\n`id` -rf \\ \x80é"


def at(text: str, day: int = 5) -> float:
    return datetime.strptime(f"2026-03-{day:02d} {text}", "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp()


def parse(texts: dict[int, str], *, since: float = NOW - 3600, refs: tuple[str, ...] = (), clock: str = "") -> Evidence:
    answered = {CLOCK: clock or f"{NOW:.0f}\n+0000\n", **texts}
    return parse_evidence({number: Frame("0", text.encode()) for number, text in answered.items()}, refs, since, NOW)


GNU = "ada      pts/0        2026-03-05 14:02 (10.0.0.7)\n"
LOGIND_WHO = "root     sshd         Mar  5 14:02 (172.17.0.1)\nada      sshd pts/0   Mar  5 14:02 (10.0.0.7)\n"
BUSYBOX = "USER       TTY            IDLE  TIME             HOST\nada        pts/0          00:01 Mar  5 14:02:00  10.0.0.7\n"
BUSYBOX_NEW = "USER       TTY      HOST         LOGIN        TIME\nada        pts/0    10.0.0.7     Mar  5 14:02\n"


@pytest.mark.parametrize("who", [GNU, LOGIND_WHO, BUSYBOX, BUSYBOX_NEW])
def test_who_is_logged_in_is_understood_in_the_words_of_every_who(who: str) -> None:
    assert Session("ada", "10.0.0.7", "pts/0", at("14:02:00")) in parse({WHO: who}).sessions


UTIL_LINUX = (
    "ada      pts/0        10.0.0.7         Thu Mar  5 14:02:11 2026   still logged in\n"
    "bob      tty1                          Thu Mar  5 13:20:00 2026 - Thu Mar  5 13:30:00 2026  (00:10)\n"
    "eve      pts/3        10.0.0.9         Wed Mar  4 10:00:00 2026 - Wed Mar  4 10:30:00 2026  (00:30)\n"
    "reboot   system boot  6.1.0            Wed Mar  4 09:00:00 2026   still running\n\nwtmp begins Sun Mar  1 00:00:00 2026\n"
)
BUSYBOX_LAST = "bob      pts/1        10.0.0.8         Thu Mar  5 13:20 - 13:30  (00:10)\n"


def test_who_was_logged_in_of_late_is_told_and_who_was_before_is_not() -> None:
    ada, bob = parse({LAST: UTIL_LINUX}).sessions
    assert ada == Session("ada", "10.0.0.7", "pts/0", at("14:02:11"))
    assert bob == Session("bob", "", "tty1", at("13:20:00"), at("13:30:00"))
    assert parse({LAST: BUSYBOX_LAST}).sessions == (Session("bob", "10.0.0.8", "pts/1", at("13:20:00"), at("13:30:00")),)


def logind(name: str, number: str, origin: str, when: str) -> str:
    return f"Id={number}\nName={name}\nTimestamp=Thu 2026-03-05 {when} UTC\nTTY=\nRemoteHost={origin}\nClass=user\n\n"


def test_a_session_that_two_tools_tell_of_is_one_and_our_own_is_none() -> None:
    sessions = logind("root", "c3", "172.17.0.1", "14:02:10") + logind("ada", "7", "10.0.0.7", "14:02:06")
    found = parse({WHO: LOGIND_WHO, LOGIND: sessions}, clock=f"{NOW:.0f}\n+0000\nown c3\n")
    assert found.sessions == (Session("ada", "10.0.0.7", "pts/0", at("14:02:00")),)


def test_logins_that_have_ended_and_what_ran_through_sudo_come_from_the_journal() -> None:
    second = at("14:03:00")
    text = (
        f"{second:.6f} nas sshd-session[12]: Accepted publickey for ada from 10.0.0.7 port 51234 ssh2: ED25519 SHA256:x\n"
        f"{second:.6f} nas sudo[13]:      ada : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/mysql -pgeheim\n"
        f"{second:.6f} nas sudo[14]:      ops : PWD=/ ; USER=root ; COMMAND=/bin/sh -s\n"
    )
    found = parse({JOURNAL: text})
    assert found.logins == (Login("ada", "10.0.0.7", second),)
    assert found.elevated == (Elevated("ada", "mysql", second),)
    assert "geheim" not in repr(found)


APT_LOG = (
    "\nStart-Date: 2026-03-05  15:05:09\nCommandline: apt upgrade\nRequested-By: ada (1000)\n"
    "Upgrade: openssh-server:amd64 (1:9.2p1-2, 1:9.2p1-3), libc6:amd64 (2.36, 2.37)\nEnd-Date: 2026-03-05  15:05:30\n"
)
DPKG_LOG = (
    "2026-03-05 15:05:12 upgrade openssh-server:amd64 1:9.2p1-2 1:9.2p1-3\n2026-03-05 15:05:13 upgrade libc6:amd64 2.36 2.37\n"
    "2026-03-05 15:08:00 install local-tool:all <none> 1.0\n2026-03-04 10:00:00 remove old:all 1 <none>\n"
)


def test_package_runs_are_told_once_in_the_controllers_time() -> None:
    found = parse({APT: APT_LOG, DPKG: DPKG_LOG, DATABASES: f"apk {at('14:00:00'):.0f}\n"}, clock=f"{NOW:.0f}\n+0100\n")
    assert found.packages == (
        PackageRun(at("14:08:00"), "dpkg", (("install", "local-tool"),)),
        PackageRun(at("14:05:09"), "apt", (("upgrade", "openssh-server"), ("upgrade", "libc6")), "ada"),
        PackageRun(at("14:00:00"), "apk"),
    )


def test_a_host_whose_clock_is_wrong_by_years_tells_the_same() -> None:
    wrong = datetime(2020, 1, 1, 0, 10, tzinfo=UTC).timestamp()
    who = "ada      pts/0        Jan  1 00:02 (10.0.0.7)\n"
    found = parse({WHO: who, FILES: f"0 there {wrong - 60:.0f} 0 ada\n"}, refs=("file:/x",), clock=f"{wrong:.0f}\n+0000\n")
    assert found.sessions == (Session("ada", "10.0.0.7", "pts/0", NOW - 480),)
    assert found.changed == (("file:/x", Touched(NOW - 60, "ada")),)


@given(st.dictionaries(st.integers(0, 12), st.binary(max_size=400)), st.lists(st.text(max_size=20), max_size=3))
def test_whatever_a_host_says_is_read_without_a_fault(texts: dict[int, bytes], refs: list[str]) -> None:
    parse_evidence({number: Frame("0", text) for number, text in texts.items()}, refs, NOW - 3600, NOW)


@given(st.integers(0, 8), st.data())
def test_what_is_almost_right_is_read_without_a_fault(number: int, data: st.DataObject) -> None:
    right = {WHO: LOGIND_WHO, LOGIND: logind("a", "1", "h", "14:00:00"), LAST: UTIL_LINUX, DPKG: DPKG_LOG, APT: APT_LOG}
    text = list(right.get(number, f"{NOW:.0f} nas sshd[1]: Accepted x for y from z port 1\n0 there 99999999999 0 x\n+9999"))
    for _ in range(data.draw(st.integers(0, 6))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.sampled_from("0919:- \n/\x00é$"))
    found = parse({number: "".join(text)}, refs=("file:/x",))
    assert len(found.sessions) <= MOST_SESSIONS


def test_a_host_that_talks_for_ever_is_cut_short() -> None:
    who = "".join(f"user{number}     pts/{number}        2026-03-05 14:02 (10.0.0.7)\n" for number in range(5000))
    journal = "".join(
        f"{NOW - 60:.0f} nas sshd[1]: Accepted x for {'u' * 500}{number} from z port 1\n" for number in range(5000)
    )
    found = parse({WHO: who[:5000], JOURNAL: journal})
    assert len(found.sessions) <= MOST_SESSIONS
    assert len(found.logins) <= MOST_SESSIONS
    assert all(len(login.user) <= 80 for login in found.logins)


@pytest.mark.parametrize("shell", SHELLS, ids=name_of)
def test_every_shell_understands_the_questions(shell: list[str], tmp_path: Path) -> None:
    there = tmp_path / "it's $(a)\nfile"
    there.write_text("x")
    paths = [str(there), str(tmp_path / "gone"), "/nonexistent/for/ever", "-n"]
    script = compile_probe([Fragment(run) for run in evidence_script(paths, 60)])
    done = subprocess.run(shell, input=script.text, capture_output=True, timeout=60, check=False)
    assert finished(done.stdout, script.nonce), done.stderr
    answered = frames(done.stdout, done.stderr, script.nonce)
    assert sorted(answered) == list(range(QUESTIONS))
    assert all(frame.ok for frame in answered.values()), {number: frame.err for number, frame in answered.items()}
    found = parse_evidence(answered, ["a", "b", "c", "d"], 0.0, datetime.now(UTC).timestamp())
    assert [(ref, touched.missing) for ref, touched in found.changed] == [("a", False), ("b", True)]


async def test_this_machine_answers_and_a_hostile_path_does_nothing(tmp_path: Path) -> None:
    (tmp_path / "motd").write_text("hello\n")
    now = datetime.now(UTC).timestamp()
    channel = LocalChannel(Target(name="here", host="local"))
    paths = {"file:motd": str(tmp_path / "motd"), "file:bad": HOSTILE, "file:nul": "a\0b"}
    paths |= {f"file:{number}": f"/nonexistent/{number}" for number in range(MOST_PATHS * 2)}
    found = await ask(channel, paths, now - 600)
    await channel.close()
    changed = dict(found.changed)
    assert abs(changed["file:motd"].at - now) < 60
    assert not changed["file:motd"].missing
    assert len(changed) <= MOST_PATHS
