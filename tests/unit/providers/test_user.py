"""Users: what may be asked for, how accounts, homes and keys are read, what is done."""

from __future__ import annotations

import pwd
from os import getuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from providers.base import Change, Facts, State, Step, Unknown
from providers.shell import lines
from providers.users import KEYS_HEADER, UserProvider, UserSpec, UserState
from tests.unit.providers.test_authorized_keys import KEY
from tests.unit.state.shells import SHELLS, name_of, run_script

USERS = UserProvider()
ME = pwd.getpwuid(getuid())
PASSWD = "root:x:0:0:root:/root:/bin/bash\nann:x:1001:1001:Ann:/home/ann:/bin/bash\nend passwd 2\n"
GROUP = "root:x:0:\nann:x:1001:\nteam:x:2000:ann,ben\ntwin:x:1001:\nlab:x:2001:\nend group 0\n"


def answer(spec: UserSpec, *, home: str = "home ann there\n", group: str = GROUP) -> UserState:
    out = f"{PASSWD}{group}{home}files\n\ncontents\n\nend files\n"
    state = USERS.parse(out.encode(), [spec])[spec.name]
    assert isinstance(state, UserState)
    return state


def step_for(spec: UserSpec, before: UserState | None = None, *fields: str) -> Step:
    (step,) = USERS.steps([Change(spec, before, USERS.want(spec), frozenset(fields))], Facts())
    return step


