"""The images and models of the campaign, and the stores that undisturbed runs make of them."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import dask
import numpy as np
from expected import assert_right
from stores import released_stores

from pipeline import Density, Label, Mixture, Packed, Posterior, open_result, resume, stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from distributed import Client
    from numpy.typing import NDArray

    from pipeline import Progress, Receipt, Result

_ONE = Mixture([0.6, 0.4], [[80.0, 90.0, 100.0], [170.0, 130.0, 70.0]], [[3000.0, 2000.0, 2500.0]] * 2)
_OTHER = Mixture([1.0], [[140.0, 130.0, 120.0]], [[2500.0, 4000.0, 3000.0]])


def _quantities(first: Mixture, second: Mixture) -> dict[str, Any]:
    classes = {"first": first, "second": second}
    return {
        "density": Density(first),
        "chance": Packed(Posterior(classes, only="first"), "uint8"),
        "label": Label(classes),
    }


MODELS: dict[str, dict[str, Any]] = {
    "one": _quantities(_ONE, _OTHER),
    "other": _quantities(_OTHER, _ONE),
    "released": released_stores.QUANTITIES,
}
# The number of the content of the file, or None for an array in memory.
FILE, ARRAY, RELEASED = "file", "array", "released"


class Run(NamedTuple):
    """What a store is of.

    Attributes
    ----------
    image : str
        ``"file"``, ``"array"`` or ``"released"``.
    version : int
        How often the file had been written when the run read it; 0 for an array.
    model : str
        A name in :data:`MODELS`.
    """

    image: str
    version: int
    model: str

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """The pixels of the image."""
        if self.image == RELEASED:
            return released_stores.make_image()
        shape = (24, 12, 3) if self.image == FILE else (70, 14, 3)
        # A file that is written again has one of two contents, the same one every other time.
        return np.random.default_rng(self.version % 2).integers(0, 256, shape, dtype=np.uint8)


class Scenery:
    """A folder with the image file, and the stores of undisturbed runs.

    Parameters
    ----------
    folder : Path
        A directory for this and other machines, which keep their expected stores there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._expected: dict[Run, Result] = {}
        self._values: dict[Run, list[dict[str, NDArray[Any]]]] = {}

    def write_file(self, file: Path, version: int) -> None:
        """Write the content of a version to the image file, at a time of its own."""
        np.save(file, Run(FILE, version, "").pixels)
        os.utime(file, ns=(version * 10**9, version * 10**9))

    def expected(self, run: Run) -> Result:
        """Return the result of an undisturbed run, which is compared with independent numbers once."""
        key = run._replace(version=run.version % 2)
        if key not in self._expected:
            store = self._folder / f"{'-'.join(map(str, key))}.zarr"
            with dask.config.set(num_workers=1):
                start("run", run.pixels, run.model, os.fspath(store))
            result = open_result(store)
            assert_right(result, run.pixels, MODELS[run.model])
            self._expected[key] = result
        return self._expected[key]

    def values(self, run: Run) -> list[dict[str, NDArray[Any]]]:
        """Return the values of each output at each level."""
        result = self.expected(run)
        key = run._replace(version=run.version % 2)
        if key not in self._values:
            self._values[key] = [
                {name: np.asarray(values) for name, values in result.at(level).items()}
                for level in range(len(result.levels))
            ]
        return self._values[key]

    def shard(self, run: Run, path: str) -> bytes:
        """Return a file of the store of an undisturbed run."""
        return Path(self.expected(run).address, path).read_bytes()


def start(
    way: str,
    image: Any,
    model: str,
    store: str,
    client: Client | None = None,
    progress: str | Callable[[Progress], None] = "none",
) -> Receipt:
    """Start a run, which is to be ``"run"``, ``"overwrite"``, ``"resume"`` or ``"go on"`` by its record."""
    if way == "go on":
        return resume(store, image=image, progress=progress, client=client, memory_limit="8 GiB")
    return stream(
        image,
        MODELS[model],
        store,
        block=released_stores.BLOCK,
        memory_limit="8 GiB",
        resume=way == "resume",
        overwrite=way == "overwrite",
        progress=progress,
        client=client,
    )


def at_block(number: int, act: Callable[[], None]) -> Callable[[Progress], None]:
    """Make a listener that acts when so many blocks are done."""
    once = itertools.count()

    def listen(event: Progress) -> None:
        if event.blocks == number and next(once) == 0:
            act()

    return listen
