"""What a run reads: an image and its mask, opened, checked against the quantities, and cut for tasks."""

from __future__ import annotations

import hashlib
import math
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import dask.array as da
import numpy as np
import zarr
from dask.base import optimize, tokenize

from pipeline.compute.engine import check_image, has_data
from pipeline.models.quantity import Quantity
from pipeline.images.tiff import ImageFile, open_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Source = ImageFile | NDArray[Any] | da.Array | zarr.Array[Any]
    Region = tuple[slice, slice]

_CHANNEL_LETTERS = {"red": "R", "green": "G", "blue": "B", "alpha": "A"}
# As a mask, the image's own alpha channel, which comes last.
ALPHA = "alpha"


@dataclass(frozen=True)
class Inputs:
    """An image, opened, and which of its pixels have data."""

    image: Source
    # Of the image's height and width, with or without an axis of one channel.
    mask: Source | None
    has_alpha: bool
    no_data: float | None

    @property
    def extent(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.image.shape[0], self.image.shape[1]

    @property
    def n_channels(self) -> int:
        """Channels without the alpha that is a mask."""
        return int(self.image.shape[2]) - self.has_alpha

    @property
    def paths(self) -> list[Path]:
        """The local files and directories that are read."""
        return [path for source in (self.image, self.mask) if (path := _path(source))]

    @property
    def name(self) -> str:
        """What an error calls the image: its path, where it has one."""
        return str(_path(self.image) or "the image")

    @property
    def tile(self) -> tuple[int, int]:
        """The piece that the image decodes at once; (1, 1) where any piece will do."""
        tile: tuple[int, ...] = (1, 1)
        if isinstance(self.image, ImageFile):
            tile = self.image.tile
        elif isinstance(self.image, zarr.Array):
            tile = self.image.shards or self.image.chunks
        elif isinstance(self.image, da.Array):
            tile = tuple(int(length) for length in self.image.chunksize)
        return max(1, tile[0]), max(1, tile[1])

    @property
    def is_persisted(self) -> bool:
        """Whether pixels are held by a Dask cluster."""
        lazy = [source for source in (self.image, self.mask) if isinstance(source, da.Array)]
        if not lazy or "distributed" not in sys.modules:
            return False
        from distributed import futures_of  # noqa: PLC0415  costs half a second where no cluster is used

        return bool(futures_of(lazy))

    def cut(self, region: Region) -> Piece:
        """Give a task what it reads of a region: of what is in memory here, a worker gets its piece alone."""
        return Piece(_cut(self.image, region), _cut(self.mask, region), self.has_alpha, self.no_data)

    def describe(self) -> dict[str, Any]:
        """Record what is read, so that another run can tell whether it reads the same."""
        mask = ALPHA if self.has_alpha else _describe(self.mask)
        return {"image": _describe(self.image), "mask": mask, "no_data": self.no_data}


class Piece(NamedTuple):
    """What is read of one block."""

    image: Any
    mask: Any
    has_alpha: bool
    no_data: float | None

    def read(self) -> tuple[NDArray[Any] | None, NDArray[np.bool_] | None]:
        """Read the pixels, and which of them have data.

        Returns
        -------
        pixels : ndarray, shape (h, w, C), or None
            None where none has data. Those without have the colour of one with: so they cost no colour of
            their own, and count in no error.
        valid : ndarray of bool, shape (h, w), or None
            None where all have data.
        """
        told = []
        if self.mask is not None:
            mask = _read(self.mask)
            told.append(has_data(mask.reshape(mask.shape[:2])))
            if not told[0].any():
                return None, told[0]
        pixels = _read(self.image)
        if self.has_alpha:
            told.append(pixels[..., -1] != 0)
            pixels = pixels[..., :-1]
        if self.no_data is not None:
            told.append((pixels != self.no_data).any(axis=-1))
        if not told:
            return pixels, None
        valid = np.logical_and.reduce(told)
        if not valid.any():
            return None, valid
        first = np.unravel_index(valid.argmax(), valid.shape)
        return np.where(valid[..., np.newaxis], pixels, pixels[first]), valid


class _Part(NamedTuple):
    """A region of something that the task opens itself."""

    source: Any
    region: Region


def name_quantities(quantities: Quantity | Mapping[str, Quantity]) -> dict[str, Quantity]:
    """Give each quantity its name: its own if it is the only one.

    Raises
    ------
    TypeError, ValueError
        If there is none, or a name isn't one that a directory can have anywhere.
    """
    if isinstance(quantities, Quantity):
        return {quantities.name: quantities}
    if not isinstance(quantities, Mapping):
        raise TypeError(
            f"quantities are {quantities!r:.80}; wanted one, as Density(mixture), or a mapping of names"
        )
    named = dict(quantities)
    for name, quantity in named.items():
        if not isinstance(quantity, Quantity):
            raise TypeError(f"the quantity {name!r} is {quantity!r:.80}; wanted one, as Density(mixture)")
    if not named:
        raise ValueError("got no quantities; wanted at least one")
    for name in named:
        if not str(name).replace("-", "_").isidentifier():
            raise ValueError(
                f"a quantity is named {name!r}; wanted letters, digits, - and _, as in 'skin-density'"
            )
    return named


def open_inputs(
    image: str | os.PathLike[str] | Source,
    named: Mapping[str, Quantity],
    *,
    mask: str | os.PathLike[str] | Source | None,
    no_data: float | None,
) -> Inputs:
    """Open an image and its mask, and check that the quantities can be evaluated on them.

    Parameters
    ----------
    image : path or array, shape (H, W, C)
        A path is opened with its channels in the quantities' order.
    named : mapping of str to Quantity
    mask : path, array or "alpha", optional
        As of :func:`stream`.
    no_data : float, optional
        As of :func:`stream`.

    Returns
    -------
    Inputs

    Raises
    ------
    FileNotFoundError
        If there is no such image or mask.
    TypeError, ValueError
        If they can't be read, don't fit one another, or lack the mixtures' channels.
    """
    no_data = None if no_data is None else _finite(no_data)
    has_alpha = isinstance(mask, str) and mask == ALPHA
    channels = _common_channels(named)
    if isinstance(image, str | os.PathLike):
        opened: Source = _open_path(image, _letters(channels) + ("A" if has_alpha else ""))
    else:
        opened = image
    source = _check_array(opened, "image", (3,), "(H, W, C)")
    found = Inputs(source, None, has_alpha, no_data)
    for quantity in named.values():
        if has_alpha and found.n_channels != quantity.n_channels:
            raise ValueError(
                f"mask is 'alpha', but the image has {source.shape[2]} channels; wanted the model's "
                f"{quantity.n_channels} and alpha as the last"
            )
        _check_channels(source, quantity)
        check_image(_Shaped((*found.extent, found.n_channels), source.dtype), quantity)
    if mask is None or has_alpha:
        return found
    opened = _open_path(mask, "RGB") if isinstance(mask, str | os.PathLike) else mask
    _check_array(opened, "mask", (2, 3), "(H, W)")
    if opened.shape not in (found.extent, (*found.extent, 1)):
        raise ValueError(
            f"mask has shape {opened.shape}; wanted {found.extent}, the image's height and width"
        )
    return Inputs(source, opened, has_alpha, no_data)


def _cut(source: Source | None, region: Region) -> Any:  # noqa: ANN401  an array, a part or nothing
    if source is None:
        return None
    if isinstance(source, da.Array):
        # Without the rest of its graph, which may hold the whole image.
        return optimize(source[region])[0]
    return source[region] if isinstance(source, np.ndarray) else _Part(source, region)


def _read(piece: Any) -> NDArray[Any]:  # noqa: ANN401  what _cut gave
    if isinstance(piece, _Part):
        return np.asarray(piece.source[piece.region])
    return np.asarray(piece.compute(scheduler="synchronous") if isinstance(piece, da.Array) else piece)


def _open_path(path: str | os.PathLike[str], order: str) -> Source:
    """Open an image file, or a Zarr array's directory, whose channels come as they are stored."""
    if not Path(path).is_dir():
        return open_file(path, channel_order=order)
    try:
        return zarr.open_array(Path(path).resolve(), mode="r")
    except (ValueError, FileNotFoundError):
        raise ValueError(
            f"{path} is a directory, but not a Zarr array's; wanted an image file or such a directory"
        ) from None


def _finite(no_data: Any) -> float:  # noqa: ANN401  a caller may pass anything
    try:
        number = float(no_data)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"no_data is {no_data!r:.80}; wanted a finite number. NaN never has data.")
    return number