@pytest.mark.parametrize("field", ["name", "group"])
@pytest.mark.parametrize("name", ["", "-r", "1000", "a b", "a:b", "a\nb", "$(id)", "a,b", "a" * 33])
def test_a_name_that_a_tool_could_misread_is_refused(field: str, name: str) -> None:
    with pytest.raises(ValidationError):
        UserSpec.model_validate({"name": "ann", field: name})


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("home", "home/ann", 'expected an absolute path without ".."'),
        ("home", "/home/../etc", 'expected an absolute path without ".."'),
        ("shell", "/bin/a:b", '":" cannot stand here'),
        ("comment", "Ann: Ops", '":" cannot stand here'),
        ("comment", "Ann\nroot:x:0:0::/:/bin/sh", "line break"),
        ("comment", "\ud800", "surrogates not allowed"),
        ("uid", 2**32 - 1, "less than or equal"),
        ("locked", False, "True"),
        ("authorized_keys", ["nonsense"], "expected a public key"),
        ("authorized_keys", [f"{KEY} {'x' * 500}"] * 120, "60000 bytes of keys at most"),
        ("ensure", "gone", "'present' or 'absent'"),
    ],
)
def test_a_wrong_value_is_refused_with_its_reason(field: str, value: object, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        UserSpec.model_validate({"name": "ann", field: value})
    assert message in str(caught.value)


def test_root_cannot_be_removed() -> None:
    with pytest.raises(ValidationError, match="the user root cannot be removed"):
        UserSpec(name="root", ensure="absent")


def test_a_user_that_left_the_repository_can_be_rebuilt_from_its_record() -> None:
    spec = UserSpec(name="ann", uid=1001, groups=("team",), authorized_keys=(KEY,))
    assert USERS.want(UserSpec.model_validate({"name": "ann", **spec.record()}).absent()) is None


def test_what_is_not_asked_for_is_not_compared() -> None:
    assert USERS.want(UserSpec(name="ann")) == UserState(home_exists=True)
    assert USERS.want(UserSpec(name="ann", system=True)) == UserState()
    assert USERS.want(UserSpec(name="ann", create_home=False, authorized_keys=())) == UserState(authorized_keys=())


def test_a_home_is_the_same_with_and_without_a_slash_at_its_end() -> None:
    assert USERS.want(UserSpec(name="ann", home="/home/ann/")) == UserState(home="/home/ann", home_exists=True)


@pytest.mark.parametrize(
    ("spec", "groups"),
    [
        (UserSpec(name="ann"), ()),
        (UserSpec(name="ann", groups=("team", "lab")), ("team",)),
        (UserSpec(name="ann", groups_exact=True), ("team",)),
        (UserSpec(name="ann", groups=("ann",)), ("ann",)),
        (UserSpec(name="ann", groups=("ann",), groups_exact=True), ("ann", "team")),
        (UserSpec(name="ann", groups=("ann",), group="lab"), ()),
    ],
)
def test_a_group_counts_where_it_is_listed_and_all_count_in_an_exact_list(spec: UserSpec, groups: tuple[str, ...]) -> None:
    assert answer(spec).groups == groups


def test_a_primary_group_is_called_by_the_name_that_is_asked_for_where_two_share_its_number() -> None:
    assert answer(UserSpec(name="ann")).group == "ann"
    assert answer(UserSpec(name="ann", group="twin")).group == "twin"


def test_a_primary_group_without_a_name_is_called_by_its_number() -> None:
    assert answer(UserSpec(name="ann"), group="root:x:0:\nend group 0\n").group == "1001"


def test_a_missing_home_is_no_drift_where_none_is_expected() -> None:
    assert answer(UserSpec(name="ann"), home="home ann missing\n").home_exists is False
    assert answer(UserSpec(name="root"), home="home root missing\n").home_exists is True
    assert answer(UserSpec(name="root", create_home=True), home="home root missing\n").home_exists is False


@pytest.mark.parametrize("home", ["", "home ann unreadable\n", "home ann there\nkeys ann unreadable\n"])
def test_a_home_that_could_not_be_looked_into_is_unknown(home: str) -> None:
    out = f"{PASSWD}{GROUP}{home}files\n\ncontents\n\nend files\n".encode()
    assert isinstance(USERS.parse(out, [UserSpec(name="ann", authorized_keys=())])["ann"], Unknown)


def test_a_user_is_made_in_one_step_that_takes_up_what_a_killed_one_left() -> None:
    step = step_for(UserSpec(name="ann", uid=7, group="team", groups=("lab",), comment="it's", system=True, create_home=True))
    assert step.title == "add user ann"
    assert step.run.text == (
        """if getent passwd ann >/dev/null; then
  usermod -a -u 7 -g team -G lab -c 'it'"'"'s' -- ann
else
  set --
  useradd "$@" -M -r -u 7 -g team -G lab -c 'it'"'"'s' -- ann
fi || exit
user_make_home ann || exit"""
    )


def test_a_new_user_joins_the_group_of_its_name_where_there_is_one() -> None:
    text = step_for(UserSpec(name="ann")).run.text
    assert "if getent group ann >/dev/null; then set -- -g ann; else set -- -U; fi" in text


def test_only_what_differs_is_changed() -> None:
    spec = UserSpec(name="ann", uid=7, shell="/bin/sh", groups=("lab",), groups_exact=True)
    step = step_for(spec, UserState(), "shell", "groups")
    assert step.title == "change user ann: groups, shell"
    assert step.run.text == "usermod -G lab -s /bin/sh -- ann || exit"
    assert step_for(spec, UserState(), "home_exists").run.text == "user_make_home ann || exit"


def test_another_home_is_made_and_gets_the_keys_but_nothing_is_moved() -> None:
    step = step_for(UserSpec(name="ann", home="/srv/ann", authorized_keys=(KEY,)), UserState(), "home")
    assert step.run.text == (
        'usermod -d /srv/ann -- ann || exit\nuser_make_home ann || exit\nuser_write_keys ann <"$blob" || exit'
    )
    assert step.blob == f"{KEYS_HEADER}{KEY}\n".encode()


def test_removing_a_user_keeps_its_home_and_a_group_that_is_declared() -> None:
    step = step_for(UserSpec(name="ann", ensure="absent"), UserState())
    assert (step.title, step.run.text) == (
        "remove user ann (its home directory stays)",
        "userdel -- ann || [ $? = 6 ] || exit",
    )
    assert (
        'groupadd -g "${entry##*:}" -- ann'
        in step_for(UserSpec(name="ann", group="ann", ensure="absent"), UserState()).run.text
    )


def test_a_group_that_is_declared_under_the_users_name_becomes_its_primary_one() -> None:
    spec = UserSpec(name="ann")
    assert USERS.adjust(spec, {"group:ann": None}).group == "ann"
    assert USERS.adjust(spec, {"group:ben": None}).group is None
    assert USERS.adjust(UserSpec(name="ann", group="team"), {"group:ann": None}).group == "team"


def test_a_user_needs_its_groups() -> None:
    assert list(USERS.links(UserSpec(name="ann", group="team", groups=("lab", "team")))) == ["group:team", "group:lab"]


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_whatever_a_host_says_is_read_without_an_exception(first: bytes, second: bytes) -> None:
    spec = UserSpec(name="ann", authorized_keys=(KEY,), locked=True)
    for out in (
        first,
        PASSWD.encode() + GROUP.encode() + first + b"\nfiles\n" + second + b"\ncontents\n\nend files\n",
        first + PASSWD.encode() + second + GROUP.encode() + b"files\n\ncontents\n\nend files\n",
    ):
        assert all(isinstance(found, State | Unknown) for found in USERS.parse(out, [spec]).values() if found is not None)


@pytest.mark.parametrize("shell", SHELLS, ids=name_of)
def test_the_probe_describes_a_user_of_this_machine(shell: list[str]) -> None:
    specs = [
        UserSpec(name=ME.pw_name, authorized_keys=(), groups_exact=True),
        UserSpec(name="surely_not_here"),
        UserSpec(name="nobody"),
    ]
    done = run_script(shell, USERS.probe(specs).encode())
    assert (done.returncode, done.stderr) == (0, b"")
    found = USERS.parse(done.stdout, specs)
    assert found["surely_not_here"] is None
    me = found[ME.pw_name]
    assert isinstance(me, UserState)
    assert (me.uid, me.home, me.shell, me.comment) == (ME.pw_uid, ME.pw_dir, ME.pw_shell, ME.pw_gecos)
    assert me.home_exists == Path(ME.pw_dir).is_dir()
    assert me.authorized_keys is not None


@pytest.mark.parametrize("shell", SHELLS, ids=name_of)
@pytest.mark.parametrize("trap", ["link", "link to a folder", "folder", "none"])
def test_keys_are_written_whole_and_never_through_a_link(shell: list[str], trap: str, tmp_path: Path) -> None:
    """The real function, run for the current user; only the account database is stood in for, to give another home."""
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    elsewhere.mkdir()
    home.mkdir()
    if trap == "link":
        (home / ".ssh").mkdir()
        (home / ".ssh/authorized_keys").symlink_to(elsewhere / "victim")
    elif trap == "link to a folder":
        (home / ".ssh").symlink_to(elsewhere)
    elif trap == "folder":
        (home / ".ssh/authorized_keys").mkdir(parents=True)
    script = (
        lines([USERS.library]).encode()
        + f"""
getent() {{ echo 'me:x:1:1::{home}:/bin/sh'; }}
echo '{KEY}' | user_write_keys {ME.pw_name}
echo "status $?"
""".encode()
    )
    said = run_script(shell, script).stdout.decode()
    assert list(elsewhere.iterdir()) == []
    if trap == "none":
        assert said == "status 0\n"
        file = home / ".ssh/authorized_keys"
        assert (file.read_text(), oct(file.stat().st_mode), oct(file.parent.stat().st_mode)) == (
            f"{KEY}\n",
            "0o100600",
            "0o40700",
        )
        assert [path.name for path in file.parent.iterdir()] == ["authorized_keys"]
    else:
        assert said.endswith("status 1\n")
        assert "symbolic link, which is not followed" in said or "is not a file" in said
