"""fleet.yaml and the settings of hosts: what may be written, what it means, and how mistakes are worded."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desired.address import parse_address
from desired.model import Address
from desired.values import EVENTS
from tests.fleet import Fleet
from tests.unit.desired.support import ENCRYPTED, HOST, loaded, mistake, mistakes


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("nas", Address("nas")),
        ("root@nas.lan", Address("nas.lan", "root")),
        ("ops@nas.lan:2222", Address("nas.lan", "ops", 2222)),
        ("10.0.0.7:22", Address("10.0.0.7", None, 22)),
        ("[fd00::7]", Address("fd00::7")),
        ("root@[fe80::1%eth0]:22", Address("fe80::1%eth0", "root", 22)),
        ("ada@example.org@nas", Address("nas", "ada@example.org")),
        ("DOMAIN\\ada@nas", Address("nas", "DOMAIN\\ada")),
        ("local", Address("local")),
    ],
)
def test_an_address_is_read_as_ssh_would(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert str(parse_address(str(address))) == str(address)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ssh://root@nas", "without ssh:// in front"),
        ("fd00::7", "write an IPv6 address in brackets"),
        ("root@nas:0", "the port is a number from 1 to 65535"),
        ("root@nas:65536", "the port is a number from 1 to 65535"),
        ("root@nas:", "the port is a number from 1 to 65535"),
        ("root@nas:²", "the port is a number from 1 to 65535"),
        ("[::1]x", "only :port can follow"),
        ("root@local", "takes neither user nor port"),
        ("local:22", "takes neither user nor port"),
        ("-oProxyCommand=id", "expected user@host"),
        ("root@-oProxyCommand=id", "expected user@host"),
        ("-l@nas", "is not a user name"),
        ("$(id)@nas", "is not a user name"),
        ("na s", "expected user@host"),
        ("nas\n", "expected user@host"),
        ("", "expected user@host"),
        ("@nas", "is not a user name"),
    ],
)
def test_what_is_no_address_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        parse_address(text)


@given(st.text(max_size=30))
def test_any_text_is_an_address_or_refused_and_never_an_option(text: str) -> None:
    try:
        address = parse_address(text)
    except ValueError as error:
        address, message = None, str(error)
    else:
        message = ""
    assert message.isprintable()
    if address is None:
        return
    assert not address.host.startswith("-")
    assert not (address.user or "").startswith("-")
    assert parse_address(str(address)) == address


def test_an_empty_fleet_file_is_a_fleet_with_defaults(fleet: Fleet) -> None:
    found = loaded(fleet, {"hosts/web.yaml": HOST})
    assert found.max_deletions == 5
    assert found.settings == {
        "version": 1,
        "interval": 60,
        "poll": 60,
        "timezone": "UTC",
        "sync": "enforce",
        "windows": [],
        "rollout": None,
        "ignore": [],
        "suspend": None,
        "history": {"keep": 90 * 86400},
        "alerts": [],
        "max_deletions": 5,
        "signers": [],
        "secret_scan": "block",
        "vars": {},
    }
    assert found.warnings == ()


def test_the_fleet_file_may_be_left_out_when_there_are_hosts(fleet: Fleet) -> None:
    fleet.commit({"fleet.yaml": ""})
    assert list(loaded(fleet, {"fleet.yaml": None, "hosts/web.yaml": HOST}).hosts) == ["web"]


def test_settings_of_the_fleet_are_read(fleet: Fleet) -> None:
    text = """
version: 1
interval: 1h30m
sync: observe
max_deletions: 0
secret_scan: warn
alerts:
  - url: {secret: alerts/matrix}
    events: [drift, failed]
  - {url: "ntfy://ntfy.lan/ops"}
