"""No secret that this process knows leaves it in a text: whatever form it takes, and wherever the text goes."""

from __future__ import annotations

import base64
import html
import io
import json
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from providers import secret as secrets
from providers.secret import HIDDEN, SHORTEST, open_to_all, redact, redacted, remember
from reconciler.cli import saved
from reconciler.cli.screen import Screen
from reconciler.plan import Action, Cause, HostPlan, Plan
from reconciler.render.json_form import text_of
from reconciler.render.lines import line

CANARY = "kQ7'zR \"w2Lm&9xP/vT$4"
FORMS: dict[str, Callable[[str], str]] = {
    "plain": lambda text: text,
    "backwards": lambda text: text[::-1],
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 of echo": lambda text: base64.b64encode(f"{text}\n".encode()).decode(),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "upper hex": lambda text: text.encode().hex().upper(),
    "URL": lambda text: quote(text, safe=""),
    "URL path": quote,
    "form": quote_plus,
    "JSON": lambda text: json.dumps(text)[1:-1],
    "HTML": html.escape,
    "repr": repr,
    "shell": shlex.quote,
    "other shell": lambda text: "'" + text.replace("'", "'\\''") + "'",
}


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "_known", {})


def screen() -> tuple[Screen, io.StringIO, io.StringIO]:
    out, err = io.StringIO(), io.StringIO()
    return Screen(out, err, io.StringIO()), out, err


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_taken_out_in_every_form(form: str) -> None:
    remember(CANARY.encode())
    written = FORMS[form](CANARY)
    clean = redact(f"before {written} after")
    assert written.strip("'") not in clean
    assert HIDDEN in clean
    assert clean.startswith("before ")
    assert clean.endswith(" after")


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=SHORTEST)


