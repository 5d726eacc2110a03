"""A small site with two slots behind a proxy on a real host, and an oracle that knows none of the project's code.

The site is a compose application: busybox's httpd in an image that is built on the host, one service for each slot. Each
revision answers with its own name, `revision 3 in blue`. What runs, is served and remembered is asked by `docker` and `curl`.
"""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fleet import Fleet, Result
from tests.lab.hosts import LabHost
from tests.lab.projects.workshop import BASE_IMAGE, make_base_image
from tests.unit.desired.keys import AgeKey

NAME, PORT = "site.test", 8000
PATH = "/srv/site"
MEMORY = "/var/lib/reconciler"
CANARY = "kestrel-9f1c77ab52e04d"
"""A secret of the site: it stands in `.env`, and in the environment of its containers."""

SERVE = "exec httpd -f -p 80 -h /www\n"
GOOD = f'echo "$REVISION in $SLOT" >/www/index.html\ntouch /www/health\n{SERVE}'
PAGE = """mkdir /www/cgi-bin
cat >/www/cgi-bin/index.cgi <<'END'
#!/bin/sh
{page}
END
chmod +x /www/cgi-bin/index.cgi
touch /www/health
"""
PAGE += SERVE
ANSWER = 'printf \'HTTP/1.0 {status}\\r\\nContent-Type: text/plain\\r\\n\\r\\n%s in %s\\n\' "$REVISION" "$SLOT"'
FAULT = PAGE.format(page=ANSWER.format(status="500 Oops"))
STRANGER = PAGE.format(page="printf 'Content-Type: text/plain\\r\\n\\r\\nsome other site\\n'")
SHY = PAGE.format(
    page=f'if [ -n "$HTTP_X_FORWARDED_FOR" ]; then {ANSWER.format(status="503 Not here")}; exit; fi\n'
    + ANSWER.format(status="200 OK")
)
"""Works when it is asked itself, and not behind a proxy."""
SERVICE = """
  web_{slot}:
    build: .
    init: true
    restart: unless-stopped
    stop_grace_period: 1s
    env_file: .env
    environment: {{SLOT: {slot}, REVISION: "{revision}"}}
    ports: ["127.0.0.1:{port}:80"]
    healthcheck: {{test: [CMD, wget, -q, -O, /dev/null, "http://127.0.0.1/health"], interval: 1s, retries: 3, start_period: 5s}}
"""
DOCKERFILE = f'FROM {BASE_IMAGE}\nRUN mkdir /www\nCOPY start /start\nCMD ["/bin/sh", "/start"]\n'

FRONTS = {
    "nginx": "systemctl enable --now nginx 2>/dev/null",
    "caddy": ("echo 'import /etc/caddy/reconciler/*.caddy' >/etc/caddy/Caddyfile\nsystemctl enable --now caddy 2>/dev/null"),
    "haproxy": (
        "mkdir -p /etc/haproxy/conf.d\n"
        "echo 'EXTRAOPTS=\"-S /run/haproxy-master.sock -f /etc/haproxy/conf.d\"' >/etc/default/haproxy\n"
        "systemctl enable --now haproxy 2>/dev/null"
    ),
    # Somebody's own: an nginx that we know nothing of, and a script around it.
    "command": f"""
cat >/etc/nginx/conf.d/own.conf <<'END'
server {{
  listen {PORT};
  set $to 127.0.0.1:8081;
  if (-f /srv/front-is-green) {{ set $to 127.0.0.1:8082; }}
  location / {{ proxy_pass http://$to; }}
}}
END
cat >/usr/local/bin/front <<'END'
#!/bin/sh
case $1 in
  8081) rm -f /srv/front-is-green ;;
  8082) : >/srv/front-is-green ;;
  *) if [ -e /srv/front-is-green ]; then echo 8082; else echo 8081; fi ;;
esac
END
chmod +x /usr/local/bin/front
systemctl enable --now nginx 2>/dev/null
""",
}
PROXIES = {name: {name: {"site": NAME, "listen": PORT}} for name in ("nginx", "caddy", "haproxy")} | {
    "command": {"command": {"switch": "front $PORT", "read": "front", "listen": PORT, "host": NAME}}
}


