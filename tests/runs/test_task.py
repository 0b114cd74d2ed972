"""Tasks: what the task of one block writes, and what it reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from references import random_mixture

from pipeline import Density, Label, LogDensity, Mixture, Packed, Posterior, evaluate, open_image
from pipeline.images.grid import Grid
from pipeline.models.output import make_outputs
from pipeline.runs.task import Job, run_task
from pipeline.stores.local import LocalStore
from pipeline.testing.stores import make_record

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.models.quantity import Quantity

CLASSES = {"a": random_mixture(1, 3), "b": random_mixture(2, 3)}
QUANTITIES: dict[str, Quantity | Packed] = {
    "density": Density(random_mixture(2, 3)),
    "packed": Packed(Posterior(CLASSES), "uint8"),
    "label": Label(CLASSES),
}
SHAPE = (70, 90)


@pytest.fixture
def image(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give a part of the photo."""
    return photo[100:170, 200:290]


def make_job(directory: Path, quantities: dict[str, Quantity | Packed], engine: str = "numexpr") -> Job:
    """Create a store of blocks of 32 x 32."""
    grid = Grid(SHAPE, (32, 32), (16, 16))
    outputs = make_outputs(quantities)
    store = LocalStore(directory)
    store.create(make_record(outputs=outputs, grid=grid))
    return Job(store, grid, outputs, {output.name: engine for output in outputs})


def test_a_task_writes_the_outputs_that_it_is_given(tmp_path: Path, image: NDArray[np.uint8]) -> None:
    """A task writes some outputs of its block, and reports how many pixels and bytes it wrote."""
    opened = open_image(image)
    job = make_job(tmp_path / "out.zarr", QUANTITIES)
    done = run_task(job, opened.part(job.grid.region((2, 2))), (2, 2), ("label", "packed"))
    directory = tmp_path / "out.zarr"
    files = [path for path in directory.glob("*/0/c/**/*") if path.is_file()]
    assert sorted(path.relative_to(directory).as_posix() for path in files) == [
        "label/0/c/2/2",
        "packed/0/c/0/2/2",
    ]
    assert done.pixels == 6 * 26
    assert done.n_bytes == sum(path.stat().st_size for path in files)
    assert done.memory > 2**20


@pytest.mark.parametrize("engine", ["numexpr", "table"])
@pytest.mark.parametrize("kind", ["mask", "alpha", "no_data"])
def test_errors_are_those_of_pixels_with_data(
    tmp_path: Path, image: NDArray[np.uint8], engine: str, kind: str
) -> None:
    """The recorded error is the largest one of the stored pixels, whatever the background is."""
    image = np.maximum(image, 60)
    image[20:50, 20:70] = image[60:] = 0
    valid = (image != 0).any(axis=-1)
    sources: dict[str, tuple[Any, dict[str, Any]]] = {
        "mask": (image, {"mask": valid}),
        "alpha": (np.dstack([image, valid.astype(np.uint8)]), {"mask": "alpha"}),
        "no_data": (image, {"no_data": 0}),
    }
    quantity = LogDensity(Mixture([1], [[150, 150, 150]], [[500, 500, 500]]))
    exact: Any = evaluate(image, quantity, dtype="float64")
    # Black is farther below the range than any stored pixel is from its integer.
    packed = Packed(quantity, "uint8", exact[valid].min(), exact[valid].max())
    codes = np.empty(SHAPE, np.uint8)
    errors = packed.encoding.encode(exact, codes)
    assert errors[~valid].max() > 2 * errors[valid].max() > 0
    codes[~valid] = 255
    job = make_job(tmp_path / "out.zarr", {"packed": packed}, engine)
    source, options = sources[kind]
    opened = open_image(source, **options).fitted(3, None)
    for index in job.grid.blocks():
        run_task(job, opened.part(job.grid.region(index)), index, ("packed",))
    recorded = job.store.largest_errors(job.outputs)["packed"]
    assert recorded == pytest.approx(errors[valid].max(), rel=1e-6)
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "out.zarr", path="packed/0", mode="r")[:], codes)
