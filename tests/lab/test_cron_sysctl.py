"""Cron entries and kernel settings on a real host, from every state to the declared one."""

from __future__ import annotations

import json

from tests.fleet import Fleet
from tests.lab.hosts import LabHost
from tests.lab.trial import Trial

HEADER = "# Managed by reconciler: what is changed here by hand is undone.\n"
JOB = "17 3 * * * ops echo job\n"

# Entry → what was done by hand with its file `$1`, and what is planned.
ENTRIES = {
    "absent": (":", "create"),
    "equal": (f"printf '{HEADER}{JOB}' >$1", None),
    "spaced": ("printf '17  3\\t* * *\\tops\\techo job\\n' >$1", None),
    "schedule": (f"printf '{JOB.replace('17', '18')}' >$1", "change"),
    "command": (f"printf '{JOB.replace('job', 'evil')}' >$1", "change"),
    "user": (f"printf '{JOB.replace('ops', 'root')}' >$1", "change"),
    "second_job": (f"printf '{JOB}{JOB}' >$1", "change"),
    "variable": (f"printf 'MAILTO=evil\\n{JOB}' >$1", "change"),
    "unended": (f"printf '{JOB.strip()}' >$1", "change"),
    "commented": (f"printf '#{JOB}' >$1", "change"),
    "empty": (": >$1", "change"),
    "binary": ("head -c 5000 /dev/urandom >$1", "change"),
    "writable": (f"printf '{JOB}' >$1; chmod 666 $1", "change"),
    "owned": (f"printf '{JOB}' >$1; chown ops $1", "change"),
    "linked": (f"printf '{JOB}' >/srv/job; ln -s /srv/job $1", "change"),
    "dangling": ("ln -s /nowhere $1", "change"),
    "folder": ("mkdir $1", "change"),
    "pipe": ("mkfifo $1", "change"),
}
HOSTILE = "echo \"$(date +\\%F) `id -u`\" 'it'\\''s' ; touch /srv/pwned # * ~ {{ x }} \\\\ é"


def test_every_state_of_a_cron_entry_leads_to_the_declared_one(fleet: Fleet, host: LabHost) -> None:
    for name, (script, _) in ENTRIES.items():
        host.sh(f"set -- /etc/cron.d/{name}; {script}")
    others = host.sh("ls /etc/cron.d; crontab -l 2>&1; cat /etc/crontab")
    trial = Trial(fleet, host)
    job = {"schedule": "17 3 * * *", "user": "ops", "command": "echo job"}
    trial.declare(
        {
            "cron": {
                **dict.fromkeys(ENTRIES, job),
                "hostile": {
                    "schedule": "*/5 8-18/2 1,15 jan-mar mon",
                    "command": HOSTILE,
                    "env": {"MAILTO": "", "PATH": "/bin:/a b/$HOME", "QUOTE": "it's"},
                    "comment": 'what\'s "this" $(touch /srv/pwned)',
                },
            }
        }
    )

    applied = trial.converge()

    expected = {f"cron:{name}": sign for name, (_, sign) in ENTRIES.items() if sign}
    assert applied.planned.signs == {**expected, "cron:hostile": "create"}
    assert applied.planned.fields("cron:schedule") == {"schedule": ("18 3 * * *", "17 3 * * *")}
    assert applied.touched == {f"/etc/cron.d/{name}" for name in [*(ref.partition(":")[2] for ref in expected), "hostile"]}
    changed = " ".join(ref.partition(":")[2] for ref in expected)
    assert set(host.sh(f"cd /etc/cron.d; stat -c '%F %U:%G %a' {changed} hostile").split("\n")) == {
        "regular file root:root 644"
    }
    assert set(host.sh(f"cd /etc/cron.d; for f in {changed}; do cat $f; done").split("\n")) == set(
        (HEADER + JOB).strip().split("\n")
    )
    assert host.sh("cat /etc/cron.d/hostile") == (
        f'{HEADER}# what\'s "this" $(touch /srv/pwned)\nMAILTO=""\nPATH=/bin:/a b/$HOME\nQUOTE=it\'s\n'
        f"*/5 8-18/2 1,15 jan-mar mon root {HOSTILE}"
    )
    assert host.sh("cat /srv/job; systemctl is-active cron") == f"{JOB}active"
    assert host.ask("ls /srv/pwned").out == ""

    host.sh("rm /etc/cron.d/folder; mkdir /etc/cron.d/folder; touch /etc/cron.d/folder/data")
    assert "is kept" in trial.fail().said["cron:folder"]
    assert trial.heal("rm -r /etc/cron.d/folder") == {"cron:folder": "create"}
    trial.declare({})
    gone = trial.converge("--allow-deletions", "20")
    assert gone.planned.signs == {"cron:absent": "delete", "cron:hostile": "delete", "cron:folder": "delete"}
    names = {*others.split(), "absent", "hostile", "folder"}
    assert set(host.sh("ls /etc/cron.d").split()) == (names & {*ENTRIES, "e2scrub_all", ".placeholder"}) - {"absent", "folder"}


