"""Files, directories, symbolic links, ACLs and purge on a real host, from every state that somebody may have left there."""

from __future__ import annotations

import hashlib
import shlex
import time

import pytest

from tests.fleet import Fleet
from tests.lab.hosts import LabHost
from tests.lab.trial import Trial

# What stands at `$1` before, and what is then planned. A file shall hold "right", belong to ops:adm and have mode 0640.
FILES = {
    "absent": (":", "create"),
    "equal": ("printf 'right\\n' >$1; chown ops:adm $1; chmod 640 $1", None),
    "edited": ("printf 'right\\nwrong\\n' >$1; chown ops:adm $1; chmod 640 $1", "change"),
    "empty": (": >$1; chown ops:adm $1; chmod 640 $1", "change"),
    "binary": ("head -c 100000 /dev/urandom >$1; chown ops:adm $1; chmod 640 $1", "change"),
    "foreign": ("printf 'right\\n' >$1; chown 4242:4243 $1; chmod 640 $1", "change"),
    "open": ("printf 'right\\n' >$1; chown ops:adm $1; chmod 666 $1", "change"),
    "setuid": ("printf 'right\\n' >$1; chown ops:adm $1; chmod 4640 $1", "change"),
    "closed": ("printf 'right\\n' >$1; chown ops:adm $1; chmod 0 $1", "change"),
    "limited": ("printf 'right\\n' >$1; chown ops:adm $1; chmod 640 $1; setfacl -m u:daemon:rw $1; chmod 640 $1", "change"),
    "linked": ("printf 'theirs\\n' >/srv/target; ln -s /srv/target $1", "change"),
    "dangling": ("ln -s /srv/nowhere $1", "change"),
    "looping": ("ln -s looping $1", "change"),
    "folder": ("mkdir $1", "change"),
    "pipe": ("mkfifo $1", "change"),
    "hard": ("printf 'theirs\\n' >/srv/other_name; ln /srv/other_name $1", "change"),
}
DIRECTORIES = {
    "absent": (":", "create"),
    "equal": ("mkdir $1; chown ops:adm $1; chmod 2750 $1", None),
    "closed": ("mkdir $1; chmod 0 $1", "change"),
    "filled": ("mkdir $1; echo theirs >$1/note", "change"),
    "dangling": ("ln -s /srv/nowhere $1", "change"),
    "nested/deep": (":", "create"),
}
LINKS = {
    "absent": (":", "create"),
    "equal": ("ln -s /srv/target $1", None),
    "elsewhere": ("ln -s /etc/passwd $1", "change"),
    "relative": ("ln -s ../target $1", "change"),
    "into_a_folder": ("mkdir -p /srv/kept; ln -s /srv/kept $1", "change"),
    "looping": ("ln -s looping $1", "change"),
    "folder": ("mkdir $1", "change"),
    "pipe": ("mkfifo $1", "change"),
}
PLACES = {"files": FILES, "directories": DIRECTORIES, "symlinks": LINKS}
WANTED = {
    "files": {"content": "right\n", "owner": "ops", "group": "adm", "mode": "0640", "acl": []},
    "directories": {"owner": "ops", "group": "adm", "mode": "2750"},
    "symlinks": {"target": "/srv/target"},
}
KINDS = {"files": "file", "directories": "directory", "symlinks": "symlink"}

HOSTILE = [
    "a b",
    "'single' \"double\"",
    "$(touch pwned)",
    "`touch pwned`",
    ";touch pwned;",
    "-rf",
    "--help",
    "line\nbreak",
    "tab\tand\\backslash\\n",
    "*?[a-z]",
    "#comment",
    "{{ 7 * 7 }}",
    "…ünïcödé\u202e",
    "~root",
    "end",
    "trailing ",
    "%s%n",
    "\u001b[31mred",
]


def prepare(host: LabHost, states: dict[str, dict[str, tuple[str, str | None]]]) -> None:
    for section, cases in states.items():
        host.sh(f"mkdir -p /srv/{section}")
        for name, (script, _) in cases.items():
            host.sh(f"cd /srv/{section}; set -- {name}; {script}")


