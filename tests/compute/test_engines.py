"""Tests of all engines together: the choice, and arrays of every dtype, stride and size."""

from __future__ import annotations

import re
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from arrays import evaluate_array, output_of
from hypothesis import given
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

from pipeline import (
    Confidence,
    Density,
    Entropy,
    Label,
    LogDensity,
    LogRatio,
    Mixture,
    Packed,
    Posterior,
)
from pipeline.compute.color_table import MOST_KEPT
from pipeline.compute.engines import (
    ENGINE_NAMES,
    ENGINES,
    choose_engine,
    choose_engines,
    evaluate_pixels,
)

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
    """Evaluate a density in float64."""
    return evaluate_array(image, Density(mixture), dtype="float64", **options)


def test_the_questions_formulas(photo: NDArray[np.uint8], skin: Mixture) -> None:
    """With the determinant, the loops equal the density without 2 pi, the broadcast the density."""
    crop = photo[100:120, 200:230]
    plain = evaluate_array(crop, Density(skin, normalized=False), dtype="float64")
    assert relative_error(plain, pixel_loop(crop, skin)) < 1e-12
    assert relative_error(plain, kernel_loop(crop, skin)) < 1e-12
    assert relative_error(density(crop, skin), broadcast(crop, skin)) < 1e-12
    assert relative_error(density(crop, skin), scipy_density(crop, skin)) < 1e-12


def test_the_norm_is_not_the_determinant(photo: NDArray[np.uint8], skin: Mixture) -> None:
    """The matrix norm of the question gives other numbers, so that the comparison above can fail."""
    crop = photo[100:104, 200:204]
    plain = evaluate_array(crop, Density(skin, normalized=False), dtype="float64")
    assert relative_error(plain, pixel_loop(crop, skin, norm=True)) > 0.5


def test_the_whole_photo(photo: NDArray[np.uint8], skin: Mixture) -> None:
    """Over a photo float64 equals SciPy to 1e-12, and float32 is the rounded float64."""
    exact = density(photo, skin)
    assert relative_error(exact, scipy_density(photo, skin)) < 1e-12
    rounded = evaluate_array(photo, Density(skin))
    assert rounded.dtype == np.float32
    np.testing.assert_array_equal(rounded, exact.astype(np.float32))


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_of_image(dtype: str) -> None:
    """A boolean, integer or float image has the results of its values as float64."""
    mixture = random_mixture(3, 3)
    image = np.random.default_rng(0).integers(0, 100, (9, 7, 3)).astype(dtype)
    np.testing.assert_array_equal(density(image, mixture), density(image.astype(np.float64), mixture))
    assert relative_error(density(image, mixture), scipy_density(image, mixture)) < 1e-12


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_both_byte_orders(byteorder: str) -> None:
    """A big-endian image, as in some TIFF files, has the same results."""
    mixture = random_mixture(3, 3)
    image = np.random.default_rng(0).integers(0, 60_000, (9, 7, 3)).astype(np.uint16)
    np.testing.assert_array_equal(density(image.astype(f"{byteorder}u2"), mixture), density(image, mixture))


def test_wide_images_are_cut_within_rows() -> None:
    """An image wider than a strip has the results of its halves."""
    mixture = random_mixture(2, 3)
    image = np.random.default_rng(0).integers(0, 256, (3, 100_003, 3), dtype=np.uint8)
    whole = density(image, mixture)
    np.testing.assert_array_equal(whole[:, :50_000], density(image[:, :50_000], mixture))
    np.testing.assert_array_equal(whole[:, 50_000:], density(image[:, 50_000:], mixture))


def test_other_numbers_of_axes() -> None:
    """A single pixel, a list of pixels and a volume are accepted."""
    mixture = random_mixture(2, 3)
    volume = pixels_near(mixture, (2, 3, 4))
    wanted = density(volume, mixture)
    assert wanted.shape == (2, 3, 4)
    np.testing.assert_array_equal(density(volume.reshape(24, 3), mixture), wanted.ravel())
    assert density(volume[0, 0, 0], mixture) == wanted[0, 0, 0]


