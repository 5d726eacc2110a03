"""What counts as a secret, and what does not."""

from __future__ import annotations

import hashlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desired.scan.scanner import Allow, Finding, Scanner
from desired.scan.words import sort_of
from tests.unit.desired.planted import clean_files, keys


def scan(files: dict[str, str]) -> tuple[Finding, ...]:
    blobs = {hashlib.sha1(text.encode()).hexdigest(): text.encode() for text in files.values()}
    ids = {path: hashlib.sha1(text.encode()).hexdigest() for path, text in files.items()}
    return Scanner(None).scan(ids, blobs.__getitem__, Allow())


@pytest.mark.parametrize("name", sorted(keys()))
@pytest.mark.parametrize("seed", [7, 8, 9])
def test_a_planted_key_is_found_by_its_rule(name: str, seed: int) -> None:
    path, text = keys(seed)[name]
    found = scan({path: f"first line\n{text}last line\n"})
    assert [one.path for one in found] == [path], found
    assert found[0].rule == {"openssh-key": "private-key", "npm-token": "npm-registry-password"}.get(name, name)
    assert 2 <= found[0].line <= 2 + text.count("\n")


def test_twenty_five_keys_among_five_thousand_clean_files_are_found_in_a_second_and_nothing_else_is() -> None:
    planted = {f"planted/{name}/{path}": text for name, (path, text) in keys().items()}
    files = clean_files() | planted
    began = time.process_time()
    found = scan(files)
    assert {one.path for one in found} == set(planted)
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.env", "DB_PASSWORD=hunter2"),
        ("a.env", 'export DB_PASS="correct1horse"'),
        ("Dockerfile", "ENV ADMIN_PASSWORD=Tr0ub4dor"),
        ("a.yaml", "  password: s3cr3t-Enough  # of the database"),
        ("a.yaml", "db: {user: app, password: s3cr3t-Enough}"),
        ("a.json", '{"password": "s3cr3t-Enough", "x": 1}'),
        ("a.py", 'password: str = "s3cr3t-Enough"'),
        ("a.go", 'dbPassword := "s3cr3t-Enough"'),
        ("a.php", "'password' => 's3cr3t-Enough',"),
        ("web.xml", "<password>s3cr3t-Enough</password>"),
        ("a.toml", 'api_key = "9f86d081884c7d659a2feaa0c55ad015"'),
        ("a.js", 'const token = "q8Zr4LmX2vTn7YbK3sWd"'),
        ("netrc", "machine git.lan login me password s3cr3t"),
        ("a.yml", "url: https://me:s3cr3t-Enough@git.lan/x.git"),
        ("a.yml", "PASSWORD_HASH: $$2y$$05$$" + "abcdEFGH123./" * 4 + "Z"),
        ("config.json", '{"auths": {"r.lan": {"auth": "bWU6czNjcjN0LUVub3VnaA=="}}}'),
    ],
)
def test_a_password_is_found_by_the_word_before_it(path: str, text: str) -> None:
    found = scan({path: text + "\n"})
    assert len(found) == 1, found
    assert found[0].line == 1


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.env", "DB_PASSWORD=${DB_PASSWORD}"),
        ("a.env", "DB_PASSWORD="),
        ("a.env", "DB_PASSWORD=changeme123"),
        ("a.env", "PASSWORD_FILE=/run/secrets/db1"),
        ("a.yaml", "password: {secret: site/db1}"),
        ("a.yaml", "password: '{{ vars.password1 }}'"),
        ("a.yaml", "password: !vault |"),
        ("a.yaml", "password: ENC[AES256_GCM,data:Tr16,iv:1]"),
        ("a.yaml", "password_db1: vault_password_db1"),
        ("a.py", "password = getpass2(x1)"),
        ("a.py", "password = config.db1.password2"),
        ("a.py", 'password = "the password has to have 12 characters"'),
        ("test_a.py", 'password = "test1234"'),
        ("a.ts", "password: string1 | undefined"),
        ("a.md", "set password = `letmein123` and go"),
        ("a.html", '<input type="password" name="pass1" id="pass1">'),
        ("a.json", '{"token_type": "bearer1", "next_token": "q8Zr4LmX2vTn7YbK3sWd"}'),
        ("yarn.lock", 'token "^1.0.0"\n  resolved "https://x/y#9f86d081884c7d659a2feaa0c55ad015a3bf4f1b"'),
        ("a.yml", "image: docker://alpine:3.19@sha256:" + "ab12" * 16),
        ("a.yml", "url: postgres://postgres:postgres@db/x"),
        ("a.yml", "url: https://user:hunter2@example.com/"),
        ("a.yml", "url: http://[::1]:8080/a@2x.png"),
        ("a.pub", "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA" + "q8Zr4LmX2vTn" * 3),
        ("a.md", "-----BEGIN RSA PRIVATE KEY-----\n...\n-----END RSA PRIVATE KEY-----"),
        ("a.go", 'const head = "-----BEGIN PRIVATE KEY-----"'),
        ("a.md", "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kudlhemqq0ecd4f"),
    ],
)
def test_what_only_looks_like_a_secret_is_none(path: str, text: str) -> None:
    assert scan({path: text + "\n"}) == ()


