"""Commands with their guards on a real host: when they run, as whom, what is said when they fail, and that none runs twice."""

from __future__ import annotations

import json

import pytest

from tests.fleet import Fleet
from tests.lab.hosts import LabHost
from tests.lab.trial import Trial

HOSTILE = 'it\'s "quoted" $(touch /srv/pwned) `touch /srv/pwned` \\ ; touch /srv/pwned & {{ x }} %s é'

# Command → what was done by hand, how it is written, and whether it has to run. Each leaves its name behind when it does.
GUARDS: dict[str, tuple[str, dict[str, object], bool]] = {
    "missing": (":", {"creates": "/srv/missing"}, True),
    "there": ("touch /srv/there", {"creates": "/srv/there"}, False),
    "folder there": ("mkdir /srv/folder", {"creates": "/srv/folder"}, False),
    "dangling": ("ln -s /nowhere /srv/dangling", {"creates": "/srv/dangling"}, False),
    "unless no": (":", {"unless": "test -e '/srv/ran/unless no'"}, True),
    "unless yes": ("touch /srv/yes", {"unless": "test -e /srv/yes"}, False),
    "only if yes": ("touch /srv/due", {"only_if": "test -e /srv/due", "run": "rm /srv/due"}, True),
    "only if no": (":", {"only_if": "test -e /srv/never"}, False),
    "silent absence": (
        ":",
        {"unless": "command -v not-a-program", "run": "ln -s /bin/true /usr/local/bin/not-a-program"},
        True,
    ),
    "several lines": (
        ":",
        {"unless": "test -e '/srv/ran/several lines'", "run": "false || true\nif false; then exit 1; fi"},
        True,
    ),
    "'$(id)' -x": (":", {"creates": "/srv/odd name; $(id)"}, True),
}


def test_a_guard_decides_whether_a_command_runs(fleet: Fleet, host: LabHost) -> None:
    host.sh("mkdir -m 777 /srv/ran; " + "; ".join(script for script, *_ in GUARDS.values()))
    trial = Trial(fleet, host)
    commands = {}
    for name, (_, spec, _) in GUARDS.items():
        run = f'{spec.get("run", ":")}\necho ran >>"/srv/ran/$NAME"\n[ -z "$PLACE" ] || : >"$PLACE"'
        commands[name] = {**spec, "run": run, "env": {"NAME": name, "PLACE": str(spec.get("creates", ""))}}
    trial.declare({"commands": commands})

    applied = trial.converge()

    due = {name for name, (_, _, runs) in GUARDS.items() if runs}
    assert applied.planned.signs == {f"command:{name}": "change" for name in due}
    assert set(host.sh("ls /srv/ran").split("\n")) == due
    assert host.sh("cat /srv/ran/*").split() == ["ran"] * len(due)
    # A command that left the repository is forgotten, and what it did stays.
    trial.declare({})
    assert trial.converge().planned.signs == {}
    assert set(host.sh("ls /srv/ran").split("\n")) == due


def test_a_command_runs_as_it_is_told_and_values_are_only_values(fleet: Fleet, host: LabHost) -> None:
    folder = "/srv/a folder; $(touch pwned) 'x'"
    trial = Trial(fleet, host)
    report = 'printf "%s|" "$(id -un)" "$HOME" "$PWD" "$VALUE" "$LC_ALL" "$(umask)" "$(cat)" >"$OUT"'
    trial.declare(
        {
            "directories": {folder: {"owner": "ops"}, "/srv/out": {"mode": "1777"}},
            "commands": {
                HOSTILE: {
                    "run": report,
                    "creates": "/srv/out/plain",
                    "env": {"VALUE": HOSTILE, "OUT": "/srv/out/plain"},
                    "needs": ["directory:/srv/out"],
                },
                "as ops": {
                    "run": report,
                    "unless": 'test -e "$OUT" && test "$(id -un)" = ops && test "$PWD" = "$WANTED"',
                    "user": "ops",
                    "cwd": folder,
                    "env": {"VALUE": HOSTILE, "OUT": "/srv/out/ops", "WANTED": folder, "LC_ALL": "C.UTF-8"},
                    "needs": ["directory:/srv/out"],
                },
            },
        }
    )
    trial.converge()
    assert host.sh("cat /srv/out/plain") == f"root|/root|/|{HOSTILE}|C|0022||"
    assert host.sh("cat /srv/out/ops; stat -c %U /srv/out/ops") == f"ops|/home/ops|{folder}|{HOSTILE}|C.UTF-8|0022||ops"
    assert host.sh("find / -xdev -name pwned") == ""


