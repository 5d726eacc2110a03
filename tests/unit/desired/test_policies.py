"""Windows, rollouts, ignore rules, suspensions and alerts: what may be written, what it means, and how mistakes are worded."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desired.git import commit_source, open_repository
from desired.load import load
from desired.model import Host
from desired.values import EVENTS, moment
from tests.fleet import Fleet
from tests.unit.desired.support import HOST, Files, loaded, mistake, mistakes

NAS = "address: root@nas\ntags: [prod, docker]\nfiles: {/etc/motd: {content: x}}\n"
PROJECT = "source: /nowhere\nrevision: main\ndeploy: {host: nas, path: /srv/site}\n"


def fleet_of(text: str, **more: str) -> Files:
    files = {"fleet.yaml": text, "hosts/nas.yaml": NAS, "hosts/web.yaml": HOST, "projects/site.yaml": PROJECT}
    return files | {name.replace("__", "/") + ".yaml": content for name, content in more.items()}


def test_without_policies_nothing_is_changed_from_what_was(fleet: Fleet) -> None:
    found = loaded(fleet, fleet_of(""))
    policies = found.policies
    assert (policies.windows, policies.rollout, policies.ignore, policies.suspend) == ((), None, (), None)
    assert policies.timezone.key == "UTC"
    assert (found.interval, found.poll, found.alerts, found.keep) == (60, 60, (), 90 * 86400)
    nas = found.hosts["nas"]
    assert (nas.interval, nas.away_after, nas.suspend, nas.ignore) == (None, 14 * 86400, None, ())
    assert found.warnings == ()


def test_a_fleet_with_every_policy(fleet: Fleet) -> None:
    text = """
interval: 5m
poll: 2m
timezone: Europe/Paris
windows:
  - {allow: "0 22 * * *", for: 6h}
  - {deny: "0 0 24 12 *", for: 3d, hosts: [nas, tag:prod], projects: [site], timezone: Europe/Berlin}
rollout: {canary: tag:prod, max_parallel: 5, max_failures: 1}
ignore:
  - {resource: "file:/etc/*", fields: [mode, owner], hosts: [tag:docker]}
suspend: {reason: moving house, until: 2046-12-01T08:00:00}
history: {keep: 1000d}
alerts:
  - url: "ntfy://ntfy.lan/ops"
    name: ops
    events: [drift]
    hosts: [nas, tag:prod]
    severity: warning
    quiet: {from: "22:00", to: 7:00, unless: error}
    digest: "08:00"
    remind: 24h
  - url: "ntfy://ntfy.lan/all"
