"""Tests of planes: exact at hard points, finite everywhere, the same bits wherever a pixel stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from arrays import output_of
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from references import hard_points, mpmath_reference, pixels_near, random_mixture, scipy_reference

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
    load_model,
)
from pipeline.compute.expression import compile_program
from pipeline.compute.planes import compute_planes, strip_length

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.models.quantity import Quantity

FLOATS = [
    *("density", "density without 2 pi", "log-density", "log-ratio"),
    *("posterior", "posterior of kernels", "posterior of other"),
    *("confidence", "confidence of kernels", "entropy", "entropy of kernels"),
]


def compute(quantity: Quantity, pixels: NDArray[Any], dtype: str | None = None) -> NDArray[Any]:
    """Return the results (n_results, n) of pixels (n, C)."""
    planes = np.ascontiguousarray(pixels.T, dtype=np.float64)
    output = output_of(quantity, dtype)
    out = np.empty((output.n_results, len(pixels)), output.dtype)
    compute_planes([output], planes, [out], serial=True)
    return out


def every_quantity(n_channels: int = 3, *, full: bool = False, n_kernels: int = 4) -> list[Quantity]:
    """Return one quantity of each kind."""
    one, other = (random_mixture(n_kernels, n_channels, full=full, seed=seed) for seed in (0, 1))
    classes = {"one": one, "other": other}
    return [
        *(Density(one), LogDensity(one), LogRatio(one, other)),
        *(Posterior(classes), Posterior(one), Posterior(classes, only="other")),
        *(Label(classes), Label(one), Confidence(classes), Confidence(one)),
        *(Entropy(classes), Entropy(one), Entropy(classes, [0.9, 0.1])),
    ]


@pytest.mark.parametrize("name", FLOATS)
def test_hard_points(name: str) -> None:
    """Every value above 1e-300 is within 1e-12 of mpmath."""
    worst = 0.0
    for case in hard_points():
        quantity = case.quantities[name]
        got = compute(quantity, case.pixels, "float64")
        assert np.isfinite(got).all()
        wanted = mpmath_reference(case.pixels, quantity).reshape(len(case.pixels), -1).T
        counts = np.abs(wanted) > 1e-300
        worst = max(worst, np.max(np.abs(got[counts] / wanted[counts] - 1), initial=0.0))
    print(f"{name}: worst relative error {worst:.2g}")  # noqa: T201  shown by pytest -s
    assert worst < 1e-12


@pytest.mark.parametrize("name", ["label", "label of kernels"])
def test_hard_labels(name: str) -> None:
    """A label is the argmax of the posterior of mpmath wherever the two highest differ by 1e-12."""
    ties = 0
    for case in hard_points():
        quantity = case.quantities[name]
        assert isinstance(quantity, Label)
        classes = dict(zip(quantity.names, quantity.class_mixtures, strict=True))
        shares = mpmath_reference(case.pixels, Posterior(classes, quantity.priors))
        highest = np.sort(shares, axis=-1)[:, -2:]
        is_clear = highest[:, -1] - highest[:, 0] > 1e-12 if len(classes) > 1 else np.full(len(shares), True)
        ties += np.count_nonzero(~is_clear)
        got = compute(quantity, case.pixels)[0]
        np.testing.assert_array_equal(got[is_clear], shares.argmax(axis=-1)[is_clear])
    assert ties < 50


@pytest.mark.parametrize("full", [False, True])
def test_ordinary_pixels_agree_with_scipy(full: bool) -> None:
    """Every quantity equals the reference at pixels near the kernels."""
    for quantity in every_quantity(full=full):
        pixels = pixels_near(random_mixture(4, 3, full=full), (200,))
        wanted = scipy_reference(pixels, quantity).reshape(200, -1).T
        got = compute(quantity, pixels, None if isinstance(quantity, Label) else "float64")
        np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-300)


PIXELS = st.one_of(
    hnp.arrays(np.float64, (6, 3), elements=st.floats(allow_nan=False, allow_infinity=False)),
    hnp.arrays(np.float32, (6, 3), elements=st.floats(allow_nan=False, allow_infinity=False, width=32)),
    hnp.arrays(np.uint8, (6, 3)),
    hnp.arrays(np.uint16, (6, 3)),
    hnp.arrays(np.int16, (6, 3)),
)
KINDS = st.sampled_from([False, True]), st.sampled_from([1, 4, 40])


@settings(max_examples=40)
@given(PIXELS, *KINDS)
@example(np.full((6, 3), 1.7e308), True, 4)
@example(np.full((6, 3), -1e150), False, 1)
@example(np.full((6, 3), 1e143), True, 4)
@example(np.full((6, 3), 5e-324), True, 4)
def test_everything_is_finite_for_every_finite_pixel(
    pixels: NDArray[Any], full: bool, n_kernels: int
) -> None:
    """No quantity is NaN or infinite in any dtype, posteriors sum to 1, and values are in their range."""
    clipped = np.clip(pixels.astype(np.float64), -1e150, 1e150)
    for quantity in every_quantity(full=full, n_kernels=n_kernels):
        if isinstance(quantity, Label):
            assert compute(quantity, clipped).max() < len(quantity.names)
            continue
        for dtype in ("float16", "float32", "float64"):
            values = compute(quantity, clipped, dtype)
            assert np.isfinite(values).all()
            if quantity.value_range is not None:
                low, high = (np.dtype(dtype).type(end) for end in quantity.value_range)
                assert low <= values.min() <= values.max() <= high
        if isinstance(quantity, Posterior) and quantity.only is None:
            total = compute(quantity, clipped, "float64").sum(axis=0)
            np.testing.assert_allclose(total, 1, rtol=0, atol=1e-12)


@pytest.mark.parametrize("variance", [1e-300, 1e-6, 1e6, 1e300])
def test_extreme_variances_are_finite(variance: float) -> None:
    """Neither a narrow nor a wide kernel makes anything infinite, at its mean or beside it."""
    one = Mixture([1e-12], np.zeros((1, 3)), np.full((1, 3), variance))
    other = random_mixture(2, 3)
    pixels = np.array([[0.0, 0, 0], [5e-324, 1e-160, 0], [1e-3, 1, 2], [1e150, 0, -1e150]])
    classes = {"one": one, "other": other}
    quantities: list[Quantity] = [
        *(Density(one), LogDensity(one), LogRatio(one, other), LogRatio(other, one)),
        *(Posterior(classes), Posterior(classes, [1e-300, 1e300]), Posterior(classes, only="one")),
        *(Confidence(classes), Entropy(classes), Entropy(classes, [1e-300, 1e300])),
    ]
    for quantity in quantities:
        for dtype in ("float16", "float32", "float64"):
            assert np.isfinite(compute(quantity, pixels, dtype)).all()


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.booleans(), st.integers(1, 200), st.booleans())
def test_a_pixel_has_the_same_bits_anywhere(seed: int, full: bool, n: int, far: bool) -> None:
    """Neither the place of a pixel, nor its neighbors, nor the order of the pixels changes a result."""
    random = np.random.default_rng(seed)
    pixels = random.normal(100, 1e5 if far else 100, (n, 3))
    order = random.permutation(n)
    for quantity in every_quantity(full=full):
        got = compute(quantity, pixels, None if isinstance(quantity, Label) else "float64")
        np.testing.assert_array_equal(
            compute(quantity, pixels[order], got.dtype.name).view("u1"),
            np.ascontiguousarray(got[:, order]).view("u1"),
        )
        some = order[: n // 3]
        np.testing.assert_array_equal(compute(quantity, pixels[some], got.dtype.name), got[:, some])


def test_results_do_not_depend_on_threads(numexpr_threads: int) -> None:
    """Serial or with numexpr's threads, results are the same."""
    del numexpr_threads
    planes = np.random.default_rng(0).uniform(0, 2000, (3, 40_000))
    for quantity in every_quantity():
        both = []
        for serial in (True, False):
            out = np.empty((quantity.n_results, planes.shape[1]), quantity.output_dtype())
            compute_planes([output_of(quantity)], planes, [out], serial=serial)
            both.append(out)
        np.testing.assert_array_equal(*both)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_smaller_floats_are_the_rounded_float64(dtype: str) -> None:
    """Results are rounded once, also where they were doubtful."""
    for case in hard_points()[::7]:
        for quantity in case.quantities.values():
            if isinstance(quantity, Label):
                continue
            largest = float(np.finfo(dtype).max)
            exact = compute(quantity, case.pixels, "float64")
            wanted = np.clip(exact, -largest, largest).astype(dtype)
            np.testing.assert_array_equal(compute(quantity, case.pixels, dtype), wanted)