def test_every_starting_state_leads_to_the_declared_one(fleet: Fleet, host: LabHost) -> None:
    trial = Trial(fleet, host)
    prepare(host, PLACES)
    trial.declare({section: {f"/srv/{section}/{name}": WANTED[section] for name in cases} for section, cases in PLACES.items()})

    applied = trial.converge()

    expected = {
        f"{KINDS[section]}:/srv/{section}/{name}": sign
        for section, cases in PLACES.items()
        for name, (_, sign) in cases.items()
        if sign
    }
    assert applied.planned.signs == expected
    names = {section: " ".join(cases) for section, cases in PLACES.items()}
    assert set(host.sh(f"cd /srv/files; stat -c '%F %U:%G %a %h' {names['files']}").split("\n")) == {
        "regular file ops:adm 640 1"
    }
    assert set(host.sh(f"cd /srv/files; sha256sum {names['files']} | cut -c 1-64; getfacl -cs *").split("\n")) == {
        host.sh("echo right | sha256sum | cut -c 1-64")
    }
    assert set(host.sh(f"cd /srv/directories; stat -c '%F %U:%G %a' {names['directories']}").split("\n")) == {
        "directory ops:adm 2750"
    }
    assert set(host.sh(f"cd /srv/symlinks; readlink {names['symlinks']}").split("\n")) == {"/srv/target"}
    assert host.sh("stat -c '%U:%G %a' /srv/directories/nested") == "root:root 755"
    # Neither followed nor written through: what a link or another name led to is as it was.
    assert host.sh("cat /srv/target /srv/other_name /srv/directories/filled/note; ls /srv/kept") == "theirs\ntheirs\ntheirs"
    assert not host.has("test -e /srv/nowhere")
    mentioned = {ref.partition(":")[2] for ref in expected} | {"/srv/directories/nested"}
    assert applied.touched - {"/srv/other_name"} == mentioned


# What can't be done, or must not be, and what is said about it. The rest of the manifest is applied all the same.
REFUSED = {
    "file:/srv/filled": ("mkdir -p /srv/filled; echo data >/srv/filled/data", "not empty: it is kept"),
    "file:/srv/device": ("mknod /srv/device c 1 3", "is a device: it is kept"),
    "file:/srv/invalid": ("echo good >/srv/invalid", "was refused (exit status 1) by: grep -q good {}"),
    "file:/srv/stranger": (":", "invalid user"),
    "file:/srv/missing/below": (":", "the directory /srv/missing does not exist: declare it under directories"),
    "file:/srv/hers/swapped/file": (
        "mkdir -p /srv/hers /srv/aim; ln -s /srv/aim /srv/hers/swapped; chown -h ops: /srv/hers /srv/hers/swapped",
        "is a symbolic link that belongs to user",
    ),
    "directory:/srv/file": ("echo data >/srv/file", "is not a directory: it is kept"),
    "directory:/srv/link": ("mkdir -p /srv/behind; ln -sf /srv/behind /srv/link", "is a symbolic link to /srv/behind"),
    "directory:/srv/other/below": ("echo data >/srv/other", "/srv/other is not a directory"),
    "symlink:/srv/full": ("mkdir -p /srv/full; echo data >/srv/full/data", "not empty: it is kept"),
}


def test_what_cannot_be_done_is_told_and_touches_nothing(fleet: Fleet, host: LabHost) -> None:
    trial = Trial(fleet, host)
    for script, _ in REFUSED.values():
        host.sh(script)
    paths = {kind: [ref.partition(":")[2] for ref in REFUSED if ref.startswith(kind)] for kind in KINDS.values()}
    files: dict[str, object] = {path: {"content": "bad\n"} for path in paths["file"]}
    files["/srv/invalid"] = {"content": "bad\n", "validate": "grep -q good {}"}
    files["/srv/stranger"] = {"content": "bad\n", "owner": "nobody-knows"}
    files["/srv/fine"] = {"content": "fine\n"}
    files["/srv/waits"] = {"content": "x", "needs": ["file:/srv/device"]}
    trial.declare(
        {
            "files": files,
            "directories": {path: {"mode": "0700"} for path in paths["directory"]},
            "symlinks": {path: {"target": "/etc"} for path in paths["symlink"]},
        }
    )

    failed = trial.fail()

    assert failed.fates.pop("file:/srv/fine") == "done"
    assert failed.fates["file:/srv/waits"] == "skipped"
    assert failed.said.keys() == REFUSED.keys()
    for ref, (_, words) in REFUSED.items():
        assert words in failed.said[ref], failed.said[ref]
    assert failed.touched == {"/srv/fine"}


