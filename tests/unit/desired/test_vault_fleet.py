"""`{secret: NAME}` in manifests and `secret("NAME")` in templates: checked without a key, opened with one."""

from __future__ import annotations

from pathlib import Path

import pytest

from desired.compare import compare
from desired.load import Cache
from desired.model import Fleet as Desired
from desired.model import Resource
from desired.secrets.identities import find_identities
from desired.secrets.vault import Vault, open_secrets
from providers import secret as secrets
from providers.files import FileSpec
from tests.fleet import Fleet
from tests.unit.desired.keys import AgeKey
from tests.unit.desired.support import ENCRYPTED, HOST, Files, loaded, mistake, mistakes

Tree = dict[str, str | bytes | None]

TOKEN = HOST + "files: {/etc/token: {content: {secret: db/token}}}\n"
CONF = "user = a\npassword = {{ secret('db/token') }}\n"
TEMPLATE = HOST + "files: {/etc/conf: {source: files/conf.j2}}\n"
VALUE = b"correct horse battery\n"


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "_known", {})


@pytest.fixture
def key(fleet: Fleet) -> AgeKey:
    """The operator's."""
    return AgeKey.make().give(fleet)


def only(found: Desired, host: str = "web") -> Resource:
    [resource] = found.hosts[host].resources
    return resource


def spec_of(found: Desired, host: str = "web") -> FileSpec:
    spec = only(found, host).spec
    assert isinstance(spec, FileSpec)
    return spec


def opened(fleet: Fleet, files: Files, cache: Cache | None = None) -> Desired:
    return open_secrets(loaded(fleet, files, cache), Vault(lambda: find_identities({"HOME": str(fleet.home)})))


def test_a_fleet_is_checked_without_any_key(fleet: Fleet) -> None:
    found = loaded(fleet, {"hosts/web.yaml": TOKEN, "secrets/db/token.age": ENCRYPTED})
    assert dict(found.secrets) == {"secrets/db/token.age": ENCRYPTED}
    assert "secrets/db/token.age" in found.tree
    assert spec_of(found).body is None
    with pytest.raises(ValueError, match="its secret was not opened"):
        _ = spec_of(found).data


def test_only_secrets_that_are_named_somewhere_are_read(fleet: Fleet) -> None:
    files = {"secrets/db/token.age": ENCRYPTED, "secrets/chat.age": ENCRYPTED, "secrets/old.age": ENCRYPTED}
    found = loaded(fleet, {"hosts/web.yaml": TOKEN, "fleet.yaml": "alerts: [{url: {secret: chat}}]\n", **files})
    assert list(found.secrets) == ["secrets/chat.age", "secrets/db/token.age"]


def test_a_secret_becomes_the_content_of_a_file_that_nobody_else_reads(fleet: Fleet, key: AgeKey) -> None:
    found = opened(fleet, {"hosts/web.yaml": TOKEN, "secrets/db/token.age": key.encrypt(VALUE)})
    assert spec_of(found).data == VALUE
    assert spec_of(found).mode == "0600"
    assert only(found).blocked is None
    assert found.warnings == ()


def test_a_template_takes_a_secret_without_the_line_break_at_its_end(fleet: Fleet, key: AgeKey) -> None:
    files: Tree = {"hosts/web.yaml": TEMPLATE, "files/conf.j2": CONF, "secrets/db/token.age": key.encrypt(VALUE)}
    found = opened(fleet, files)
    assert spec_of(found).data == b"user = a\npassword = correct horse battery\n"
    assert spec_of(found).mode == "0600"


def test_an_included_file_and_a_loop_may_hold_secrets(fleet: Fleet, key: AgeKey) -> None:
    main = "{% for name in ['a', 'b'] %}{{ name }}={{ secret(name) }};{% endfor %}{% include 'files/more' %}"
    files = {"files/conf.j2": main, "files/more": "{% set it = secret('a') %}{{ it }}"}
    found = opened(
        fleet, {"hosts/web.yaml": TEMPLATE, **files, "secrets/a.age": key.encrypt(b"1\n"), "secrets/b.age": key.encrypt(b"2")}
    )
    assert spec_of(found).data == b"a=1;b=2;1"


def test_a_cached_load_knows_of_a_new_value(fleet: Fleet, key: AgeKey) -> None:
    cache = Cache()
    files = {"hosts/web.yaml": TEMPLATE, "files/conf.j2": CONF}
    first = opened(fleet, {**files, "secrets/db/token.age": key.encrypt(VALUE)}, cache)
    second = opened(fleet, {**files, "secrets/db/token.age": key.encrypt(b"another")}, cache)
    assert spec_of(second).data == b"user = a\npassword = another\n"
    assert spec_of(first).digest() != spec_of(second).digest()


