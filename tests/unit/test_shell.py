"""The one quoting rule of the program, attacked on every shell that this machine has."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.shell import Sh, assignments, here_document, lines, quote, sh

KNOWN = ("dash", "bash", "bash --posix", "busybox sh", "mksh", "yash", "ksh93", "posh")
SHELLS = ["sh", *(shell for shell in KNOWN if shutil.which(shell.split()[0]))]
PICKY = {"yash"}  # refuses a script with bytes that are no characters of its locale, rather than misread them

# What a hostile repository or host would try, and what shells are known to trip over.
HOSTILE = [
    "",
    " ",
    "-n",
    "--",
    "-rf /",
    "~",
    "~root/x",
    "a=b",
    "PATH=/tmp",
    "$(id)",
    "`id`",
    "${HOME}",
    "$HOME $0 $@ $$ $!",
    "'",
    "''",
    '"',
    "'\"'\"'",
    "a'b\"c",
    "\\",
    "a\\",
    "\\n\\0101",
    "!",
    "!!",
    "{a,b}",
    "*",
    "?",
    "[a-z]*",
    "@(a|b)",
    "#",
    "a #b",
    ";",
    "&& id",
    "| id",
    "> /tmp/x",
    "2",
    "(id)",
    "\n",
    "a\nb",
    "\nend\n",
    "\r\n",
    "\t",
    "\x01\x02\x1b[2J\x7f",
    "%s%n",
    "@value@",
    "@other@",
    "é ü 漢字 🐚",
    "\u2028\u00a0",
    *(
        "case",
        "do",
        "done",
        "elif",
        "else",
        "esac",
        "fi",
        "for",
        "function",
        "if",
        "in",
        "select",
        "then",
        "time",
        "until",
        "while",
    ),
    "x" * 9000,
]
BYTES = ["".join(bytes([number]).decode("utf-8", "surrogateescape") for number in range(1, 256))]
BYTES += [
    b"\xff'\xfe".decode("utf-8", "surrogateescape"),
    b"caf\xe9 $(id)".decode("latin-1").encode("latin-1").decode("utf-8", "surrogateescape"),
]

word = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
nasty = st.text(st.sampled_from("'\"\\$`(){}[]<>|&;*?~#!=-@% \n\t\rab1"), max_size=12)


def raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def run(shell: str, script: Sh) -> subprocess.CompletedProcess[bytes]:
    """As a host runs it: the script on stdin."""
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8" if shell in PICKY else "C", "HOME": "/nonexistent"}
    command = shell.split() if shell == "posh" else [*shell.split(), "-s"]  # posh does not know -s, and needs it not
    return subprocess.run(command, input=script.encode(), env=environment, capture_output=True, check=False)


def spoken(shell: str, script: Sh) -> list[bytes]:
    """The NUL-separated words that the script printed."""
    done = run(shell, script)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.split(b"\0")[:-1]


def echoed(texts: Sequence[str]) -> Sh:
    return sh(r"""for word in begin @texts@; do printf '%s\0' "$word"; done""", texts=texts)


@pytest.mark.parametrize("shell", SHELLS)
def test_hostile_words_arrive_as_they_are(shell: str) -> None:
    assert spoken(shell, echoed(HOSTILE)) == [b"begin", *map(raw, HOSTILE)]


@pytest.mark.parametrize("shell", SHELLS)
def test_bytes_that_are_no_characters_arrive_as_they_are_or_nothing_runs(shell: str) -> None:
    done = run(shell, echoed(BYTES))
    if shell in PICKY and done.returncode:
        assert done.stdout in (b"", b"begin\0")
    else:
        assert done.stdout.split(b"\0") == [b"begin", *map(raw, BYTES), b""]


@pytest.mark.parametrize("shell", SHELLS)
@settings(max_examples=12)
@given(texts=st.lists(st.one_of(word, nasty), min_size=1, max_size=20))
def test_any_words_arrive_as_they_are(shell: str, texts: list[str]) -> None:
    assert spoken(shell, echoed(texts)) == [b"begin", *map(raw, texts)]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_word_is_never_read_as_grammar(shell: str) -> None:
    """As the name of a command, as a pattern, after an assignment, and beside other text."""
    for text in ["if", "esac", "then", "done", "{", "}", "!", "[[", "*", "[a-z]*", "a b", "$(id)", "é"]:
        script = sh(
            r"""case x in @text@) echo matched ;; esac
