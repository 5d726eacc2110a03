"""Packages from a file of the fleet repository: the file is read here, and must be what the manifest says."""

from __future__ import annotations

import contextlib
import gzip
import io
import lzma
import tarfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from providers.base import Change, Facts
from providers.deb import Deb, DebSpec
from providers.debfile import Control, NotReadable, read_control
from providers.dpkg import PackageState

DEB = Deb()
CONTROL = "Package: agent\nVersion: 2.1-1\nArchitecture: all\nDescription: x\n Version: 9\n"


def archive(control: str = CONTROL, name: str = "./control") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = len(control.encode())
        tar.addfile(entry, io.BytesIO(control.encode()))
    return out.getvalue()


def deb(member: str = "control.tar.gz", content: bytes | None = None) -> bytes:
    out = b"!<arch>\n"
    for name, body in (
        ("debian-binary", b"2.0\n"),
        (member, gzip.compress(archive()) if content is None else content),
        ("data.tar", b"x"),
    ):
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(body):<10}`\n".encode() + body + b"\n" * (len(body) % 2)
    return out


def spec(body: bytes | None = None, **fields: Any) -> DebSpec:
    made = DebSpec(**({"name": "agent", "source": "files/agent.deb"} | fields))
    return made if body is None else made.with_body(body)


@pytest.mark.parametrize(
    ("member", "content"),
    [
        ("control.tar.gz", gzip.compress(archive())),
        ("control.tar.xz", lzma.compress(archive())),
        ("control.tar", archive()),
        ("control.tar/", archive(name="control")),
    ],
)
def test_a_deb_says_its_name_and_version_however_it_is_packed(member: str, content: bytes) -> None:
    assert read_control(deb(member, content)) == Control("agent", "2.1-1", "all")


def test_the_wanted_version_comes_from_the_file() -> None:
    assert DEB.want(spec(deb())) == PackageState(status="installed", version="2.1-1", manual=True)


def test_a_file_packed_with_zstd_needs_its_version_said() -> None:
    packed = deb("control.tar.zst", b"(\xb5/\xfd")
    with pytest.raises(ValueError, match="packed with zstd, which cannot be looked into here: give its version"):
        spec(packed)
    assert spec(packed, version="2.1-1").wanted_version == "2.1-1"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "other"}, "files/agent.deb has package agent, not other"),
        ({"version": "3.0"}, "files/agent.deb has version 2.1-1, not 3.0"),
        ({"name": "agent:i386"}, "files/agent.deb has architecture all, not i386"),
    ],
)
def test_a_file_that_is_not_what_the_manifest_says_is_refused(fields: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        spec(deb(), **fields)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "it is no Debian package"),
        (b"PK\x03\x04", "it is no Debian package"),
        (deb()[:100], "it is cut off|it is damaged|no control archive"),
        (deb("control.tar.gz", b"not gzip"), "its control archive is damaged"),
        (deb("control.tar.xz", b"not xz"), "its control archive is damaged"),
        (deb("control.tar.lzma", b""), "packed in an unknown way"),
        (deb("control.tar", archive(name="other")), "there is no control file in it"),
        (deb("control.tar", archive("Package: x\n")), "lacks Package, Version or Architecture"),
        (deb("data.tar.gz"), "there is no control archive in it"),
    ],
)
def test_a_file_that_is_no_package_is_told_as_such(body: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        spec(body)


@given(st.binary(max_size=400), st.integers(0, 300), st.sampled_from(["control.tar.gz", "control.tar.xz", "control.tar"]))
def test_no_file_breaks_the_reader(noise: bytes, place: int, member: str) -> None:
    good = deb(member, archive() if member == "control.tar" else gzip.compress(archive()))
    for body in (noise, b"!<arch>\n" + noise, deb(member, noise), good[:place] + noise + good[place + len(noise) :]):
        with contextlib.suppress(NotReadable):
            assert isinstance(read_control(body), (Control, type(None)))


def test_a_bomb_is_not_unpacked() -> None:
    with pytest.raises(NotReadable):
        read_control(deb("control.tar.gz", gzip.compress(bytes(64 << 20))))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"source": None}, "source must be given"),
        ({"version": "2.*"}, "is a pattern; a file has one version"),
    ],
)
def test_an_incomplete_manifest_is_explained(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        spec(**fields)


def test_what_the_inventory_remembers_can_be_pruned_without_the_file() -> None:
    pruned = DebSpec.model_validate({"name": "agent", **spec(deb()).record(), "ensure": "absent"})
    (step,) = DEB.steps([Change(pruned, PackageState(status="installed"), DEB.want(pruned), frozenset())], Facts())
    assert step.run.text == "apt_begin '' agent ''\napt_alone remove agent '' || return"


def test_the_file_travels_as_the_content_of_its_step() -> None:
    wanted = spec(deb(), hold=True)
    (step,) = DEB.steps([Change(wanted, None, DEB.want(wanted), frozenset())], Facts())
    assert step.blob == deb()
    assert step.title == "install agent 2.1-1"
    assert "apt_file install agent 2.1-1 || return\napt_mark hold agent || return" in step.run.text


@given(st.binary(max_size=300))
def test_no_answer_breaks_the_parser(out: bytes) -> None:
    assert set(DEB.parse(out, [spec()])) == {"agent"}