def test_what_cannot_be_looked_at_is_unknown_and_left_alone(fleet: Fleet, host: LabHost) -> None:
    host.sh(
        "mkdir -m 700 /srv/vault; echo secret >/srv/vault/key; install -m 600 /dev/null /srv/closed; mkdir -m 711 /srv/listed"
    )
    host.sh("echo x >/srv/listed/x; install -d -o ops /srv/mine")
    trial = Trial(fleet, host, user="ops")
    trial.declare(
        {
            "files": {
                "/srv/vault/key": {"content": "other\n"},
                "/srv/vault/gone": {"ensure": "absent"},
                "/srv/closed": {"content": "other\n"},
                "/srv/mine/note": {"content": "mine\n"},
            },
            "directories": {"/srv/vault/below": {}, "/srv/listed": {"purge": True}},
            "symlinks": {"/srv/vault/link": {"target": "/"}},
        }
    )

    applied = trial.fail()

    assert applied.planned.signs == {"file:/srv/mine/note": "create"}
    assert applied.planned.unknown.keys() == {
        "file:/srv/vault/key",
        "file:/srv/vault/gone",
        "file:/srv/closed",
        "directory:/srv/vault/below",
        "directory:/srv/listed",
        "symlink:/srv/vault/link",
    }
    assert {path for path in applied.touched if path.startswith("/srv")} == {"/srv/mine/note"}
    assert host.sh("cat /srv/vault/key /srv/listed/x; stat -c %U /srv/mine/note") == "secret\nx\nops"


def test_hostile_names_and_values_are_only_names_and_values(fleet: Fleet, host: LabHost) -> None:
    trial = Trial(fleet, host)
    host.sh("mkdir /srv/elsewhere")
    folders = {f"/srv/d/{name}": {"mode": "0755"} for name in HOSTILE}
    files = {f"/srv/d/{name}/{name}": {"content": name} for name in HOSTILE}
    links = {f"/srv/d/{name}/link {name}": {"target": name} for name in HOSTILE}
    manifest = {"directories": {"/srv/d": {}, **folders}, "files": files, "symlinks": links}
    trial.declare(manifest)

    assert trial.converge().planned.signs.keys() == {
        f"{kind}:{path}"
        for kind, paths in zip(("directory", "file", "symlink"), manifest.values(), strict=True)
        for path in paths
    }
    found = host.sh("cd /srv/d; find . -type f -printf '%P\\0'; find . -type l -printf '%P\\0%l\\0'").split("\0")[:-1]
    assert sorted(found) == sorted(
        [f"{name}/{name}" for name in HOSTILE] + [word for name in HOSTILE for word in (f"{name}/link {name}", name)]
    )
    contents = host.sh("cd /srv/d; find . -type f -exec sh -c 'cat \"$1\"; printf \"\\0\"' sh {} ';'").split("\0")[:-1]
    assert sorted(contents) == sorted(HOSTILE)

    # Drift, found and healed one by one; then all of it leaves the repository, and what a person has put beside it stays.
    host.sh("cd /srv/d; find . -type f -exec sh -c 'echo drift >\"$1\"' sh {} ';'; find . -type l -exec ln -sfn drift {} ';'")
    assert trial.converge().planned.signs == dict.fromkeys(
        [f"file:{path}" for path in files] + [f"symlink:{path}" for path in links], "change"
    )
    trial.declare({})
    refused = fleet.apply("--json")
    count = len(files) + len(links) + len(folders) + 1
    assert refused.code == 5, refused
    assert trial.converge("--allow-deletions", str(count)).planned.signs.keys() == {
        f"{kind}:{path}"
        for kind, paths in zip(("directory", "file", "symlink"), manifest.values(), strict=True)
        for path in paths
    }
    assert host.sh("ls -A /srv") == "elsewhere"
    assert host.sh("find / -xdev -name '*pwned' -not -path '/proc/*' -not -path '/var/lib/reconciler/*'") == ""


