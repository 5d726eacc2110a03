# How the fragments of a probe are run: each in a subshell, none can hang, break or end the others. `f0`, `f1`, … are given.
tick_seconds=5

fragment() { # $1: number, $2: ticks after which it is ended
  ticks=0
  "f$1" </dev/null &
  job=$!
  while :; do
    ticked=
    wait "$job"
    status=$?
    # A tick interrupts `wait` with a status above 128; only then is it asked again.
    if [ -z "$ticked" ]; then break; fi
    ticks=$((ticks + 1))
    if [ "$ticks" -ge "$2" ]; then end_tree "$job" 1; status=late; break; fi
  done
  mark e "$1" "$status"
}

trap 'ticked=1' USR1
(
  trap 'kill "$pause" 2>/dev/null; exit 0' TERM
  while :; do
    sleep "$tick_seconds" &
    pause=$!
    wait "$pause"
    kill -s USR1 "$$" || exit 0
  done
) </dev/null >/dev/null 2>&1 &
clock=$!
trap 'kill "$clock" 2>/dev/null' EXIT
mark start
