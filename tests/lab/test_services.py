"""Units of systemd on a real host, of the system and of users: from every state to the declared one, and restarts that are due.

What a unit does is asked of systemctl and of the processes, on the host.
"""

from __future__ import annotations

import json
import shlex

import pytest

from tests.fleet import Fleet
from tests.lab.debian import Deb, Repository
from tests.lab.hosts import LabHost
from tests.lab.trial import Trial

IDLE = "[Unit]\nDescription=idle\n[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"
ONCE = "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo run >>/srv/%N'\n[Install]\nWantedBy=multi-user.target\n"
FAILS = "[Service]\nExecStart=/bin/false\n[Install]\nWantedBy=multi-user.target\n"
TIMER = "[Timer]\nOnCalendar=yearly\n[Install]\nWantedBy=timers.target\n"
LOOPING = "[Service]\nExecStart=/bin/sh -c 'test -e /run/repaired && exec sleep infinity'\nRestart=always\nRestartSec=300\n"
STATIC = "[Service]\nExecStart=/bin/sleep infinity\n"
FOLDER = "/etc/systemd/system"

EDIT = "sleep 1; sed -i s/idle/other/"
UP_NOW: dict[str, object] = {"running": True}
BURY = "mv /etc/systemd/system/{0}.service /usr/lib/systemd/system; systemctl daemon-reload; systemctl {1} {0}"
UP: dict[str, object] = {"running": True, "enabled": True}
DOWN: dict[str, object] = {"running": False, "enabled": False}

# Unit → its file, what was done by hand, what the manifest says, what is planned, and systemd's own words afterwards.
STATES: dict[str, tuple[str, str, dict[str, object], str | None, str]] = {
    "off": (IDLE, "", {}, "change", "active enabled"),
    "equal": (IDLE, "systemctl enable --now equal", UP, None, "active enabled"),
    "disabled": (IDLE, "systemctl start disabled", UP, "change", "active enabled"),
    "stopped": (IDLE, "systemctl enable stopped", UP, "change", "active enabled"),
    "masked": (IDLE, BURY.format("masked", "mask"), UP, "change", "active enabled"),
    "failed": (FAILS, f"systemctl start failed; echo '{STATIC}' >{FOLDER}/failed.service", UP_NOW, "change", "active static"),
    "runtime": (IDLE, "systemctl enable --runtime --now runtime", UP, "change", "active enabled"),
    "once": (ONCE, "", UP, "change", "inactive enabled"),
    "at_work": (IDLE, "systemctl enable --now at_work", DOWN, "change", "inactive disabled"),
    "at_rest": (IDLE, "", DOWN, None, "inactive disabled"),
    "only_stop": (IDLE, "systemctl enable --now only_stop", {"running": False}, "change", "inactive enabled"),
    "only_enable": (IDLE, "", {"enabled": True}, "change", "inactive enabled"),
    "bury": (IDLE, BURY.format("bury", "start"), {"masked": True}, "change", "inactive masked"),
    "dig": (IDLE, BURY.format("dig", "mask"), {"masked": False}, "change", "inactive disabled"),
    "looping": (LOOPING, "systemctl start looping; sleep 0.2; touch /run/repaired", UP_NOW, "change", "active static"),
    "hopeless": (LOOPING.replace("repaired", "never"), "systemctl start hopeless", DOWN, "change", "inactive static"),
    "nowhere": ("", "", DOWN, None, "inactive not-found"),
    "tick.timer": (TIMER, "", {}, "change", "active enabled"),
    "pair@x": ("", "", UP_NOW, "change", "active static"),
    "dash\\x2din": (IDLE, "", UP_NOW, "change", "active disabled"),
    # The last, because every reload of systemd would make it read again.
    "unread": (IDLE, f"systemctl enable --now unread; {EDIT} {FOLDER}/unread.service", UP, "change", "active enabled"),
}


def full(name: str) -> str:
    return name if name.endswith(".timer") else f"{name}.service"


def words(host: LabHost, name: str) -> str:
    """What systemd itself says: `active enabled`."""
    return " ".join(
        host.ask(f"systemctl is-active '{full(name)}'; systemctl is-enabled '{full(name)}' 2>/dev/null").out.split()
    )