"""
    host = NAS + "interval: 30s\naway_after: 3d\nsuspend: {until: 2046-01-02}\n"
    found = loaded(
        fleet, {**fleet_of(text), "hosts/nas.yaml": host, "projects/site.yaml": PROJECT + "suspend: {reason: fair}\n"}
    )
    paris = ZoneInfo("Europe/Paris")
    nightly, holidays = found.policies.windows
    assert (nightly.kind, nightly.cron.text, nightly.seconds, nightly.zone) == ("allow", "0 22 * * *", 6 * 3600, paris)
    assert (holidays.kind, holidays.zone.key) == ("deny", "Europe/Berlin")
    assert (holidays.hosts, holidays.projects) == (("nas", "tag:prod"), ("site",))
    rollout = found.policies.rollout
    assert rollout is not None
    assert (rollout.canary, rollout.max_parallel, rollout.max_failures) == ("tag:prod", 5, 1)
    assert found.policies.suspend is not None
    assert found.policies.suspend.until == datetime(2046, 12, 1, 8, tzinfo=paris)
    assert (found.interval, found.poll, found.keep) == (300, 120, 1000 * 86400)
    ops, everything = found.alerts
    assert (ops.name, ops.events, ops.hosts, ops.severity) == ("ops", ("drift",), ("nas", "tag:prod"), "warning")
    assert ops.quiet is not None
    assert (ops.quiet.start, ops.quiet.end, ops.quiet.unless) == (time(22), time(7), "error")
    assert (ops.digest, ops.remind) == (time(8), 86400)
    assert (everything.name, everything.events, everything.severity) == ("2", EVENTS, "info")
    check_hosts(found.hosts["nas"], found.hosts["web"], paris)
    assert found.projects["site"].settings.suspend.reason == "fair"


def check_hosts(nas: Host, web: Host, paris: ZoneInfo) -> None:
    assert (nas.interval, nas.away_after) == (30, 3 * 86400)
    assert nas.suspend is not None
    assert nas.suspend.until == datetime(2046, 1, 2, tzinfo=paris)
    assert [rule.fields for rule in nas.ignore] == [("mode", "owner")]
    assert web.ignore == ()


@pytest.mark.parametrize("canary", ["nas", "tag:prod", "true"])
def test_a_canary_is_a_host_a_tag_or_any_one(fleet: Fleet, canary: str) -> None:
    rollout = loaded(fleet, fleet_of(f"rollout: {{canary: {canary}}}\n")).policies.rollout
    assert rollout is not None
    assert rollout.canary == (True if canary == "true" else canary)
    assert (rollout.max_parallel, rollout.max_failures) == (None, 0)


WINDOW = 'windows: [{{deny: "0 0 * * *", for: 1h, {}}}]\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (WINDOW.format("hosts: [nass]"), "1:48: error: there is no host nass\n    did you mean nas?"),
        (WINDOW.format("hosts: [prod]"), "1:48: error: there is no host prod\n    write tag:prod for the hosts with this tag"),
        (WINDOW.format("hosts: [tag:prd]"), "1:48: error: no host has the tag prd\n    did you mean prod?"),
        (WINDOW.format("hosts: ['tag:']"), "windows.0.hosts.0: expected the name of a host, or tag:NAME"),
        (WINDOW.format("projects: [sites]"), "1:51: error: there is no project sites\n    did you mean site?"),
        (WINDOW.format("timezone: Europe/Pari"), 'no time zone "Europe/Pari"; did you mean Europe/Paris?'),
        (WINDOW.format("timezone: Europe"), 'there is no time zone "Europe"'),
        (WINDOW.format("timezone: /etc/passwd"), 'there is no time zone "/etc/passwd"'),
        (WINDOW.format("allow: '0 1 * * *'"), "windows.0: say either allow or deny"),
        (WINDOW.format("untill: 1h"), "there is no key untill here"),
        ("windows: [{for: 1h}]\n", "1:11: error: windows.0: say either allow or deny"),
        ("windows: [{deny: '0 0 * * *'}]\n", "1:11: error: for is missing\n    add for:"),
        ("windows: [{deny: '0 0 * * *', fro: 1h}]\n", "there is no key fro here\n    did you mean for?"),
        ("windows: [{deny: '0 0 * * *', for: 1}]\n", "windows.0.for: expected a duration with its unit"),
        ("windows: [{deny: '0 0 30 2 *', for: 1h}]\n", '1:18: error: windows.0.deny: "0 0 30 2 *" never comes: there is no'),
        ("windows: [{deny: '0 24 * * *', for: 1h}]\n", "windows.0.deny: the hour 24 is not between 0 and 23"),
        ("windows: [{deny: nightly, for: 1h}]\n", "windows.0.deny: expected five fields"),
        ("windows: [{deny: '@reboot', for: 1h}]\n", "windows.0.deny: a window cannot begin at @reboot"),
        ("windows: {deny: '0 0 * * *', for: 1h}\n", "windows: expected a list"),
        (
            "timezone: Europe/Berln\n",
            '1:11: error: timezone: there is no time zone "Europe/Berln"; did you mean Europe/Berlin?',
        ),
        ("timezone: 2\n", "timezone: expected the name of a time zone, as in Europe/Paris, found the number 2"),
        ("rollout: {canary: wbe}\n", "1:19: error: there is no host wbe\n    did you mean web?"),
        ("rollout: {canary: false}\n", "rollout.canary: expected the name of a host, tag:NAME, or true, found false"),
        ("rollout: {max_parallel: 0}\n", "rollout.max_parallel: expected at least 1, found the number 0"),
        ("rollout: {max_paralel: 2}\n", "there is no key max_paralel here\n    did you mean max_parallel?"),
        ("suspend: {until: soon}\n", "suspend.until: expected a day or a moment, as in 2026-12-01 or"),
        ("suspend: {until: 2026-02-30}\n", "suspend.until: there is no such day or time"),
        ('suspend: {reason: "a\\nb"}\n', "suspend.reason: a line break or control character cannot stand here"),
        ("suspend: yes\n", "suspend: expected a mapping, as in {key: value}, found"),
        ("history: {keep: forever}\n", "history.keep: expected a duration with its unit"),
        ("history: {keep: 99999d}\n", "a duration is between 1s and 3660d"),
    ],
)
def test_a_mistake_in_a_policy_is_told_with_its_place_and_the_nearest_right_name(fleet: Fleet, text: str, told: str) -> None:
    found = mistake(fleet, fleet_of(text))
    assert found.startswith("fleet.yaml:1:")
    assert told in found


ALERT = "alerts: [{{url: 'x://y', {}}}]\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (ALERT.format("hosts: [nass]"), "1:33: error: there is no host nass\n    did you mean nas?"),
        (ALERT.format("hosts: ['tag:prd']"), "no host has the tag prd\n    did you mean prod?"),
        (ALERT.format("events: [drfit]"), "alerts.0.events.0: expected drift, failed, recovered, deployed"),
        (ALERT.format("severity: grave"), "alerts.0.severity: expected info, warning or error"),
        (ALERT.format("digest: noon"), 'alerts.0.digest: expected a time of day, as in "22:00", found "noon"'),
        (ALERT.format("quiet: {from: '22:00'}"), "to is missing"),
        (ALERT.format("quiet: {from: '22:00', to: '24:00'}"), "alerts.0.quiet.to: expected a time of day"),
        (ALERT.format("quiet: {from: '22:00', to: '22:00'}"), "from and to are the same time"),
        (ALERT.format("quiet: {form: '22:00', to: '23:00'}"), "there is no key form here\n    did you mean from?"),
        (ALERT.format("remind: daily"), "alerts.0.remind: expected a duration with its unit"),
        (ALERT.format("name: a/b"), "alerts.0.name: expected a name of letters"),
        ("alerts: [{url: 'x://y', name: a}, {url: 'x://z', name: a}]\n", "1:56: error: alert a is there already, as number 1"),
        ("alerts: [{url: 'x://y', name: '2'}, {url: 'x://z'}]\n", "1:37: error: alert 2 is there already, as number 1"),
    ],
)
def test_a_mistake_in_an_alert_is_told_and_its_address_is_not(fleet: Fleet, text: str, told: str) -> None:
    found = mistake(fleet, fleet_of(text))
    assert told in found
    assert "x://" not in found


RULE = "ignore: [{{resource: {}}}]\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (RULE.format("'file:/etc/motd', fields: [mod]"), "has no field mod that may differ\n    did you mean mode?"),
        (RULE.format("'file:/etc/motd', fields: [digest]"), "has no field digest that may differ"),
        (
            RULE.format("'file:*', fields: [conten]"),
            "1:40: error: fields: file:* has no field conten that may differ\n    did you mean content?",
        ),
        (RULE.format("'release:site', fields: [commit]"), "release:site has no field commit that may differ"),
        (RULE.format("'fil:/etc/*'"), "1:21: error: resource: there is no kind fil\n    did you mean file?"),
        (RULE.format("/etc/motd"), 'resource: "/etc/motd" is not the reference of a resource'),
        (RULE.format("'file:/etc/motd', hosts: [nass]"), "there is no host nass\n    did you mean nas?"),
        (RULE.format("'file:/etc/motd', paths: ['*.log']"), "paths are files of a deployed tree"),
        (RULE.format("'file:/etc/motd', filds: [mode]"), "there is no key filds here\n    did you mean fields?"),
        ("ignore: [{fields: [mode]}]\n", "resource is missing"),
    ],
)
def test_a_mistake_in_an_ignore_rule_is_told_with_the_nearest_right_name(fleet: Fleet, text: str, told: str) -> None:
    assert told in mistake(fleet, fleet_of(text))


@pytest.mark.parametrize(
    "rule",
    [
        *("'file:/etc/*', fields: [content, mode, owner, group, acl]", "'*:*', fields: [mode, running]"),
        *("'file:/etc/motd'", "'release:site', paths: ['*.log', data/]", "'release:*', fields: [edited, missing, modes]"),
        *("'runtime:site', fields: [running]", "'f*:*'", "'*:/etc/motd', fields: [shell]"),
    ],
)
def test_rules_that_mean_something_are_taken_without_a_word(fleet: Fleet, rule: str) -> None:
    assert loaded(fleet, fleet_of(RULE.format(rule))).warnings == ()


def test_a_rule_for_what_is_nowhere_in_the_fleet_is_told(fleet: Fleet) -> None:
    (warning,) = loaded(fleet, fleet_of(RULE.format("'file:/etc/mtod'"))).warnings
    assert "file:/etc/mtod is nowhere in the fleet: the rule has no effect\n    did you mean file:/etc/motd?" in str(warning)


def test_mistakes_in_several_policies_are_told_in_one_run(fleet: Fleet) -> None:
    text = WINDOW.format("hosts: [nass]") + RULE.format("'fil:/x'") + "rollout: {canary: tag:x}\n"
    assert [one.partition(": error")[0] for one in mistakes(fleet, fleet_of(text))] == [
        "fleet.yaml:1:48",
        "fleet.yaml:2:21",
        "fleet.yaml:3:19",
    ]


def test_tags_are_not_missed_while_a_host_cannot_be_read(fleet: Fleet) -> None:
    files = {**fleet_of(WINDOW.format("hosts: [tag:laptop]")), "hosts/laptop.yaml": "address: ["}
    assert mistake(fleet, files).startswith("hosts/laptop.yaml:1:11: error: ")


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"fleet.yaml": "suspend: {until: 2020-01-01}\n"}, "fleet.yaml:1:18: warning: suspend: the fleet is not suspended"),
        ({"hosts/nas.yaml": NAS + "suspend: {until: 2020-01-01}\n"}, "hosts/nas.yaml:4:18: warning: suspend: host nas is not"),
        (
            {"projects/site.yaml": PROJECT + "suspend: {until: 2020-01-01}\n"},
            "projects/site.yaml:4:18: warning: suspend: project",
        ),
        (
            {"hosts/nas.yaml": None, "hosts.yaml": "nas: {address: nas, suspend: {until: 2020-01-01}}\n"},
            "hosts.yaml:1:38: warning: suspend: host nas is not suspended any more",
        ),
    ],
)
def test_a_suspension_that_is_over_is_no_mistake_and_is_told(fleet: Fleet, files: dict[str, Any], told: str) -> None:
    given = {path: text for path, text in {**fleet_of(""), **files}.items() if text is not None}
    (warning,) = loaded(fleet, given).warnings
    assert str(warning).startswith(told)


def test_whether_a_suspension_is_over_is_asked_anew_with_each_load(fleet: Fleet) -> None:
    fleet.commit({**fleet_of("suspend: {until: 2026-12-01T08:00}\ntimezone: Europe/Paris\n")})
    source = commit_source(open_repository(fleet.root))
    before, after = datetime(2026, 12, 1, 6, 59, tzinfo=UTC), datetime(2026, 12, 1, 7, 0, tzinfo=UTC)
    assert load(source, now=before).warnings == ()
    assert len(load(source, now=after).warnings) == 1


@given(
    st.text(max_size=30)
    | st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2})?)?", fullmatch=True)
)
def test_any_text_is_a_moment_or_refused(text: str) -> None:
    with suppress(ValueError):
        found = moment(text)
        assert found.replace(tzinfo=found.tzinfo or UTC).astimezone(ZoneInfo("Pacific/Auckland")).year >= 1969


PAGE = (Path(__file__).parents[3] / "docs" / "policies.md").read_text()
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("text", BLOCKS)
def test_what_the_page_about_policies_shows_can_be_written(fleet: Fleet, text: str) -> None:
    files = fleet_of(text, hosts__web1="address: web1\ntags: [laptop]\n", projects__shop=PROJECT.replace("site", "shop"))
    found = loaded(fleet, files)
    assert len(BLOCKS) == 4
    assert not [one for one in found.warnings if "nowhere in the fleet" not in one.message]
