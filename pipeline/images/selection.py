"""NumPy's basic indexing of an image, as a value that is made without reading a pixel."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import dask.array as da
    from numpy.typing import NDArray

Axes = tuple[range, range, range]


@dataclass(frozen=True)
class Selection:
    """A selection of the rows, columns and channels of an image.

    Attributes
    ----------
    axes : tuple of range
        The rows, columns and channels that are selected. An axis that was indexed with an integer has one
        place.
    layout : tuple of int or range
        The axes of the result, in order: the number of one of the image's axes, which is 0, 1 or 2, or for a
        new axis its places, none or one. An image's axis that isn't listed was indexed with an integer.
    """

    axes: Axes
    layout: tuple[int | range, ...] = (0, 1, 2)

    @classmethod
    def of_whole(cls, shape: tuple[int, int, int]) -> Selection:
        """Return the selection of everything in an image of this shape."""
        height, width, n_channels = shape
        return cls((range(height), range(width), range(n_channels)))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the result."""
        return tuple(len(self._places(axis)) for axis in self.layout)

    def is_whole(self, shape: tuple[int, int, int]) -> bool:
        """Return whether it is all of an image of this shape, in order, whatever the layout."""
        return self.axes == Selection.of_whole(shape).axes

    def index(self, key: Any) -> Selection:  # noqa: ANN401  a caller may pass anything
        """Return the selection that indexing the result of this one gives.

        Parameters
        ----------
        key : int, slice, Ellipsis or None, or a tuple of them

        Returns
        -------
        Selection

        Raises
        ------
        IndexError
            If there are more indices than axes, an integer is out of bounds, or an index isn't a basic one.
        """
        axes = list(self.axes)
        layout: list[int | range] = []
        rest = enumerate(self.layout)
        for item in _expand(key, len(self.layout)):
            if item is None:
                layout.append(range(1))
                continue
            number, axis = next(rest)
            places = _apply(item, self._places(axis), number)
            if isinstance(axis, int):
                axes[axis] = places
            if isinstance(item, slice):
                layout.append(axis if isinstance(axis, int) else places)
        return replace(self, axes=(axes[0], axes[1], axes[2]), layout=(*layout, *(axis for _, axis in rest)))

    def arrange(self, array: NDArray[Any]) -> NDArray[Any]:
        """Give an array of the selected rows, columns and channels the axes of the result."""
        return array.reshape(self.shape)

    def arrange_dask(self, array: da.Array) -> da.Array:
        """Give a Dask array of the selected rows, columns and channels the axes of the result."""
        array = array[tuple(slice(None) if axis in self.layout else 0 for axis in range(3))]
        new = (slice(None) if isinstance(axis, int) else None for axis in self.layout)
        ends = (slice(None) if isinstance(axis, int) else slice(len(axis)) for axis in self.layout)
        arranged: da.Array = array[tuple(new)][tuple(ends)]
        return arranged

    @property
    def has_pixels(self) -> bool:
        """Whether the result has any element."""
        return math.prod(self.shape) > 0

    def _places(self, axis: int | range) -> range:
        return self.axes[axis] if isinstance(axis, int) else axis


def to_slice(places: range) -> slice:
    """Return the slice that selects these places of an axis which has them."""
    if not places:
        return slice(0, 0, 1)
    # A stop of -1 would be counted from the end.
    return slice(places.start, places.stop if places.stop >= 0 else None, places.step)


def meet_pieces(places: range, length: int) -> Iterator[tuple[int, slice, slice]]:
    """Yield the pieces of an axis that hold some ascending places.

    Parameters
    ----------
    places : range
        At least one place, with a step of 1 or more.
    length : int
        The length of a piece.

    Yields
    ------
    number : int
        The number of the piece.
    slice
        Which of the places lie in it.
    slice
        Where they lie within it.
    """
    step = places.step
    if step > length:
        numbers: Iterable[int] = (place // length for place in places)
    else:
        numbers = range(places[0] // length, places[-1] // length + 1)
    for number in numbers:
        start = number * length
        first = max(0, -((places.start - start) // step))
        last = min(len(places), -((places.start - start - length) // step))
        yield number, slice(first, last), slice(places[first] - start, places[last - 1] - start + 1, step)


def _expand(key: Any, n_axes: int) -> list[Any]:  # noqa: ANN401  a caller may pass anything
    """Return the indices, one for each of the leading axes and each new axis, without an ellipsis."""
    items = list(key) if isinstance(key, tuple) else [key]
    n_indices = sum(item is not None and item is not Ellipsis for item in items)
    ellipses = [number for number, item in enumerate(items) if item is Ellipsis]
    if len(ellipses) > 1:
        raise IndexError(f"the index {key!r} has {len(ellipses)} ellipses; wanted at most one")
    if n_indices > n_axes:
        raise IndexError(f"the index {key!r:.80} is for {n_indices} axes, but the image has {n_axes}")
    if ellipses:
        items[ellipses[0] : ellipses[0] + 1] = [slice(None)] * (n_axes - n_indices)
    return items


def _apply(item: Any, places: range, axis: int) -> range:  # noqa: ANN401  a caller may pass anything
    """Return which of an axis's places an integer or a slice selects."""
    if isinstance(item, slice):
        try:
            return canonical(places[item])
        except (TypeError, ValueError):
            raise IndexError(
                f"the image is indexed with {item!r:.80}; wanted whole numbers, and a step other than 0"
            ) from None
    try:
        if isinstance(item, bool | np.bool):
            raise TypeError  # noqa: TRY301  the same refusal
        number = operator.index(item)
    except TypeError:
        raise IndexError(
            f"the image is indexed with {item!r:.80}; wanted integers, slices, ... or None. Other indices "
            "work on numpy.asarray(image) and image.to_dask()."
        ) from None
    if not -len(places) <= number < len(places):
        raise IndexError(
            f"the index {number} is out of bounds for axis {axis}, which has length {len(places)}"
        )
    place = places[number]
    return range(place, place + 1)


def canonical(places: range) -> range:
    """Return equal places in one form, without ends beyond the last place."""
    if not places:
        return range(0)
    step = places.step if len(places) > 1 else 1
    return range(places[0], places[-1] + (1 if step > 0 else -1), step)
