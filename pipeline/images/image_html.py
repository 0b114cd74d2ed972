"""An image as HTML, which a notebook shows: a thumbnail, and what is known about it."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from pipeline.images.overview import read_overview
from pipeline.images.thumbnail import LARGEST, thumbnail_html

if TYPE_CHECKING:
    from pipeline.images.image import Image


_LONGEST = 60


def image_html(image: Image) -> str:
    """Return an image as HTML, without its thumbnail if it can't be read soon."""
    try:
        picture = thumbnail_html(read_overview(image, LARGEST // 2))
    except Exception:  # noqa: BLE001  a damaged file raises anything, and its facts are shown all the same
        picture = ""
    rows = "".join(f"<tr><th>{key}</th><td>{html.escape(value)}</td></tr>" for key, value in _facts(image))
    return f"{picture}<table>{rows}</table>"


def _facts(image: Image) -> list[tuple[str, str]]:
    """Return what is known about an image, with a word for each fact."""
    names = "" if image.channels is None else f": {', '.join(image.channels)}"
    facts = [
        ("shape", " x ".join(map(str, image.shape))),
        ("channels", f"{image.n_channels}{names}"),
        ("dtype", str(image.dtype)),
    ]
    if image.pixel_size is not None:
        facts.append(("pixel size", "{:.4g} x {:.4g} µm".format(*image.pixel_size)))
    if image.crs is not None:
        facts.append(
            ("reference system", image.crs if len(image.crs) <= _LONGEST else f"{image.crs[:_LONGEST]}…")
        )
    if image.tile != (1, 1):
        facts.append(("tiles", "{} x {}".format(*image.tile)))
    if image.levels:
        facts.append(("levels", ", ".join("{} x {}".format(*extent) for extent in image.levels)))
    facts += [("masked", fact) for fact in image.masking.facts]
    return facts + [("file", str(path)) for path in image.paths[:1]]
