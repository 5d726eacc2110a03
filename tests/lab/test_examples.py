"""The examples on real hosts: applied as they stand, but for their addresses."""

from __future__ import annotations

from tests.fleet import Fleet
from tests.lab.hosts import LabHost
from tests.unit.docs.test_examples import copy


def use(example: str, fleet: Fleet, hosts: dict[str, LabHost]) -> None:
    """The example, committed; `hosts` says which real host answers for which of its addresses."""
    pins = (fleet.root / "hosts" / "known_hosts").read_text()
    config = "".join(f"Host {name}\n  HostName {host.address}\n" for name, host in hosts.items())
    (fleet.home / ".ssh" / "config").write_text(config)
    for name, host in hosts.items():
        pins = pins.replace(f"{host.address} ", f"{name} ")
    copy(example, fleet)
    fleet.commit({"hosts/known_hosts": pins})


def converge(fleet: Fleet) -> None:
    """Plan, apply, and a second plan that is empty."""
    planned = fleet.plan()
    assert planned.code == 2, planned
    applied = fleet.apply()
    assert applied.code == 0, applied
    again = fleet.plan()
    assert again.code == 0, again


def test_first_host(fleet: Fleet, host: LabHost) -> None:
    use("first-host", fleet, {"server.example.org": host})
    converge(fleet)
    assert host.sh("cat /etc/motd").startswith("This is server, for photos and backups.\n")
    assert host.has("dpkg-query -W rsync tree && ! command -v telnet")
    assert host.sh("id -nG ada") == "ada adm"
    assert host.sh("grep -c ssh-ed25519 ~ada/.ssh/authorized_keys; stat -c '%U %a' ~ada/.ssh") == "2\nada 700"


def test_webserver(fleet: Fleet, hosts: list[LabHost]) -> None:
    first, second, _ = hosts
    use("webserver", fleet, {"web1.example.org": first, "web2.example.org": second})
    converge(fleet)
    for name, host, connections in (("web1", first, 1024), ("web2", second, 4096)):
        assert f"<p>Served by {name}." in host.sh("curl --silent --fail http://127.0.0.1/")
        assert host.has(f"grep -q 'worker_connections {connections};' /etc/nginx/nginx.conf")
        assert host.sh("cat /proc/sys/net/ipv4/tcp_fin_timeout; cat /etc/cron.d/old-downloads").startswith("30\n")

    before = first.sh("systemctl show --property MainPID nginx")
    conf = (fleet.root / "files/nginx/nginx.conf.j2").read_text()
    fleet.commit(
        {"files/nginx/nginx.conf.j2": conf.replace("server_tokens off;", "server_tokens off;\n    add_header X-Fleet yes;")}
    )
    assert "service:nginx  reload" in fleet.plan().out
    converge(fleet)
    assert "X-Fleet: yes" in first.sh("curl --silent --head http://127.0.0.1/")
    assert first.sh("systemctl show --property MainPID nginx") == before, "it was restarted and not reloaded"

    fleet.commit({"files/nginx/nginx.conf.j2": conf.replace("server {", "serber {")})
    refused = fleet.apply()
    assert refused.code == 3, refused
    assert "serber" in refused.out
    assert first.has("curl --silent --fail http://127.0.0.1/ && nginx -q -t"), "the file in its place is the one that works"


def test_nas(fleet: Fleet, hosts: list[LabHost]) -> None:
    nas, spare, _ = hosts
    for host in (nas, spare):
        host.sh("mkdir -p /volume1/homes /volume1/photo; useradd --create-home --home-dir /volume1/homes/media media")
        host.sh(
            "install -d -o media -m 0700 ~media/.ssh; install -o media -m 0600 /etc/ssh/lab_keys ~media/.ssh/authorized_keys"
        )
    use("nas", fleet, {"nas.lan": nas, "spare.lan": spare})
    converge(fleet)
    assert nas.sh("~/bin/thumbnails; readlink ~/photos", user="media") == "0\n/volume1/photo"
    assert nas.sh("stat -c %U ~media/.reconciler/inventory") == "media"
    assert not nas.has("test -e /var/lib/reconciler")


def test_laptop(fleet: Fleet, host: LabHost) -> None:
    use("laptop", fleet, {"laptop.lan": host})
    converge(fleet)
    timer = "XDG_RUNTIME_DIR=/run/user/$(id -u) systemctl --user"
    assert host.sh(f"{timer} is-active backup.timer; {timer} is-enabled backup.timer", user="ada") == "active\nenabled"
    host.sh("systemctl stop ssh.socket ssh.service")
    away = fleet.plan()
    assert away.code == 0, away
    assert "laptop: away" in away.out
