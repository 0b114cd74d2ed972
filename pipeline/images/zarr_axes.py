"""The axes of a Zarr array: which ones are rows, columns and channels, as its metadata name them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.images.choice import Choice

# The kind of an axis by its name in lower case, as OME-Zarr, xarray and GDAL write it.
_KINDS = {
    **dict.fromkeys(("y", "lat", "latitude", "row", "rows", "northing"), "y"),
    **dict.fromkeys(("x", "lon", "longitude", "col", "column", "columns", "easting"), "x"),
    **dict.fromkeys(("c", "channel", "channels", "band", "bands"), "c"),
    **dict.fromkeys(("z", "depth", "plane"), "z"),
    **dict.fromkeys(("t", "time"), "t"),
}
# The types of OME-Zarr that tell the kind whatever the name is.
_TYPES = {"channel": "c", "time": "t"}


@dataclass(frozen=True)
class Axes:
    """The places of an image's axes in an array.

    Attributes
    ----------
    rows, columns : int
        The numbers of these axes.
    channels : int or None
        The number of the axis of the channels, or None if there is none.
    fixed : tuple of (int, int)
        The number of each further axis, with the place along it at which the image lies.
    """

    rows: int
    columns: int
    channels: int | None
    fixed: tuple[tuple[int, int], ...] = ()

    @property
    def order(self) -> tuple[int, ...]:
        """The numbers of the axes of rows, columns and, if there are any, channels."""
        return (self.rows, self.columns, *(() if self.channels is None else (self.channels,)))

    @property
    def are_usual(self) -> bool:
        """Whether the axes are rows, columns and perhaps channels, in that order."""
        return self.order == tuple(range(len(self.order))) and not self.fixed

    @classmethod
    def unnamed(cls, channels: int | None) -> Axes:
        """Return the axes of an array of two or three axes, of which the channels alone are named."""
        rows, columns = (axis for axis in range(2 if channels is None else 3) if axis != channels)
        return cls(rows, columns, channels)


def find_plane(names: Sequence[str | None] | None) -> tuple[int, int] | None:
    """Return the numbers of the axes that are named rows and columns, or None if there is no such pair."""
    kinds = [_kind(name, None) for name in names or ()]
    if kinds.count("y") != 1 or kinds.count("x") != 1:
        return None
    return kinds.index("y"), kinds.index("x")


def find_axes(
    names: Sequence[str | None],
    shape: Sequence[int],
    choice: Choice,
    *,
    path: str,
    types: Sequence[str | None] = (),
) -> Axes:
    """Find the axes of an image by their names.

    Parameters
    ----------
    names : sequence of str or None
        The name of each axis. An axis of another name than those of rows, columns, depth and time is the
        channels, if it is the only one that is longer than 1.
    shape : sequence of int
        The length of each axis.
    choice : Choice
        The planes along the axes of depth and time.
    path : str
        The array, in messages.
    types : sequence of str or None
        The type of each axis, as OME-Zarr names it.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If rows or columns aren't named, a plane isn't chosen where there are several, or there is no such
        plane.
    """
    listed = f"axes {', '.join(map(str, names))} of lengths {', '.join(map(str, shape))}"
    if find_plane(names) is None:
        raise ValueError(f"{path} has {listed}; wanted axes named y and x, for rows and columns")
    kinds: dict[str, int] = {}
    others: list[int] = []
    for axis, (name, kind) in enumerate(zip(names, types or [None] * len(names), strict=True)):
        letter = _kind(name, kind)
        if letter is None or letter in kinds:
            others.append(axis)
        else:
            kinds[letter] = axis
    long = [axis for axis in others if shape[axis] != 1]
    if len(long) == 1 and "c" not in kinds:
        kinds["c"] = long.pop()
    if long:
        raise ValueError(
            f"{path} has {listed}; wanted y, x, c, z and t alone. Choose a place along {names[long[0]]} with "
            "dask.array.from_zarr(...), and pass the Dask array."
        )
    fixed = [(axis, 0) for axis in others if shape[axis] == 1]
    planes = {letter: shape[kinds[letter]] for letter in "tz" if letter in kinds}
    for letter, place in _places(planes, choice, f"{path} has {listed}").items():
        fixed.append((kinds[letter], place))
    return Axes(kinds["y"], kinds["x"], kinds.get("c"), tuple(sorted(fixed)))


def _places(planes: dict[str, int], choice: Choice, found: str) -> dict[str, int]:
    """Return the chosen place along each axis of depth and time, whose lengths are given."""
    places, missing = {}, []
    for letter in "tz":
        chosen = getattr(choice, letter)
        if letter not in planes:
            if chosen is not None:
                raise ValueError(f"{letter} is {chosen}, but {found}. Leave {letter} out.")
            continue
        length = planes[letter]
        if chosen is None and length != 1:
            missing.append(f"{letter}= from 0 to {length - 1}")
        elif (chosen or 0) >= length:
            raise ValueError(f"{letter} is {chosen}, but {found}; wanted 0 to {length - 1}")
        places[letter] = chosen or 0
    if missing:
        raise ValueError(f"{found}, and one plane is an image. Pass {' and '.join(missing)}.")
    return places


def _kind(name: str | None, kind: str | None) -> str | None:
    """Return the letter of an axis: t, c, z, y or x, or None if it is another one."""
    return _TYPES.get(kind or "") or _KINDS.get((name or "").lower())
