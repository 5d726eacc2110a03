"""Doing something on a host as another of its users: for the units of a user (`services.py`) and for `commands.py`.

The functions stand in probes as well as in steps, so they only read and start what they are given.
"""

from __future__ import annotations

import re
from typing import Annotated, TypeAlias

from pydantic import AfterValidator

from providers.shell import Sh

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")


def _account(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("expected the name of an account: a letter or _, then letters, digits, _, . or -, at most 32 in all")
    return value


AccountName: TypeAlias = Annotated[str, AfterValidator(_account)]
"""A user of the host, by name: a number or an option can never stand here."""

# `setpriv` changes the user without a login session, so a probe leaves no trace in the host's log of logins. busybox has one
# that cannot do that, and then there is `su`.
AS_USER = Sh(r"""
as_user() { # NAME COMMAND...: as NAME, with NAME's own HOME; status 126 or 127 and a message where that is not to be had
  as_name=$1
  shift
  as_uid=$(id -u "$as_name" 2>/dev/null) || { echo "there is no user $as_name on this host" >&2; return 127; }
  as_own=$(id -u)
  if [ "$as_uid" = "$as_own" ]; then "$@"; return; fi
  if [ "$as_own" != 0 ]; then echo "only root can act as $as_name" >&2; return 126; fi
  case $(setpriv --help 2>/dev/null) in
    *--reset-env*)
      setpriv --reuid="$as_name" --regid="$(id -g "$as_name")" --init-groups --reset-env -- env PATH="$PATH" LC_ALL=C "$@" ;;
    *) su -s /bin/sh -c 'exec "$@"' -- "$as_name" sh "$@" ;;
  esac
}
""")
