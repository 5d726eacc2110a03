"""Files: content, owner, permissions, ACL. The model to copy for a new kind.

A file is probed by `stat` and `sha256sum`, so its content travels only where it must change. It is replaced by one rename, once
its `validate` command agreed; where only the owner, the mode or the ACL differ, the content is left alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Self, TypeAlias

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from providers import diffs, paths, placing, sealed
from providers.acl import acl_word
from providers.base import Answer, Change, Detail, Facts, Provider, Step, Unknown
from providers.sealed import SealableSpec, SecretName, sort_of_text
from providers.secret import Secret
from providers.shell import Sh, lines, sh

_HASHED = 64 << 20
"""A file above this size is not read when its size alone says that it differs."""


Text: TypeAlias = Annotated[Annotated[str, Tag("a text")] | Annotated[SecretName, Tag("a secret")], Discriminator(sort_of_text)]


class FileSpec(paths.OwnedSpec, SealableSpec):
    """A file with a content, or the owner, mode and ACL of a file that something else provides."""

    kind = "file"
    blobs = "source"

    content: Annotated[
        Text | None,
        Field(
            description="The text itself, or {secret: NAME} for secrets/NAME.age", examples=["welcome\n", {"secret": "token"}]
        ),
    ] = None
    source: Annotated[
        str | None,
        Field(description="Path of a file in this repository that holds the content", examples=["files/nginx.conf.j2"]),
    ] = None
    template: Annotated[
        bool | None, Field(description="Render as a Jinja template; default: only where the source ends in .j2")
    ] = None
    validation: Annotated[
        str | None,
        Field(
            alias="validate",
            description="Shell command that must succeed before the file is put in its place; {} is the path of the new file",
            examples=["nginx -t -c {}", "visudo -cf {}"],
        ),
    ] = None

    @field_validator("validation")
    @classmethod
    def _names_the_file(cls, command: str | None) -> str | None:
        if command is None:
            return None
        before, mark, _ = command.partition("{}")
        if not mark:
            raise ValueError('the command must name the new file: put {} where its path belongs, as in "nginx -t -c {}"')
        if "\0" in command or any(before.count(sign) % 2 for sign in "'\""):
            raise ValueError("put {} outside of quotes: the path is quoted by itself")
        return command

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not self.present:
            return self
        if self.content is not None and self.source is not None:
            raise ValueError("content and source exclude each other: give one of them")
        if self.content is None and self.source is None:
            if self.template is not None or self.validation is not None:
                raise ValueError("template and validate need a content or a source")
            if self.owner is self.group is self.mode is None and self.acl is None:
                raise ValueError("nothing is asked for: give content or source (or only owner, group, mode or acl)")
        if self.template is not None and isinstance(self.content, SecretName):
            raise ValueError('a secret is installed as it is: in a template, write {{ secret("NAME") }} instead')
        return self

    @property
    def filled(self) -> bool:
        """Whether the content is managed, and not only what surrounds it."""
        return self.content is not None or self.source is not None

    @property
    def data(self) -> bytes | None:
        """The bytes that the file should hold; None when its content is not managed."""
        if self.sealed is not None:
            if self.sealed.opened is None:
                raise ValueError(f"{self.ref}: {self.sealed.trouble}")
            return self.sealed.opened.reveal()
        if self.body is not None:
            return self.body
        if self.source is not None or isinstance(self.content, SecretName):
            raise ValueError(f"{self.ref}: the content of {self.source or 'its secret'} was not loaded")
        return self.content.encode() if self.content is not None else None

    def bulky(self) -> set[str]:
        return {"content", "validation"}


class FileState(paths.OwnedState):
    """What a file is like. `digest` is the SHA-256 of its content; of a secret one, the version of what was encrypted."""

    digest: str | None = None


_OTHER = "other"
"""The digest of a content that is not the secret that is asked for. Nothing more is told about it."""


_SUMS = sh(r"""
path_sums() { # LIMIT: the SHA-256 of the regular files that `path_stat` has just found and that are not larger than LIMIT
  set -f
  IFS='
'
  regular=
  for line in $states; do
    case $line in 8???:*) ;; *) continue ;; esac
    size=${line#*:}
    [ "${size%%:*}" -le "$1" ] || continue
    case $line in
    *:\#*) sum=$(sha256sum <"$path") && printf '%s  #%s\n' "${sum%% *}" "${line##*:\#}" ;;
    *) regular="$regular
