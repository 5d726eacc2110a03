"""No value becomes shell text but through `sh`: read from the syntax tree of the whole program, not from good intentions.

`providers/shell.py` quotes; what this file holds is that nothing goes round it. Each rule is first shown a wrong piece of code.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = sorted(path for package in ("providers", "desired", "state", "reconciler") for path in (ROOT / package).rglob("*.py"))
QUOTING = ROOT / "providers" / "shell.py"
PLACEHOLDER = re.compile(r"@[a-z_]+@")
# Shell files of our own package, read as they are.
PACKAGED = "Sh(files('state').joinpath(name).read_text('utf-8'))"


def where(path: Path) -> str:
    return str(path.relative_to(ROOT))


def is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def calls_of(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            if (isinstance(function, ast.Name) and function.id == name) or (
                isinstance(function, ast.Attribute) and function.attr == name and ast.unparse(function.value).endswith("shell")
            ):
                yield node


def put_together(tree: ast.AST) -> list[int]:
    """Lines where the template of `sh` is anything but one literal."""
    return [call.lineno for call in calls_of(tree, "sh") if len(call.args) != 1 or not is_text(call.args[0])]


def made_by_hand(tree: ast.AST) -> list[int]:
    """Lines where `Sh` is made of anything but one literal."""
    return [
        call.lineno
        for call in calls_of(tree, "Sh")
        if ast.unparse(call) != PACKAGED and (call.keywords or len(call.args) != 1 or not is_text(call.args[0]))
    ]


def under_another_name(tree: ast.AST) -> list[int]:
    """Lines that give `sh`, `Sh` or their module another name, or hand `sh` to somebody who would call it unseen."""
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            about = getattr(node, "module", None) == "providers.shell" or any(a.name == "providers.shell" for a in node.names)
            if about and any(alias.asname not in (None, alias.name) for alias in node.names):
                found.append(node.lineno)
        elif isinstance(node, ast.Name) and node.id == "sh" and isinstance(node.ctx, ast.Load) and id(node) not in called:
            found.append(node.lineno)
    return found


def text_of_shell_taken_apart(tree: ast.AST) -> list[int]:
    """Lines that change shell text after it was made: `replace(a_sh, text=…)`."""
    return [call.lineno for call in calls_of(tree, "replace") if any(keyword.arg == "text" for keyword in call.keywords)]


def within_quotes(template: str) -> list[str]:
    """Placeholders that stand where a quoted word would not be one: in quotes, in a comment, or against a redirection."""
    found = []
    quote = ""
    position = 0
    while position < len(template):
        character = template[position]
        placeholder = PLACEHOLDER.match(template, position)
        if placeholder:
            after = template[placeholder.end() : placeholder.end() + 1]
            if quote or after in ("<", ">"):
                found.append(placeholder[0])
            position = placeholder.end()
            continue
        if character == "\\" and quote != "'":
            position += 1
        elif quote == "#":
            quote = "" if character == "\n" else "#"
        elif quote:
            quote, position = _inside(template, position, quote)
        elif character in "'\"":
            quote = character
        elif character == "#" and (position == 0 or template[position - 1] in " \t\n;"):
            quote = "#"
        position += 1
    return found


def _inside(template: str, position: int, quote: str) -> tuple[str, int]:
    """What goes on within quotes: `"$(…)"` begins anew, so it is skipped as a whole, with its own quotes."""
    if quote == '"' and template.startswith("$(", position) and not template.startswith("$((", position):
        depth, end = 1, position + 2
        while end < len(template) and depth:
            depth += {"(": 1, ")": -1}.get(template[end], 0)
            end += 1
        return quote, end - 1
    return ("" if template[position] == quote else quote), position


def misplaced(tree: ast.AST) -> list[str]:
    found = []
    for call in calls_of(tree, "sh"):
        if call.args and isinstance(call.args[0], ast.Constant):
            found += [f"line {call.lineno}: {name}" for name in within_quotes(str(call.args[0].value))]
    return found


def test_there_is_code_to_look_at() -> None:
    assert QUOTING in CODE
    assert sum(len(list(calls_of(ast.parse(path.read_text()), "sh"))) for path in CODE) > 20


@pytest.mark.parametrize("path", CODE, ids=where)
def test_the_template_of_sh_is_one_literal(path: Path) -> None:
    assert not put_together(ast.parse(path.read_text()))


@pytest.mark.parametrize("path", CODE, ids=where)
def test_shell_text_is_made_by_sh_or_is_one_literal(path: Path) -> None:
    assert path == QUOTING or not made_by_hand(ast.parse(path.read_text()))


@pytest.mark.parametrize("path", CODE, ids=where)
def test_sh_goes_by_its_own_name_and_is_only_called(path: Path) -> None:
    assert not under_another_name(ast.parse(path.read_text()))


@pytest.mark.parametrize("path", CODE, ids=where)
def test_shell_text_is_not_changed_once_it_is_made(path: Path) -> None:
    assert not text_of_shell_taken_apart(ast.parse(path.read_text()))


@pytest.mark.parametrize("path", CODE, ids=where)
def test_a_placeholder_stands_where_a_quoted_word_can_stand(path: Path) -> None:
    assert not misplaced(ast.parse(path.read_text()))


@pytest.mark.parametrize(
    "code",
    [
        'sh(f"rm {x}")',
        'sh("rm " + x)',
        'sh("rm %s" % x)',
        'sh("rm {}".format(x))',
        "sh(template)",
        "sh(*parts)",
        'sh("a" if x else "b")',
        "shell.sh(x)",
        "providers.shell.sh(x)",
        "sh()",
        'sh(b"x")',
    ],
)
def test_a_template_that_is_put_together_is_found(code: str) -> None:
    assert put_together(ast.parse(code)) == [1]


@pytest.mark.parametrize("code", ["Sh(x)", 'Sh(f"{x}")', "Sh(text=x)", "shell.Sh(x)", 'Sh("a" + x)', 'Sh(text="a", **x)'])
def test_shell_text_made_by_hand_is_found(code: str) -> None:
    assert made_by_hand(ast.parse(code)) == [1]


@pytest.mark.parametrize(
    "code",
    [
        "from providers.shell import sh as run",
        "import providers.shell as s",
        "run = sh",
        "map(sh, texts)",
        "partial(sh, x)",
    ],
)
def test_sh_under_another_name_is_found(code: str) -> None:
    assert under_another_name(ast.parse(code)) == [1]


@pytest.mark.parametrize(
    "template",
    [
        "echo '@x@'",
        'echo "@x@"',
        "echo 'a' 'b @x@'",
        'echo "a\\" @x@"',
        "@x@>file",
        "@x@<file",
        "true # see @x@",
        '"$(echo "a")@x@"',
    ],
)
def test_a_misplaced_placeholder_is_found(template: str) -> None:
    assert within_quotes(template) == ["@x@"]


@pytest.mark.parametrize(
    "template",
    [
        "echo @x@",
        "echo 'a'@x@\"b\"",
        'a="$(stat -- @x@)"',
        "# it's a comment\necho @x@",
        ">@x@",
        "echo \\' @x@",
        'x="${a##*/}" @x@',
    ],
)
def test_a_placeholder_between_words_is_right(template: str) -> None:
    assert within_quotes(template) == []


def test_a_literal_is_no_offence() -> None:
    tree = ast.parse('from providers.shell import Sh, sh\nsh("a @x@" " b", x=1)\nSh("c")\n' + PACKAGED)
    assert not (put_together(tree) or made_by_hand(tree) or under_another_name(tree) or misplaced(tree))
