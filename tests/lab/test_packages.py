"""Packages from a repository and from files, holds, versions, removals, and repositories with their keys, on a real host.

The packages are our own (`debian.py`): every version is known, scripts fail when they are told to, and no mirror is asked.
"""

from __future__ import annotations

import json

import pytest

from tests.fleet import Fleet
from tests.lab.debian import Deb, Repository, SigningKey
from tests.lab.hosts import LabHost
from tests.lab.trial import Trial

STATUS = "dpkg-query -W -f '${db:Status-Abbrev}|${Version}' "
FOLDER = "/srv/repository"
TEAR = "sed -i '/^Package: torn$/,/^$/s/^Status:.*/Status: install reinstreq half-installed/' /var/lib/dpkg/status"
BREAKABLE = {"postinst": "if [ -e /run/break ]; then echo the script of $0 fails; exit 1; fi"}


def versions(*names: str, conffile: bool = False) -> list[Deb]:
    return [Deb(name, version, conffile=conffile) for name in names for version in ("1.0", "1.1", "2.0")]


# Package → how it got into its state by hand, what the manifest says, what is planned, and dpkg's words afterwards.
STATES: dict[str, tuple[str, dict[str, object], str | None, str]] = {
    "absent": ("", {"version": "1.*"}, "create", "ii |1.1"),
    "newest": ("", {}, "create", "ii |2.0"),
    "equal": ("apt-get -qq install equal=1.1", {"version": "1.?"}, None, "ii |1.1"),
    "older": ("apt-get -qq install older=1.0", {"version": "1.1"}, "change", "ii |1.1"),
    "newer": ("apt-get -qq install newer=2.0", {"version": "1.1"}, "change", "ii |1.1"),
    "whatever": ("apt-get -qq install whatever=1.0", {}, None, "ii |1.0"),
    "frozen": (
        "apt-get -qq install frozen=1.0; apt-mark -qq hold frozen",
        {"version": "1.1", "hold": True},
        "change",
        "hi |1.1",
    ),
    "hold": ("apt-get -qq install hold=1.1", {"hold": True}, "change", "hi |1.1"),
    "loose": ("apt-get -qq install loose=1.1; apt-mark -qq hold loose", {"hold": False}, "change", "ii |1.1"),
    "kept": ("apt-get -qq install kept=1.1; apt-mark -qq hold kept", {}, None, "hi |1.1"),
    "automatic": ("apt-get -qq install automatic=1.1; apt-mark -qq auto automatic", {}, "change", "ii |1.1"),
    "removed": ("apt-get -qq install removed=1.1; apt-get -qq remove removed", {}, "create", "ii |2.0"),
    "unwanted": ("apt-get -qq install unwanted=1.1", {"ensure": "absent"}, "delete", "rc |1.1"),
    "leftover": ("apt-get -qq install leftover=1.1; apt-get -qq remove leftover", {"ensure": "absent"}, None, "rc |1.1"),
    "wiped": ("apt-get -qq install wiped=1.1", {"ensure": "absent", "purge": True}, "delete", "gone"),
    "swept": (
        "apt-get -qq install swept=1.1; apt-get -qq remove swept",
        {"ensure": "absent", "purge": True},
        "delete",
        "gone",
    ),
    "never": ("", {"ensure": "absent"}, None, "gone"),
    # Broken ones come last: apt would mend them on its next occasion.
    "torn": (f"dpkg --install {FOLDER}/torn_1.1_all.deb; {TEAR}", {"version": "1.1"}, "change", "ii |1.1"),
    "half": (f"touch /run/break; dpkg --install {FOLDER}/half_1.0_all.deb; rm /run/break", {}, "change", "ii |1.0"),
    "unpacked": (f"dpkg --unpack {FOLDER}/unpacked_1.1_all.deb", {}, "change", "ii |1.1"),
}


