"""The host's own `docker compose`: starting, waiting until all of it is well, stopping; and how a service's state is worded.

Compose itself decides which containers to make anew: each service carries a label with the digest of everything that it is made
from (`ComposeRunner.services`), so a container changes when, and only when, its inputs or its configuration did.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from providers.runners.models import ComposeRunner
from providers.shell import Sh, assignments, sh

LABEL = "reconciler.inputs"
"""On each container: the digest of what it was made from."""

LIBRARY = sh(r"""
compose_open() {
  if ! command -v docker >/dev/null; then
    path_fail "docker is not installed on this host: declare its package (docker.io on Debian)"
    return
  fi
  if docker compose version >/dev/null 2>&1; then
    compose_tool='docker compose'
  elif command -v docker-compose >/dev/null; then
    compose_tool=docker-compose
  else
    path_fail "docker has no compose on this host: declare its package (docker-compose on Debian)"
    return
  fi
  docker version --format '{{.Server.Version}}' >/dev/null || path_fail "the Docker engine does not answer: is it running?"
}

# compose WORDS…: from the release's folder. Our own settings of language and time must not reach what the file asks for.
compose() (
  cd -P -- "$release" || exit
  unset TZ LANG LC_ALL
  if [ -n "$compose_env" ]; then eval "export $compose_env"; fi
  set -- -f "$project/compose.$which.yaml" "$@"
  if [ -n "$compose_opened" ]; then set -- --env-file "$compose_opened/env" "$@"; fi
  # Where it is told of an .env, or its file lies in a folder, compose does not look for the one at the top. The last one wins.
  if [ -n "$compose_opened$compose_below" ] && [ -e ./.env ]; then set -- --env-file ./.env "$@"; fi
  if [ -n "$compose_below" ] && [ -e "./$compose_below/.env" ]; then set -- --env-file "./$compose_below/.env" "$@"; fi
  eval "set -- $compose_options \"\$@\""
  # shellcheck disable=SC2086 # one word or two
  exec $compose_tool -p "$compose_project" "$@"
)

# compose_unseal FILES: what stays encrypted on the host is opened in memory, for as long as compose reads it.
compose_unseal() {
  compose_opened=''
  if [ -z "$1" ]; then return; fi
  if ! command -v age >/dev/null; then path_fail "age, which is to open secrets, is not installed on this host"; return; fi
  memory=''
  for memory in /run "$XDG_RUNTIME_DIR" /dev/shm; do
    if [ -n "$memory" ] && [ -d "$memory" ] && [ -w "$memory" ]; then break; fi
    memory=''
  done
  if [ -z "$memory" ]; then path_fail "there is no file system in memory here to open secrets in"; return; fi
  read -r random </proc/sys/kernel/random/uuid || return
  compose_opened=$memory/reconciler-${random%"${random#??????}"}
  printf '%s\n' "$compose_opened" >"$litter" && mkdir -m 0700 -- "$compose_opened" || return
  eval "set -- $1"
  while [ "$#" -gt 1 ]; do
    { age -d -i "$2" "$release/$1" && echo; } >>"$compose_opened/env" || { path_fail "$1 cannot be opened with $2"; return; }
    shift 2
  done
}

compose_reseal() {
  if [ -n "$compose_opened" ]; then rm -f -- "$compose_opened/env" && rmdir -- "$compose_opened"; fi
}

# compose_list: a line `SERVICE|STATE|WORD|ID` for each container of the project; WORD is its health, or its exit status.
compose_list() {
  docker ps -a --no-trunc --filter "label=com.docker.compose.project=$compose_project" \
    --filter label=com.docker.compose.oneoff=False --format '{{.Label "com.docker.compose.service"}}|{{.State}}|{{
      $parts := split .Status "("}}{{if gt (len $parts) 1}}{{index (split (index $parts 1) ")") 0}}{{end}}|{{.ID}}'
}

# compose_each COMMAND STATE SERVICE…: docker's COMMAND on their containers in this state or health (`any`: in all states).
compose_each() {
  verb=$1 state=$2
  shift 2
  listed=$(compose_list) || return
  while IFS='|' read -r service found word container; do
    case " $* " in *" $service "*) ;; *) continue ;; esac
    # shellcheck disable=SC2086 # a command and its option
    case $state in any | "$found" | "$word") docker $verb "$container" >/dev/null || return ;; esac
  done <<LISTED
