"""The common part of sources of all formats of files: path, samples, a check for changes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self, cast

from pipeline.images.choice import WHOLE, Choice
from pipeline.images.geometry import UNKNOWN, Geometry
from pipeline.images.remote import is_url, open_remote, remote_stamp
from pipeline.images.source import RegionPart, Source

if TYPE_CHECKING:
    import numpy as np

    from pipeline.images.no_data import NoData
    from pipeline.images.source import Part, Region

COPY_AGAIN = "Copy or download it again."
_LETTERS = {"R": "red", "G": "green", "B": "blue", "A": "alpha"}
_GRAY = "gray"


def file_stamp(path: str) -> tuple[int, int]:
    """Return the time of a file's last change in nanoseconds, or a remote one's version, and the size."""
    if is_url(path):
        return remote_stamp(path)
    status = Path(path).stat()
    return status.st_mtime_ns, status.st_size


def open_binary(path: str) -> BinaryIO:
    """Open a file to read its bytes."""
    if is_url(path):
        return cast("BinaryIO", open_remote(path))
    return Path(path).open("rb")


def show_time(nanoseconds: int) -> str:
    """Return a time in words, with all of its digits, in UTC."""
    seconds, rest = divmod(nanoseconds, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{rest:09} UTC"


def name_samples(
    stored: str, names: tuple[str | None, ...] = ()
) -> tuple[tuple[int, ...], tuple[str, ...] | None]:
    """Return the samples that an image has as channels by default, and their names.

    Parameters
    ----------
    stored : str
        One letter for each stored sample: R, G, B, A, or L for gray, and ? where the file doesn't name it.
    names : tuple of str or None, optional
        The names that the file itself gives to samples, which come before those by letters.

    Returns
    -------
    samples : tuple of int
        Red, green and blue of a color image, then all others, without alpha.
    channels : tuple of str or None
        None if the file doesn't name the samples. If it names some of them, the others are called "channel 3"
        and so on, by their number among the channels.
    """
    colors = [stored.find(letter) for letter in "RGB"] if "R" in stored else []
    rest = [place for place, letter in enumerate(stored) if letter != "A" and place not in colors]
    samples = (*colors, *rest)
    # No two channels have one name.
    letters = {letter: name for letter, name in (("L", _GRAY), *_LETTERS.items()) if name not in names}
    given = dict(enumerate(names))
    channels = [given.get(sample) or letters.get(stored[sample]) for sample in samples]
    if not any(channels):
        return samples, None
    return samples, tuple(name or f"channel {number}" for number, name in enumerate(channels))


@dataclass(frozen=True, kw_only=True)
class ImageFile(Source):
    """An image in a file: small and picklable, and opened wherever it is read.

    Attributes
    ----------
    path : str
        The absolute path, or a URL.
    stamp : tuple of int
        The file's time and size when it was opened: a file that changes during a run isn't read.
    stored : str
        One letter for each stored sample, as for :func:`name_samples`.
    samples : tuple of int
        The stored sample that each channel is.
    is_default : bool
        Whether the channels are those that the file has by default.
    geometry : Geometry
        Where the pixels lie, as far as the file says.
    no_data : NoData or None
        The value by which the file marks pixels without data.
    levels, series
        As for :class:`Source`.
    choice : Choice
        The image that is chosen in the file.
    """

    path: str
    stamp: tuple[int, int]
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    channels: tuple[str, ...] | None
    tile: tuple[int, int]
    stored: str = field(repr=False)
    samples: tuple[int, ...] = field(repr=False)
    is_default: bool = field(default=True, repr=False)
    geometry: Geometry = field(default=UNKNOWN, repr=False)
    no_data: NoData | None = field(default=None, repr=False)
    levels: tuple[tuple[int, int], ...] = field(default=(), repr=False)
    series: tuple[str, ...] = field(default=(), repr=False)
    choice: Choice = WHOLE

    def identity(self) -> str:
        """Return the file's size, the time of its last change, and which image in it is chosen."""
        changed, size = self.stamp
        chosen = [f"{name} {value}" for name, value in self.choice.options().items()]
        version = f"version {changed:016x}" if is_url(self.path) else f"modified {show_time(changed)}"
        return ", ".join([f"{size} bytes", version, *chosen])

    def place(self) -> dict[str, Any]:
        """Return the path and, unless they are the default ones, the channels and the choice."""
        channels = {} if self.is_default else {"channels": list(self.channels or self._numbers)}
        return {"image": str(self.path), **self.choice.options(), **channels}

    @property
    def _numbers(self) -> list[int | str]:
        """The channels by which samples without names are found again."""
        default = name_samples(self.stored)[0]
        return [default.index(sample) if sample in default else _LETTERS["A"] for sample in self.samples]

    @property
    def paths(self) -> tuple[Path, ...]:
        """The file, unless it is remote."""
        return () if is_url(self.path) else (Path(self.path),)

    @property
    def name(self) -> str:
        """The path, or the URL without secrets."""
        return str(self.path)

    def part(self, region: Region) -> Part:
        """Return the part with which a task reads a region: the path, and how the samples lie in the file."""
        return RegionPart(self, region)

    def select(self, channels: tuple[int, ...]) -> Self | None:
        """Return the source of some of the channels."""
        names = None if self.channels is None else tuple(self.channels[channel] for channel in channels)
        return self._with_samples(tuple(self.samples[channel] for channel in channels), names)

    def with_alpha(self) -> Source | None:
        """Return the source with alpha as the last channel, or None if it has none."""
        alpha = self.stored.find("A")
        if alpha < 0:
            return None
        if self.samples[-1] == alpha:
            return self
        samples = tuple(sample for sample in self.samples if sample != alpha)
        names = None
        if self.channels is not None:
            names = (*(n for n, s in zip(self.channels, self.samples, strict=True) if s != alpha), "alpha")
        return self._with_samples((*samples, alpha), names)

    def check_unchanged(self) -> None:
        """Raise ValueError if the file isn't the one that was opened."""
        if file_stamp(self.path) != self.stamp:
            raise ValueError(f"{self.path} changed since it was opened. Open it again.")

    def _with_samples(self, samples: tuple[int, ...], channels: tuple[str, ...] | None) -> Self:
        shape = (*self.extent, len(samples))
        return replace(self, shape=shape, samples=samples, channels=channels, is_default=False)
