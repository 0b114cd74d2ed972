"""The probe: it measures a piece of the image, and leaves nothing behind."""

from __future__ import annotations

import os
import tempfile
import threading
from typing import TYPE_CHECKING, Any

import dask
import dask.array as da
import numpy as np
import pytest
from references import random_mixture

from pipeline import Density, Packed, Posterior, open_image, plan
from pipeline.images.grid import choose_grid
from pipeline.models.output import make_outputs
from pipeline.runs.probe import probe
from pipeline.runs.task import Job
from pipeline.runs.threads import Threads
from pipeline.stores.local import LocalStore

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

CLASSES = {"a": random_mixture(1, 3), "b": random_mixture(2, 3)}
QUANTITIES = {"density": Density(CLASSES["b"]), "packed": Packed(Posterior(CLASSES), "uint8")}
OUTPUTS = make_outputs(QUANTITIES)


@pytest.mark.parametrize("shape", [(1500, 70), (40, 50), (0, 5)])
def test_it_is_extrapolated_from_a_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int]
) -> None:
    """Time and size go with the image; neither the store nor the temporary directory is touched."""
    monkeypatch.setattr(tempfile, "tempdir", os.fspath(tmp_path))
    image = open_image(np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8))
    engines = {output.name: "numexpr" for output in OUTPUTS}
    job = Job(LocalStore(tmp_path / "out.zarr"), OUTPUTS, engines)
    grid = choose_grid(shape)
    seconds, n_bytes, warning = probe(job, image, Threads(), grid)
    assert list(tmp_path.iterdir()) == []
    if not image.size:
        assert (seconds, n_bytes, warning) == (0, 0, None)
        return
    assert seconds > 0
    # Noise can't be compressed much: four bytes for the density, one for each class.
    levels = 21 / 16 if grid.n_levels > 1 else 1
    assert n_bytes == pytest.approx(6 * levels * shape[0] * shape[1], rel=0.3)


def test_the_projected_size_is_of_what_is_written(tmp_path: Path) -> None:
    """Of an image that is alike all over, the store is as large as its plan says."""
    image = np.random.default_rng(0).integers(0, 256, (1500, 700, 3), dtype=np.uint8)
    planned = plan(image, QUANTITIES, tmp_path / "out.zarr", block=256, progress="none")
    receipt = planned.execute()
    assert planned.output_bytes == pytest.approx(receipt.bytes_written, rel=0.1)


def test_nothing_is_left_of_a_probe(tmp_path: Path, tiff: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan removes what its probe wrote beside the store, or elsewhere if it can't write there."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", os.fspath(folder))
    before = sorted(tmp_path.rglob("*"))
    plan(tiff, QUANTITIES, tmp_path / "out.zarr")
    monkeypatch.setattr(LocalStore, "scratch", None)
    plan(tiff, QUANTITIES, tmp_path / "out.zarr")

    def fail(block: NDArray[np.uint8], block_info: Any = None) -> NDArray[np.uint8]:
        if block_info:
            raise OSError("the scanner is on fire")
        return block

    image = da.zeros((50, 60, 3), chunks=(25, 60, 3), dtype=np.uint8).map_blocks(fail, dtype=np.uint8)
    with pytest.raises(OSError, match="the scanner is on fire"):
        plan(image, QUANTITIES, tmp_path / "out.zarr")
    assert sorted(tmp_path.rglob("*")) == before


def test_threads_that_do_not_begin_are_not_awaited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system gives no more threads, planning ends with the error."""
    start, n_begun = threading.Thread.start, 0

    def begin(thread: threading.Thread) -> None:
        nonlocal n_begun
        n_begun += 1
        if n_begun > 3:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", begin)
    with dask.config.set(num_workers=8), pytest.raises(RuntimeError, match="can't start new thread"):
        plan(np.zeros((60, 70, 3), np.uint8), Density(CLASSES["a"]), tmp_path / "out.zarr", block=16)
    assert list(tmp_path.iterdir()) == []
