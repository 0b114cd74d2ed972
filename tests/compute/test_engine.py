"""Blocks: every dtype, stride, axis and size; the question's formulas; what is refused."""

from __future__ import annotations

import re
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from references import (
    broadcast,
    kernel_loop,
    pixel_loop,
    pixels_near,
    random_mixture,
    relative_error,
    scipy_density,
    scipy_log_density,
)

from pipeline import Density, Label, LogDensity, LogRatio, Mixture, Posterior, evaluate
from pipeline.compute.engine import check_image, choose_engine, evaluate_block

if TYPE_CHECKING:
    from numpy.typing import NDArray

DTYPES = [
    "bool",
    "uint8",
    "int8",
    "uint16",
    "int16",
    "int32",
    "uint32",
    "int64",
    "float16",
    "float32",
    "float64",
]


def density(image: NDArray[Any], mixture: Mixture, **options: Any) -> NDArray[Any]:
    """Evaluate in float64."""
    return evaluate_block(image, Density(mixture), dtype="float64", **options)


def test_the_questions_formulas(photo: NDArray[np.uint8], skin: Mixture) -> None:
    """With the determinant, the loops give the density without 2 pi, the broadcast the density."""
    crop = photo[100:120, 200:230]
    plain = evaluate_block(crop, Density(skin, normalized=False), dtype="float64")
    assert relative_error(plain, pixel_loop(crop, skin)) < 1e-12
    assert relative_error(plain, kernel_loop(crop, skin)) < 1e-12
    assert relative_error(density(crop, skin), broadcast(crop, skin)) < 1e-12
    assert relative_error(density(crop, skin), scipy_density(crop, skin)) < 1e-12


def test_the_norm_is_not_the_determinant(photo: NDArray[np.uint8], skin: Mixture) -> None:
    """The question's matrix norm gives other numbers: the comparison above could fail."""
    crop = photo[100:104, 200:204]
    plain = evaluate_block(crop, Density(skin, normalized=False), dtype="float64")
    assert relative_error(plain, pixel_loop(crop, skin, norm=True)) > 0.5


def test_the_whole_photo(photo: NDArray[np.uint8], skin: Mixture) -> None:
    """float64 equals SciPy to 1e-12 over the photo, and float32 is that, rounded."""
    exact = density(photo, skin)
    assert relative_error(exact, scipy_density(photo, skin)) < 1e-12
    rounded = evaluate_block(photo, Density(skin))
    assert rounded.dtype == np.float32
    np.testing.assert_array_equal(rounded, exact.astype(np.float32))


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_of_image(dtype: str) -> None:
    """Any boolean, integer or float image gives what its values as float64 give."""
    mixture = random_mixture(3, 3)
    image = np.random.default_rng(0).integers(0, 100, (9, 7, 3)).astype(dtype)
    np.testing.assert_array_equal(density(image, mixture), density(image.astype(np.float64), mixture))
    assert relative_error(density(image, mixture), scipy_density(image, mixture)) < 1e-12


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_both_byte_orders(byteorder: str) -> None:
    """A big-endian image, as some TIFFs hold, is the same image."""
    mixture = random_mixture(3, 3)
    image = np.random.default_rng(0).integers(0, 60_000, (9, 7, 3)).astype(np.uint16)
    np.testing.assert_array_equal(density(image.astype(f"{byteorder}u2"), mixture), density(image, mixture))


