"""Packages from repositories: what a manifest may say, how answers are read, and what is sent to a host."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from providers.apt import Apt, AptSpec
from providers.apt_preview import read_preview
from providers.apt_shell import APT
from providers.base import Change, Detail, Facts, Unknown
from providers.dpkg import PackageState

SHELLS = [shell for shell in ("dash", "bash", "busybox sh", "mksh", "yash") if shutil.which(shell.split()[0])]
APT_KIND = Apt()
ROWS = "dpkg\tamd64\tinstall\tok\tinstalled\t1.22\n"


def spec(name: str = "nginx", **fields: Any) -> AptSpec:
    return AptSpec(name=name, **fields)


def change(wanted: AptSpec, before: PackageState | None = None, *fields: str, **more: Any) -> Change[AptSpec, PackageState]:
    return Change(wanted, before, APT_KIND.want(wanted), frozenset(fields), **more)


def there(**fields: Any) -> PackageState:
    usual: dict[str, Any] = {"status": "installed", "version": "1.0", "hold": False, "manual": True}
    return PackageState(**usual | fields)


def refused(**fields: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        AptSpec(**fields)
    return str(caught.value)


@pytest.mark.parametrize("name", ["nginx", "g++", "libstdc++6", "libc6:i386", "0ad", "python3.13"])
def test_names_of_real_packages_are_accepted(name: str) -> None:
    assert spec(name).ref == f"package:apt/{name}"


@pytest.mark.parametrize(
    "name",
    [
        "-y",
        "nginx-",
        "Nginx",
        "a",
        "nginx=1",
        "nginx/sid",
        "a b",
        "x;id",
        "$(id)",
        "näh",
        "nginx*",
        "a\nb",
        "--help",
        "~nx",
        "?x",
    ],
)
def test_what_apt_would_take_for_something_else_than_a_name_is_refused(name: str) -> None:
    assert "is no name of a package" in refused(name=name)


@pytest.mark.parametrize("architecture", ["any", "native", "all"])
def test_a_word_that_is_no_architecture_is_refused(architecture: str) -> None:
    assert "names no architecture" in refused(name=f"nginx:{architecture}")


@pytest.mark.parametrize("version", ["-1", "1 2", "$(id)", "[1]", "1/2", "", "1;2"])
def test_a_version_that_a_shell_or_apt_would_misread_is_refused(version: str) -> None:
    assert "is no version of a package" in refused(name="nginx", version=version)


def test_a_version_without_quotes_is_explained() -> None:
    assert 'write it in quotes: "1.26"' in refused(name="nginx", version=1.26)


def test_purge_without_absent_is_refused() -> None:
    assert "only has a meaning together with ensure: absent" in refused(name="nginx", purge=True)


def test_what_the_inventory_remembers_can_be_pruned() -> None:
    kept = spec(version="1.26.*", hold=True)
    pruned = AptSpec.model_validate({"name": kept.name, **kept.record(), "ensure": "absent"})
    assert APT_KIND.want(pruned) is None


def test_a_fulfilled_pattern_compares_equal_and_another_version_shows_itself() -> None:
    wanted = spec(version="1.26.*")
    for version, seen in (("1.26.3-1", "1.26.*"), ("1.24.0-1", "1.24.0-1")):
        out = f"{ROWS}nginx\tamd64\tinstall\tok\tinstalled\t{version}\nend\n".encode()
        assert APT_KIND.parse(out, [wanted])["nginx"] == there(version=seen)


def test_leftover_configuration_is_absent_unless_it_shall_go_too() -> None:
    out = f"{ROWS}nginx\tamd64\tdeinstall\tok\tconfig-files\t1.0\nend\n".encode()
    assert APT_KIND.parse(out, [spec(ensure="absent")])["nginx"] is None
    assert APT_KIND.parse(out, [spec(ensure="absent", purge=True)])["nginx"] == PackageState(
        status="config-files", version="1.0"
    )


@given(st.binary(max_size=300))
def test_no_answer_breaks_the_parser_and_rubbish_is_never_absent(out: bytes) -> None:
    answer = APT_KIND.parse(out, [spec()])["nginx"]
    assert isinstance(answer, Unknown) or (out.endswith(b"end\n") and b"dpkg\t" in out)


@given(st.text(alphabet="dpkgn \tae\ni6:-1", max_size=80))
def test_an_answer_without_the_row_of_dpkg_is_unknown(text: str) -> None:
    if "dpkg\t" not in text:
        assert isinstance(APT_KIND.parse(f"{text}\nend\n".encode(), [spec()])["nginx"], Unknown)


def test_one_package_is_one_step() -> None:
    (step,) = APT_KIND.steps([change(spec(version="1.26.*"))], Facts())
    assert step.title == "install nginx 1.26.*"
    assert step.run.text == "apt_begin '' '' ''\napt_alone install nginx '1.26.*' || return"


def test_many_packages_are_one_transaction_and_then_a_verdict_for_each() -> None:
    steps = list(APT_KIND.steps([change(spec("jq")), change(spec("telnet", ensure="absent"), there())], Facts()))
    assert [step.title for step in steps] == ["install jq, remove telnet together", "install jq", "remove telnet"]
    assert steps[0].refs == ("package:apt/jq", "package:apt/telnet")
    assert steps[0].run.text == "apt_begin '' telnet ''\napt_attempt install jq '' remove telnet ''\nreturn 0"
    assert all(step.refs == (f"package:apt/{name}",) for step, name in zip(steps[1:], ("jq", "telnet"), strict=True))


def test_a_mark_alone_starts_no_transaction() -> None:
    (held,) = APT_KIND.steps([change(spec(hold=True), there(), "hold")], Facts())
    assert held.run.text == "apt_begin '' '' ''\napt_mark hold nginx || return"
    (kept,) = APT_KIND.steps([change(spec(), there(manual=False), "manual")], Facts())
    assert kept.run.text.endswith("apt_mark manual nginx || return")


def test_a_hold_of_ours_is_put_back_after_the_version_changed() -> None:
    (step,) = APT_KIND.steps([change(spec(version="2.0", hold=True), there(hold=True), "version")], Facts())
    assert step.run.text.startswith("apt_begin --allow-downgrades '' nginx\n")
    assert step.run.text.endswith("apt_mark hold nginx || return")


def test_a_hold_that_the_manifest_does_not_mention_is_not_overridden() -> None:
    (step,) = APT_KIND.steps([change(spec(version="2.0"), there(hold=True), "version")], Facts())
    assert step.run.text.startswith("apt_begin --allow-downgrades '' ''\n")


def test_only_what_was_asked_or_shown_may_be_removed() -> None:
    going = change(spec("libfoo", ensure="absent"), there())
    (blind,) = APT_KIND.steps([going], Facts())
    (shown,) = APT_KIND.steps([replace(going, detail=Detail(removes=("foo", "bar")))], Facts())
    assert blind.run.text.startswith("apt_begin '' libfoo ''\n")
    assert shown.run.text.startswith("apt_begin '' 'bar foo libfoo' ''\n")


PREVIEW = """= fresh amd64
nosuch apt knows no package nosuch
= simulation 0
The following packages will be REMOVED:
Inst libjq1 (1.7 Debian:13/stable [amd64])
Inst jq (1.7 Debian:13/stable [amd64])
Inst postfix [3.1] (3.2 Debian:13/stable [amd64]) []
Remv user-of-aa [1.0]
Remv aa [1.0]
Remv exim4 [4.9]
= depends
jq
  Depends: libjq1