class _Shaped(NamedTuple):
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def _check_array(array: Any, what: str, dimensions: tuple[int, ...], wanted: str) -> Any:  # noqa: ANN401  a caller may pass anything
    shape = getattr(array, "shape", None)
    if shape is None or len(shape) not in dimensions:
        got = f"an array of shape {shape}" if shape else f"{array!r:.80}"
        raise ValueError(f"{what} is {got}; wanted a path or an array of shape {wanted}")
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(f"{what} is a masked array. Fill it, and pass mask=~image.mask[..., 0].")
    if not isinstance(array, ImageFile | np.ndarray | da.Array | zarr.Array):
        raise TypeError(
            f"{what} is of {type(array)}; wanted a path, or a NumPy, Dask or Zarr array: pass an xarray's "
            ".data, and of others dask.array.from_array(...)"
        )
    if isinstance(getattr(array, "_meta", None), np.ma.MaskedArray):
        raise TypeError(f"{what} is of masked arrays. Fill them: dask.array.ma.filled(image, 0).")
    if what == "mask":
        has_data(np.empty(0, array.dtype))
    if any(np.isnan(length) for length in shape):
        raise ValueError(
            f"{what} has chunks of unknown size, shape {shape}. Call compute_chunk_sizes() first."
        )
    return array


