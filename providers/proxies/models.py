"""What a project's file may say under `proxy:`, as models: exactly one kind of proxy, and how it reaches the slots.

Read by `desired/project.py`, which validates with them, and a field of `RouteSpec`. How each proxy is asked and switched is in
the module of its name.
"""

from __future__ import annotations

import re
from typing import Annotated, Self, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from providers.model import Line, Model

_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", re.ASCII)
_PLAIN_PATH = re.compile(r"(/[A-Za-z0-9_+-][A-Za-z0-9._+-]*)+", re.ASCII)
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}", re.ASCII)


def _host_name(value: str) -> str:
    if not _HOST_NAME.fullmatch(value):
        raise ValueError("expected a host name, as in site.lan")
    return value


def _plain_path(value: str) -> str:
    if not _PLAIN_PATH.fullmatch(value):
        raise ValueError("expected an absolute path of letters, digits, dots, dashes, underscores and plus signs")
    return value


def _word(value: str) -> str:
    if not _WORD.fullmatch(value):
        raise ValueError("expected a word of letters, digits and underscores that begins with a letter, as in shop")
    return value


Port: TypeAlias = Annotated[int, Field(ge=1, le=65535)]
HostName: TypeAlias = Annotated[Line, AfterValidator(_host_name)]
"""Plain enough for every proxy's configuration."""
PlainPath: TypeAlias = Annotated[Line, AfterValidator(_plain_path)]
"""Of characters that mean the same in shell, in nginx, in a Caddyfile and in haproxy.cfg."""
Word: TypeAlias = Annotated[Line, AfterValidator(_word)]


class WebProxy(Model):
    """What nginx, caddy and haproxy have in common."""

    site: Annotated[
        HostName | None,
        Field(description="Name of a site that only leads to the slots: it is written whole", examples=["site.lan"]),
    ] = None
    upstream: Annotated[
        Word | None,
        Field(description="Your own site uses the slots by this name: only a snippet for it is written", examples=["shop"]),
    ] = None
    host: Annotated[
        HostName | None, Field(description="With upstream: name of your site, for the smoke tests through the proxy")
    ] = None
    listen: Annotated[
        Port | None,
        Field(description="Port of the site; with upstream: of yours. Default: 80, or 443 with TLS", examples=[8080]),
    ] = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.site is None) == (self.upstream is None):
            raise ValueError("say either site (it is written for you) or upstream (your own site uses it)")
        if self.host is not None and self.site is not None:
            raise ValueError("host goes with upstream: site already is the name")
        return self

    @property
    def secure(self) -> bool:
        """Whether the site is asked with TLS."""
        return False

    @property
    def port(self) -> int:
        """Where the proxy answers for this site."""
        return self.listen or (443 if self.secure else 80)


class Certificate(WebProxy):
    """A proxy that is told where the certificate lies."""

    tls: Annotated[bool, Field(description="With upstream: your site is asked with TLS")] = False
    certificate: Annotated[
        PlainPath | None, Field(description="With site: certificate chain on the host; the site is then served with TLS alone")
    ] = None

    ipv6: Annotated[bool, Field(description="With site: false where the host's kernel has no IPv6")] = True

    @property
    def secure(self) -> bool:
        return self.tls or self.certificate is not None

    @model_validator(mode="after")
    def _tls(self) -> Self:
        if self.tls and self.site is not None:
            raise ValueError("tls goes with upstream: for a site, give its certificate")
        if self.certificate is not None and self.site is None:
            raise ValueError("certificate goes with site: with upstream, your own site has it")
        return self


class NginxProxy(Certificate):
    """nginx: the slot is chosen for each request by a file, so a switch takes no reload."""

    key: Annotated[PlainPath | None, Field(description="Private key of the certificate, on the host")] = None
    config: Annotated[PlainPath, Field(description="nginx's own folder; the site goes to conf.d in it")] = "/etc/nginx"

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together")
        return self


class CaddyProxy(WebProxy):
    """caddy: the slot is chosen for each request by a file, so a switch takes no reload."""

    tls: Annotated[
        bool, Field(description="true: caddy gets a certificate for the site (with upstream: your site is asked with TLS)")
    ] = False
    config: Annotated[PlainPath, Field(description="Folder of the Caddyfile, which imports reconciler/*.caddy")] = "/etc/caddy"
    autosave: Annotated[PlainPath, Field(description="Where caddy saves the configuration that it runs with")] = (
        "/var/lib/caddy/.config/caddy/autosave.json"
    )

    @property
    def secure(self) -> bool:
        return self.tls


class HaproxyProxy(Certificate):
    """haproxy: the slot is chosen for each request by a map that is changed over the stats socket, without a reload."""

    config: Annotated[
        PlainPath, Field(description="haproxy's own folder; haproxy must be started with -f and conf.d in it, too")
    ] = "/etc/haproxy"
    socket: Annotated[PlainPath, Field(description="Stats socket with level admin")] = "/run/haproxy/admin.sock"


class CommandProxy(Model):
    """Any other proxy: a command that switches, and a command that tells."""

    switch: Annotated[
        Line,
        Field(
            min_length=1,
            description="Shell command that gives the traffic to SLOT, which answers on PORT (both in the environment)",
            examples=["/usr/local/bin/dsm-proxy site $PORT"],
        ),
    ]
    read: Annotated[
        Line,
        Field(
            min_length=1,
            description="Shell command that prints the slot that has the traffic, or its port, as the proxy itself says",
            examples=["/usr/local/bin/dsm-proxy site"],
        ),
    ]
    listen: Annotated[Port, Field(description="Port of the site, for the smoke tests through the proxy", examples=[443])]
    tls: Annotated[bool, Field(description="The site is asked with TLS")] = False
    host: Annotated[HostName | None, Field(description="Name of the site, for the smoke tests through the proxy")] = None
    timeout: Annotated[int, Field(ge=1, le=600, description="Seconds that a switch may take")] = 60

    @property
    def secure(self) -> bool:
        return self.tls

    @property
    def port(self) -> int:
        return self.listen


AnyProxy: TypeAlias = NginxProxy | CaddyProxy | HaproxyProxy | CommandProxy


class Proxy(Model):
    """Who gives the traffic to a slot: exactly one of them."""

    nginx: Annotated[NginxProxy | None, Field(description="nginx")] = None
    caddy: Annotated[CaddyProxy | None, Field(description="caddy")] = None
    haproxy: Annotated[HaproxyProxy | None, Field(description="haproxy")] = None
    command: Annotated[CommandProxy | None, Field(description="Any other, by two commands of your own")] = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if len(self.given) != 1:
            raise ValueError("say exactly one proxy: caddy, nginx, haproxy or command")
        return self

    @property
    def given(self) -> tuple[AnyProxy, ...]:
        return tuple(proxy for proxy in (self.nginx, self.caddy, self.haproxy, self.command) if proxy is not None)

    @property
    def chosen(self) -> AnyProxy:
        return self.given[0]

    @property
    def site_name(self) -> str | None:
        """Name in the Host header of a question through the proxy."""
        proxy = self.chosen
        return proxy.host if isinstance(proxy, CommandProxy) else proxy.site or proxy.host