def test_what_fails_is_told_and_stops_only_what_needs_it(fleet: Fleet, host: LabHost) -> None:
    trial = Trial(fleet, host)
    trial.declare(
        {
            "commands": {
                "fails": {"run": "echo before\nls /nowhere\necho after >/srv/after", "creates": "/srv/after"},
                "hangs": {"run": "sleep 1000 & sleep 1001", "creates": "/srv/never", "timeout": 2},
                "lies": {"run": ":", "creates": "/srv/nothing"},
                "fine": {"run": "touch /srv/fine", "creates": "/srv/fine"},
                "stranger": {"run": "touch /srv/stranger", "creates": "/srv/stranger", "user": "nobody-knows"},
            },
            "files": {"/srv/waits": {"content": "x", "needs": ["command:fails"]}},
        }
    )
    failed = trial.fail()
    assert failed.fates == {
        "command:fails": "failed",
        "command:hangs": "late",
        "command:lies": "done",
        "command:fine": "done",
        "command:stranger": "failed",
        "file:/srv/waits": "skipped",
    }
    assert "before" in failed.said["command:fails"]
    assert "/nowhere" in failed.said["command:fails"]
    assert failed.outcome["unconverged"] == {"command:lies": ["done"]}
    assert failed.touched == {"/srv/fine"}
    assert not host.has("pgrep -f 'sleep 100[01]'"), "what took too long is still at work"
    shown = fleet.apply()
    assert shown.code == 3, shown
    assert "did not converge: done" in shown.out, shown


def test_a_guard_that_cannot_be_asked_is_no_answer(fleet: Fleet, host: LabHost) -> None:
    host.sh("mkdir /srv/ran; printf '#!/bin/sh\\nexit 0\\n' >/srv/closed; chmod 600 /srv/closed")
    trial = Trial(fleet, host)
    guards = {
        "program": "not-a-program --check",
        "not executable": "/srv/closed",
        "killed": "kill -9 $$",
    }
    commands: dict[str, object] = {name: {"run": f"touch '/srv/ran/{name}'", "unless": guard} for name, guard in guards.items()}
    # Its program comes with a file of the same apply, so it is planned, and the last question before the run decides.
    commands["brought"] = {
        "run": "touch /srv/ran/brought",
        "unless": "/usr/local/bin/check /srv/ran/brought",
        "needs": ["file:/usr/local/bin/check"],
    }
    commands["content"] = {
        "run": "touch /srv/ran/content",
        "unless": "/usr/local/bin/check /srv/ran",
        "needs": ["file:/usr/local/bin/check"],
    }
    check = {"content": '#!/bin/sh\ntest -e "$1"\n', "mode": "0755"}
    trial.declare({"commands": commands, "files": {"/usr/local/bin/check": check}})

    left = trial.fail()

    assert left.planned.unknown.keys() == {f"command:{name}" for name in guards}
    assert left.fates == dict.fromkeys(["command:brought", "command:content", "file:/usr/local/bin/check"], "done")
    assert host.sh("ls /srv/ran") == "brought"

    # One that hangs costs its time once, and what it has started does not outlive it.
    hanging = {name: {"run": ":", "unless": "sleep 1000"} for name in ("hangs", "hangs too")}
    trial.declare({"commands": {**hanging, "fine": {"run": ":", "unless": "true"}}})
    assert trial.plan().unknown == {
        "command:hangs": "its guard could not be asked: it did not end within 8 seconds",
        "command:hangs too": "its guard could not be asked: it did not end within 2 seconds",
    }
    assert not host.has("pgrep -f 'sleep 1000'")


