"""Tables are lines of aligned cells."""

from __future__ import annotations

import pytest

from pipeline.models.table import align_table


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
