"""Tables between marks on pages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iceprod.cli.benching.pages import MarkError, filled, number, table
from iceprod.cli.benching.records import Record
from tests.unit.cli.benching.making import STARTS, a_record, a_run

PAGE = "# A\n\n<!-- figures: start -->\nold\n<!-- /figures -->\n\nend, with `<!-- /figures -->` in it\n"


def record() -> Record:
    return a_record(runs=[a_run("start", STARTS, arguments=["--light"], load=1.5)])


def test_a_table_with_how_it_was_measured() -> None:
    assert table("start", record()).splitlines() == [
        "`iceprod bench start --light`, 2026-11-29, 2 cores (Example 9000), Python 3.11.2, load 1.5:",
        "",
        "| start | processor s | times the interpreter alone | s |",
        "|---|---|---|---|",
        "| nothing | 0.0200 |  | 0.100 |",
        "| help | 0.100 | 5.00 | 0.300 |"]


def test_rounds_are_told() -> None:
    runs = [a_run("start", STARTS, number=number, load=float(number)) for number in (1, 2)]
    assert "`, the median of 2 rounds, 2026" in table("start", a_record(runs=runs))
    assert "load 1.0…2.0:" in table("start", a_record(runs=runs))


def test_what_is_between_marks_is_written_anew() -> None:
    page = filled(PAGE, record())
    assert page.written == ("start",)
    assert page.text == PAGE.replace("\nold\n", f"\n\n{table('start', record())}\n\n")
    assert filled(page.text, record()) == page


def test_what_was_not_measured_stays() -> None:
    page = filled(PAGE.replace("start", "store"), record())
    assert (page.text, page.written, page.left) == (PAGE.replace("start", "store"), (), ("store",))


@pytest.mark.parametrize(("text", "said"), [
    ("a\n<!-- figures: patience -->\n<!-- /figures -->\n", "line 2: no benchmark 'patience'"),
    ("a\n<!-- figures: start -->\n", "line 2: this mark has no end"),
    ("<!-- figures: start -->\n<!-- figures: start -->\n<!-- /figures -->\n",
     "line 2: the mark before has no end"),
    ("\n\n<!-- /figures -->\n", "line 3: there is no mark")])
def test_marks_that_do_not_fit(text: str, said: str) -> None:
    with pytest.raises(MarkError, match=said):
        filled(text, record())


@given(st.lists(st.sampled_from(["<!-- figures: start -->", "<!-- /figures -->", "<!-- figures: api -->", "",
                                 "words", " <!-- /figures -->"]), max_size=12))
def test_what_is_outside_of_marks_never_changes(lines: list[str]) -> None:
    text = "\n".join(lines)
    try:
        page = filled(text, record())
    except MarkError:
        return
    assert outside(page.text) == outside(text)
    assert filled(page.text, record()).text == page.text


def outside(text: str) -> list[str]:
    """The lines of a page that stand between no marks, and the marks."""
    found, inside = list[str](), False
    for line in text.split("\n"):
        inside = inside and line != "<!-- /figures -->"
        found += [] if inside else [line]
        inside = inside or line.startswith("<!-- figures")
    return found


@pytest.mark.parametrize(("value", "text"), [
    (0.0, "0"), (0.01234, "0.0123"), (1.2, "1.20"), (45.25, "45.2"), (118981.0, "118 981"), (-2.5, "-2.50")])
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text
