"""The work that is measured, for each contender from one description: 12 packages, 5 services (two with units of their own),
40 files with owner, group and mode (10 of them templates), 10 directories, 5 links, 3 groups, 5 users and 2 cron files, as
user `ops` with sudo.

Deterministic: the same bytes every time. `fleet()` writes it for this program, `bundlewrap()` for BundleWrap, and `floor()`
is the reading part by hand: the shortest POSIX script that looks at all of it.
"""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path

PACKAGES = ["tree", "jq", "htop", "less", "nano", "bc", "file", "zip", "unzip", "lsof", "ncdu", "tmux"]
UNITS = ("bench-a", "bench-b")
SERVICES = ("cron", "ssh", "apt-daily.timer", *UNITS)
WORDS = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "host",
    "port",
    "user",
    "path",
    "cache",
    "limit",
    "timeout",
    "level",
    "debug",
    "info",
    "true",
    "false",
    "retry",
    "queue",
    "worker",
]
OWNERS = (
    ("root", "root", "0644"),
    ("root", "bench1", "0640"),
    ("app1", "bench1", "0600"),
    ("app2", "bench2", "0664"),
    ("root", "bench3", "0440"),
)
UNIT = """[Unit]
Description=Bench

[Service]
ExecStart=/bin/sleep infinity
Restart=always

[Install]
WantedBy=multi-user.target
"""
CRON = {"bench1": "17 3 * * * root /bin/true\n", "bench2": "*/30 * * * * app1 /bin/true\n"}


@dataclass(frozen=True, slots=True)
class File:
    path: str
    content: str
    owner: str = "root"
    group: str = "root"
    mode: str = "0644"
    template: bool = False
    """`HOST` in the content stands for the host's name."""


@dataclass(slots=True)
class Workload:
    files: list[File] = field(default_factory=list)
    directories: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    groups: dict[str, int] = field(default_factory=dict)
    users: dict[str, tuple[int, str, str, str]] = field(default_factory=dict)
    """name → uid, primary group, other group, shell"""


def workload() -> Workload:
    source = random.Random(20240101)

    def text(size: int) -> str:
        lines: list[str] = []
        while sum(map(len, lines)) < size:
            words = " ".join(source.choice(WORDS) for _ in range(source.randrange(2, 9)))
            lines.append(f"{source.choice(WORDS)}_{source.randrange(1000)} = {words}\n")
        return "".join(lines)

    work = Workload()
    work.groups = {f"bench{number}": 7000 + number for number in (1, 2, 3)}
    for number in range(1, 6):
        shell = "/bin/bash" if number < 3 else "/usr/sbin/nologin"
        work.users[f"app{number}"] = (7100 + number, f"bench{(number - 1) % 3 + 1}", f"bench{number % 3 + 1}", shell)
    for number in range(1, 31):
        owner, group, mode = OWNERS[number % 5]
        work.files.append(File(f"/etc/bench.d/file{number:02}.conf", text(source.randrange(200, 2000)), owner, group, mode))
    for number in range(1, 11):
        owner, group, mode = OWNERS[(number + 2) % 5]
        body = f"# host HOST\nnumber = {number}\nurl = https://HOST.example.org/{number}\n" + text(source.randrange(200, 1500))
        work.files.append(File(f"/etc/bench.d/tmpl{number:02}.conf", body, owner, group, mode, template=True))
    work.files += [File(f"/etc/systemd/system/{unit}.service", UNIT) for unit in UNITS]
    work.files += [File(f"/etc/cron.d/{name}", content) for name, content in CRON.items()]
    work.directories = {"/etc/bench.d": ("root", "root", "0755"), "/srv/bench": ("root", "root", "0755")}
    for number in range(1, 11):
        owner, group = [("root", "root"), ("app3", "bench3"), ("ops", "ops")][number % 3]
        work.directories[f"/srv/bench/dir{number:02}"] = (owner, group, ["0755", "0750", "0700"][number % 3])
    work.links = {f"/srv/bench/link{number:02}": f"/srv/bench/dir{number:02}" for number in range(1, 6)}
    return work