@pytest.mark.parametrize(
    "template",
    [
        "{{ secret('db/token') | upper }}",
        "{{ secret('db/token') | length }}",
        "{{ 'a' ~ secret('db/token') }}",
        "{{ [secret('db/token')] }}",
        "{% if secret('db/token') %}x{% endif %}",
        "{% if secret('db/token') == 'x' %}x{% endif %}",
        "{% if 'a' in secret('db/token') %}x{% endif %}",
        "{{ {secret('db/token'): 1} }}",
        "{{ '%s' % secret('db/token') }}",
        "{{ '{}'.format(secret('db/token')) }}",
        "{% for c in secret('db/token') %}{{ c }}{% endfor %}",
        "{% set x %}{{ secret('db/token') }}{% endset %}{{ x | upper }}",
        "{% set x %}{{ secret('db/token') }}{% endset %}{{ x | truncate(4, true, '', 0) }}",
        "{% set x %}{{ secret('db/token') }}{% endset %}{{ x[1:] }}",
    ],
)
def test_a_template_can_only_put_a_secret_out_as_it_is(fleet: Fleet, template: str) -> None:
    files: Tree = {"hosts/web.yaml": TEMPLATE, "files/conf.j2": template, "secrets/db/token.age": ENCRYPTED}
    found = mistake(fleet, files)
    assert "secret" in found
    assert "{{ secret(" in found or "secrets/DB/TOKEN.age" in found


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ secret('../x') }}", 'files/conf.j2:1:1: error: "../x" cannot be the name of a secret'),
        ("{{ secret(1) }}", "files/conf.j2:1:1: error: a secret is asked for by its name"),
        ("{{ secret }}", "files/conf.j2:1:1: error: this is a function"),
        ("{{ secret('gone') }}", "hosts/web.yaml:2:29: error: secrets/gone.age is not in the repository"),
        ("{{ secrets('gone') }}", "files/conf.j2:1:1: error: there is no secrets here (host web)\n    did you mean secret?"),
    ],
)
def test_a_wrong_secret_in_a_template_is_named(fleet: Fleet, template: str, words: str) -> None:
    assert mistake(fleet, {"hosts/web.yaml": TEMPLATE, "files/conf.j2": template}).startswith(words)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"hosts/web.yaml": TOKEN}, "hosts/web.yaml:2:31: error: content: secrets/db/token.age is not in the repository"),
        (
            {"hosts/web.yaml": TOKEN, "secrets/db/token.age": "hunter2"},
            "hosts/web.yaml:2:31: error: content: secrets/db/token.age is not encrypted\n    whoever can read",
        ),
        (
            {"hosts/web.yaml": TOKEN, "secrets/db/tokem.age": ENCRYPTED},
            "hosts/web.yaml:2:31: error: content: secrets/db/token.age is not in the repository\n    did you mean",
        ),
        (
            {"hosts/web.yaml": HOST + "files: {/a: {content: {secret: ../a}}}\n"},
            'hosts/web.yaml:2:23: error: content: "../a" cannot be the name of a secret',
        ),
        (
            {"hosts/web.yaml": HOST + "files: {/a: {content: {secret: 5}}}\n"},
            'hosts/web.yaml:2:32: error: content.secret: write it in quotes: "5"',
        ),
        (
            {"hosts/web.yaml": HOST + "files: {/a: {content: {secret: a, more: b}}}\n"},
            "hosts/web.yaml:2:35: error: there is no key more here",
        ),
        (
            {"hosts/web.yaml": HOST + "files: {/a: {content: {text: a}}}\n"},
            "hosts/web.yaml:2:23: error: content: expected text, found a mapping",
        ),
        (
            {"hosts/web.yaml": HOST + "files: {/a: {content: {secret: a}, template: true}}\n"},
            "hosts/web.yaml:2:9: error: file:/a: a secret is installed as it is",
        ),
        (
            {"hosts/web.yaml": HOST + 'files: {/a: {content: {secret: a}, mode: "0644"}}\n', "secrets/a.age": ENCRYPTED},
            "hosts/web.yaml:2:42: error: mode: 0644 opens a file with a secret in it to everybody on the host",
        ),
        (
            {"hosts/web.yaml": HOST + "symlinks: {/a: {target: {secret: a}}}\n"},
            "hosts/web.yaml:2:25: error: a secret cannot stand here",
        ),
        (
            {"hosts/web.yaml": HOST, "fleet.yaml": "alerts: [{url: {secret: chat}}]\n"},
            "fleet.yaml:1:16: error: secrets/chat.age is not in the repository",
        ),
    ],
)
def test_what_is_wrong_with_a_secret_is_named_with_its_place(fleet: Fleet, files: Files, words: str) -> None:
    found = mistakes(fleet, files)
    assert any(one.startswith(words) for one in found), found
    assert "hunter2" not in str(found)


