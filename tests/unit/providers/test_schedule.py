"""Cron schedules: what is accepted, and what is said of the rest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from providers.schedule import NICKNAMES, Schedule

SCHEDULE: TypeAdapter[str] = TypeAdapter(Schedule)


@pytest.mark.parametrize(
    "text", ["* * * * *", "17 3 * * *", "*/15 8-18/2 1,15 jan-MAR mon,wed-fri", "0 0 29 2 7", "59 23 31 12 0-7", *NICKNAMES]
)
def test_what_every_cron_reads_is_accepted(text: str) -> None:
    assert SCHEDULE.validate_python(text) == text


def test_blanks_between_the_fields_do_not_matter() -> None:
    assert SCHEDULE.validate_python("  17   3 * *  mon ") == "17 3 * * mon"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("17 3 * *", "expected five fields (minute, hour, day, month, weekday) or a word like @daily, not 4"),
        ("17 3 * * * *", "not 6"),
        ("", "not 0"),
        ("60 * * * *", "the minute 60 is not between 0 and 59"),
        ("* 24 * * *", "the hour 24 is not between 0 and 23"),
        ("* * 0 * *", "the day of the month 0 is not between 1 and 31"),
        ("* * * 13 *", "the month 13 is not between 1 and 12"),
        ("* * * * 8", "the day of the week 8 is not between 0 and 7"),
        ("* * * * monday", 'the day of the week "monday" is no number from 0 to 7 or sun to sat'),
        ("mon * * * *", 'the minute "mon" is no number from 0 to 59'),
        ("5/10 * * * *", 'has a step without a range: write "*/10" or "5-59/10"'),
        ("*/0 * * * *", 'the step "/0" of the minute is no number above 0'),
        ("* * * * fri-mon", 'the day of the week "fri-mon" ends before it begins: write two ranges with a comma between'),
        ("1,,2 * * * *", 'the minute "" is no number from 0 to 59'),
        ("@Daily", '"@Daily" is none of @reboot'),
        ("²  * * * *", 'the minute "²" is no number from 0 to 59'),
    ],
)
def test_what_cron_would_pass_over_in_silence_is_refused_with_a_reason(text: str, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        SCHEDULE.validate_python(text)
    assert message in caught.value.errors()[0]["msg"]


@given(st.text(st.sampled_from("0123456789*/,- @monjadily"), max_size=30))
def test_every_text_is_accepted_as_it_will_be_compared_or_refused(text: str) -> None:
    try:
        once = SCHEDULE.validate_python(text)
    except ValidationError:
        return
    assert SCHEDULE.validate_python(once) == once