/${line#*:/}" ;;
    esac
  done
  # shellcheck disable=SC2086 # a list of plain names
  [ -z "$regular" ] || sha256sum -- $regular
}""")

_SHOW = sh(r"""
file_show() { # INDEX PATH: the beginning of a regular file
  [ -f "$2" ] && [ ! -L "$2" ] && printf '@%s\n' "$1" && head -c 262145 <"$2" | base64
}""")

_LIBRARY = sh(r"""
# file_put PATH OWNER GROUP MODE ACL CHECK WRITTEN: puts $blob in the place of PATH. An empty word means "as it is". WRITTEN is
# the CHECK as the manifest has it.
file_put() {
  path_enter "$1" || return
  if [ ! -L "./$name" ] && { [ -b "./$name" ] || [ -c "./$name" ]; }; then path_fail "$1 is a device: it is kept"; return; fi
  path_workshop || return
  if file_prepare "$2" "$3" "$4" "$5" && file_check "$6" "$7"; then path_install; else path_leave; return 1; fi
}

# file_prepare OWNER GROUP MODE ACL: in the workshop. What is not managed is taken from the file that is replaced.
file_prepare() {
  owner=$1 group=$2 mode=$3 acl=$4
  cat -- "$blob" >"./$name" && sync -- "./$name" || return
  entries=
  case $(stat -c %f -- "../$name" 2>/dev/null) in
  8*)
    kept=$(stat -c %u:%g:%a -- "../$name") || return
    if command -v setfacl >/dev/null; then entries=$(getfacl -cpEn -- "../$name"); fi
    ;;
  *) kept=$(stat -c %u:%g -- "./$name"):644 || return ;;
  esac
  ids=${kept%:*}
  if ! chown -- "${owner:-${ids%:*}}:${group:-${ids#*:}}" "./$name"; then
    [ -z "$owner$group" ] && [ "$path_uid" != 0 ] || return # only root can keep another's ownership: the file becomes ours
  fi
  case $entries in
  *mask::*) printf '%s\n' "$entries" | setfacl --set-file=- -- "./$name" || return ;;
  ?*) setfacl -b -- "./$name" 2>/dev/null ;;
  esac
  path_dress "./$name" '' '' "${mode:-${kept##*:}}" "$acl"
}

