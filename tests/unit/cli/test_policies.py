"""Windows, suspensions and ignore rules as `plan`, `apply` and `status` obey them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.fleet import Fleet
from tests.unit.cli.console import Console, host_file

MOTD = 'files:\n  @/motd: {content: "welcome\\n", mode: "0644"}\n'
CLOSED = 'windows: [{deny: "* * * * *", for: 1h}]\n'
OPEN = 'windows: [{allow: "* * * * *", for: 2m}]\n'
REASON = "a window denies changes; no end is in sight"


def test_outside_the_windows_nothing_is_changed(fleet: Fleet, console: Console, sandbox: Path) -> None:
    fleet.commit({"fleet.yaml": CLOSED, "hosts/nas.yaml": host_file(sandbox, MOTD)})
    plan = console("plan", "--detailed-exitcode")
    assert plan.code == 0, plan
    assert f"held back, will not be done: {REASON}" in plan.out
    assert "there is a change that is held back by windows and suspensions" in plan.err
    (action,) = console.json("plan")["hosts"][0]["actions"]
    assert action["held"] == REASON
    refused = console("apply", "--yes")
    assert refused.code == 5, refused
    assert f"nothing was changed: {REASON}" in refused.err
    assert not (sandbox / "motd").exists()
    assert not (sandbox / "inventory").exists()


def test_within_them_it_is(fleet: Fleet, console: Console, sandbox: Path) -> None:
    fleet.commit({"fleet.yaml": OPEN, "hosts/nas.yaml": host_file(sandbox, MOTD)})
    assert console("apply", "--yes").code == 0
    assert (sandbox / "motd").exists()


def test_a_host_that_is_held_stops_no_other(fleet: Fleet, console: Console, sandbox: Path) -> None:
    other = sandbox / "other"
    other.mkdir()
    closed = 'windows: [{deny: "* * * * *", for: 1h, hosts: [tag:prod]}]\n'
    hosts = {"hosts/nas.yaml": host_file(sandbox, MOTD, "tags: [prod]\n"), "hosts/web.yaml": host_file(other, MOTD)}
    fleet.commit({"fleet.yaml": closed, **hosts})
    applied = console("apply", "--yes")
    assert applied.code == 0, applied
    assert not (sandbox / "motd").exists()
    assert (other / "motd").exists()
    status = console("status")
    assert f"held back: {REASON}" in status.out
    reports = console.json("status")["hosts"]
    assert [(one["state"], one["reasons"], one["suspended"]) for one in reports] == [
        ("held", [REASON], ""),
        ("converged", [], ""),
    ]


def test_where_nothing_would_change_windows_are_no_reason_to_refuse(fleet: Fleet, console: Console, sandbox: Path) -> None:
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, MOTD)})
    assert console("apply", "--yes").code == 0
    fleet.commit({"fleet.yaml": CLOSED})
    applied = console("apply", "--yes")
    assert applied.code == 0, applied
    assert console("plan").err == ""


def test_what_follows_a_change_waits_with_it(fleet: Fleet, console: Console, sandbox: Path) -> None:
    more = f'commands:\n  tell: {{run: "echo told >> {sandbox}/told", follows: ["file:@/motd"], unless: "true"}}\n'
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, MOTD + more)})
    assert console("apply", "--yes").code == 0
    (sandbox / "told").unlink(missing_ok=True)
    fleet.commit({"fleet.yaml": CLOSED, "hosts/nas.yaml": host_file(sandbox, MOTD.replace("welcome", "hello") + more)})
    assert console("apply", "--yes").code == 5
    assert not (sandbox / "told").exists()
    fleet.commit({"fleet.yaml": ""})
    assert console("apply", "--yes").code == 0
    assert (sandbox / "told").read_text() == "told\n"


def test_a_mode_that_may_differ_stays_when_the_content_changes(fleet: Fleet, console: Console, sandbox: Path) -> None:
    rules = f'ignore: [{{resource: "file:{sandbox}/motd", fields: [mode, owner, group]}}]\n'
    fleet.commit({"fleet.yaml": rules, "hosts/nas.yaml": host_file(sandbox, MOTD)})
    assert console("apply", "--yes").code == 0
    assert (sandbox / "motd").stat().st_mode & 0o777 == 0o644
    (sandbox / "motd").chmod(0o640)
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, MOTD.replace("welcome", "hello"))})
    assert console("apply", "--yes").code == 0
    assert (sandbox / "motd").read_text() == "hello\n"
    assert (sandbox / "motd").stat().st_mode & 0o777 == 0o640
    assert "drift" not in console("plan").out
    assert console("plan", "--detailed-exitcode").code == 0


def test_what_may_differ_is_no_drift_and_never_makes_an_apply_fail(fleet: Fleet, console: Console, sandbox: Path) -> None:
    rules = f'ignore: [{{resource: "file:{sandbox}/m*", fields: [mode]}}, {{resource: "file:{sandbox}/log"}}]\n'
    both = MOTD + '  @/log: {content: "begin\\n"}\n'
    fleet.commit({"fleet.yaml": rules, "hosts/nas.yaml": host_file(sandbox, both)})
    assert console("apply", "--yes").code == 0
    (sandbox / "motd").chmod(0o600)
    (sandbox / "log").write_text("begin\nand more\n")
    plan = console("plan", "--detailed-exitcode")
    assert plan.code == 0, plan
    assert "nas: nothing to do, 2 resources as asked" in plan.out
    assert console("status").code == 0

    fleet.commit({"hosts/nas.yaml": host_file(sandbox, both + '  @/third: {content: "x\\n"}\n')})
    applied = console("apply", "--yes")
    assert applied.code == 0, applied
    assert "1 of 1 host converged" in applied.out
    assert (sandbox / "motd").stat().st_mode & 0o777 == 0o600
    assert (sandbox / "log").read_text() == "begin\nand more\n"

    (sandbox / "log").unlink()
    assert "file:" in console("plan").out
    assert console("apply", "--yes").code == 0
    assert (sandbox / "log").read_text() == "begin\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A project with a page and a log."""
    folder = tmp_path / "site"
    (folder / "log").mkdir(parents=True)
    (folder / "index.html").write_text("hello\n")
    (folder / "log" / "a.log").write_text("begin\n")
    who = ["-c", "user.name=Grace", "-c", "user.email=grace@example.org"]
    for words in (["init", "--quiet", "-b", "main"], ["add", "."], [*who, "commit", "--quiet", "-m", "Begin"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    return folder


def project_file(source: Path, sandbox: Path, more: str = "") -> str:
    head = f"source: {source}\nrevision: main\ndeploy: {{host: nas, path: {sandbox}/site}}\n"
    return head + f"strategy: mirror\nruntime: none\n{more}"


def test_files_of_a_project_that_may_differ_are_no_drift(fleet: Fleet, console: Console, sandbox: Path, source: Path) -> None:
    rules = 'ignore: [{resource: "release:site", paths: ["log/"]}]\n'
    files = {"hosts/nas.yaml": host_file(sandbox, MOTD), "projects/site.yaml": project_file(source, sandbox)}
    fleet.commit({"fleet.yaml": rules, **files})
    applied = console("apply", "--yes")
    assert applied.code == 0, applied
    log, page = sandbox / "site" / "log" / "a.log", sandbox / "site" / "index.html"
    log.write_text("begin\nand more\n")
    plan = console("plan", "--detailed-exitcode")
    assert plan.code == 0, plan
    checked = console("project", "check")
    assert checked.code == 0, checked
    assert "as in the source" in checked.out

    page.write_text("defaced\n")
    drifted = console("project", "check")
    assert drifted.code == 3, drifted
    assert "edited: index.html" in drifted.out
    assert "a.log" not in drifted.out
    assert "! release:site  may differ, and may be as asked again after this change: log/a.log" in console("plan").out
    assert console("apply", "--yes").code == 0
    assert page.read_text() == "hello\n"
    assert console("plan", "--detailed-exitcode").code == 0


@pytest.mark.parametrize(
    ("sync", "healed", "deployed"), [("enforce", True, True), ("deploy", False, True), ("observe", False, False)]
)
def test_a_project_is_healed_and_deployed_as_its_policy_says(
    fleet: Fleet, console: Console, sandbox: Path, source: Path, sync: str, healed: bool, deployed: bool
) -> None:
    host = {"hosts/nas.yaml": host_file(sandbox, MOTD)}
    fleet.commit({**host, "projects/site.yaml": project_file(source, sandbox)})
    assert console("apply", "--yes").code == 0
    fleet.commit({"projects/site.yaml": project_file(source, sandbox, f"sync: {sync}\n")})
    page = sandbox / "site" / "index.html"
    page.write_text("defaced\n")
    assert console("apply", "--yes").code == 0
    assert page.read_text() == ("hello\n" if healed else "defaced\n")

    (source / "index.html").write_text("hello again\n")
    who = ["-c", "user.name=Grace", "-c", "user.email=grace@example.org"]
    subprocess.run(["git", *who, "commit", "--quiet", "-am", "Again"], cwd=source, check=True)
    assert console("apply", "--yes").code == 0
    assert (page.read_text() == "hello again\n") == deployed


def test_a_suspended_project_waits_and_its_host_goes_on(fleet: Fleet, console: Console, sandbox: Path, source: Path) -> None:
    project = project_file(source, sandbox, "suspend: {reason: fair}\n")
    fleet.commit({"hosts/nas.yaml": host_file(sandbox, MOTD), "projects/site.yaml": project})
    applied = console("apply", "--yes")
    assert applied.code == 0, applied
    assert (sandbox / "motd").exists()
    assert not (sandbox / "site").exists()
    assert "held back, will not be done: project site is suspended: fair" in console("plan").out
    assert console("apply", "--yes").code == 5
    assert console("apply", "--yes", "--now").code == 0
    assert (sandbox / "site" / "index.html").exists()


def test_what_policies_say_differently_is_shown_between_two_commits(fleet: Fleet, console: Console) -> None:
    before = fleet.commit({"fleet.yaml": "timezone: Europe/Paris\n", "hosts/nas.yaml": "address: nas\n"})
    rules = 'ignore: [{resource: "file:*", fields: [mode]}]\nsuspend: {reason: moving}\n'
    fleet.commit({"fleet.yaml": rules + CLOSED, "hosts/nas.yaml": "address: nas\nsuspend: {until: 2046-12-01}\n"})
    shown = console("diff", before)
    assert shown.code == 0, shown
    assert "suspend" in shown.out
    document = console.json("diff", before)
    assert [one["field"] for one in document["settings"]] == ["ignore", "suspend", "timezone", "windows"]
    (host,) = document["hosts"]
    assert host["settings"] == [{"field": "suspend", "old": None, "new": {"until": "2046-12-01T00:00:00Z"}}]
