"""A systemd unit of the project's own. Its file is an ordinary `file:` resource; here it is started, watched and stopped."""

from __future__ import annotations

from providers.runners.models import SystemdRunner
from providers.shell import Sh, sh

LIBRARY = sh(r"""
# systemd_tell: what systemd and the unit itself have to say.
systemd_tell() {
  systemctl status --no-pager --full --lines=50 -- "$unit" || :
  path_fail "$1"
}

# systemd_start [again]: (re)starts the unit, and waits until it runs and still does a moment later.
systemd_start() {
  if [ ! -d /run/systemd/system ]; then path_fail "this host is not run by systemd"; return; fi
  if [ "$(systemctl show --property=NeedDaemonReload --value -- "$unit")" != no ] ||
    [ "$(systemctl show --property=LoadState --value -- "$unit")" = not-found ]; then systemctl daemon-reload || return; fi
  if [ "$unit_enabled" = 1 ]; then systemctl enable -- "$unit" || return; fi
  verb=restart
  if [ "$1" = again ]; then verb=start; fi
  systemctl reset-failed -- "$unit" 2>/dev/null
  systemctl "$verb" -- "$unit" || { systemd_tell "$unit does not start"; return; }
  seen=0 tries=0
  while [ "$seen" -lt 3 ]; do
    state=$(systemctl show --property=ActiveState,SubState,Type,Result -- "$unit") || return
    case $newline$state$newline in
      *"${newline}ActiveState=active$newline"*) seen=$((seen + 1)) ;;
      *"${newline}ActiveState=failed$newline"*) systemd_tell "$unit failed"; return ;;
      *"${newline}ActiveState=activating$newline"* | *"${newline}ActiveState=reloading$newline"*) seen=0 ;;
      *"${newline}ActiveState=inactive$newline"*)
        case $newline$state$newline in
          *"${newline}Type=oneshot$newline"*) ;;
          *) systemd_tell "$unit stopped right after it was started"; return ;;
        esac
        case $newline$state$newline in *"${newline}Result=success$newline"*) return 0 ;; esac
        systemd_tell "$unit failed"
        return ;;
    esac
    tries=$((tries + 1))
    [ "$tries" -lt "$unit_timeout" ] || { systemd_tell "$unit does not run after $tries seconds"; return; }
    sleep 1
  done
}

# systemd_stop [remove]: stops the unit; for good, it does not start at boot either. A unit that is gone needs neither.
systemd_stop() {
  if [ "$(systemctl show --property=LoadState --value -- "$unit")" = not-found ]; then
    case $(systemctl show --property=ActiveState --value -- "$unit") in inactive | failed) return ;; esac
  fi
  systemctl stop -- "$unit" || return
  if [ "$1" = remove ] && [ "$unit_enabled" = 1 ]; then systemctl disable -- "$unit" || return; fi
}
""")


def how(runner: SystemdRunner) -> Sh:
    """What `runner_read` of `shared.py` is to find."""
    return sh(
        "runner=systemd\nunit=@unit@\nunit_enabled=@enabled@\nunit_timeout=@timeout@",
        unit=runner.unit,
        enabled=int(runner.enabled),
        timeout=runner.timeout,
    )