# file_check COMMAND WRITTEN: runs it on the new file, under a hidden name with the same ending in the target's folder, so that
# what it includes by a relative path is found.
file_check() {
  [ -n "$1" ] || return 0
  trial=.reconciler-${workshop##*-}.$short
  ln -- "./$name" "../$trial" || return
  (cd / && exec sh -c "$1" validate "${place%/}/$trial")
  verdict=$?
  rm -f -- "../$trial"
  [ "$verdict" -eq 0 ] || path_fail "the new content was refused (exit status $verdict) by: $2"
}

# file_set PATH OWNER GROUP MODE ACL: changes what surrounds the content. Where somebody else can write to the folder, the file
# is held by a second name in a workshop meanwhile, so that a link swapped in cannot lead us elsewhere.
file_set() {
  path_enter "$1" || return
  facts=$(stat -c %u:%a .) || return
  case ${facts%%:*} in
  0 | "$path_uid")
    if [ $((0${facts#*:} & 022)) -eq 0 ]; then
      if [ -L "./$name" ] || [ ! -f "./$name" ]; then path_fail "$1 is not a regular file: nothing was done"; return; fi
      path_dress "./$name" "$2" "$3" "$4" "$5"
      return
    fi
    ;;
  esac
  path_workshop || return
  ln -- "../$name" "./$name" && file_single && path_dress "./$name" "$2" "$3" "$4" "$5"
  outcome=$?
  path_leave && return "$outcome"
}

# file_single: ./$name is a regular file that has no other name than the one beside it.
file_single() {
  case $(stat -c %f:%h -- "./$name") in
  8*:2) ;;
  *) path_fail "$place/$name is no regular file, or has further names in a folder that others can write to: nothing was done" ;;
  esac
}

# file_remove PATH
file_remove() {
  path_enter "$1" || return
  if [ -d "./$name" ] && [ ! -L "./$name" ]; then path_fail "$1 is a directory: it is kept"; return; fi
  path_remove
}
""")


class FileProvider(Provider[FileSpec, FileState]):
    """`files:` in a manifest."""

    name = "file"
    section = "files"
    rank = 60
    library = lines([placing.LIBRARY, _LIBRARY])
    spec = FileSpec
    state = FileState

    def probe(self, specs: Sequence[FileSpec]) -> Sh:
        keys = paths.keyed(specs)
        read = {key: spec for key, spec in keys.items() if _is_read(spec)}
        salted = [sealed.ask(key, spec.name, secret) for key, spec in keys.items() if (secret := _secret(spec)) is not None]
        bare = {key: spec for key, spec in keys.items() if key not in read}
        limited = {key: spec for key, spec in keys.items() if spec.present and spec.acl is not None}
        return lines(
            [
                paths.ASK,
                _SUMS,
                paths.stat_all(bare),
                paths.stat_all(read, sh("path_sums @limit@", limit=_limit(specs))),
                *([sealed.ASK, *salted] if salted else []),
                paths.acl_all(limited),
                sh("echo end"),
            ]
        )

    def parse(self, out: bytes, specs: Sequence[FileSpec]) -> Mapping[str, Answer[FileState]]:
        text = out.decode("utf-8", "surrogateescape")
        if not text.endswith("\nend\n"):
            return {}
        answers = paths.read(text)
        limit = _limit(specs)
        return {spec.name: self._answer(spec, key, answers, limit) for key, spec in paths.keyed(specs).items()}

    def _answer(self, spec: FileSpec, key: str, answers: paths.Answers, limit: int) -> Answer[FileState]:
        stat = answers.of(key)
        if stat is None or isinstance(stat, Unknown):
            return stat
        if not spec.present and stat.type not in ("file", "symlink"):
            return None  # what stands there is no file, so the file is absent; it is not ours to remove
        fields = paths.owned(spec, key, stat, answers)
        if isinstance(fields, Unknown):
            return fields
        if stat.type == "file" and spec.present and spec.sealed is not None:
            secret = spec.sealed.opened
            if secret is None:
                return Unknown(spec.sealed.trouble)
            if key not in answers.sums:
                return Unknown("the file is there, but its content could not be read")
            fields["digest"] = spec.sealed.version if answers.sums[key] == secret.salted() else _OTHER
        elif stat.type == "file" and _is_read(spec):
            if stat.size > limit:
                fields["digest"] = f"not read: {stat.size} bytes"
            elif key in answers.sums:
                fields["digest"] = answers.sums[key]
            else:
                return Unknown("the file is there, but its content could not be read")
        return FileState.model_validate(fields)

    def want(self, spec: FileSpec) -> FileState | None:
        if not spec.present:
            return None
        if spec.sealed is not None:
            digest: str | None = spec.sealed.version
        else:
            data = spec.data
            digest = hashlib.sha256(data).hexdigest() if data is not None else None
        return FileState(type="file", owner=spec.owner, group=spec.group, mode=spec.mode, acl=spec.acl, digest=digest)

    def steps(self, changes: Sequence[Change[FileSpec, FileState]], facts: Facts) -> Iterable[Step]:
        return [_step(change) for change in changes]

    def links(self, spec: FileSpec) -> Iterable[str]:
        return spec.accounts()

    def path(self, spec: FileSpec) -> str | None:
        return spec.name

    def look(self, changes: Sequence[Change[FileSpec, FileState]]) -> Sh | None:
        asked = [
            sh("file_show @index@ @path@", index=index, path=change.spec.name)
            for index, change in enumerate(changes)
            if change.before is not None and change.before.type == "file" and _is_shown(change)
        ]
        return lines([_SHOW, *asked, sh("echo end")]) if asked else None

    def seen(self, out: bytes, changes: Sequence[Change[FileSpec, FileState]]) -> Mapping[str, Detail]:
        found = diffs.contents(out)
        return {
            change.spec.ref: _detail(change, found.get(index))
            for index, change in enumerate(changes)
            if change.after is not None and change.spec.filled and (change.before is None or "digest" in change.fields)
        }


def _is_read(spec: FileSpec) -> bool:
    """Whether the content is compared by its plain digest."""
    return spec.present and spec.filled and spec.sealed is None


def _secret(spec: FileSpec) -> Secret | None:
    """The secret content that is compared, if it could be opened."""
    return spec.sealed.opened if spec.present and spec.sealed is not None else None


def _limit(specs: Sequence[FileSpec]) -> int:
    """The size up to which content is read: a file that is larger than this and than all we install cannot be the right one."""
    return max(_HASHED, *(len(spec.data or b"") for spec in specs if _is_read(spec)), 0)


def _step(change: Change[FileSpec, FileState]) -> Step:
    spec, before = change.spec, change.before
    if change.after is None:
        return Step((spec.ref,), f"remove file {spec.name}", sh("file_remove @path@", path=spec.name))
    surroundings = {
        "path": spec.name,
        "owner": spec.owner or "",
        "group": spec.group or "",
        "mode": spec.mode or "",
        "acl": acl_word(spec.mode, spec.acl),
    }
    is_file = before is not None and before.type == "file"
    if spec.filled and (not is_file or not change.fields or "digest" in change.fields):
        written = spec.validation or ""
        check = written.replace("{}", '"$1"')
        run = sh("file_put @path@ @owner@ @group@ @mode@ @acl@ @check@ @written@", **surroundings, check=check, written=written)
        return Step((spec.ref,), f"write file {spec.name}", run, blob=spec.data)
    if is_file:
        run = sh("file_set @path@ @owner@ @group@ @mode@ @acl@", **surroundings)
        return Step((spec.ref,), f"set owner and permissions of {spec.name}", run)
    message = f"{spec.name} is not there as a regular file, and neither content nor source says what to put there"
    return Step((spec.ref,), f"check file {spec.name}", sh("path_fail @message@", message=message))


def _is_open(mode: str | None) -> bool:
    return mode is None or bool(int(mode, 8) & 0o004)


def _is_shown(change: Change[FileSpec, FileState]) -> bool:
    """Whether the content may stand in a preview: what not everybody may read on the host may be a secret."""
    if change.spec.sealed is not None:
        return False
    before = change.before.mode if change.before is not None and change.before.type == "file" else None
    return "digest" in change.fields and change.spec.filled and _is_open(before) and _is_open(change.spec.mode)


def _detail(change: Change[FileSpec, FileState], old: bytes | None) -> Detail:
    spec, before = change.spec, change.before
    verb = "content" if before is None else "content differs"
    if spec.sealed is not None:
        return Detail(notes=(f"{verb} (not shown: a secret)",))
    new = spec.data or b""
    modes = [mode for mode in (spec.mode, before.mode if before is not None and before.type == "file" else None) if mode]
    if hidden := next((mode for mode in modes if not _is_open(mode)), None):
        return Detail(notes=(f"{verb} (not shown: mode {hidden})",))
    if before is None or before.type != "file":
        old = b""
    if old is None:
        return Detail(notes=("content differs (what stands there now could not be read)",))
    return diffs.compare(spec.name, old, new)