@pytest.mark.parametrize("shape", [(0, 5, 3), (5, 0, 3), (0, 0, 3), (1, 1, 3)])
def test_empty_and_one_pixel_images(shape: tuple[int, int, int]) -> None:
    """An empty image has an empty result, and one pixel has one number."""
    assert density(np.zeros(shape, np.uint8), random_mixture(2, 3)).shape == shape[:2]


@pytest.mark.parametrize("full", [False, True])
def test_a_nan_channel_gives_nan_there_alone(full: bool) -> None:
    """A NaN in one channel makes that pixel NaN, and no other."""
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
    """Evaluation writes nothing to the image."""
    image = photo.copy()
    density(image, skin)
    np.testing.assert_array_equal(image, photo)


FLOATS = st.floats(allow_nan=False, allow_infinity=False)
ANY_PIXELS = st.one_of(
    hnp.arrays(np.float64, (4, 5, 3), elements=FLOATS),
    hnp.arrays(np.float32, (4, 5, 3), elements=st.floats(allow_nan=False, allow_infinity=False, width=32)),
    hnp.arrays(np.uint8, (4, 5, 3)),
    hnp.arrays(np.uint16, (4, 5, 3)),
    hnp.arrays(np.int16, (4, 5, 3)),
)


@given(ANY_PIXELS, st.booleans(), st.sampled_from(["float32", "float64"]), st.integers(1, 40))
def test_logarithms_are_finite_for_every_finite_pixel(
    image: NDArray[Any],
    full: bool,
    dtype: str,
    n_kernels: int,
) -> None:
    """However far a pixel is, no quantity is NaN, and only a density could be infinite."""
    one, other = random_mixture(n_kernels, 3, full=full), random_mixture(2, 3, full=full, seed=1)
    classes = {"one": one, "other": other}
    for quantity in (
        *(LogDensity(one), LogRatio(one, other), LogRatio(other, one)),
        *(Posterior(classes), Confidence(classes), Entropy(classes), Confidence(one), Entropy(one)),
    ):
        assert np.isfinite(evaluate_array(image, quantity, dtype=dtype)).all()
    assert (evaluate_array(image, Label(classes)) < 2).all()
    assert not np.isnan(evaluate_array(image, Density(one), dtype=dtype)).any()


@pytest.mark.parametrize("engine", ["numexpr", "table"])
@pytest.mark.parametrize("n_kernels", [1, 16, 100])
def test_logarithms_agree_with_scipy(n_kernels: int, engine: str) -> None:
    """Log-densities and log-ratios equal those of SciPy, also where densities underflow."""
    one = random_mixture(n_kernels, 3)
    other = Mixture([0.5, 0.5], [[10, 10, 10], [240, 240, 240]], [[1, 1, 1], [2, 1, 3]])
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    logs = [scipy_log_density(image, mixture) for mixture in (one, other)]
    assert logs[1].min() < -1000
    for mixture, wanted in zip((one, other), logs, strict=True):
        got = evaluate_array(image, LogDensity(mixture), dtype="float64", engine=engine)
        np.testing.assert_allclose(got, wanted, rtol=1e-12)
        plain = evaluate_array(image, LogDensity(mixture, normalized=False), dtype="float64", engine=engine)
        np.testing.assert_allclose(plain, wanted + 1.5 * np.log(2 * np.pi), rtol=1e-12, atol=1e-12)
    ratio = evaluate_array(image, LogRatio(one, other), dtype="float64", engine=engine)
    np.testing.assert_allclose(ratio, logs[0] - logs[1], rtol=1e-12, atol=1e-12)


def test_logarithms_in_many_channels() -> None:
    """Kernels that are too wide for one expression have logarithms too."""
    mixture = random_mixture(3, 60, full=True)
    pixels = pixels_near(mixture, (4, 5))
    got = evaluate_array(pixels, LogDensity(mixture), dtype="float64")
    assert relative_error(got, scipy_log_density(pixels, mixture)) < 1e-12


def test_a_nan_pixel_has_nan_logarithms() -> None:
    """The limits that keep logarithms finite leave NaN as it is."""
    mixture = random_mixture(3, 3)
    image = np.array([[[np.nan, 1, 2], [1, 2, 3]]])
    for quantity in (LogDensity(mixture), LogRatio(mixture, random_mixture(2, 3))):
        assert np.isnan(evaluate_array(image, quantity)).tolist() == [[True, False]]


