"""Tables as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


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