@settings(deadline=None)
@given(
    hnp.array_shapes(min_dims=3, max_dims=3, min_side=0, max_side=40),
    st.tuples(*[st.sampled_from([-3, -2, -1, 1, 2])] * 2),
    st.permutations([0, 1, 2]),
    st.data(),
)
def test_any_shape_stride_and_axis(
    shape: tuple[int, int, int], steps: tuple[int, int], order: list[int], data: st.DataObject
) -> None:
    """A view of any strides with its channels anywhere gives what its contiguous copy gives."""
    n_channels = 1 + data.draw(st.integers(0, 3))
    mixture = random_mixture(2, n_channels)
    image = np.random.default_rng(0).integers(0, 256, (*shape[:2], n_channels), dtype=np.uint8)
    view = image[:: steps[0], :: steps[1], ::-1]
    wanted = density(np.ascontiguousarray(view), mixture)
    moved = view.transpose(order)
    axis = order.index(2)
    assert wanted.shape == view.shape[:2]
    got = density(moved, mixture, channel_axis=axis)
    np.testing.assert_array_equal(got, wanted if order.index(0) < order.index(1) else wanted.T)
    np.testing.assert_array_equal(got, density(moved, mixture, channel_axis=axis - 3))


def test_wide_images_are_cut_within_rows() -> None:
    """An image wider than a strip gives the same as its halves."""
    mixture = random_mixture(2, 3)
    image = np.random.default_rng(0).integers(0, 256, (3, 100_003, 3), dtype=np.uint8)
    whole = density(image, mixture)
    np.testing.assert_array_equal(whole[:, :50_000], density(image[:, :50_000], mixture))
    np.testing.assert_array_equal(whole[:, 50_000:], density(image[:, 50_000:], mixture))


def test_other_numbers_of_axes() -> None:
    """A single pixel, a list of pixels and a volume work alike."""
    mixture = random_mixture(2, 3)
    volume = pixels_near(mixture, (2, 3, 4))
    wanted = density(volume, mixture)
    assert wanted.shape == (2, 3, 4)
    np.testing.assert_array_equal(density(volume.reshape(24, 3), mixture), wanted.ravel())
    assert density(volume[0, 0, 0], mixture) == wanted[0, 0, 0]


def test_grey_images_without_a_channel_axis() -> None:
    """channel_axis=None takes a grey image as OpenCV gives it."""
    mixture = random_mixture(2, 1)
    image = np.random.default_rng(0).integers(0, 256, (5, 6), dtype=np.uint8)
    wanted = density(image[..., np.newaxis], mixture)
    np.testing.assert_array_equal(density(image, mixture, channel_axis=None), wanted)


@pytest.mark.parametrize("shape", [(0, 5, 3), (5, 0, 3), (0, 0, 3), (1, 1, 3)])
def test_empty_and_one_pixel_images(shape: tuple[int, int, int]) -> None:
    """An empty image gives an empty result, one pixel one number."""
    assert density(np.zeros(shape, np.uint8), random_mixture(2, 3)).shape == shape[:2]


@pytest.mark.parametrize("full", [False, True])
def test_a_nan_channel_gives_nan_there_alone(full: bool) -> None:
    """NaN in one channel makes that pixel NaN, and no other."""
    mixture = random_mixture(3, 3, full=full)
    image = pixels_near(mixture, (4, 5))
    clean = density(image, mixture)
    image[1, 2, 0] = np.nan
    got = density(image, mixture)
    assert np.isnan(got[1, 2])
    got[1, 2] = clean[1, 2]
    np.testing.assert_array_equal(got, clean)


def test_far_pixels_underflow_to_zero() -> None:
    """Far from every kernel a density is 0, without a warning."""
    mixture = random_mixture(3, 3)
    assert (density(np.full((2, 2, 3), 1e6), mixture) == 0).all()


def test_the_image_is_left_alone(photo: NDArray[np.uint8], skin: Mixture) -> None:
    """Evaluating writes nothing to the image."""
    image = photo.copy()
    density(image, skin)
    np.testing.assert_array_equal(image, photo)