def test_unknown_engine(skin: Mixture) -> None:
    """An unknown name gets an error that lists the engines."""
    with pytest.raises(ValueError, match="engine is 'gpu'; wanted one of auto, numexpr, table"):
        density(np.zeros((1, 1, 3)), skin, engine="gpu")


@pytest.mark.parametrize(
    ("dtype", "n_channels", "n_kernels", "n_pixels", "engine", "reason"),
    [
        (
            "uint8",
            3,
            16,
            200,
            "numexpr",
            "estimated times for 200 pixels in one thread: numexpr .* s, table .* s$",
        ),
        ("uint8", 3, 16, 10**9, "table", "1000000000 pixels in one thread: table .* s, numexpr"),
        ("uint8", 3, 1, 10**6, "numexpr", "1000000 pixels in one thread: numexpr .* s, numpy"),
        ("uint8", 1, 1, 10**6, "table", "in one thread: table"),
        ("uint16", 1, 16, 10**6, "table", "in one thread: table"),
        ("uint16", 3, 16, 10**9, "numba", "3 channels of uint16 have too many colors for a table; wanted"),
        ("uint8", 4, 16, 10**9, "numba", "too many colors"),
        ("uint8", 4, 16, 10**6, "numpy", "1000000 pixels in one thread: numpy .* s, numexpr"),
        ("int8", 3, 16, 10**9, "numba", "too many colors"),
        ("float32", 1, 16, 10**9, "numba", "too many colors"),
    ],
)
def test_auto_chooses_by_cost_and_says_why(
    dtype: str, n_channels: int, n_kernels: int, n_pixels: int, engine: str, reason: str
) -> None:
    """A table is for pixels of at most 24 bits, and is chosen where it saves more than it costs."""
    output = output_of(Density(random_mixture(n_kernels, n_channels)))
    choice = choose_engine("auto", output, np.dtype(dtype), n_pixels)
    assert choice.engine == engine
    assert re.search(reason, choice.reason)


def test_a_small_image_makes_no_table(photo: NDArray[np.uint8], skin: Mixture) -> None:
    """The evaluation of two hundred pixels allocates far less than a table."""
    crop = photo[:10, :20]
    density(crop, skin)
    tracemalloc.start()
    density(crop, skin)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_tables_are_refused_where_there_can_be_none() -> None:
    """The request for a table of too many colors gets an error, and no other engine is used silently."""
    message = "engine is 'table', but 3 channels of uint16 have too many colors for a table; wanted 1 to 3"
    with pytest.raises(ValueError, match=message):
        density(np.zeros((2, 2, 3), np.uint16), random_mixture(2, 3), engine="table")


def test_a_table_of_many_classes_is_too_big() -> None:
    """A table of the probabilities of four classes has 256 MiB, and that of five is too large."""
    for n_classes, engine in ((4, "table"), (5, "numba")):
        quantity = Posterior(random_mixture(n_classes, 3))
        choice = choose_engine("auto", output_of(quantity), np.dtype("uint8"), 10**9)
        assert choice.engine == engine
    with pytest.raises(ValueError, match="a table of 5 results for each color has more than 256 MiB"):
        evaluate_array(np.zeros((2, 2, 3), np.uint8), quantity, engine="table")


def test_an_engine_that_is_asked_for_is_taken(skin: Mixture) -> None:
    """A request by name is granted, whatever the estimated times are."""
    assert ENGINE_NAMES == ("auto", *ENGINES) == ("auto", "numexpr", "table", "numpy", "numba")
    for name in ENGINES:
        choice = choose_engine(name, output_of(Density(skin)), np.dtype("uint8"), 1)
        assert choice == (name, "as asked for")


