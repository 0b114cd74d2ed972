"""The public functions on NumPy and on Dask: one answer everywhere, nothing computed before it is asked."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import dask
import dask.array as da
import numpy as np
import pytest
import tifffile
import xarray
from references import random_mixture

from pipeline import (
    Confidence,
    Density,
    Entropy,
    Kernel,
    Label,
    Mixture,
    Packed,
    Posterior,
    compute_densities,
    evaluate,
    open_image,
)
from pipeline.models.output import make_outputs
from pipeline.models.quantity import no_data_value

if TYPE_CHECKING:
    from pathlib import Path

    from distributed import Client
    from numpy.typing import NDArray

    from pipeline.models.quantity import Quantity


def refuse(*_: object, **__: object) -> None:
    """Stand in for a scheduler where nothing may be computed."""
    raise AssertionError("computed")


def test_compute_densities_takes_kernels_and_mixtures(photo: NDArray[np.uint8], skin: Mixture) -> None:
    """Kernels in any form, or a mixture, give the same float32 densities."""
    crop = photo[:20, :30]
    kernels = [
        Kernel(mean.reshape(3, 1), np.diag(variances), weight)
        for weight, mean, variances in zip(skin.weights, skin.means, skin.covariances, strict=True)
    ]
    got = compute_densities(crop, kernels)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, compute_densities(crop, skin))
    np.testing.assert_array_equal(got, evaluate(crop, Density(skin)))
    np.testing.assert_array_equal(compute_densities(crop.tolist(), skin), got)


def test_channels_in_the_wrong_order_are_other_numbers(photo: NDArray[np.uint8], skin: Mixture) -> None:
    """Blue, green, red pixels need a flip, which any strides allow."""
    crop = photo[:20, :30]
    flipped = np.ascontiguousarray(crop[..., ::-1])
    assert not np.allclose(compute_densities(flipped, skin), compute_densities(crop, skin))
    np.testing.assert_array_equal(compute_densities(flipped[..., ::-1], skin), compute_densities(crop, skin))


@pytest.mark.parametrize("scheduler", ["synchronous", "threads", "processes", "cluster"])
@pytest.mark.parametrize("chunks", [(40, 50, 3), (64, -1, 1), ((10, 70, 20), (1, 99), (2, 1))])
def test_every_scheduler_gives_numpys_bits(
    photo: NDArray[np.uint8], skin: Mixture, processes: Client, scheduler: str, chunks: Any
) -> None:
    """Dask arrays in any chunks, channels split or not, compute what NumPy does."""
    crop = photo[:100, :100]
    lazy = compute_densities(da.from_array(crop, chunks=chunks), skin)
    get: Any = processes if scheduler == "cluster" else scheduler
    np.testing.assert_array_equal(lazy.compute(scheduler=get), compute_densities(crop, skin))


def test_dask_in_dask_out(photo: NDArray[np.uint8], skin: Mixture) -> None:
    """Nothing is computed, and shape, chunks and dtype are known."""
    image = da.from_array(photo, chunks=(100, 200, 3))
    with dask.config.set(scheduler=refuse):
        lazy = evaluate(image, Density(skin), dtype="float64")
        assert isinstance(lazy, da.Array)
        assert (lazy.shape, lazy.dtype, lazy.chunks) == ((512, 512), np.float64, image.chunks[:2])
        assert lazy._meta.ndim == 2
        with pytest.raises(AssertionError, match="computed"):
            lazy.compute()


@pytest.mark.parametrize("axis", [0, 1, -1, None])
def test_channel_axes_of_dask_arrays(axis: int | None) -> None:
    """Channels may stand anywhere in a Dask array, or nowhere in a gray one."""
    image = np.random.default_rng(0).integers(
        0, 256, (20, 30) if axis is None else (20, 30, 3), dtype=np.uint8
    )
    moved = image if axis is None else np.moveaxis(image, -1, axis)
    mixture = random_mixture(3, 1 if axis is None else 3)
    lazy = compute_densities(da.from_array(moved, chunks=2), mixture, channel_axis=axis)
    np.testing.assert_array_equal(lazy, compute_densities(moved, mixture, channel_axis=axis))


def test_names_are_deterministic(photo: NDArray[np.uint8], skin: Mixture) -> None:
    """The same question has the same name, another question another."""
    image = da.from_array(photo, chunks=256)
    first = evaluate(image, Density(skin))
    assert first.name == evaluate(image, Density(skin)).name
    assert first.name != evaluate(image, Density(skin), dtype="float64").name
    assert first.name != evaluate(image, Density(random_mixture(2, 3))).name


def test_the_graph_holds_the_model_once(skin: Mixture) -> None:
    """A large model is one node of the graph, not a part of every task."""
    del skin
    mixture = random_mixture(20_000, 3)
    image = da.zeros((64, 64, 3), chunks=(1, 64, 3), dtype=np.uint8)
    size = len(pickle.dumps(evaluate(image, Density(mixture)).dask))
    assert size < 1.5 * len(pickle.dumps(mixture))


def test_errors_come_before_the_graph(skin: Mixture) -> None:
    """A Dask array that doesn't fit is refused at once."""
    image = da.zeros((10, 10, 2), chunks=5)
    with pytest.raises(ValueError, match="the image has 2 channels"):
        evaluate(image, Density(skin))
    with pytest.raises(ValueError, match="engine is 'gpu'"):
        evaluate(da.zeros((10, 10, 3)), Density(skin), engine="gpu")
    with pytest.raises(ValueError, match="engine is 'table', but 3 channels of float64 have too many colors"):
        evaluate(da.zeros((10, 10, 3)), Density(skin), engine="table")


