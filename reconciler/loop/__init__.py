"""The loop: follows git, visits every host at its own interval, and hands on what it saw."""