def test_no_data() -> None:
    """A NaN channel makes all results of its pixel NaN, or the highest integer, and changes no other."""
    pixels = pixels_near(random_mixture(4, 3), (5,))
    holed = pixels.copy()
    holed[2, 1] = np.nan
    for quantity in [
        *every_quantity(),
        *(kind(random_mixture(k, 3)) for kind in (Label, Confidence, Entropy) for k in (1, 20, 300)),
    ]:
        got, clean = compute(quantity, holed), compute(quantity, pixels)
        missing = np.isnan(got) if got.dtype.kind == "f" else got == np.iinfo(got.dtype).max
        assert missing.tolist() == [[False, False, True, False, False]] * len(got)
        np.testing.assert_array_equal(got[~missing], clean[~missing])


def test_one_class_is_certain() -> None:
    """The posterior and the confidence of a single class are 1, and its label and entropy are 0."""
    pixels = np.array([[1.0, 2, 3], [1e9, 0, 0], [1e150] * 3])
    only = {"all": random_mixture(3, 3)}
    for quantity in (Posterior(only), Posterior(only, only="all"), Posterior(random_mixture(1, 3))):
        assert compute(quantity, pixels, "float64").tolist() == [[1, 1, 1]]
    for one in (only, random_mixture(1, 3, full=True)):
        for dtype in ("float16", "float64"):
            assert compute(Confidence(one), pixels, dtype).tolist() == [[1, 1, 1]]
            entropy = compute(Entropy(one), pixels, dtype)
            assert entropy.tolist() == [[0, 0, 0]]
            assert not np.signbit(entropy).any()
    assert compute(Label(only), pixels).tolist() == [[0, 0, 0]]


