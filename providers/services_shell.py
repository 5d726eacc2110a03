"""The shell of the kind `service` (`services.py`): one function that asks, and three that act, for the system and for users.

It stands apart only to keep both files readable. Everything is constant text; units, users and wishes arrive as arguments.
"""

from __future__ import annotations

from providers.account import AS_USER
from providers.shell import Sh, lines

# Where we remember which one-shot units we have run since the host was booted (since the user's manager was started): once
# such a unit has ended well, systemd forgets that it ever ran, unless another loaded unit refers to it.
PROBE = lines(
    [
        AS_USER,
        Sh(r"""
service_ran() { # FOLDER: the units that are remembered in it
  for mark in "$1"/*; do
    if [ -e "$mark" ]; then printf 'ran %s\n' "${mark##*/}"; fi
  done
}
service_sysv() { # UNIT...: those that a script of the old kind starts at boot; systemd calls them "generated" in any case
  seen=' '
  for script in /etc/rc[2-5].d/S*; do
    script=${script##*/S??}.service
    case $seen in *" $script "*) continue ;; esac
    seen="$seen$script "
    case " $* " in *" $script "*) printf 'sysv %s\n' "$script" ;; esac
  done
}
service_system() { # NUMBER UNIT...
  number=$1
  shift
  if [ ! -d /run/systemd/system ] || ! command -v systemctl >/dev/null; then printf 'scope %s none\n' "$number"; return; fi
  printf 'scope %s alive\n' "$number"
  service_ran /run/reconciler/oneshot
  service_sysv "$@"
  systemctl show --property="$properties" -- "$@"
  printf '\nend %s %s\n' "$number" "$?"
}
service_user() { # NUMBER USER UNIT...
  number=$1 user=$2
  shift 2
  if [ ! -d /run/systemd/system ] || ! command -v systemctl >/dev/null; then printf 'scope %s none\n' "$number"; return; fi
  uid=$(id -u "$user" 2>/dev/null) || { printf 'scope %s nobody\nend %s 0\n' "$number" "$number"; return; }
  runtime=/run/user/$uid
  lingers=no
  if [ -e "/var/lib/systemd/linger/$user" ]; then lingers=yes; fi
  if [ -d "$runtime" ] && [ ! -x "$runtime" ]; then printf 'scope %s closed\n' "$number"; return; fi
  if [ ! -S "$runtime/systemd/private" ]; then printf 'scope %s dead %s\nend %s 0\n' "$number" "$lingers" "$number"; return; fi
  printf 'scope %s alive %s\n' "$number" "$lingers"
  service_ran "$runtime/reconciler/oneshot"
  limit=
  if command -v timeout >/dev/null; then limit='timeout 8'; fi
  # shellcheck disable=SC2086 # a command and its number, or nothing
  as_user "$user" $limit env XDG_RUNTIME_DIR="$runtime" systemctl --user show --property="$properties" -- "$@"
  service_status=$?
  # A manager that was stopped leaves its socket behind.
  if [ "$service_status" != 0 ]; then
    printf '\nmanager %s\n' "$(systemctl show --property=ActiveState --value "user@$uid.service")"
  fi
  printf '\nend %s %s\n' "$number" "$service_status"
}
properties=Names,LoadState,ActiveState,SubState,UnitFileState,NeedDaemonReload
properties=$properties,Type,RemainAfterExit,Result,ConditionTimestampMonotonic
"""),
    ]
)

