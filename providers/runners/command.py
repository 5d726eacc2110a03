"""Commands of the project's own: what its file says is run by sh, in the release's folder."""

from __future__ import annotations

from providers.runners.models import CommandRunner
from providers.shell import Sh, assignments, sh

LIBRARY = sh(r"""
# command_run TEXT: in the release's folder, with the variables. It is code by intent, from the project's file.
command_run() (
  cd -P -- "$release" || exit
  RELEASE=$release
  export RELEASE
  if [ -n "$command_env" ]; then eval "export $command_env"; fi
  unset TZ
  umask 022
  exec /bin/sh -c "$1"
)
""")


def how(runner: CommandRunner) -> Sh:
    """What `runner_read` of `shared.py` is to find."""
    return sh(
        "runner=command\ncommand_start=@start@\ncommand_stop=@stop@\ncommand_status=@status@\ncommand_env=@env@",
        start=runner.start,
        stop=runner.stop or "",
        status=runner.status or "",
        env=assignments(runner.env).text,
    )