def test_priors() -> None:
    """Priors are factors, need not sum to 1, and decide between classes that are the same."""
    mixture = random_mixture(2, 3)
    classes = {"a": mixture, "b": mixture, "c": mixture}
    pixels = pixels_near(mixture, (4,))
    got = compute(Posterior(classes, [2, 5, 3]), pixels, "float64")
    np.testing.assert_allclose(got, np.full((4, 3), [0.2, 0.5, 0.3]).T, rtol=1e-14)
    assert compute(Label(classes, [2, 5, 3]), pixels).tolist() == [[1] * 4]
    assert compute(Label(classes), pixels).tolist() == [[0] * 4]
    np.testing.assert_allclose(compute(Confidence(classes, [2, 5, 3]), pixels, "float64"), 0.2, rtol=1e-14)
    assert compute(Confidence(classes), pixels, "float64").tolist() == [[0] * 4]
    wanted = -np.sum(np.log([0.2, 0.5, 0.3]) * [0.2, 0.5, 0.3])
    np.testing.assert_allclose(compute(Entropy(classes, [2, 5, 3]), pixels, "float64"), wanted, rtol=1e-14)
    np.testing.assert_allclose(compute(Entropy(classes), pixels, "float64"), np.log(3), rtol=1e-15)


def test_a_thousand_classes() -> None:
    """A thousand kernels can be classes. Each narrow kernel is the label of its mean."""
    mixture = random_mixture(1000, 3)
    narrow = Mixture(np.full(1000, 1e-3), mixture.means, np.full((1000, 3), 1e-4))
    pixels = pixels_near(mixture, (30,))
    posterior = Posterior(mixture)
    np.testing.assert_allclose(
        compute(posterior, pixels, "float64"), scipy_reference(pixels, posterior).T, rtol=1e-11, atol=1e-300
    )
    np.testing.assert_array_equal(compute(Label(mixture), pixels)[0], scipy_reference(pixels, Label(mixture)))
    for quantity in (Confidence(mixture), Entropy(mixture)):
        got = compute(quantity, pixels, "float64")[0]
        np.testing.assert_allclose(got, scipy_reference(pixels, quantity), rtol=1e-9)
    labels = compute(Label(narrow), mixture.means)
    assert labels.dtype == np.uint16
    assert labels[0].tolist() == list(range(1000))