def test_a_secret_that_cannot_be_opened_blocks_what_needs_it_and_nothing_else(fleet: Fleet, key: AgeKey) -> None:
    other = HOST + "files: {/etc/token: {content: {secret: other}}, /etc/more: {content: {secret: other}}, /a: {content: a}}\n"
    files = {"hosts/web.yaml": TOKEN, "hosts/db.yaml": other}
    encrypted = {"secrets/db/token.age": key.encrypt(VALUE), "secrets/other.age": AgeKey.make().encrypt(VALUE)}
    found = opened(fleet, {**files, **encrypted})
    assert only(found).blocked is None
    blocked = {one.ref: one.blocked for one in found.hosts["db"].resources}
    assert blocked["file:/a"] is None
    assert str(blocked["file:/etc/token"]).startswith("secrets/other.age cannot be opened with ")
    assert blocked["file:/etc/token"] == blocked["file:/etc/more"]
    [told] = found.warnings
    assert (told.severity, told.place.file) == ("error", "secrets/other.age")
    assert told.hint


def test_bytes_that_are_no_text_are_fine_in_a_file_and_refused_in_a_template(fleet: Fleet, key: AgeKey) -> None:
    encrypted = {"secrets/db/token.age": key.encrypt(b"\xff\x00\xfe")}
    assert spec_of(opened(fleet, {"hosts/web.yaml": TOKEN, **encrypted})).data == b"\xff\x00\xfe"
    found = opened(fleet, {"hosts/web.yaml": TEMPLATE, "files/conf.j2": CONF, **encrypted})
    assert "has to be text" in str(only(found).blocked)


def test_hosts_of_a_bundle_share_what_was_opened(fleet: Fleet, key: AgeKey) -> None:
    bundle = "files: {/etc/token: {content: {secret: db/token}}}\n"
    hosts = {f"hosts/{name}.yaml": HOST + "bundles: [base]\n" for name in ("a", "b")}
    found = opened(fleet, {"bundles/base.yaml": bundle, **hosts, "secrets/db/token.age": key.encrypt(VALUE)})
    assert spec_of(found, "a") is spec_of(found, "b")


def test_only_the_secrets_of_the_hosts_that_are_meant_are_opened(fleet: Fleet, key: AgeKey) -> None:
    files = {"hosts/web.yaml": TOKEN, "hosts/db.yaml": HOST + "files: {/a: {content: {secret: other}}}\n"}
    encrypted = {"secrets/db/token.age": key.encrypt(VALUE), "secrets/other.age": AgeKey.make().encrypt(VALUE)}
    found = loaded(fleet, {**files, **encrypted})
    vault = Vault(lambda: find_identities({"HOME": str(fleet.home)}))
    assert open_secrets(found, vault, ["web"]).warnings == ()


def test_nothing_that_is_remembered_depends_on_the_value(fleet: Fleet, key: AgeKey) -> None:
    """Equal values that were encrypted twice have nothing in common that could be seen."""
    found = [opened(fleet, {"hosts/web.yaml": TOKEN, "secrets/db/token.age": key.encrypt(VALUE)}) for _ in range(2)]
    first, second = (spec_of(one) for one in found)
    assert first.digest() != second.digest()
    assert first.record() == second.record() == {"mode": "0600"}
    assert "horse" not in f"{first!r} {first.model_dump_json()} {found[0]!r}"


def test_the_same_file_gives_the_same_digest_with_and_without_a_key(fleet: Fleet, key: AgeKey) -> None:
    files: Tree = {"hosts/web.yaml": TOKEN, "secrets/db/token.age": key.encrypt(VALUE)}
    assert spec_of(loaded(fleet, files)).digest() == spec_of(opened(fleet, files)).digest()


def test_a_new_value_is_a_difference_between_commits_that_is_told_without_a_key(fleet: Fleet, key: AgeKey) -> None:
    old, new = (loaded(fleet, {"hosts/web.yaml": TOKEN, "secrets/db/token.age": key.encrypt(VALUE)}) for _ in range(2))
    [host] = compare(old, new).hosts
    [resource] = host.resources
    assert resource.content is not None
    assert resource.content.notes == ("content differs (not shown: a secret)",)
    assert not compare(new, new)


def test_a_plain_text_that_becomes_a_secret_is_not_shown_as_a_difference(fleet: Fleet) -> None:
    old = loaded(fleet, {"hosts/web.yaml": HOST + 'files: {/etc/token: {content: "open sesame", mode: "0644"}}\n'})
    new = loaded(fleet, {"hosts/web.yaml": TOKEN, "secrets/db/token.age": ENCRYPTED})
    assert "sesame" not in str(compare(old, new))
    assert "sesame" not in str(compare(new, old))


def test_an_identity_is_looked_for_only_when_there_is_something_to_open(tmp_path: Path, fleet: Fleet) -> None:
    def find() -> None:
        raise AssertionError("nobody needs a key here")

    found = loaded(fleet, {"hosts/web.yaml": HOST, "fleet.yaml": "alerts: [{url: {secret: a}}]\n", "secrets/a.age": ENCRYPTED})
    assert open_secrets(found, Vault(find)) is found  # type: ignore[arg-type]
