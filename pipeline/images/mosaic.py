"""Mosaics: many image files, each a tile at its place, as one image."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.images.kept import SOURCES
from pipeline.images.masking import check_mask
from pipeline.images.pixels import has_data
from pipeline.images.rectangles import Rectangles, cover_all, find_touched, meet
from pipeline.images.source import Source
from pipeline.images.view import view

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.images.geometry import Geometry
    from pipeline.images.no_data import NoData
    from pipeline.images.source import Part, Places, Region

ABSENT = "absent tiles"
STATED = "masks of the tiles"
# The memory of a region is reckoned with the costliest tiles of so many kinds.
_KINDS = 64


class Tile(NamedTuple):
    """A tile of a mosaic.

    Attributes
    ----------
    source : Source
    top, left : int
        The place of its first pixel.
    masks : tuple of Source
        The masks that its file states, of its height and width.
    unit : tuple of int
        The height and width that are decoded anew for a region in it: all of a file that is kept, since only
        few files are kept at a time.
    held, opening, decoding : int
        The memory in bytes that its source holds, takes before the first region, and takes beside the pixels
        of a small region.
    """

    source: Source
    top: int
    left: int
    masks: tuple[Source, ...]
    unit: tuple[int, int]
    held: int
    opening: int
    decoding: int

    @classmethod
    def of(cls, source: Source) -> Tile:
        """Return a source as a tile at the first pixel, with what its file states."""
        masks = tuple(check_mask(mask, source.extent) for mask in source.stated_masks().values())
        sources = (source, *masks)
        held = sum(one.held_bytes for one in sources)
        return cls(
            source,
            0,
            0,
            masks,
            source.extent if held else source.unit,
            held,
            max(one.opening_bytes for one in sources),
            max(one.region_bytes((1, 1)) for one in sources),
        )


@dataclass(frozen=True)
class Origin:
    """Where a mosaic was opened: its name in messages, the place that reopens it, and its local paths."""

    name: str
    place: dict[str, Any]
    paths: tuple[Path, ...]


class Mosaic(Source):
    """Many sources as one image. A later tile covers an earlier one wherever the later one has data.

    Pixels for which no tile has data are those of the last tile there, and 0 where there is no tile.

    Parameters
    ----------
    tiles : tuple of Tile
        They agree in dtype and channels. The image ends where the last of them ends.
    origin : Origin
    geometry : Geometry
        That of the whole.
    chosen : tuple of str or int, optional
        The names or the numbers of the channels among those of the files; by default those that they have.
    """

    def __init__(
        self,
        tiles: tuple[Tile, ...],
        origin: Origin,
        geometry: Geometry,
        chosen: tuple[str | int, ...] | None = None,
    ) -> None:
        first = tiles[0].source
        self._tiles, self._origin, self._chosen = tiles, origin, chosen
        self._rectangles = np.array([(tile.top, tile.left, *tile.source.extent) for tile in tiles], np.int64)
        height, width = (self._rectangles[:, :2] + self._rectangles[:, 2:]).max(axis=0).tolist()
        self.shape, self.dtype = (height, width, first.shape[2]), first.dtype
        self.channels, self.geometry = first.channels, geometry
        values = {tile.source.no_data for tile in tiles}
        self.no_data: NoData | None = values.pop() if len(values) == 1 else None
        self.tile, self._unit = _common_pieces(tiles, self._rectangles)

    def identity(self) -> str | None:
        """Return a digest of the identities and the places of all tiles; None if one of them has none."""
        digest = hashlib.sha256()
        for tile in self._tiles:
            identity = tile.source.identity()
            if identity is None:
                return None
            digest.update(f"{tile.top} {tile.left} {identity}\n".encode())
        return f"{len(self._tiles)} tiles, digest {digest.hexdigest()}"

    def place(self) -> dict[str, Any]:
        """Return the folder, the table or the list of tiles; and the channels unless they are the default."""
        chosen = {} if self._chosen is None else {"channels": list(self._chosen)}
        return {**self._origin.place, **chosen}

    @property
    def paths(self) -> tuple[Path, ...]:
        """The folder, the table, or the files."""
        return self._origin.paths

    @property
    def name(self) -> str:
        """The folder or the table, or the number of files."""
        return self._origin.name

    @property
    def unit(self) -> tuple[int, int]:
        """The largest piece that a tile decodes anew; all of a tile that is kept, since few are kept."""
        return self._unit

    @property
    def held_bytes(self) -> int:
        """The memory of the tiles that a process keeps at a time, and of decoding another one."""
        largest = sorted((tile.held for tile in self._tiles), reverse=True)[:SOURCES]
        return sum(largest) + max(tile.opening for tile in self._tiles)

    def region_bytes(self, extent: tuple[int, int], places: Places | None = None) -> int:
        """Return the memory that reading takes: the pixels, those of one tile, and what decoding it takes."""
        n_pixels = math.prod(extent)
        tall, wide = self._rectangles[:, 2:].max(axis=0).tolist()
        steps = (1, 1) if places is None else (abs(places[0].step), abs(places[1].step))
        read = 0
        for tile in self._costliest():
            inner = tuple(
                range(0, length, step) for length, step in zip(tile.source.extent, steps, strict=True)
            )
            one = (min(extent[0], len(inner[0])), min(extent[1], len(inner[1])))
            read = max(read, *(s.region_bytes(one, (inner[0], inner[1])) for s in (tile.source, *tile.masks)))
        piece = min(extent[0], tall) * min(extent[1], wide)
        # Where a tile covers another one by its data: words on pixels, and on their channels.
        covering = n_pixels + piece * (4 + self.shape[2]) if self._has_validity else 0
        return n_pixels * self.pixel_bytes + read + covering + 8 * len(self._tiles)

    def part(self, region: Region) -> MosaicPart:
        """Return the part with which a task reads a region: the parts of the tiles that it touches."""
        rows, columns = (range(n)[places] for n, places in zip(self.extent, region, strict=True))
        pieces = []
        for number in find_touched(self._rectangles, rows, columns).tolist():
            tile = self._tiles[number]
            height, width = tile.source.extent
            (out_rows, in_rows), (out_columns, in_columns) = (
                meet(rows, tile.top, height),
                meet(columns, tile.left, width),
            )
            inner = (in_rows, in_columns)
            masks = tuple(mask.part(inner) for mask in tile.masks)
            pieces.append(
                _Piece(tile.source.part(inner), masks, tile.source.no_data, (out_rows, out_columns))
            )
        return MosaicPart((len(rows), len(columns), self.shape[2]), self.dtype, tuple(pieces))

    def select(self, channels: tuple[int, ...]) -> Mosaic | None:
        """Return the mosaic of some of the channels; None if all of them say which pixels have data."""
        if any(tile.source.no_data for tile in self._tiles):
            return None
        sources = tuple(view(tile.source, channels=channels) for tile in self._tiles)
        names = self.channels or self._chosen or range(self.shape[2])
        return self._with(sources, tuple(names[channel] for channel in channels))

    def with_alpha(self) -> Mosaic | None:
        """Return the mosaic with alpha as the last channel, or None if a tile has none."""
        sources = tuple(tile.source.with_alpha() for tile in self._tiles)
        if all(source is tile.source for source, tile in zip(sources, self._tiles, strict=True)):
            return self
        found = tuple(source for source in sources if source is not None)
        names = found[0].channels if len(found) == len(sources) else None
        return None if names is None else self._with(found, names)

    def stated_masks(self) -> dict[str, Source]:
        """Return the mask of the places without a tile, and that of the pixels for which no tile has data."""
        masks: dict[str, Source] = {}
        if not cover_all(self._rectangles, self.extent):
            masks[ABSENT] = Rectangles(self.extent, self._rectangles)
        states_value = self.no_data is None and any(tile.source.no_data for tile in self._tiles)
        if states_value or any(tile.masks for tile in self._tiles):
            masks[STATED] = MosaicMask(self)
        return masks

    @property
    def _has_validity(self) -> bool:
        return any(tile.masks or tile.source.no_data for tile in self._tiles)

    def _costliest(self) -> list[Tile]:
        """Return the tile of each kind that takes most memory to decode."""
        kinds: dict[Any, Tile] = {}
        for tile in sorted(self._tiles, key=lambda tile: tile.decoding):
            kinds[type(tile.source), tile.source.tile, len(tile.masks)] = tile
        return sorted(kinds.values(), key=lambda tile: -tile.decoding)[:_KINDS]

    def _with(self, sources: tuple[Source, ...], chosen: tuple[str | int, ...]) -> Mosaic:
        """Return the mosaic with other channels of the same files."""
        tiles = tuple(tile._replace(source=source) for tile, source in zip(self._tiles, sources, strict=True))
        return Mosaic(tiles, self._origin, self.geometry, chosen)


class MosaicMask(Source):
    """Where any tile of a mosaic has data, by the masks and the values that the tiles state.

    Parameters
    ----------
    mosaic : Mosaic
    """

    def __init__(self, mosaic: Mosaic) -> None:
        self._mosaic = mosaic
        self.shape, self.dtype, self.tile = (*mosaic.extent, 1), np.dtype(bool), mosaic.tile

    def identity(self) -> str | None:
        """Return the identity of the mosaic."""
        return self._mosaic.identity()

    def part(self, region: Region) -> ValidityPart:
        """Return the part with which a task reads a region."""
        return ValidityPart(self._mosaic.part(region))

    @property
    def unit(self) -> tuple[int, int]:
        """The piece that the mosaic decodes anew."""
        return self._mosaic.unit

    def region_bytes(self, extent: tuple[int, int], places: Places | None = None) -> int:
        """Return the memory that reading takes, at most that of the mosaic's pixels."""
        return self._mosaic.region_bytes(extent, places)


