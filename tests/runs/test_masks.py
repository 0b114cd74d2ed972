"""Runs with masks: pixels without data have no data in the store."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import cv2
import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from images.examples import box, feature, write_geojson
from references import random_mixture
from runs.disturbed import at_block

from pipeline import Density, Label, Mixture, Packed, Posterior, evaluate, open_result, resume, stream
from pipeline.images.lazy import read_whole
from pipeline.images.polygons import open_polygons

if TYPE_CHECKING:
    from pathlib import Path

    from distributed import Client
    from numpy.typing import NDArray

    from pipeline.models.quantity import Quantity

CLASSES = {"a": random_mixture(1, 3), "b": random_mixture(2, 3)}
QUANTITIES: dict[str, Quantity] = {
    "density": Density(random_mixture(2, 3)),
    "packed": Packed(Posterior(CLASSES), "uint8"),
    "label": Label(CLASSES),
}
DENSITY = {"density": QUANTITIES["density"]}
SHAPE = (70, 90)


@pytest.fixture
def image(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give a part of the photo."""
    return photo[100:170, 200:290]


@pytest.fixture
def mask() -> NDArray[np.uint8]:
    """Give a mask that has blocks of 32 x 32 with all, some and no data."""
    mask = np.random.default_rng(0).integers(0, 2, SHAPE).astype(np.uint8)
    mask[:32, :32] = 0
    mask[32:64, 32:64] = 255
    mask[64:, 64:] = 0
    return mask


def check(store: Path, image: NDArray[Any], valid: NDArray[np.bool_]) -> None:
    """Compare a store with what evaluate gives under a mask."""
    results = open_result(store)
    for name, quantity in QUANTITIES.items():
        wanted = np.asarray(evaluate(image, quantity, mask=valid))
        if wanted.ndim > 2:
            wanted = np.moveaxis(wanted, -1, 0)
        if isinstance(quantity, Packed):
            wanted = quantity.encoding.decode(wanted)
        got = np.asarray(results[name])
        np.testing.assert_array_equal(got, wanted, err_msg=name)
        missing = np.isnan(got) if got.dtype.kind == "f" else got == 255
        np.testing.assert_array_equal(missing, np.broadcast_to(~valid, missing.shape), err_msg=name)


def run(image: Any, store: Path, **options: Any) -> Path:
    """Stream all quantities in small blocks."""
    stream(image, QUANTITIES, store, block=32, progress="none", **options)
    return store


@pytest.mark.parametrize(
    "kind", ["uint8", "bool", "float", "one channel", "Fortran", "Dask", "Zarr", "TIFF", "PNG", "path object"]
)
def test_a_mask_of_any_kind(
    tmp_path: Path, image: NDArray[np.uint8], mask: NDArray[np.uint8], kind: str
) -> None:
    """Where a mask is 0, whatever it is, there are no data; elsewhere the values are as without it."""
    tifffile.imwrite(tmp_path / "mask.tif", mask, tile=(32, 32), photometric="minisblack")
    cv2.imwrite(os.fspath(tmp_path / "mask.png"), mask)
    kinds: dict[str, Any] = {
        "uint8": mask,
        "bool": mask != 0,
        "float": mask / 7,
        "one channel": mask[..., np.newaxis],
        "Fortran": np.asfortranarray(mask),
        "Dask": da.from_array(mask, chunks=(17, 40)),
        "Zarr": zarr.create_array(tmp_path / "mask.zarr", data=mask, chunks=(20, 20)),
        "TIFF": os.fspath(tmp_path / "mask.tif"),
        "PNG": os.fspath(tmp_path / "mask.png"),
        "path object": tmp_path / "mask.tif",
    }
    check(run(image, tmp_path / "out.zarr", mask=kinds[kind]), image, mask != 0)


