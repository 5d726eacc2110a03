"""`.env` files mean the same to everyone who reads them: docker compose, systemd, a shell, and ourselves.

The two readers that are not on every machine are told here again from their documentation and their behaviour: compose-go's
dotenv and systemd's EnvironmentFile=. Both were run against the real ones when this was written.
"""

from __future__ import annotations

import re
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from desired.deploy import dotenv

VALUES = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from(list("\\\"'$`# =ant0")),
    max_size=20,
)
NAMES = st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_]{0,5}\Z")


def as_compose(value: str) -> str:
    """What docker compose makes of what stands behind `NAME=`."""
    if value[:1] not in ("'", '"'):
        bare = value.split(" #", maxsplit=1)[0].rstrip()
        assert "$" not in bare, "compose would look for a variable"
        return bare
    quote, text, position = value[0], "", 1
    while value[position] != quote:
        if value[position] == "\\":
            position += 1
            text += "" if value[position] == quote else "\\"
        text += value[position]
        position += 1
    assert position == len(value) - 1, "the quote ends before the line does"
    if quote == "'":
        return text
    codes = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "$": "$$"}
    text = re.sub(r'\\([abcfnrtv$"\\]|0[0-7]{0,3})', lambda match: codes.get(match[1], match[1]), text)
    assert "$" not in text.replace("$$", ""), "compose would look for a variable"
    return text.replace("$$", "$")


def as_systemd(value: str) -> str:
    """What EnvironmentFile= makes of it: `$` means nothing, a backslash does outside of single quotes."""
    text, quote, position = "", "", 0
    while position < len(value):
        one = value[position]
        if not quote and not text and one in "'\"":
            quote = one
        elif one == quote:
            assert position == len(value) - 1, "the quote ends before the line does"
        elif one == "\\" and quote != "'":
            position += 1
            kept = quote and value[position] not in '"\\`$'
            text += ("\\" if kept else "") + value[position]
        else:
            text += one
        position += 1
    return text if quote else text.strip()


@given(NAMES, VALUES)
@settings(max_examples=300)
def test_every_reader_gets_the_value_that_was_written(name: str, value: str) -> None:
    written = dotenv.line(name, value)
    assert written.startswith(f"{name}=")
    behind = written.removeprefix(f"{name}=")
    assert as_compose(behind) == value
    assert as_systemd(behind) == value
    assert dotenv.read(f"BEFORE_=1\n{written}\nBEHIND_=2\n") == {"BEFORE_": "1", name: value, "BEHIND_": "2"}


@given(st.lists(VALUES.filter(lambda value: "`" not in value), min_size=1, max_size=30))
@settings(max_examples=20, deadline=None)
def test_a_shell_gets_it_too(values: list[str]) -> None:
    names = [f"V{number}" for number in range(len(values))]
    text = dotenv.text(dict(zip(names, values, strict=True)))
    script = text + "".join(f'printf "%s\\0" "${name}"\n' for name in names)
    done = subprocess.run(["sh"], input=script.encode(), capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == values


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("", "A="),
        ("Archicratia", "A=Archicratia"),
        ("https://a.lan:80/x?", "A='https://a.lan:80/x?'"),
        ("two words", "A='two words'"),
        ("a$b", "A='a$b'"),
        ("it's", 'A="it\'s"'),
        ("C:\\temp", 'A="C:\\\\temp"'),
        ("'$\"\\", 'A="\'\\$\\"\\\\"'),
        ("#x", "A='#x'"),
    ],
)
def test_a_value_is_quoted_only_as_far_as_it_has_to_be(value: str, written: str) -> None:
    assert dotenv.line("A", value) == written


@pytest.mark.parametrize(("name", "value"), [("1A", "x"), ("A-B", "x"), ("", "x"), ("A", "x\ny"), ("A", "\0"), ("A\n", "x")])
def test_what_no_line_can_say_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match="not a variable"):
        dotenv.line(name, value)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", {}),
        ("# no\n\n  # nothing\n", {}),
        ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("export A=1\n", {"A": "1"}),
        ("A = 1 # one\n", {"A": "1"}),
        ("A=a#b\n", {"A": "a#b"}),
        ("A='two\nlines'\nB=2\n", {"A": "two\nlines", "B": "2"}),
        ('A="a\\nb"\n', {"A": "a\nb"}),
        ("A=1\nA=2\n", {"A": "2"}),
        ("no line\nA=1", {"A": "1"}),
    ],
)
def test_a_file_that_a_person_wrote_is_read_as_compose_reads_it(text: str, values: dict[str, str]) -> None:
    assert dotenv.read(text) == values


@given(st.text(st.sampled_from("AB='\"\\ \n\r#$export"), max_size=60))
def test_any_text_is_read_and_nothing_is_invented(text: str) -> None:
    for name in dotenv.read(text):
        assert re.search(rf"{name}[ \t]*=", text)