case @text@ in @text@) echo itself ;; esac
value=@text@ && printf '%s\0' "$value" pre@text@post
command -- ./no-such-folder/@text@ 2>/dev/null || echo "not run"
""",
            text=text,
        )
        done = run(shell, script)
        assert done.stdout == b"itself\n" + raw(f"{text}\0pre{text}post\0") + b"not run\n", (text, done)


@pytest.mark.parametrize("word_of_grammar", ["if", "then", "fi", "for", "while", "case", "esac", "do", "done", "function"])
@pytest.mark.parametrize("shell", SHELLS)
def test_a_word_of_grammar_in_the_place_of_a_command_is_a_command(shell: str, word_of_grammar: str) -> None:
    done = run(shell, sh("@name@ 2>/dev/null; echo $?", name=word_of_grammar))
    assert done.stdout.strip() == b"127"


@pytest.mark.parametrize("shell", SHELLS)
@settings(max_examples=8)
@given(text=st.one_of(word, nasty))
def test_a_here_document_arrives_as_it_is(shell: str, text: str) -> None:
    done = run(shell, lines([here_document(sh("cat"), text, "end-of-text"), sh("echo after")]))
    assert done.stdout == raw(text) + b"\nafter\n"


@pytest.mark.parametrize("shell", SHELLS)
def test_assignments_hold_their_values(shell: str) -> None:
    script = lines([assignments({"ONE": "it's $(id)", "_two": "a\nb"}), sh(r"""printf '%s\0' "$ONE" "$_two" """)])
    assert spoken(shell, script) == [b"it's $(id)", b"a\nb"]


@given(text=st.one_of(word, nasty))
def test_a_value_is_never_taken_for_a_placeholder(text: str) -> None:
    assert sh("@a@ @b@", a=f"@b@{text}", b=text).text == f"{quote(f'@b@{text}')} {quote(text)}"


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "x\udfffy"], ids=ascii)
def test_what_no_word_can_hold_is_refused_before_it_is_sent(text: str) -> None:
    with pytest.raises(ValueError, match="cannot be passed to a command"):
        quote(text)


def test_numbers_and_shell_text_stand_as_they_are_and_sequences_with_blanks_between() -> None:
    assert sh("a @n@ @s@ @l@ @none@.", n=-7, s=Sh("$(b)"), l=["x y", 2, Sh("$c")], none=[]).text == "a -7 $(b) 'x y' 2 $c ."


def test_a_sequence_that_can_be_read_once_fills_every_place() -> None:
    assert sh("@all@ @all@", all=(text for text in ("a", "b"))).text == "a b a b"


def test_a_placeholder_without_a_value_is_an_error() -> None:
    with pytest.raises(KeyError, match="b"):
        sh("@a@ @b@", a="x")


def test_a_value_without_a_placeholder_is_an_error() -> None:
    with pytest.raises(KeyError, match="no placeholder for"):
        sh("@a@", a="x", b="y")


def test_bytes_are_refused_rather_than_read_as_numbers() -> None:
    with pytest.raises(TypeError, match="decode them"):
        sh("@a@", a=b"ab")


def test_an_address_is_not_a_placeholder() -> None:
    assert sh('git clone git@host:x "$@"').text == 'git clone git@host:x "$@"'


def test_empty_pieces_leave_no_line() -> None:
    assert lines([Sh("a"), Sh(""), Sh(" \n"), Sh("b")]).text == "a\nb"
    assert not Sh(" \n")


@pytest.mark.parametrize("name", ["", "1a", "a-b", "a b", "a=b", "$(id)", "a\n", "é"])
def test_only_a_plain_name_is_assigned_to(name: str) -> None:
    with pytest.raises(ValueError, match="not a shell variable name"):
        assignments({name: "x"})


@pytest.mark.parametrize(
    ("text", "end"), [("a\nEND\nb", "END"), ("END", "END"), ("a\0b", "END"), ("a", "E'ND"), ("a", ""), ("a", "E\n")]
)
def test_a_here_document_that_would_end_early_is_refused(text: str, end: str) -> None:
    with pytest.raises(ValueError, match="here-document"):
        here_document(sh("cat"), text, end)
