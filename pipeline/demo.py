"""The demonstration: a real photo is made into a large mosaic, streamed, summarized and shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from dask.base import compute

from pipeline.images.opencv import import_opencv
from pipeline.images.opening import open_image
from pipeline.models.mixture_quantities import Density
from pipeline.models.published import load_model
from pipeline.results.result import open_result
from pipeline.runs.stream import stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    import dask.array as da
    from numpy.typing import NDArray

_PHOTO = 512
_TILES = 16
_SHAPE = (_PHOTO * _TILES, _PHOTO * _TILES)
# A density above this means that the color is likelier than if all 256**3 colors were equally likely.
_UNIFORM = 256.0**-3


def run_demo(output: Path) -> Iterator[str]:
    """Run the demonstration.

    Parameters
    ----------
    output : Path
        The directory for ``mosaic.tif``, ``skin.zarr`` and ``preview.png``, which are replaced.

    Yields
    ------
    str
        A line of the report, as soon as it is known.
    """
    photo = load_photo()
    output.mkdir(parents=True, exist_ok=True)
    mosaic, store, preview = output / "mosaic.tif", output / "skin.zarr", output / "preview.png"
    yield f"photo: NASA's portrait of astronaut Eileen Collins, {_PHOTO} x {_PHOTO}, public domain"
    _write_mosaic(mosaic, photo)
    yield f"mosaic: {mosaic}, {_SHAPE[0]} x {_SHAPE[1]} pixels in tiles of {_PHOTO}"
    receipt = stream(mosaic, Density(load_model("jones-rehg-skin")), store, overwrite=True)
    yield f"density: {store}, {receipt}"
    density = open_result(store)["density"]
    share, mean = compute((density > _UNIFORM).mean(), density.mean(dtype=np.float64))
    yield f"result: {share:.1%} of the pixels are skin-colored, denser than 256^-3; mean density {mean:.4g}"
    _write_preview(preview, mosaic, density)
    yield f"preview: {preview}"


def load_photo() -> NDArray[np.uint8]:
    """Return NASA's portrait of astronaut Eileen Collins, shape (512, 512, 3), red, green, blue."""
    return open_image(Path(__file__).parent / "data" / "astronaut.webp").compute()


def _write_mosaic(path: Path, photo: NDArray[np.uint8]) -> None:
    """Write the photo many times, flipped and in different light, with one tile in memory at a time."""
    import tifffile  # noqa: PLC0415  a library for files is imported when it is used

    random = np.random.default_rng(0)

    def tiles() -> Iterator[NDArray[np.uint8]]:
        for number in range(_TILES * _TILES):
            tile = photo[:, ::-1] if number % 2 else photo
            light = random.uniform(0.7, 1.1) if number else 1.0
            yield np.clip(tile * light, 0, 255).astype(np.uint8)

    tifffile.imwrite(
        path,
        tiles(),
        shape=(*_SHAPE, 3),
        dtype=np.uint8,
        tile=(_PHOTO, _PHOTO),
        photometric="rgb",
        compression="zlib",
    )


def _write_preview(path: Path, mosaic: Path, density: da.Array) -> None:
    """Show the mosaic, one of its photos, and the density of that photo on a logarithmic scale."""
    cv2 = import_opencv()
    image = open_image(mosaic).to_dask()
    first = (slice(_PHOTO), slice(_PHOTO))
    import dask.array as da  # noqa: PLC0415  costs half a second, which only lazy arrays need

    small = da.coarsen(np.mean, image, {0: _TILES, 1: _TILES})
    overview, photo, values = da.compute(small, image[first], density[first])
    panels = [overview.astype(np.uint8)[..., ::-1], photo[..., ::-1], _heat_map(values)]
    if not cv2.imwrite(str(path), np.hstack(panels)):
        raise OSError(f"{path}: OpenCV could not write the preview")


def _heat_map(density: NDArray[Any]) -> NDArray[np.uint8]:
    cv2 = import_opencv()
    decades = np.log10(np.maximum(density / _UNIFORM, 1e-3))
    scaled = np.clip((decades + 3) / 6 * 255, 0, 255).astype(np.uint8)
    return np.asarray(cv2.applyColorMap(scaled, cv2.COLORMAP_INFERNO), dtype=np.uint8)
