"""Who may have touched a host: the sessions and the package runs that it tells of, read once when drift is first seen.

Asked by the loop only then, because it costs a script of its own. Hints for a person, never a ground for anything that is done.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the host says; every text is the host's own and hostile."""

    sessions: tuple[str, ...] = ()
    """Who is or was logged in of late, newest first: "ada from 10.0.0.7 (pts/0), since 14:02"."""
    packages: tuple[str, ...] = ()
    """Package runs of late, newest first: "14:05 upgrade openssh-server 1:9.2p1-2 → 1:9.2p1-3"."""
    changed: tuple[tuple[str, str], ...] = ()
    """Reference → when its file was changed and by whom it is owned, as far as the host tells."""