def compose_app(revision: str, start: str = GOOD, dockerfile: str = DOCKERFILE) -> dict[str, str]:
    """The tree of a revision. `start` is what its containers run."""
    services = [SERVICE.format(slot=slot, port=port, revision=revision) for slot, port in (("blue", 8081), ("green", 8082))]
    return {"compose.yaml": f"services:{''.join(services)}", "start": start, "Dockerfile": dockerfile}


def own_app(revision: str) -> dict[str, str]:
    """The same without containers: a template unit, and a script that starts and stops. Both serve `www` on the slot's port."""
    unit = f"""
[Service]
EnvironmentFile={PATH}/slots/%i/.env
ExecStart=/bin/sh {PATH}/slots/%i/serve %i -f
Restart=always
[Install]
WantedBy=multi-user.target
"""
    serve = f"""
cd "{PATH}/slots/$1" || exit
case $1 in blue) port=8081 ;; *) port=8082 ;; esac
mkdir -p "/run/site/$1"
echo "{revision} in $1" >"/run/site/$1/index.html"
exec busybox httpd $2 -p "127.0.0.1:$port" -h "/run/site/$1"
"""
    run = """
pids=$(pgrep -f "httpd -p 127.0.0.1:$PORT ")
case $1 in
  start) if [ -n "$pids" ]; then kill $pids; sleep 0.3; fi; sh ./serve "$SLOT" ;;
  stop) if [ -n "$pids" ]; then kill $pids; fi ;;
  status) [ -n "$pids" ] ;;
esac
"""
    return {"site@.service": unit, "serve": serve, "run": run}


RUNTIMES: dict[str, dict[str, Any]] = {
    "systemd": {"systemd": "site@.service"},
    "command": {"command": {"start": "sh ./run start", "stop": "sh ./run stop", "status": "sh ./run status"}},
}


