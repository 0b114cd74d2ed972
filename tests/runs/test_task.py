"""Jobs: what the task of one block writes, and what it says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from references import random_mixture

from pipeline import Density, Label, LogDensity, Mixture, Packed, Posterior, evaluate
from pipeline.compute.engine import Request
from pipeline.images.grid import Grid
from pipeline.images.opening import open_inputs
from pipeline.runs.task import Job, do_block
from pipeline.stores.local import create, largest_errors

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.models.quantity import Quantity

CLASSES = {"a": random_mixture(1, 3), "b": random_mixture(2, 3)}
QUANTITIES: dict[str, Quantity] = {
    "density": Density(random_mixture(2, 3)),
    "packed": Packed(Posterior(CLASSES), "uint8"),
    "label": Label(CLASSES),
}
SHAPE = (70, 90)


@pytest.fixture
def image(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give a part of the photo."""
    return photo[100:170, 200:290]


def job_of(directory: Path, quantities: dict[str, Quantity], engine: str = "numexpr") -> Job:
    """Create a store of blocks of 32 x 32."""
    grid = Grid(SHAPE, (32, 32), (16, 16))
    requests = {name: Request(q, q.output_dtype(), engine) for name, q in quantities.items()}
    create(directory, grid, quantities, {})
    return Job(directory, grid, requests)


def test_a_task_does_what_it_is_asked(tmp_path: Path, image: NDArray[np.uint8]) -> None:
    """Of several results a task writes those that are wanted, and says how many pixels and bytes."""
    inputs = open_inputs(image, QUANTITIES, mask=None, no_data=None)
    job = job_of(tmp_path / "out.zarr", QUANTITIES)
    assert job.quantities == QUANTITIES
    done = do_block(job, inputs.cut(job.grid.region((2, 2))), (2, 2), ("label", "packed"))
    files = [path for path in job.directory.glob("*/0/c/**/*") if path.is_file()]
    assert sorted(path.relative_to(job.directory).as_posix() for path in files) == [
        "label/0/c/2/2",
        "packed/0/c/0/2/2",
    ]
    assert done.pixels == 6 * 26
    assert done.n_bytes == sum(path.stat().st_size for path in files)
    assert done.memory > 2**20


@pytest.mark.parametrize("engine", ["numexpr", "table"])
@pytest.mark.parametrize("kind", ["mask", "alpha", "no_data"])
def test_errors_are_of_what_has_data(
    tmp_path: Path, image: NDArray[np.uint8], engine: str, kind: str
) -> None:
    """The error that is recorded is the largest of the pixels that are stored, whatever the background is."""
    image = np.maximum(image, 60)
    image[20:50, 20:70] = image[60:] = 0
    valid = (image != 0).any(axis=-1)
    sources: dict[str, tuple[Any, dict[str, Any]]] = {
        "mask": (image, {"mask": valid, "no_data": None}),
        "alpha": (np.dstack([image, valid.astype(np.uint8)]), {"mask": "alpha", "no_data": None}),
        "no_data": (image, {"mask": None, "no_data": 0}),
    }
    quantity = LogDensity(Mixture([1], [[150, 150, 150]], [[500, 500, 500]]))
    exact: Any = evaluate(image, quantity, dtype="float64")
    # Black is farther below the range than any stored pixel is from its code.
    packed = Packed(quantity, "uint8", exact[valid].min(), exact[valid].max())
    codes = np.empty(SHAPE, np.uint8)
    errors = packed.pack(exact, codes)
    assert errors[~valid].max() > 2 * errors[valid].max() > 0
    codes[~valid] = 255
    job = job_of(tmp_path / "out.zarr", {"packed": packed}, engine)
    source, options = sources[kind]
    inputs = open_inputs(source, job.quantities, **options)
    for index in job.grid.blocks():
        do_block(job, inputs.cut(job.grid.region(index)), index, ("packed",))
    recorded = largest_errors(job.directory, ["packed"])["packed"]
    assert recorded == pytest.approx(errors[valid].max(), rel=1e-6)
    np.testing.assert_array_equal(zarr.open_array(job.directory, path="packed/0", mode="r")[:], codes)
