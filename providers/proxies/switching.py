"""The shell by which a route is set up, switched and taken away. What differs between the proxies is in their own modules.

    proxy_switch SLOT   what the snippet lacks is mended first, then the slot is changed, then it is read back
    proxy_remove        the snippet goes, and the proxy is told

The order is such that a run may be killed anywhere: a snippet that is replaced is kept aside until the proxy has taken the new
one, and a run that finds such a copy knows it for the last one that was good.
"""

from __future__ import annotations

from providers.proxies import caddy, haproxy, nginx, setup
from providers.shell import lines, sh

ASK = lines([setup.ASK, nginx.ASK, caddy.ASK, haproxy.ASK])
"""For probes and for steps."""

_SWITCH = sh(r"""
proxy_fail() { printf '%s\n' "$*" >&2; return 1; }

# proxy_look: sets $loaded (does the running proxy have our text?), $slot (which it gives the traffic to) and $running.
proxy_look() {
  proxy_find
  case $proxy in
  nginx) running=$nginx; nginx_loaded; proxy_file_slot ;;
  caddy) running=$caddy; caddy_loaded; proxy_file_slot ;;
  haproxy) running=$haproxy; haproxy_loaded ;;
  esac
}

# proxy_set SLOT: what the proxy looks at for each request.
proxy_set() {
  case $proxy:$1 in
  haproxy:*) haproxy_set "$1" ;;
  *:green) printf '' >"$ours/$route.green" && chmod 0644 "$ours/$route.green" && sync "$ours" ;;
  *) rm -f -- "$ours/$route.green" && sync "$ours" ;;
  esac
}

# proxy_check: the whole configuration, as it lies on the disk, by the proxy's own word. (caddy: its reload is the check.)
proxy_check() {
  case $proxy in nginx) nginx_check ;; haproxy) haproxy_check ;; esac
}

# proxy_includes: our snippet is part of the configuration that was checked.
proxy_includes() {
  case $proxy in nginx) nginx_includes ;; caddy) caddy_includes ;; haproxy) haproxy_includes ;; esac
}

proxy_reload() {
  case $proxy in nginx) nginx_reload ;; caddy) caddy_reload ;; haproxy) haproxy_reload ;; esac
}

proxy_missing() {
  case $proxy in nginx) nginx_missing ;; caddy) caddy_missing ;; haproxy) haproxy_missing ;; esac
}

# proxy_await: until the running proxy has our text, or ten seconds are over.
proxy_await() {
  tries=0
  while proxy_look; do
    case $loaded in yes | stale) return 0 ;; esac
    tries=$((tries + 1))
    [ "$tries" -le 20 ] || return 1
    sleep 0.5 2>/dev/null || sleep 1
  done
}

# proxy_install: $blob becomes the snippet, whole or not at all; what was there is kept aside until the proxy has taken it.
proxy_install() {
  kept=$ours/$route.kept
  if [ ! -e "$kept" ]; then
    printf '' >"$kept.new" || return
    if [ -e "$snippet" ]; then cp -- "$snippet" "$kept.new" || return; fi
    chmod 0644 "$kept.new" && mv -f -- "$kept.new" "$kept" || return
  fi
  cat "$blob" >"$ours/$route.new" && chmod 0644 "$ours/$route.new" && sync "$ours/$route.new" &&
    mv -f -- "$ours/$route.new" "$snippet" && sync "${snippet%/*}"
}

# proxy_restore: the snippet that the proxy last took is put back, or none where there was none.
proxy_restore() {
  kept=$ours/$route.kept
  if [ -s "$kept" ]; then mv -f -- "$kept" "$snippet"; else rm -f -- "$snippet" "$kept"; fi
  sync "${snippet%/*}"
}

# proxy_configure: the snippet, checked by the proxy itself, and a reload. What is refused does not stay on the disk.
proxy_configure() {
  if ! proxy_install; then proxy_restore; proxy_fail "$snippet could not be written"; return; fi
  if ! proxy_check; then
    proxy_restore
    proxy_fail "$proxy does not accept its configuration (above): nothing was changed, and $proxy runs on as before"
    return
  fi
  if ! proxy_includes; then
    # A snippet that nobody includes yet does no harm, and must be there for whoever wants to include it.
    case $snippet in "$ours"/*) rm -f -- "$ours/$route.kept" ;; *) proxy_restore ;; esac
    proxy_fail "$(proxy_missing)"
    return
  fi
  if proxy_reload && proxy_await; then rm -f -- "$ours/$route.kept"; return; fi
  proxy_restore
  # The master of haproxy waits for a configuration that it can take; systemd believes that caddy is still reloading.
  case $proxy in haproxy) haproxy_reload ;; caddy) caddy_reload ;; esac
  proxy_fail "$proxy did not take its new configuration when it was told to reload, and runs on as before: see its log"
}

# proxy_ready: everything is there without which neither a switch nor a reload makes sense.
proxy_ready() {
  proxy_look
  if [ -z "$running" ]; then proxy_fail "$proxy does not run on this host: nothing serves the site; start it"; return; fi
  for place in "$ours" "${snippet%/*}"; do
    [ -d "$place" ] || { mkdir -- "$place" && chmod 0755 "$place"; } || return
  done
  case $proxy in
  haproxy)
    if [ ! -S "$extra" ]; then
      proxy_fail "haproxy has no stats socket $extra:" \
        "add \"stats socket $extra mode 660 level admin\" to global in $config/haproxy.cfg"
      return
    fi
    haproxy_ask 'show info' >/dev/null
    ;;
  esac
}

# proxy_same: the snippet on the disk is as it should be ($sum).
proxy_same() {
  [ -f "$snippet" ] && found=$(sha256sum <"$snippet") && [ "${found%% *}" = "$sum" ]
}

# proxy_switch SLOT SUM: mends what is not as it should be, gives the traffic to SLOT, and reads it back. $blob is the snippet.
proxy_switch() {
  target=$1 sum=$2
  proxy_ready || return
  was=$slot
  case $loaded in
  unknown) proxy_fail "it cannot be told which configuration $proxy runs with ($extra): nothing was changed"; return ;;
  yes | stale) if proxy_same; then sound=1; else sound=; fi ;;
  *) sound= ;;
  esac
  if [ -z "$sound" ]; then
    case $proxy in
    haproxy) if [ "$loaded" != yes ]; then haproxy_map "${slot:-$target}" || return; fi ;;
    *) if [ "$loaded" = no ]; then proxy_set "$target" || return; fi ;;
    esac
    if ! proxy_configure; then
      case $was in blue | green) proxy_set "$was" ;; esac
      return 1
    fi
  fi
  rm -f -- "$ours/$route.kept"
  if proxy_set "$target" && proxy_look && [ "$loaded:$slot" = "yes:$target" ]; then proxy_tidy; return; fi
  proxy_fail "$proxy was told to give the traffic to $target and says: ${slot:-nothing}"
  case $was in blue | green) proxy_set "$was" ;; esac
  return 1
}

proxy_tidy() {
  case $proxy in nginx) nginx_tidy ;; haproxy) haproxy_tidy ;; esac
  return 0
}

# proxy_back SLOT: gives the traffic back, and reads it back. The snippet is as it is.
proxy_back() {
  proxy_look
  case $loaded in
  no | unknown) proxy_fail "$proxy does not run with this route: nothing is switched back"; return ;;
  esac
  if [ "$loaded:$slot" = "other:$1" ]; then return; fi
  proxy_set "$1" && proxy_look && [ "$slot" = "$1" ] || proxy_fail "$proxy could not be switched back to $1"
}

# proxy_remove: the snippet goes. Where the proxy's configuration is not right without it, it comes back.
proxy_remove() {
  proxy_look
  kept=$ours/$route.kept
  if [ -e "$snippet" ]; then mv -f -- "$snippet" "$kept" && sync "${snippet%/*}" || return; fi
  if [ -n "$running" ] && [ "$loaded" != no ]; then
    if ! proxy_check; then
      proxy_restore
      proxy_fail "$proxy does not accept its configuration without $snippet (above): it was put back"
      return
    fi
    if ! proxy_reload; then
      proxy_restore
      proxy_fail "$proxy could not be reloaded without $snippet: it was put back"
      return
    fi
    tries=0
    while proxy_look; do
      case $loaded in no) break ;; esac
      tries=$((tries + 1))
      [ "$tries" -le 20 ] || { proxy_fail "$proxy still runs with $snippet after its reload: see its log"; return; }
      sleep 0.5 2>/dev/null || sleep 1
    done
  fi
  rm -f -- "$kept" "$ours/$route.green" "$ours/$route.new" "$ours/$route.map.new" \
    "$ours/$route".????????????????.loaded "$ours/$route".????????????????.map
  rmdir -- "$ours" 2>/dev/null
  return 0
}
""")

LIBRARY = lines([ASK, _SWITCH, nginx.LIBRARY, caddy.LIBRARY, haproxy.LIBRARY])
"""For steps. It needs $blob, the snippet."""