"""
    files = {"fleet.yaml": text, "hosts/web.yaml": HOST, "hosts/db.yaml": HOST + "sync: enforce\n"}
    found = loaded(fleet, {**files, "secrets/alerts/matrix.age": ENCRYPTED})
    assert found.settings["interval"] == 5400
    matrix, ntfy = found.alerts
    assert (matrix.name, matrix.url, matrix.events) == ("1", {"secret": "alerts/matrix"}, ("drift", "failed"))
    assert (ntfy.name, ntfy.url, ntfy.events) == ("2", "ntfy://ntfy.lan/ops", EVENTS)
    assert found.interval == 5400
    assert found.max_deletions == 0
    assert (found.hosts["web"].sync, found.hosts["db"].sync) == ("observe", "enforce")


def test_a_setting_without_a_value_has_its_default(fleet: Fleet) -> None:
    found = loaded(fleet, {"fleet.yaml": "alerts:\nvars:\n", "hosts/web.yaml": HOST + "tags:\nfiles:\n"})
    assert found.hosts["web"].tags == ()
    assert found.settings["alerts"] == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("intervall: 1m", "fleet.yaml:1:1: error: there is no key intervall here\n    did you mean interval?"),
        (
            "interval: 60",
            (
                "fleet.yaml:1:11: error: interval: expected a duration with its unit, "
                "as in 30s, 1m, 2h or 1h30m, found the number 60"
            ),
        ),
        ("interval: 1 m", 'expected a duration with its unit, as in 30s, 1m, 2h or 1h30m, found "1 m"'),
        ("interval: 0s", "a duration is between 1s and 366d"),
        ("interval: 99999d", "a duration is between 1s and 366d"),
        (
            "sync: enforced",
            'fleet.yaml:1:7: error: sync: expected enforce, deploy or observe, found "enforced"\n    did you mean enforce?',
        ),
        ("sync: off", 'expected enforce, deploy or observe, found "off"'),
        ("max_deletions: -1", "fleet.yaml:1:16: error: max_deletions: expected at least 0, found the number -1"),
        ("max_deletions: many", 'max_deletions: expected a whole number, found "many"'),
        ("max_deletions: true", "max_deletions: expected a whole number, found true"),
        ("version: 2", "fleet.yaml:1:10: error: version: expected 1, found the number 2"),
        ("secret_scan: yes", 'secret_scan: expected block, warn or off, found "yes"'),
        ("alerts: {url: x}", "fleet.yaml:1:9: error: alerts: expected a list, as in [a, b], found a mapping"),
        ("alerts: [{url: x}]", "fleet.yaml:1:16: error: alerts.0.url: expected an Apprise URL, or {secret: NAME}"),
        ("alerts: [{ulr: 'x://y'}]", "fleet.yaml:1:11: error: there is no key ulr here\n    did you mean url?"),
        ("alerts: [{url: 'x://y', events: [drft]}]", "fleet.yaml:1:34: error: alerts.0.events.0: expected drift"),
        ("vars: [a]", "fleet.yaml:1:7: error: vars: expected a mapping, as in {key: value}, found a list"),
        ("- a", "fleet.yaml:1:1: error: expected a mapping of settings, found a list"),
        ("signers: keys/allowed_signers", "fleet.yaml:1:10: error: keys/allowed_signers is not in the repository"),
        ("vars: {token: {secret: x}}", "fleet.yaml:1:15: error: a secret cannot stand here"),
        ("vars: {db: {password: {secret: x}}}", "fleet.yaml:1:23: error: a secret cannot stand here"),
        ("interval: {secret: x}", "fleet.yaml:1:11: error: a secret cannot stand here"),
    ],
)
def test_a_wrong_setting_of_the_fleet_is_named_with_place_value_and_remedy(fleet: Fleet, text: str, complaint: str) -> None:
    found = mistakes(fleet, {"fleet.yaml": text + "\n", "hosts/web.yaml": HOST})
    assert complaint in found[0], found


def test_a_variable_may_be_called_secret(fleet: Fleet) -> None:
    found = loaded(fleet, {"fleet.yaml": "vars: {secret: word}\n", "hosts/web.yaml": HOST + "vars: {secret: other}\n"})
    assert found.hosts["web"].vars == {"secret": "other"}


def test_settings_of_a_host_are_read(fleet: Fleet) -> None:
    text = """
address: ops@nas.lan:2222
type: linux
become: doas
tags: [docker, prod]
availability: intermittent
sync: deploy
vars: {timezone: Europe/Paris, ports: [80, 443]}
jump: [gate.lan, ada@inner.lan:2200]
identity: ~/.ssh/nas
inventory: /volume1/reconciler
"""
    host = loaded(fleet, {"hosts/nas.yaml": text}).hosts["nas"]
    assert host.address == Address("nas.lan", "ops", 2222)
    assert (host.become, host.tags, host.availability, host.sync) == ("doas", ("docker", "prod"), "intermittent", "deploy")
    assert host.vars == {"timezone": "Europe/Paris", "ports": [80, 443]}
    assert host.jump == (Address("gate.lan"), Address("inner.lan", "ada", 2200))
    assert (host.identity, host.inventory) == ("~/.ssh/nas", "/volume1/reconciler")
    assert str(host.place) == "hosts/nas.yaml:1:1"


def test_a_single_jump_host_needs_no_list(fleet: Fleet) -> None:
    assert loaded(fleet, {"hosts/nas.yaml": HOST + "jump: gate\n"}).hosts["nas"].jump == (Address("gate"),)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{}", "hosts/nas.yaml:1:1: error: address is missing\n    add address:"),
        ("address: [a]", "hosts/nas.yaml:1:10: error: address: expected an address as text"),
        ("address: root@na s", "hosts/nas.yaml:1:10: error: address: expected user@host"),
        ("address: a\ntype: windows", 'hosts/nas.yaml:2:7: error: type: expected linux, found "windows"'),
        ("address: a\nbecome: su", 'hosts/nas.yaml:2:9: error: become: expected none, sudo or doas, found "su"'),
        ("address: a\ntags: docker", 'hosts/nas.yaml:2:7: error: tags: expected a list, as in [a, b], found "docker"'),
        ("address: a\ntags: [a b]", "hosts/nas.yaml:2:8: error: tags.0: expected a name of letters"),
        ("address: a\njump: local", "hosts/nas.yaml:2:7: error: jump: local cannot be a host to jump through"),
        ("address: a\njump: [b, '-x']", "error: jump: expected user@host"),
        (
            "address: a\nidentity: keys/nas",
            "hosts/nas.yaml:2:11: error: identity: expected the path of a private key on the controller",
        ),
        ("address: a\ninventory: ../x", "hosts/nas.yaml:2:12: error: inventory: expected an absolute path on the host"),
        ("address: a\nvars: {1: x}", 'hosts/nas.yaml:2:8: error: a key must be text\n    write it in quotes: "1"'),
        ("address: a\nbecom: sudo", "hosts/nas.yaml:2:1: error: there is no key becom here\n    did you mean become?"),
        ("address: a\nfile: {}", "hosts/nas.yaml:2:1: error: there is no key file here\n    did you mean files?"),
        ("just text", 'hosts/nas.yaml:1:1: error: expected a mapping, found "just text"'),
    ],
)
def test_a_wrong_setting_of_a_host_is_named_with_place_value_and_remedy(fleet: Fleet, text: str, complaint: str) -> None:
    assert complaint in mistake(fleet, {"hosts/nas.yaml": text + "\n"})
