"""Routes: what the host's answer means, where the traffic is to go, and the steps that follow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.base import Change, Facts, Step, Unknown
from providers.blue_green import SlotState
from providers.routes.answer import RouteAnswer
from providers.routes.kind import RouteProvider, RouteSpec
from providers.smoke import Smoke

PROVIDER = RouteProvider()
NOW = 1_800_000_000
HEALTH = Smoke(http="/health")


def route(**fields: Any) -> RouteSpec:
    basis = {
        "name": "shop",
        "path": "/srv/shop",
        "tree": "new",
        "ports": {"blue": 8081, "green": 8082},
        "proxy": {"nginx": {"site": "shop.lan", "listen": 8090}},
        "smoke": [HEALTH],
    }
    return RouteSpec.model_validate(basis | fields)


BY_COMMAND = {"command": {"switch": "dsm $SLOT", "read": "dsm", "listen": 443, "tls": True, "host": "shop.lan"}}


def answer(spec: RouteSpec, *told: str, proxy: str = "yes yes yes green", file: str | None = None, root: bool = True) -> Any:
    """What is read where the snippet lies on the disk as it should, or with the digest `file`."""
    setup = spec.setup
    lines = ["root yes"] if root else []
    lines += [f"0 {line}" for line in told]
    if setup is not None:
        lines += [f"0 proxy {proxy}", f"{file or setup.sum}  {setup.snippet}"]
    return PROVIDER.parse("\n".join([*lines, "end", ""]).encode(), [spec]).get(spec.name, "left out")


def noted(spec: RouteSpec, slot: str = "green") -> list[str]:
    """What the host remembers where the slot has passed its tests."""
    return [f"{slot} tree-{slot} R1 1", f"good {slot}", f"route {slot} {NOW - 5}", f"proxied {spec.setup_digest}"]


def bad(spec: RouteSpec, tree: str = "new", where: str = "own green") -> str:
    return f"bad {tree} 1799999000 {spec.digest()} 20270115T000000Z-abc {where}"


def steps(spec: RouteSpec, before: RouteAnswer | None, *fields: str) -> list[Step]:
    return list(PROVIDER.steps([Change(spec, before, PROVIDER.want(spec), frozenset(fields))], Facts()))


def kinds(found: list[Step]) -> list[str]:
    return ["check" if step.check else "back" if step.rolls_back else "rescue" if step.rescues else "run" for step in found]


def test_a_route_that_is_as_it_should_be_asks_for_nothing() -> None:
    spec = route()
    found = answer(spec, *noted(spec))
    assert found == RouteAnswer(slot="green", settled=True, soaked=False, loaded=True)
    assert PROVIDER.want(spec.aimed("green")) == RouteAnswer(slot="green", settled=True, loaded=True)


def test_a_route_of_which_nothing_is_there_is_absent() -> None:
    assert answer(route(), proxy="no yes no blue") is None
    assert answer(route(), proxy="no no no blue") is None
    assert answer(route(proxy={"haproxy": {"site": "a.lan"}}), proxy="no yes unknown -") is None


@pytest.mark.parametrize("proxy", ["yes no no green", "yes yes no green", "yes yes other green", "no yes other green"])
def test_a_proxy_that_stands_still_or_has_another_text_is_not_as_it_should_be(proxy: str) -> None:
    spec = route()
    found = answer(spec, *noted(spec), proxy=proxy)
    assert (found.slot, found.loaded) == ("green", False)


def test_a_snippet_that_was_edited_is_drift_though_the_proxy_has_not_read_it() -> None:
    spec = route()
    assert not answer(spec, *noted(spec), file="0" * 64).loaded


def test_a_switch_whose_map_was_not_written_is_drift() -> None:
    spec = route(proxy={"haproxy": {"site": "shop.lan"}})
    assert not answer(spec, *noted(spec), proxy="yes yes stale green").loaded


@pytest.mark.parametrize(
    "missing", ["good green", "route green", "proxied"], ids=["the release", "the route", "the way through the proxy"]
)
def test_what_has_the_traffic_is_settled_once_all_of_it_has_passed(missing: str) -> None:
    spec = route()
    told = [line for line in noted(spec) if not line.startswith(missing)]
    assert not answer(spec, *told).settled


def test_another_way_through_the_proxy_has_to_pass_anew() -> None:
    spec, moved = route(), route(proxy={"nginx": {"site": "shop.lan", "listen": 8091}})
    assert not answer(moved, *noted(spec)).settled


def test_the_soak_is_over_when_the_host_says_so() -> None:
    spec = route()
    assert answer(spec, *noted(spec)).soaked is False
    assert answer(spec, *noted(spec), "soaked").soaked is True


def test_nothing_soaks_behind_a_switch_that_was_not_noted() -> None:
    spec = route()
    assert not answer(spec, *noted(spec, slot="blue"), "soaked").soaked
    assert not answer(spec, "green tree-green R1 1", "soaked").soaked


def test_without_root_it_cannot_be_told() -> None:
    assert "root" in answer(route(), root=False).reason


@pytest.mark.parametrize(
    ("kind", "proxy", "words"),
    [
        ("caddy", "yes yes unknown green", "autosave.json does not say"),
        ("haproxy", "yes yes unknown -", "/run/haproxy/admin.sock does not say"),
        ("haproxy", "yes yes yes strange", "neither blue nor green"),
        ("nginx", "yes yes maybe green", "broken"),
        ("nginx", "yes yes yes red", "broken"),
        ("nginx", "yes yes", "broken"),
    ],
)
def test_what_cannot_be_told_is_unknown(kind: str, proxy: str, words: str) -> None:
    found = answer(route(proxy={kind: {"site": "shop.lan"}}), proxy=proxy)
    assert isinstance(found, Unknown)
    assert words in found.reason


@pytest.mark.parametrize(("said", "slot"), [("blue", "blue"), ("green", "green"), ("8081", "blue"), ("8082", "green")])
def test_a_command_says_the_slot_or_its_port(said: str, slot: str) -> None:
    assert answer(route(proxy=BY_COMMAND), f"said {said}").slot == slot


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ("strange Ym9pbmcKYm9pbmc=", r"printed 'boing\nboing'"),
        ("strange !!", "printed ''"),
        ("strange", "printed ''"),
        ("said 9999", "printed ''"),
    ],
)
def test_what_else_a_command_says_is_unknown_and_shown(told: str, words: str) -> None:
    found = answer(route(proxy=BY_COMMAND), told)
    assert isinstance(found, Unknown)
    assert words in found.reason


def test_a_command_that_fails_is_unknown_once_it_has_told_of_traffic_and_absent_before() -> None:
    spec = route(proxy=BY_COMMAND)
    assert answer(spec, "mute") is None
    found = answer(spec, *noted(spec), "mute")
    assert isinstance(found, Unknown)
    assert "the read command failed" in found.reason


def test_a_command_may_say_that_nobody_has_the_traffic_yet() -> None:
    spec = route(proxy=BY_COMMAND)
    assert answer(spec, "said none").slot is None
    told = aimed(spec, answer(spec, "said none"), None, None)
    assert isinstance(told, RouteSpec)
    assert told.target == "blue"


def test_nothing_of_a_command_proxy_is_ours_to_remove() -> None:
    spec = route(proxy=BY_COMMAND)
    assert answer(spec.absent(), "said blue") is None
    assert not PROVIDER.made(Change(spec, None, PROVIDER.want(spec), frozenset()))


def test_a_release_in_quarantine_counts_as_long_as_the_same_is_asked_for() -> None:
    spec = route()
    assert answer(spec, *noted(spec), bad(spec)).quarantine == ("new",)
    assert answer(route(settings="edited"), *noted(spec), bad(spec)).quarantine is None
    assert answer(route(smoke=[]), *noted(spec), bad(spec)).quarantine is None


def test_a_first_release_in_quarantine_is_remembered_though_nothing_is_set_up() -> None:
    spec = route()
    found = answer(spec, bad(spec), proxy="no yes no blue")
    assert (found.slot, found.quarantine) == (None, ("new",))
    assert answer(spec.absent(), bad(spec), proxy="no yes no blue") is None


def aimed(spec: RouteSpec, found: Any, blue: str | None, green: str | None) -> RouteSpec | Unknown:
    slots = {
        f"slot:shop/{name}": SlotState(tree=tree, running=True) if tree else None
        for name, tree in (("blue", blue), ("green", green))
    }
    return PROVIDER.aim(spec, {"route:shop": found, **slots})


def target(spec: RouteSpec | Unknown) -> str | None:
    assert isinstance(spec, RouteSpec)
    return spec.target


def test_a_new_release_is_to_get_the_traffic_by_itself_or_by_a_commit() -> None:
    spec = route()
    found = answer(spec, *noted(spec))
    assert target(aimed(spec, found, None, "old")) == "blue"
    assert target(aimed(spec, found, None, "new")) == "green"
    assert target(aimed(route(active="green"), found, None, "old")) == "green"
    assert target(aimed(route(active="blue"), found, "older", "new")) == "blue"


def test_a_first_release_gets_the_traffic() -> None:
    assert target(aimed(route(), None, None, None)) == "blue"


def test_an_unknown_slot_leaves_the_route_alone() -> None:
    reason = PROVIDER.aim(route(), {"route:shop": None, "slot:shop/blue": Unknown("docker is away"), "slot:shop/green": None})
    assert reason == Unknown("slot:shop/blue is unknown: docker is away")


def test_a_release_in_quarantine_is_told_with_its_name_its_test_and_its_time() -> None:
    spec = route()
    told = aimed(spec, answer(spec, *noted(spec), bad(spec, where="own blue")), "new", "old")
    assert told == Unknown(
        "release 20270115T000000Z-abc failed its smoke test on the port of slot blue on 2027-01-15 07:43 UTC:"
        " it is not tried again until the project's file or revision changes",
        refused=True,
    )
    assert "through the proxy" in aimed(spec, answer(spec, *noted(spec), bad(spec, where="proxy")), "new", "old").reason  # type: ignore[union-attr]


def test_a_release_in_quarantine_does_not_keep_the_proxy_from_being_mended() -> None:
    spec = route()
    edited = answer(spec, *noted(spec), bad(spec), file="0" * 64)
    assert target(aimed(spec, edited, "new", "old")) == "green"


def test_a_first_release_that_failed_keeps_the_traffic_and_is_not_tested_again_and_again() -> None:
    spec = route()
    first = answer(spec, "green new R1 1", bad(spec, where="proxy"))
    assert not first.settled
    assert isinstance(aimed(spec, first, None, "new"), Unknown)


def test_a_first_release_that_failed_on_its_own_port_gets_no_traffic() -> None:
    spec = route()
    assert isinstance(aimed(spec, answer(spec, bad(spec), proxy="no yes no blue"), "new", None), Unknown)


def test_an_absent_route_is_aimed_at_nothing() -> None:
    spec = route().absent()
    assert aimed(spec, None, None, None) is spec
    assert PROVIDER.want(spec) is None


def test_the_way_to_another_slot() -> None:
    spec = route().aimed("green")
    found = steps(spec, RouteAnswer(slot="blue", settled=True, loaded=True), "slot")
    assert kinds(found) == ["run", "check", "rescue", "run", "check", "back", "run"]
    own, through = (step.check for step in found if step.check)
    assert own is not None
    assert through is not None
    assert (own.port, own.smokes) == (8082, (HEALTH,))
    assert (through.port, through.host, through.https) == (8090, "shop.lan", False)
    assert found[0].run.text == "route_begin shop green"
    assert spec.setup is not None
    assert found[3].blob == spec.setup.text.encode()


def test_what_has_the_traffic_already_is_only_tested_through_the_proxy() -> None:
    found = steps(route().aimed("green"), RouteAnswer(slot="green", settled=False, loaded=True), "settled")
    assert kinds(found) == ["run", "run", "check", "back", "run"]


def test_a_test_that_cannot_go_through_the_proxy_is_left_out_there() -> None:
    smokes = [Smoke(http="/a", proxy=False), Smoke(http="/b", port=9000), Smoke(http="/c", https=True)]
    through = route(smoke=smokes).through
    assert through is not None
    assert through.smokes == (Smoke(http="/c"),)
    assert route(smoke=smokes[:2]).through is None
    # Then what has the traffic already is tested on its own port, so that nothing settles untested.
    found = steps(route(smoke=smokes[:2]).aimed("green"), RouteAnswer(slot="green", settled=False, loaded=True), "settled")
    assert kinds(found) == ["run", "check", "rescue", "run", "back", "run"]


def test_where_no_test_is_declared_any_answer_below_500_will_do_and_the_plan_says_so() -> None:
    spec = route(smoke=[]).aimed("blue")
    assert spec.direct.smokes == (Smoke(status=None),)
    change = Change(spec, None, PROVIDER.want(spec), frozenset())
    notes = PROVIDER.seen(b"", [change])["route:shop"].notes
    assert [note.split(":")[0] for note in notes] == ["no smoke test is declared", "the first switch"]


def test_a_command_proxy_is_switched_by_its_own_command() -> None:
    spec = route(proxy=BY_COMMAND).aimed("green")
    texts = [step.run.text for step in steps(spec, RouteAnswer(slot="blue", settled=True, loaded=True), "slot")]
    assert "command_use 8081 8082 'dsm $SLOT' dsm\nroute_give green" in texts[3]
    settled = [step.run.text for step in steps(spec, RouteAnswer(slot="green", settled=False, loaded=True), "settled")]
    assert not any("route_give" in text for text in settled)


def test_a_route_that_leaves_the_repository_is_taken_out_of_the_proxy() -> None:
    spec = RouteSpec.model_validate(route().record() | {"name": "shop", "ensure": "absent"})
    (only,) = PROVIDER.steps([Change(spec, RouteAnswer(slot="blue"), None, frozenset())], Facts())
    assert "proxy_remove" in only.run.text
    assert only.run.text.endswith("route_forget shop")


def test_a_route_waits_for_its_slots_and_its_proxy() -> None:
    assert set(PROVIDER.links(route())) == {
        "release:shop",
        "slot:shop/blue",
        "slot:shop/green",
        "service:nginx",
        "package:apt/nginx",
    }
    assert PROVIDER.path(route()) == "/etc/nginx/conf.d/reconciler-shop.conf"
    assert PROVIDER.path(route(proxy=BY_COMMAND)) is None


@given(st.integers(0, 10**11 - 1))
def test_a_time_is_told_as_the_calendar_has_it(epoch: int) -> None:
    spec = route()
    failed = f"bad new {epoch} {spec.digest()} R1 proxy"
    day = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=epoch)
    assert f"on {day:%Y-%m-%d %H:%M} UTC" in answer(spec, *noted(spec), failed).failure


@given(st.binary(max_size=400))
def test_any_bytes_are_read_without_an_error_and_never_as_absent(noise: bytes) -> None:
    specs = [route(), route(name="dsm", proxy=BY_COMMAND)]
    for out in (noise, noise + b"\nend\n", b"root yes\n0 " + noise + b"\nend\n", b"0 bad " + noise + b"\n1 route " + noise):
        for found in PROVIDER.parse(out, specs).values():
            assert isinstance(found, (RouteAnswer, Unknown))