def test_every_state_of_a_package_leads_to_the_declared_one(fleet: Fleet, host: LabHost) -> None:
    repository = Repository(host)
    repository.add([*versions(*(STATES.keys() - {"half"}), conffile=True), Deb("half", "1.0", scripts=BREAKABLE)])
    repository.trust_by_hand()
    host.ask("export DEBIAN_FRONTEND=noninteractive\n" + "\n".join(script for script, *_ in STATES.values()))
    assert host.sh(STATUS + "half unpacked") == "iF |1.0iU |1.1"
    trial = Trial(fleet, host)
    trial.declare({"packages": {"apt": [{"name": name, **spec} for name, (_, spec, *_) in STATES.items()]}})

    applied = trial.converge()

    assert applied.planned.signs == {f"package:apt/{name}": sign for name, (_, _, sign, _) in STATES.items() if sign}
    found = {name: host.ask(STATUS + name).out or "gone" for name in STATES}
    assert found == {name: status for name, (*_, status) in STATES.items()}
    assert host.sh("apt-mark showauto automatic; apt-mark showhold | xargs") == "frozen hold kept"
    assert host.sh("dpkg --audit; cd /etc; ls unwanted.conf leftover.conf; ls wiped.conf swept.conf 2>&1 | wc -l") == (
        "leftover.conf\nunwanted.conf\n2"
    )

    # By hand, the other way: found as drift, and healed. What leaves the repository goes only if we brought it.
    host.sh("apt-get -qq remove absent >/dev/null; apt-get -qq install --allow-downgrades older=1.0 wiped >/dev/null")
    host.sh("apt-mark -qq unhold hold")
    drift = trial.converge()
    assert drift.planned.signs == {
        "package:apt/absent": "create",
        "package:apt/older": "change",
        "package:apt/wiped": "delete",
        "package:apt/hold": "change",
    }
    causes = {name: action["cause"]["why"] for name, action in drift.planned.actions.items()}
    assert causes == dict.fromkeys(causes, "drift")
    trial.declare({})
    assert trial.converge().planned.signs == dict.fromkeys(
        ["package:apt/absent", "package:apt/newest", "package:apt/removed"], "delete"
    )
    assert host.sh(STATUS + "equal half kept older") == "ii |1.1ii |1.0hi |1.1ii |1.1"


WHY_THEY_FAIL = {
    "broken": "the script of /var/lib/dpkg/info/broken.postinst fails",
    "lonely": "nowhere",
    "unheard-of": "apt knows no package unheard-of",
    "bystander": "7.*",
    "stubborn": "stubborn is on hold on the host",
}


def mend_what_failed(host: LabHost, repository: Repository, trial: Trial) -> None:
    host.sh("rm /run/break")
    repository.add([Deb("nowhere", "3.0"), Deb("unheard-of", "1"), Deb("bystander", "7.1")])
    trial.declare(
        {
            "packages": {
                "apt": [
                    *("fine", "broken", "lonely", "unheard-of", "after"),
                    {"name": "bystander", "version": "7.*"},
                    {"name": "stubborn", "version": "2.0", "hold": True},
                ]
            }
        }
    )
    trial.converge()
    assert host.sh(STATUS + "after broken bystander lonely stubborn unheard-of") == ("ii |1.0ii |1.0ii |7.1ii |1.0hi |2.0ii |1")


def test_one_package_that_fails_stops_no_other(fleet: Fleet, host: LabHost) -> None:
    repository = Repository(host)
    repository.add(
        [
            *versions("fine", "stubborn"),
            Deb("broken", "1.0", scripts=BREAKABLE),
            Deb("lonely", "1.0", {"Depends": "nowhere (>= 3)"}),
            Deb("bystander", "1.0"),
            Deb("after", "1.0"),
        ]
    )
    repository.trust_by_hand()
    host.sh("apt-get -qq install bystander stubborn=1.0 >/dev/null; apt-mark -qq hold stubborn; touch /run/break")
    trial = Trial(fleet, host)
    trial.declare(
        {
            "packages": {
                "apt": [
                    "fine",
                    "broken",
                    "lonely",
                    "unheard-of",
                    {"name": "bystander", "version": "7.*"},
                    {"name": "stubborn", "version": "2.0"},
                    {"name": "after", "needs": ["package:apt/broken"]},
                ]
            }
        }
    )

    failed = trial.fail()

    assert failed.fates == {
        "package:apt/fine": "done",
        "package:apt/broken": "failed",
        "package:apt/lonely": "failed",
        "package:apt/unheard-of": "failed",
        "package:apt/bystander": "failed",
        "package:apt/stubborn": "failed",
        "package:apt/after": "skipped",
    }
    for name, words in WHY_THEY_FAIL.items():
        assert words in failed.said[f"package:apt/{name}"], failed.result
    assert host.sh(STATUS + "bystander fine stubborn") == "ii |1.0ii |2.0hi |1.0"
    assert not host.has("dpkg-query -s lonely || dpkg-query -s after")
    unsure = {name: str(action["unsure"]) for name, action in failed.planned.actions.items()}
    assert "apt knows no package unheard-of" in unsure["package:apt/unheard-of"]
    assert "nowhere" in unsure["package:apt/lonely"]

    mend_what_failed(host, repository, trial)