def fleet(root: Path, addresses: dict[str, str], known_hosts: str) -> None:
    """A fleet repository for `reconcile`: one bundle, one small file per host."""
    work = workload()
    shutil.rmtree(root, ignore_errors=True)
    lines = ["packages:", f"  apt: [{', '.join(PACKAGES)}]", "services:"]
    lines += [f"  {name}: {{running: true, enabled: true}}" for name in SERVICES]
    lines += ["groups:", *(f"  {name}: {{gid: {gid}}}" for name, gid in work.groups.items()), "users:"]
    for name, (uid, group, other, shell) in work.users.items():
        lines.append(f"  {name}: {{uid: {uid}, group: {group}, groups: [{other}], shell: {shell}, home: /home/{name}}}")
    lines.append("directories:")
    lines += [f'  {path}: {{owner: {o}, group: {g}, mode: "{m}"}}' for path, (o, g, m) in work.directories.items()]
    lines += ["symlinks:", *(f"  {path}: {{target: {target}}}" for path, target in work.links.items()), "files:"]
    for file in work.files:
        source = f"files{file.path}" + (".j2" if file.template else "")
        lines.append(f'  {file.path}: {{source: {source}, owner: {file.owner}, group: {file.group}, mode: "{file.mode}"}}')
        target = root / source
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(file.content.replace("HOST", "{{ host.name }}") if file.template else file.content)
    (root / "bundles").mkdir(parents=True)
    (root / "bundles/bench.yaml").write_text("\n".join(lines) + "\n")
    (root / "hosts").mkdir()
    (root / "hosts/known_hosts").write_text(known_hosts)
    for name, address in addresses.items():
        (root / f"hosts/{name}.yaml").write_text(f"address: ops@{address}\nbecome: sudo\nbundles: [bench]\n")
    (root / "fleet.yaml").write_text("")


ITEMS = """
pkg_apt = {p: {} for p in PACKAGES}
groups = {n: {"gid": gid} for n, gid in GROUPS.items()}
users = {n: {"uid": u, "gid": GROUPS[g], "groups": [o], "shell": s, "home": f"/home/{n}"} for n, (u, g, o, s) in USERS.items()}
directories = {p: {"owner": o, "group": g, "mode": m} for p, (o, g, m) in DIRECTORIES.items()}
symlinks = {p: {"target": t} for p, t in LINKS.items()}
files = {}
for path, owner, group, mode, template in FILES:
    files[path] = {"source": path[1:], "owner": owner, "group": group, "mode": mode}
    if template:
        files[path]["content_type"] = "mako"
actions = {"daemon-reload": {"command": "systemctl daemon-reload", "triggered": True, "cascade_skip": False}}
svc_systemd = {s: {"enabled": True} for s in SERVICES}
for u in UNITS:
    files[f"/etc/systemd/system/{u}.service"]["triggers"] = ["action:daemon-reload"]
    svc_systemd[u]["needs"] = [f"file:/etc/systemd/system/{u}.service", "action:daemon-reload"]
"""


def bundlewrap(root: Path, hosts: list[str]) -> None:
    """The same resources as a BundleWrap repository."""
    work = workload()
    shutil.rmtree(root, ignore_errors=True)
    bundle = root / "bundles/bench"
    for file in work.files:
        target = bundle / "files" / file.path[1:]
        target.parent.mkdir(parents=True, exist_ok=True)
        content = file.content.replace("HOST", "${node.name}")
        target.write_text(content.replace("# host", "${'#'} host") if file.template else content)
    values = {
        "PACKAGES": PACKAGES,
        "SERVICES": SERVICES,
        "UNITS": UNITS,
        "GROUPS": work.groups,
        "USERS": work.users,
        "DIRECTORIES": work.directories,
        "LINKS": work.links,
        "FILES": [(file.path, file.owner, file.group, file.mode, file.template) for file in work.files],
    }
    (bundle / "items.py").write_text("".join(f"{name} = {value!r}\n" for name, value in values.items()) + ITEMS)
    nodes = {
        host: {"hostname": host, "username": "ops", "os": "debian", "os_version": (13,), "bundles": ["bench"]} for host in hosts
    }
    (root / "nodes.py").write_text(f"nodes = {nodes!r}\n")
    (root / "groups.py").write_text("groups = {}\n")
    (root / "requirements.txt").write_text("")


def floor() -> str:
    """What somebody would write by hand to look at all of it, in one script."""
    work = workload()
    files = [file.path for file in work.files]
    paths = " ".join([*files, *work.directories])
    return f"""LC_ALL=C; export LC_ALL
dpkg-query -W -f '${{Package}} ${{db:Status-Abbrev}}\\n' {" ".join(PACKAGES)} 2>&1
systemctl show -p Id -p LoadState -p ActiveState -p UnitFileState -p NeedDaemonReload {" ".join(SERVICES)}
stat -c '%n|%F|%a|%U|%G|%s|%Y' {paths} 2>&1
find {" ".join(work.links)} -maxdepth 0 -printf '%p -> %l\\n' 2>&1
sha256sum {" ".join(files)} 2>&1
getent passwd {" ".join(work.users)}
getent group {" ".join(work.groups)}
echo '#end'
"""