postfix
  Conflicts: <mail-transport-agent>
    exim4
  Conflicts: exim4
user-of-aa
  Depends: aa
= end
"""
ASKED = {
    "nosuch": change(spec("nosuch")),
    "aa": change(spec("aa", ensure="absent"), there()),
    "jq": change(spec("jq")),
    "postfix": change(spec("postfix", version="3.2"), there(version="3.1"), "version"),
}


def test_a_preview_tells_for_whose_sake_a_package_comes_or_goes() -> None:
    details = read_preview(PREVIEW.encode(), ASKED)
    assert details["package:apt/jq"] == Detail(notes=("version 1.7",), brings=("libjq1",))
    assert details["package:apt/aa"] == Detail(removes=("user-of-aa",))
    assert details["package:apt/postfix"] == Detail(notes=("version 3.1 → 3.2",), removes=("exim4",))
    assert details["package:apt/nosuch"].unsure == "apt knows no package nosuch (apt-get update is tried first)"


def test_a_preview_with_old_lists_says_that_it_is_not_sure() -> None:
    details = read_preview(PREVIEW.replace("fresh", "stale").encode(), ASKED)
    assert details["package:apt/jq"].unsure == "apt-get update comes first, so versions may be newer"
    assert details["package:apt/aa"].unsure is None


def test_nothing_that_apt_would_remove_is_left_out_of_a_preview() -> None:
    without_relations = PREVIEW.split("= depends", maxsplit=1)[0] + "= end\n"
    details = read_preview(without_relations.encode(), ASKED)
    assert {name for detail in details.values() for name in detail.removes} == {"user-of-aa", "exim4"}


def test_a_simulation_that_apt_refuses_is_told_in_its_words() -> None:
    out = b"= fresh amd64\n= simulation 100\nE: Unmet dependencies.\n= end\n"
    assert read_preview(out, {"jq": ASKED["jq"]})["package:apt/jq"].unsure == "apt would refuse: Unmet dependencies."
    told = b"= fresh amd64\n= simulation 100\nThe following:\n lonely : Depends: nowhere (>= 3)\nE: Unmet.\n= end\n"
    assert {detail.unsure for detail in read_preview(told, ASKED).values()} == {
        "apt would refuse all of it together: lonely : Depends: nowhere (>= 3); each is then tried alone"
    }


@given(st.one_of(st.binary(max_size=200), st.integers(0, len(PREVIEW) - 7).map(lambda end: PREVIEW[:end].encode())))
def test_a_preview_that_broke_off_is_unsure_about_everything(out: bytes) -> None:
    details = read_preview(out, ASKED)
    assert set(details) == {asked.spec.ref for asked in ASKED.values()}
    if b"\n= end" not in out:
        assert all(detail.unsure for detail in details.values())


@pytest.mark.parametrize("shell", SHELLS)
def test_the_probe_answers_in_every_shell_about_this_machine(shell: str) -> None:
    specs = [spec("dpkg"), spec("no-such-package"), spec("libc6:no0such")]
    text = f"f() {{\n{APT_KIND.probe(specs).text}\n}}\nf </dev/null"
    done = subprocess.run([*shell.split(), "-s"], input=text.encode(), capture_output=True, check=True)
    answers = APT_KIND.parse(done.stdout, specs)
    assert isinstance(answers["dpkg"], PackageState)
    assert answers["dpkg"].status == "installed"
    assert answers["no-such-package"] is None
    assert answers["libc6:no0such"] is None


@pytest.mark.parametrize("shell", SHELLS)
def test_a_machine_without_dpkg_is_unknown_in_every_shell(shell: str, tmp_path: Any) -> None:
    program = shutil.which(shell.split(maxsplit=1)[0])
    assert program
    text = f"PATH={tmp_path}\nf() {{\n{APT_KIND.probe([spec()]).text}\n}}\nf </dev/null"
    done = subprocess.run([program, *shell.split()[1:], "-s"], input=text.encode(), capture_output=True, check=False)
    assert done.returncode != 0


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("version", "picked"),
    [("", "aa"), ("1.26.*", "aa=1.26.7"), ("1.5", "aa=1.5"), ("2.*", "aa=2.0"), ("3.*", ""), ("1.26.?", "aa=1.26.7")],
)
def test_of_several_versions_the_wanted_one_is_picked_in_every_shell(shell: str, version: str, picked: str) -> None:
    policy = "aa:\n  Installed: (none)\n  Candidate: 2.0\n  Version table:\n" + "".join(
        f"{mark} {number} 500\n        500 file:/srv ./ Packages\n"
        for mark, number in (("    ", "2.0"), ("    ", "1.26.7"), (" ***", "1.26.1"), ("    ", "1.5"))
    )
    script = f"{APT.text}\napt_native=amd64 apt_policy='{policy}'\napt_pick aa '{version}'\nprintf '%s' \"$apt_picked\"\n"
    done = subprocess.run([*shell.split(), "-s"], input=script, capture_output=True, text=True, check=True)
    assert done.stdout == picked
    assert done.stderr == ""


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("allowed", "held", "action", "passes"),
    [
        (" ", " ", "aa 1.0 amd64 none > - - none **REMOVE**", False),
        (" aa ", " ", "aa 1.0 amd64 none > - - none **REMOVE**", True),
        (" aa ", " ", "aa 1.0 i386 same > - - none **REMOVE**", False),
        (" aa:i386 ", " ", "aa 1.0 i386 same > - - none **REMOVE**", True),
        (" a ", " ", "aa 1.0 all none > - - none **REMOVE**", False),
        (" ", " ", "bb - - none < 1.0 all none /var/cache/apt/archives/bb.deb", True),
        (" ", " bb ", "bb 0.9 all none < 1.0 all none /var/cache/apt/archives/bb.deb", False),
        (" ", " bb ", "bb 0.9 all none < 1.0 all none **CONFIGURE**", True),
    ],
)
def test_the_guard_lets_only_the_agreed_pass(
    shell: str, allowed: str, held: str, action: str, *, passes: bool, tmp_path: Any
) -> None:
    guard = tmp_path / "guard"
    guard.write_text(APT.text.split("<<'EOF'\n", 1)[1].split("\nEOF\n", 1)[0])
    names = {"RECONCILER_REMOVALS": allowed, "RECONCILER_HELD": held, "RECONCILER_NATIVE": "amd64", "PATH": "/usr/bin:/bin"}
    heard = f"VERSION 3\nAPT::Architecture=amd64\n\n{action}\n"
    done = subprocess.run([*shell.split(), str(guard)], input=heard, env=names, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) is passes
    assert (tmp_path / "guard.passed").exists() is passes
    assert (tmp_path / "guard.refused").exists() is not passes


def beside(name: str, *others: str, **fields: Any) -> AptSpec:
    return APT_KIND.adjust(spec(name, **fields), {f"package:apt/{other}": None for other in (name, *others)})


REPLACING = """= fresh amd64
= simulation 0
Inst postfix (3.1 Debian:13/stable [amd64])
Remv exim4 [4.9]
= end
"""


def test_what_is_declared_is_never_removed_for_the_sake_of_another() -> None:
    coming = change(beside("postfix", "exim4"))
    (detail,) = APT_KIND.seen(REPLACING.encode(), [coming]).values()
    assert detail == Detail(unsure="it will be refused: exim4 would have to go, which is declared too")
    (step,) = APT_KIND.steps([replace(coming, detail=Detail(removes=("exim4", "bsd-mailx")))], Facts())
    assert step.run.text.startswith("apt_begin '' bsd-mailx ''\n")


def test_what_left_the_repository_may_go_with_what_comes_in_its_stead() -> None:
    coming, going = change(beside("postfix")), change(beside("exim4", "postfix", ensure="absent"), there())
    details = APT_KIND.seen(REPLACING.encode(), [coming, going])
    assert details["package:apt/postfix"] == Detail(notes=("version 3.1",), along=("exim4",))
    (step,) = APT_KIND.steps([replace(coming, detail=details["package:apt/postfix"])], Facts())
    assert step.run.text.startswith("apt_begin '' exim4 ''\n")
