"""haproxy: the slot is chosen for each request by an entry of a map, which is changed over the stats socket.

With `site`, a frontend and a backend are written to `conf.d/reconciler-NAME.cfg`; with `upstream: shop`, only the backend
`shop`, which a frontend of one's own uses: `use_backend %[str(shop)]`, which may be written before the backend is there.
haproxy has no include, so it must be started with the folder as well; with Debian's unit that is a line in
/etc/default/haproxy, and one restart:

    EXTRAOPTS="-S /run/haproxy-master.sock -f /etc/haproxy/conf.d"

The map's file is written too, so that a restart keeps the slot. It is set in the running haproxy first: were we killed in
between, the restart would bring back the slot that had the traffic before.

What is proven when the route is read: that the haproxy which answers on the socket runs with this very text (the map's name has
its digest), and the slot that its map has in memory, which it looks up for each request. What is not: that a request reaches
the backend at all. That is what the smoke tests through the proxy are for.
"""

from __future__ import annotations

from collections.abc import Mapping

from providers.proxies.models import HaproxyProxy
from providers.proxies.setup import Setup, fill
from providers.shell import sh

_HEAD = "# Written by reconcile for route:<route>. What is changed here is undone.\n"
_FRONTEND = """
frontend reconciler-<route>
	mode http
	bind <bind>
	timeout client 60s
	timeout http-request 30s
	timeout http-keep-alive 60s
	default_backend <backend>

"""
_BACKEND = """
backend <backend>
	mode http
	timeout connect 5s
	timeout server 60s
	timeout tunnel 1h
	option forwardfor
	http-request set-header X-Forwarded-Proto https if { ssl_fc }
	http-request set-header X-Forwarded-Proto http if !{ ssl_fc }
	use-server green if { str(<route>),map_str(<ours>/<route>.<digest>.map,blue) -m str green }
	use-server blue if TRUE
	server blue 127.0.0.1:<blue>
	server green 127.0.0.1:<green>
"""


def setup(route: str, ports: Mapping[str, int], proxy: HaproxyProxy) -> Setup:
    ours = f"{proxy.config}/reconciler"
    values: dict[str, object] = {"ours": ours, "route": route, "backend": proxy.upstream or f"reconciler-{route}", **ports}
    template, port = _HEAD + _BACKEND.lstrip(), None
    if proxy.site is not None:
        port = proxy.port
        address = f":::{port} v4v6" if proxy.ipv6 else f":{port}"
        bind = f"{address} ssl crt {proxy.certificate}" if proxy.certificate else address
        values["bind"] = bind
        template = _HEAD + _FRONTEND.lstrip() + _BACKEND.lstrip()
    text, digest = fill(template, values)
    snippet = f"{proxy.config}/conf.d/reconciler-{route}.cfg"
    return Setup("haproxy", route, proxy.config, snippet, text, digest, proxy.socket, port)


ASK = sh(r"""
# haproxy_ask COMMANDS: what the running haproxy answers on its socket, by whatever this host has to ask it.
haproxy_ask() {
  if command -v socat >/dev/null; then
    printf '%s\n' "$1" | socat -t 5 - "UNIX-CONNECT:$extra"
  elif command -v perl >/dev/null; then
    perl -MIO::Socket::UNIX -e '$s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die "$ARGV[0]: $!\n";
      print $s "$ARGV[1]\n"; $s->flush; print while <$s>' "$extra" "$1"
  elif command -v python3 >/dev/null; then
    python3 -c 'import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(sys.argv[2].encode() + b"\n")
while data := s.recv(65536): sys.stdout.buffer.write(data)' "$extra" "$1"
  else
    echo "asking haproxy takes socat, perl or python3: install one of them" >&2
    return 1
  fi
}

# haproxy_value MAP: sets $slot to what the running haproxy has in it; fails where it has no such map.
haproxy_value() {
  slot=
  told=$(haproxy_ask "show map $1") || { unheard=1; return 1; }
  case $told in
  *" $route blue") slot=blue ;;
  *" $route green") slot=green ;;
  *"Unknown map"*) return 1 ;;
  *) slot=strange ;;
  esac
}

# haproxy_file_value MAP: the same of a map's file.
haproxy_file_value() {
  said=''
  read -r said <"$1"
  case $said in "$route blue") slot=blue ;; "$route green") slot=green ;; *) slot= ;; esac
}

# haproxy_loaded: sets $slot, and $loaded to yes, no, other (an earlier text of ours is loaded), stale (its file says another
# slot) or unknown.
haproxy_loaded() {
  loaded=no slot='' unheard=''
  map=$ours/$route.$digest.map
  if [ -n "$haproxy" ]; then
    if haproxy_value "$map"; then
      has=$slot
      haproxy_file_value "$map" 2>/dev/null
      loaded=stale
      if [ "$slot" = "$has" ]; then loaded=yes; fi
      slot=$has
      return
    fi
    for other in "$ours/$route".????????????????.map; do
      if [ -e "$other" ] && [ "$other" != "$map" ] && haproxy_value "$other"; then loaded=other; return; fi
    done
    if [ -n "$unheard" ]; then loaded=unknown; fi
  fi
  slot=
  for other in "$map" "$ours/$route".????????????????.map; do
    if [ -z "$slot" ] && [ -e "$other" ]; then haproxy_file_value "$other"; fi
  done
}
""")

