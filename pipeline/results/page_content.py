"""The content of the page by its addresses: files of the page, facts, values and tiles."""

from __future__ import annotations

import json
import os
import re
import threading
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl

import numpy as np

from pipeline.results.color_maps import COLOR_MAPS, color_table
from pipeline.results.image_tiles import ImageTiles
from pipeline.results.page_facts import describe
from pipeline.results.painting import paint_labels, paint_values
from pipeline.results.planes import Planes, plane_colors
from pipeline.results.tiles import Place, encode_png

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.results.result import Result

_HTML, _JSON, _PNG = "text/html; charset=utf-8", "application/json", "image/png"
# The files of the page, which are all that is ever read by name. No path is made of a request.
_FILES = {
    "": ("index.html", _HTML),
    "page.css": ("page.css", "text/css; charset=utf-8"),
    "page.js": ("page.js", "text/javascript; charset=utf-8"),
    "panes.js": ("panes.js", "text/javascript; charset=utf-8"),
    "openseadragon.min.js": ("openseadragon.min.js", "text/javascript; charset=utf-8"),
}
_TILE = re.compile(r"tiles/(image|[0-9]{1,6})/([0-9]{1,3})/([0-9]{1,12})_([0-9]{1,12})\.png")
_MAP = re.compile(r"maps/([a-z-]{1,20})\.png")
# So many tiles are made at a time; others wait.
_MOST_AT_ONCE = 4


class Content(NamedTuple):
    """What an address has: its type and its bytes."""

    kind: str
    body: bytes


class PageContent:
    """What each address of the page has. It may be used by several threads at once.

    Parameters
    ----------
    result : Result
        At full resolution.
    """

    def __init__(self, result: Result) -> None:
        self._planes = Planes(result)
        self._image, missing = None, ""
        try:
            self._image = ImageTiles(result.image)
        # A file of any format that isn't there any more, was changed, or lacks its reader.
        except (OSError, ValueError, TypeError, ImportError) as error:
            missing = " ".join(str(error).split())
        self._facts = describe(result, self._planes, self._image, missing)
        self._turn = threading.BoundedSemaphore(min(_MOST_AT_ONCE, os.cpu_count() or 1))

    @property
    def title(self) -> str:
        """The name of the result."""
        return str(self._facts["title"])

    def get(self, path: str, query: str) -> Content:
        """Return the content of an address.

        Parameters
        ----------
        path : str
            Relative to that of the page, without a slash in front.
        query : str
            What follows the question mark, or nothing.

        Raises
        ------
        LookupError
            If there is nothing at the address.
        ValueError
            If the query isn't one of the page.
        """
        if path in _FILES:
            name, kind = _FILES[path]
            return Content(kind, _read_file(name))
        if path == "info.json":
            return _as_json(self._facts)
        if path == "value.json":
            return self._value(_parse(query, {"x": int, "y": int}))
        if found := _MAP.fullmatch(path):
            if found[1] not in COLOR_MAPS:
                raise LookupError(f"there is no color map {found[1]}")
            return Content(_PNG, encode_png(np.array(color_table(found[1]))[np.newaxis]))
        if found := _TILE.fullmatch(path):
            place = Place(*map(int, (found[2], found[3], found[4])))
            with self._turn:
                return Content(_PNG, self._tile(found[1], place, query))
        raise LookupError("there is nothing at this address")

    def _value(self, pixel: Mapping[str, int]) -> Content:
        row, column = pixel.get("y", -1), pixel.get("x", -1)
        values = self._planes.values(row, column)
        return _as_json(
            {"values": values, "image": None if self._image is None else self._image.values(row, column)}
        )

    def _tile(self, plane: str, place: Place, query: str) -> bytes:
        """Return a tile as a PNG."""
        if plane == "image":
            if self._image is None:
                raise LookupError("there is no image")
            return encode_png(self._image.read(place))
        values = self._planes.read(int(plane), place)
        chosen = self._planes.planes[int(plane)]
        if chosen.output.label_names is not None:
            hidden = _parse(query, {"hide": _numbers}).get("hide", ())
            return encode_png(paint_labels(values, plane_colors(chosen), hidden))
        asked = _parse(query, {"low": float, "high": float, "map": str, "fade": int})
        scale = self._planes.scale(int(plane))
        scale = replace(scale, low=asked.get("low", scale.low), high=asked.get("high", scale.high))
        return encode_png(paint_values(values, scale, asked.get("map"), is_faded=bool(asked.get("fade", 0))))


def _parse(query: str, kinds: Mapping[str, Callable[[str], Any]]) -> dict[str, Any]:
    """Return the fields of a query, each of them once and converted to its kind."""
    found: dict[str, Any] = {}
    for name, text in parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=8):
        if name not in kinds or name in found:
            raise ValueError(f"the query has {name!r:.40}; wanted {', '.join(kinds)}, each once")
        found[name] = kinds[name](text)
    return found


def _numbers(text: str) -> tuple[int, ...]:
    """Return whole numbers that commas separate."""
    return tuple(int(number) for number in text.split(",") if number)


def _as_json(content: object) -> Content:
    return Content(_JSON, json.dumps(content, allow_nan=False).encode())


@cache
def _read_file(name: str) -> bytes:
    """Return a file of the page, which ships with the package."""
    return (files("pipeline.results") / "page" / name).read_bytes()