CLASSES = {"one": random_mixture(2, 3), "other": random_mixture(3, 3, seed=1)}
QUANTITIES = [
    Density(CLASSES["one"]),
    Posterior(CLASSES),
    Label(CLASSES),
    Packed(Posterior(CLASSES), "uint8"),
    Confidence(CLASSES),
    Entropy(CLASSES),
]


def class_names(quantity: Quantity | Packed) -> tuple[str, ...] | None:
    """Return the names along the extra axis of a quantity's results."""
    (output,) = make_outputs(quantity)
    return output.class_names


@pytest.mark.parametrize("quantity", QUANTITIES, ids=lambda quantity: type(quantity).__name__)
@pytest.mark.parametrize("axis", [-1, 0, 1])
@pytest.mark.parametrize("masked", [False, True])
def test_classes_stand_where_the_channels_stood(
    photo: NDArray[np.uint8], quantity: Quantity, axis: int, masked: bool
) -> None:
    """NumPy, Dask and xarray agree on shapes, masks and coordinates, wherever the channels are."""
    image = np.moveaxis(photo[:30, :40], -1, axis)
    mask = photo[:30, :40, 0] > 100 if masked else None
    flat = evaluate(photo[:30, :40], quantity)
    if mask is not None:
        flat[~mask] = no_data_value(flat.dtype)
    wanted = flat if class_names(quantity) is None else np.moveaxis(flat, -1, axis)
    np.testing.assert_array_equal(evaluate(image, quantity, channel_axis=axis, mask=mask), wanted)
    lazy = evaluate(da.from_array(image, chunks=20), quantity, channel_axis=axis, mask=mask)
    assert (lazy.shape, lazy.dtype) == (wanted.shape, wanted.dtype)
    np.testing.assert_array_equal(lazy, wanted)
    dims = ["y", "x"]
    dims.insert(axis % 3, "band")
    scene = xarray.DataArray(image, dims=dims, coords={"y": np.arange(30) * 2.0, "band": list("rgb")})
    result = evaluate(scene, quantity, channel_axis=axis, mask=mask)
    dims[axis % 3 : axis % 3 + 1] = [] if class_names(quantity) is None else ["class"]
    assert list(result.dims) == dims
    np.testing.assert_array_equal(result, wanted)
    np.testing.assert_array_equal(result.coords["y"], np.arange(30) * 2.0)
    assert "band" not in result.coords
    assert class_names(quantity) is None or list(result.coords["class"].to_numpy()) == ["one", "other"]