def test_acls_are_exact_and_do_not_flap(fleet: Fleet, host: LabHost) -> None:
    trial = Trial(fleet, host)
    host.sh(
        "mkdir /srv/shared /srv/plain; echo x >/srv/plain/was; setfacl -m u:ops:rwx,g:adm:x,m::rx /srv/plain/was /srv/plain"
    )
    manifest = {
        "directories": {
            "/srv/shared": {"mode": "2770", "acl": ["user:ops:rwx", "default:user:ops:rwx", "d:g:adm:rx", "default:mask::rwx"]},
            "/srv/plain": {"mode": "0755", "acl": []},
        },
        "files": {
            "/srv/shared/doc": {"content": "doc\n", "mode": "0640", "acl": ["u:daemon:rw", "g:adm:r"]},
            "/srv/shared/masked": {"content": "m\n", "mode": "0600", "acl": ["u:ops:rwx", "mask::r"]},
            "/srv/plain/was": {"mode": "0644", "acl": []},
        },
    }
    trial.declare(manifest)
    trial.converge()
    questions = (
        "getfacl -cp /srv/shared | sort",
        "getfacl -cp /srv/shared/doc | sort",
        "getfacl -cp /srv/shared/masked | sort",
        "getfacl -csp /srv/plain /srv/plain/was; stat -c %a /srv/plain /srv/plain/was",
    )
    default = "default:group::rwx default:group:adm:r-x default:mask::rwx default:other::--- default:user::rwx"
    expected = [
        f"{default} default:user:ops:rwx group::rwx mask::rwx other::--- user::rwx user:ops:rwx",
        "group::r-- group:adm:r-- mask::rw- other::--- user::rw- user:daemon:rw-",
        "group::--- mask::r-- other::--- user::rw- user:ops:rwx #effective:r--",
        "755 644",
    ]
    assert [" ".join(host.sh(question).split()) for question in questions] == expected

    host.sh("cd /srv/shared; setfacl -x u:ops .; setfacl -k .; setfacl -m u:games:r doc; chmod 660 masked")
    healed = trial.converge()
    assert healed.planned.signs == dict.fromkeys(
        ["directory:/srv/shared", "file:/srv/shared/doc", "file:/srv/shared/masked"], "change"
    )
    assert [" ".join(host.sh(question).split()) for question in questions] == expected
    assert host.sh("cat /srv/shared/doc /srv/shared/masked /srv/plain/was") == "doc\nm\nx"


def test_purge_removes_what_was_listed_and_counts_it(fleet: Fleet, host: LabHost) -> None:
    trial = Trial(fleet, host)
    host.sh("mkdir -p /srv/conf.d/tree/deep /srv/conf.d/kept/sub /srv/conf.d/mnt; echo x >/srv/precious")
    host.sh("cd /srv/conf.d; ln -s ../precious link; mount -t tmpfs none mnt; echo x | tee mnt/inside tree/deep/file .hidden")
    host.sh("cd /srv/conf.d; : >\"$(printf 'byte\\377')\"")
    for name in HOSTILE:
        host.sh(f"cd /srv/conf.d; : >./{shlex.quote(name)}")
    trial.declare(
        {
            "directories": {"/srv/conf.d": {"purge": True}},
            "files": {"/srv/conf.d/ours": {"content": "ours\n"}, "/srv/conf.d/kept/sub/file": {"content": "deep\n"}},
        }
    )
    planned = trial.plan()
    action = planned.actions["directory:/srv/conf.d"]
    listed = {path for path in action["deletions"] if path.startswith("/srv/conf.d/")}
    assert {f"/srv/conf.d/{name}" for name in HOSTILE} <= listed
    assert {"/srv/conf.d/byte\udcff", "/srv/conf.d/tree", "/srv/conf.d/tree/deep/file", "/srv/conf.d/.hidden"} <= listed
    assert not {path for path in listed if "kept" in path or "ours" in path}

    before = trial.look()
    refused = fleet.apply()
    assert refused.code == 5, refused
    assert trial.look() == before, "a refused apply changed the host"

    count = str(len(planned.result.json()["deletions"]))
    assert fleet.apply("--allow-deletions", str(int(count) - 1)).code == 5
    failed = trial.fail("--allow-deletions", count)
    assert "/srv/conf.d/mnt is kept: something is mounted there" in failed.said["directory:/srv/conf.d"]
    assert set(failed.fates.values()) == {"failed", "skipped"}
    assert host.sh("cd /srv/conf.d; ls -A; cat mnt/inside /srv/precious") == "kept\nmnt\nx\nx"
    host.sh("umount /srv/conf.d/mnt")
    trial.converge()
    assert host.sh("cd /srv/conf.d; ls -A; cat ours kept/sub/file") == "kept\nours\nours\ndeep"


