"""What the contract of stores is made of: a small run's record, its blocks, and ways to write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline.images.description import Description
from pipeline.images.grid import Block, Grid
from pipeline.models.class_quantities import Label, Posterior
from pipeline.models.mixture import Mixture
from pipeline.models.mixture_quantities import Density
from pipeline.models.output import make_outputs
from pipeline.models.packed import Packed
from pipeline.stores.layers import arrange
from pipeline.stores.record import Record, current_version

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.models.output import Output
    from pipeline.stores.layers import Layer
    from pipeline.stores.store import Store

GRID = Grid((50, 70), (32, 48), (16, 16))
CLASSES = {
    "a": Mixture([1.0], [[10.0, 20.0, 30.0]], [[100.0, 200.0, 300.0]]),
    "b": Mixture([0.5, 0.5], [[50.0, 60.0, 70.0], [1.0, 2.0, 3.0]], [[400.0, 500.0, 600.0]] * 2),
}
# One plain output, one with an axis of classes and a lossy encoding, and one of integers.
OUTPUTS = make_outputs(
    {
        "density": Density(CLASSES["b"]),
        "chances": Packed(Posterior(CLASSES), "uint8"),
        "label": Label(CLASSES),
    }
)
# Each of them is a layer of its own.
LAYERS = arrange(OUTPUTS)
FRESH = {"overwrite": False, "resume": False}
REPLACING = {"overwrite": True, "resume": False}
RESUMED = {"overwrite": False, "resume": True}


def make_record(
    grid: Grid = GRID, outputs: tuple[Output, ...] = OUTPUTS, identity: str = "1", **fields: Any
) -> Record:
    """Make the record of a run that hasn't finished, on an image of any identity."""
    image = Description((*grid.shape, 3), np.dtype("uint8"), ("red", "green", "blue"), identity, None)
    known = {"masks": (), "has_alpha": False, "no_data": None, "version": current_version()}
    engines = {output.name: "numexpr" for output in outputs}
    return Record(**{"image": image, "grid": grid, "outputs": outputs, "engines": engines, **known, **fields})


def make_receipt(record: Record) -> dict[str, Any]:
    """Make a receipt that the record of a run can have."""
    return {"pixels": record.grid.n_pixels, "blocks": record.grid.n_blocks, "skipped": []}


def make_values(layer: Layer, block: Block, seed: int = 0) -> NDArray[Any]:
    """Make random stored numbers for a block."""
    random = np.random.default_rng([seed, *block.index, block.n_pixels])
    return random.integers(0, 250, (layer.n_channels, *block.extent)).astype(layer.dtype)


def fill(store: Store, record: Record, *, seed: int = 0, n_blocks: int | None = None) -> None:
    """Create a store, write all blocks, or the first ones, and finish it if all are written."""
    store.create(record)
    for level in range(record.grid.n_levels):
        for block in list(record.grid.level(level).blocks())[:n_blocks]:
            for layer in arrange(record.outputs):
                values = make_values(layer, block, seed)
                store.write_block(layer, block, values, level=level, error=0.25).publish()
    if n_blocks is None:
        store.finish(make_receipt(record))


def interrupt(store: Store, options: dict[str, bool], record: Record, n_blocks: int) -> None:
    """Begin a run that writes some blocks and is interrupted then."""

    def run() -> None:
        with store.opened_for_run(**options) as opened:
            fill(opened, record, n_blocks=n_blocks)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
