"""The loop and one real host, while things happen to it. What the host is like is asked past all of the project's code."""

from __future__ import annotations

import signal
import subprocess
import time

from tests.fleet import Fleet
from tests.lab.hosts import LabHost
from tests.lab.loop.controller import QUICK, Controller
from tests.lab.trial import Manifest, Trial

INVENTORY = "/var/lib/reconciler"
ASKED = "as asked\n"
FILE: Manifest = {"files": {"/srv/file": {"content": ASKED, "mode": "0640"}}}
# The command takes a while, so that there is a middle; the last file waits for it.
SLOW: Manifest = {
    "files": {"/srv/last": {"content": "new\n", "needs": ["command:slow"]}},
    "commands": {"slow": {"run": "touch /srv/begun; sleep 3; touch /srv/ended", "creates": "/srv/ended"}},
}


def docker(*arguments: str) -> None:
    subprocess.run(["docker", *arguments], check=True, stdout=subprocess.DEVNULL)


def has(content: str, path: str = "/srv/file", mode: str = "640") -> str:
    """A question to the host: is `path` exactly this?"""
    return f'test "$(cat {path})" = \'{content.rstrip()}\' && test "$(stat -c %a {path})" = {mode}'


def looked_after(trial: Trial, controller: Controller, manifest: Manifest = FILE) -> str:
    """The loop runs, and the host has become what is asked. The commit."""
    commit = trial.declare(manifest)
    controller.start()
    trial.host.wait(has(ASKED))
    return commit


def assert_it_is_looked_after(trial: Trial, content: str = ASKED, seconds: float = 30) -> None:
    """The loop still does its work: an edit is put right."""
    trial.host.sh("echo by hand >/srv/file")
    trial.host.wait(has(content), seconds)


def test_what_is_edited_removed_or_given_other_rights_on_the_host_is_put_right(
    fleet: Fleet, host: LabHost, controller: Controller
) -> None:
    trial = Trial(fleet, host, settings=QUICK)
    edits = ("echo by hand >{}", "chmod 777 {}", "rm {}", "ln -sf /etc/passwd {}")
    paths = [f"/srv/file{number}" for number in range(len(edits))]
    commit = trial.declare({"files": dict.fromkeys(paths, FILE["files"]["/srv/file"])})
    controller.start()
    host.wait(has(ASKED, paths[-1]))
    for edit, path in zip(edits, paths, strict=True):
        host.sh(edit.format(path))
        host.wait(has(ASKED, path), 15)
    controller.at_rest(host.name)
    assert controller.seen(host.name)["commit"] == commit
    assert controller.status()["source"]["commit"] == commit
    told = controller.reconcile("drift", "--all", "--json")
    assert told.code == 0, told
    assert all(f"file:{path}" in told.out for path in paths), told
    ids = {line.split("[")[1].split()[0] for line in controller.log.splitlines() if line.endswith("/srv/file1: done")}
    assert len(ids) == 2, "two cycles wrote this file, and each line of the log is to carry the id of its own"


def test_where_it_may_only_observe_it_tells_and_touches_nothing(fleet: Fleet, host: LabHost, controller: Controller) -> None:
    trial = Trial(fleet, host, settings=QUICK)
    looked_after(trial, controller)
    commit = trial.declare({**FILE, "sync": "observe"})
    controller.wait(lambda: controller.status()["source"]["commit"] == commit)
    host.sh("echo by hand >/srv/file")
    before = host.sh("stat -c '%i %z' /srv/file")
    controller.wait(lambda: controller.seen(host.name).get("drifted"), meanwhile="seeing the drift")
    told = controller.reconcile("drift", "--json")
    assert "file:/srv/file" in told.out, told
    time.sleep(2)
    assert host.sh("stat -c '%i %z' /srv/file") == before


def test_a_new_commit_is_applied_and_a_bad_one_keeps_the_good_one_in_force(
    fleet: Fleet, host: LabHost, controller: Controller
) -> None:
    trial = Trial(fleet, host, settings=QUICK)
    looked_after(trial, controller)
    good = trial.declare({"files": {"/srv/file": {"content": "second\n", "mode": "0640"}}})
    host.wait(has("second"))

    bad = fleet.commit({"hosts/broken.yaml": "address: [nowhere\n"})
    controller.reads(bad)
    assert_it_is_looked_after(trial, "second")
    source = controller.status()["source"]
    assert (source["commit"], source["newest"]) == (good, bad)
    assert source["problem"], source
    assert controller.get("/healthz")[0] == 200

    # With a bad commit as the newest, a controller that is started anew goes on with the good one, too.
    controller.kill()
    controller.start()
    assert_it_is_looked_after(trial, "second")

    fleet.commit({"hosts/broken.yaml": None})
    mended = trial.declare({"files": {"/srv/file": {"content": "third\n", "mode": "0640"}}})
    host.wait(has("third"))
    assert controller.status()["source"]["commit"] == mended