def test_a_command_is_run_again_after_what_it_follows_has_changed(fleet: Fleet, host: LabHost) -> None:
    trial = Trial(fleet, host)

    def declare(content: str) -> None:
        follows = {"follows": ["file:/srv/input"]}
        trial.declare(
            {
                "files": {"/srv/input": {"content": content}},
                "commands": {
                    "build": {"run": "cat /srv/input >>/srv/built", "creates": "/srv/built", **follows},
                    "after": {"run": "echo $(cat /srv/input) >>/srv/after", "unless": "true", **follows},
                    "when": {"run": "echo when >>/srv/when", "only_if": "test -e /srv/due", **follows},
                    "chain": {"run": "wc -l </srv/built >>/srv/chain", "unless": "true", "follows": ["command:build"]},
                },
            }
        )

    declare("one\n")
    trial.converge()
    assert host.sh("cat /srv/built /srv/after /srv/chain; ls /srv") == "one\none\n1\nafter\nbuilt\nchain\ninput"
    declare("two\n")
    assert trial.converge().planned.signs == {
        "file:/srv/input": "change",
        "refresh command:build": "run",
        "refresh command:after": "run",
        "refresh command:when": "run",
        "refresh command:chain": "run",
    }
    assert host.sh("cat /srv/built /srv/after /srv/chain; ls /srv") == ("one\ntwo\none\ntwo\n1\n2\nafter\nbuilt\nchain\ninput")


@pytest.mark.parametrize("victim", ["controller", "script"])
def test_a_command_at_work_is_neither_cut_nor_run_twice(fleet: Fleet, host: LabHost, victim: str) -> None:
    trial = Trial(fleet, host)
    run = "echo begun >>/srv/log\nsleep 4\necho done >>/srv/log\ntouch /srv/made"
    trial.declare(
        {
            "commands": {
                "slow": {"run": run, "creates": "/srv/made"},
                "next": {"run": "echo next >>/srv/log", "unless": "grep -q next /srv/log", "needs": ["command:slow"]},
            }
        }
    )
    with trial.applying() as running:
        host.wait("grep -q begun /srv/log")
        if victim == "controller":
            running.kill()
        else:
            trial.kill_script()
            assert running.wait(timeout=30) == 4
    # At once: the second run waits for the first one's step, and finds that it is done.
    code = fleet.apply().code
    assert code in {0, 6}
    assert code == 0 or fleet.apply().code == 0
    assert host.sh("cat /srv/log") == "begun\ndone\nnext"
    trial.settle()


def test_a_command_without_a_guard_or_with_nonsense_is_refused(fleet: Fleet) -> None:
    wrong = {
        "no guard": {"run": "true"},
        "two guards": {"run": "true", "creates": "/x", "unless": "true"},
        "nothing": {"run": " ", "creates": "/x"},
        "relative": {"run": "true", "creates": "x"},
        "bad variable": {"run": "true", "creates": "/x", "env": {"A B": "x"}},
        "bad user": {"run": "true", "creates": "/x", "user": "-u root"},
        "gone": {"run": "true", "creates": "/x", "ensure": "absent"},
        "line\nbreak": {"run": "true", "creates": "/x"},
    }
    fleet.commit({"hosts/away.yaml": json.dumps({"address": "root@127.0.0.1:9", "commands": wrong}, indent=1)})
    refused = fleet.apply()
    assert refused.code == 1, refused
    assert refused.err.count("hosts/away.yaml:") == len(wrong), refused
