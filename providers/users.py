"""Users: the account, its groups, its home directory and the keys that may log in with it.

One step per user: account, then home, then keys. A home belongs to a user who may be hostile, so its keys are written as that
user (never as root, who would follow a link anywhere), and what is read there is shown only where it is a key. Data is never
touched: a home is neither moved nor removed. The longer pieces of shell are in `users_shell.py`.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from providers.account import AccountName
from providers.authorized_keys import KeyLine, same_keys
from providers.base import Answer, Change, Facts, Line, Provider, Seq, Spec, State, Step, Unknown
from providers.contents import LIMIT, Contents, File, read_contents
from providers.groups import AccountNumber, Accounts, ask_accounts, number, read_accounts
from providers.shell import Sh, lines, sh
from providers.users_shell import LIBRARY, ask_homes, ask_locks

KEYS_MODE = "0700/0600"
"""Of ~/.ssh and of the file in it: with more, sshd ignores the file."""
TOO_MUCH = "(more than 64 KiB)"
"""Stands for the keys of a file that is too long to be looked at; it is replaced like any that differs."""
KEYS_HEADER = "# Managed by reconciler: keys that are added here by hand are removed.\n"


def _field(value: str) -> str:
    if ":" in value:
        raise ValueError('":" cannot stand here: it separates the fields of /etc/passwd')
    value.encode()
    return value


def _path(value: str) -> str:
    if not value.startswith("/") or ".." in value.split("/"):
        raise ValueError('expected an absolute path without "..", as in /bin/bash or /home/ops')
    return _normal(value)


def _normal(path: str) -> str:
    return posixpath.normpath(path).replace("//", "/") if path.startswith("/") else path


Text: TypeAlias = Annotated[Line, AfterValidator(_field)]
Path: TypeAlias = Annotated[Text, AfterValidator(_path)]


class UserSpec(Spec):
    kind: ClassVar[str] = "user"

    name: AccountName
    uid: Annotated[AccountNumber | None, Field(description="Number; left out: the host chooses one", examples=[2000])] = None
    group: Annotated[
        AccountName | None, Field(description="Primary group; left out: one of the user's own name", examples=["deploy"])
    ] = None
    groups: Annotated[Seq[AccountName], Field(description="Further groups to be a member of", examples=[["docker"]])] = ()
    groups_exact: Annotated[bool, Field(description="Leave every group that is not listed in `groups`")] = False
    shell: Annotated[Path | None, Field(description="Login shell", examples=["/bin/bash"])] = None
    home: Annotated[Path | None, Field(description="Home directory; data is never moved", examples=["/srv/app"])] = None
    comment: Annotated[Text | None, Field(description="Full name or purpose", examples=["Operations"])] = None
    system: Annotated[bool, Field(description="When it is created: take a number from the system's range")] = False
    create_home: Annotated[
        bool | None, Field(description="Make a missing home directory; left out: yes, but not for users of the system")
    ] = None
    locked: Annotated[
        Literal[True] | None, Field(description="No login by password; keys still work. To end it, set a password on the host")
    ] = None
    authorized_keys: Annotated[
        Seq[KeyLine] | None,
        Field(
            description="All public keys that may log in; others are removed. Left out: not managed",
            examples=[["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE7x4ne2SWvvNIe0ueUKp5sMRDg1Yo1tZ1zOaeS7wHhs ops@desk"]],
        ),
    ] = None

    @model_validator(mode="after")
    def _possible(self) -> UserSpec:
        if self.name == "root" and not self.present:
            raise ValueError("the user root cannot be removed")
        if sum(len(line.encode()) + 1 for line in self.authorized_keys or ()) > 60000:
            raise ValueError("authorized_keys: 60000 bytes of keys at most, for sshd tries them one after the other")
        return self


class UserState(State):
    uid: int | None = None
    group: str | None = None
    groups: tuple[str, ...] | None = None
    shell: str | None = None
    home: str | None = None
    comment: str | None = None
    home_exists: bool | None = None
    locked: bool | None = None
    authorized_keys: tuple[str, ...] | None = None
    keys_mode: str | None = None


@dataclass(slots=True)
class _Report:
    """What the probe printed, taken apart."""

    users: Accounts
    groups: Accounts
    files: Mapping[str, File]
    homes: dict[str, str] = field(default_factory=dict)
    """User → `there`, `missing`, `other`, `unreadable`."""
    keys: dict[str, str] = field(default_factory=dict)
    """User → `file`, `missing`, `other`, `link`, `unreadable`."""
    locked: dict[str, bool] = field(default_factory=dict)


class UserProvider(Provider[UserSpec, UserState]):
    name = "user"
    section = "users"
    rank = 20
    tools = ("useradd", "usermod", "userdel")
    spec = UserSpec
    state = UserState
    library = LIBRARY

    def probe(self, specs: Sequence[UserSpec]) -> Sh:
        present = [spec for spec in specs if spec.present]
        pieces = [
            sh("passwd=$(@ask@)\nprintf '%s\\n' \"$passwd\"", ask=ask_accounts("passwd", [spec.name for spec in specs])),
            ask_accounts("group"),
        ]
        if any(spec.locked for spec in present):
            pieces.append(ask_locks(_padded(spec.name for spec in present if spec.locked)))
        keyed = _padded(spec.name for spec in present if spec.authorized_keys is not None)
        pieces.append(ask_homes(_padded(spec.name for spec in present), keyed))
        return lines(pieces)

    def parse(self, out: bytes, specs: Sequence[UserSpec]) -> Mapping[str, Answer[UserState]]:
        contents = read_contents(out)
        if contents is None:
            return {}
        report = _read(contents)
        return {spec.name: _answer(report, spec) for spec in specs}

    def want(self, spec: UserSpec) -> UserState | None:
        if not spec.present:
            return None
        keys = None if spec.authorized_keys is None else same_keys(spec.authorized_keys)
        return UserState(
            uid=spec.uid,
            group=spec.group,
            groups=tuple(sorted(set(spec.groups))) if spec.groups or spec.groups_exact else None,
            shell=spec.shell,
            home=spec.home,
            comment=spec.comment,
            home_exists=_wants_home(spec) or None,
            locked=spec.locked,
            authorized_keys=keys,
            keys_mode=KEYS_MODE if keys else None,
        )

    def steps(self, changes: Sequence[Change[UserSpec, UserState]], facts: Facts) -> Iterable[Step]:
        for change in changes:
            spec, wanted = change.spec, change.after
            if wanted is None:
                yield Step((spec.ref,), f"remove user {spec.name} (its home directory stays)", _remove(spec))
                continue
            create = change.action == "create"
            fields = {name for name, value in wanted if value is not None} if create else set(change.fields)
            title = f"add user {spec.name}" if create else f"change user {spec.name}: {', '.join(sorted(fields))}"
            # A change of home means another directory and another file of keys.
            blob = None
            run = [_account(spec, wanted, fields, create=create)]
            if wanted.home_exists and fields & {"home_exists", "home", "uid"}:
                run.append(sh("user_make_home @name@ || exit", name=spec.name))
            if spec.authorized_keys is not None and fields & {"authorized_keys", "keys_mode", "home"}:
                blob = (KEYS_HEADER + "".join(f"{line}\n" for line in spec.authorized_keys)).encode()
                run.append(sh('user_write_keys @name@ <"$blob" || exit', name=spec.name))
            yield Step((spec.ref,), title, lines(run), blob)

    def links(self, spec: UserSpec) -> Iterable[str]:
        return [f"group:{group}" for group in dict.fromkeys((spec.group, *spec.groups)) if group]

    def adjust(self, spec: UserSpec, neighbours: Mapping[str, str | None]) -> UserSpec:
        """A group that is declared under the user's own name is its primary one, and survives the user."""
        if spec.group is None and f"group:{spec.name}" in neighbours:
            return spec.model_copy(update={"group": spec.name})
        return spec