def test_what_left_git_goes_if_we_made_it_and_data_stays(fleet: Fleet, host: LabHost) -> None:
    trial = Trial(fleet, host)
    host.sh("echo before >/srv/before; mkdir /srv/old; ln -s /etc /srv/older")
    trial.declare(
        {
            "files": {
                "/srv/before": {"content": "after\n"},
                "/srv/new": {"content": "new\n"},
                "/srv/becomes": {"content": "file\n"},
                "/srv/moved": {"content": "moved\n"},
            },
            "directories": {"/srv/old": {"mode": "0700"}, "/srv/fresh": {}, "/srv/fresh/used": {}, "/srv/fresh/empty": {}},
            "symlinks": {"/srv/older": {"target": "/usr"}, "/srv/link": {"target": "/usr"}},
        }
    )
    trial.converge()
    host.sh("echo data >/srv/fresh/used/data; rm /srv/moved; mkdir /srv/moved; echo data >/srv/moved/data")

    trial.declare({"symlinks": {"/srv/becomes": {"target": "/usr"}}})
    left = trial.converge()

    assert left.planned.signs == {
        "symlink:/srv/becomes": "change",
        "symlink:/srv/link": "delete",
        "file:/srv/new": "delete",
        "directory:/srv/fresh/empty": "delete",
    }
    assert left.planned.released.keys() == {
        "file:/srv/before",
        "directory:/srv/old",
        "symlink:/srv/older",
        "file:/srv/becomes",
        "directory:/srv/fresh",
        "directory:/srv/fresh/used",
    }
    assert left.planned.released["directory:/srv/fresh/used"] == "it is not empty: 'data' is not ours"
    assert host.sh("cd /srv; cat before fresh/used/data moved/data; readlink becomes older; ls; ls fresh") == (
        "after\ndata\ndata\n/usr\n/usr\nbecomes\nbefore\nfresh\nmoved\nold\nolder\nused"
    )
    trial.declare({})
    assert trial.converge().planned.signs == {"symlink:/srv/becomes": "delete"}
    assert host.sh("ls /srv") == "before\nfresh\nmoved\nold\nolder"


@pytest.mark.parametrize("victim", ["controller", "script"])
def test_whatever_is_killed_a_file_is_old_or_new(fleet: Fleet, host: LabHost, victim: str) -> None:
    trial = Trial(fleet, host)
    old, new = b"old\n" * 500_000, b"new\n" * 600_000
    trial.declare({"files": {"/srv/big": {"source": "files/big", "mode": "0600"}}}, {"files/big": old})
    trial.converge()
    check = "touch /run/checking; sleep 2; grep -q new {}"
    trial.declare({"files": {"/srv/big": {"source": "files/big", "mode": "0600", "validate": check}}}, {"files/big": new})

    with trial.applying() as running:
        host.wait("test -e /run/checking")
        if victim == "controller":
            running.kill()
        else:
            trial.kill_script()
    assert host.sh("sha256sum </srv/big; stat -c '%a %U' /srv/big") in {
        host.sh(f"yes {word} | head -n {count} | sha256sum") + "\n600 root"
        for word, count in (("old", 500_000), ("new", 600_000))
    }
    time.sleep(2)
    assert fleet.apply().code == 0
    assert host.sh("sha256sum </srv/big") == f"{hashlib.sha256(new).hexdigest()}  -"
    assert host.sh("ls -A /srv") == "big"
    trial.settle()


ACLS: dict[str, dict[str, object]] = {"none": {"acl": []}, "some": {"acl": ["user:daemon:r"]}, "other": {}}


def test_what_a_folder_passes_on_by_its_default_acl_does_not_flap(fleet: Fleet, host: LabHost) -> None:
    host.sh("mkdir /srv/open /srv/shut; setfacl -d -m u:ops:rwx,g::--- /srv/open; setfacl -d -m u::---,u:ops:rwx /srv/shut")
    trial = Trial(fleet, host)
    files = {
        f"/srv/{place}/{name}": {"content": "x\n", "mode": "0444", **acl}
        for place in ("open", "shut")
        for name, acl in ACLS.items()
    }
    trial.declare({"files": files})
    trial.converge()
    assert host.sh("cd /srv; stat -c %a */none */some */other | sort -u") == "444"
    assert host.sh("cd /srv; ls -A open shut | sort -u | xargs") == "none open: other shut: some"