def test_blocks_without_data_arent_read(
    tmp_path: Path, image: NDArray[np.uint8], mask: NDArray[np.uint8]
) -> None:
    """Where a mask leaves nothing of a block, its pixels aren't read; the block is written all the same."""
    read = []

    def note(block: NDArray[np.uint8], block_info: Any = None) -> NDArray[np.uint8]:
        if block_info:
            read.append(block_info[0]["chunk-location"][:2])
        return block

    watched = da.from_array(image, chunks=(32, 32, 3)).map_blocks(note, dtype=np.uint8)
    store = run(watched, tmp_path / "out.zarr", mask=mask)
    assert sorted(read) == [(0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1)]
    check(store, image, mask != 0)
    for name in ("image", "label"):
        assert len([path for path in store.glob(f"**/0/{name}/c/**/*") if path.is_file()]) == 9


def test_alpha_is_a_mask(tmp_path: Path, image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> None:
    """An image's own alpha, of a file in any format or an array, tells where there are data."""
    four = np.dstack([image, mask])
    tifffile.imwrite(
        tmp_path / "four.tif", four, tile=(32, 32), photometric="rgb", extrasamples=["unassalpha"]
    )
    cv2.imwrite(os.fspath(tmp_path / "four.png"), four[..., [2, 1, 0, 3]])
    sources = {
        "array": four,
        "dask": da.from_array(four, chunks=(33, 90, 2)),
        "tiff": tmp_path / "four.tif",
        "png": tmp_path / "four.png",
    }
    for kind, source in sources.items():
        check(run(source, tmp_path / f"{kind}.zarr", mask="alpha"), image, mask != 0)


def test_alpha_follows_the_channels_of_the_model(
    tmp_path: Path, image: NDArray[np.uint8], mask: NDArray[np.uint8]
) -> None:
    """A file is opened in the model's order, with alpha last."""
    four = np.dstack([image, mask])
    tifffile.imwrite(tmp_path / "four.tif", four, photometric="rgb", extrasamples=["unassalpha"])
    plain = random_mixture(2, 3)
    mixture = Mixture(plain.weights, plain.means, plain.covariances, ["blue", "green", "red"])
    store = tmp_path / "out.zarr"
    stream(tmp_path / "four.tif", Density(mixture), store, mask="alpha", progress="none")
    wanted = evaluate(image[..., ::-1], Density(mixture), mask=mask)
    np.testing.assert_array_equal(open_result(store)["density"], wanted)


@pytest.mark.parametrize("value", [0, 0.0, np.uint8(0), np.float32(0)], ids=repr)
def test_a_value_without_data(tmp_path: Path, image: NDArray[np.uint8], value: float) -> None:
    """Pixels all of whose channels have the value have no data; one channel isn't enough."""
    marked = image.copy()
    marked[10:50, 20:60] = 0
    marked[5, 5] = (0, 0, 1)
    marked[5, 6] = (1, 0, 0)
    check(run(marked, tmp_path / "out.zarr", no_data=value), marked, (marked != 0).any(axis=-1))


@pytest.mark.parametrize("value", [-1, 256, 0.5])
def test_a_value_that_no_pixel_can_have(tmp_path: Path, image: NDArray[np.uint8], value: float) -> None:
    """A value beyond the image's dtype marks nothing."""
    check(run(image, tmp_path / "out.zarr", no_data=value), image, np.ones(SHAPE, bool))


def test_a_value_without_data_in_floats(tmp_path: Path, image: NDArray[np.uint8]) -> None:
    """A value that a float32 image rounds marks its pixels all the same; NaN has no data anyway."""
    marked = image.astype(np.float32)
    marked[:40, :40] = -9999.9
    marked[60:, 60:, 1] = np.nan
    valid = np.ones(SHAPE, bool)
    valid[:40, :40] = valid[60:, 60:] = False
    stream(marked, DENSITY, tmp_path / "out.zarr", block=32, progress="none", no_data=-9999.9)
    got = np.asarray(open_result(tmp_path / "out.zarr")["density"])
    np.testing.assert_array_equal(np.isnan(got), ~valid)


def test_mask_and_value_together(tmp_path: Path, image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> None:
    """A pixel has data only where everything says so."""
    marked = image.copy()
    marked[20:50, 20:70] = 7
    valid = (mask != 0) & (marked != 7).any(axis=-1)
    check(run(marked, tmp_path / "out.zarr", mask=mask, no_data=7), marked, valid)
    four = np.dstack([marked, mask])
    check(run(four, tmp_path / "alpha.zarr", mask="alpha", no_data=7), marked, valid)


def test_an_image_without_any_data(tmp_path: Path, image: NDArray[np.uint8]) -> None:
    """A mask of zeros gives a whole store of nothing."""
    store = run(image, tmp_path / "out.zarr", mask=np.zeros(SHAPE))
    check(store, image, np.zeros(SHAPE, bool))
    alpha = np.dstack([image, np.zeros(SHAPE, np.uint8)])
    check(run(alpha, tmp_path / "alpha.zarr", mask="alpha"), image, np.zeros(SHAPE, bool))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"mask": np.ones((70, 91))},
            ValueError,
            r"mask has shape \(70, 91\); wanted \(70, 90\), the image's",
        ),
        ({"mask": np.ones((70, 90, 3))}, ValueError, r"mask has shape \(70, 90, 3\)"),
        ({"mask": np.ones(70)}, ValueError, r"mask is an array of shape \(70,\); wanted a path or an array"),
        ({"mask": 3}, ValueError, "mask is 3; wanted a path or an array"),
        ({"mask": "none.png"}, FileNotFoundError, "none.png is not there"),
        (
            {"mask": "alpha"},
            ValueError,
            "mask is 'alpha', but the image has 3 channels; wanted the model's 3",
        ),
        ({"mask": np.ma.masked_less(np.ones((70, 90)), 2)}, TypeError, "mask is a masked array"),
        ({"mask": da.ones(SHAPE)[da.arange(70) > -1]}, ValueError, "mask has chunks of unknown size"),
        ({"no_data": float("nan")}, ValueError, "no_data is nan; wanted a finite number"),
        ({"no_data": float("inf")}, ValueError, "no_data is inf; wanted a finite number"),
        ({"no_data": "0x"}, ValueError, "no_data is '0x'; wanted a finite number"),
    ],
)
def test_masks_that_are_refused(
    tmp_path: Path, image: NDArray[np.uint8], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    """What is no mask of the image is refused before anything is written."""
    with pytest.raises(error, match=message):
        run(image, tmp_path / "out.zarr", **options)
    assert list(tmp_path.iterdir()) == []


ZONES = [feature(box(-5, 8.5, 60, 70), box(20, 20, 30, 45.2)), feature([(50, 3), (88, 40), (70, 66)])]


@pytest.mark.parametrize("kind", ["polygons", "level"])
def test_masks_of_the_whole_image_in_another_form(
    tmp_path: Path, image: NDArray[np.uint8], mask: NDArray[np.uint8], kind: str
) -> None:
    """Polygons mask as the array that they draw, a coarser level as its enlarged array; runs are resumed."""
    if kind == "polygons":
        path = write_geojson(tmp_path / "mask.geojson", *ZONES)
        drawn = read_whole(open_polygons(path, SHAPE))[..., 0]
    else:
        path = tmp_path / "mask.png"
        cv2.imwrite(os.fspath(path), mask[::2, ::2])
        drawn = mask[::2, ::2].repeat(2, axis=0).repeat(2, axis=1)
    cv2.imwrite(os.fspath(tmp_path / "image.png"), image[..., ::-1])
    store, drawn_store = tmp_path / "out.zarr", tmp_path / "drawn.zarr"
    check(run(image, drawn_store, mask=drawn), image, drawn != 0)
    options: dict[str, Any] = {"block": 32, "mask": path, "progress": at_block(3, KeyboardInterrupt())}
    for begun, target in ((tmp_path / "image.png", store), (image, tmp_path / "x.zarr")):
        with pytest.raises(KeyboardInterrupt):
            stream(begun, QUANTITIES, target, **options)
    assert resume(store, progress="none").kept_blocks >= 1
    check(store, image, drawn != 0)
    for name in QUANTITIES:
        np.testing.assert_array_equal(open_result(store)[name], open_result(drawn_store)[name])
    os.utime(path, ns=(0, 10**9))
    with pytest.raises(ValueError, match="can't be resumed: its mask was another one"):
        run(image, tmp_path / "x.zarr", mask=path, resume=True)


def test_a_cluster_draws_polygons(tmp_path: Path, image: NDArray[np.uint8], processes: Client) -> None:
    """Workers draw what this process draws."""
    path = write_geojson(tmp_path / "mask.geojson", *ZONES)
    drawn = read_whole(open_polygons(path, SHAPE))[..., 0]
    check(run(image, tmp_path / "out.zarr", mask=path, client=processes), image, drawn != 0)


class _FromHdf5:
    """What h5py gives of a file: a shape and a dtype, and regions when they are asked for."""

    shape, dtype = (70, 90, 3), np.dtype("uint8")


@pytest.mark.parametrize("what", ["image", "mask"])
def test_arrays_of_other_kinds(tmp_path: Path, image: NDArray[np.uint8], what: str) -> None:
    """Of an array that can't be cut for tasks, the error says what to pass instead."""
    arguments = {"image": image, "mask": None, what: _FromHdf5()}
    message = rf"{what} is of .*; wanted a path, .* Pass dask.array.from_array"
    with pytest.raises(TypeError, match=message):
        stream(quantities=DENSITY, store=tmp_path / "out.zarr", progress="none", **arguments)
    assert list(tmp_path.iterdir()) == []


def named(*channels: str) -> Density:
    """Give a density over channels of these names."""
    plain = random_mixture(2, len(channels))
    return Density(Mixture(plain.weights, plain.means, plain.covariances, channels))


@pytest.mark.parametrize(
    "channels",
    [("B", "G", "R"), ("Red", "Green", "Blue"), ("hematoxylin", "eosin", "dab"), ("red", "red2", "blue")],
)
def test_a_file_of_other_channels(
    tmp_path: Path, image: NDArray[np.uint8], channels: tuple[str, ...]
) -> None:
    """A mixture of other channels than a file names is refused; an array says nothing of its own."""
    tifffile.imwrite(tmp_path / "photo.tif", image, photometric="rgb")
    cv2.imwrite(os.fspath(tmp_path / "photo.png"), image)
    for name in ("photo.tif", "photo.png"):
        with pytest.raises(
            ValueError,
            match=f"channels are red, green, blue, the mixture's {', '.join(channels)}; wanted these names",
        ):
            stream(tmp_path / name, named(*channels), tmp_path / "out.zarr", progress="none")
    assert not list(tmp_path.glob("out.zarr*"))
    stream(image, named(*channels), tmp_path / "out.zarr", progress="none")


def test_quantities_of_different_channels(tmp_path: Path, image: NDArray[np.uint8]) -> None:
    """Quantities of channels in different orders can't be of one image, array or file."""
    quantities = {"a": named("red", "green", "blue"), "b": named("blue", "green", "red")}
    for source in (image, da.from_array(image), "photo.tif"):
        with pytest.raises(
            ValueError, match=r"different channels: blue, green, red and red, green, blue\. Run"
        ):
            stream(source, quantities, tmp_path / "out.zarr", progress="none")
    unnamed = Density(random_mixture(2, 3))
    stream(image, {"a": quantities["a"], "b": unnamed}, tmp_path / "out.zarr", progress="none")


def test_a_file_without_alpha(tmp_path: Path, image: NDArray[np.uint8]) -> None:
    """Alpha of a file that has none is refused by the file's name."""
    tifffile.imwrite(tmp_path / "photo.tif", image, photometric="rgb")
    with pytest.raises(ValueError, match=r"photo.tif has no alpha channel"):
        run(tmp_path / "photo.tif", tmp_path / "out.zarr", mask="alpha")