def test_tables_of_a_run_fit_what_a_process_keeps() -> None:
    """Twenty outputs have more than 1 GiB of tables: the fastest programs do without, and say why."""
    dtype, sizes = np.dtype("uint8"), [2, 5, 3, 9, 16] * 4
    outputs = [
        output_of(Density(random_mixture(n_kernels, 3, seed=seed))) for seed, n_kernels in enumerate(sizes)
    ]
    choices = choose_engines("auto", outputs, dtype, 10**9)
    tabled = [number for number, choice in enumerate(choices) if choice.engine == "table"]
    assert ENGINES["table"].process_bytes([outputs[number] for number in tabled], dtype) == MOST_KEPT
    others = [number for number in range(20) if number not in tabled]
    assert len(others) == 4
    assert max(sizes[number] for number in others) <= min(sizes[number] for number in tabled)
    for number in others:
        assert choices[number].engine == "numba"
        assert choices[number].reason == "its table doesn't fit the 1024 MiB of tables that a process keeps"
    few = choose_engines("auto", outputs[:16], dtype, 10**9)
    assert few == [choose_engine("auto", output, dtype, 10**9) for output in outputs[:16]]
    assert {choice.engine for choice in choose_engines("table", outputs, dtype, 10**9)} == {"table"}


class _Refusing:
    """An engine that refuses everything."""

    name = "refusing"
    missing = None

    def is_close(self, *_: object) -> bool:
        """Be close."""
        return True

    def refusal(self, *_: object) -> str:
        """Return a reason."""
        return "it is Sunday"


def test_without_an_engine_all_refusals_are_said(monkeypatch: pytest.MonkeyPatch, skin: Mixture) -> None:
    """An output that every engine refuses gets an error with the reasons."""
    monkeypatch.setitem(ENGINES, "numexpr", _Refusing())
    monkeypatch.delitem(ENGINES, "numpy")
    monkeypatch.delitem(ENGINES, "numba")
    message = "no engine can compute 'density': it is Sunday; 3 channels of float32 have too many colors"
    with pytest.raises(ValueError, match=message):
        choose_engine("auto", output_of(Density(skin)), np.dtype("float32"), 10)


def test_a_missing_engine_is_named_where_it_would_pay(monkeypatch: pytest.MonkeyPatch, skin: Mixture) -> None:
    """Without Numba, the reason says what to install, but not where a table is as fast."""
    monkeypatch.setattr(type(ENGINES["numba"]), "missing", "Numba isn't installed (pip install it)")
    output = output_of(Density(skin))
    choice = choose_engine.__wrapped__("auto", output, np.dtype("float32"), 10**9)
    assert choice.engine == "numpy"
    assert "Numba isn't installed (pip install it), with which it would take 8" in choice.reason
    choice = choose_engine.__wrapped__("auto", output, np.dtype("uint8"), 10**9)
    assert choice.engine == "table"
    assert "Numba" not in choice.reason
    with pytest.raises(ValueError, match=r"but Numba isn't installed \(pip install it\)\. Use"):
        choose_engine.__wrapped__("numba", output, np.dtype("float32"), 10**9)


def test_auto_takes_no_engine_that_is_less_exact(monkeypatch: pytest.MonkeyPatch, skin: Mixture) -> None:
    """An engine whose numbers may differ by more than the last place must be asked for by name."""
    monkeypatch.setattr(type(ENGINES["table"]), "is_close", lambda *_: False)
    assert choose_engine("auto", output_of(Density(skin)), np.dtype("uint8"), 10**9).engine == "numba"
    assert choose_engine("table", output_of(Density(skin)), np.dtype("uint8"), 10**9).engine == "table"
    exact = output_of(Density(skin), "float64")
    assert choose_engine("auto", exact, np.dtype("float32"), 10**9).engine == "numexpr"
    assert choose_engine("numba", exact, np.dtype("float32"), 10**9).engine == "numba"


def test_outputs_of_several_engines_keep_their_order() -> None:
    """Each output has the results and the error that it has alone, whichever engine computes the others."""
    one, other = random_mixture(3, 2), random_mixture(2, 2, seed=1)
    quantities = [Density(one), Packed(LogRatio(one, other), "float16"), Label(one), Posterior(one)]
    outputs = [output_of(quantity) for quantity in quantities]
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 2), dtype=np.uint8)
    results, errors = evaluate_pixels(pixels, outputs, ["table", "numexpr", "numexpr", "table"], serial=True)
    for output, result, error in zip(outputs, results, errors, strict=True):
        (alone,), (alone_error,) = evaluate_pixels(pixels, [output], ["numexpr"], serial=True)
        np.testing.assert_array_equal(result, alone)
        assert error == alone_error
        assert (error > 0) is output.encoding.is_lossy
