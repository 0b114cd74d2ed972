"""Zarr stores that several tests write: OME-Zarr images of both versions, and collections of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from images.examples import HEIGHT, WIDTH, noise

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
LENGTHS = {"t": 2, "c": 3, "z": 4, "y": HEIGHT, "x": WIDTH}


def stack(order: str, dtype: str = "uint16") -> NDArray[Any]:
    """Make noise with some of the axes t, c, z, y and x, in an order."""
    return noise(*(LENGTHS[name] for name in order), dtype=dtype)


def plane(pixels: NDArray[Any], order: str, **places: int) -> NDArray[Any]:
    """Return the image (H, W, C) at some places along the other axes, in which NumPy alone has a part."""
    named = [slice(None) if name in "cyx" else places[name] for name in order]
    rest = [name for name in order if name in "cyx"]
    image = pixels[tuple(named)].transpose(*(rest.index(name) for name in "yxc" if name in rest))
    return image if "c" in rest else image[..., np.newaxis]


def put_attributes(group: zarr.Group | zarr.Array[Any], content: dict[str, Any]) -> None:
    """Write attributes of OME-Zarr, in the place of the group's version."""
    is_old = group.metadata.zarr_format == 2
    group.attrs.update(content if is_old else {"ome": {"version": "0.5", **content}})


def multiscale(
    order: str, paths: Sequence[str] = ("0",), *, unit: str | None = None, name: str = "", **transforms: Any
) -> dict[str, Any]:
    """Return the metadata of an image; `transforms` are lists with an entry for each level."""
    units = {} if unit is None else {"unit": unit}
    axes = [
        {"name": axis, "type": TYPES[axis], **(units if TYPES[axis] == "space" else {})} for axis in order
    ]
    datasets = []
    for number, path in enumerate(paths):
        steps = [{"type": kind, kind: list(numbers[number])} for kind, numbers in transforms.items()]
        datasets.append({"path": path, "coordinateTransformations": steps})
    return {"name": name, "axes": axes, "datasets": datasets}


def write_image(path: Path, pixels: NDArray[Any], order: str, *, version: int = 3, **options: Any) -> Path:
    """Write an OME-Zarr image of two levels, of which the second one has every other pixel."""
    group = zarr.open_group(path, mode="w", zarr_format=version)  # type: ignore[arg-type]
    halves = tuple(slice(None, None, 2 if name in "yx" else 1) for name in order)
    chunks = tuple(64 if name in "yx" else max(1, LENGTHS[name] - 1) for name in order)
    for number, level in enumerate((pixels, pixels[halves])):
        group.create_array(str(number), data=np.ascontiguousarray(level), chunks=chunks)
    scales = [[1.0 if name in "tc" else 0.5 * step for name in order] for step in (1, 2)]
    shifts = [[0.0 if name in "tcz" else shift for name in order] for shift in (3.0, 3.25)]
    described = multiscale(order, ("0", "1"), scale=scales, translation=shifts, **options)
    put_attributes(group, {"multiscales": [described]})
    return path