def test_classes_of_a_gray_image_stand_last(photo: NDArray[np.uint8]) -> None:
    """Where there was no axis of channels, the classes' is the last."""
    gray, kernels = photo[:30, :40, 0], random_mixture(3, 1)
    wanted = evaluate(gray[..., np.newaxis], Posterior(kernels))
    assert wanted.shape == (30, 40, 3)
    np.testing.assert_array_equal(evaluate(gray, Posterior(kernels), channel_axis=None), wanted)
    lazy = evaluate(da.from_array(gray, chunks=20), Posterior(kernels), channel_axis=None)
    np.testing.assert_array_equal(lazy, wanted)


def test_a_mask_of_another_shape_is_refused(photo: NDArray[np.uint8], skin: Mixture) -> None:
    """A mask is of the image's shape without its channels."""
    with pytest.raises(ValueError, match=r"mask has shape \(5, 5\); wanted \(512, 512\), that of the image"):
        evaluate(photo, Density(skin), mask=np.ones((5, 5)))


@pytest.mark.parametrize("axis", [-1, 0, None])
def test_a_mask_of_xarrays_goes_by_its_dimensions(photo: NDArray[np.uint8], axis: int | None) -> None:
    """Whatever order a mask has its dimensions in, they are the image's; others are refused."""
    crop = photo[:30, :30] if axis is not None else photo[:30, :30, 0]
    dims = ["y", "x"] if axis is None else ["y", "x", "band"] if axis else ["band", "y", "x"]
    scene = xarray.DataArray(crop if axis is None or axis else np.moveaxis(crop, -1, 0), dims=dims)
    quantity = Density(random_mixture(2, 1 if axis is None else 3))
    valid = photo[:30, :30, 0] > photo[:30, :30, 0].T
    wanted = evaluate(scene, quantity, channel_axis=axis, mask=valid)
    assert 0 < np.isnan(wanted).sum() < wanted.size
    for mask in (xarray.DataArray(valid, dims=["y", "x"]), xarray.DataArray(valid.T, dims=["x", "y"])):
        result = evaluate(scene, quantity, channel_axis=axis, mask=mask)
        assert result.dims == ("y", "x")
        np.testing.assert_array_equal(result, wanted)
    for others in (["y", "z"], ["row", "column"]):
        with pytest.raises(
            ValueError, match=r"mask has dimensions .*; wanted \('y', 'x'\), those of the image"
        ):
            evaluate(scene, quantity, channel_axis=axis, mask=xarray.DataArray(valid, dims=others))


@pytest.mark.parametrize("value", ["x", [1, 2, 3], float("nan")])
def test_a_value_that_marks_nothing_is_refused(photo: NDArray[np.uint8], skin: Mixture, value: Any) -> None:
    """A value without data is a finite number, for every kind of image."""
    for image in (photo, da.from_array(photo), open_image(photo)):
        with pytest.raises(ValueError, match=r"no_data is .*; wanted a finite number"):
            evaluate(image, Density(skin), no_data=value)


def test_a_lazy_mask_stays_lazy(photo: NDArray[np.uint8], skin: Mixture) -> None:
    """A Dask mask makes the result lazy, and nothing is computed before it is asked for."""
    lazy = evaluate(photo, Density(skin), mask=da.from_array(photo[..., 0] > 100, chunks=100))
    assert isinstance(lazy, da.Array)
    np.testing.assert_array_equal(lazy, evaluate(photo, Density(skin), mask=photo[..., 0] > 100))


def test_masks_are_of_numbers(photo: NDArray[np.uint8], skin: Mixture) -> None:
    """NaN in a mask keeps no pixel, and what isn't of numbers is refused."""
    crop = photo[:4, :5]
    mask = np.ones((4, 5))
    mask[1, 2] = np.nan
    for image in (crop, da.from_array(crop)):
        result = np.asarray(evaluate(image, Density(skin), mask=mask))
        assert np.argwhere(np.isnan(result)).tolist() == [[1, 2]]
    with pytest.raises(ValueError, match="the mask has dtype <U1; wanted numbers"):
        evaluate(crop, Density(skin), mask=np.full((4, 5), "x"))


def test_masked_chunks_are_refused(photo: NDArray[np.uint8], skin: Mixture) -> None:
    """A Dask array of masked arrays would lose its mask."""
    image = da.ma.masked_less(da.from_array(photo), 5)
    with pytest.raises(TypeError, match=r"masked array, whose mask would be lost. Fill it"):
        evaluate(image, Density(skin))


