"""nginx: the slot is chosen for each request by whether a file is there. A switch is one rename or one unlink.

With `site`, a whole small site is written to `conf.d/reconciler-NAME.conf`. With `upstream: shop`, the snippet
`reconciler/NAME.conf` is written, which a `server` of one's own takes in:

    include /etc/nginx/reconciler/NAME.conf;
    location / { proxy_pass http://$shop; … }

What is proven when the route is read: that the nginx that runs now has loaded this very text (it names a log file of its own by
its digest, which nginx opens when it loads the text, and which is found open in the master and in a worker; nothing is ever
written to it), and what the file says that the workers look at for each request. What is not: that a request reaches this
server block at all. That is what the smoke tests through the proxy are for.
"""

from __future__ import annotations

from collections.abc import Mapping

from providers.proxies.models import NginxProxy
from providers.proxies.setup import Setup, fill
from providers.shell import sh

_CHOICE = """
open_file_cache off;
set $<variable> 127.0.0.1:<blue>;
if (-f <ours>/<route>.green) { set $<variable> 127.0.0.1:<green>; }
location = /reconciler-<digest> { internal; access_log <ours>/<route>.<digest>.loaded; return 404; }
"""
_HEAD = "# Written by reconcile for route:<route>. What is changed here is undone.\n"
_SITE = """
map $http_upgrade $<variable>_connection { default upgrade; '' ''; }
server {
<listen>
	server_name <site>;
	client_max_body_size 0;
<choice>
	location / {
		proxy_pass http://$<variable>;
		proxy_http_version 1.1;
		proxy_set_header Host $http_host;
		proxy_set_header X-Real-IP $remote_addr;
		proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
		proxy_set_header X-Forwarded-Host $http_host;
		proxy_set_header X-Forwarded-Proto $scheme;
		proxy_set_header Upgrade $http_upgrade;
		proxy_set_header Connection $<variable>_connection;
	}
}
"""


def setup(route: str, ports: Mapping[str, int], proxy: NginxProxy) -> Setup:
    ours = f"{proxy.config}/reconciler"
    # A variable's name cannot hold all that a project's name can.
    variable = proxy.upstream or f"reconciler_{route.encode().hex()}"
    values: dict[str, object] = {"variable": variable, "ours": ours, "route": route, **ports}
    choice = _CHOICE.strip()
    if proxy.upstream is not None:
        text, digest = fill(_HEAD + choice + "\n", values)
        return Setup("nginx", route, proxy.config, f"{ours}/{route}.conf", text, digest)
    secure = " ssl" if proxy.certificate else ""
    listen = [f"listen {proxy.port}{secure};"]
    if proxy.ipv6:
        listen.append(f"listen [::]:{proxy.port}{secure};")
    if proxy.certificate:
        listen += [f"ssl_certificate {proxy.certificate};", f"ssl_certificate_key {proxy.key};"]
    values |= {"listen": _indented(listen), "site": proxy.site}
    template = _HEAD + _SITE.lstrip().replace("<choice>", _indented(choice.splitlines()))
    text, digest = fill(template, values)
    return Setup("nginx", route, proxy.config, f"{proxy.config}/conf.d/reconciler-{route}.conf", text, digest)


def _indented(lines: list[str]) -> str:
    return "\n".join(f"\t{line}" for line in lines)


ASK = sh(r"""
# nginx_open FILE PROCESS…: one of these has it open.
nginx_open() {
  file=$1
  shift
  for process; do
    for held in "/proc/$process/fd/"*; do
      if [ "$held" -ef "$file" ]; then return 0; fi
    done
  done
  return 1
}

# nginx_holds FILE: the running nginx has loaded the text that names it. A master alone proves nothing: it has the file open
# already while it still tries to bind a new port. Nor does an old worker alone: it may be on its way out.
nginx_holds() {
  [ -e "$1" ] || return 1
  # shellcheck disable=SC2086 # lists of numbers
  nginx_open "$1" $nginx && { [ -z "$workers" ] || nginx_open "$1" $workers; }
}

# nginx_loaded: sets $loaded to yes, to no, or to other (where an earlier text of ours is loaded).
nginx_loaded() {
  loaded=yes
  if nginx_holds "$ours/$route.$digest.loaded"; then return; fi
  loaded=no
  for marker in "$ours/$route".????????????????.loaded; do
    if nginx_holds "$marker"; then loaded=other; fi
  done
}
""")

LIBRARY = sh(r"""
nginx_check() { nginx -T -q >"$stage/configuration"; }

nginx_includes() { grep -Fqx "# configuration file $snippet:" "$stage/configuration"; }

nginx_reload() {
  # shellcheck disable=SC2086 # a list of numbers
  kill -s HUP $nginx
}

nginx_missing() {
  case $snippet in
  */conf.d/*) echo "nginx does not read $config/conf.d/*.conf: include it in the http block of its configuration" ;;
  *) echo "no server of nginx includes $snippet yet: add \"include $snippet;\" to yours (the snippet is there now)" ;;
  esac
}

# nginx_tidy: removes the markers of earlier texts.
nginx_tidy() {
  for marker in "$ours/$route".????????????????.loaded; do
    case $marker in "$ours/$route.$digest.loaded") ;; *) rm -f -- "$marker" ;; esac
  done
}
""")
