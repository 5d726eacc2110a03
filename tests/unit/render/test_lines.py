from __future__ import annotations

import re
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from reconciler.render.lines import MARK, NARROWEST, Line, Style, cells, line, paint

STYLES = st.sampled_from(["", "bold", "dim", "green", "yellow", "red", "cyan", "alarm"])
TEXT = st.text(st.characters(categories=None)) | st.text("ab [/]\x1b\n\t\u202e\udcff漢→")
SPANS = st.lists(st.tuples(TEXT, STYLES), max_size=6)
ANY_LINE = st.builds(Line, SPANS.map(tuple), st.integers(0, 8), st.integers(0, 4), st.booleans())


def test_a_line_breaks_at_blanks_and_continues_under_its_hanging_indent() -> None:
    text = line("one two three four five six seven eight nine ten", indent=2, hang=4)
    assert paint([text], width=40) == "  one two three four five six seven\n      eight nine ten\n"


def test_a_word_longer_than_the_row_stays_whole_so_that_it_can_be_copied() -> None:
    path = "/" + "x" * 60
    assert path in paint([line("see ", path, " there")], width=40).split("\n")[1]


def test_without_a_width_nothing_is_wrapped() -> None:
    assert paint([line("word " * 100)]).count("\n") == 1


def test_a_row_never_breaks_inside_a_word_that_changes_its_style() -> None:
    spans: list[tuple[str, Style]] = [("x" * 30 + " ", ""), ("boldly", "bold"), (", and more", "")]
    assert paint([line(*spans, hang=0)], width=40) == "x" * 30 + " boldly,\nand more\n"
    assert paint([line(*spans, hang=0)], width=NARROWEST - 1).count("\n") == 1


def test_colour_is_only_added_where_it_is_asked_for() -> None:
    assert paint([line(("ok", "green"))]) == "ok\n"
    assert paint([line(("ok", "green"))], color=True) == "\x1b[32mok\x1b[0m\n"


def test_tabs_stay_in_diffs_and_are_shown_as_escapes_in_prose() -> None:
    assert paint([line("a\tb", wrap=False)]) == "a\tb\n"
    assert paint([line("a\tb")]) == "a\\tb\n"


def test_signs_become_ascii_for_streams_that_cannot_write_them() -> None:
    assert paint([line("✓ a → b …")], signs=False) == "ok a -> b ...\n"


def test_wide_characters_take_two_columns_and_combining_ones_none() -> None:
    assert (cells("abc"), cells("漢字"), cells("e\u0301")) == (3, 4, 1)


@given(st.lists(ANY_LINE, max_size=4), st.none() | st.integers(1, 90), st.booleans())
def test_nothing_that_a_terminal_acts_on_survives_painting(lines: list[Line], width: int | None, color: bool) -> None:
    painted = paint(lines, color=color, width=width)
    own = re.sub(r"\x1b\[[0-9;]+m", "", painted) if color else painted
    for character in own.replace("\n", "").replace("\t", ""):
        assert unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}, ascii(character)


@given(ANY_LINE, st.integers(40, 90))
def test_wrapping_loses_no_word(one: Line, width: int) -> None:
    assert paint([one], width=width).split() == paint([one]).split()


@given(SPANS, st.integers(40, 90))
def test_a_row_is_only_too_wide_when_it_is_a_single_word_after_a_sign(spans: list[tuple[str, Style]], width: int) -> None:
    for row in paint([Line(tuple(spans))], width=width).split("\n"):
        assert cells(row) <= width or " " not in row.strip(" ")[MARK:]


@given(ANY_LINE)
def test_colour_changes_nothing_but_colour(one: Line) -> None:
    assert re.sub(r"\x1b\[[0-9;]+m", "", paint([one], color=True)) == paint([one])