def test_a_mask_has_the_images_coordinates(photo: NDArray[np.uint8], skin: Mixture) -> None:
    """A mask whose rows run the other way isn't used by position."""
    scene = xarray.DataArray(photo[:4, :5], dims=("y", "x", "band"), coords={"y": [0, 1, 2, 3]})
    mask = xarray.DataArray(np.ones((4, 5)), dims=("y", "x"), coords={"y": [3, 2, 1, 0]})
    with pytest.raises(ValueError, match="the coordinates 'y' of mask and image differ"):
        evaluate(scene, Density(skin), mask=mask)
    assert not np.isnan(evaluate(scene, Density(skin), mask=mask.reindex_like(scene))).any()


KINDS = ["NumPy", "Dask", "xarray", "Image", "path"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_mapping_gives_a_dict(tmp_path: Path, photo: NDArray[np.uint8], kind: str) -> None:
    """Several quantities by name, with a mask and a value without data, are what each is alone."""
    crop = photo[:40, :50].copy()
    crop[:10, :10] = 7
    mask = np.ones((40, 50), bool)
    mask[20:] = False
    tifffile.imwrite(tmp_path / "crop.tif", crop, tile=(16, 16), photometric="rgb")
    images: dict[str, Any] = {
        "NumPy": crop,
        "Dask": da.from_array(crop, chunks=(16, 20, 3)),
        "xarray": xarray.DataArray(crop, dims=("y", "x", "band")),
        "Image": open_image(crop),
        "path": tmp_path / "crop.tif",
    }
    quantities = {"density": Density(CLASSES["one"]), "classes": Posterior(CLASSES), "label": Label(CLASSES)}
    results = evaluate(images[kind], quantities, mask=mask, no_data=7)
    assert list(results) == list(quantities)
    valid = mask & (crop != 7).any(axis=-1)
    for name, quantity in quantities.items():
        np.testing.assert_array_equal(results[name], evaluate(crop, quantity, mask=valid), err_msg=name)
    assert isinstance(results["density"], da.Array) == (kind in {"Dask", "Image", "path"})


def test_an_image_is_evaluated_in_blocks(tmp_path: Path, photo: NDArray[np.uint8], skin: Mixture) -> None:
    """An image gives a lazy Dask array, with its channels in the order of the model and its own mask."""
    tifffile.imwrite(tmp_path / "photo.tif", photo, tile=(64, 64), photometric="rgb", compression="zlib")
    image = open_image(tmp_path / "photo.tif", no_data=0)[:200, ::2]
    with dask.config.set(scheduler=refuse):
        lazy = evaluate(image, Density(skin))
    assert isinstance(lazy, da.Array)
    wanted = evaluate(photo[:200, ::2], Density(skin), no_data=0)
    assert np.isnan(wanted).any()
    np.testing.assert_array_equal(lazy, wanted)
    flipped = Mixture(skin.weights, skin.means, skin.covariances, ["blue", "green", "red"])
    flat = evaluate(photo[:200, ::2, ::-1], Density(flipped), no_data=0)
    np.testing.assert_array_equal(evaluate(image, Density(flipped)), flat)
    assert evaluate(image, Posterior(skin)).shape == (200, 256, 16)
    with pytest.raises(FileNotFoundError, match=r"none.jpg is not there"):
        evaluate("none.jpg", Density(skin))


def test_masks_by_alpha_and_by_path(tmp_path: Path, photo: NDArray[np.uint8], skin: Mixture) -> None:
    """The last channel of an array, or a file, says where there are data; NumPy stays NumPy."""
    valid = (photo[:40, :50, 0] > 100).astype(np.uint8)
    tifffile.imwrite(tmp_path / "mask.tif", valid, photometric="minisblack")
    wanted = evaluate(photo[:40, :50], Density(skin), mask=valid)
    for image, mask in (
        (np.dstack([photo[:40, :50], valid]), "alpha"),
        (photo[:40, :50], tmp_path / "mask.tif"),
        (photo[:40, :50], open_image(tmp_path / "mask.tif")),
    ):
        got = evaluate(image, Density(skin), mask=mask)
        assert isinstance(got, np.ndarray)
        np.testing.assert_array_equal(got, wanted)