def test_an_encrypted_file_is_never_a_finding_and_one_that_is_not_encrypted_is() -> None:
    key = keys()["github-token"][1]
    encrypted = {
        "secrets/a.age": "age-encryption.org/v1\n" + key,
        "secrets/b.age": "-----BEGIN AGE ENCRYPTED FILE-----\n" + key,
    }
    assert scan(encrypted) == ()
    assert [(one.line, one.rule) for one in scan({"secrets/a.age": "PLAIN=1\n"})] == [(1, "not-encrypted")]


def test_a_list_of_versions_may_hold_words_but_no_keys() -> None:
    assert scan({"poetry.lock": 'token = "q8Zr4LmX2vTn7YbK3sWd"\n'}) == ()
    assert len(scan({"poetry.lock": keys()["github-token"][1]})) == 1


@pytest.mark.parametrize(
    ("path", "sort"),
    [
        ("a/.env", "settings"),
        (".env.production", "settings"),
        ("Makefile", "settings"),
        (".gitconfig", "settings"),
        ("x.YAML", "settings"),
        ("a.b.py", "program"),
        ("docs/x.md", "prose"),
        ("package-lock.json", "listing"),
        ("package.json", "settings"),
        ("x.min.js", "listing"),
        ("app/tests/test_login.py", "prose"),
        ("spec/login_spec.rb", "prose"),
        ("web/login.test.ts", "prose"),
        ("tests/settings.yaml", "settings"),
        ("app/contest.py", "program"),
    ],
)
def test_the_name_of_a_file_says_what_kind_of_text_it_holds(path: str, sort: str) -> None:
    assert sort_of(path) == sort


HOSTILE = st.text(
    alphabet=st.sampled_from("password=\"token:=>'` \n\t-BEGIN PRIVATEKEY$6$.://@eyJAKIA:A0aZ+/_{}[]\\"), max_size=400
)


@given(
    st.one_of(st.binary(max_size=2000), HOSTILE.map(str.encode)), st.sampled_from(["a.env", "a.py", "a.md", "x.age", "l.lock"])
)
def test_any_bytes_can_be_scanned_and_lines_are_lines_of_the_file(data: bytes, path: str) -> None:
    for one in Scanner(None).scan({path: "0" * 40}, lambda _: data, Allow()):
        assert 1 <= one.line <= data.count(b"\n") + 1


@pytest.mark.parametrize(
    "data",
    [
        b"-----BEGIN RSA PRIVATE KEY-----" + b"\\n" * 200_000,
        b"PuTTY-User-Key-File-3: x\n" * 20_000,
        b"://" + b":" * 400_000,
        b"://a:b" * 100_000,
        b"password=" * 100_000,
        b"password" + b" " * 400_000,
        b"secret_access_key" * 50_000,
        b"eyJ" * 200_000,
        b"$y$" + b"a" * 400_000,
        b"LS0tLS1CRUdJTi" * 50_000,
        b"a:" + b"!" * 200_000 + b":::",
        b"glpat-" * 100_000,
        b"machine " + b"a " * 200_000,
        b"M" * 400_000 + b"discord",
    ],
    ids=lambda data: repr(data[:20]),
)
def test_no_file_makes_the_scan_slow(data: bytes) -> None:
    began = time.process_time()
    Scanner(None).scan({"a.env": "0" * 40}, lambda _: data, Allow())
    assert time.process_time() - began < 2
