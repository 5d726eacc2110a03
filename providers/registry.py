"""Every kind of resource there is, by name. The one place to touch when a kind is added.

Read by `desired/` (which section of a manifest belongs to which kind), `state/` (whose probe runs) and `reconciler/` (whose
steps run). The order here is the order in documentation and editor schema; the order of work is `Provider.rank`.
"""

from __future__ import annotations

from typing import Any

from providers.apt import Apt
from providers.base import Provider
from providers.commands import CommandProvider
from providers.cron import CronProvider
from providers.deb import Deb
from providers.directories import DirectoryProvider
from providers.files import FileProvider
from providers.groups import GroupProvider
from providers.releases.kind import ReleaseProvider
from providers.repositories import Repositories
from providers.routes.kind import RouteProvider
from providers.runtimes import RuntimeProvider
from providers.services import ServiceProvider
from providers.slots import SlotProvider
from providers.symlinks import SymlinkProvider
from providers.sysctl import SysctlProvider
from providers.users import UserProvider

PROVIDERS: tuple[Provider[Any, Any], ...] = (
    Apt(),
    Deb(),
    Repositories(),
    ServiceProvider(),
    FileProvider(),
    DirectoryProvider(),
    SymlinkProvider(),
    UserProvider(),
    GroupProvider(),
    CronProvider(),
    SysctlProvider(),
    CommandProvider(),
)
"""Those that a manifest has a section for."""

PROJECT_PROVIDERS: tuple[Provider[Any, Any], ...] = (
    ReleaseProvider(),
    RuntimeProvider(),
    SlotProvider(),
    RouteProvider(),
)
"""Those that a deployed project consists of; `desired/deploy/expand.py` makes their specs."""


_BEGINNINGS = sorted(
    ((f"{provider.spec.kind}:{provider.spec.prefix}", provider) for provider in (*PROVIDERS, *PROJECT_PROVIDERS)),
    key=lambda pair: len(pair[0]),
    reverse=True,
)


def provider_of(ref: str) -> Provider[Any, Any]:
    """The provider of a reference such as `file:/etc/motd` or `package:apt/nginx`; `KeyError` when no kind has that word.

    Where several kinds share a word (`package:`, `package:apt/`), the longest prefix wins.
    """
    for beginning, provider in _BEGINNINGS:
        if ref.startswith(beginning):
            return provider
    raise KeyError(ref)