@pytest.mark.parametrize(
    ("shape", "dtype", "axis", "message"),
    [
        ((4, 5, 2), "uint8", -1, r"the image has 2 channels .*the model has 3 channels \(red, green, blue\)"),
        ((4, 5), "uint8", None, "the image has 1 channel .*the model has 3 channels"),
        ((4, 5), "uint8", -1, "the image has 5 channels"),
        ((4, 5, 3), "uint8", 3, "channel_axis is 3, but the image has shape"),
        ((4, 5, 3), "uint8", -4, "channel_axis is -4"),
        ((), "uint8", -1, "channel_axis is -1, but"),
        ((4, 5, 3), "complex64", -1, "pixels have dtype complex64; wanted integers or floating"),
        ((4, 5, 3), "object", -1, "pixels have dtype object"),
    ],
)
def test_what_is_refused(
    skin: Mixture, shape: tuple[int, ...], dtype: str, axis: int | None, message: str
) -> None:
    """An image that doesn't fit the model gets an error that says what was got and wanted."""
    with pytest.raises(ValueError, match=message):
        check_image(np.zeros(shape, dtype), Density(skin), channel_axis=axis)
    with pytest.raises(ValueError, match=message):
        density(np.zeros(shape, dtype), skin, channel_axis=axis)


def test_no_quantity_and_no_mask(skin: Mixture) -> None:
    """A mixture isn't a quantity, and a mask isn't dropped in silence."""
    with pytest.raises(TypeError, match=r"the quantity is <Mixture.*wanted Density"):
        evaluate(np.zeros((2, 2, 3)), skin)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="masked array"):
        evaluate(np.ma.masked_less(np.ones((2, 2, 3)), 2), Density(skin))


def test_unknown_engine(skin: Mixture) -> None:
    """Another engine gets an error that lists the engines."""
    with pytest.raises(ValueError, match="engine is 'gpu'; wanted one of auto, numexpr, table"):
        density(np.zeros((1, 1, 3)), skin, engine="gpu")


@pytest.mark.parametrize(
    ("dtype", "n_channels", "n_kernels", "n_pixels", "engine", "reason"),
    [
        ("uint8", 3, 16, 200, "numexpr", "200 pixels take less time than a table"),
        ("uint8", 3, 16, 10**9, "table", r"3 channels of uint8 have at most 2\^24 colours"),
        ("uint8", 3, 1, 10**6, "numexpr", "take less time"),
        ("uint8", 1, 1, 10**6, "table", r"2\^8 colours"),
        ("uint16", 1, 16, 10**6, "table", r"2\^16 colours"),
        ("uint16", 3, 16, 10**9, "numexpr", "3 channels of uint16 have too many colours"),
        ("uint8", 4, 16, 10**9, "numexpr", "too many colours"),
        ("int8", 3, 16, 10**9, "numexpr", "too many colours"),
        ("float32", 1, 16, 10**9, "numexpr", "too many colours"),
    ],
)
def test_auto_chooses_by_cost_and_says_why(
    dtype: str, n_channels: int, n_kernels: int, n_pixels: int, engine: str, reason: str
) -> None:
    """A table is for pixels of at most 24 bits, where it saves more than it costs."""
    quantity = Density(random_mixture(n_kernels, n_channels))
    choice = choose_engine("auto", quantity, np.dtype(dtype), n_pixels, result=np.dtype("float32"))
    assert choice.engine == engine
    assert re.search(reason, choice.reason)


def test_a_small_image_makes_no_table(photo: NDArray[np.uint8], skin: Mixture) -> None:
    """Two hundred pixels allocate nothing near 64 MiB."""
    crop = photo[:10, :20]
    density(crop, skin)
    tracemalloc.start()
    density(crop, skin)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_tables_are_refused_where_there_can_be_none() -> None:
    """Asking for a table of too many colours gets an error, not numexpr in silence."""
    with pytest.raises(
        ValueError, match="but 3 channels of uint16 have too many colours for a table; wanted"
    ):
        density(np.zeros((2, 2, 3), np.uint16), random_mixture(2, 3), engine="table")