def test_an_entry_that_cron_would_not_take_is_refused(fleet: Fleet) -> None:
    fine = {"schedule": "@daily", "command": "true"}
    wrong = {
        "a.b": fine,
        "-x": fine,
        "a b": fine,
        "$(id)": fine,
        "minute": {**fine, "schedule": "60 * * * *"},
        "word": {**fine, "schedule": "@sometimes"},
        "short": {**fine, "schedule": "* * * *"},
        "percent": {**fine, "command": "date +%F"},
        "two_lines": {**fine, "command": "true\nrm -rf /"},
        "long": {**fine, "command": "x" * 999},
        "user": {**fine, "user": "ops root"},
        "variable": {**fine, "env": {"A B": "x"}},
        "value": {**fine, "env": {"A": "x\n* * * * * root evil"}},
        "comment": {**fine, "comment": "x\n* * * * * root evil"},
    }
    fleet.commit({"hosts/away.yaml": json.dumps({"address": "root@127.0.0.1:9", "cron": wrong}, indent=1)})
    refused = fleet.apply()
    assert refused.code == 1, refused
    assert refused.err.count("hosts/away.yaml:") == len(wrong), refused


CONF = "/etc/sysctl.d/99-reconciler-"
KEY = "net.ipv4."
# Key → what was done by hand (`$1`: its file), what is asked for, and what is planned.
SETTINGS = {
    "tcp_fin_timeout": ("sysctl -q net.ipv4.tcp_fin_timeout=50", 31, "change"),
    "tcp_keepalive_time": ("sysctl -q net.ipv4.tcp_keepalive_time=31; echo 'net.ipv4.tcp_keepalive_time=31' >$1", 31, None),
    "tcp_keepalive_intvl": ("sysctl -q net.ipv4.tcp_keepalive_intvl=31", 31, "change"),
    "tcp_keepalive_probes": ("echo 'net.ipv4.tcp_keepalive_probes = 4' >$1", 4, "change"),
    "tcp_retries1": ("sysctl -q net.ipv4.tcp_retries1=4; ln -s /nowhere $1", 4, "change"),
    "tcp_retries2": ("sysctl -q net.ipv4.tcp_retries2=4; mkdir $1", 4, "change"),
    "tcp_orphan_retries": ("sysctl -q net.ipv4.tcp_orphan_retries=4; echo 'net.ipv4.tcp_orphan_retries = 5' >$1", 4, "change"),
    "tcp_reordering": (
        "sysctl -q net.ipv4.tcp_reordering=4; printf 'net.ipv4.tcp_reordering = 4\\nkernel.panic = 1\\n' >$1",
        4,
        "change",
    ),
    "ip_local_port_range": (":", "32000   60999", "change"),
    "tcp_max_syn_backlog": (":", "0x100", "change"),
    "conf.lo.forwarding": (":", "0", "change"),
}


def test_every_state_of_a_kernel_setting_leads_to_the_declared_one(fleet: Fleet, host: LabHost) -> None:
    for name, (script, *_) in SETTINGS.items():
        host.sh(f"set -- {CONF}{KEY}{name}.conf; {script}")
    trial = Trial(fleet, host)
    trial.declare({"sysctl": {f"{KEY}{name}": value for name, (_, value, _) in SETTINGS.items()}})

    applied = trial.converge()

    expected = {f"sysctl:{KEY}{name}": sign for name, (*_, sign) in SETTINGS.items() if sign}
    assert applied.planned.signs == expected
    assert applied.touched == {f"{CONF}{ref.partition(':')[2]}.conf" for ref in expected}
    values = {name: host.sh(f"sysctl -n {KEY}{name}").split() for name in SETTINGS}
    assert values == {name: ["256"] if value == "0x100" else str(value).split() for name, (_, value, _) in SETTINGS.items()}
    # What the files say is what holds: read again, as at boot, they change nothing.
    assert host.has(f"stat -c '%U %a' {CONF}* | sort -u | grep -qx 'root 644'")
    host.sh(f"for f in {CONF}*; do sysctl -q -p $f; done")
    trial.settle()

    assert trial.heal("sysctl -q net.ipv4.tcp_fin_timeout=60") == {f"sysctl:{KEY}tcp_fin_timeout": "change"}
    assert trial.heal(f"rm {CONF}{KEY}tcp_retries1.conf") == {f"sysctl:{KEY}tcp_retries1": "change"}
    trial.declare({})
    gone = trial.converge("--allow-deletions", "20")
    mended = {
        "tcp_keepalive_time",
        "tcp_keepalive_probes",
        "tcp_retries1",
        "tcp_retries2",
        "tcp_orphan_retries",
        "tcp_reordering",
    }
    assert gone.planned.signs == {f"sysctl:{KEY}{name}": "delete" for name in SETTINGS if name not in mended - {"tcp_retries1"}}
    assert host.sh("sysctl -n net.ipv4.tcp_fin_timeout") == "31", "the value stays until the next boot"


def test_a_setting_that_the_kernel_does_not_take_is_told(fleet: Fleet, host: LabHost) -> None:
    trial = Trial(fleet, host)
    trial.declare(
        {
            "sysctl": {
                "net.ipv4.no_such_key": 1,
                "net.ipv4.tcp_fin_timeout": "$(touch /srv/pwned)",
                "net.ipv4.route.flush": 1,
                "net.ipv4.tcp_retries2": 9,
            }
        }
    )
    failed = trial.fail()
    assert failed.planned.unknown.keys() == {"sysctl:net.ipv4.route.flush"}
    assert failed.said.keys() == {"sysctl:net.ipv4.no_such_key", "sysctl:net.ipv4.tcp_fin_timeout"}
    assert "the kernel has no key net.ipv4.no_such_key" in failed.said["sysctl:net.ipv4.no_such_key"]
    assert "the kernel did not take the value" in failed.said["sysctl:net.ipv4.tcp_fin_timeout"]
    assert failed.touched == {f"{CONF}net.ipv4.no_such_key.conf", f"{CONF}net.ipv4.tcp_retries2.conf"}
    assert host.sh("sysctl -n net.ipv4.tcp_retries2") == "9"
