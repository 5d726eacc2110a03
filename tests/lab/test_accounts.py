"""Users, groups and authorised keys on a real host, asked of getent, id and sshd itself."""

from __future__ import annotations

import base64
import json
import subprocess

from tests.fleet import Fleet
from tests.lab.hosts import LabHost
from tests.lab.trial import Trial


def key(number: int, comment: str = "") -> str:
    """A public key that nobody has the private half of."""
    blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes([number]) * 32
    return f"ssh-ed25519 {base64.b64encode(blob).decode()} {comment}".strip()


# Group → what was done by hand, what is asked for, what is planned, and the number afterwards.
GROUPS: dict[str, tuple[str, dict[str, object], str | None, str]] = {
    "g-absent": (":", {"gid": 3001}, "create", "3001"),
    "g-equal": ("groupadd -g 3002 g-equal", {"gid": 3002}, None, "3002"),
    "g-other": ("groupadd -g 3903 g-other", {"gid": 3003}, "change", "3003"),
    "g-any": ("groupadd -g 3904 g-any", {}, None, "3904"),
    "g-unwanted": ("groupadd g-unwanted", {"ensure": "absent"}, "delete", ""),
    "g-never": (":", {"ensure": "absent"}, None, ""),
}

HOSTILE = 'it\'s "me" $(touch /srv/pwned) `id` \\ ; touch /srv/pwned & é'
MAKE = "useradd -m -u {uid} -s /bin/sh {name}"

# User → what was done by hand, what is asked for, what is planned, and the entry afterwards (without name and password).
USERS: dict[str, tuple[str, dict[str, object], str | None, str]] = {
    "absent": (":", {"uid": 4001, "shell": "/bin/sh"}, "create", "4001:4001::/home/absent:/bin/sh"),
    "equal": (MAKE.format(uid=4002, name="equal"), {"uid": 4002, "shell": "/bin/sh"}, None, "4002:4002::/home/equal:/bin/sh"),
    "number": (MAKE.format(uid=4903, name="number"), {"uid": 4003}, "change", "4003:4903::/home/number:/bin/sh"),
    "shell": (MAKE.format(uid=4004, name="shell"), {"shell": "/bin/bash"}, "change", "4004:4004::/home/shell:/bin/bash"),
    "comment": (
        MAKE.format(uid=4005, name="comment"),
        {"comment": HOSTILE},
        "change",
        f"4005:4005:{HOSTILE}:/home/comment:/bin/sh",
    ),
    "group": (MAKE.format(uid=4006, name="group"), {"group": "games"}, "change", "4006:60::/home/group:/bin/sh"),
    "moved": (MAKE.format(uid=4007, name="moved"), {"home": "/srv/a b;$(id)"}, "change", "4007:4007::/srv/a b;$(id):/bin/sh"),
    "homeless": (
        MAKE.format(uid=4008, name="homeless") + "; rm -r /home/homeless",
        {},
        "change",
        "4008:4008::/home/homeless:/bin/sh",
    ),
    "open": (
        MAKE.format(uid=4009, name="open") + "; echo open:x | chpasswd",
        {"locked": True},
        "change",
        "4009:4009::/home/open:/bin/sh",
    ),
    "member": (
        MAKE.format(uid=4010, name="member") + " -G adm",
        {"groups": ["audio"]},
        "change",
        "4010:4010::/home/member:/bin/sh",
    ),
    "exact": (
        MAKE.format(uid=4011, name="exact") + " -G adm,games",
        {"groups": ["audio", "adm"], "groups_exact": True},
        "change",
        "4011:4011::/home/exact:/bin/sh",
    ),
    "fresh": (
        ":",
        {"uid": 4012, "groups": ["adm"], "comment": "Fresh", "home": "/srv/fresh"},
        "create",
        "4012:4012:Fresh:/srv/fresh:/bin/sh",
    ),
    "robot": (
        ":",
        {"uid": 412, "system": True, "shell": "/usr/sbin/nologin"},
        "create",
        "412:412::/home/robot:/usr/sbin/nologin",
    ),
    "unwanted": (MAKE.format(uid=4013, name="unwanted"), {"ensure": "absent"}, "delete", ""),
}