def test_a_rewritten_history_is_not_followed_until_somebody_accepts_it(
    fleet: Fleet, host: LabHost, controller: Controller
) -> None:
    trial = Trial(fleet, host, settings=QUICK)
    looked_after(trial, controller)
    kept = trial.declare({"files": {"/srv/file": {"content": "second\n", "mode": "0640"}}})
    host.wait(has("second"))

    fleet.git("reset", "--quiet", "--hard", "HEAD~1")
    rewritten = trial.declare({"files": {"/srv/file": {"content": "rewritten\n", "mode": "0640"}}})
    controller.reads(rewritten)
    assert_it_is_looked_after(trial, "second")
    assert controller.status()["source"]["commit"] == kept

    accepted = controller.reconcile("accept", rewritten)
    assert accepted.code == 0, accepted
    host.wait(has("rewritten"))
    controller.wait(lambda: controller.status()["source"]["commit"] == rewritten)


def test_a_host_that_restarts_is_looked_after_again(fleet: Fleet, host: LabHost, controller: Controller) -> None:
    trial = Trial(fleet, host, settings=QUICK)
    looked_after(trial, controller)
    docker("restart", "--time", "0", host.container)
    host.wait("test -S /run/systemd/private")
    assert_it_is_looked_after(trial, seconds=40)
    controller.at_rest(host.name)


def test_a_host_that_is_cut_off_is_told_and_looked_after_as_soon_as_it_answers(
    fleet: Fleet, host: LabHost, controller: Controller
) -> None:
    trial = Trial(fleet, host, settings=QUICK)
    looked_after(trial, controller)
    host.sh("iptables -I INPUT -p tcp --dport 22 -j REJECT --reject-with tcp-reset")
    controller.wait(lambda: controller.seen(host.name).get("status") == "unreachable", 40)
    commit = trial.declare({"files": {"/srv/file": {"content": "second\n", "mode": "0640"}}})
    controller.reads(commit)
    host.sh("rm /srv/file")
    host.sh("iptables -D INPUT -p tcp --dport 22 -j REJECT --reject-with tcp-reset")
    host.wait(has("second"), 40)
    controller.at_rest(host.name)


def test_a_host_that_hangs_delays_no_other_and_is_looked_after_when_it_wakes(
    fleet: Fleet, hosts: list[LabHost], controller: Controller
) -> None:
    slow, *others = hosts
    for host in hosts:
        fleet.write({f"hosts/{host.name}.yaml": f"address: root@{host.address}\nbundles: [all]\n"})
    fleet.commit({"fleet.yaml": QUICK, "bundles/all.yaml": 'files: {/srv/file: {content: "as asked\\n", mode: "0640"}}\n'})
    controller.start()
    for host in hosts:
        host.wait(has(ASKED))
    docker("pause", slow.container)
    try:
        for _ in range(3):
            for host in others:
                host.sh("echo by hand >/srv/file")
                host.wait(has(ASKED), 10)
    finally:
        docker("unpause", slow.container)
    slow.sh("echo by hand >/srv/file")
    slow.wait(has(ASKED), 60)


def test_a_disk_that_is_full_fails_one_file_alone(fleet: Fleet, host: LabHost, controller: Controller) -> None:
    trial = Trial(fleet, host, settings=QUICK)
    host.sh(
        "mkdir /srv/small && mount -t tmpfs -o size=256k none /srv/small && cat /dev/zero >/srv/small/fill 2>/dev/null; true"
    )
    trial.declare({"files": {**FILE["files"], "/srv/small/big": {"content": "x" * 60000}}})
    controller.start()
    host.wait(has(ASKED))
    controller.wait(lambda: controller.seen(host.name).get("status") == "failed")
    assert_it_is_looked_after(trial)
    host.sh("rm /srv/small/fill")
    # The same would be tried again after half a minute; another commit is tried at once.
    trial.declare({"files": {**FILE["files"], "/srv/small/big": {"content": "y" * 60000}}})
    host.wait('test "$(tr -d x </srv/small/big | wc -c)" = 60000', 20)
    controller.at_rest(host.name)


def test_another_host_key_is_refused_until_a_commit_pins_it(fleet: Fleet, host: LabHost, controller: Controller) -> None:
    trial = Trial(fleet, host, settings=QUICK)
    looked_after(trial, controller)
    host.sh(
        "cd /etc/ssh && rm ssh_host_ed25519_key* && ssh-keygen -q -t ed25519 -N '' -f ssh_host_ed25519_key"
        " && systemctl restart ssh && { pkill -KILL -f '^sshd(-session)?: root' || true; }"
    )
    controller.wait(lambda: controller.seen(host.name).get("problem_kind") == "key", 40)
    host.sh("echo by hand >/srv/file")
    time.sleep(3)
    assert host.sh("cat /srv/file") == "by hand", "a host with a key that nobody pinned was worked on"
    new = host.sh("cut -d ' ' -f 1,2 /etc/ssh/ssh_host_ed25519_key.pub")
    lines = (fleet.root / "hosts/known_hosts").read_text().splitlines()
    kept = [line for line in lines if not line.startswith(f"{host.address} ")]
    fleet.commit({"hosts/known_hosts": "\n".join([*kept, f"{host.address} {new}", ""])})
    host.wait(has(ASKED), 40)


