"""The shell of the kind `route`: what is asked about it, and the steps around the switch itself (`providers/proxies/`).

Between the steps of one run lies `trial` in the project's folder (`providers/project_shell.py`), so that what puts things right
knows how far the run came: `STAGE TARGET TREE ID BACK PASSED`.

    STAGE   own: the slot is tested on its own port · switch: the traffic is being moved · proxy: it is tested through the proxy
    BACK    the slot to go back to, which has passed its tests and had the traffic; - where there is none
    PASSED  yes: this very release has passed in this slot before, so a failure is not its fault

`proxied` holds the digest of the proxy's snippet with which the tests through the proxy were passed.
"""

from __future__ import annotations

from providers import project_shell
from providers.proxies import command, switching
from providers.shell import lines, sh

ASK = lines(
    [
        project_shell.ASK,
        switching.ASK,
        command.ASK,
        sh(r"""
# route_memory INDEX PROJECT: what the host remembers of it.
route_memory() {
  for slot in blue green; do
    printf '%s %s ' "$1" "$slot" && project_line "$2" "slot.$slot"
    tree=${line%% *}
    if [ -n "$tree" ] && project_marked "$2" good "$tree"; then printf '%s good %s\n' "$1" "$slot"; fi
  done
  printf '%s route ' "$1" && project_line "$2" route
  printf '%s proxied ' "$1" && project_line "$2" proxied
  if [ -e "$folder/projects/$2/quarantine" ]; then
    while read -r line; do printf '%s bad %s\n' "$1" "$line"; done <"$folder/projects/$2/quarantine"
  fi
}

# route_soak INDEX PROJECT SECONDS: says so when the slot that does not have the traffic has been warm for so long, and what
# failed in it lies as far back. Only builtins: the caller has set $now.
route_soak() {
  slot='' since=''
  if [ -r "$folder/projects/$2/route" ]; then read -r slot since _ <"$folder/projects/$2/route"; fi
  case $slot in blue) held=green ;; green) held=blue ;; *) return 0 ;; esac
  route_past "$since" "$3" || return 0
  tree=
  if [ -r "$folder/projects/$2/slot.$held" ]; then read -r tree _ <"$folder/projects/$2/slot.$held"; fi
  if [ -n "$tree" ] && [ -r "$folder/projects/$2/quarantine" ]; then
    while read -r bad since _; do
      if [ "$bad" = "$tree" ] && route_time "$since" && ! route_past "$since" "$3"; then return 0; fi
    done <"$folder/projects/$2/quarantine"
  fi
  printf '%s soaked\n' "$1"
}

# route_time TEXT: whether it is a number of seconds that every shell can reckon with.
route_time() {
  case $1 in '' | *[!0-9]* | 0?* | ????????????*) return 1 ;; esac
}

# route_past EPOCH SECONDS: whether so many have passed since.
route_past() {
  route_time "$1" && route_time "$now" && [ $((now - $1)) -ge "$2" ]
}

# route_proxy INDEX: what the proxy is like. Two of its answers need its own words.
route_proxy() {
  case $proxy in
  nginx) running=$nginx; nginx_loaded; proxy_file_slot ;;
  caddy) running=$caddy; caddy_loaded; proxy_file_slot ;;
  haproxy) running=$haproxy; haproxy_loaded ;;
  esac
  there=no
  if [ -e "$snippet" ]; then there=yes; fi
  alive=no
  if [ -n "$running" ]; then alive=yes; fi
  printf '%s proxy %s %s %s %s\n' "$1" "$there" "$alive" "$loaded" "${slot:--}"
}

# route_command INDEX BLUE GREEN COMMAND: what the owner's command prints; what is no slot and no port travels as base64.
route_command() {
  if ! command_read "$4" 2>/dev/null; then printf '%s mute\n' "$1"; return; fi
  case $said in
  blue | green | none | "$2" | "$3") printf '%s said %s\n' "$1" "$said" ;;
  *) printf '%s strange %s\n' "$1" "$(printf '%s' "$said" | head -c 200 | base64 | tr -d '\n')" ;;
  esac
}

# route_sums FILE…: the SHA-256 of each that is there.
route_sums() {
  for file; do
    shift
    if [ -f "$file" ]; then set -- "$@" "$file"; fi
  done
  if [ "$#" -gt 0 ]; then sha256sum -- "$@"; fi
}
"""),
    ]
)

