"""Templates: what they see, how their mistakes are told, and that no template can harm the controller."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from desired import render as rendering
from desired.load import Cache
from desired.render import Context, Failure, Job, RenderCache, Rendered, Template, render
from tests.fleet import Fleet
from tests.unit.desired.support import HOST, Files, loaded, mistake, mistakes

HOSTS: dict[str, dict[str, Any]] = {
    name: {"name": name, "address": f"root@{name}", "tags": ["prod"], "vars": {"zone": "UTC", "port": port, "items": [1, 2]}}
    for name, port in (("a", 80), ("b", 81))
}


def nothing(name: str) -> str:
    raise LookupError(f"{name} is not there\n")


def rendered(*texts: str, host: str = "a", include: Callable[[str], str] = nothing) -> list[Rendered | Failure]:
    jobs = [Job(Template(f"files/t{number}.j2", text), host) for number, text in enumerate(texts)]
    return render(jobs, Context(HOSTS, {"zone": "UTC"}), include, RenderCache())


def text(template: str, **kwargs: Any) -> str:
    (result,) = rendered(template, **kwargs)
    assert isinstance(result, Rendered), result
    return result.body.decode()


def failure(template: str, **kwargs: Any) -> Failure:
    (result,) = rendered(template, **kwargs)
    assert isinstance(result, Failure), result
    return result


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ host.name }} {{ host.address }} {{ host.tags|join }}", "a root@a prod"),
        ("{{ vars.port }} {{ host.vars.port }} {{ fleet.zone }}", "80 80 UTC"),
        ("{% for name, other in hosts.items() %}{{ name }}:{{ other.vars.port }} {% endfor %}", "a:80 b:81 "),
        ("{{ vars.items }}", "[1, 2]"),
        ("ends with a line break\n", "ends with a line break\n"),
        ("<&> {{ '<&>' }}", "<&> <&>"),
        ("{{ {'b': 1, 'a': [true, none]}|tojson }}", '{"a": [true, null], "b": 1}'),
        ("é {{ '€' }} {# remark #}", "é € "),
        ("{{ vars.nothing|default('none') }}", "none"),
        ("{% if vars.nothing is defined %}x{% endif %}", ""),
        ("", ""),
    ],
)
def test_a_template_sees_its_host_the_fleet_and_the_other_hosts(template: str, expected: str) -> None:
    assert text(template) == expected


@pytest.mark.parametrize(
    ("template", "line", "message", "hint"),
    [
        ("\n{{ hots.name }}", 2, "there is no hots here", "did you mean hosts?"),
        ("{{ vars.zoen }}", 1, "there is no zoen in this mapping", "did you mean zone?"),
        ("a\nb\n{% for x in vars.missing %}{% endfor %}", 3, "there is no missing in this mapping", ""),
        ("{{ vars.zone.deeper.still }}", 1, "str has no deeper", ""),
        ("{% if vars.missing %}{% endif %}", 1, "there is no missing in this mapping", ""),
        ("{{ host.name ", 1, "unexpected end of template", ""),
        ("a\n{% if %}", 2, "Expected an expression, got 'end of statement block'", ""),
        ("\n\n{% endfor %}", 3, "Encountered unknown tag 'endfor'", ""),
        ("{{ 'x'|nofilter }}", 1, "No filter named 'nofilter'", ""),
        ("{{ 1 / 0 }}", 1, "ZeroDivisionError: division by zero", ""),
        ("\n{{ 'x' + 1 }}", 2, "TypeError: ", ""),
        ("{{ vars.zone.upper }}", 1, "this is a function, which has to be called with ()", ""),
        ("{{ vars['items']|map('string') }}", 1, "this is no plain value; add | list or | join", ""),
        ("{{ [1, 2]|random }}", 1, "No filter named 'random'", ""),
        ("{{ lipsum() }}", 1, "there is no lipsum here", ""),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", 1, "it includes or calls itself without end", ""),
    ],
)
def test_a_mistake_in_a_template_has_its_line_and_the_nearest_name(template: str, line: int, message: str, hint: str) -> None:
    found = failure(template)
    assert (found.name, found.line) == ("files/t0.j2", line)
    assert found.message.startswith(message)
    assert found.hint.startswith(hint)


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ host.__class__ }}",
        "{{ self.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ (''|attr('format_map')) }}",
        "{{ '{0.__class__}'.format(1) }}",
        "{{ ().__class__ }}",
        "{% for x in (1).__class__.__base__.__subclasses__() %}{{ x }}{% endfor %}",
        "{{ vars.update({'zone': 'changed'}) }}",
        "{{ host.tags.append('x') }}",
        "{% set vars.zone = 'x' %}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
        "{% extends '../../etc/passwd' %}",
        "{{ config }}{{ request }}{{ get_flashed_messages }}",
    ],
)
def test_a_template_cannot_get_out_of_its_sandbox(template: str) -> None:
    failure(template)


BOMBS = {
    "memory by repetition": "{{ 'a' * 10**10 }}",
    "memory by formatting": "{{ '%0999999999d' % 1 }}",
    "memory by folding": "{{ ('a' * 1000000) * 100000 }}",
    "a number without end": "{{ 9 ** (9 ** 9) }}",
    "loops in loops": "{% for a in range(99999) %}{% for b in range(99999) %}{{ '' }}{% endfor %}{% endfor %}",
    "output without end": "{% for a in range(99999) %}{% for b in range(99999) %}xxxxxxxxxx{% endfor %}{% endfor %}",
    "one long output": "{{ 'a' * 10000000 }}",
    "deep nesting": "{{ " + "(" * 20000 + "1" + ")" * 20000 + " }}",
    "deep blocks": "{% if 1 %}" * 20000,
    "a padded string": "{{ 'x'|center(10000000000) }}",
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_a_bomb_is_charged_to_its_template_and_the_others_are_rendered(bomb: str) -> None:
    before, broken, after = rendered("before {{ host.name }}", bomb, "after {{ host.name }}")
    assert isinstance(broken, Failure)
    assert broken.name == "files/t1.j2"
    assert (before, after) == (Rendered(b"before a"), Rendered(b"after a"))


def test_a_template_that_kills_the_child_is_tried_once_and_not_for_every_host(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb, fine = Template("files/bomb.j2", "{{ host.name }}{{ 9 ** (9 ** 9) }}"), Template("files/fine.j2", "{{ host.name }}")
    started: list[object] = []
    real = rendering._Child

    def counting(errors: int) -> rendering._Child:
        started.append(errors)
        return real(errors)

    monkeypatch.setattr(rendering, "_Child", counting)
    jobs = [Job(template, host) for host in HOSTS for template in (bomb, fine)]
    results = render(jobs, Context(HOSTS, {}), nothing, RenderCache())
    assert [type(result) for result in results] == [Failure, Rendered, Failure, Rendered]
    assert len(started) == 2


def test_a_child_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "ANSWER_SECONDS", 0.5)
    started = time.monotonic()
    fine, slow = rendered("{{ host.name }}", BOMBS["loops in loops"])
    assert fine == Rendered(b"a")
    assert isinstance(slow, Failure) and slow.message == "the template was stopped: it took too long"
    assert time.monotonic() - started < 10


def test_after_too_many_such_templates_the_rest_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "ANSWER_SECONDS", 0.3)
    results = rendered(*[BOMBS["loops in loops"] + str(number) for number in range(6)], "{{ host.name }}")
    assert [isinstance(result, Failure) for result in results] == [True] * 7
    assert isinstance(results[-1], Failure) and "other templates had to be stopped" in results[-1].message


def test_a_worker_that_cannot_start_is_an_error_of_ours_and_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "desired").mkdir()
    (tmp_path / "desired" / "__init__.py").write_text("")
    monkeypatch.setattr(rendering, "_ROOT", tmp_path)
    with pytest.raises(RuntimeError, match=r"did not start: .*render_worker"):
        rendered("x")


def test_the_child_has_nothing_of_our_environment(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONSTARTUP", str(fleet.root / "x"))
    monkeypatch.setenv("TOKEN", "secret")
    environments = []
    real = subprocess.Popen

    def watching(*args: Any, **kwargs: Any) -> Any:
        environments.append((kwargs["env"], kwargs["cwd"], args[0][1:]))
        return real(*args, **kwargs)

    monkeypatch.setattr(subprocess, "Popen", watching)
    assert text("{{ host.name }}") == "a"
    ((environment, folder, command),) = environments
    assert set(environment) <= {"PYTHONPATH", "PYTHONUTF8", "LC_ALL", "LD_LIBRARY_PATH"}
    assert (folder, command) == ("/", ["-P", "-m", "desired.render_worker"])


@pytest.mark.parametrize(
    "answer", ["nonsense", "[]", "{}", '{"job": 0}', '{"text": 1, "uses": [], "includes": []}', '{"same": 7}']
)
def test_a_child_that_lost_its_mind_is_not_believed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: str) -> None:
    (tmp_path / "desired").mkdir()
    (tmp_path / "desired" / "__init__.py").write_text("")
    (tmp_path / "desired" / "render_worker.py").write_text(f"print('{{}}', flush=True); input(); print({answer!r}, flush=True)")
    monkeypatch.setattr(rendering, "_ROOT", tmp_path)
    assert failure("x").message == "the template was stopped: it did not answer properly"


def test_no_child_and_no_file_descriptor_is_left_behind() -> None:
    text("x")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        text("{{ host.name }}")
        failure("{{ x }}")
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_hosts_that_look_alike_to_a_template_share_one_rendering() -> None:
    jobs = [Job(Template("t", "{{ fleet.zone }} {{ vars.zone }}"), host) for host in ("a", "b")]
    same = {name: view | {"vars": {"zone": "UTC"}} for name, view in HOSTS.items()}
    one, other = render(jobs, Context(same, {"zone": "UTC"}), nothing, RenderCache())
    assert one is other


def test_a_rendering_is_kept_until_something_it_looks_at_changes() -> None:
    cache = RenderCache()
    template = Template("t", "{{ host.name }} {{ vars.zone }}")

    def once(hosts: dict[str, dict[str, Any]]) -> Rendered | Failure:
        return render([Job(template, "a")], Context(hosts, {}), nothing, cache)[0]

    first = once(HOSTS)
    assert once(HOSTS) is first
    assert once(HOSTS | {"b": HOSTS["b"] | {"tags": ["other"]}}) is first
    changed = HOSTS["a"] | {"vars": {"zone": "CET"}}
    assert once(HOSTS | {"a": changed}) == Rendered(b"a CET")


def test_a_rendering_is_not_kept_when_a_file_that_it_includes_changes() -> None:
    cache, library = RenderCache(), {"files/part": "one"}

    def once() -> bytes:
        job = Job(Template("t", "{% include 'files/part' %}"), "a")
        (result,) = render([job], Context(HOSTS, {}), lambda name: library[name], cache)
        assert isinstance(result, Rendered) and result.includes == ("files/part",)
        return result.body

    assert (once(), once()) == (b"one", b"one")
    library["files/part"] = "two"
    assert once() == b"two"


def test_templates_may_include_import_and_extend_files_of_the_repository(fleet: Fleet) -> None:
    found = loaded(
        fleet,
        {
            "hosts/web.yaml": HOST + "files: {/a: {source: files/a.j2}, /b: {source: files/a.j2}, /c: {source: files/part}}\n",
            "files/a.j2": (
                '{% extends "files/base" %}{% import "files/m" as m %}'
                '{% block x %}{{ m.hi(host.name) }}{% include "files/part" %}{% endblock %}'
            ),
            "files/base": "<{% block x %}{% endblock %}>\n",
            "files/m": "{% macro hi(name) %}hi {{ name }}{% endmacro %}",
            "files/part": " from {{ host.address }}",
        },
    )
    bodies = [resource.spec.body for resource in found.hosts["web"].resources]
    assert bodies == [b"<hi web from root@web.lan>\n", b"<hi web from root@web.lan>\n", b" from {{ host.address }}"]
    assert {"files/base", "files/m", "files/part"} <= set(found.tree)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("files/prt", "files/prt is not in the repository"),
        ("hosts/web.yaml", "only files below files/ can be included"),
        ("files/../hosts/web.yaml", "leads out of its folder"),
        ("/etc/passwd", "is an absolute path"),
        ("./files/part", "only files below files/ can be included"),
        ("other/t.j2", "only files below files/ can be included"),
    ],
)
def test_nothing_else_can_be_included(fleet: Fleet, name: str, message: str) -> None:
    found = mistake(
        fleet,
        {
            "hosts/web.yaml": HOST + "files: {/a: {source: files/a.j2}, /b: {source: other/t.j2}}\n",
            "files/a.j2": f"\n{{% include '{name}' %}}",
            "other/t.j2": "t",
            "files/part": "x",
        },
    )
    assert found.startswith("files/a.j2:2:1: error: ")
    assert message in found


def test_a_mistake_in_an_included_file_is_named_there(fleet: Fleet) -> None:
    found = mistake(
        fleet,
        {
            "hosts/web.yaml": HOST + "files: {/a: {source: files/a.j2}}\n",
            "files/a.j2": "{% include 'files/part' %}",
            "files/part": "\n\n{{ vars.x }}",
        },
    )
    assert found.startswith("files/part:3:1: error: there is no x in this mapping (host web)")


def test_a_mistake_in_inline_content_is_named_at_the_content(fleet: Fleet) -> None:
    found = mistake(fleet, {"hosts/web.yaml": HOST + 'files: {/a: {content: "a\\n{{ vars.x }}", template: true}}\n'})
    assert found.startswith("hosts/web.yaml:2:23: error: line 2 of the content: there is no x in this mapping")


def test_a_mistake_that_all_hosts_share_is_told_once(fleet: Fleet) -> None:
    hosts = {f"hosts/h{n}.yaml": HOST + "files: {/a: {source: files/a.j2}}\n" for n in range(3)}
    found = mistakes(fleet, hosts | {"files/a.j2": "{{ host.nme }}"})
    assert found == ["files/a.j2:1:1: error: there is no nme in this mapping (hosts h0, h1, h2)\n    did you mean name?"]


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        ("source: files/t.j2", b"web"),
        ("source: files/t.j2, template: false", b"{{ host.name }}"),
        ("source: files/plain", b"{{ host.name }}"),
        ("source: files/plain, template: true", b"web"),
        ("content: '{{ host.name }}'", b"{{ host.name }}"),
        ("content: '{{ host.name }}', template: true", b"web"),
        ("source: ./files//plain", b"{{ host.name }}"),
        ("source: files/binary", b"\xff\0"),
        ("content: ''", b""),
        ("mode: '0600'", None),
    ],
)
def test_a_file_is_rendered_by_its_ending_or_when_asked_to(fleet: Fleet, fields: str, body: bytes | None) -> None:
    files: Files = {
        "files/t.j2": "{{ host.name }}",
        "files/plain": "{{ host.name }}",
        "files/binary": b"\xff\0",
    }
    found = loaded(fleet, {"hosts/web.yaml": HOST + f"files: {{/a: {{{fields}}}}}\n", **files})
    assert found.hosts["web"].resources[0].spec.body == body


def test_a_template_has_to_be_text(fleet: Fleet) -> None:
    found = mistake(fleet, {"hosts/web.yaml": HOST + "files: {/a: {source: files/t.j2}}\n", "files/t.j2": b"\xff"})
    assert found.startswith("hosts/web.yaml:2:22: error: source: the template files/t.j2 is not UTF-8")


def test_a_fleet_without_templates_starts_no_child(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "_Child", lambda *_: pytest.fail("a child was started"))
    loaded(fleet, {"hosts/web.yaml": HOST + "files: {/a: {content: x}}\n"}, Cache())


def test_a_variable_with_a_hostile_value_is_only_text(fleet: Fleet) -> None:
    """Values are never rendered a second time."""
    text = HOST + "vars: {x: '{{ 7 * 7 }}{% raw %}$(id)'}\nfiles: {/a: {content: '{{ vars.x }}', template: true}}\n"
    assert loaded(fleet, {"hosts/web.yaml": text}).hosts["web"].resources[0].spec.body == b"{{ 7 * 7 }}{% raw %}$(id)"