def test_what_goes_along_is_shown_and_counted_and_nothing_else_goes(fleet: Fleet, host: LabHost) -> None:
    repository = Repository(host)
    repository.add(
        [
            *versions("ground"),
            Deb("tool", "1.0", {"Depends": "ground"}),
            Deb("suite", "1.0", {"Depends": "tool, extra"}),
            Deb("extra", "1.0"),
            Deb("rival", "1.0", {"Conflicts": "suite"}),
            Deb("calm", "1.0"),
        ]
    )
    repository.trust_by_hand()
    host.sh("apt-get -qq install suite calm >/dev/null")
    trial = Trial(fleet, host, settings="max_deletions: 2\n")
    trial.declare({"packages": {"apt": [{"name": "ground", "ensure": "absent"}, "calm"]}})

    planned = trial.plan()
    assert planned.signs == {"package:apt/ground": "delete"}
    assert sorted(planned.actions["package:apt/ground"]["removes"]) == ["suite", "tool"]
    assert len(planned.result.json()["deletions"]) == 3
    shown = fleet.plan().out
    assert "tool" in shown
    assert "suite" in shown
    before = host.sh("dpkg -l")
    refused = fleet.apply()
    assert refused.code == 5, refused
    assert "3 deletions, and 2 are allowed" in refused.err, refused
    assert host.sh("dpkg -l") == before
    trial.converge("--allow-deletions", "3")
    assert host.sh(STATUS + "calm extra") == "ii |1.0ii |1.0"
    assert not host.has("dpkg-query -s ground || dpkg-query -s tool || dpkg-query -s suite")

    # A conflict: what has to make room is told at what takes its place.
    host.sh("apt-get -qq install suite >/dev/null")
    trial.declare({"packages": {"apt": ["rival", "calm"]}})
    assert trial.plan().actions["package:apt/rival"]["removes"] == ["suite"]
    trial.converge()
    assert host.sh("dpkg-query -W -f '${Package} ' rival tool") == "rival tool "

    # What nobody could foresee, because the lists were renewed in between, is refused at the last moment.
    host.sh("apt-get -qq remove rival >/dev/null; apt-get -qq install suite >/dev/null")
    trial.declare({"packages": {"apt": [{"name": "calm", "version": "2.*"}]}})
    assert "calm" in str(trial.plan().actions["package:apt/calm"]["unsure"])
    repository.add([Deb("calm", "2.0", {"Conflicts": "extra"})])
    before = host.sh("dpkg -l")
    failed = trial.fail()
    assert "refused: the plan did not show that this removes" in failed.said["package:apt/calm"], failed.result
    assert host.sh("dpkg -l") == before
    # Now the lists are there, the plan shows it, and it can be agreed to.
    assert sorted(trial.plan().actions["package:apt/calm"]["removes"]) == ["extra", "suite"]
    trial.converge()
    assert host.sh(STATUS + "calm") == "ii |2.0"


