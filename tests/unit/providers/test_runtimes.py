"""What runs from a project without slots: deployed, kept, gone back from and stopped, with real commands on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.base import Change, Facts, Unknown
from providers.runners.models import ComposeRunner, NoRunner, SystemdRunner
from providers.runtimes import RuntimeProvider, RuntimeSpec, RuntimeState
from providers.services import ServiceState
from providers.smoke import Smoke
from tests.unit.providers.here import SHELLS, name_of
from tests.unit.providers.running import SERVER, ProjectHere, trees

RUNTIMES = RuntimeProvider()
OLD, NEW, THIRD = trees("aold", "bnew", "cthird").values()
SHOP = ComposeRunner(files=("compose.yaml",), project="shop", services={"web": "w1", "db": "d1"}, built=("web",))


@pytest.fixture
def here(tmp_path: Path) -> Iterator[ProjectHere]:
    host = ProjectHere(RUNTIMES, tmp_path)
    yield host
    host.tidy()


def spec(here: ProjectHere | None = None, tree: Any = NEW, **fields: Any) -> RuntimeSpec:
    path = str(here.home) if here is not None else "/srv/shop"
    given = {"runner": SERVER, "strategy": "releases"} | fields
    return RuntimeSpec.model_validate({"name": "shop", "path": path, "tree": tree.digest, "commit": tree.commit} | given)


def refused(_: object) -> bool:
    return False


@pytest.mark.parametrize("shell", SHELLS, ids=name_of)
def test_a_release_is_started_kept_replaced_and_stopped(shell: Sequence[str], tmp_path: Path) -> None:
    here = ProjectHere(RUNTIMES, tmp_path, shell)
    first, second = here.install(OLD), here.install(NEW, number=2)
    try:
        here.converge(spec(here, OLD))
        assert (here.home / "current").readlink() == Path("releases", first.name)
        assert (first / "started").read_text() == "it's $(id)\n"

        here.converge(spec(here, NEW))
        assert (here.home / "current").resolve() == second
        assert (second / "started").exists()

        here.converge(spec(here, NEW).absent())
        assert not (here.home / "current").is_symlink()
        assert not (second / "pid").exists()
    finally:
        here.tidy()


def test_what_has_died_is_started_again_and_nothing_is_made_anew(here: ProjectHere) -> None:
    release = here.install(NEW)
    here.converge(spec(here))
    here.tidy()
    assert here.deploy(spec(here)) == ["start shop again"]
    assert (release / "started").read_text().count("\n") == 2
    assert not here.plan([spec(here)])


def test_a_release_that_fails_its_smoke_test_is_not_tried_again_and_the_earlier_one_serves(here: ProjectHere) -> None:
    good, _ = here.install(OLD), here.install(NEW, number=2)
    smoke = {"smoke": (Smoke(),)}
    here.deploy(spec(here, OLD, **smoke))

    done = here.deploy(spec(here, NEW, **smoke), check=refused)

    assert done[-1] == "go back to the earlier release of shop"
    assert (here.home / "current").resolve() == good
    answer = here.ask([spec(here, NEW)])["shop"]
    assert (answer.tree, answer.running, answer.settled) == (OLD.digest, True, True)
    aimed = RUNTIMES.aim(spec(here, NEW), {"runtime:shop": answer})
    assert isinstance(aimed, Unknown)
    assert "in quarantine (failed on 20" in aimed.reason

    here.tidy()
    assert here.deploy(spec(here, NEW, **smoke)) == ["start shop again", "smoke test shop"]
    assert here.ask([spec(here, NEW)])["shop"].running
    assert (here.home / "current").resolve() == good


def test_a_release_that_does_not_start_is_gone_back_from_too(here: ProjectHere) -> None:
    good, _ = here.install(OLD), here.install(NEW, number=2, broken=True)
    here.converge(spec(here, OLD))
    steps = list(RUNTIMES.steps(here.plan([spec(here, NEW)]), Facts()))
    assert [(step.rescues, step.rolls_back) for step in steps] == [(False, False), (False, False), (True, True)]
    here.carry_out(steps)
    assert (here.home / "current").resolve() == good
    assert here.ask([spec(here, NEW)])["shop"].tree == OLD.digest


def test_a_release_is_not_to_blame_where_the_engine_that_runs_it_is_away(
    here: ProjectHere, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text('#!/bin/sh\n[ "$1" = compose ]\n')
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{docker.parent}:{os.environ['PATH']}")
    here.install(NEW)
    (here.notes / "trying").write_text(f"{NEW.digest}\n")
    wanted = spec(here, runner=SHOP)
    (rescue,) = [
        step for step in RUNTIMES.steps([Change(wanted, None, RUNTIMES.want(wanted), frozenset())], Facts()) if step.rescues
    ]
    done = here.act(rescue)
    assert done.returncode == 1
    assert b"the Docker engine does not answer" in done.stderr
    assert not (here.notes / "quarantine").exists()
    assert (here.notes / "trying").exists(), "so the next run goes on"


def test_where_nothing_served_before_a_failed_release_is_left_and_nothing_is_rolled_back(here: ProjectHere) -> None:
    here.install(NEW, broken=True)
    steps = list(RUNTIMES.steps(here.plan([spec(here)]), Facts()))
    assert [step.rolls_back for step in steps if step.rescues] == [False]
    here.carry_out(steps)
    assert not here.plan([spec(here)])
    here.install(THIRD, number=2)
    here.converge(spec(here, THIRD))


@pytest.mark.parametrize("killed", [1, 2])
def test_a_run_that_was_killed_is_finished_by_the_next(here: ProjectHere, killed: int) -> None:
    here.install(OLD)
    last = here.install(NEW, number=2)
    here.converge(spec(here, OLD))
    here.carry_out(list(RUNTIMES.steps(here.plan([spec(here, NEW)]), Facts()))[:killed])
    here.converge(spec(here, NEW))
    assert (here.home / "current").resolve() == last


def test_a_run_that_was_killed_does_not_hide_what_to_go_back_to(here: ProjectHere) -> None:
    good, _ = here.install(OLD), here.install(NEW, number=2)
    here.converge(spec(here, OLD))
    smoke = {"smoke": (Smoke(),)}
    here.carry_out(list(RUNTIMES.steps(here.plan([spec(here, NEW)]), Facts()))[:1])

    here.deploy(spec(here, NEW, **smoke), check=refused)

    assert (here.home / "current").resolve() == good
    assert here.ask([spec(here, OLD)])["shop"].tree == OLD.digest


def test_a_rescue_that_was_killed_is_finished(here: ProjectHere) -> None:
    good, _ = here.install(OLD), here.install(NEW, number=2)
    here.converge(spec(here, OLD))
    here.carry_out(list(RUNTIMES.steps(here.plan([spec(here, NEW)]), Facts()))[:1])
    (here.notes / "quarantine").write_text(f"{NEW.digest} 1 failed\n")

    assert here.deploy(spec(here, NEW)) == ["go back to the earlier release of shop"]
    assert (here.home / "current").resolve() == good
    assert not here.plan([spec(here, NEW)])


def test_a_mirror_whose_smoke_test_fails_stays_unfinished(here: ProjectHere) -> None:
    here.home.mkdir()
    mirrored = spec(here, strategy="mirror", smoke=(Smoke(),))
    assert [step.rescues for step in RUNTIMES.steps(here.plan([mirrored]), Facts())] == [False] * 3
    here.deploy(mirrored, check=refused)
    assert here.plan([mirrored])
    here.converge(mirrored)


def test_a_wrong_value_stops_it_and_a_right_one_does_not(here: ProjectHere) -> None:
    here.home.mkdir()
    (here.home / ".env").write_text("OWNER=old\nexport OWNER='Archi cratia'\n")
    wrong = spec(here, strategy="mirror", expect={"OWNER": "archi cratia", "NONE": "1"})
    [start, *_] = RUNTIMES.steps(here.plan([wrong]), Facts())
    done = here.act(start)
    assert done.returncode != 0
    assert b'OWNER is expected to be "archi cratia", and is "Archi cratia"' in done.stdout
    assert b'NONE is expected to be "1", and is ""' in done.stdout
    assert here.plan([wrong])
    here.converge(spec(here, strategy="mirror", expect={"OWNER": "Archi cratia"}))


def test_other_commands_for_the_same_tree_are_a_change(here: ProjectHere) -> None:
    here.home.mkdir()
    here.converge(spec(here, strategy="mirror"))
    other = SERVER.model_copy(update={"env": {"WORD": "another"}})
    here.converge(spec(here, strategy="mirror", runner=other))
    assert (here.home / "started").read_text().endswith("\nanother\n")


def test_files_alone_are_never_missing_and_a_release_of_them_is_made_current(here: ProjectHere) -> None:
    release = here.install(NEW)
    assert not here.plan([spec(here, strategy="mirror", runner=NoRunner())])
    here.converge(spec(here, runner=NoRunner()))
    assert (here.home / "current").resolve() == release


def test_what_stands_in_the_links_place_is_kept(here: ProjectHere) -> None:
    here.install(NEW)
    (here.home / "current").mkdir()
    assert "is not a link: it is kept" in here.act(next(iter(RUNTIMES.steps(here.plan([spec(here)]), Facts())))).stderr.decode()


def test_notes_that_cannot_be_read_are_unknown(here: ProjectHere) -> None:
    done = b"spec 0\nclosed\nend\n"
    assert isinstance(RUNTIMES.parse(done, [spec()])["shop"], Unknown)


def test_an_engine_at_rest_can_be_planned_only_where_this_run_starts_it() -> None:
    down = RuntimeState(engine="the Docker engine does not answer")
    wanted = spec(runner=SHOP, strategy="mirror")
    assert isinstance(RUNTIMES.aim(wanted, {"runtime:shop": down}), Unknown)
    assert isinstance(RUNTIMES.aim(wanted, {"runtime:shop": down, "service:docker": ServiceState(running=True)}), Unknown)
    for coming in ({"service:docker": ServiceState(running=False)}, {"package:apt/docker.io": None}):
        assert RUNTIMES.aim(wanted, {"runtime:shop": down, **coming}) == wanted
    assert {"service:docker", "package:apt/docker.io", "release:shop"} <= set(RUNTIMES.links(wanted))


def test_a_change_of_a_compose_project_builds_first_and_then_starts() -> None:
    wanted = spec(runner=SHOP, smoke=(Smoke(),), port=8080)
    change = Change(wanted, RuntimeState(tree=OLD.digest), RUNTIMES.want(wanted), frozenset({"tree"}))
    assert [step.title for step in RUNTIMES.steps([change], Facts())] == [
        "build web from bbbbbbbbbb",
        "start shop from bbbbbbbbbb",
        "smoke test shop",
        "note bbbbbbbbbb as good for shop",
        "go back to the earlier release of shop",
    ]


def test_a_unit_is_restarted_for_its_file_and_for_its_tree() -> None:
    wanted = spec(runner=SystemdRunner(unit="shop.service"), strategy="mirror")
    assert "file:/etc/systemd/system/shop.service" in RUNTIMES.links(wanted)
    refresh = RUNTIMES.refresh(wanted)
    assert refresh is not None
    assert refresh.title == "restart shop.service"
    assert RUNTIMES.refresh(spec(runner=SHOP)) is None
    want = RUNTIMES.want(wanted)
    assert want is not None
    assert (want.tree, want.services) == (NEW.digest, {"shop.service": "up"})


def test_what_is_recorded_is_enough_to_remove_it() -> None:
    wanted = spec(runner=SHOP)
    again = RuntimeSpec.model_validate(wanted.record() | {"name": "shop", "ensure": "absent"})
    assert again.runner == SHOP


@given(st.binary())
def test_no_answer_can_break_the_parser_or_be_taken_for_absent(out: bytes) -> None:
    specs = [spec(), spec(runner=SHOP), spec(runner=SystemdRunner(unit="x.service"))]
    assert not RUNTIMES.parse(out, specs)
    for answer in RUNTIMES.parse(b"spec 0\n" + out + b"\nend\n", specs).values():
        assert answer is None or isinstance(answer, (Unknown, RuntimeState))