def _common_channels(named: Mapping[str, Quantity]) -> tuple[str, ...]:
    """Give the channels' names of all quantities, which are one image's."""
    orders = {quantity.channels for quantity in named.values() if quantity.channels}
    if len(orders) > 1:
        described = " and ".join(", ".join(order) for order in sorted(orders))
        raise ValueError(
            f"the quantities' mixtures have different channels: {described}. Run them one by one."
        )
    return next(iter(orders), ())


def _letters(channels: tuple[str, ...]) -> str:
    """Give the order in which a colour image is opened: the quantities', where they are of its colours."""
    order = "".join(_CHANNEL_LETTERS.get(name, "?") for name in channels)
    return order if sorted(order) in (sorted("RGB"), sorted("RGBA")) else "RGB"


def _check_channels(source: Source, quantity: Quantity) -> None:
    """Refuse a mixture of other channels than a colour image names."""
    named = source.channels if isinstance(source, ImageFile) else None
    if named and len(named) > 1 and quantity.channels and quantity.channels != named[: quantity.n_channels]:
        raise ValueError(
            f"the image's channels are {', '.join(named)}, the mixture's {', '.join(quantity.channels)}; "
            "wanted the same names, in any order. Pass an array if its channels are the mixture's."
        )


def _path(source: Source | None) -> Path | None:
    if isinstance(source, ImageFile):
        return Path(source.path)
    if isinstance(source, zarr.Array) and isinstance(source.store, zarr.storage.LocalStore):
        return Path(source.store.root, source.path).resolve()
    return None


def _describe(source: Source | None) -> dict[str, Any] | None:
    if source is None:
        return None
    path = _path(source)
    if isinstance(source, ImageFile):
        identity = " ".join(map(str, source.identity))
    elif isinstance(source, da.Array):
        identity = source.name
    else:
        content = source if isinstance(source, np.ndarray) else [source.metadata.to_dict(), _stored(path)]
        identity = tokenize(content)
    return {
        "path": path and str(path),
        "shape": list(source.shape),
        "dtype": str(source.dtype),
        "identity": identity,
    }


def _stored(path: Path | None) -> str:
    """Digest the names, sizes and times of a local Zarr array's files; of other stores metadata must do."""
    digest = hashlib.sha256()
    for folder, folders, files in os.walk(path) if path else ():
        folders.sort()
        for name in sorted(files):
            status = os.stat(os.path.join(folder, name))  # noqa: PTH116, PTH118  there may be millions
            digest.update(f"{name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
