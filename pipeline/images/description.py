"""The description of an image: the facts that are known without reading a pixel, as a value for a record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.images.geometry import UNKNOWN, Geometry


@dataclass(frozen=True)
class Description:
    """The facts about an image that are known without reading a pixel.

    Attributes
    ----------
    shape : tuple of int
        Height, width and number of channels.
    dtype : dtype
        The dtype of the samples, in this machine's byte order.
    channels : tuple of str or None
        The names of the channels, or None if the image doesn't name them.
    identity : str or None
        Equal for the same image, and different for another one; None if nothing tells it from another one.
    place : dict or None
        The options with which :func:`reopen` opens the image again, as JSON can hold them: those of
        :func:`open_image`, and the rows and columns of a view. None for an image that is in memory only.
    geometry : Geometry
        Where the pixels lie.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    channels: tuple[str, ...] | None
    identity: str | None
    place: dict[str, Any] | None
    geometry: Geometry = UNKNOWN

    @property
    def extent(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.shape[:2]

    def to_dict(self) -> dict[str, Any]:
        """Return the description as plain lists and strings, which JSON can hold."""
        return {
            "shape": list(self.shape),
            "dtype": str(self.dtype),
            "channels": None if self.channels is None else list(self.channels),
            "identity": self.identity,
            "place": self.place,
            "geometry": self.geometry.to_dict(),
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Description:
        """Make a description from the content that :meth:`to_dict` returned.

        Raises
        ------
        ValueError, KeyError, TypeError
            If the content doesn't describe an image.
        """
        height, width, n_channels = map(int, content["shape"])
        channels, identity, place = content["channels"], content["identity"], content["place"]
        return cls(
            (height, width, n_channels),
            np.dtype(content["dtype"]),
            None if channels is None else tuple(map(str, channels)),
            None if identity is None else str(identity),
            None if place is None else dict(place),
            Geometry.from_dict(content["geometry"]),
        )
