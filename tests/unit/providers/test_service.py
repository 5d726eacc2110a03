"""Services: what a manifest may say, how systemd's answers are read, and which shell follows."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from providers.base import Change, Facts, State, Step, Unknown
from providers.services import ServiceProvider, ServiceSpec, ServiceState
from providers.shell import lines

PROVIDER = ServiceProvider()
SHELLS = [shell for shell in ("dash", "bash", "busybox sh", "mksh", "yash") if shutil.which(shell.split()[0])]
BLOCK = """Type=simple
RemainAfterExit=no
Result=success
Names={unit}
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled
NeedDaemonReload=no
ConditionTimestampMonotonic=7
"""


def service(name: str = "web", **fields: Any) -> ServiceSpec:
    return ServiceSpec.model_validate({"name": name, **fields})


def complaint(**fields: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        service(**fields)
    return "; ".join(error["msg"] for error in caught.value.errors())


def answer(spec: ServiceSpec, *changed: tuple[str, str], scope: str = "scope 0 alive", status: int = 0) -> object:
    """What is read when systemd says of the unit that it runs and is enabled, with these properties changed."""
    text = BLOCK.format(unit=spec.full_name)
    for old, new in changed:
        assert old in text
        text = text.replace(old, new)
    return PROVIDER.parse(f"{scope}\n{text}\nend 0 {status}\n".encode(), [spec]).get(spec.name, "left out")


def state(spec: ServiceSpec, *changed: tuple[str, str]) -> ServiceState:
    found = answer(spec, *changed)
    assert isinstance(found, ServiceState)
    return found


def differing(spec: ServiceSpec, *changed: tuple[str, str]) -> set[str]:
    """The fields in which what is differs from what is wanted, as the plan compares them."""
    found, wanted = state(spec, *changed), PROVIDER.want(spec)
    assert wanted is not None
    return {name for name, value in wanted if value is not None and getattr(found, name) != value}


def step(spec: ServiceSpec, before: ServiceState | None, *fields: str) -> Step:
    change = Change(spec, before, PROVIDER.want(spec), frozenset(fields))
    (only,) = PROVIDER.steps([change], Facts())
    return only


def test_a_service_with_nothing_said_about_it_shall_run_and_be_enabled() -> None:
    assert PROVIDER.want(service()) == ServiceState(running=True, enabled=True, masked=False, failed=False, stale=False)


def test_what_is_not_said_beside_something_else_is_not_managed() -> None:
    assert PROVIDER.want(service(enabled=False)) == ServiceState(enabled=False, stale=False)
    assert PROVIDER.want(service(masked=False)) == ServiceState(masked=False, stale=False)


def test_a_masked_service_shall_not_run() -> None:
    assert PROVIDER.want(service(masked=True)) == ServiceState(running=False, masked=True, stale=False)


def test_a_unit_of_a_user_that_shall_run_needs_the_user_to_linger() -> None:
    assert PROVIDER.want(service(user="ops")) == ServiceState(
        running=True, enabled=True, failed=False, stale=False, linger=True
    )
    assert PROVIDER.want(service(user="ops", running=False)) == ServiceState(running=False, stale=False)


def test_an_absent_service_is_wanted_absent_whatever_else_is_said() -> None:
    assert PROVIDER.want(service(running=True).absent()) is None
    assert PROVIDER.want(service(ensure="absent")) is None


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("ssh", "ssh.service"),
        ("backup.timer", "backup.timer"),
        ("php8.2-fpm", "php8.2-fpm.service"),
        ("getty@tty1", "getty@tty1.service"),
        ("srv-a\\x2db.mount", "srv-a\\x2db.mount"),
        ("a:b_c@d.e", "a:b_c@d.e.service"),
    ],
)
def test_a_name_without_the_suffix_of_a_unit_is_a_service(name: str, unit: str) -> None:
    assert service(name).full_name == unit


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ssh.service", 'write "ssh": without a suffix a .service is meant'),
        ("foo@", "is a template: name an instance of it"),
        ("foo@.timer", "is a template: name an instance of it"),
        ("session-1.scope", "systemd makes .scope units by itself"),
        ("sys-x.device", "systemd makes .device units by itself"),
        ("-x", "is not the name of a unit"),
        ("--now", "is not the name of a unit"),
        ("*", "is not the name of a unit"),
        ("ss?", "is not the name of a unit"),
        ("a[b]", "is not the name of a unit"),
        ("a b", "is not the name of a unit"),
        ("a/b", "is not the name of a unit"),
        ("a\nb", "is not the name of a unit"),
        ("$(id)", "is not the name of a unit"),
        ("é", "is not the name of a unit"),
        (".timer", "is not the name of a unit"),
        ("x" * 248, "at most 255 characters"),
    ],
)
def test_a_name_that_no_unit_can_have_is_refused(name: str, message: str) -> None:
    assert message in complaint(name=name)
    assert message in complaint(unit=name)


@pytest.mark.parametrize("fields", [{"running": True}, {"enabled": True}])
def test_masked_and_running_or_enabled_contradict_each_other(fields: dict[str, bool]) -> None:
    assert "a masked service can neither run nor be enabled" in complaint(masked=True, **fields)


def test_a_unit_of_a_user_cannot_be_masked() -> None:
    assert "masked is for units of the system" in complaint(user="ops", masked=True)


@pytest.mark.parametrize("user", ["-u", "1000", "a b", "root\n", "$(id)", ""])
def test_a_user_is_given_by_a_plain_name(user: str) -> None:
    assert "expected the name of an account" in complaint(user=user)


@pytest.mark.parametrize("value", ["yes", 1, "true"])
def test_only_true_and_false_are_wishes(value: object) -> None:
    assert "valid boolean" in complaint(running=value)


def test_what_the_inventory_keeps_is_enough_to_remove_it() -> None:
    spec = service("sync-ops", unit="syncthing", user="ops", enabled=True, on_change="reload")
    again = ServiceSpec.model_validate(spec.record() | {"name": spec.name, "ensure": "absent"})
    assert (again.full_name, again.user, again.enabled) == ("syncthing.service", "ops", True)


def test_a_service_as_wanted_differs_in_nothing() -> None:
    assert differing(service()) == set()


@pytest.mark.parametrize("active", ["active", "reloading", "refreshing", "activating"])
def test_a_unit_that_runs_or_is_on_its_way_runs(active: str) -> None:
    assert state(service(), ("ActiveState=active", f"ActiveState={active}")).running


@pytest.mark.parametrize("active", ["inactive", "failed", "deactivating"])
def test_a_unit_that_ended_or_is_ending_does_not_run(active: str) -> None:
    found = state(service(), ("ActiveState=active", f"ActiveState={active}"))
    assert (found.running, found.failed) == (False, active == "failed")


@pytest.mark.parametrize(
    "file", ["static", "indirect", "disabled", "linked", "alias", "generated", "transient", "masked", "bad", ""]
)
def test_only_a_unit_that_starts_at_boot_by_its_own_wish_is_enabled(file: str) -> None:
    assert state(service(), ("UnitFileState=enabled", f"UnitFileState={file}")).enabled is False


@pytest.mark.parametrize(
    ("fields", "changed", "differs"),
    [
        ({"enabled": True}, ("UnitFileState=enabled", "UnitFileState=enabled-runtime"), "enabled"),
        ({"enabled": False}, ("UnitFileState=enabled", "UnitFileState=enabled-runtime"), "enabled"),
        ({"masked": True, "running": False}, ("UnitFileState=enabled", "UnitFileState=masked-runtime"), "masked"),
        ({"masked": False}, ("UnitFileState=enabled", "UnitFileState=masked-runtime"), "masked"),
        (
            {"running": True},
            ("ActiveState=active\nSubState=running", "ActiveState=activating\nSubState=auto-restart"),
            "running",
        ),
        (
            {"running": False},
            ("ActiveState=active\nSubState=running", "ActiveState=activating\nSubState=auto-restart"),
            "running",
        ),
    ],
)
def test_a_state_between_yes_and_no_satisfies_neither_wish(
    fields: dict[str, Any], changed: tuple[str, str], differs: str
) -> None:
    assert differs in differing(service(**fields), changed)


def test_a_unit_file_that_systemd_has_not_read_again_is_drift() -> None:
    assert differing(service(), ("NeedDaemonReload=no", "NeedDaemonReload=yes")) == {"stale"}


def test_a_one_shot_unit_that_ended_well_since_boot_counts_as_running_where_that_is_wanted() -> None:
    ended = [("Type=simple", "Type=oneshot"), ("ActiveState=active", "ActiveState=inactive")]
    never = ("ConditionTimestampMonotonic=7", "ConditionTimestampMonotonic=0")
    assert state(service(), *ended).running is True
    assert state(service(running=False), *ended).running is False
    assert state(service(), *ended, never).running is False
    assert state(service(), *ended, ("Result=success", "Result=exit-code")).running is False
    assert state(service(), *ended, ("RemainAfterExit=no", "RemainAfterExit=yes")).running is False


def test_a_one_shot_unit_that_we_ran_and_systemd_forgot_counts_too() -> None:
    spec = service()
    forgotten = [
        ("Type=simple", "Type=oneshot"),
        ("ActiveState=active", "ActiveState=inactive"),
        ("Monotonic=7", "Monotonic=0"),
    ]
    found = answer(spec, *forgotten, scope="scope 0 alive\nran web.service")
    assert isinstance(found, ServiceState)
    assert found.running


def test_a_unit_that_does_not_exist_is_absent_where_it_is_needed_and_fine_where_it_is_not() -> None:
    missing = [("LoadState=loaded", "LoadState=not-found"), ("ActiveState=active", "ActiveState=inactive")]
    assert answer(service(), *missing) is None
    assert answer(service(ensure="absent"), *missing) is None
    assert differing(service(running=False, enabled=False), *missing) == set()
    assert differing(service(masked=True), *missing) == {"masked"}


def test_a_service_whose_unit_file_was_deleted_while_it_runs_still_runs() -> None:
    assert state(service(ensure="absent"), ("LoadState=loaded", "LoadState=not-found")).running is True


def test_an_unwanted_service_is_absent_once_it_is_stopped_and_disabled() -> None:
    stopped = ("ActiveState=active", "ActiveState=inactive")
    disabled = ("UnitFileState=enabled", "UnitFileState=disabled")
    assert answer(service(ensure="absent"), stopped, disabled) is None
    assert answer(service(ensure="absent"), stopped) is not None
    assert answer(service(ensure="absent"), disabled) is not None
    assert answer(service(enabled=True).absent(), disabled) is None, "what was never managed is left running"


@pytest.mark.parametrize(
    ("out", "reason"),
    [
        (b"scope 0 none\n", "not run by systemd"),
        (b"scope 0 closed\n", "only root, or the user itself"),
        (b"scope 0 alive\n", "was cut"),
        (b"scope 0 alive\nend 0 1\n", "status 1"),
        (b"scope 0 alive\nend 0 0\n", "did not answer for this unit"),
        (b"scope 0 alive\nNames=other.service\nLoadState=not-found\n\nend 0 0\n", "did not answer for this unit"),
        (b'scope 0 alive\nNames="web.service\nLoadState=not-found\n\nend 0 0\n', "did not answer for this unit"),
    ],
)
def test_what_cannot_be_told_is_unknown_and_says_why(out: bytes, reason: str) -> None:
    found = PROVIDER.parse(out, [service()])["web"]
    assert isinstance(found, Unknown)
    assert reason in found.reason


def test_an_answer_that_holds_nothing_of_a_scope_says_nothing() -> None:
    assert PROVIDER.parse(b"", [service()]) == {}


def test_a_user_cannot_answer_for_the_system() -> None:
    """The system is asked first, and the first answer counts."""
    specs = [service("mine", user="ops"), service()]
    block = BLOCK.format(unit="web.service")
    forged = f"scope 0 alive\n{block.replace('=active', '=inactive')}\nend 0 0\n"
    mine = BLOCK.format(unit="mine.service")
    out = f"scope 0 alive\n{block}\nend 0 0\nscope 1 alive yes\n{forged}{mine}\nend 1 0\n".encode()
    found = PROVIDER.parse(out, specs)["web"]
    assert isinstance(found, ServiceState)
    assert found.running


@given(out=st.binary())
def test_no_answer_whatever_makes_reading_fail(out: bytes) -> None:
    specs = [service(), service("b", user="ops"), service("c", ensure="absent")]
    assert all(found is not None for found in PROVIDER.parse(out, specs).values())


LINES = [
    "scope 0 alive",
    "scope 1 dead yes",
    "scope 1 nobody",
    "end 0 0",
    "end 1 0",
    "end 0 x",
    "",
    "Names=web.service",
    "Names='",
    "LoadState=loaded",
    "LoadState=masked",
    "ActiveState=active",
    "SubState=",
    "UnitFileState=enabled",
    "NeedDaemonReload=yes",
    "ran web.service",
    "sysv web.service",
    "manager failed",
    "manager",
    "=",
    "scope",
    "end",
]


@given(parts=st.lists(st.sampled_from(LINES), max_size=30))
def test_lines_in_any_order_are_read_without_fail_and_never_as_absent(parts: list[str]) -> None:
    specs = [service(), service("b", user="ops", running=False)]
    for found in PROVIDER.parse("\n".join(parts).encode(), specs).values():
        assert isinstance(found, (State, Unknown))


def test_a_step_brings_about_all_that_is_managed_not_only_what_differs() -> None:
    """Behind a mask, whether the unit is enabled cannot be seen before it is gone."""
    made = step(service(enabled=False, masked=False), ServiceState(enabled=False, masked=True), "masked")
    assert made.run.text == "service_ensure web.service '' keep no no"
    assert made.title == "unmask web"


@pytest.mark.parametrize(
    ("fields", "differs", "run", "title"),
    [
        ({}, ("running",), "service_ensure web.service '' yes yes no", "start web"),
        ({}, ("running", "enabled"), "service_ensure web.service '' yes yes no", "enable and start web"),
        ({}, ("running", "enabled", "masked"), "service_ensure web.service '' yes yes no", "unmask, enable and start web"),
        (
            {"running": False, "enabled": False},
            ("running", "enabled"),
            "service_ensure web.service '' no no keep",
            "stop and disable web",
        ),
        ({"masked": True}, ("running", "masked"), "service_ensure web.service '' no keep yes", "stop and mask web"),
        ({"enabled": True}, ("stale",), "service_ensure web.service '' keep yes no", "reload the unit files of web"),
        ({"user": "ops"}, ("running",), "service_ensure web.service ops yes yes no", "start web of ops"),
        ({"user": "ops"}, ("linger",), "service_ensure web.service ops yes yes no", "let services of ops run without a login"),
    ],
)
def test_a_step_says_in_words_and_in_shell_what_it_does(
    fields: dict[str, Any], differs: tuple[str, ...], run: str, title: str
) -> None:
    made = step(service(**fields), ServiceState(), *differs)
    assert (made.refs, made.run.text, made.title) == (("service:web",), run, title)


def test_a_removed_service_is_stopped_and_disabled_as_far_as_it_was_managed() -> None:
    assert step(service().absent(), ServiceState()).run.text == "service_ensure web.service '' no no keep"
    assert step(service(enabled=True).absent(), ServiceState()).run.text == "service_ensure web.service '' keep no keep"


def test_each_service_has_a_step_of_its_own_so_that_one_failure_is_one() -> None:
    changes = [Change(spec, None, PROVIDER.want(spec), frozenset()) for spec in (service("a"), service("b"))]
    assert [made.refs for made in PROVIDER.steps(changes, Facts())] == [("service:a",), ("service:b",)]


@pytest.mark.parametrize(
    ("fields", "run"),
    [
        ({}, "service_refresh web.service '' restart yes"),
        ({"on_change": "reload"}, "service_refresh web.service '' reload yes"),
        ({"enabled": True}, "service_refresh web.service '' restart keep"),
        ({"user": "ops"}, "service_refresh web.service ops restart yes"),
    ],
)
def test_what_follows_a_change_is_restarted_or_reloaded(fields: dict[str, Any], run: str) -> None:
    made = PROVIDER.refresh(service(**fields))
    assert made is not None
    assert made.run.text == run
    assert made.title == f"{PROVIDER.refresh_word(service(**fields))} web"


@pytest.mark.parametrize(
    ("before", "renewed"),
    [(None, True), (ServiceState(running=False), True), (ServiceState(running=True), False), (ServiceState(), False)],
)
def test_what_is_started_need_not_be_restarted(before: ServiceState | None, renewed: bool) -> None:
    spec = service(follows=["file:/etc/web.conf"])
    change = Change(spec, before, PROVIDER.want(spec), frozenset({"running"}))
    assert PROVIDER.renews(change) is renewed
    (made,) = PROVIDER.steps([change], Facts())
    # Something else may have started it since it was looked at.
    assert made.run.text == f"service_ensure web.service '' {'again' if renewed else 'yes'} yes no"


@pytest.mark.parametrize(
    ("user", "written", "stale"),
    [
        (None, "file:/etc/systemd/system/web.service", True),
        (None, "file:/etc/systemd/system/web.service.d/override.conf", True),
        (None, "file:/etc/systemd/system/other.service", None),
        (None, "file:/etc/systemd/user/web.service", None),
        ("ops", "file:/etc/systemd/user/web.service", True),
        ("ops", "file:/home/ops/.config/systemd/user/web.service", True),
        ("ops", "file:/srv/ops/.config/systemd/user/web.service", True),
        ("ops", "file:/home/eva/.config/systemd/user/web.service", None),
        ("ops", "file:/home/ops2/.config/systemd/user/web.service", None),
    ],
)
def test_a_unit_file_that_is_about_to_be_written_has_to_be_read(user: str | None, written: str, stale: bool | None) -> None:
    assert PROVIDER.foresee(service(user=user), ServiceState(), {written}).stale is stale


@pytest.mark.parametrize("fields", [{"running": False}, {"masked": True}, {"on_change": "none"}, {"ensure": "absent"}])
def test_what_is_not_to_run_is_not_started_by_what_it_follows(fields: dict[str, Any]) -> None:
    assert PROVIDER.refresh(service(**fields)) is None


def test_a_service_needs_its_package_its_user_and_its_unit_files() -> None:
    assert {"package:apt/web", "file:/etc/systemd/system/web.service"} <= set(PROVIDER.links(service()))
    assert "file:/etc/systemd/system/web.service.d/override.conf" in set(PROVIDER.links(service()))
    assert {"file:/etc/systemd/system/job.service", "package:apt/job"} <= set(PROVIDER.links(service("job.timer")))
    assert "file:/etc/systemd/system/tunnel@.service" in set(PROVIDER.links(service("tunnel@a")))
    assert {"user:ops", "file:/home/ops/.config/systemd/user/web.service"} <= set(PROVIDER.links(service(user="ops")))


@pytest.mark.parametrize(
    ("before", "fields", "ours"),
    [
        (None, {}, True),
        (ServiceState(running=False), {"running"}, True),
        (ServiceState(enabled=False), {"enabled"}, True),
        (ServiceState(stale=True), {"stale"}, False),
        (ServiceState(masked=True), {"masked"}, False),
    ],
)
def test_a_service_is_ours_when_we_started_or_enabled_it(before: ServiceState | None, fields: set[str], ours: bool) -> None:
    spec = service()
    assert PROVIDER.made(Change(spec, before, PROVIDER.want(spec), frozenset(fields))) is ours


def test_stopping_a_service_does_not_make_it_ours() -> None:
    spec = service(running=False)
    assert not PROVIDER.made(Change(spec, ServiceState(running=True), PROVIDER.want(spec), frozenset({"running"})))


@pytest.mark.skipif(Path("/run/systemd/system").exists(), reason="this machine would answer for itself")
@pytest.mark.parametrize("shell", SHELLS)
def test_a_machine_without_systemd_answers_that_it_has_none(shell: str) -> None:
    specs = [service(), service("b", user="root")]
    done = subprocess.run([*shell.split(), "-s"], input=PROVIDER.probe(specs).encode(), capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"scope 0 none\nscope 1 none\n", b"")


@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_of_probe_and_steps_is_read_by_every_shell(shell: str) -> None:
    script = lines([PROVIDER.library, PROVIDER.probe([service(), service("b\\x2dc", user="ops")])])
    done = subprocess.run(
        [*shell.split(), "-n"], input=script.encode(), env=os.environ | {"LC_ALL": "C"}, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
