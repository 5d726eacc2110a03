"""The proxies: what a project's file may say about them, and the text that each then gets on a host."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from providers.proxies.models import Proxy
from providers.proxies.setup import Setup
from providers.routes.kind import RouteSpec

WEB = ("nginx", "caddy", "haproxy")


def proxy(**fields: Any) -> Proxy:
    return Proxy.model_validate(fields)


def complaint(**fields: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        proxy(**fields)
    return "; ".join(error["msg"] for error in caught.value.errors())


def setup(kind: str, name: str = "shop", *, blue: int = 8081, green: int = 8082, **fields: Any) -> Setup:
    ports = {"blue": blue, "green": green}
    spec = RouteSpec.model_validate({"name": name, "path": "/srv/shop", "ports": ports, "proxy": {kind: fields}})
    assert spec.setup is not None
    return spec.setup


def test_exactly_one_proxy_is_said() -> None:
    site = {"site": "site.lan"}
    assert "exactly one proxy" in complaint()
    assert "exactly one proxy" in complaint(nginx=site, caddy=site)
    assert proxy(nginx=site).site_name == "site.lan"


@pytest.mark.parametrize("kind", WEB)
def test_either_a_site_is_written_or_ones_own_uses_the_slots(kind: str) -> None:
    assert "say either site" in complaint(**{kind: {}})
    assert "say either site" in complaint(**{kind: {"site": "site.lan", "upstream": "shop"}})
    assert "host goes with upstream" in complaint(**{kind: {"site": "site.lan", "host": "site.lan"}})
    assert proxy(**{kind: {"upstream": "shop", "host": "site.lan"}}).site_name == "site.lan"


@pytest.mark.parametrize("kind", WEB)
def test_an_unknown_field_is_refused(kind: str) -> None:
    assert "Extra inputs" in complaint(**{kind: {"site": "site.lan", "sites": 1}})


@pytest.mark.parametrize("kind", ["nginx", "haproxy"])
def test_a_certificate_makes_a_site_secure_and_tls_speaks_of_ones_own(kind: str) -> None:
    files = {"certificate": "/etc/ssl/site.pem"} | ({"key": "/etc/ssl/site.key"} if kind == "nginx" else {})
    secure = proxy(**{kind: {"site": "site.lan", **files}}).chosen
    assert (secure.secure, secure.port) == (True, 443)
    assert "tls goes with upstream" in complaint(**{kind: {"site": "site.lan", "tls": True}})
    assert "certificate goes with site" in complaint(**{kind: {"upstream": "shop", **files}})


def test_nginx_needs_the_key_with_the_certificate() -> None:
    assert "belong together" in complaint(nginx={"site": "site.lan", "certificate": "/etc/ssl/site.pem"})


def test_the_port_follows_from_tls_where_it_is_not_said() -> None:
    assert proxy(caddy={"site": "site.lan"}).chosen.port == 80
    assert proxy(caddy={"site": "site.lan", "tls": True}).chosen.port == 443
    assert proxy(caddy={"site": "site.lan", "tls": True, "listen": 8443}).chosen.port == 8443


def test_a_command_proxy_needs_both_commands_and_the_port_of_the_site() -> None:
    assert complaint(command={"switch": "s", "read": "r"}) == "Field required"
    assert proxy(command={"switch": "s", "read": "r", "listen": 443, "tls": True}).chosen.secure


@pytest.mark.parametrize("name", ["a b", "a;b", "-a", "a{", "a\nb", "a$b", "", 'a"b', "ä.lan", "a#"])
def test_a_site_has_a_plain_name(name: str) -> None:
    assert complaint(nginx={"site": name})


@pytest.mark.parametrize("path", ["etc", "/etc/../x", "/etc/ngi nx", "/etc/$x", "/etc/a;b", "/", "/a//b", "/etc/.."])
def test_a_folder_is_a_plain_absolute_path(path: str) -> None:
    assert "absolute path" in complaint(nginx={"site": "site.lan", "config": path})


@given(st.text())
def test_whatever_is_accepted_as_a_name_has_nothing_in_it_that_a_configuration_could_misread(text: str) -> None:
    try:
        accepted = proxy(nginx={"site": text}).site_name
    except ValidationError:
        return
    assert accepted is not None
    assert re.fullmatch(r"[A-Za-z0-9.-]+", accepted, re.ASCII)


@pytest.mark.parametrize("kind", WEB)
def test_the_digest_stands_in_the_text_and_changes_with_it(kind: str) -> None:
    one, other, moved = setup(kind, site="a.lan"), setup(kind, site="b.lan"), setup(kind, site="a.lan", green=9000)
    assert one.digest in one.text
    assert len({one.digest, setup(kind, upstream="shop").digest, moved.digest}) == 3
    assert (one.digest == other.digest) == (kind == "haproxy")  # its frontend serves any name
    assert setup(kind, site="a.lan") == one


@pytest.mark.parametrize("kind", WEB)
@pytest.mark.parametrize("fields", [{"site": "a.lan"}, {"upstream": "shop"}, {"site": "a.lan", "listen": 8090}])
def test_no_placeholder_is_left_in_a_text(kind: str, fields: dict[str, Any]) -> None:
    assert not re.findall(r"<[a-z]+>", setup(kind, name="a.b-c_d", **fields).text)


def test_nginx_looks_for_the_file_at_each_request() -> None:
    made = setup("nginx", upstream="shop")
    assert made.snippet == "/etc/nginx/reconciler/shop.conf"
    assert made.text == (
        "# Written by reconcile for route:shop. What is changed here is undone.\n"
        "open_file_cache off;\n"
        "set $shop 127.0.0.1:8081;\n"
        "if (-f /etc/nginx/reconciler/shop.green) { set $shop 127.0.0.1:8082; }\n"
        f"location = /reconciler-{made.digest} {{ internal;"
        f" access_log /etc/nginx/reconciler/shop.{made.digest}.loaded; return 404; }}\n"
    )


def test_a_site_of_nginx_goes_to_conf_d_and_passes_on_who_asked() -> None:
    made = setup("nginx", site="site.lan", listen=8090)
    assert made.snippet == "/etc/nginx/conf.d/reconciler-shop.conf"
    for line in ("listen 8090;", "listen [::]:8090;", "server_name site.lan;", "proxy_http_version 1.1;"):
        assert f"\t{line}\n" in made.text
    for header in ("Host", "X-Forwarded-For", "X-Forwarded-Proto", "Upgrade", "Connection"):
        assert f"\t\tproxy_set_header {header} $" in made.text


def test_a_site_of_nginx_can_leave_ipv6_out_and_have_a_certificate() -> None:
    files: dict[str, Any] = {"certificate": "/etc/ssl/a.pem", "key": "/etc/ssl/a.key"}
    text = setup("nginx", site="site.lan", ipv6=False, **files).text
    assert "\tlisten 443 ssl;\n\tssl_certificate /etc/ssl/a.pem;\n\tssl_certificate_key /etc/ssl/a.key;\n" in text
    assert "[::]" not in text


def test_a_variable_of_nginx_can_be_made_of_any_name_of_a_project() -> None:
    variables = {re.search(r"set \$(\w+) ", setup("nginx", name=name, site="a.lan").text) for name in ("a.b", "a-b", "a_b")}
    assert len({match[1] for match in variables if match}) == 3


def test_caddy_looks_for_the_file_at_each_request() -> None:
    made = setup("caddy", upstream="shop", config="/opt/caddy")
    assert made.snippet == "/opt/caddy/reconciler/shop.routes"
    assert made.text == (
        "# Written by reconcile for route:shop. What is changed here is undone.\n"
        f"vars reconciler.shop {made.digest}\n"
        "@reconciler_green file {\n\troot /opt/caddy/reconciler\n\ttry_files /shop.green\n}\n"
        "handle @reconciler_green {\n\treverse_proxy 127.0.0.1:8082\n}\n"
        "handle {\n\treverse_proxy 127.0.0.1:8081\n}\n"
    )


@pytest.mark.parametrize(("tls", "address"), [(False, "http://site.lan:80 {"), (True, "https://site.lan:443 {")])
def test_a_site_of_caddy_has_tls_where_it_is_asked_for(tls: bool, address: str) -> None:
    made = setup("caddy", site="site.lan", tls=tls)
    assert made.snippet.endswith("/reconciler/shop.caddy")
    assert address in made.text.splitlines()


def test_haproxy_looks_into_its_map_at_each_request() -> None:
    made = setup("haproxy", upstream="front")
    assert made.snippet == "/etc/haproxy/conf.d/reconciler-shop.cfg"
    assert made.port is None
    assert "\nbackend front\n" in made.text
    assert "frontend" not in made.text
    rule = f"use-server green if {{ str(shop),map_str(/etc/haproxy/reconciler/shop.{made.digest}.map,blue) -m str green }}"
    assert f"\t{rule}\n" in made.text


def test_a_site_of_haproxy_has_a_frontend_and_takes_its_port_for_itself() -> None:
    made = setup("haproxy", site="site.lan", certificate="/etc/ssl/a.pem")
    assert made.port == 443
    assert "\tbind :::443 v4v6 ssl crt /etc/ssl/a.pem\n" in made.text
    assert "\tbind :80\n" in setup("haproxy", site="site.lan", ipv6=False).text
