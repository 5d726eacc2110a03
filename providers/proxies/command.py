"""Any other proxy (Synology's DSM, a load balancer with an interface of its own): a command that switches, one that tells.

Both are run by `sh -c`, as the user that the host's `become` gives, from `/`. `switch` finds SLOT and PORT in its environment,
and must exit 0 when, and only when, the traffic goes to the slot. `read` prints the slot or its port, or `none` where neither
has the traffic yet. What is proven when the route is read is what that command says; whatever else it prints makes the route
unknown, and is shown. Before the first switch it may fail: perhaps what it needs comes with the same run.
"""

from __future__ import annotations

from collections.abc import Mapping

from providers.proxies.models import CommandProxy
from providers.shell import Sh, sh

ASK = sh(r"""
# command_read COMMAND: sets $said to what the command prints; fails as it does.
command_read() {
  if command -v timeout >/dev/null; then said=$(timeout 5 sh -c "$1" </dev/null); else said=$(sh -c "$1" </dev/null); fi
}
""")

LIBRARY = sh(r"""
# command_use BLUE GREEN SWITCH READ: the ports and the commands.
command_use() {
  proxy=command blue=$1 green=$2 switch=$3 read=$4
}

# command_switch SLOT PORT SWITCH READ: gives the traffic to the slot, and reads it back, until ten seconds are over: many a
# proxy has taken a change long before the last of its workers knows of it.
command_switch() {
  if ! SLOT=$1 PORT=$2 sh -c "$3" </dev/null; then
    echo "the switch command failed: $3" >&2
    return 1
  fi
  tries=0
  while :; do
    failed=
    command_read "$4" || failed=yes
    case $failed$said in "$1" | "$2") return 0 ;; esac
    tries=$((tries + 1))
    [ "$tries" -le 10 ] || break
    sleep 1
  done
  if [ -n "$failed" ]; then echo "the read command failed: $4" >&2; return 1; fi
  printf 'the proxy was told to give the traffic to %s (port %s), and says: %s\n' "$1" "$2" "$said" >&2
  return 1
}
""")


def use(ports: Mapping[str, int], proxy: CommandProxy) -> Sh:
    """Shell that says which commands the functions are about."""
    return sh(
        "command_use @blue@ @green@ @switch@ @read@",
        blue=ports["blue"],
        green=ports["green"],
        switch=proxy.switch,
        read=proxy.read,
    )