def test_every_state_of_an_account_leads_to_the_declared_one(fleet: Fleet, host: LabHost) -> None:
    host.sh("set -e\n" + "\n".join(script for script, *_ in [*GROUPS.values(), *USERS.values()]))
    host.sh("echo data >/home/unwanted/data; echo mine >/home/number/mine; chown number: /home/number/mine")
    trial = Trial(fleet, host)
    trial.declare(
        {
            "groups": {name: spec for name, (_, spec, *_) in GROUPS.items()},
            "users": {name: spec for name, (_, spec, *_) in USERS.items()},
        }
    )

    applied = trial.converge()

    signs = {f"group:{name}": sign for name, (_, _, sign, _) in GROUPS.items() if sign}
    signs |= {f"user:{name}": sign for name, (_, _, sign, _) in USERS.items() if sign}
    assert applied.planned.signs == signs
    found = {name: host.ask(f"getent group {name} | cut -d: -f 3").out for name in GROUPS}
    assert found == {name: number for name, (*_, number) in GROUPS.items()}
    entries = {name: host.ask(f"getent passwd {name} | cut -d: -f 3-").out for name in USERS}
    assert entries == {name: entry for name, (*_, entry) in USERS.items()}
    assert [host.sh(f"id -nG {name}") for name in ("member", "exact", "fresh")] == [
        "member adm audio",
        "exact adm audio",
        "fresh adm",
    ]
    assert host.sh("stat -c '%U %a' /home/absent /home/homeless /srv/fresh '/srv/a b;$(id)'") == (
        "absent 700\nhomeless 700\nfresh 700\nmoved 700"
    )
    assert host.sh(
        "cat /home/unwanted/data; stat -c %U /home/number/mine; ls /home/moved; passwd -S open | cut -d' ' -f 2"
    ) == ("data\nnumber\nL")
    assert host.has("test ! -e /home/robot && test ! -e /srv/pwned && pwck -rq; grpck -r")

    assert trial.heal("usermod -s /bin/bash -c evil equal; usermod -G '' exact; rm -r /home/absent; groupdel g-equal") == {
        "user:equal": "change",
        "user:exact": "change",
        "user:absent": "change",
        "group:g-equal": "create",
    }
    trial.settle()
    trial.declare({})
    gone = trial.converge("--allow-deletions", "20")
    made = {"group:g-absent", "group:g-equal", "user:absent", "user:fresh", "user:robot"}
    assert gone.planned.signs == dict.fromkeys(made, "delete")
    assert (
        host.sh("ls -d /home/absent /srv/fresh; getent passwd equal | cut -d: -f 3,7")
        == "/home/absent\n/srv/fresh\n4002:/bin/sh"
    )
    assert not host.has("getent passwd absent || getent passwd fresh || getent group absent || getent group g-absent")


REFUSED: dict[str, tuple[str, dict[str, object], str]] = {
    "busy": (
        MAKE.format(uid=4101, name="busy")
        + "; setsid setpriv --reuid=busy --clear-groups sleep 1000 </dev/null >/dev/null 2>&1 &",
        {"uid": 4999},
        "used by process",
    ),
    "leaving": (
        MAKE.format(uid=4102, name="leaving")
        + "; setsid setpriv --reuid=leaving --clear-groups sleep 1000 </dev/null >/dev/null 2>&1 &",
        {"ensure": "absent"},
        "used by process",
    ),
    "twin": (MAKE.format(uid=4103, name="taken"), {"uid": 4103}, "4103"),
    "grouped": (":", {"group": "no-such-group"}, "no-such-group"),
    "filed": ("echo data >/home/filed", {}, "/home/filed is there, but it is not a directory"),
    "linked": (
        MAKE.format(uid=4104, name="linked") + "; install -d /srv/aim; ln -s /srv/aim /home/linked/.ssh",
        {"authorized_keys": [key(1)]},
        "is a symbolic link, which is not followed",
    ),
    "pointed": (
        MAKE.format(uid=4105, name="pointed")
        + "; install -d -m 700 -o pointed /home/pointed/.ssh; ln -s /etc/shadow /home/pointed/.ssh/authorized_keys",
        {"authorized_keys": [key(1)]},
        "is a symbolic link, which is not followed",
    ),
}


