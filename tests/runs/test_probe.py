"""The probe: it measures a piece of the image, and leaves nothing behind."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
from references import random_mixture

from pipeline import Density, Packed, Posterior, open_image
from pipeline.models.output import make_outputs
from pipeline.runs.probe import probe
from pipeline.runs.task import Job
from pipeline.stores.local import LocalStore

if TYPE_CHECKING:
    from pathlib import Path

CLASSES = {"a": random_mixture(1, 3), "b": random_mixture(2, 3)}
OUTPUTS = make_outputs({"density": Density(CLASSES["b"]), "packed": Packed(Posterior(CLASSES), "uint8")})


@pytest.mark.parametrize("shape", [(1500, 70), (40, 50), (0, 5)])
def test_it_is_extrapolated_from_a_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int]
) -> None:
    """Time and size go with the image; neither the store nor the temporary directory is touched."""
    monkeypatch.setattr(tempfile, "tempdir", os.fspath(tmp_path))
    image = open_image(np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8))
    engines = {output.name: "numexpr" for output in OUTPUTS}
    job = Job(LocalStore(tmp_path / "out.zarr"), OUTPUTS, engines)
    seconds, n_bytes = probe(job, image, n_blocks=1, threads=2)
    assert list(tmp_path.iterdir()) == []
    if not image.size:
        assert (seconds, n_bytes) == (0, 0)
        return
    assert seconds > 0
    # Noise can't be compressed much: four bytes for the density, one for each class.
    assert n_bytes == pytest.approx(6 * shape[0] * shape[1], rel=0.3)