$listed
LISTED
}

# compose_judge SERVICE…: sets $verdict to ready, waiting or failed, and $why and $culprit (a container) where it has failed.
compose_judge() {
  listed=$(compose_list) || return
  verdict=ready missing=" $* "
  while IFS='|' read -r service found word container; do
    case " $* " in *" $service "*) ;; *) continue ;; esac
    missing=${missing%%" $service "*}" "${missing#*" $service "}
    case $found.$word in
      running. | running.healthy) continue ;;
      running.health:* | created.*) verdict=waiting why="$service: still $found $word"; continue ;;
      restarting.*) restarts=$((restarts + 1)); if [ "$restarts" -lt 10 ]; then verdict=waiting; continue; fi ;;
      exited.0) case " $compose_once " in *" $service "*) continue ;; esac ;;
    esac
    verdict=failed why="$service: $found${word:+ ($word)}" culprit=$container
    return
  done <<LISTED
$listed
LISTED
  case $missing in *[!\ ]*) verdict=failed culprit='' why="no container was made for$missing" ;; esac
}

# compose_wait SERVICE…: until all of them are well, and still are a moment later.
compose_wait() {
  calm=0 restarts=0
  until [ "$calm" -ge 3 ]; do
    compose_judge "$@" || return
    case $verdict in
      ready) calm=$((calm + 1)) ;;
      waiting) calm=0 ;;
      failed)
        if [ -n "$culprit" ]; then docker logs --tail 50 "$culprit"; fi
        path_fail "$why"
        return ;;
    esac
    if [ "$(date +%s)" -ge "$compose_until" ]; then path_fail "after $compose_timeout seconds: $why"; return; fi
    if [ "$calm" -lt 3 ]; then sleep 1; fi
  done
}

# compose_write: the file with the labels, which compose merges last.
compose_write() { compose_open && printf '%s\n' "$compose_override" | project_note "compose.$which.yaml"; }

# compose_build: makes the images, and touches nothing that runs.
compose_build() {
  compose_write || return
  if [ -z "$compose_built" ]; then return; fi
  fresh=''
  if [ "$compose_pull" = always ]; then fresh=--pull; fi
  compose_unseal "$compose_sealed" || return
  # shellcheck disable=SC2086 # lists of names
  compose build $fresh -- $compose_built
  built=$?
  compose_reseal
  return "$built"
}

# compose_start [again | built]: with "built", the images were made by a step before.
compose_start() {
  compose_until=$(($(date +%s) + compose_timeout))
  if [ -n "$1" ]; then compose_write; else compose_build; fi || return
  compose_unseal "$compose_sealed" || return
  compose_up "$1"
  started=$?
  compose_reseal
  [ "$started" = 0 ] || return "$started"
  # shellcheck disable=SC2086 # a list of names
  compose_wait $compose_services
}

# compose_up [again]: what a slot needs besides is only started where it is missing, as the other slot uses it too.
compose_up() {
  # shellcheck disable=SC2086 # lists of names
  {
    compose_each unpause paused $compose_services && compose_each restart unhealthy $compose_services || return
    if [ -n "$compose_needs" ]; then
      compose up -d --no-recreate -- $compose_needs && compose_wait $compose_needs || return
    fi
    case $1 in again) set -- --no-recreate ;; *) set -- ;; esac
    if [ "$compose_alone" = 1 ]; then set -- "$@" --remove-orphans; else set -- "$@" --no-deps; fi
    case $compose_pull in always | never) set -- "$@" --pull "$compose_pull" ;; esac
    # Alone, these are made anew without all that depends on them and has not changed.
    outdated=''
    if [ "$compose_alone" = 1 ] && [ "$1" != --no-recreate ]; then compose_outdated || return; fi
    if [ -n "$outdated" ]; then
      compose up -d "$@" -- $outdated || return
    fi
    compose up -d "$@" -- $compose_services
  }
}