@dataclass
class Site:
    """The site, its fleet and its host. `settings` is what its file in the fleet says besides the usual."""

    fleet: Fleet
    host: LabHost
    proxy: str = "nginx"
    settings: dict[str, Any] = field(default_factory=dict)
    slots: tuple[str, str] = ("web_blue", "web_green")
    active: str = "auto"
    soak: str = "10m"
    said: list[str] = field(default_factory=list)
    """All that the program ever printed here."""

    @property
    def source(self) -> Path:
        return self.fleet.home / "site"

    def build(self) -> Site:
        """The host with its proxy, the fleet with its secret, and an empty project."""
        make_base_image(self.host)
        self.host.sh(FRONTS[self.proxy])
        key = AgeKey.make().give(self.fleet)
        self.fleet.write(
            {
                "secrets/site.env.age": key.encrypt(f"TOKEN={CANARY}\n".encode()),
                f"hosts/{self.host.name}.yaml": f"address: root@{self.host.address}\n",
            }
        )
        self.source.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        return self

    def git(self, *arguments: str) -> str:
        command = ["git", *arguments]
        done = subprocess.run(
            command, cwd=self.source, env=self.fleet.environment, stdout=subprocess.PIPE, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self, tree: Mapping[str, str], message: str = "a revision") -> str:
        """A revision of the site; nothing is deployed."""
        for name, text in tree.items():
            (self.source / name).parent.mkdir(parents=True, exist_ok=True)
            (self.source / name).write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        return self.git("rev-parse", "HEAD")

    def declare(self, revision: str, **changes: Any) -> str:
        """Commits the site's file in the fleet. JSON is YAML."""
        blue, green = self.slots
        slots = {
            "active": self.active,
            "blue": {"port": 8081, **({"service": blue} if blue else {})},
            "green": {"port": 8082, **({"service": green} if green else {})},
            "soak": self.soak,
        }
        asked = {
            "source": str(self.source),
            "revision": revision,
            "deploy": [{"host": self.host.name, "path": PATH}],
            "strategy": "slots",
            "secrets": {".env": "secrets/site.env.age"},
            "slots": slots,
            "smoke": [{"http": "/", "contains": "revision", "tries": 4, "deadline": 20}],
            "proxy": PROXIES[self.proxy],
        }
        text = json.dumps(asked | self.settings | changes, indent=1)
        return self.fleet.commit({"projects/site.yaml": text}, f"the site at {revision[:10]}")

    def release(self, tree: Mapping[str, str], **changes: Any) -> str:
        """A revision, and the fleet asks for it."""
        revision = self.commit(tree)
        self.declare(revision, **changes)
        return revision

    def apply(self) -> Result:
        return self.heard(self.fleet.apply())

    def plan(self) -> Result:
        return self.heard(self.fleet.plan())

    def run(self, *arguments: str) -> Result:
        return self.heard(self.fleet.run(*arguments))

    def heard(self, result: Result) -> Result:
        self.said.append(str(result))
        return result

    def converge(self) -> Result:
        """Applied, and nothing is left to do."""
        result = self.apply()
        assert result.code == 0, result
        again = self.plan()
        assert again.code == 0, f"{result}\n{again}"
        return result

    def deploy(self, revision: str, **changes: Any) -> str:
        """A good revision goes live; the commit."""
        commit = self.release(compose_app(revision), **changes)
        self.converge()
        assert self.serves().startswith(f"{revision} in "), self.serves()
        return commit

    # What the host is like.

    @property
    def address(self) -> str:
        """Of the host itself, where its proxy listens; it may be another after a reboot."""
        form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        command = ["docker", "inspect", "--format", form, self.host.container]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    def serves(self) -> str:
        """What a visitor gets."""
        return self.host.ask(f"curl --silent --max-time 5 --header 'Host: {NAME}' http://127.0.0.1:{PORT}/").out.strip()

    def live(self) -> str:
        """The slot that a visitor is served by."""
        return self.serves().rpartition(" ")[2]

    def answers(self, port: int) -> str:
        """What a slot says on its own port."""
        return self.host.ask(f"curl --silent --max-time 5 http://127.0.0.1:{port}/").out.strip()

    def containers(self) -> dict[str, str]:
        """Service → id and state of its container."""
        form = '{{index .Config.Labels "com.docker.compose.service"}} {{.Id}} {{.State.Status}} {{.State.StartedAt}}'
        listed = self.host.sh(f"docker ps -aq | xargs -r docker inspect --format {shlex.quote(form)}")
        return {service: words for service, _, words in (line.partition(" ") for line in listed.splitlines())}

    def left_over(self) -> list[str]:
        """Files of ours that should have gone with the run that made them."""
        known = {"inventory", "lock", "projects"}
        found = [name for name in self.host.sh(f"ls -A {MEMORY}").split() if name not in known]
        return found + self.host.sh(
            f"find / -xdev \\( -name '.*reconciler-*' -o -name '.current.reconciler' -o -path '{MEMORY}/projects/*.new' "
            f"-o -path '{MEMORY}/projects/*/trial' -o -path '/etc/*/reconciler/*.new' -o -path '/etc/*/reconciler/*.kept' \\) "
            f"-print; ls -d /run/reconciler-* 2>/dev/null; true"
        ).split("\n")

    def inventory(self) -> dict[str, Any]:
        """The record; a finished run leaves no journal behind it."""
        title, record, *journal = self.host.sh(f"cat {MEMORY}/inventory").splitlines()
        assert not journal, f"{title}: a run is not finished"
        return dict(json.loads(record))

    def state(self) -> str:
        """Everything that a run could change: containers, memory, links, and the proxies' folders."""
        return self.host.sh(
            "docker ps -a --no-trunc --format '{{.ID}} {{.State}} {{.Names}}'; "
            f"find {MEMORY}/projects {PATH} /etc/nginx /etc/caddy /etc/haproxy -printf '%p %i %T@ %s %l\\n' | sort"
        )
