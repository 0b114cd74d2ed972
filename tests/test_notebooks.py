"""The notebooks run from top to bottom, and are kept with the outputs of their code, which are small."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from notebooks import NOTEBOOKS, digest, execute, kinds, read

if TYPE_CHECKING:
    from pathlib import Path

# Bytes of a notebook, at most.
MOST = 300_000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path) -> None:
    """Every cell runs without an error, and gives outputs of the kinds that are stored."""
    assert kinds(execute(path)) == kinds(read(path))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_kept_with_its_outputs(path: Path) -> None:
    """Outputs are those of this code; if not, store them again: .venv/bin/python tests/notebooks.py NAME."""
    notebook = read(path)
    assert notebook.metadata["mixture_pipeline"]["code"] == digest(notebook)
    assert path.stat().st_size < MOST
    # No warning and no traceback is shown.
    assert not {"stderr", "error"} & {kind for cell in kinds(notebook) for output in cell for kind in output}
    assert all(cell.get("execution_count") is None and not cell.metadata for cell in notebook.cells)