# compose_outdated: sets $outdated to the services with containers that are made from something else, where all others run.
compose_outdated() {
  outdated='' running=''
  listed=$(docker ps -a --filter "label=com.docker.compose.project=$compose_project" \
    --filter label=com.docker.compose.oneoff=False \
    --format '{{.Label "com.docker.compose.service"}}|{{.State}}|{{.Label "reconciler.inputs"}}') || return
  while IFS='|' read -r service found made; do
    case " $compose_inputs " in
      *" $service=$made "*) if [ "$found" = running ]; then running="$running $service"; fi ;;
      *" $service="*) outdated="$outdated $service" running="$running $service" ;;
    esac
  done <<LISTED
$listed
LISTED
  for service in $compose_services; do
    case " $running $compose_once " in *" $service "*) ;; *) outdated='' ;; esac
  done
}

# compose_stop [remove]: volumes with names hold data, and stay in any case. The files need not be there any more.
compose_stop() {
  compose_open || return
  verb=stop
  if [ "$1" = remove ]; then verb='rm -f'; fi
  if [ "$compose_alone" != 1 ]; then
    # shellcheck disable=SC2086 # a list of names
    compose_each "$verb" any $compose_services
    return
  fi
  if [ "$1" = remove ]; then verb='down --remove-orphans'; fi
  # shellcheck disable=SC2086 # one word or two
  (cd -P -- "$project" && $compose_tool -p "$compose_project" $verb)
}

# compose_given: the variables of its containers, as NAME=VALUE.
compose_given() {
  listed=$(compose_list) || return
  while IFS='|' read -r service _ _ container; do
    case " $compose_services " in *" $service "*) ;; *) continue ;; esac
    docker inspect --format '{{range .Config.Env}}{{println .}}{{end}}' "$container" || return
  done <<LISTED
$listed
LISTED
}
""")


def how(runner: ComposeRunner) -> Sh:
    """What `runner_read` of `shared.py` is to find."""
    options = [word for file in runner.files for word in ("-f", f"./{file}")]
    options += [word for profile in runner.profiles for word in ("--profile", profile)]
    sealed = [word for pair in sorted(runner.sealed.items()) for word in pair]
    return sh(
        """runner=compose
compose_project=@project@ compose_below=@below@ compose_alone=@alone@ compose_pull=@pull@ compose_timeout=@timeout@
compose_services=@services@
compose_inputs=@inputs@
compose_needs=@needs@
compose_built=@built@
compose_once=@once@
compose_options=@options@
compose_env=@env@
compose_sealed=@sealed@
compose_override=@override@""",
        project=runner.project,
        below=runner.files[0].rpartition("/")[0],
        alone=int(runner.alone),
        pull=runner.pull,
        timeout=runner.timeout,
        services=" ".join(sorted(runner.services)),
        inputs=" ".join(f"{name}={digest}" for name, digest in sorted(runner.services.items())),
        needs=" ".join(runner.depends),
        built=" ".join(runner.built),
        once=" ".join(runner.once),
        options=sh("@words@", words=options).text,
        env=assignments(runner.env).text,
        sealed=sh("@words@", words=sealed).text,
        override=override(runner),
    )


def override(runner: ComposeRunner) -> str:
    """The last file that compose merges, as JSON, which is YAML too: the labels alone."""
    services = {name: {"labels": {LABEL: digest}} for name, digest in sorted(runner.services.items())}
    return json.dumps({"services": services})


def word(containers: Sequence[tuple[str, str, str]], *, once: bool, count: int = 1, inputs: str | None = None) -> str:
    """A service in one word: `up`, or what is wrong. A container is its state, its health or exit status, and its label."""
    if not containers:
        return "missing" if count else "up"
    for state, detail, _ in containers:
        running = state == "running" and detail in ("", "healthy", "health: starting")
        if running or (once and state == "exited" and detail == "0"):
            continue
        if state == "running":
            return detail
        return f"{state} ({detail})" if detail and state != "paused" else state
    if count >= 0 and len(containers) != count:
        return f"{len(containers)} of {count}"
    if inputs is not None and any(label != inputs for _, _, label in containers):
        return OUTDATED
    return "up"


OUTDATED = "made from something else"
"""The word for a container whose inputs are not the wanted ones."""