class _Piece(NamedTuple):
    """The part of a tile that lies in a region, and which pixels of the region it is."""

    part: Part
    masks: tuple[Part, ...]
    no_data: NoData | None
    places: tuple[slice, slice]

    def find_data(self, pixels: NDArray[Any] | None) -> NDArray[np.bool_] | None:
        """Return which pixels have data, or None if all have."""
        told = [has_data(mask.read()[..., 0]) for mask in self.masks]
        if self.no_data is not None:
            told.append(self.no_data.has_data(self.part.read() if pixels is None else pixels))
        return np.logical_and.reduce(told) if told else None


class MosaicPart(NamedTuple):
    """The parts of the tiles that a region touches, in the order in which later ones cover earlier ones."""

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    pieces: tuple[_Piece, ...]

    def read(self) -> NDArray[Any]:
        """Read the pixels, shape (h, w, C)."""
        out = np.zeros(self.shape, self.dtype)
        rules = any(piece.masks or piece.no_data for piece in self.pieces)
        has = np.zeros(self.shape[:2] if rules else (0, 0), bool)
        for piece in self.pieces:
            pixels = piece.part.read()
            valid = piece.find_data(pixels)
            if valid is None:
                out[piece.places] = pixels
                if rules:
                    has[piece.places] = True
            else:
                taken = valid | ~has[piece.places]
                np.copyto(out[piece.places], pixels, where=taken[..., np.newaxis])
                has[piece.places] |= valid
            # Those of the next tile take their place.
            del pixels
        return out


