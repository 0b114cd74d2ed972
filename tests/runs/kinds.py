"""Every kind of run, small enough to be disturbed at each of its calls, and how it is gone on with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import pytest
from runs.disturbed import at_block

from pipeline import Density, LogDensity, Mixture, Packed, open_result, stream

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

IMAGE = np.random.default_rng(0).integers(0, 256, (24, 12, 3), dtype=np.uint8)
MIXTURE = Mixture([1.0], [[100.0, 110.0, 120.0]], [[3000.0, 2000.0, 4000.0]])
QUANTITIES = {"density": Density(MIXTURE), "half": Packed(Density(MIXTURE), "float16")}
OLD = {"old": LogDensity(MIXTURE)}


def run(store: Path, quantities: Any = QUANTITIES, **options: Any) -> None:
    """Run in two blocks, in one thread, so that each time the order is the same."""
    with dask.config.set(num_workers=1):
        stream(IMAGE, quantities, store, **{"block": 16, "progress": "none", **options})


def interrupt(store: Path, **options: Any) -> None:
    """Interrupt a run after one block."""
    with pytest.raises(KeyboardInterrupt):
        run(store, progress=at_block(1, KeyboardInterrupt()), **options)


def damage(store: Path) -> None:
    """Damage a shard and the metadata of a whole store, and remove another shard."""
    run(store)
    shard = store / "0/image/c/0/0/0"
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    (store / "packed/half/0/half/c/0/1/0").unlink()
    (store / "packed/half/0/zarr.json").write_bytes(b"{")


def replace(store: Path) -> None:
    """Make an old store, and the unfinished one of a run that shall replace it."""
    run(store, OLD)
    interrupt(store, overwrite=True)


# What is there before the run that is recorded, and the options of this run.
KINDS: dict[str, tuple[Callable[[Path], None], dict[str, bool]]] = {
    "fresh": (lambda _: None, {}),
    "overwrite": (lambda store: run(store, OLD), {"overwrite": True}),
    "discard": (replace, {"overwrite": True}),
    "resume": (interrupt, {"resume": True}),
    "replace": (replace, {"resume": True}),
    "mend": (damage, {"resume": True}),
}
# Those that have an old result, which must not be lost before the new one is there.
REPLACING = {"overwrite", "discard", "replace"}


def go_on(store: Path) -> None:
    """Resume, or start where another run's result is."""
    try:
        run(store, resume=True)
    except ValueError as error:
        assert "can't be resumed" in str(error)  # noqa: PT017  most runs raise nothing
        assert list(open_result(store)) == list(OLD)
        run(store, overwrite=True)


def start_again(store: Path) -> None:
    """Overwrite whatever is there."""
    run(store, overwrite=True)
