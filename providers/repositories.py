"""Repositories of apt: a deb822 `.sources` file and, beside it, the signing key from the fleet repository.

Whether an apt step must renew its lists is found out there (`apt_shell.py`), by comparing with what the last update saw; so
a crash between the two steps loses nothing, and a repository that is down never blocks the packages of the others. A field
that stands in the file and not in our spec, such as `Trusted`, counts as drift.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from providers.base import Answer, Change, Facts, Line, Provider, Seq, Spec, State, Step, Unknown
from providers.shell import Sh, sh

_ARMOR = b"-----BEGIN PGP PUBLIC KEY BLOCK-----"
_LONGEST = 200
_SHOWN_LINES, _SHOWN_WIDTH = 8, 120
_FIELDS = {
    "enabled": "Enabled",
    "types": "Types",
    "uris": "URIs",
    "suites": "Suites",
    "components": "Components",
    "architectures": "Architectures",
    "signed_by": "Signed-By",
}
"""Our field → deb822's, in the order in which they are written."""
_LISTS = ("types", "uris", "suites", "components", "architectures")
_NO = {"no", "false", "without", "off", "disable", "0"}
_AS_IT_SHOULD_BE = {"644 0 0 regular file", "644 0 0 regular empty file"}
_OURS = {theirs.lower(): ours for ours, theirs in _FIELDS.items()}


def _name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]*", value) or len(value) > 64:
        raise ValueError(f'"{value}" is no name for a repository: expected letters, digits, "_" and "-", at most 64')
    return value


def _uri(value: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9+.-]*:[!-~]+", value):
        raise ValueError(f'"{value}" is no address of a repository: expected one as in https://packages.example.org/debian')
    return value


def _word(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9./][A-Za-z0-9._/+~:-]*", value):
        raise ValueError(f'"{value}" cannot stand here: expected letters, digits, "." "_" "/" "+" "~" ":" and "-"')
    return value


def _absolute(value: str) -> str:
    if not re.fullmatch(r"/[A-Za-z0-9._/+-]+", value) or ".." in value:
        raise ValueError(f'"{value}" is no path of a key on the host: expected one as in /usr/share/keyrings/x.gpg')
    return value


Word: TypeAlias = Annotated[Line, AfterValidator(_word)]
Sorted: TypeAlias = tuple[str, ...]


class RepositorySpec(Spec):
    kind: ClassVar[str] = "repository"
    blobs: ClassVar[str | None] = "key"

    name: Annotated[str, AfterValidator(_name)]
    uris: Annotated[
        Seq[Annotated[Line, AfterValidator(_uri)]],
        Field(description="Where it is", examples=[["https://packages.example.org/debian"]]),
    ] = ()
    suites: Annotated[
        Seq[Word], Field(description="Suites; one that ends in / is a flat repository", examples=[["trixie", "trixie-updates"]])
    ] = ()
    components: Annotated[Seq[Word], Field(description="Components; none for a flat repository", examples=[["main"]])] = ()
    types: Annotated[Seq[Literal["deb", "deb-src"]], Field(description="Binary packages, source packages, or both")] = ("deb",)
    architectures: Annotated[Seq[Word], Field(description="Only these; default: those of the host", examples=[["amd64"]])] = ()
    key: Annotated[
        Line | None,
        Field(description="Signing key in the fleet repository, armored or binary", examples=["files/keys/docker.asc"]),
    ] = None
    signed_by: Annotated[
        Annotated[Line, AfterValidator(_absolute)] | None,
        Field(description="Instead of `key`: a key on the host", examples=["/usr/share/keyrings/debian-archive-keyring.gpg"]),
    ] = None
    enabled: Annotated[bool, Field(description="false: apt does not look at it")] = True

    @model_validator(mode="before")
    @classmethod
    def _no_blind_trust(cls, data: Any) -> Any:
        if isinstance(data, dict) and (found := sorted({"trusted", "allow_insecure", "allow-insecure"} & data.keys())):
            raise ValueError(
                f"{found[0]} is refused: anybody on the way could replace packages; give the repository's key instead"
            )
        return data

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not self.present:
            return self
        missing = [field for field in ("uris", "suites", "types") if not getattr(self, field)]
        if missing:
            raise ValueError(f"{' and '.join(missing)} must be given")
        if (self.key is None) == (self.signed_by is None):
            raise ValueError(
                "give either key (a file in this repository) or signed_by (a file on the host), so that apt can check it"
            )
        flat = {suite.endswith("/") for suite in self.suites}
        if flat == {True, False}:
            raise ValueError("a suite that ends in / and one that does not cannot stand in one repository: write two")
        if flat == {True} and self.components:
            raise ValueError("a flat repository (its suite ends in /) has no components")
        if flat == {False} and not self.components:
            raise ValueError("components must be given, as in [main]; only a suite that ends in / has none")
        return self

    def with_body(self, body: bytes) -> Self:
        if is_key(body):
            return super().with_body(body)
        raise ValueError(f"{self.key} is no OpenPGP public key")