class ValidityPart(NamedTuple):
    """The part of a mosaic, of which it is told where any tile has data."""

    part: MosaicPart

    def read(self) -> NDArray[np.bool_]:
        """Read where any tile has data, shape (h, w, 1)."""
        out = np.zeros((*self.part.shape[:2], 1), bool)
        for piece in self.part.pieces:
            valid = piece.find_data(None)
            out[piece.places] |= True if valid is None else valid[..., np.newaxis]
        return out


def _common_pieces(
    tiles: tuple[Tile, ...], rectangles: NDArray[np.int64]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the piece of a mosaic that is best read at once, and the one that is decoded anew.

    The first is the tile that all files have, if the files lie on its grid; else a file, if all files lie on
    the grid of the largest; else the largest tile of a file.
    """
    read = [tile.source.extent if tile.held else tile.source.tile for tile in tiles]
    unit = (max(tile.unit[0] for tile in tiles), max(tile.unit[1] for tile in tiles))
    largest = rectangles[:, 2:].max(axis=0)
    if len(set(read)) == 1 and not (rectangles[:, :2] % read[0]).any():
        return read[0], unit
    if not (rectangles[:, :2] % np.maximum(1, largest)).any():
        tall, wide = largest.tolist()
        return (tall, wide), unit
    return (max(sides[0] for sides in read), max(sides[1] for sides in read)), unit