def _wants_home(spec: UserSpec) -> bool:
    return not spec.system if spec.create_home is None else spec.create_home


def _padded(names: Iterable[str]) -> str:
    """Names as one word in which `case` finds each of them between blanks."""
    return f" {' '.join(names)} "


def _read(contents: Contents) -> _Report:
    users = read_accounts(contents.before, "passwd")
    groups = read_accounts(users.rest, "group")
    report = _Report(users, groups, contents.files)
    for line in groups.rest.split("\n"):
        match line.split(" "):
            case ["home", name, word]:
                report.homes[name] = word
            case ["keys", name, word]:
                report.keys[name] = word
            case ["locked", name, word]:
                report.locked[name] = word == "yes"
    return report


def _answer(report: _Report, spec: UserSpec) -> Answer[UserState]:
    if trouble := report.users.trouble or report.groups.trouble:
        return Unknown(trouble)
    entry = report.users.entries.get(spec.name)
    if entry is None:
        return None
    uid, gid = number(entry[2]), number(entry[3])
    if len(entry) != 7 or uid is None or gid is None:
        return Unknown("its entry in the account database is broken")
    state = UserState(
        uid=uid,
        group=_primary(report.groups, gid, spec.group),
        groups=_memberships(report.groups, gid, spec),
        shell=entry[6] or "/bin/sh",
        home=_normal(entry[5]),
        comment=entry[4],
    )
    return _with_home(report, spec, state, entry[5]) if spec.present else state


