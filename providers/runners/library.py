"""The shell that steps of `runtime` and `slot` are sent with: what runners share, each runner, and what the two kinds do."""

from __future__ import annotations

from providers.runners import command, compose, shared, systemd
from providers.shell import lines, sh

_RUNTIME = sh(r"""
# runtime_build PLACE
runtime_build() { runner_read "$blob" && runner_place "$1" && compose_build; }

# runtime_start PLACE TREE LINK NAME VALUE…: from now until it is settled, what is noted is what ran before.
runtime_start() {
  noted=''
  if [ -e "$project/runtime" ]; then read -r noted _ <"$project/runtime" || :; fi
  if [ -n "$noted" ]; then
    runner_noted runtime || echo "so it is not stopped by its own way"
    runner_leave "$project/how.runtime" "$blob" || return
    if [ "$noted" != "$2" ]; then
      if [ -e "$project/how.runtime" ]; then project_note how.before <"$project/how.runtime" || return; fi
      mv -f -- "$project/runtime" "$project/before" || return
    fi
  fi
  printf '%s\n' "$2" | project_note trying && runner_read "$blob" && runner_place "$1" || return
  if [ "$3" = 1 ]; then runner_link current || return; fi
  shift 3
  runner_start built && runner_expect "$@"
}

# runtime_settle PLACE TREE: it runs, and has passed its smoke tests.
runtime_settle() {
  runner_read "$blob" && runner_place "$1" && project_mark good "$2" && runner_note runtime "$2" &&
    runner_forget before how.before trying
}

# runtime_again: as it was started last.
runtime_again() { runner_read "$project/how.runtime" && runner_noted runtime && runner_start again; }

runtime_restart() {
  if [ -e "$project/how.runtime" ]; then runner_read "$project/how.runtime"; else runner_read "$blob"; fi && runner_start ''
}

# runtime_rescue TREE: it failed. What ran before it runs again, and it is not tried any more. Where the engine is away, nothing
# can run, and nothing is to blame: the next run tries again, and still knows what ran before.
runtime_rescue() {
  if [ ! -e "$project/trying" ]; then echo "nothing that runs was changed"; return; fi
  runner_read "$blob" || return
  if [ "$runner" = compose ] && ! compose_open; then return 1; fi
  project_mark quarantine "$1" "failed on $(date -u '+%Y-%m-%d at %H:%M') UTC" && project_unmark good "$1" || return
  runtime_back "$1"
}

# runtime_back TREE
runtime_back() {
  if [ ! -e "$project/before" ]; then
    runner_forget runtime how.runtime trying
    echo "there is no earlier release to go back to: it is left as it is"
    return
  fi
  runner_place "$1" && runner_leave "$blob" "$project/how.before" || return
  runner_noted before && runner_read "$project/how.before" && runner_link current && runner_start '' &&
    project_note how.runtime <"$project/how.before" && mv -f -- "$project/before" "$project/runtime" &&
    runner_forget how.before trying
}

# runtime_remove LINK
runtime_remove() {
  how=$blob
  if [ -e "$project/how.runtime" ]; then how=$project/how.runtime; fi
  runner_read "$how" || return
  if [ "$runner" = command ]; then runner_noted runtime || return; fi
  runner_stop remove || return
  if [ "$1" = 1 ] && [ -L "$home/current" ]; then path_enter "$home/current" && path_remove || return; fi
  runner_forget runtime how.runtime before how.before trying compose.runtime.yaml
}
""")

_SLOT = sh(r"""
# slot_start TREE NAME VALUE…: until it has started, nothing is noted of what the slot has.
slot_start() {
  if [ -e "$project/slot.$which" ]; then
    runner_noted "slot.$which" || echo "so it is not stopped by its own way"
    runner_leave "$project/how.$which" "$blob" || return
  fi
  wanted=$1
  shift
  rm -f -- "$project/slot.$which" && sync "$project" && runner_read "$blob" && runner_release "$wanted" &&
    runner_link "slots/$which" && runner_start '' && runner_expect "$@" && runner_note "slot.$which" "$wanted"
}

# slot_again: with what it has.
slot_again() {
  runner_read "$project/how.$which" && runner_noted "slot.$which" && runner_link "slots/$which" && runner_start again
}

# slot_how: how the slot was started, or else how it would be.
slot_how() { if [ -e "$project/how.$which" ]; then runner_read "$project/how.$which"; else runner_read "$blob"; fi; }

# slot_stop: the release stays in it, and can be started at once.
slot_stop() { slot_how && runner_noted "slot.$which" && runner_stop ''; }

slot_remove() {
  slot_how || return
  if [ "$runner" = command ]; then runner_noted "slot.$which" || return; fi
  other=green
  if [ "$which" = green ]; then other=blue; fi
  # The last of the two takes along what both have used.
  if [ ! -e "$project/how.$other" ]; then compose_alone=1; fi
  runner_stop remove || return
  if [ -L "$home/slots/$which" ]; then path_enter "$home/slots/$which" && path_remove && rmdir -- "$home/slots" 2>/dev/null; fi
  runner_forget "slot.$which" "how.$which" "compose.$which.yaml"
}
""")

_RUNNERS = lines([shared.LIBRARY, compose.LIBRARY, systemd.LIBRARY, command.LIBRARY])
RUNTIME = lines([_RUNNERS, _RUNTIME])
SLOT = lines([_RUNNERS, _SLOT])
