"""Repositories of apt: what a manifest may say, what is written, and that it reads back as the same."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from providers.base import Change, Facts, Unknown
from providers.repositories import Repositories, RepositorySpec, RepositoryState, deb822, is_key, read_deb822

SHELLS = [shell for shell in ("dash", "bash", "busybox sh", "mksh", "yash") if shutil.which(shell.split()[0])]
ARMORED = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDM=\n-----END PGP PUBLIC KEY BLOCK-----\n"
BINARY = b"\x98\x33\x04\x00"
REPOSITORIES = Repositories()


def spec(body: bytes | None = ARMORED, **fields: Any) -> RepositorySpec:
    usual = {
        "name": "docker",
        "uris": ["https://x.example/debian"],
        "suites": ["trixie"],
        "components": ["main"],
        "key": "files/x",
    }
    made = RepositorySpec.model_validate(usual | fields)
    return made.with_body(body) if body is not None and made.key else made


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "a.b"}, "is no name for a repository"),
        ({"name": "../x"}, "is no name for a repository"),
        ({"name": "-x"}, "is no name for a repository"),
        ({"uris": ["packages.example.org"]}, "is no address of a repository"),
        ({"uris": ["https://x y"]}, "is no address of a repository"),
        ({"uris": ["https://x\nTrusted: yes"]}, "a line break or control character cannot stand here"),
        ({"uris": []}, "uris must be given"),
        ({"suites": ["a b"]}, "cannot stand here"),
        ({"components": []}, "components must be given"),
        ({"suites": ["./"]}, "a flat repository"),
        ({"suites": ["./", "trixie"]}, "write two"),
        ({"key": None}, "give either key"),
        ({"signed_by": "/usr/share/keyrings/x.gpg"}, "give either key"),
        ({"key": None, "signed_by": "x.gpg"}, "is no path of a key on the host"),
        ({"key": None, "signed_by": "/x/../../y"}, "is no path of a key on the host"),
        ({"trusted": True}, "trusted is refused"),
        ({"types": ["rpm"]}, "deb"),
    ],
)
def test_a_wrong_manifest_is_explained(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        spec(**fields)


@pytest.mark.parametrize("body", [b"", b"hello", b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n", b"\x95\x01\x02"])
def test_a_file_that_is_no_public_key_is_refused(body: bytes) -> None:
    assert not is_key(body)
    with pytest.raises(ValueError, match="files/x is no OpenPGP public key"):
        spec(body)


def test_the_key_lies_where_apt_expects_its_form() -> None:
    assert "Signed-By: /etc/apt/keyrings/docker.asc\n" in deb822(spec(ARMORED))
    assert "Signed-By: /etc/apt/keyrings/docker.gpg\n" in deb822(spec(BINARY))


def test_the_file_is_deb822() -> None:
    text = deb822(spec(types=["deb", "deb-src"], architectures=["amd64", "arm64"], enabled=False))
    assert text.splitlines()[1:] == [
        "Enabled: no",
        "Types: deb deb-src",
        "URIs: https://x.example/debian",
        "Suites: trixie",
        "Components: main",
        "Architectures: amd64 arm64",
        "Signed-By: /etc/apt/keyrings/docker.asc",
    ]


def test_a_flat_repository_has_no_components() -> None:
    assert "Components" not in deb822(spec(suites=["./"], components=[]))


words = st.lists(st.from_regex(r"[a-z][a-z0-9.]{0,8}", fullmatch=True), min_size=1, max_size=3, unique=True)


@given(words, words, words, st.booleans())
def test_what_is_written_reads_back_as_what_is_wanted(
    suites: list[str],
    components: list[str],
    architectures: list[str],
    enabled: bool,
) -> None:
    wanted = spec(suites=suites, components=components, architectures=architectures, enabled=enabled)
    fields, others = read_deb822(deb822(wanted).splitlines())
    state = REPOSITORIES.want(wanted)
    assert state is not None
    assert others == ()
    for name in ("types", "uris", "suites", "components", "architectures"):
        assert tuple(sorted(fields[name].split())) == getattr(state, name)
    assert fields["enabled"] == ("yes" if enabled else "no")


def test_continued_lines_belong_to_their_field_and_a_second_entry_is_something_else() -> None:
    fields, others = read_deb822(["URIs: a", " b", "# c", "Trusted: yes", "", "URIs: evil"])
    assert fields == {"uris": "a b"}
    assert others == ("Trusted: yes", "URIs: evil")


@given(st.lists(st.text(max_size=30), max_size=20))
def test_no_text_breaks_the_reader(lines: list[str]) -> None:
    fields, others = read_deb822(lines)
    assert len(fields) <= 7
    assert len(others) <= 8


@given(st.binary(max_size=300))
def test_no_answer_breaks_the_parser_and_rubbish_is_never_absent(out: bytes) -> None:
    answer = REPOSITORIES.parse(out, [spec()])["docker"]
    assert isinstance(answer, (Unknown, RepositoryState)) or b"not 0\n" in out


def test_what_the_inventory_remembers_can_be_pruned_with_its_key() -> None:
    pruned = RepositorySpec.model_validate({"name": "docker", **spec().record(), "ensure": "absent"})
    (step,) = REPOSITORIES.steps([Change(pruned, RepositoryState(), REPOSITORIES.want(pruned), frozenset())], Facts())
    assert step.run.text == (
        "rm -f -- /etc/apt/sources.list.d/docker.sources /etc/apt/keyrings/docker.asc /etc/apt/keyrings/docker.gpg"
    )


def test_a_key_that_the_host_brought_is_not_ours_to_remove() -> None:
    pruned = spec(None, key=None, signed_by="/usr/share/keyrings/x.gpg").absent()
    (step,) = REPOSITORIES.steps([Change(pruned, RepositoryState(), None, frozenset())], Facts())
    assert step.run.text == "rm -f -- /etc/apt/sources.list.d/docker.sources"


def in_a_folder(text: str, root: Path) -> str:
    """The fragment, with this folder in the place of /etc/apt, so that it can run on this machine."""
    return text.replace("/etc/apt", str(root))


def run(shell: str, body: str, root: Path, blob: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    (root / "blob").write_bytes(blob or b"")
    given_blob = f"blob={root}/blob" if blob is not None else f"blob={root}/none"
    script = f"{given_blob}\nf() {{\n{in_a_folder(body, root)}\n}}\nf </dev/null\n"
    return subprocess.run([*shell.split(), "-s"], input=script.encode(), capture_output=True, check=False)


@pytest.mark.parametrize("shell", SHELLS)
def test_what_a_step_wrote_is_what_the_probe_finds_in_every_shell(shell: str, tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    wanted = spec(suites=["trixie", "trixie-updates"])
    (step,) = REPOSITORIES.steps([Change(wanted, None, REPOSITORIES.want(wanted), frozenset())], Facts())
    body = step.run.text.replace("chown 0:0", "chown :")  # nobody needs to be root for this test
    done = run(shell, body, tmp_path, ARMORED)
    assert done.returncode == 0, done.stderr
    probed = run(shell, REPOSITORIES.probe([wanted]).text, tmp_path)
    out = probed.stdout.replace(str(tmp_path).encode(), b"/etc/apt")
    state = REPOSITORIES.parse(out, [wanted])["docker"]
    assert isinstance(state, RepositoryState)
    assert state.model_copy(update={"modes": ()}) == REPOSITORIES.want(wanted)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["blob", "docker.asc", "docker.sources"]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_repository_that_is_not_there_is_absent_in_every_shell(shell: str, tmp_path: Path) -> None:
    probed = run(shell, REPOSITORIES.probe([spec()]).text, tmp_path)
    assert REPOSITORIES.parse(probed.stdout, [spec()]) == {"docker": None}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_folder_in_the_place_of_the_file_is_left_alone(shell: str, tmp_path: Path) -> None:
    (tmp_path / "sources.list.d" / "docker.sources" / "data").mkdir(parents=True)
    (step,) = REPOSITORIES.steps([Change(spec(), RepositoryState(), REPOSITORIES.want(spec()), frozenset({"modes"}))], Facts())
    done = run(shell, step.run.text.replace("chown 0:0", "chown :"), tmp_path, ARMORED)
    assert done.returncode != 0
    assert b"is a directory; remove it first" in done.stdout
    assert (tmp_path / "sources.list.d" / "docker.sources" / "data").is_dir()