def process(host: LabHost, name: str) -> str:
    return host.sh(f"systemctl show --property MainPID --value {name}")


def test_every_state_of_a_unit_leads_to_the_declared_one(fleet: Fleet, host: LabHost) -> None:
    for name, (unit, *_) in STATES.items():
        if unit:
            host.sh(f"cat >'{FOLDER}/{full(name)}' <<'END'\n{unit}END")
    host.sh(
        f"printf %s '{STATIC}' >{FOLDER}/pair@.service; printf %s '{STATIC}' >{FOLDER}/tick.service; systemctl daemon-reload"
    )
    for _, script, *_ in STATES.values():
        host.ask(f"{script or ':'}")
    trial = Trial(fleet, host)
    trial.declare({"services": {name: spec for name, (_, _, spec, _, _) in STATES.items()}})

    applied = trial.converge()

    assert applied.planned.signs == {f"service:{name}": sign for name, (_, _, _, sign, _) in STATES.items() if sign}
    assert {name: words(host, name) for name in STATES} == {name: said for name, (*_, said) in STATES.items()}
    assert host.sh("cat /srv/once; systemctl show -p NeedDaemonReload,Description --value unread") == "run\nother\nno"

    host.sh("systemctl disable --now equal off; systemctl disable once; systemctl start at_work; systemctl stop tick.timer")
    assert trial.converge().planned.signs == dict.fromkeys(
        ["service:equal", "service:off", "service:once", "service:at_work", "service:tick.timer"], "change"
    )
    assert {name: words(host, name) for name in STATES} == {name: said for name, (*_, said) in STATES.items()}


REFUSED = {
    "absent": ("", "there is no unit absent.service on this host"),
    "dies": (FAILS, "dies.service"),
    "unmet": (IDLE.replace("[Service]", "ConditionPathExists=/nowhere\n[Service]"), "condition"),
    "static": (STATIC, "static"),
    "broken": ("[Service]\nExecStart=nonsense\n[Install]\nWantedBy=multi-user.target\n", "broken.service"),
}


def test_what_does_not_start_is_a_failure_with_the_words_of_systemd(fleet: Fleet, host: LabHost) -> None:
    for name, (unit, _) in REFUSED.items():
        if unit:
            host.sh(f"cat >{FOLDER}/{name}.service <<'END'\n{unit}END")
    host.sh(f"cat >{FOLDER}/fine.service <<'END'\n{IDLE}END\nsystemctl daemon-reload")
    trial = Trial(fleet, host)
    trial.declare({"services": {**dict.fromkeys(REFUSED, UP), "fine": UP, "strange": {"user": "nobody-knows", **UP}}})

    failed = trial.fail()

    assert failed.fates.pop("service:fine") == "done"
    assert failed.said.keys() == {f"service:{name}" for name in REFUSED} | {"service:strange"}, failed.result
    for name, (_, told) in REFUSED.items():
        assert told in failed.said[f"service:{name}"], failed.said[f"service:{name}"]
    assert words(host, "fine") == "active enabled"


def test_a_systemd_that_does_not_answer_makes_services_unknown(fleet: Fleet, host: LabHost) -> None:
    host.sh(f"cat >{FOLDER}/idle.service <<'END'\n{IDLE}END")
    host.sh(
        "mv /usr/bin/systemctl /usr/bin/real; printf '#!/bin/sh\\nexit 1\\n' >/usr/bin/systemctl; chmod 755 /usr/bin/systemctl"
    )
    trial = Trial(fleet, host)
    trial.declare({"services": {"idle": {}, "cron": DOWN}, "files": {"/srv/fine": {"content": "fine"}}})
    left = trial.fail()
    assert left.planned.unknown.keys() == {"service:idle", "service:cron"}
    assert left.touched == {"/srv/fine"}
    host.sh("mv /usr/bin/real /usr/bin/systemctl")
    assert words(host, "cron") == "active enabled"
    assert trial.converge().planned.signs == {"service:idle": "change", "service:cron": "change"}