def _primary(groups: Accounts, gid: int, wanted: str | None) -> str:
    """The name of the primary group: the wanted one if it has that number, for two names may share one."""
    names = [name for name, entry in groups.entries.items() if entry[2] == str(gid)]
    return wanted if wanted in names and wanted else next(iter(names), str(gid))


def _memberships(groups: Accounts, gid: int, spec: UserSpec) -> tuple[str, ...]:
    """Of the groups that are listed, those that the user is in; with `groups_exact` all of them. The primary group counts where
    it is listed and will stay the primary one."""
    inside = {name for name, entry in groups.entries.items() if spec.name in entry[3].split(",")}
    primary = {name for name, entry in groups.entries.items() if entry[2] == str(gid)}
    listed = set(spec.groups)
    staying = primary if spec.group is None or spec.group in primary else set[str]()
    if spec.groups_exact:
        return tuple(sorted((inside - staying) | (staying & listed)))
    return tuple(sorted((inside | staying) & listed))


def _with_home(report: _Report, spec: UserSpec, state: UserState, home: str) -> Answer[UserState]:
    """The state with what the home holds. A regular user's home is expected to be there, a system user's only on request."""
    word, keys = report.homes.get(spec.name), report.keys.get(spec.name)
    if word is None or ("unreadable" in {word, keys} and (_wants_home(spec) or keys)):
        return Unknown(f"the home directory {home} cannot be looked into (does the login have the rights?)")
    regular = state.uid is not None and 1000 <= state.uid < 65534
    found: dict[str, object] = {"home_exists": word == "there" or (spec.create_home is None and not regular)}
    if spec.locked:
        if spec.name not in report.locked:
            return Unknown("/etc/shadow could not be read (does the login have the rights?)")
        found["locked"] = report.locked[spec.name]
    if spec.authorized_keys is not None:
        if keys == "file":
            folder, file = report.files.get(f"{home}/.ssh"), report.files.get(f"{home}/.ssh/authorized_keys")
            if not folder or not file or (file.data is None and file.size <= LIMIT):
                return Unknown(f"{home}/.ssh/authorized_keys could not be read, or changed at this moment")
            lines = (file.data or b"").decode("utf-8", "backslashreplace").split("\n")
            found["authorized_keys"] = same_keys(lines) if file.size <= LIMIT else (TOO_MUCH,)
            strangers = {folder.uid, file.uid} - {str(state.uid)}
            found["keys_mode"] = f"{folder.permissions}/{file.permissions}" + "".join(
                f" of uid {uid}" for uid in sorted(strangers)
            )
        elif keys == "missing":
            found["authorized_keys"] = ()
    return state.model_copy(update=found)


def _account(spec: UserSpec, wanted: UserState, fields: set[str], *, create: bool) -> Sh:
    """One useradd or usermod with the fields that differ; nothing where they concern the home alone."""
    options = [
        sh("@option@ @value@", option=option, value=value)
        for name, option, value in (
            ("uid", "-u", wanted.uid),
            ("group", "-g", wanted.group),
            ("groups", "-G", ",".join(wanted.groups or ())),
            ("shell", "-s", wanted.shell),
            ("home", "-d", wanted.home),
            ("comment", "-c", wanted.comment),
        )
        if name in fields and value is not None
    ]
    flags = [sh("-a")] if "groups" in fields and not spec.groups_exact else []
    flags += [sh("-L")] if "locked" in fields else []
    flags += options
    change = sh("usermod @flags@ -- @name@", flags=flags, name=spec.name) if flags else sh("")
    if not create:
        return sh("@change@ || exit", change=change) if change else change
    own_group = sh("if getent group @name@ >/dev/null; then set -- -g @name@; else set -- -U; fi", name=spec.name)
    return sh(
        """if getent passwd @name@ >/dev/null; then
  @change@
else
  @group@
  useradd "$@" @options@ -- @name@
fi || exit""",
        name=spec.name,
        change=change or sh(":"),
        group=sh("set --") if wanted.group else own_group,
        options=[sh("-M -r") if spec.system else sh("-M"), *options],
    )


def _remove(spec: UserSpec) -> Sh:
    """Status 6 says that there is no such user: what was asked for. userdel takes the group of the user's own name along; where
    that group is declared, it is put back."""
    remove = sh("userdel -- @name@ || [ $? = 6 ] || exit", name=spec.name)
    if spec.group != spec.name:
        return remove
    return sh(
        r"""entry=$(getent group @name@)
@remove@
if [ -n "$entry" ] && ! getent group @name@ >/dev/null; then
  entry=${entry%:*}
  groupadd -g "${entry##*:}" -- @name@
fi""",
        name=spec.name,
        remove=remove,
    )