class RepositoryState(State):
    enabled: bool | None = None
    types: Sorted | None = None
    uris: Sorted | None = None
    suites: Sorted | None = None
    components: Sorted | None = None
    architectures: Sorted | None = None
    signed_by: str | None = None
    key: str | None = None
    """Digest of the key's file."""
    others: Sorted | None = None
    """What else stands in the file: unknown fields, a second entry."""
    modes: Sorted | None = None
    """How the files lie there, where that is not as it should be: type, owner, permissions."""


def is_key(body: bytes) -> bool:
    """Armored, or the first packet of the binary form is a public key (tag 6), in the old or the new notation."""
    return body.lstrip().startswith(_ARMOR) or (len(body) > 2 and (body[0] & 0xFC == 0x98 or body[0] == 0xC6))


def sources_path(spec: RepositorySpec) -> str:
    return f"/etc/apt/sources.list.d/{spec.name}.sources"


def key_paths(spec: RepositorySpec) -> tuple[str, str]:
    """Where a key of ours may lie: armored, binary. apt tells the two forms apart by the file's ending."""
    return f"/etc/apt/keyrings/{spec.name}.asc", f"/etc/apt/keyrings/{spec.name}.gpg"


def _files(spec: RepositorySpec) -> tuple[str, str, str]:
    return sources_path(spec), *key_paths(spec)


def signed_by(spec: RepositorySpec) -> str:
    if spec.signed_by is not None:
        return spec.signed_by
    armored, binary = key_paths(spec)
    return armored if spec.body is None or spec.body.lstrip().startswith(_ARMOR) else binary


def deb822(spec: RepositorySpec) -> str:
    """The text of the `.sources` file."""
    values = {
        "enabled": "yes" if spec.enabled else "no",
        "types": " ".join(spec.types),
        "uris": " ".join(spec.uris),
        "suites": " ".join(spec.suites),
        "components": " ".join(spec.components),
        "architectures": " ".join(spec.architectures),
        "signed_by": signed_by(spec),
    }
    lines = [f"{_FIELDS[field]}: {value}" for field, value in values.items() if value]
    return "# Written by reconciler; edits are undone.\n" + "\n".join(lines) + "\n"