def test_a_restart_follows_a_change_and_only_where_it_is_due(fleet: Fleet, host: LabHost) -> None:
    reloadable = IDLE.replace("ExecStart=", "ExecReload=/bin/sh -c 'echo reloaded >>/srv/reloads'\nExecStart=")
    host.sh(f"cat >{FOLDER}/resting.service <<'END'\n{IDLE}END\ncp {FOLDER}/resting.service {FOLDER}/free.service")
    trial = Trial(fleet, host)
    follows = {"follows": ["file:/srv/settings"]}
    names = ("main", "gentle", "deaf", "plain")

    def declare(settings: str, unit: str = IDLE, drop_in: str = "[Service]\nNice=1\n") -> None:
        trial.declare(
            {
                "files": {
                    "/srv/settings": {"content": settings},
                    **{f"{FOLDER}/{name}.service": {"content": unit if name == "main" else reloadable} for name in names},
                    f"{FOLDER}/main.service.d/override.conf": {"content": drop_in},
                },
                "directories": {f"{FOLDER}/main.service.d": {}},
                "services": {
                    "main": {**UP, "follows": [f"file:{FOLDER}/main.service", f"file:{FOLDER}/main.service.d/override.conf"]},
                    "gentle": {**UP, **follows, "on_change": "reload"},
                    "deaf": {**UP, **follows, "on_change": "none"},
                    "plain": {**UP, **follows},
                    "resting": {**DOWN, **follows},
                    "free": {"enabled": True, **follows},
                },
            }
        )

    declare("one")
    first = trial.converge()
    # What is started for the first time is not restarted on top.
    assert {name for name in first.planned.signs if name.startswith("refresh")} == {"refresh service:free"}
    assert not host.has("test -e /srv/reloads")
    before = {name: process(host, name) for name in names}

    declare("two")
    assert trial.converge().planned.signs == {
        "file:/srv/settings": "change",
        "refresh service:gentle": "reload",
        "refresh service:plain": "restart",
        "refresh service:free": "restart",
    }
    after = {name: process(host, name) for name in names}
    assert {name for name in names if before[name] != after[name]} == {"plain"}
    assert host.sh("cat /srv/reloads") == "reloaded"
    assert [words(host, name) for name in ("resting", "free")] == ["inactive disabled", "inactive enabled"]

    # An edit by hand of what is followed is drift, and what follows is restarted when it is healed.
    assert trial.heal("echo drift >/srv/settings").keys() == {
        "file:/srv/settings",
        *(f"refresh service:{name}" for name in ("gentle", "plain", "free")),
    }
    declare("two", IDLE.replace("infinity", "99999"))
    assert trial.converge().planned.signs == {
        f"file:{FOLDER}/main.service": "change",
        "refresh service:main": "restart",
    }
    assert host.sh(f"xargs -0 </proc/{process(host, 'main')}/cmdline") == "/bin/sleep 99999"
    declare("two", IDLE.replace("infinity", "99999"), "[Service]\nNice=7\n")
    trial.converge()
    assert host.sh(f"ps -o nice= -p {process(host, 'main')}").strip() == "7"


def test_a_service_that_its_package_starts_runs_with_the_settings_all_the_same(fleet: Fleet, host: LabHost) -> None:
    unit = IDLE.replace("ExecStart=/bin/sleep", "ExecStart=/bin/sh -c 'cat /etc/web.conf >>/srv/seen; exec sleep infinity' #")
    postinst = (
        f"printf %s {shlex.quote(unit)} >/usr/lib/systemd/system/web.service; systemctl daemon-reload; systemctl start web"
    )
    repository = Repository(host)
    repository.add([Deb("web", "1.0", scripts={"postinst": postinst})])
    trial = Trial(fleet, host)
    trial.declare(
        {
            "repositories": {"lab": repository.declared()},
            "packages": {"apt": ["web"]},
            "files": {"/etc/web.conf": {"content": "ours\n", "needs": ["package:apt/web"]}},
            "services": {"web": {**UP, "follows": ["file:/etc/web.conf"]}},
        },
        {"files/lab.asc": repository.key.armored},
    )
    assert trial.converge().planned.signs == dict.fromkeys(
        ["repository:lab", "package:apt/web", "file:/etc/web.conf", "service:web"], "create"
    )
    assert host.sh("cat /srv/seen") == "ours"


