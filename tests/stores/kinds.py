"""Stores of every kind, with the summary of what is in them: what other programs are shown."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.compute.summarizing import Totals, summarize_block
from pipeline.images.geometry import UNKNOWN, Geometry
from pipeline.images.grid import Grid
from pipeline.models.class_quantities import Confidence, Label, Posterior
from pipeline.models.mixture_quantities import Density, LogDensity, LogRatio
from pipeline.models.output import make_outputs
from pipeline.models.packed import Packed
from pipeline.stores.layers import arrange
from pipeline.stores.local import LocalStore
from pipeline.testing.filling import CLASSES, GRID, make_receipt, make_record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.models.output import Output
    from pipeline.stores.layers import Layer
    from pipeline.stores.record import Record

MICROMETERS = Geometry((0.5, 0.25), (10.0, 20.0))
ON_A_MAP = Geometry(None, (0.0, 0.0), "EPSG:32633", (10.0, 0.0, 5e5, 0.0, -10.0, 49e5))
ODD_NAMES = {'<b>&amp; "ö"': CLASSES["a"], "two\nlines": CLASSES["b"]}


@dataclass(frozen=True)
class Kind:
    """What is in a store, and where its image lies."""

    quantities: Mapping[str, Any]
    geometry: Geometry = UNKNOWN
    grid: Grid = GRID
    dtype: str | None = None

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The outputs of the run."""
        return make_outputs(self.quantities, self.dtype)

    @property
    def record(self) -> Record:
        """The record of the run."""
        record = make_record(self.grid, self.outputs)
        return replace(record, image=replace(record.image, geometry=self.geometry))


_ALL = {
    "density": Density(CLASSES["b"]),
    "chances": Posterior(CLASSES),
    "bytes": Packed(Posterior(CLASSES), "uint8"),
    "half": Packed(Density(CLASSES["b"]), "float16"),
    "label": Label(CLASSES),
    "other": Label(CLASSES, {"a": 1, "b": 9}),
}
KINDS = {
    "plain": Kind({"density": Density(CLASSES["b"])}),
    "several": Kind({"density": Density(CLASSES["b"]), "ratio": LogRatio(CLASSES["a"], CLASSES["b"])}),
    "double": Kind({"surprise": LogDensity(CLASSES["a"])}, MICROMETERS, dtype="float64"),
    "posterior": Kind({"chances": Posterior(ODD_NAMES), "sure": Confidence(ODD_NAMES)}, MICROMETERS),
    "packed": Kind({"bytes": Packed(Posterior(CLASSES), "uint8")}, MICROMETERS),
    "several packed": Kind(
        {
            "half": Packed(Density(CLASSES["b"]), "float16"),
            "log": Packed(Density(CLASSES["b"]), "uint16", 1e-12, 1.0, "log"),
            "ratio": Packed(LogRatio(CLASSES["a"], CLASSES["b"]), "uint8", -5.0, 5.0),
        }
    ),
    "label": Kind({"label": Label(CLASSES)}, MICROMETERS),
    "several labels": Kind({"label": Label(ODD_NAMES), "other": Label(CLASSES, {"a": 1, "b": 9})}),
    "all": Kind(_ALL, MICROMETERS),
    "on a map": Kind(_ALL, ON_A_MAP),
    "label on a map": Kind({"label": Label(CLASSES)}, ON_A_MAP),
    "one level": Kind(_ALL, grid=Grid((13, 9), (16, 16), (16, 16))),
    "one pixel": Kind(_ALL, ON_A_MAP, Grid((1, 1), (16, 16), (16, 16))),
    "one row": Kind(_ALL, grid=Grid((1, 90), (16, 32), (16, 16))),
}


def numbers_of(layer: Layer, shape: tuple[int, int]) -> NDArray[Any]:
    """Make the stored numbers of a level, shape (J, h, w): those of labels are its classes or no data."""
    random = np.random.default_rng([*shape, layer.n_channels])
    if layer.is_label:
        found = random.integers(0, len(layer.outputs[0].label_names or ()) + 1, (1, *shape))
        return np.where(found == found.max(), layer.no_data, found).astype(layer.dtype)
    if layer.dtype.kind == "u":
        return random.integers(0, 200, (layer.n_channels, *shape)).astype(layer.dtype)
    return random.random((layer.n_channels, *shape)).astype(layer.dtype)


def summarized(kind: Kind, make: Callable[[Layer, tuple[int, int]], NDArray[Any]] = numbers_of) -> Record:
    """Make the record of a finished run, with the summary of the stored numbers of the full resolution."""
    record = kind.record
    layers = arrange(record.outputs)
    planes = [make(layer, record.grid.shape) for layer in layers]
    found = [
        numbers[layer.planes_of(output)]
        for output in record.outputs
        for layer, numbers in zip(layers, planes, strict=True)
        if output in layer.outputs
    ]
    totals = Totals(record.outputs)
    totals.add(summarize_block(record.outputs, found, None, compiled=False))
    summary = totals.result(record.grid.n_pixels, record.image.geometry.pixel_area)
    return replace(record, receipt={**make_receipt(record), "summary": summary.to_dict()})


def write(path: Path, kind: Kind) -> Path:
    """Write a whole store of a kind, with its summary, and return its path."""
    record, store = kind.record, LocalStore(path)
    store.create(record)
    for level in range(record.grid.n_levels):
        grid = record.grid.level(level)
        for layer in arrange(record.outputs):
            numbers = numbers_of(layer, grid.shape)
            for block in grid.blocks():
                store.write_block(layer, block, numbers[:, *block.region], level=level, error=0.25).publish()
    store.finish(summarized(kind).receipt or {})
    return path
