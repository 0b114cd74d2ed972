"""The layers of a store: which outputs share an array, and where the arrays of each level are.

A store is an OME-Zarr image itself, whose channels are the outputs that are floats. Each packed output is an
image of its own, since its integers have a decoding of their own, and each label is a label image. Every
level is a group of its own, with one array, so that xarray opens it as a dataset.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.images.zarr_chunks import chunk_reader
from pipeline.models.summary import result_names

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import zarr
    from numpy.typing import NDArray

    from pipeline.models.encoding import Encoding
    from pipeline.models.output import Output
    from pipeline.stores.store import Index

LABELS, PACKED = "labels", "packed"
# The groups of the largest errors of packed outputs, which aren't images.
_ERRORS = "largest_errors"
# The name of the arrays of the store's own image.
_IMAGE = "image"


@dataclass(frozen=True)
class Layer:
    """One or several outputs that are the channels of one array at each level.

    Attributes
    ----------
    path : str
        The path of the image's group in the store; the store's own image has the path ``""``.
    outputs : tuple of Output
        They have the same dtype. Only one output is in a layer if it is packed or a label.
    """

    path: str
    outputs: tuple[Output, ...]

    @property
    def name(self) -> str:
        """The names of the outputs."""
        return ", ".join(output.name for output in self.outputs)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the stored numbers."""
        return self.outputs[0].dtype

    @property
    def no_data(self) -> float:
        """The stored number that marks a pixel without data."""
        return self.outputs[0].no_data

    @property
    def encoding(self) -> Encoding:
        """The encoding of the outputs."""
        return self.outputs[0].encoding

    @property
    def is_label(self) -> bool:
        """Whether the numbers are those of classes."""
        return self.outputs[0].label_names is not None

    @property
    def n_channels(self) -> int:
        """The number of planes, J."""
        return sum(output.n_results for output in self.outputs)

    @property
    def channels(self) -> tuple[str, ...]:
        """The name of each plane: that of an output, followed by that of a class."""
        return tuple(name for output in self.outputs for name in result_names(output))

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of the axes of an array. A label has no channels."""
        return ("y", "x") if self.is_label else ("c", "y", "x")

    @property
    def leading(self) -> tuple[int, ...]:
        """The shape of an array without the last two axes."""
        return () if self.is_label else (self.n_channels,)

    def planes_of(self, output: Output) -> slice:
        """Return which of the planes are those of an output."""
        number = self.outputs.index(output)
        first = sum(other.n_results for other in self.outputs[:number])
        return slice(first, first + output.n_results)

    def read(
        self,
        array: zarr.Array[Any],
        region: tuple[slice, slice],
        planes: slice = slice(None),
        *,
        directory: Path | None = None,
    ) -> NDArray[Any]:
        """Read the stored numbers of a region of an array of the layer, shape (J, h, w), or some planes.

        If the array is in a directory of this machine, it is read in this thread, which takes no more memory
        than the numbers and a chunk.
        """
        wanted = region if self.is_label else (planes, *region)
        if reader := chunk_reader(array, directory):
            stored = reader.read(tuple(range(n)[one] for n, one in zip(array.shape, wanted, strict=True)))
        else:
            stored = np.asarray(array[wanted])
        return stored[None] if self.is_label else stored

    def is_whole(self, array: zarr.Array[Any], index: Index, *, directory: Path | None = None) -> bool:
        """Return whether a shard of an array of the layer can be decoded: all that it holds has checksums."""
        try:
            sides = (array.shards or ())[-2:]
            rows, columns = (slice(i * n, (i + 1) * n) for i, n in zip(index, sides, strict=True))
            for plane in range(1 if self.is_label else array.shape[0]):
                self.read(array, (rows, columns), slice(plane, plane + 1), directory=directory)
        except Exception:  # noqa: BLE001  damaged bytes make decoders raise any exception
            return False
        return True

    def level_path(self, level: int) -> str:
        """Return the path of the group of a level."""
        return f"{self.path}/{level}".removeprefix("/")

    def array_path(self, level: int = 0) -> str:
        """Return the path of the array of a level; level 0 is the full resolution."""
        return f"{self.level_path(level)}/{self.path.rpartition('/')[2] or _IMAGE}"

    def is_at(self, path: str) -> bool:
        """Return whether the layer needs the group or array of a path below the root."""
        if path in {self.errors_path, _ERRORS}:
            return self.encoding.is_lossy
        if not self.path:
            return path.partition("/")[0].isdecimal()
        return f"{path}/".startswith(f"{self.path}/") or f"{self.path}/".startswith(f"{path}/")

    @property
    def errors_path(self) -> str:
        """The path of the array of the largest error of each block, which a packed output has."""
        return f"{_ERRORS}/{self.name}"


def arrange(outputs: Sequence[Output]) -> tuple[Layer, ...]:
    """Arrange outputs in layers.

    Parameters
    ----------
    outputs : sequence of Output

    Returns
    -------
    tuple of Layer
        The store's own image first. Where no output is a float that isn't packed, it is the first packed
        one, and where all outputs are labels there is none.
    """
    labels = [output for output in outputs if output.label_names is not None]
    packed = [output for output in outputs if output.encoding.is_lossy]
    plain = tuple(output for output in outputs if output not in labels and output not in packed)
    own = [plain] if plain else [(packed.pop(0),)] if packed else []
    return (
        *(Layer("", outputs) for outputs in own),
        *(Layer(f"{PACKED}/{output.name}", (output,)) for output in packed),
        *(Layer(f"{LABELS}/{output.name}", (output,)) for output in labels),
    )