LIBRARY = sh(r"""
# haproxy_map SLOT: the map's file, which haproxy reads when it starts.
haproxy_map() {
  printf '%s %s\n' "$route" "$1" >"$ours/$route.map.new" && chmod 0644 "$ours/$route.map.new" &&
    sync "$ours/$route.map.new" && mv -f -- "$ours/$route.map.new" "$ours/$route.$digest.map" && sync "$ours"
}

# haproxy_set SLOT: in the running haproxy, where it has our map, and then in the file.
haproxy_set() {
  if [ "$loaded" = yes ] || [ "$loaded" = stale ]; then
    told=$(haproxy_ask "set map $ours/$route.$digest.map $route $1") || return
    if [ -n "$told" ]; then proxy_fail "haproxy refused to change its map: $told"; return; fi
  fi
  haproxy_map "$1"
}

# haproxy_arguments: the -f and -C options with which the running haproxy was started, a word to a line.
haproxy_arguments() {
  tr '\0' '\n' <"/proc/${haproxy##* }/cmdline" | while read -r word; do
    case $word in
    -f | -C) if read -r value; then printf '%s\n%s\n' "$word" "$value"; fi ;;
    esac
  done
}

# haproxy_check: two frontends on one port would silently share the requests between them, so that is refused.
haproxy_check() {
  if [ -n "$port" ]; then
    bound="^[[:space:]]*bind[[:space:]]([^#]*[^0-9])?$port([^0-9]|\$)"
    for other in "$config"/haproxy.cfg "$config"/conf.d/*.cfg; do
      if [ "$other" != "$snippet" ] && [ -e "$other" ] && grep -Eq "$bound" "$other"; then
        proxy_fail "port $port is bound in $other too: give the site another port, or use upstream"
        return
      fi
    done
  fi
  set -f
  IFS='
'
  # shellcheck disable=SC2046 # a word to a line
  haproxy -c $(haproxy_arguments)
  verdict=$?
  unset IFS
  set +f
  return "$verdict"
}

haproxy_includes() {
  case $(haproxy_arguments) in *"$config/conf.d"*) ;; *) return 1 ;; esac
}

haproxy_missing() {
  echo "haproxy is not started with the folder $config/conf.d: add \"-f $config/conf.d\" to its options" \
    "(Debian: EXTRAOPTS in /etc/default/haproxy), and restart it"
}

# haproxy_reload: the master starts itself anew. Without a master (not started with -W or -Ws), only its service can.
haproxy_reload() {
  case $(tr '\0' ' ' <"/proc/${haproxy##* }/cmdline") in
  *' -W'*) kill -s USR2 "${haproxy##* }" ;;
  *) systemctl reload haproxy ;;
  esac
}

# haproxy_tidy: removes the maps of earlier texts.
haproxy_tidy() {
  for other in "$ours/$route".????????????????.map; do
    case $other in "$ours/$route.$digest.map") ;; *) rm -f -- "$other" ;; esac
  done
}
""")
