"""Tables are lines of aligned cells, or HTML in which any text is shown as it is."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.models.table import Markup, align_table, emphasize, escape, html_facts, html_table


def test_columns_are_aligned() -> None:
    """The first column stands at the left, the others at the right, and no line ends with spaces."""
    assert align_table([["name", "n", "share"], ["a", "100", "1%"], ["longer", "7", ""]]) == (
        "name      n  share\na       100     1%\nlonger    7"
    )
    assert align_table([["one"]]) == "one"


def test_rows_of_other_lengths_are_refused() -> None:
    """No cell is lost."""
    with pytest.raises(ValueError, match="shorter"):
        align_table([["a", "b"], ["c"]])


@given(st.text())
def test_any_text_is_shown_as_it_is(text: str) -> None:
    """A browser shows the characters of the text, whatever they are."""
    shown = escape(text)
    assert html.unescape(re.sub(r"</?span>", "", shown)) == text
    assert escape(shown) is shown


def test_surrogates_are_replaced() -> None:
    """A file's name that isn't text can be sent to a notebook."""
    assert escape("a\udcff") == "a?"


def test_a_table_of_html() -> None:
    """The first row is the head, the first column stands at the left, and markup isn't escaped."""
    left, right = (f'align="{side}" style="text-align:{side}"' for side in ("left", "right"))
    assert html_table([["a", "n"], ["<x>", Markup("<i>1</i>")]]) == (
        f"<table><tr><th {left}>a</th><th {right}>n</th></tr>"
        f"<tr><td {left}>&lt;x&gt;</td><td {right}><i>1</i></td></tr></table>"
    )
    assert html_facts([("<a>", "1"), ("b", emphasize("<c>"))]) == (
        f"<table><tr><th {left}>&lt;a&gt;</th><td {left}>1</td></tr>"
        f"<tr><th {left}>b</th><td {left}><mark>&lt;c&gt;</mark></td></tr></table>"
    )


@pytest.mark.parametrize(
    ("n_rows", "note"), [(20, ""), (21, "<p>1 more row</p>"), (99, "<p>79 more rows</p>")]
)
def test_long_tables_are_cut(n_rows: int, note: str) -> None:
    """What is left out is counted."""
    page = html_table([["name"], *([str(number)] for number in range(n_rows))])
    assert page.count("<tr>") == 1 + min(n_rows, 20)
    assert page.partition("</table>")[2] == note
    assert html_table([["name"], ["a"], ["b"]], most=1).endswith(">a</td></tr></table><p>1 more row</p>")
