"""Tables as text, and as HTML for notebooks."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Rows of a table in a notebook, at most.
_MOST_ROWS = 20


def align_table(rows: Sequence[Sequence[str]]) -> str:
    """Return a table as lines of text, with the first column at the left and the others at the right.

    Parameters
    ----------
    rows : sequence of sequence of str
        At least one row; all of them have the same number of cells.

    Returns
    -------
    str
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join([first.ljust(widths[0]), *map(str.rjust, rest, widths[1:])]) for first, *rest in rows)
    return "\n".join(line.rstrip() for line in lines)


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def escape(text: str) -> Markup:
    """Return any text as HTML that shows it as it is.

    Parameters
    ----------
    text : str
        Markup is returned as it is.

    Returns
    -------
    Markup
        Without dollar signs and backslashes that notebooks would take for the ends of a formula, and without
        surrogates, which a file's name may have, but a message to a notebook can't.
    """
    if isinstance(text, Markup):
        return text
    clean = html.escape(text.encode("utf-8", "replace").decode())
    # MathJax looks for a formula in text that no element interrupts.
    return Markup(re.sub(r"[$\\]", r"<span>\g<0></span>", clean))


def emphasize(text: str) -> Markup:
    """Return a warning as HTML that stands out on light and dark pages, also where styles are removed."""
    return Markup(f"<mark>{escape(text)}</mark>")


def html_facts(rows: Iterable[tuple[str, str]]) -> str:
    """Return names and their values as an HTML table of two columns.

    Parameters
    ----------
    rows : iterable of tuple of str
        Text, which is escaped, or Markup.

    Returns
    -------
    str
    """
    lines = (f"<tr>{_cell('th', name)}{_cell('td', value)}</tr>" for name, value in rows)
    return f"<table>{''.join(lines)}</table>"


def html_table(rows: Sequence[Sequence[str]], most: int = _MOST_ROWS) -> str:
    """Return a table as HTML, with the first column at the left and the others at the right.

    Parameters
    ----------
    rows : sequence of sequence of str
        The heads of the columns, and the rows. A cell is text, which is escaped, or Markup.
    most : int
        So many rows are shown; a line below the table says how many more there are.

    Returns
    -------
    str
    """
    lines = []
    for number, (first, *rest) in enumerate(rows[: most + 1]):
        tag = "td" if number else "th"
        cells = [_cell(tag, first), *(_cell(tag, cell, "right") for cell in rest)]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    left_out = len(rows) - 1 - most
    note = f"<p>{left_out} more {'row' if left_out == 1 else 'rows'}</p>" if left_out > 0 else ""
    return f"<table>{''.join(lines)}</table>{note}"


def _cell(tag: str, text: str, side: str = "left") -> str:
    # Jupyter's own style overrides the attribute, and GitHub removes styles.
    return f'<{tag} align="{side}" style="text-align:{side}">{escape(text)}</{tag}>'