LIBRARY = lines(
    [
        project_shell.LIBRARY,
        project_shell.ASK,
        switching.LIBRARY,
        command.ASK,
        command.LIBRARY,
        sh(r"""
# route_slot SLOT: sets $tree and $id to the release that the slot was last started with; empty where there is none.
route_slot() {
  tree='' id=''
  if [ -r "$project/slot.$1" ]; then read -r tree id _ <"$project/slot.$1"; fi
  case $id in */* | . | ..) tree='' id='' ;; esac
}

# route_begin PROJECT SLOT: notes what is tried, and where it could go back to.
route_begin() {
  project_open "$1" || return
  rm -f -- "$project/trial" || return
  was='' back=- passed=no
  if [ -r "$project/route" ]; then read -r was _ <"$project/route"; fi
  case $was in
  "$2") ;;
  blue | green)
    route_slot "$was"
    if [ -n "$tree" ] && project_marked "$1" good "$tree" && ! project_marked "$1" quarantine "$tree"; then back=$was; fi
    ;;
  esac
  route_slot "$2"
  if [ -z "$id" ]; then proxy_fail "slot $2 was not started with a release yet: it cannot have the traffic"; return; fi
  if [ "$was" = "$2" ] && project_marked "$1" good "$tree"; then passed=yes; fi
  printf '%s %s %s %s %s %s\n' own "$2" "$tree" "$id" "$back" "$passed" | project_note trial
}

# route_trial PROJECT: sets $reached and the rest from the note.
route_trial() {
  project_open "$1" || return
  reached='' target='' tree='' id='' back='' passed=''
  if [ -r "$project/trial" ]; then read -r reached target tree id back passed <"$project/trial"; fi
  [ -n "$passed" ] || proxy_fail "no switch of $1 is under way: nothing was changed"
}

# route_reach STAGE
route_reach() {
  printf '%s %s %s %s %s %s\n' "$1" "$target" "$tree" "$id" "$back" "$passed" | project_note trial
}

# route_quarantine REQUEST WHERE: the release is not tried again for this request, and is never gone back to.
route_quarantine() {
  bad=$tree
  project_mark quarantine "$bad" "$1 $id $2" && project_unmark good "$bad" || return
  printf 'release %s is quarantined: it is not tried again until the file of the project changes\n' "$id"
}

# route_innocent SLOT: nothing can answer there, whatever the release: the engine that runs its containers is away.
route_innocent() {
  grep -qx 'runner=compose' "$project/how.$1" 2>/dev/null || return 1
  limit=
  if command -v timeout >/dev/null; then limit='timeout 12'; fi
  # shellcheck disable=SC2086 # a command and its number, or nothing
  if $limit docker version --format '{{.Server.Version}}' >/dev/null 2>&1; then return 1; fi
  proxy_fail "the Docker engine does not answer: release $id is not to blame, and is tried again"
  return 0
}

# route_failed PROJECT REQUEST: the test on the slot's own port failed; the traffic was never moved.
route_failed() {
  route_trial "$1" || return
  if [ "$passed" = yes ]; then proxy_fail "release $id has passed before: it is not quarantined"; return; fi
  if route_innocent "$target"; then return 1; fi
  route_quarantine "$2" "own $target" && rm -f -- "$project/trial"
}

# route_give SLOT: back to it, whatever the proxy.
route_give() {
  case $proxy:$1 in
  command:blue) command_switch blue "$blue" "$switch" "$read" ;;
  command:*) command_switch green "$green" "$switch" "$read" ;;
  *) proxy_back "$1" ;;
  esac
}

# route_rescue PROJECT REQUEST: what had the traffic before gets it back. A release that failed is quarantined; where the switch
# itself failed, or the engine is away, the release is not to blame. Fails where nothing can be given back.
route_rescue() {
  route_trial "$1" || return
  if [ "$passed" = yes ]; then
    proxy_fail "release $id has passed before and keeps the traffic: look at the proxy and its settings"
    return
  fi
  if [ "$back" != - ] && ! route_give "$back"; then return 1; fi
  if [ "$reached" = proxy ] && ! route_innocent "$target"; then route_quarantine "$2" proxy || return; fi
  rm -f -- "$project/trial"
  if [ "$back" = - ]; then
    proxy_fail "there is no slot to go back to that has passed its tests: the traffic stays where it is"
    return
  fi
  printf 'slot %s has the traffic\n' "$back"
}

# route_settle PROJECT SLOT PATH DIGEST FOLDER: what has the traffic has passed. `route` is noted last: until then, all is
# repeated.
route_settle() {
  route_trial "$1" && [ "$reached:$target" = "proxy:$2" ] || { proxy_fail "the switch to $2 is not what was tested"; return; }
  good=$tree
  route_slot "$2"
  [ "$tree" = "$good" ] || { proxy_fail "slot $2 was started with another release meanwhile: it was not tested"; return; }
  route_current "$3" "$5" || return
  project_mark good "$good" "$id" && project_unmark quarantine "$good" || return
  printf '%s\n' "$4" | project_note proxied || return
  since='' was=''
  if [ -r "$project/route" ]; then read -r was since _ <"$project/route"; fi
  if [ "$was" != "$2" ]; then since=; fi
  printf '%s %s\n' "$2" "${since:-$(date +%s)}" | project_note route && rm -f -- "$project/trial"
}

# route_current PATH FOLDER: the link PATH/current leads to FOLDER of the release $id. It is made aside, in a folder that is
# ours alone, and moved into its place by one rename; naming the folder, not the link, keeps mv from following the link that
# stands there.
route_current() {
  cd -P -- "$1" || return
  if [ ! -d "./releases/$id" ]; then proxy_fail "$1/releases/$id is gone"; return; fi
  if [ "$(readlink ./current)" = "releases/$id${2:+/$2}" ]; then return; fi
  aside=./.current.reconciler
  if [ -d "$aside" ] && [ ! -L "$aside" ]; then rm -f -- "$aside/current"; rmdir -- "$aside"; fi
  mkdir -m 0700 -- "$aside" && ln -s -- "releases/$id${2:+/$2}" "$aside/current" || return
  mv -f -- "$aside/current" . && rmdir -- "$aside" && sync .
}

# route_forget PROJECT: the route is gone. What is known of the releases stays.
route_forget() {
  project_open "$1" && rm -f -- "$project/route" "$project/trial" "$project/proxied"
}
"""),
    ]
)