def test_a_repository_is_trusted_by_its_key_and_follows_the_manifest(fleet: Fleet, host: LabHost) -> None:
    repository = Repository(host, "/srv/it's $(touch pwned)")
    repository.add([Deb("fresh", "1.0"), Deb("later", "1.0")])
    trial = Trial(fleet, host)
    source, key = "/etc/apt/sources.list.d/lab.sources", "/etc/apt/keyrings/lab.asc"
    uri = "copy:/srv/it%27s%20$(touch%20pwned)"
    lab = {**repository.declared(), "uris": [uri]}
    other = SigningKey()

    # A key that did not sign it: apt refuses, and so nothing is installed.
    manifest = {"repositories": {"lab": lab}, "packages": {"apt": ["fresh"]}}
    trial.declare(manifest, {"files/lab.asc": other.armored})
    failed = trial.fail()
    assert failed.fates == {"repository:lab": "done", "package:apt/fresh": "failed"}
    assert "apt knows no package fresh" in failed.said["package:apt/fresh"], failed.result
    assert failed.touched & {source, key, "/usr/share/fresh"} == {source, key}
    trial.declare(manifest, {"files/lab.asc": repository.key.armored})
    assert trial.converge().planned.signs == {"repository:lab": "change", "package:apt/fresh": "create"}
    assert host.sh(STATUS + "fresh") == "ii |1.0"

    expected = host.sh(f"cat {source} {key}; stat -c '%U:%G %a %F' {source} {key}")
    assert repository.key.armored.strip() in expected
    for edit, sign in {
        f"echo 'Trusted: yes' >>{source}": "change",
        f"sed -i 's/^Suites.*/Suites: other/' {source}": "change",
        f"rm {source}": "create",
        f"rm {key}": "change",
        f"echo >>{key}": "change",
        f"chmod 666 {source} {key}": "change",
        f"chown ops {key}": "change",
        f"rm {source}; ln -s /nowhere {source}": "change",
        f"mv {key} /srv/key; ln -s /srv/key {key}": "change",
    }.items():
        assert trial.heal(edit) == {"repository:lab": sign}, edit
        assert host.sh(f"cat {source} {key}; stat -c '%U:%G %a %F' {source} {key}") == expected, edit
    trial.settle()
    host.sh(f"rm {source}; mkdir {source}")
    assert "is a directory; remove it first" in trial.fail().said["repository:lab"]
    host.sh(f"rmdir {source}; rm {key}")
    assert trial.converge().planned.signs == {"repository:lab": "create"}

    # The binary form of the key, another field, and in the end nothing is left.
    trial.declare(
        {"repositories": {"lab": {**lab, "key": "files/lab.gpg", "enabled": False}}}, {"files/lab.gpg": repository.key.public}
    )
    assert trial.converge().planned.signs == {"repository:lab": "change", "package:apt/fresh": "delete"}
    assert host.sh("ls /etc/apt/keyrings; grep -c '^Enabled: no' " + source) == "lab.gpg\n1"
    host.sh("echo 'deb file:/nowhere ./' >/etc/apt/sources.list.d/mine.list")
    trial.declare({})
    assert trial.converge().planned.signs == {"repository:lab": "delete"}
    assert (
        host.sh("ls /etc/apt/sources.list.d /etc/apt/keyrings") == "/etc/apt/keyrings:\n\n/etc/apt/sources.list.d:\nmine.list"
    )
    assert host.sh("find / -xdev -name pwned") == ""