@pytest.mark.parametrize("victim", ["controller", "script"])
def test_a_restart_that_a_killed_run_did_not_come_to_is_made_up_for(fleet: Fleet, host: LabHost, victim: str) -> None:
    host.sh(f"cat >{FOLDER}/main.service <<'END'\n{IDLE}END")
    trial = Trial(fleet, host)

    def declare(settings: str, wait: str) -> None:
        slow = {"run": f"touch /run/busy; {wait}", "unless": "true", "follows": ["file:/srv/settings"]}
        trial.declare(
            {
                "files": {"/srv/settings": {"content": settings}},
                "commands": {"slow": slow},
                "services": {"main": {**UP, "follows": ["file:/srv/settings"], "needs": ["command:slow"]}},
            }
        )

    declare("one", "true")
    trial.converge()
    host.sh("rm /run/busy")
    before = process(host, "main")
    declare("two", "sleep 3")
    with trial.applying() as running:
        host.wait("test -e /run/busy")
        if victim == "controller":
            running.kill()
        else:
            trial.kill_script()
            assert running.wait(timeout=30) == 4
    host.wait("flock -n /var/lib/reconciler/lock true && ! pgrep -x sleep -f 'sleep 3'")
    assert (host.sh("cat /srv/settings"), process(host, "main")) == ("two", before)

    made_up = trial.converge()
    assert made_up.planned.signs["refresh service:main"] == "restart"
    assert made_up.planned.actions["refresh service:main"]["cause"]["why"] == "pending"
    assert "file:/srv/settings" not in made_up.planned.signs
    assert process(host, "main") != before


def test_units_of_users_run_without_a_login_and_one_user_cannot_hide_the_others(fleet: Fleet, host: LabHost) -> None:
    host.sh("useradd -m -s /bin/sh eva; useradd -m -s /bin/sh jon")
    units = {f"/home/{user}/.config/systemd/user/mine.service": user for user in ("ops", "eva")}
    folders = [
        f"/home/{user}{part}" for user in ("ops", "eva") for part in ("/.config", "/.config/systemd", "/.config/systemd/user")
    ]
    trial = Trial(fleet, host)
    user_unit = IDLE.replace("multi-user", "default")
    manifest = {
        "directories": {folder: {"owner": folder.split("/")[2]} for folder in folders},
        "files": {path: {"content": user_unit, "owner": user} for path, user in units.items()},
        "services": {
            "mine": {"user": "ops", **UP, "follows": ["file:/home/ops/.config/systemd/user/mine.service"]},
            "mine-eva": {"unit": "mine", "user": "eva"},
            "other": {"user": "jon", **DOWN},
        },
    }
    trial.declare(manifest)
    trial.converge()
    asked = "export XDG_RUNTIME_DIR=/run/user/$(id -u); for verb in is-active is-enabled; do systemctl --user $verb mine; done"
    assert [host.sh(asked, user) for user in ("ops", "eva")] == ["active\nenabled"] * 2
    assert host.sh("ls /var/lib/systemd/linger") == "eva\nops"
    assert host.sh("pgrep -c -u ops sleep; pgrep -c -u eva sleep") == "1\n1"

    host.sh("loginctl disable-linger eva; systemctl stop user@$(id -u eva)")
    assert trial.converge().planned.signs == {"service:mine-eva": "change"}
    host.sh(f"printf %s '{user_unit.replace('infinity', '99999')}' >/home/ops/.config/systemd/user/mine.service")
    assert trial.converge().planned.signs.keys() == {
        "file:/home/ops/.config/systemd/user/mine.service",
        "service:mine",
        "refresh service:mine",
    }

    host.sh("kill -STOP $(systemctl show -p MainPID --value user@$(id -u eva))")
    stuck = trial.plan()
    assert stuck.unknown.keys() == {"service:mine-eva"}
    assert stuck.signs == {}
    host.sh("kill -CONT $(systemctl show -p MainPID --value user@$(id -u eva))")

    trial.declare({})
    trial.converge("--allow-deletions", "20")
    assert host.ask("pgrep -u ops sleep; pgrep -u eva sleep; find /home -name 'mine*'").out == ""


