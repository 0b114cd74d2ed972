"""What a run does to an image: its quantities, its division into blocks, and the task of one block."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import dask.array as da
import numpy as np
import psutil
import zarr
from dask.base import tokenize

from pipeline.engine import Request, check_image, evaluate_requests
from pipeline.packing import Packed
from pipeline.quantity import Quantity, no_data_value
from pipeline.sources import ImageFile, open_file
from pipeline.store import write_block

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.grid import Grid

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
            f"quantities are {quantities!r}; wanted one, as Density(mixture), or a mapping of names"
        )
    named = dict(quantities)
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
    if no_data is not None and math.isnan(no_data):
        raise ValueError("no_data is NaN, which has no data anyway; leave it out")
    # As JSON can hold it.
    no_data = None if no_data is None else float(no_data)
    has_alpha = isinstance(mask, str) and mask == ALPHA
    if isinstance(image, str | os.PathLike):
        order = _channel_order(named) + ("A" if has_alpha else "")
        opened: Source = _open_path(image, order)
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


@dataclass(frozen=True)
class Job:
    """What every task of a run shares; sent to each worker once."""

    directory: Path
    grid: Grid
    requests: Mapping[str, Request]

    @property
    def quantities(self) -> dict[str, Quantity]:
        """What is computed, by name."""
        return {name: request.quantity for name, request in self.requests.items()}


class Done(NamedTuple):
    """What a task says of its block."""

    pixels: int
    n_bytes: int
    memory: int


def do_block(job: Job, piece: Piece, index: tuple[int, int], names: tuple[str, ...]) -> Done:
    """Read, compute and write one block: no pixel leaves the task.

    Parameters
    ----------
    job : Job
    piece : Piece
        Of :meth:`Inputs.cut`.
    index : tuple of int
        The block's.
    names : tuple of str
        The results that are wanted, which may be fewer than all.

    Returns
    -------
    Done
    """
    requests = [job.requests[name] for name in names]
    valid = None if piece.mask is None else _read(piece.mask) != 0
    if valid is not None and not valid.any():
        extent = valid.shape[:2]
        results = [_without_data(request, extent) for request in requests]
        errors = [0.0] * len(requests)
    else:
        pixels, valid = _with_data(_read(piece.image), valid, piece)
        results, errors = evaluate_requests(pixels, requests, serial=True)
        extent = pixels.shape[:2]
        if valid is not None:
            for request, result in zip(requests, results, strict=True):
                result[:, ~valid] = no_data_value(request.dtype)
    n_bytes = 0
    for name, request, result, error in zip(names, requests, results, errors, strict=True):
        values = result[0] if request.quantity.planes is None else result
        packed = error if isinstance(request.quantity, Packed) else None
        n_bytes += write_block(job.directory, name, job.grid, index, values, error=packed)
    return Done(math.prod(extent), n_bytes, psutil.Process().memory_info().rss)


def _cut(source: Source | None, region: Region) -> Any:  # noqa: ANN401  an array, a part or nothing
    if source is None:
        return None
    return source[region] if isinstance(source, np.ndarray | da.Array) else _Part(source, region)


def _read(piece: Any) -> NDArray[Any]:  # noqa: ANN401  what _cut gave
    if isinstance(piece, _Part):
        return np.asarray(piece.source[piece.region])
    return np.asarray(piece.compute(scheduler="synchronous") if isinstance(piece, da.Array) else piece)


def _with_data(
    pixels: NDArray[Any], valid: NDArray[np.bool_] | None, piece: Piece
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Split off the alpha, and tell which pixels have data by all that says so."""
    told = [] if valid is None else [valid.reshape(pixels.shape[:2])]
    if piece.has_alpha:
        told.append(pixels[..., -1] != 0)
        pixels = pixels[..., :-1]
    if piece.no_data is not None:
        told.append((pixels != piece.no_data).any(axis=-1))
    return pixels, np.logical_and.reduce(told) if told else None


def _without_data(request: Request, extent: tuple[int, ...]) -> NDArray[Any]:
    n_planes = len(request.quantity.planes or " ")
    return np.full((n_planes, *extent[:2]), no_data_value(request.dtype), request.dtype)


def _open_path(path: str | os.PathLike[str], order: str) -> Source:
    """Open an image file, or a Zarr array's directory, whose channels come as they are stored."""
    if not Path(path).is_dir():
        return open_file(path, channel_order=order)
    try:
        return zarr.open_array(path, mode="r")
    except (ValueError, FileNotFoundError):
        raise ValueError(
            f"{path} is a directory, but not a Zarr array's; wanted an image file or such a directory"
        ) from None


class _Shaped(NamedTuple):
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def _check_array(array: Any, what: str, dimensions: tuple[int, ...], wanted: str) -> Any:  # noqa: ANN401  a caller may pass anything
    shape = getattr(array, "shape", None)
    if shape is None or len(shape) not in dimensions:
        got = f"an array of shape {shape}" if shape else repr(array)
        raise ValueError(f"{what} is {got}; wanted a path or an array of shape {wanted}")
    if any(np.isnan(length) for length in shape):
        raise ValueError(
            f"{what} has chunks of unknown size, shape {shape}. Call compute_chunk_sizes() first."
        )
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(f"{what} is a masked array. Fill it, and pass mask=~image.mask[..., 0].")
    return array


def _channel_order(named: Mapping[str, Quantity]) -> str:
    """Find the order in which a colour image must be opened for these quantities."""
    orders = {quantity.channels for quantity in named.values() if quantity.channels}
    if len(orders) > 1:
        described = " and ".join(", ".join(order) for order in sorted(orders))
        raise ValueError(
            f"the quantities' mixtures have different channels: {described}. Run them one by one."
        )
    order = "".join(_CHANNEL_LETTERS.get(name, "?") for name in next(iter(orders), ()))
    return order if sorted(order) in (sorted("RGB"), sorted("RGBA")) else "RGB"


def _path(source: Source | None) -> Path | None:
    if isinstance(source, ImageFile):
        return Path(source.path)
    if isinstance(source, zarr.Array) and isinstance(source.store, zarr.storage.LocalStore):
        return Path(source.store.root, source.path)
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
