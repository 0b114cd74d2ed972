"""What tests of results share: small stores with every kind of result."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from references import random_mixture

from pipeline import Density, Label, LogRatio, Mixture, Packed, Posterior, stream

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

CLASSES = {"tumor & edge": random_mixture(2, 3), "b": random_mixture(1, 3, seed=5)}


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory, photo: NDArray[np.uint8]) -> Path:
    """Give a store of four levels, with pixels of half a micrometer, of which some have no data."""
    folder = tmp_path_factory.mktemp("results")
    pixels = photo[:301, :430].copy()
    pixels[40:90, 20:70] = 0
    tifffile.imwrite(
        folder / "slide.ome.tif",
        pixels,
        photometric="rgb",
        tile=(64, 64),
        metadata={
            "axes": "YXS",
            "PhysicalSizeX": 0.5,
            "PhysicalSizeY": 0.5,
            "PhysicalSizeXUnit": "µm",
            "PhysicalSizeYUnit": "µm",
        },
    )
    quantities = {
        "ratio": LogRatio(*CLASSES.values()),
        "chances": Posterior(CLASSES),
        "packed": Packed(Density(CLASSES["b"]), "uint16", 1e-12, 1.0, "log"),
        "half": Packed(Density(CLASSES["b"]), "float16"),
        "label": Label(CLASSES),
    }
    stream(folder / "slide.ome.tif", quantities, folder / "out.zarr", block=64, no_data=0, progress="none")
    return folder / "out.zarr"


@pytest.fixture(scope="session")
def mapped(tmp_path_factory: pytest.TempPathFactory, photo: NDArray[np.uint8]) -> Path:
    """Give a store that lies on a map, in UTM zone 33, with pixels of ten meters."""
    rasterio = pytest.importorskip("rasterio")
    folder = tmp_path_factory.mktemp("mapped")
    place = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000)}
    with rasterio.open(
        folder / "scene.tif", "w", driver="GTiff", height=150, width=200, count=3, dtype="uint8", **place
    ) as file:
        file.write(np.moveaxis(photo[:150, :200], -1, 0))
    quantities = {"ratio": LogRatio(*CLASSES.values()), "label": Label(CLASSES)}
    stream(folder / "scene.tif", quantities, folder / "out.zarr", block=64, progress="none")
    return folder / "out.zarr"


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with an image of three tiles by two, `slide.tif`, and the results of a run, `out.zarr`.

    The names of the classes are markup, and a corner of the image has no data.
    """
    folder = tmp_path_factory.mktemp("scene")
    random = np.random.default_rng(0)
    blurred = random.integers(0, 256, (18, 27, 3), np.uint8).repeat(50, axis=0).repeat(50, axis=1)
    image = (blurred // 2 + random.integers(0, 100, blurred.shape)).astype(np.uint8)
    image[:100, :200] = 0
    options = {"photometric": "rgb", "tile": (256, 256), "compression": "zlib"}
    resolution = {"resolution": (40000, 40000), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(folder / "slide.tif", image, **options, **resolution, metadata=None)
    names = ("red", "green", "blue")
    classes = {
        "<b>dark</b>": Mixture([1.0], [[60, 60, 60]], [[900, 900, 900]], names),
        'light & "bright"': Mixture([1.0], [[170, 170, 170]], [[900, 900, 900]], names),
    }
    dark, light = classes.values()
    quantities = {
        "kind": Label(classes),
        "density": Density(dark),
        "ratio": LogRatio(dark, light),
        "chance": Packed(Posterior(classes), "uint8"),
    }
    stream(folder / "slide.tif", quantities, folder / "out.zarr", no_data=0, progress="none")
    return folder