@given(WORDS, st.sampled_from(sorted(FORMS)), st.text(max_size=20), st.text(max_size=20))
def test_whatever_the_secret_and_what_stands_around_it(value: str, form: str, before: str, after: str) -> None:
    assume(value not in HIDDEN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(secrets, "_known", {})
        remember(value.encode())
        written = FORMS[form](value)
        assume(written not in before + HIDDEN + after)
        assert written not in redact(before + written + after)


@given(st.binary(min_size=12, max_size=200), st.binary(max_size=5))
def test_base64_of_a_longer_text_does_not_tell_the_secret_in_it(value: bytes, before: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(secrets, "_known", {})
        remember(value)
        stripped = value.strip()
        assume(len(stripped) >= 12 and b"\n" not in stripped and stripped.decode("utf-8", "replace").splitlines()[1:] == [])
        text = base64.b64encode(before + stripped + b"and more").decode()
        assume(stripped.decode("utf-8", "surrogateescape").strip().encode("utf-8", "surrogateescape") == stripped)
        assert redact(text) != text


def test_each_line_of_a_secret_is_one_and_what_stands_behind_a_name() -> None:
    remember(b"# the shop\nexport TOKEN='alpha-token'\nPASSWORD=beta-password\nURL=postgres://shop:gamma-pass@db/shop\n")
    for shown in ("alpha-token", "beta-password", "PASSWORD=beta-password", "gamma-pass", "postgres://shop:gamma-pass@db/shop"):
        assert redact(f"<{shown}>") == f"<{HIDDEN}>"


@pytest.mark.parametrize("order", [list, reversed])
def test_a_key_is_taken_out_line_by_line_in_any_order(order: Callable[[list[str]], list[str]]) -> None:
    lines = [
        "-----BEGIN PRIVATE KEY-----",
        *(f"line{number}{'x' * 56}{number}" for number in range(5)),
        "-----END PRIVATE KEY-----",
    ]
    remember("\n".join(lines).encode())
    clean = redact("\n".join(order(lines)))
    assert "xxxx" not in clean
    assert "BEGIN PRIVATE KEY" in clean or HIDDEN in clean


@pytest.mark.parametrize("width", [60, 64, 76])
def test_encodings_that_run_over_lines_are_taken_out(width: int) -> None:
    value = bytes(range(33, 126)) * 5
    remember(value)
    for text in (base64.b64encode(value).decode(), value.hex()):
        wrapped = "\n".join(text[at : at + width] for at in range(0, len(text), width))
        rest = redact(wrapped).replace(HIDDEN, "").replace("\n", "")
        assert len(rest) < SHORTEST


def test_what_was_cut_short_in_the_middle_of_a_secret_is_taken_out() -> None:
    remember(b"a-very-long-secret-value")
    assert redact("it said: a-very-lo…") == f"it said: {HIDDEN}…"
    assert redact("it said: a-very") == "it said: a-very"


def test_secrets_that_overlap_leave_nothing_behind() -> None:
    remember(b"abcdefghij")
    remember(b"ghijklmnop")
    assert redact("<abcdefghijklmnop>") == f"<{HIDDEN}>"


def test_the_longest_secret_goes_first() -> None:
    remember(b"password")
    remember(b"password-of-ada")
    assert redact("password-of-ada password") == f"{HIDDEN} {HIDDEN}"


def test_a_short_value_is_left_alone_because_it_would_be_everywhere() -> None:
    remember(b"true")
    assert redact("it is true") == "it is true"


def test_a_name_that_stands_openly_in_the_fleet_is_not_hidden() -> None:
    remember(b"NODE_ENV=production\nPASSWORD=s3cret-s3cret\n")
    assert redact("production") == HIDDEN
    open_to_all(["production", "file:/srv/production/conf"])
    assert redact("production at /srv/production/x: s3cret-s3cret") == f"production at /srv/production/x: {HIDDEN}"


def test_without_secrets_a_text_is_handed_back_as_it_is() -> None:
    text, data = "a" * 1000, {"a": ["b"]}
    assert redact(text) is text
    assert redacted(data) is data


def test_a_thousand_secrets_and_a_long_output_take_no_time() -> None:
    for number in range(1000):
        remember(f"secret-number-{number}-{'x' * 20}".encode())
    text = "the quick brown fox jumps over the lazy dog\n" * 20_000 + f"secret-number-7-{'x' * 20}"
    started = time.process_time()
    assert redact(text).endswith(HIDDEN)
    assert time.process_time() - started < 2


def test_a_secret_that_is_like_every_text_takes_no_time_either() -> None:
    remember(b"".join(b"%076d\n" % number for number in range(500)))
    started = time.process_time()
    redact("0" * 100_000)
    assert time.process_time() - started < 5


def test_names_and_values_of_a_document_are_redacted_before_they_are_encoded() -> None:
    remember(CANARY.encode())
    text = text_of({CANARY: [CANARY, 1, None, {"deep": f"<{CANARY}>"}]})
    assert json.loads(text) == {HIDDEN: [HIDDEN, 1, None, {"deep": f"<{HIDDEN}>"}]}


def test_every_way_to_the_screen_is_redacted() -> None:
    remember(CANARY.encode())
    shown, out, err = screen()
    shown.show(line("a ", (CANARY, "bold")), line(CANARY[:9], (CANARY[9:], "red"), " b"))
    shown.show_all([line(CANARY, wrap=False)])
    shown.tell(line(f"error: {CANARY}"))
    shown.document({"a": CANARY})
    shown.raw(f"{CANARY}\n")
    written = out.getvalue() + err.getvalue()
    assert not any(form(CANARY) in written for form in FORMS.values())
    assert written.count(HIDDEN) == 6


def test_a_secret_is_found_before_it_is_escaped_wrapped_and_coloured() -> None:
    value = "ein langes Wort mit Umlaut ü und \x1b Zeichen, das umbrochen würde " * 2
    remember(value.encode())
    shown, out, _ = screen()
    shown.width, shown.color = 40, True
    shown.show(line(("note: ", "yellow"), value))
    assert "Umlaut" not in out.getvalue()


def test_only_a_secret_that_was_asked_for_is_shown_as_it_is() -> None:
    remember(CANARY.encode())
    shown, out, _ = screen()
    shown.reveal(CANARY.encode())
    assert out.getvalue() == CANARY


def planned(note: str) -> Plan:
    action = Action(ref="file:/a", action="change", cause=Cause(why="commit"), notes=(note,))
    return Plan(commit="c", hosts=(HostPlan(host="web", actions=(action,)),))


def test_a_saved_plan_holds_no_secret_and_is_still_exact(tmp_path: Path) -> None:
    remember(CANARY.encode())
    plan = planned(f"it holds {CANARY}")
    saved.save(plan, tmp_path / "plan.json")
    text = (tmp_path / "plan.json").read_text()
    assert not any(form(CANARY) in text for form in FORMS.values())
    saved.refuse_different(saved.read(tmp_path / "plan.json"), plan)
