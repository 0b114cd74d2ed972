"""The demonstration: a real photo is made into a large mosaic, streamed, summarized and shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from dask.base import compute

from pipeline.evaluation import evaluate
from pipeline.images.opencv import import_opencv
from pipeline.images.opening import open_image
from pipeline.models.mixture_quantities import LogRatio
from pipeline.models.output import make_outputs
from pipeline.models.published import load_model
from pipeline.results.napari_layers import value_layer
from pipeline.results.result import open_result
from pipeline.runs.stream import stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    import dask.array as da
    from numpy.typing import NDArray

    from pipeline.results.napari_layers import LayerData

_PHOTO = 512
_TILES = 16
_SHAPE = (_PHOTO * _TILES, _PHOTO * _TILES)
# The log-ratio, in nats, from which a pixel of the preview is red, and below whose opposite it is blue.
_STRONGEST = 5.0
_RED, _BLUE = np.array([178, 24, 43]), np.array([33, 102, 172])


def run_demo(output: Path) -> Iterator[str]:
    """Run the demonstration.

    Parameters
    ----------
    output : Path
        The directory for ``mosaic.tif``, ``skin.zarr`` and ``preview.png``, which are replaced and stay.

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
    quantity = LogRatio(load_model("jones-rehg-skin"), load_model("jones-rehg-nonskin"))
    receipt = stream(mosaic, {"log-ratio": quantity}, store, overwrite=True)
    yield f"log-ratio of skin and other colors: {store}, {receipt}"
    ratio = open_result(store)["log-ratio"]
    (share,) = compute((ratio > 0).mean())
    yield (
        f"result: {share:.1%} of the pixels have colors that are commoner in skin than elsewhere: the face, "
        "and the orange suit, which color alone can't tell from skin"
    )
    _write_preview(preview, mosaic, ratio)
    yield f"preview: {preview}"
    size = sum(path.stat().st_size for path in (mosaic, preview, *store.rglob("*")) if path.is_file())
    yield f"these files take {size / 1e6:.0f} MB: remove {output} when you have seen them"


def load_photo() -> NDArray[np.uint8]:
    """Return NASA's portrait of astronaut Eileen Collins, shape (512, 512, 3), red, green, blue."""
    return open_image(Path(__file__).parent / "data" / "astronaut.webp").compute()


def demo_layers() -> list[LayerData]:
    """Return the photo and its log-ratio of skin and other colors as layers, the sample data of napari."""
    import dask.array as da  # noqa: PLC0415  costs half a second, which only lazy arrays need

    photo = load_photo()
    quantity = LogRatio(load_model("jones-rehg-skin"), load_model("jones-rehg-nonskin"))
    (output,) = make_outputs(quantity)
    ratio = da.from_array(evaluate(photo, quantity))
    values, options, kind = value_layer(output.name, output, [ratio], None)
    single: dict[str, Any] = {"multiscale": False}
    return [(photo, {"name": "photo", "rgb": True}, "image"), (values[0], {**options, **single}, kind)]


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


def _write_preview(path: Path, mosaic: Path, ratio: da.Array) -> None:
    """Show the mosaic, one of its photos, and the log-ratio of that photo."""
    cv2 = import_opencv()
    image = open_image(mosaic).to_dask()
    first = (slice(_PHOTO), slice(_PHOTO))
    import dask.array as da  # noqa: PLC0415  costs half a second, which only lazy arrays need

    small = da.coarsen(np.mean, image, {0: _TILES, 1: _TILES})
    overview, photo, values = da.compute(small, image[first], ratio[first])
    panels = [overview.astype(np.uint8)[..., ::-1], photo[..., ::-1], _draw_ratio(values)[..., ::-1]]
    if not cv2.imwrite(str(path), np.hstack(panels)):
        raise OSError(f"{path}: OpenCV could not write the preview")


def _draw_ratio(ratio: NDArray[Any]) -> NDArray[np.uint8]:
    """Draw a log-ratio in red where it is above 0, in blue where it is below, and in white where it is 0."""
    strength = np.clip(ratio / _STRONGEST, -1, 1)[..., np.newaxis]
    full = np.where(strength > 0, _RED, _BLUE)
    drawn: NDArray[np.uint8] = np.rint(255 + np.abs(strength) * (full - 255)).astype(np.uint8)
    return drawn