@pytest.mark.parametrize(
    "quantity",
    [
        Packed(Posterior({"a": random_mixture(2, 3), "b": random_mixture(3, 3, seed=1)}), "uint8"),
        Packed(LogDensity(random_mixture(2, 3)), "uint16", -30.0, 0.0),
        Packed(LogDensity(random_mixture(2, 3)), "float16"),
    ],
)
def test_packed(quantity: Packed) -> None:
    """The exact values are encoded, and the error of each pixel is returned."""
    pixels = pixels_near(random_mixture(2, 3), (50,))
    planes = np.ascontiguousarray(pixels.T)
    output = output_of(quantity)
    out = np.empty((output.n_results, 50), output.dtype)
    (errors,) = compute_planes([output], planes, [out], serial=True)
    assert errors is not None
    exact = compute(quantity.quantity, pixels, "float64")
    wanted = np.empty_like(out)
    np.testing.assert_array_equal(errors, quantity.encoding.encode(exact, wanted).max(axis=0))
    assert errors.max() > 0
    np.testing.assert_array_equal(out, wanted)
    unpacked = np.empty(out.shape, np.float32)
    assert compute_planes([output_of(quantity.quantity)], planes, [unpacked], serial=True) == [None]


def test_strips_shorten_with_channels_and_classes() -> None:
    """A strip fits the cache of a core, and is a multiple of the block of numexpr."""
    skin, other = load_model("jones-rehg-skin"), load_model("jones-rehg-nonskin")
    lengths = [
        strip_length([output_of(quantity)])
        for quantity in (
            *(Density(random_mixture(1, 1)), Density(skin), Packed(Density(skin), "float16")),
            *(Posterior({"skin": skin, "other": other}), Posterior(skin), Posterior(random_mixture(1000, 3))),
        )
    ]
    assert lengths[1:3] == [42 * 1024] * 2
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[-1] == 2048
    assert all(length % 1024 == 0 for length in lengths)


def test_few_pixels_of_a_photo_are_in_doubt(photo: NDArray[np.uint8], skin: Mixture) -> None:
    """Few pixels of a photo are computed twice, and none for its density."""
    planes = np.ascontiguousarray(photo[::4, ::4].reshape(-1, 3).T, dtype=np.float64)
    other = load_model("jones-rehg-nonskin")
    classes = {"skin": skin, "other": other}
    out = np.empty((1, planes.shape[1]))
    for quantity in (LogRatio(skin, other), Confidence(classes), Entropy(classes), Confidence(skin)):
        (doubt,) = compile_program(((quantity, out.dtype),)).run(planes, [out], serial=True)
        assert doubt is not None
        assert np.mean(doubt > 0) < 0.05
    assert compile_program(((Density(skin), out.dtype),)).run(planes, [out], serial=True) == [None]