def test_what_an_account_cannot_become_is_told_and_nothing_else_changes(fleet: Fleet, host: LabHost) -> None:
    for script, *_ in REFUSED.values():
        host.sh(script)
    host.sh("groupadd -g 3100 theirs; groupadd -g 3101 kept; useradd -M -g kept keeper")
    shadow = host.sh("sha256sum /etc/shadow | cut -c 1-64; getent passwd busy leaving linked pointed")
    trial = Trial(fleet, host)
    trial.declare(
        {
            "users": {**{name: spec for name, (_, spec, _) in REFUSED.items()}, "fine": {"uid": 4200, "group": "games"}},
            "groups": {"mine": {"gid": 3100}, "kept": {"ensure": "absent"}},
        }
    )

    failed = trial.fail()

    assert failed.fates.pop("user:fine") == "done"
    assert failed.said.keys() == {f"user:{name}" for name in REFUSED} | {"group:mine", "group:kept"}
    for name, (*_, told) in REFUSED.items():
        assert told in failed.said[f"user:{name}"], failed.said[f"user:{name}"]
    assert "gid 3100 already belongs to the group theirs" in failed.said["group:mine"]
    assert "cannot remove the primary group" in failed.said["group:kept"]
    assert host.sh("getent passwd busy leaving linked pointed") == shadow.partition("\n")[2]
    assert host.sh("cat /home/filed; ls -A /srv/aim; stat -c '%U %a' /etc/shadow; id -u fine") == "data\nroot 640\n4200"
    assert {path for path in failed.touched if path.startswith(("/home/", "/srv"))} == {
        path for path in failed.touched if path.startswith("/home/fine")
    }
    assert not host.has("getent passwd twin || getent passwd grouped || getent group mine")


# User → their ~/.ssh as it was made by hand, and what is planned for the keys 1 and 2.
KEYS = {
    "none": (":", "change"),
    "same": ("{ echo '# note'; echo; echo 'KEY2 other comment'; echo 'KEY1'; } >.ssh/authorized_keys; chmod 600 .ssh/*", None),
    "foreign": ("{ echo KEY1; echo KEY2; echo KEY9; } >.ssh/authorized_keys; chmod 600 .ssh/*", "change"),
    "fewer": ("echo KEY1 >.ssh/authorized_keys; chmod 600 .ssh/*", "change"),
    "optioned": ("{ echo 'no-pty KEY1'; echo KEY2; } >.ssh/authorized_keys; chmod 600 .ssh/*", "change"),
    "garbage": ("{ echo KEY1; echo KEY2; echo 'not a key'; } >.ssh/authorized_keys; chmod 600 .ssh/*", "change"),
    "wide": ("{ echo KEY1; echo KEY2; } >.ssh/authorized_keys; chmod 666 .ssh/*; chmod 777 .ssh", "change"),
    "unended": ("printf 'KEY1\\nKEY2' >.ssh/authorized_keys; chmod 600 .ssh/*", None),
}