def test_a_table_of_many_classes_is_too_big() -> None:
    """Four classes' probabilities of every colour are 256 MiB, and five are too much."""
    for n_classes, engine in ((4, "table"), (5, "numexpr")):
        quantity = Posterior(random_mixture(n_classes, 3))
        choice = choose_engine("auto", quantity, np.dtype("uint8"), 10**9, result=np.dtype("float32"))
        assert choice.engine == engine
    with pytest.raises(ValueError, match="a table of 5 results for each colour has more than 256 MiB"):
        evaluate_block(np.zeros((2, 2, 3), np.uint8), quantity, engine="table")


FLOATS = st.floats(allow_nan=False, allow_infinity=False)
ANY_PIXELS = st.one_of(
    hnp.arrays(np.float64, (4, 5, 3), elements=FLOATS),
    hnp.arrays(np.float32, (4, 5, 3), elements=st.floats(allow_nan=False, allow_infinity=False, width=32)),
    hnp.arrays(np.uint8, (4, 5, 3)),
    hnp.arrays(np.uint16, (4, 5, 3)),
    hnp.arrays(np.int16, (4, 5, 3)),
)


@settings(deadline=None)
@given(ANY_PIXELS, st.booleans(), st.sampled_from(["float32", "float64"]), st.integers(1, 40))
def test_logarithms_are_finite_for_every_finite_pixel(
    image: NDArray[Any],
    full: bool,
    dtype: str,
    n_kernels: int,
) -> None:
    """However far a pixel, neither a log-density nor a log-ratio is NaN or infinite, nor a density NaN."""
    one, other = random_mixture(n_kernels, 3, full=full), random_mixture(2, 3, full=full, seed=1)
    classes = {"one": one, "other": other}
    for quantity in (LogDensity(one), LogRatio(one, other), LogRatio(other, one), Posterior(classes)):
        assert np.isfinite(evaluate_block(image, quantity, dtype=dtype)).all()
    assert (evaluate_block(image, Label(classes)) < 2).all()
    assert not np.isnan(evaluate_block(image, Density(one), dtype=dtype)).any()


@pytest.mark.parametrize("engine", ["numexpr", "table"])
@pytest.mark.parametrize("n_kernels", [1, 16, 100])
def test_logarithms_agree_with_scipy(n_kernels: int, engine: str) -> None:
    """Log-densities and log-ratios equal SciPy's, also where densities underflow."""
    one = random_mixture(n_kernels, 3)
    other = Mixture([0.5, 0.5], [[10, 10, 10], [240, 240, 240]], [[1, 1, 1], [2, 1, 3]])
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    logs = [scipy_log_density(image, mixture) for mixture in (one, other)]
    assert logs[1].min() < -1000
    for mixture, wanted in zip((one, other), logs, strict=True):
        got = evaluate_block(image, LogDensity(mixture), dtype="float64", engine=engine)
        np.testing.assert_allclose(got, wanted, rtol=1e-12)
        plain = evaluate_block(image, LogDensity(mixture, normalized=False), dtype="float64", engine=engine)
        np.testing.assert_allclose(plain, wanted + 1.5 * np.log(2 * np.pi), rtol=1e-12, atol=1e-12)
    ratio = evaluate_block(image, LogRatio(one, other), dtype="float64", engine=engine)
    np.testing.assert_allclose(ratio, logs[0] - logs[1], rtol=1e-12, atol=1e-12)


def test_logarithms_in_many_channels() -> None:
    """Kernels too wide for one expression have logarithms too."""
    mixture = random_mixture(3, 60, full=True)
    pixels = pixels_near(mixture, (4, 5))
    got = evaluate_block(pixels, LogDensity(mixture), dtype="float64")
    assert relative_error(got, scipy_log_density(pixels, mixture)) < 1e-12


def test_a_nan_pixel_has_nan_logarithms() -> None:
    """NaN stays NaN through the limits that keep logarithms finite."""
    mixture = random_mixture(3, 3)
    image = np.array([[[np.nan, 1, 2], [1, 2, 3]]])
    for quantity in (LogDensity(mixture), LogRatio(mixture, random_mixture(2, 3))):
        assert np.isnan(evaluate_block(image, quantity)).tolist() == [[True, False]]
