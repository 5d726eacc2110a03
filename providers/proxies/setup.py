"""What a proxy must have on a host so that it leads to a project's slots: one text in one file, and where the rest lies.

Made by `nginx.py`, `caddy.py` and `haproxy.py`, used by `routes/kind.py`. The shell that all proxies share is here, too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from providers.shell import Sh, sh

_BLANK = "0" * 16
"""Stands in a text for its own digest, until it is known."""


@dataclass(frozen=True, slots=True)
class Setup:
    """One route in one proxy."""

    proxy: str
    """`nginx`, `caddy` or `haproxy`."""
    route: str
    config: str
    """The proxy's own folder; ours is `reconciler` in it."""
    snippet: str
    """Path of our file."""
    text: str
    """What it must hold."""
    digest: str
    """16 hex digits that stand for the text, and stand in it, so that it can be seen which text a proxy runs with."""
    extra: str = ""
    """haproxy: its socket. caddy: where it saves what it runs with."""
    port: int | None = None
    """A port that the snippet takes for itself alone."""

    @property
    def sum(self) -> str:
        """The SHA-256 of the file as it should be."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def use(self) -> Sh:
        """Shell that says which route the functions of the proxies are about."""
        return sh(
            "proxy_use @proxy@ @route@ @config@ @snippet@ @digest@ @extra@",
            proxy=self.proxy,
            route=self.route,
            config=self.config,
            snippet=self.snippet,
            digest=self.digest,
            extra=self.extra,
        )


def fill(template: str, values: Mapping[str, object]) -> tuple[str, str]:
    """The text, with `<name>` replaced by its value and `<digest>` by the digest of all the rest; and that digest. The values
    come from models that allow only plain characters."""
    text = template.lstrip("\n")
    for name, value in values.items():
        text = text.replace(f"<{name}>", str(value))
    digest = hashlib.sha256(text.replace("<digest>", _BLANK).encode()).hexdigest()[:16]
    return text.replace("<digest>", digest), digest


ASK = sh(r"""
# proxy_use PROXY ROUTE CONFIG SNIPPET DIGEST EXTRA: what the functions below are about.
proxy_use() {
  proxy=$1 route=$2 config=$3 snippet=$4 digest=$5 extra=$6
  ours=$config/reconciler
}

# proxy_find: sets $nginx, $caddy and $haproxy to the processes of this host (of no container) without a parent of their kind;
# and $workers to those of nginx that have one.
proxy_find() {
  nginx='' caddy='' haproxy='' workers=''
  for entry in /proc/[0-9]*; do
    program=
    read -r program 2>/dev/null <"$entry/comm"
    case $program in nginx | caddy | haproxy) ;; *) continue ;; esac
    [ "$entry/ns/pid" -ef /proc/self/ns/pid ] || continue
    above=''
    while read -r word value _; do
      case $word in PPid:) above=$value; break ;; esac
    done 2>/dev/null <"$entry/status"
    parent=
    read -r parent 2>/dev/null <"/proc/$above/comm"
    if [ "$parent" = "$program" ]; then
      case $program in nginx) workers="$workers ${entry#/proc/}" ;; esac
      continue
    fi
    case $program in
    nginx) nginx="$nginx ${entry#/proc/}" ;;
    caddy) caddy="$caddy ${entry#/proc/}" ;;
    haproxy) haproxy="$haproxy ${entry#/proc/}" ;;
    esac
  done
}

# proxy_file_slot: the slot that the proxy's file says, which nginx and caddy look at for each request.
proxy_file_slot() {
  if [ -e "$ours/$route.green" ]; then slot=green; else slot=blue; fi
}
""")
"""For probes and for steps."""
