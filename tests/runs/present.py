"""What is under the name of an output now, and whether it is right or says that it isn't."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from runs.scenery import MODELS

from pipeline import open_result, verify
from pipeline.models.output import make_outputs
from pipeline.stores import layout
from pipeline.stores.layers import arrange
from pipeline.stores.store import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from runs.scenery import Run, Scenery

    from pipeline import Result
    from pipeline.images.grid import Grid
    from pipeline.stores.layers import Layer


def layers_of(run: Run) -> tuple[Layer, ...]:
    """Return the layers of the store of a run."""
    return arrange(make_outputs(MODELS[run.model]))


def is_of_block(path: str) -> bool:
    """Return whether a file is a shard, or the largest error of a block, and not of metadata."""
    return "c" in path.split("/")


def shards_of(run: Run, grid: Grid) -> Iterator[tuple[str, Fault]]:
    """Yield the path of each shard with the fault that it has if it is missing."""
    for level in range(grid.n_levels):
        for block in grid.level(level).blocks():
            for layer in layers_of(run):
                yield (
                    layout.shard_path(layer, block.index, level),
                    Fault(layer.name, block.index, "missing", level),
                )


def faults_of(run: Run, grid: Grid, hurt: Iterable[str], deleted: Iterable[str]) -> set[Fault]:
    """Return the faults that a store has, of which these files have another byte, and these are deleted."""
    hurt, deleted = set(hurt), set(deleted)
    errors = {
        layout.shard_path(layer, block.index): layout.error_path(layer, block.index)
        for layer in layers_of(run)
        if layer.encoding.is_lossy
        for block in grid.blocks()
    }
    faults = set()
    for path, fault in shards_of(run, grid):
        if path in deleted:
            faults.add(fault)
        elif path in hurt or errors.get(path) in hurt | deleted:
            faults.add(fault._replace(kind="damaged"))
    return faults


def check_faults(run: Run, grid: Grid, found: Iterable[Fault], expected: set[Fault], meta: set[str]) -> None:
    """Check that faults are exactly the damage that was done.

    A layer whose metadata have another byte may be damaged as a whole, or else be as if they hadn't, since a
    byte may make no difference.
    """
    counted = list(found)
    assert len(set(counted)) == len(counted)
    for layer in layers_of(run):
        of_layer = {fault for fault in counted if fault.layer == layer.name}
        wanted = {fault for fault in expected if fault.layer == layer.name}
        if of_layer != wanted:
            assert any(_may_concern(layer, path, run) for path in meta), (of_layer, wanted)
            assert of_layer == {
                fault._replace(kind="damaged")
                for _, fault in shards_of(run, grid)
                if fault.layer == layer.name
            }


def _may_concern(layer: Layer, path: str, run: Run) -> bool:
    """Return whether a layer needs the group or the array whose metadata file this is."""
    if path == layout.METADATA:
        return layer == layers_of(run)[0]
    return layer.is_at(path.removesuffix(f"/{layout.METADATA}"))


def check_values(
    result: Result,
    expected: Sequence[Mapping[str, NDArray[Any]]],
    faults: Iterable[Fault],
    skipped: Iterable[str],
) -> None:
    """Check every block of every level: it is right, or has no data if it is missing.

    Damaged blocks aren't read, nor are the layers that are skipped.
    """
    faulty = {(fault.layer, fault.block, fault.level): fault.kind for fault in faults}
    for level, wanted in enumerate(expected):
        try:
            got = result.at(level)
        except ValueError as error:
            assert skipped, error  # noqa: PT017  what is there mostly is right
            continue
        grid = result.record.grid.level(level)
        for layer in arrange(result.record.outputs):
            for output in [] if layer.name in skipped else layer.outputs:
                right = wanted[output.name].copy()
                readable = np.ones(grid.shape, bool)
                for block in grid.blocks():
                    kind = faulty.get((layer.name, block.index, level))
                    if kind == "missing":
                        right[..., *block.region] = output.encoding.decode(
                            np.array(output.no_data, output.dtype)
                        )
                    readable[block.region] = kind != "damaged"
                if readable.all():
                    np.testing.assert_array_equal(np.asarray(got[output.name]), right, strict=True)
                    continue
                for block in grid.blocks():
                    if readable[block.region].all():
                        values = np.asarray(got[output.name][..., *block.region])
                        np.testing.assert_array_equal(values, right[..., *block.region], strict=True)


class Present:
    """What must be under the name of an output, published or unfinished.

    Attributes
    ----------
    run : Run or None
        What the store is of, or None if there is none.
    before : dict
        The content that each file had before it was damaged or deleted.
    """

    def __init__(self) -> None:
        self.run: Run | None = None
        self.before: dict[str, bytes] = {}

    def set(self, run: Run | None) -> None:
        """Expect an intact store, or none."""
        self.run, self.before = run, {}

    @property
    def hurt_metadata(self) -> set[str]:
        """The metadata files that were damaged or deleted."""
        return {path for path in self.before if not is_of_block(path)}

    @property
    def is_root_hurt(self) -> bool:
        """Whether the file of the record is damaged or deleted."""
        return layout.METADATA in self.before


def check_published(address: str, present: Present, deleted: set[str], scenery: Scenery) -> None:
    """Check that what opens is complete and right, or says that it isn't."""
    run, meta = present.run, present.hurt_metadata
    assert run is not None
    try:
        found: Any = verify(address, progress="none")
    except ValueError as error:
        assert present.is_root_hurt, error  # noqa: PT017  what is there mostly is right
        with pytest.raises(ValueError, match=r"isn't a result|damaged|old format|format|can't read|no level"):
            open_result(address)
        return
    expected = scenery.expected(run)
    grid = expected.record.grid
    hurt = {path for path in present.before if path not in deleted}
    check_faults(run, grid, found.faults, faults_of(run, grid, hurt, deleted), meta)
    assert found.complete
    assert found.n_shards == len(list(shards_of(run, grid)))
    try:
        result = open_result(address)
    except ValueError as error:
        assert meta, error  # noqa: PT017  the same
        assert found.faults or present.is_root_hurt
        return
    unreadable = {layer.name for layer in layers_of(run) if any(_may_concern(layer, p, run) for p in meta)}
    check_values(
        result, scenery.values(run), found.faults, unreadable & {fault.layer for fault in found.faults}
    )
    if not found.faults:
        assert result.summary is not None
        assert expected.summary is not None
        assert result.summary.to_dict() == expected.summary.to_dict()