def test_keys_are_exactly_those_that_are_listed(fleet: Fleet, host: LabHost) -> None:
    for name, (script, _) in KEYS.items():
        host.sh(f"useradd -m -s /bin/sh {name}; rm -rf /home/{name}/.ssh")
        text = script.replace("KEY", "$KEY")
        for number in (1, 2, 9):
            text = text.replace(f"$KEY{number}", key(number))
        if script != ":":
            host.sh(f"cd; mkdir -m 700 .ssh; {text}", user=name)
    host.sh("useradd -m rooted; mkdir -m 700 /home/rooted/.ssh")
    trial = Trial(fleet, host)
    wanted = [key(1, f"first {HOSTILE}"), key(2)]
    users: dict[str, dict[str, object]] = {name: {"authorized_keys": wanted} for name in [*KEYS, "rooted"]}
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", fleet.home / "key"], check=True)
    users["login"] = {"shell": "/bin/sh", "authorized_keys": [(fleet.home / "key.pub").read_text().strip()]}
    users["closed"] = {"authorized_keys": []}
    trial.declare({"users": users})

    applied = trial.converge()

    expected = {f"user:{name}": sign for name, (_, sign) in KEYS.items() if sign}
    assert applied.planned.signs == {**expected, "user:rooted": "change", "user:login": "create", "user:closed": "create"}
    assert key(9) in str(applied.planned.fields("user:foreign")["authorized_keys"])
    for name in [*KEYS, "rooted"]:
        lines = host.sh(f"grep -v -e '^#' -e '^$' /home/{name}/.ssh/authorized_keys").split("\n")
        assert sorted(line.split()[1] for line in lines) == sorted(line.split()[1] for line in wanted), name
        assert host.sh(f"cd /home/{name}; stat -c '%U %a' .ssh .ssh/authorized_keys") == f"{name} 700\n{name} 600"
    assert log_in(fleet, host, "login") == "login"
    trial.declare({"users": {**users, "login": {"shell": "/bin/sh", "authorized_keys": []}}})
    host.sh("mkdir -p /home/closed/.ssh; echo intruder >/home/closed/.ssh/authorized_keys; chown -R closed: /home/closed/.ssh")
    assert trial.converge().planned.signs == {"user:login": "change", "user:closed": "change"}
    assert log_in(fleet, host, "login") == ""
    assert host.sh("grep -c intruder /home/closed/.ssh/authorized_keys; test ! -e /srv/pwned; true") == "0"


def log_in(fleet: Fleet, host: LabHost, user: str) -> str:
    """Whom sshd makes of somebody who comes with the test's own key as `user`; empty when it lets nobody in."""
    known = fleet.root / "hosts" / "known_hosts"
    options = f"-F none -o BatchMode=yes -o IdentitiesOnly=yes -o UserKnownHostsFile={known} -i {fleet.home / 'key'}"
    command = ["ssh", *options.split(), f"{user}@{host.address}", "id -un"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def test_names_and_values_that_are_none_are_refused(fleet: Fleet) -> None:
    users: dict[str, object] = {name: {} for name in ("-x", "a b", "$(id)", "a:b", "x\n", "é", "a/b", "root;id", "")}
    users |= {
        "colon": {"comment": "a:b"},
        "line": {"comment": "a\nroot2::0:0::/:/bin/sh"},
        "home": {"home": "relative"},
        "up": {"home": "/home/../etc"},
        "shell": {"shell": "sh"},
        "uid": {"uid": -1},
        "key": {"authorized_keys": ["ssh-ed25519 AAAA"]},
        "option": {"authorized_keys": [f'command="x\n" {key(1)}']},
        "private": {"authorized_keys": ["-----BEGIN OPENSSH PRIVATE KEY-----"]},
        "member": {"groups": ["a,b"]},
    }
    groups: dict[str, object] = {"-g": {}, "a b": {}, "fine": {"gid": "7"}}
    text = json.dumps({"address": "root@127.0.0.1:9", "users": users, "groups": groups}, indent=1)
    fleet.commit({"hosts/away.yaml": text})
    refused = fleet.apply()
    assert refused.code == 1, refused
    assert refused.err.count("hosts/away.yaml:") >= len(users) + len(groups), refused