STEPS = lines(
    [
        AS_USER,
        Sh(r"""
service_ctl() { # systemctl, of the system or of service_user
  if [ -z "$service_user" ]; then systemctl --no-pager "$@"; return; fi
  as_user "$service_user" env XDG_RUNTIME_DIR="/run/user/$service_uid" systemctl --user --no-pager "$@"
}
service_fail() { # MESSAGE
  printf '%s\n' "$1"
  return 1
}
service_open() { # UNIT USER UP: UP is yes when the unit is to run or to be enabled, so that its manager must be there
  service_unit=$1 service_user=$2
  service_marks=/run/reconciler/oneshot
  if [ ! -d /run/systemd/system ]; then service_fail "this host is not run by systemd"; return; fi
  if [ -z "$service_user" ]; then return; fi
  service_uid=$(id -u "$service_user") || return
  service_marks=/run/user/$service_uid/reconciler/oneshot
  if [ "$3" = yes ] && [ ! -e "/var/lib/systemd/linger/$service_user" ]; then
    loginctl enable-linger -- "$service_user" || return
  fi
  if systemctl --quiet is-active "user@$service_uid.service"; then return; fi
  if [ "$(id -u)" = 0 ]; then
    systemctl start "user@$service_uid.service" && return
    systemctl status --no-pager --full --lines=20 "user@$service_uid.service"
    service_fail "the service manager of $service_user does not start"
    return
  fi
  # As the user itself we cannot start the manager; lingering does, and it takes a moment.
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    sleep 1
    if systemctl --quiet is-active "user@$service_uid.service"; then return; fi
  done
  service_fail "the service manager of $service_user does not run"
}
service_look() { # what the manager says of the unit
  service_answer=$(service_ctl show --property=Id,LoadState,ActiveState,SubState,UnitFileState,NeedDaemonReload \
    --property=Type,RemainAfterExit,Result,ConditionTimestampMonotonic -- "$service_unit") || return
  service_type='' service_remains='' service_tried=''
  while IFS='=' read -r key value; do
    case $key in
      Id) service_id=$value ;;
      LoadState) service_load=$value ;;
      ActiveState) service_active=$value ;;
      SubState) service_sub=$value ;;
      UnitFileState) service_file=$value ;;
      NeedDaemonReload) service_stale=$value ;;
      Type) service_type=$value ;;
      RemainAfterExit) service_remains=$value ;;
      Result) service_result=$value ;;
      ConditionTimestampMonotonic) service_tried=${value#0} ;;
    esac
  done <<ANSWER
$service_answer
ANSWER
}
service_read() { # the same, after the manager has read its files again where that is due
  service_look || return
  service_reread=no
  if [ "$service_stale" = yes ] || [ "$service_load" = not-found ]; then
    service_reread=$service_stale
    service_ctl daemon-reload && service_look
  fi
}
service_is_up() {
  case $service_active.$service_sub in
    activating.auto-restart*) return 1 ;;
    active.* | reloading.* | refreshing.* | activating.*) return 0 ;;
  esac
  return 1
}
service_rests() { # a one-shot unit that is not at work and did not fail
  [ "$service_type.$service_remains" = oneshot.no ] && [ "$service_active.$service_result" = inactive.success ]
}
service_done() { # ... and has been run since boot
  service_rests && { [ -n "$service_tried" ] || [ -e "$service_marks/$service_unit" ]; }
}
service_remember() { # that the one-shot unit was run
  if [ -z "$service_user" ]; then
    mkdir -p "$service_marks" && : >"$service_marks/$service_unit"
  else
    # shellcheck disable=SC2016 # for the inner shell
    as_user "$service_user" sh -c 'mkdir -p "$1" && : >"$1/$2"' sh "$service_marks" "$service_unit"
  fi
}
service_act() { # VERB: start, restart, ...; succeeds when the unit runs afterwards
  if [ "$service_active" = failed ]; then service_ctl reset-failed -- "$service_id"; fi
  if ! service_ctl "$1" -- "$service_id"; then
    service_ctl status --full --lines=20 -- "$service_id"
    service_fail "$service_id: $1 failed"
    return
  fi
  # These count as started before their program has done anything.
  case $service_type in simple | exec | idle) sleep 0.2 2>/dev/null || sleep 1 ;; esac
  service_look || return
  if service_rests; then service_remember; return; fi
  if service_is_up; then return; fi
  service_ctl status --full --lines=20 -- "$service_id"
  service_fail "$service_id does not run after $1: it ended at once, or a condition in its unit is not met"
}
service_is_enabled() {
  case $service_file in
    enabled) return 0 ;;
    generated)
      for script in /etc/rc[2-5].d/S??"${service_id%.service}"; do
        if [ -e "$script" ]; then return 0; fi
      done ;;
  esac
  return 1
}
service_enable() {
  if service_is_enabled; then return; fi
  service_ctl enable -- "$service_id" || return
  service_read || return
  if service_is_enabled; then return; fi
  service_fail "$service_id cannot be enabled: systemd calls it \"$service_file\", for want of an [Install] section of its own"
}
service_disable() {
  if service_is_enabled; then service_ctl disable -- "$service_id" && service_read || return; fi
  if [ "$service_file" = enabled-runtime ]; then service_ctl disable --runtime -- "$service_id" && service_read || return; fi
  if service_is_enabled; then service_fail "$service_id is still enabled"; fi
}
service_unmask() {
  file=/etc/systemd/system/$service_unit
  if [ "$service_file" = masked ] && [ -f "$file" ] && [ ! -L "$file" ]; then # `unmask` would remove it
    service_fail "$file is empty, which masks the unit: give it a content, or remove it"
    return
  fi
  if [ "$service_file" = masked ]; then service_ctl unmask -- "$service_unit" && service_read || return; fi
  if [ "$service_file" = masked-runtime ]; then service_ctl unmask --runtime -- "$service_unit" && service_read; fi
}
service_stop() {
  case $service_active in inactive | failed) return ;; esac
  service_ctl stop -- "$service_id" && service_look || return
  case $service_active in
    active | reloading | refreshing | activating) service_fail "$service_id runs again: something else starts it" ;;
  esac
}
service_ensure() { # UNIT USER RUNNING ENABLED MASKED: each of the last three is yes, no or keep; RUNNING can be `again`, too:
  # it was at rest when it was looked at, so if something (its package, perhaps) has started it since, what it follows was not
  # in its place yet.
  case $3.$4 in again.* | *yes*) up=yes ;; *) up=no ;; esac
  service_open "$1" "$2" "$up" && service_read || return
  if [ "$5" = no ]; then service_unmask || return; fi
  if [ "$service_load.$up" = not-found.yes ]; then
    service_fail "there is no unit $service_unit on this host: which package or file brings it?"
    return
  fi
  if [ "$4" = yes ]; then service_enable || return; fi
  verb=start
  if service_is_up || service_done; then verb=; fi
  # A unit between two restarts would make `start` wait for its turn.
  case $3.$verb.$service_sub in again..* | *.start.auto-restart*) verb=restart ;; esac
  case $3 in
    yes | again) if [ -n "$verb" ]; then service_act "$verb" || return; fi ;;
    no) service_stop || return ;;
  esac
  if [ "$4" = no ]; then service_disable || return; fi
  if [ "$5" = yes ] && [ "$service_file" != masked ]; then service_ctl mask -- "$service_unit"; fi
}
service_refresh() { # UNIT USER VERB UP: VERB is restart or reload; UP is yes when it is to run in any case, or keep
  service_open "$1" "$2" "$4" && service_read || return
  if [ "$4" = keep ] && ! service_is_up; then echo "$service_unit does not run, so nothing is to $3"; return; fi
  verb=$3
  if [ "$3" = reload ]; then verb=reload-or-restart; fi
  # A reload does not reach what the unit file itself says.
  if [ "$service_reread" = yes ]; then verb=restart; fi
  service_act "$verb"
}
"""),
    ]
)
