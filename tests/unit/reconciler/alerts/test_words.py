"""A message says what, where, since when, what was done and what to do next, on the screen of a telephone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.secret import remember
from reconciler.alerts.digest import message_of
from reconciler.alerts.model import BODY, TITLE, Delivery, Message, Parcel, Saying
from reconciler.alerts.words import lasted, message, moment
from reconciler.incidents.model import ENDINGS, Incident
from tests.unit.reconciler.alerts.stories import DAY, HOUR, NOON, PARIS, flood, incident, member, over
from tests.unit.reconciler.alerts.test_harmless import hostile


def filed(one: Incident, **more: Any) -> Delivery:
    return Delivery(id=f"ops/{one.id}", alert="ops", incident=one, at=NOON, **more)


def worded(one: Incident, saying: Saying = "opened", now: float = NOON + 60) -> Message:
    return message(filed(one), saying, now, PARIS)


def test_a_drift_that_opens() -> None:
    one = incident("a1", member(lines=("-welcome", "+hacked"), evidence=("ada from 10.0.0.7 (pts/0), since 12:01",)))
    told = worded(one)
    assert told.title == "Opened: drift of file:/etc/motd on nas"
    assert told.body == (
        "warning, since 12:02 CET\n"
        "its content differs\n"
        "│ -welcome\n"
        "│ +hacked\n"
        "Perhaps: ada from 10.0.0.7 (pts/0), since 12:01\n"
        "Next: reconcile why file:/etc/motd --host nas"
    )


def test_the_same_is_reminded_of_and_ends() -> None:
    reminder = worded(incident(), "reminded", NOON + 2 * DAY)
    assert reminder.title == "Still: drift of file:/etc/motd on nas"
    assert "since 20 Nov 12:02 CET (2 days)" in reminder.body
    end = worded(over(incident()), "closed", NOON + 500)
    assert end.title == "Over: drift of file:/etc/motd on nas"
    assert end.body == "12:02 CET to 12:10 CET (8 min)\nits content differs\nDone: put right"
    assert end.over


def test_what_opened_and_closed_meanwhile_is_one_message_with_its_diff() -> None:
    told = worded(over(incident("a1", member(lines=("-a", "+b")))), "passed", NOON + 500)
    assert told.title == "Opened and over: drift of file:/etc/motd on nas"
    assert "│ +b" in told.body
    assert "Next" not in told.body


def test_how_it_ended_is_told_apart_from_what_we_did() -> None:
    both = incident("a1", member("nas"), member("web1"))
    assert "Done: put right" in worded(over(both), "closed").body
    ended = over(both, how="accepted", done=ENDINGS["accepted"])
    assert "Ended: git now asks for what is there" in worded(ended, "closed").body


def test_a_thousand_drifts_are_one_short_message() -> None:
    told = worded(flood())
    assert told.title == "Opened: drift of 1000 resources on 50 hosts"
    assert "· file:/etc/conf0: 50 hosts: web0, web1, web10 and 47 more" in told.body
    assert "and 600 more; reconcile drift shows them" in told.body
    assert len(told.body) < 1000


def test_a_few_that_differ_are_each_said_in_a_sentence() -> None:
    motd, ssh = (
        member("nas", what="file:/etc/motd drifted: content"),
        member("nas", "service:ssh", "service:ssh drifted: running"),
    )
    told = worded(incident("a1", motd, ssh, member("web1", "service:ssh", "service:ssh drifted: running")))
    assert told.title == "Opened: drift of 3 resources on nas and web1"
    assert told.body.splitlines()[1:4] == [
        "· nas, web1",
        "· service:ssh drifted: running (2)",
        "· file:/etc/motd drifted: content",
    ]


def test_members_that_were_not_kept_are_counted() -> None:
    told = worded(flood(50, 20).model_copy(update={"more": 500}))
    assert told.title == "Opened: drift of 1500 resources on 50 hosts"
    assert "and 1100 more; reconcile drift shows them" in told.body


def test_ten_hosts_that_do_not_answer_are_named_once() -> None:
    told = worded(incident("a1", *(member(f"web{n}", "", "it does not answer") for n in range(10)), event="unreachable"))
    assert told.title == "Opened: 10 hosts unreachable"
    assert told.body.splitlines()[:3] == [
        "warning, since 12:02 CET",
        "it does not answer",
        "web0, web1, web2, web3, web4, web5, web6, web7, web8, web9",
    ]


def test_what_failed_shows_its_last_words_once() -> None:
    lines = tuple(f"line {number}" for number in range(30))
    failing = [member(f"web{n}", "slot:site/green", "smoke test failed", lines=lines, hint="mend it") for n in range(3)]
    one = incident("a1", *failing, event="failed", commit="1a2b3c4d5e6f7a8b")
    told = worded(one)
    assert told.title == "Opened: slot:site/green failed on 3 hosts"
    assert told.body.count("line 29") == 1
    assert "line 19" not in told.body
    assert told.body.endswith("Commit: 1a2b3c4d5e6f\nNext: mend it\nSee: reconcile why slot:site/green")
    assert "line 29" not in worded(one, "reminded").body


def test_what_differs_from_host_to_host_says_whose_it_is() -> None:
    same, other = ("@@ -1 +1 @@", "-a", "+b"), ("@@ -1 +1 @@", "-a", "+c")
    told = worded(incident("a1", member("nas", lines=same), member("web1", lines=same), member("web2", lines=other)))
    assert "file:/etc/motd on nas and 1 more:\n│ -a\n│ +b\nfile:/etc/motd on web2:\n│ -a\n│ +c" in told.body
    assert " on nas" not in worded(incident("a1", member("nas", lines=same), member("web1", lines=same))).body


def test_a_deployment_is_news_and_asks_for_nothing() -> None:
    told = worded(over(incident("a1", member("nas", "", "site is at 1a2b3c4d"), event="deployed", severity="info")), "passed")
    assert told.title == "Done: site is at 1a2b3c4d on nas"
    assert "Next" not in told.body
    assert told.over


def test_what_was_wrong_with_git_is_not_said_to_be_so_when_it_is_over() -> None:
    one = member("", "", "commit 1a2b3c4d5e is not signed", hint="have it signed")
    told = worded(incident("a1", one, event="source", severity="error", commit="1a2b3c4d5e6f7a8b"))
    assert told.title == "Opened: commit 1a2b3c4d5e is not signed"
    assert "\nCommit: 1a2b3c4d5e6f\nNext: have it signed" in told.body
    end = worded(over(incident("a1", one, event="source"), how="recovered", done=ENDINGS["recovered"]), "closed")
    assert end.title == "Over: trouble with the fleet's repository"
    assert end.body.endswith("Ended: well again")
    site = over(incident("a1", member("", "project:site", "it does not answer"), event="source"), how="recovered")
    assert worded(site, "closed").title == "Over: trouble with the source of site"


def test_the_title_says_what_waits_and_what_is_unknown() -> None:
    waits = member("nas", "", "deletions wait for a person: there are more of them than max_deletions allows")
    assert worded(incident("a1", waits, event="held", group="deletions:1a2b")).title == "Opened: deletions held back on nas"
    stuck = member("nas", "file:/mnt/x", "it cannot be told what file:/mnt/x is")
    told = worded(incident("a1", stuck, event="failed", group="unknown:1", commit="1a2b3c4d5e6f7a8b"))
    assert told.title == "Opened: file:/mnt/x unknown on nas"
    assert "Commit" not in told.body, "no commit brought it about"


def test_a_part_that_is_over_is_counted() -> None:
    told = worded(incident("a1", member("nas"), member("web1", ended=NOON + 5, how="healed")))
    assert told.title == "Opened: drift of file:/etc/motd on nas"
    assert "1 of 2 is over" in told.body


def test_a_command_quotes_what_a_shell_would_take_apart() -> None:
    assert "Next: reconcile why 'file:/srv/a b' --host nas" in worded(incident("a1", member(ref="file:/srv/a b"))).body


@given(
    hostile,
    hostile,
    st.lists(hostile, max_size=4),
    st.sampled_from(["opened", "passed", "updated", "reminded", "closed", "again"]),
)
def test_whatever_a_host_says_the_message_is_bounded_and_no_line_of_it_is_forged(
    what: str, ref: str, lines: list[str], saying: Saying
) -> None:
    told = worded(incident("a1", member("nas", ref, what, lines=tuple(lines), evidence=(what,), hint=what)), saying)
    assert "\n" not in told.title
    assert 0 < len(told.title) <= TITLE
    assert 0 < len(told.body) <= BODY
    assert not set("<>`*\x1b\u202e") & set(told.title + told.body)
    assert len(told.body.splitlines()) <= 8 + len(lines)


def test_a_very_long_message_keeps_what_to_do_next() -> None:
    members = [member(f"web{n}", f"file:/{'x' * 90}{n}", f"{n} {'y' * 300}", lines=("z" * 200,) * 20) for n in range(40)]
    told = worded(incident("a1", *members))
    assert len(told.body) <= BODY
    assert told.body.endswith("…\nNext: reconcile drift")


def test_no_secret_reaches_a_chat() -> None:
    remember(b"canary-4711-0815")
    one = incident("a1", member(what="canary-4711-0815", lines=("+pw=canary-4711-0815",), hint="canary-4711-0815"))
    told = worded(one)
    assert "canary" not in told.title + told.body


def test_a_digest_lists_what_is_new_what_stands_and_what_is_over() -> None:
    parcel = Parcel(
        (
            (filed(incident("a1", severity="error")), "opened"),
            (filed(over(incident("a2", member("web1")))), "closed"),
            (filed(incident("a3", member("web2"), event="unreachable")), "reminded"),
        ),
        "digest",
        (filed(incident("a4", member("web3", "service:ssh"))),),
    )
    told = message_of(parcel, NOON + HOUR, PARIS)
    assert told.title == "Digest: 4 incidents, 1 new, 2 still open, 1 over"
    assert told.severity == "error"
    assert told.body == (
        "New:\n"
        "· drift of file:/etc/motd on nas (since 12:02 CET)\n"
        "Still open:\n"
        "· web2 unreachable (since 12:02 CET)\n"
        "· drift of service:ssh on web3 (since 12:02 CET)\n"
        "Over:\n"
        "· drift of file:/etc/motd on web1 (12:02 CET, 8 min)\n"
        "Next: reconcile status"
    )


def test_a_digest_of_many_is_bounded_and_counts_the_rest() -> None:
    parcel = Parcel(tuple((filed(incident(f"a{n}", member(f"web{n}"))), "opened") for n in range(300)), "digest")
    told = message_of(parcel, NOON + HOUR, PARIS)
    assert len(told.body) <= BODY
    shown = told.body.count("· ")
    assert f"and {300 - shown} more; reconcile status" in told.body


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "less than a minute"),
        (59, "less than a minute"),
        (60, "1 min"),
        (4800, "1 h 20 min"),
        (7200, "2 h"),
        (172800, "2 days"),
    ],
)
def test_how_long_something_lasted(seconds: float, words: str) -> None:
    assert lasted(seconds) == words


def test_a_moment_names_the_day_where_it_is_not_today() -> None:
    assert moment(NOON, NOON + 60, PARIS) == "12:02 CET"
    assert moment(NOON, NOON + DAY, PARIS) == "20 Nov 12:02 CET"
    assert moment(NOON, NOON + 60 * DAY, PARIS) == "2026-11-20 12:02 CET"