def test_a_service_that_left_git_is_stopped_only_if_we_started_it(fleet: Fleet, host: LabHost) -> None:
    host.sh(f"cat >{FOLDER}/before.service <<'END'\n{IDLE}END\nsystemctl daemon-reload; systemctl enable --now before")
    host.sh(f"cp {FOLDER}/before.service {FOLDER}/half.service; systemctl daemon-reload; systemctl enable half")
    trial = Trial(fleet, host)
    trial.declare(
        {
            "files": {f"{FOLDER}/ours.service": {"content": IDLE}},
            "services": {"ours": UP, "before": UP, "half": {"running": True}, "cron": {"masked": True}},
        }
    )
    trial.converge()
    trial.declare({})
    gone = trial.converge()
    assert gone.planned.signs == {f"file:{FOLDER}/ours.service": "delete", "service:ours": "delete", "service:half": "delete"}
    assert {name: words(host, name) for name in ("ours", "before", "half", "cron")} == {
        "ours": "inactive not-found",
        "before": "active enabled",
        "half": "inactive enabled",
        "cron": "inactive masked",
    }
    assert not host.has(f"test -e {FOLDER}/multi-user.target.wants/ours.service")


def test_names_that_are_none_are_told_all_at_once(fleet: Fleet) -> None:
    wrong = ["-h", "a b", "$(touch pwned)", "*", "x;y", "a/b", "ssh.service", "pair@", "x\n", "a'b", ".", "é", "dev-sda.device"]
    manifest = {"address": "root@127.0.0.1:9", "services": {name: {} for name in wrong}}
    fleet.commit({"hosts/away.yaml": json.dumps(manifest, indent=1)})
    refused = fleet.apply()
    assert refused.code == 1, refused
    assert refused.err.count("hosts/away.yaml:") == len(wrong), refused


def test_a_unit_file_is_read_by_the_run_that_writes_or_removes_it(fleet: Fleet, host: LabHost) -> None:
    trial = Trial(fleet, host)
    unit, extra, beneath = (
        f"{FOLDER}/reader.service",
        f"{FOLDER}/reader.service.d/10-nice.conf",
        "/usr/lib/systemd/system/reader.service",
    )
    host.sh(f"printf '%s' '{IDLE}' >{beneath}; systemctl daemon-reload")
    services = {"reader": UP}
    trial.declare({"files": {unit: {"content": IDLE}}, "services": services})
    trial.converge()
    began = host.sh("systemctl show -p MainPID reader")
    trial.declare({"files": {unit: {"content": f"# new\n{IDLE}"}}, "services": services})
    assert trial.converge().planned.signs == {f"file:{unit}": "change", "service:reader": "change"}
    folder: dict[str, dict[str, str]] = {f"{unit}.d": {}}
    trial.declare(
        {
            "files": {unit: {"content": f"# new\n{IDLE}"}, extra: {"content": "[Service]\nNice=1\n"}},
            "directories": folder,
            "services": services,
        }
    )
    trial.converge()
    trial.declare({"services": services})
    trial.converge("--allow-deletions", "9")
    assert host.sh("systemctl show -p FragmentPath --value reader") == beneath
    assert host.sh("systemctl show -p MainPID reader") == began, "what nobody follows is not restarted"


def test_an_empty_unit_file_is_not_removed_to_unmask_the_unit(fleet: Fleet, host: LabHost) -> None:
    trial = Trial(fleet, host)
    trial.declare({"files": {f"{FOLDER}/void.service": {"content": ""}}, "services": {"void": {"running": True}}})
    said = trial.fail().said
    assert said.keys() == {"service:void"}
    assert said["service:void"].endswith("void.service is empty, which masks the unit: give it a content, or remove it")
    assert host.has(f"test -f {FOLDER}/void.service")
