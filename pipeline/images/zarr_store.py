"""Stores of Zarr as sources, for example those that tifffile makes of a TIFF."""

from __future__ import annotations

from typing import TYPE_CHECKING

import zarr
from zarr.abc import store

from pipeline.images.choice import WHOLE
from pipeline.images.zarr_opening import open_zarr

if TYPE_CHECKING:
    from pipeline.images.zarr_array import ZarrArray


def open_zarr_store(array: object, role: str, channel_axis: int | None) -> ZarrArray | None:
    """Return the array in a store of Zarr as a source, or None if it is something else.

    Parameters
    ----------
    array : object
    role : str
        The word for it in messages: "image", "mask", "labels" or "zones".
    channel_axis : int or None
        As for :func:`open_image`.

    Returns
    -------
    ZarrArray or None

    Raises
    ------
    TypeError, ValueError
        If there is a group in the store, or the array can't be an image or a mask.
    """
    if not isinstance(array, store.Store):
        return None
    opened = zarr.open(array, mode="r")
    if isinstance(opened, zarr.Group):
        names = ", ".join(sorted(opened.array_keys()))
        raise ValueError(  # noqa: TRY004  the type is right, and what is stored isn't
            f"{role} is a Zarr store of a group with the arrays {names:.200}; wanted one of them: "
            "zarr.open(store, mode='r')['NAME']"
        )
    return open_zarr(opened, role, channel_axis, WHOLE)
