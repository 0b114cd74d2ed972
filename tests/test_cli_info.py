"""What the command `info` says of an image."""

from __future__ import annotations

import numpy as np
from images.examples import Plain

from pipeline.cli_info import describe_image
from pipeline.images.geometry import Geometry
from pipeline.images.no_data import NoData
from pipeline.images.opening import open_image

READING = "a run: {}, {} of pixels; reading takes {} of memory in each thread"


def test_everything_that_an_image_says() -> None:
    """Series, levels, the size of pixels, the georeference, validity and the way of reading are lines."""
    source = Plain(np.zeros((2048, 3000, 3), np.uint16))
    source.channels, source.no_data = ("red", "green", "nir"), NoData(0.0)
    source.levels, source.series = ((2048, 3000), (512, 750)), ("0: slide", "1: label")
    source.geometry = Geometry((0.25, 0.5), (0.0, 0.0), "EPSG:32633", (10.0, 0, 5e5, 0, -10.0, 49e5))
    assert describe_image("x.tif", open_image(source)) == [
        "image x.tif: 2048 x 3000 pixels (6.1 megapixels)",
        "pixels: 3 channels (red, green, nir), uint16",
        "series 0: slide",
        "series 1: label",
        "level 0: 2048 x 3000 pixels",
        "level 1: 512 x 750 pixels",
        "pixel size: 0.25 x 0.5 \u00b5m",
        "coordinate reference system: EPSG:32633",
        "transform: x = 10 column + 0 row + 500000, y = 0 column + -10 row + 4900000",
        "validity: no data where 0",
        "read: in tiles of 32 x 20",
        READING.format("6 blocks of 1024 x 1024", "35.16 MiB", "14.00 MiB"),
    ]


def test_an_image_that_says_little() -> None:
    """An array has its size and the way of reading; one without pixels has no run."""
    lines = describe_image("x.npy", open_image(np.zeros((20, 30), bool)))
    assert lines == [
        "image x.npy: 20 x 30 pixels (0.0 megapixels)",
        "pixels: 1 channel, bool",
        "validity: all pixels have data",
        "read: any region equally well",
        READING.format("1 block of 32 x 32", "600 B", "600 B"),
    ]
    assert len(describe_image("x.npy", open_image(np.zeros((0, 30), bool)))) == 3