def test_a_package_comes_from_a_file_of_the_repository(fleet: Fleet, host: LabHost) -> None:
    repository = Repository(host)
    agents = [Deb("agent", version, {"Depends": "helper"}, conffile=True) for version in ("1.0", "2.0")]
    repository.add([Deb("helper", "1.0"), *agents, Deb("orphan", "1.0", {"Depends": "nowhere"})])
    old, new, orphan = (repository.fetch(deb) for deb in (*agents, Deb("orphan", "1.0")))
    host.sh("rm /srv/repository/agent_* /srv/repository/orphan_*")
    repository.add([])
    repository.trust_by_hand()
    trial = Trial(fleet, host)
    files = {"files/agent-1.deb": old, "files/agent-2.deb": new, "files/orphan.deb": orphan}

    def agent(number: int, **further: object) -> dict[str, object]:
        return {"packages": {"deb": [{"name": "agent", "source": f"files/agent-{number}.deb", **further}]}}

    trial.declare(agent(1), files)
    assert trial.converge().planned.signs == {"package:deb/agent": "create"}
    assert host.sh(STATUS + "agent; apt-mark showauto helper") == "ii |1.0helper"
    host.sh("echo edited >/etc/agent.conf")
    trial.declare(agent(2, hold=True))
    assert trial.converge().planned.signs == {"package:deb/agent": "change"}
    assert host.sh(STATUS + "agent; cat /etc/agent.conf") == "hi |2.0edited"
    host.sh("dpkg --purge --force-hold agent")
    assert trial.converge().planned.signs == {"package:deb/agent": "create"}
    assert host.sh(STATUS + "agent") == "hi |2.0"
    trial.declare(agent(1))
    failed = trial.fail()
    assert "agent is on hold on the host" in failed.said["package:deb/agent"]
    trial.declare(agent(1, hold=False))
    trial.converge()
    assert host.sh(STATUS + "agent") == "ii |1.0"

    both = {
        "packages": {
            "deb": [{"name": "agent", "source": "files/agent-1.deb"}, {"name": "orphan", "source": "files/orphan.deb"}]
        }
    }
    trial.declare(both)
    assert "nowhere" in trial.fail().said["package:deb/orphan"]
    assert not host.has("dpkg-query -s orphan")
    trial.declare({})
    assert trial.converge().planned.signs == {"package:deb/agent": "delete"}
    assert host.sh(STATUS + "agent helper; cat /etc/agent.conf") == "rc |1.0ii |1.0as packaged"


@pytest.mark.parametrize("victim", ["controller", "script"])
def test_a_killed_installation_is_finished_by_the_next_run(fleet: Fleet, host: LabHost, victim: str) -> None:
    repository = Repository(host)
    wait = "if [ -e /run/slow ]; then rm /run/slow; touch /run/installing; sleep 4; fi; echo configured >>/srv/configured"
    repository.add([Deb("slow", "1.0", scripts={"postinst": wait}), Deb("quick", "1.0")])
    host.sh("touch /run/slow")
    trial = Trial(fleet, host)
    packages = {"apt": ["slow", {"name": "quick", "needs": ["package:apt/slow"]}]}
    manifest = {"repositories": {"lab": repository.declared()}, "packages": packages}
    trial.declare(manifest, {"files/lab.asc": repository.key.armored})

    with trial.applying() as running:
        host.wait("test -e /run/installing")
        if victim == "controller":
            running.kill()
        else:
            trial.kill_script()
            assert running.wait(timeout=30) == 4
    # dpkg was not cut; the next run goes on from there.
    host.wait("flock -n /var/lib/reconciler/lock true")
    again = fleet.apply("--json")
    assert again.code == 0, again
    trial.settle()
    assert host.sh(STATUS + "slow quick; cat /srv/configured; dpkg --audit") == "ii |1.0ii |1.0configured"
    trial.declare({})
    assert trial.converge().planned.signs == {
        "package:apt/slow": "delete",
        "package:apt/quick": "delete",
        "repository:lab": "delete",
    }


@pytest.mark.parametrize(
    "name", ["a b", "vim;touch pwned", "vim-", "-y", "$(touch pwned)", "Vim", "vim=1", "vim/sid", "*", "vim\n"]
)
def test_a_name_that_is_none_is_refused_before_any_host_is_asked(fleet: Fleet, name: str) -> None:
    text = f"address: root@127.0.0.1:9\npackages: {{apt: [{json.dumps(name)}]}}\n"
    fleet.commit({"hosts/away.yaml": text})
    refused = fleet.apply()
    assert refused.code == 1, refused
    assert "hosts/away.yaml:2:" in refused.err, refused


def test_a_package_gives_way_to_its_rival_in_one_run_and_two_rivals_do_not_fight(fleet: Fleet, host: LabHost) -> None:
    repository = Repository(host)
    repository.add([Deb("one", "1.0", {"Conflicts": "two"}), Deb("two", "1.0")])
    repository.trust_by_hand()
    trial = Trial(fleet, host)
    for name in ("one", "two", "one"):
        trial.declare({"packages": {"apt": [name]}})
        trial.converge()
    trial.declare({"packages": {"apt": ["one", "two"]}})
    assert trial.fail().said.keys() == {"package:apt/two"}
    assert host.sh("dpkg-query -W -f '${Package} ${db:Status-Status}\n' one") == "one installed"