def read_deb822(lines: Iterable[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Our fields of the first entry, and whatever else stands in the file."""
    fields: dict[str, str] = {}
    others: list[str] = []
    ended, current = False, ""
    for line in lines:
        if line.startswith("#"):
            continue
        if not line.strip():
            ended, current = bool(fields), ""
            continue
        field, colon, value = line.partition(":")
        ours = _OURS.get(field.strip().lower(), "")
        if line[0] in " \t" and current:
            fields[current] += f" {line.strip()}"
        elif colon and ours and not ended and ours not in fields:
            current, fields[ours] = ours, value.strip()
        else:
            current = ""
            others.append(line.strip()[:_SHOWN_WIDTH])
    return fields, tuple(others[:_SHOWN_LINES])


class Repositories(Provider[RepositorySpec, RepositoryState]):
    name = "repository"
    section = "repositories"
    rank = 30
    tools = ("apt-get",)
    spec = RepositorySpec
    state = RepositoryState

    def probe(self, specs: Sequence[RepositorySpec]) -> Sh:
        files = [path for spec in specs for path in _files(spec)]
        return sh(
            r"""set -- @files@
present=
index=0
for file in "$@"; do
  if [ -e "$file" ] || [ -L "$file" ]; then present=yes; fi
  if [ "$((index % 3))" = 0 ] && [ -f "$file" ]; then
    count=0
    while IFS= read -r line || [ -n "$line" ]; do
      printf '= %s %s\n' "$((index / 3))" "$line"
      count=$((count + 1))
      if [ "$count" -gt @longest@ ]; then break; fi
    done <"$file" || exit
  fi
  index=$((index + 1))
done
if [ -n "$present" ]; then
  stat -c 'stat %a %u %g %F:%n' -- "$@" # their status only says that not all of them are there
  if [ "$?" -gt 1 ]; then exit 1; fi
  sha256sum -- "$@"
  if [ "$?" -gt 1 ]; then exit 1; fi
fi
index=0
for file in "$@"; do
  if [ -e "$file" ] || [ -L "$file" ]; then echo "there $index"; else echo "not $index"; fi
  index=$((index + 1))
done
echo end""",
            files=files,
            longest=_LONGEST,
        )

    def parse(self, out: bytes, specs: Sequence[RepositorySpec]) -> Mapping[str, Answer[RepositoryState]]:
        lines = out.decode("utf-8", "backslashreplace").split("\n")
        if lines[-2:] != ["end", ""]:
            return {spec.name: Unknown("the answer about repositories was cut off") for spec in specs}
        return {spec.name: _read(lines, index, spec) for index, spec in enumerate(specs)}

    def want(self, spec: RepositorySpec) -> RepositoryState | None:
        if not spec.present:
            return None
        return RepositoryState(
            enabled=spec.enabled,
            types=tuple(sorted(spec.types)),
            uris=tuple(sorted(spec.uris)),
            suites=tuple(sorted(spec.suites)),
            components=tuple(sorted(spec.components)),
            architectures=tuple(sorted(spec.architectures)),
            signed_by=signed_by(spec),
            key=_digest(spec.body),
            others=(),
            modes=(),
        )

    def steps(self, changes: Sequence[Change[RepositorySpec, RepositoryState]], facts: Facts) -> Iterable[Step]:
        for change in changes:
            yield _remove(change.spec) if change.action == "delete" else _write(change.spec, change.action)

    def path(self, spec: RepositorySpec) -> str | None:
        return sources_path(spec)


def _digest(body: bytes | None) -> str | None:
    return None if body is None else f"sha256:{hashlib.sha256(body).hexdigest()[:16]}"


def _read(lines: Sequence[str], index: int, spec: RepositorySpec) -> Answer[RepositoryState]:
    files = _files(spec)
    there = [f"there {index * 3 + offset}" in lines for offset in range(3)]
    absent = [f"not {index * 3 + offset}" in lines for offset in range(3)]
    if any(first == second for first, second in zip(there, absent, strict=True)):
        return Unknown("the answer about repositories is not readable")
    if not any(there if spec.key and not spec.present else there[:1]):  # a key alone is no repository, but goes with it
        return None
    stats = {
        path: word
        for word, _, path in (line.removeprefix("stat ").partition(":") for line in lines if line.startswith("stat "))
    }
    digests = {
        path: digest for digest, _, path in (line.partition("  ") for line in lines) if re.fullmatch(r"[0-9a-f]{64}", digest)
    }
    if unread := [path for path in files if "regular" in stats.get(path, "") and path not in digests]:
        return Unknown(f"{unread[0]} could not be read")
    key = signed_by(spec)
    mark = f"= {index} "
    fields, others = read_deb822(line.removeprefix(mark) for line in lines if line.startswith(mark))
    return RepositoryState(
        enabled=fields.get("enabled", "yes").lower() not in _NO,
        signed_by=fields.get("signed_by", ""),
        key=f"sha256:{digests[key][:16]}" if key in digests else "",
        others=others,
        modes=tuple(
            f"{path}: {stats[path]}"
            for path in (files[0], key)[: 2 if spec.key else 1]
            if path in stats and stats[path] not in _AS_IT_SHOULD_BE
        ),
        **{field: tuple(sorted(fields.get(field, "").split())) for field in _LISTS},
    )


def _write(spec: RepositorySpec, action: str) -> Step:
    key = signed_by(spec)
    return Step(
        (spec.ref,),
        f"{'add' if action == 'create' else 'change'} repository {spec.name}",
        sh(
            r"""umask 022
put() { # FILE: what stands on stdin becomes FILE, whole or not at all
  if [ -d "$1" ] && [ ! -L "$1" ]; then echo "$1 is a directory; remove it first"; return 1; fi
  mkdir -p -- "${1%/*}" || return
  new=${1%/*}/.${1##*/}.new
  rm -f -- "$new"
  if cat >"$new" && chmod 0644 -- "$new" && chown 0:0 -- "$new" && sync -- "$new"; then
    mv -f -T -- "$new" "$1" && sync -- "${1%/*}"
  else
    rm -f -- "$new"
    return 1
  fi
}
if [ -e "$blob" ]; then put @key@ <"$blob" || return; fi
printf '%s' @text@ | put @sources@ || return
rm -f -- @leftover@""",
            key=key,
            text=deb822(spec),
            sources=sources_path(spec),
            leftover=[path for path in key_paths(spec) if path != key] if spec.key else [],
        ),
        blob=spec.body,
    )


def _remove(spec: RepositorySpec) -> Step:
    """The repository first: one without its key would only make apt complain."""
    files = _files(spec) if spec.key else _files(spec)[:1]
    return Step((spec.ref,), f"remove repository {spec.name}", sh("rm -f -- @files@", files=files))
