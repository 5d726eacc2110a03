"""caddy: the slot is chosen for each request by whether a file is there. A switch is one rename or one unlink.

With `site`, a whole small site is written to `reconciler/NAME.caddy`; the Caddyfile must have, outside of any site,

    import /etc/caddy/reconciler/*.caddy

With `upstream`, the snippet `reconciler/NAME.routes` is written, which a site of one's own takes in where the request is to go
to the slots: `import /etc/caddy/reconciler/NAME.routes`. The Caddyfile itself is never edited by us.

What is proven when the route is read: that caddy runs; that the configuration it last loaded, and saved itself in
`autosave.json`, has this very text, by its digest; and what the file says that caddy looks at for each request. What is not:
that the caddy that saved it is the one that runs, where several run with one home folder; and that a request reaches the site
at all. That is what the smoke tests through the proxy are for. With `persist_config off` nothing is saved, and nothing can be
told.

There is no check before a reload: caddy's reload is one, and leaves what runs as it is where it fails. (`caddy validate` makes
log files as root, which caddy's own user then cannot open; `caddy adapt` does not know the variables of the service.)
"""

from __future__ import annotations

from collections.abc import Mapping

from providers.proxies.models import CaddyProxy
from providers.proxies.setup import Setup, fill
from providers.shell import sh

_HEAD = "# Written by reconcile for route:<route>. What is changed here is undone.\n"
_CHOICE = """
vars reconciler.<route> <digest>
@reconciler_green file {
	root <ours>
	try_files /<route>.green
}
handle @reconciler_green {
	reverse_proxy 127.0.0.1:<green>
}
handle {
	reverse_proxy 127.0.0.1:<blue>
}
"""


def setup(route: str, ports: Mapping[str, int], proxy: CaddyProxy) -> Setup:
    ours = f"{proxy.config}/reconciler"
    values: dict[str, object] = {"ours": ours, "route": route, **ports}
    choice = _CHOICE.strip()
    if proxy.upstream is not None:
        text, digest = fill(_HEAD + choice + "\n", values)
        return Setup("caddy", route, proxy.config, f"{ours}/{route}.routes", text, digest, proxy.autosave)
    scheme = "https" if proxy.tls else "http"
    inner = "\n".join(f"\t{line}" for line in choice.splitlines())
    template = f"{_HEAD}{scheme}://<site>:<listen> {{\n{inner}\n}}\n"
    text, digest = fill(template, values | {"site": proxy.site, "listen": proxy.port})
    return Setup("caddy", route, proxy.config, f"{ours}/{route}.caddy", text, digest, proxy.autosave)


ASK = sh(r"""
# caddy_loaded: sets $loaded to yes, no, other (where an earlier text of ours is loaded) or unknown.
caddy_loaded() {
  loaded=no
  if [ -z "$caddy" ]; then return; fi
  loaded=unknown
  if [ ! -r "$extra" ]; then return; fi
  saved=$(grep -o '"reconciler[.][A-Za-z0-9._-]*":"[0-9a-f]*"' "$extra")
  # 1: none of ours is in it.
  if [ "$?" -gt 1 ]; then return; fi
  case $saved in
  *"\"reconciler.$route\":\"$digest\""*) loaded=yes ;;
  *"\"reconciler.$route\":"*) loaded=other ;;
  *) loaded=no ;;
  esac
}
""")

LIBRARY = sh(r"""
# caddy_includes: whether anything below the folder of the Caddyfile imports our file.
caddy_includes() {
  case $snippet in *.caddy) file='[*]' ;; *) file="${route}[.]routes" ;; esac
  grep -Erq "^[[:space:]]*import[[:space:]]+[^#]*reconciler/$file" "$config"
}

# caddy_reload: caddy itself tries the new configuration, and keeps the old one where it fails. A Caddyfile that uses
# variables of the service's environment can only be read by the service, whose reload never ends where caddy refuses what it is
# given.
caddy_reload() {
  if [ -d /run/systemd/system ] && grep -rq '[{][$]' "$config" && command -v timeout >/dev/null; then
    timeout 20 systemctl reload caddy
  else
    caddy reload --force --config "$config/Caddyfile"
  fi
}

caddy_missing() {
  case $snippet in
  *.caddy) echo "caddy does not read $snippet: add \"import $ours/*.caddy\" to $config/Caddyfile, outside of any site" ;;
  *) echo "no site of caddy imports $snippet yet: add \"import $snippet\" to yours (the snippet is there now)" ;;
  esac
}
""")