def test_a_person_who_applies_beside_the_loop_does_no_harm_and_comes_to_none(
    fleet: Fleet, host: LabHost, controller: Controller
) -> None:
    trial = Trial(fleet, host, settings=QUICK)
    looked_after(trial, controller)
    for number in range(3):
        files = {f"/srv/more{count}": {"content": f"{number}\n"} for count in range(8)}
        trial.declare({"files": {**FILE["files"], **files}})
        applied = fleet.apply()
        # Either of the two did it; where it was the loop between our plan and our apply, we are told that the plan is stale.
        assert applied.code in {0, 6}, applied
        host.wait(f'test "$(cat /srv/more* | sort -u)" = {number}')
    controller.at_rest(host.name)
    assert fleet.plan().code == 0
    assert " ERROR " not in controller.log, controller.tail


def test_when_asked_to_leave_it_finishes_the_running_step_and_the_next_one_goes_on(
    fleet: Fleet, host: LabHost, controller: Controller
) -> None:
    trial = Trial(fleet, host, settings=QUICK)
    trial.declare(SLOW)
    controller.start()
    host.wait("test -e /srv/begun")
    assert controller.terminate() == 0, controller.tail
    assert host.has("test -e /srv/ended"), "the running step was not finished"
    assert not host.has("test -e /srv/last"), "another step was begun"
    assert host.has(f"test ! -e {INVENTORY}/stage")
    controller.start()
    host.wait(has("new", "/srv/last", "644"))


def test_when_told_so_it_reads_the_repository_at_once(fleet: Fleet, host: LabHost, controller: Controller) -> None:
    trial = Trial(fleet, host, settings="interval: 1s\npoll: 1h\n")
    looked_after(trial, controller)
    time.sleep(8)  # at the beginning it looks again after five seconds, whatever the fleet says
    trial.declare({"files": {"/srv/file": {"content": "second\n", "mode": "0640"}}})
    time.sleep(3)
    assert host.has(has(ASKED)), "the repository was read though an hour had not passed"
    controller.signal(signal.SIGHUP)
    host.wait(has("second"), 15)
    assert_it_is_looked_after(trial, "second")


def test_a_newer_commit_takes_the_place_of_a_running_apply_between_two_steps(
    fleet: Fleet, host: LabHost, controller: Controller
) -> None:
    def asks(word: str) -> Manifest:
        say = {"run": f"echo {word} >>/srv/said", "unless": f"grep -q {word} /srv/said", "needs": ["command:slow"]}
        return {"commands": {"slow": SLOW["commands"]["slow"], "say": say}}

    trial = Trial(fleet, host, settings=QUICK)
    trial.declare(asks("old"))
    controller.start()
    host.wait("test -e /srv/begun")
    newer = trial.declare(asks("new"))
    host.wait("test -e /srv/said", 20)
    controller.wait(lambda: controller.seen(host.name).get("commit") == newer)
    assert host.sh("cat /srv/said") == "new"


def test_a_controller_that_is_killed_in_the_middle_leaves_nothing_half_done(
    fleet: Fleet, host: LabHost, controller: Controller
) -> None:
    trial = Trial(fleet, host, settings=QUICK)
    trial.declare(SLOW)
    controller.start()
    host.wait("test -e /srv/begun")
    controller.kill()
    controller.start()
    host.wait(has("new", "/srv/last", "644"), 40)
    controller.at_rest(host.name)
    assert host.sh(f"ls -A {INVENTORY}").split() == ["inventory", "lock"]
    assert host.sh("find / -xdev -name '.*reconciler-*'") == ""


def test_one_state_folder_has_one_loop(fleet: Fleet, host: LabHost, controller: Controller) -> None:
    trial = Trial(fleet, host, settings=QUICK)
    looked_after(trial, controller)
    with Controller(fleet, controller.state) as second:
        second.start()
        assert second.ended() == 5
        assert controller.process is not None
        assert str(controller.process.pid) in second.log, "it does not say who holds the folder"
    assert_it_is_looked_after(trial)


def test_two_loops_on_one_fleet_do_not_quarrel(fleet: Fleet, host: LabHost, controller: Controller) -> None:
    trial = Trial(fleet, host, settings=QUICK)
    looked_after(trial, controller)
    with Controller(fleet, controller.state.with_name("other")) as other:
        other.start().ready()
        for number in range(3):
            files = {f"/srv/more{count}": {"content": f"{number}\n"} for count in range(8)}
            trial.declare({"files": {**FILE["files"], **files}})
            host.wait(f'test "$(cat /srv/more* | sort -u)" = {number}')
            host.sh("echo by hand >/srv/file")
            host.wait(has(ASKED))
        newest = fleet.git("rev-parse", "HEAD")
        for loop in (controller, other):
            loop.at_rest(host.name, commit=newest)
        settled = host.sh(f"stat -c '%i %z' {INVENTORY}/inventory /srv/file /srv/more*")
        time.sleep(3)
        assert host.sh(f"stat -c '%i %z' {INVENTORY}/inventory /srv/file /srv/more*") == settled
