"""Planes: exact at hard points, finite for every finite pixel, the same bits wherever a pixel stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from references import hard_points, mpmath_reference, pixels_near, random_mixture, scipy_reference

from pipeline import Density, LogDensity, LogRatio, Mixture, load_model
from pipeline.compute.planes import compute_planes, strip_length
from pipeline.compute.expression import compile_program
from pipeline.models.encoding import Packed
from pipeline.models.quantity import Label, Posterior, Quantity

if TYPE_CHECKING:
    from numpy.typing import NDArray

FLOATS = [
    *("density", "density without 2 pi", "log-density", "log-ratio"),
    *("posterior", "posterior of kernels", "posterior of other"),
]


def compute(quantity: Quantity, pixels: NDArray[Any], dtype: str | None = None) -> NDArray[Any]:
    """Compute (n, C) pixels, which gives (n_results, n)."""
    planes = np.ascontiguousarray(pixels.T, dtype=np.float64)
    out = np.empty((quantity.n_planes, len(pixels)), quantity.output_dtype(dtype))
    compute_planes([(quantity, out.dtype)], planes, [out], serial=True)
    return out


def every_quantity(n_channels: int = 3, *, full: bool = False, n_kernels: int = 4) -> list[Quantity]:
    """Make one of each kind."""
    one, other = (random_mixture(n_kernels, n_channels, full=full, seed=seed) for seed in (0, 1))
    classes = {"one": one, "other": other}
    return [
        *(Density(one), LogDensity(one), LogRatio(one, other)),
        *(Posterior(classes), Posterior(one), Posterior(classes, only="other")),
        *(Label(classes), Label(one)),
    ]


@pytest.mark.parametrize("name", FLOATS)
def test_hard_points(name: str) -> None:
    """Everything is within 1e-12 of mpmath; densities and posteriors where they are above 1e-300."""
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
    """A label is the argmax of mpmath's posterior wherever the two highest differ by 1e-12."""
    ties = 0
    for case in hard_points():
        quantity = case.quantities[name]
        assert isinstance(quantity, Label)
        classes = dict(zip(quantity.names, quantity.members, strict=True))
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


@settings(deadline=None, max_examples=40)
@given(PIXELS, *KINDS)
@example(np.full((6, 3), 1.7e308), True, 4)
@example(np.full((6, 3), -1e150), False, 1)
@example(np.full((6, 3), 1e143), True, 4)
@example(np.full((6, 3), 5e-324), True, 4)
def test_everything_is_finite_for_every_finite_pixel(
    pixels: NDArray[Any], full: bool, n_kernels: int
) -> None:
    """No quantity is NaN or infinite in any dtype; posteriors sum to 1, and labels are classes."""
    clipped = np.clip(pixels.astype(np.float64), -1e150, 1e150)
    for quantity in every_quantity(full=full, n_kernels=n_kernels):
        if isinstance(quantity, Label):
            assert compute(quantity, clipped).max() < len(quantity.names)
            continue
        for dtype in ("float16", "float32", "float64"):
            assert np.isfinite(compute(quantity, clipped, dtype)).all()
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
    for quantity in (
        *(Density(one), LogDensity(one), LogRatio(one, other), LogRatio(other, one)),
        *(Posterior(classes), Posterior(classes, [1e-300, 1e300]), Posterior(classes, only="one")),
    ):
        for dtype in ("float16", "float32", "float64"):
            assert np.isfinite(compute(quantity, pixels, dtype)).all()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.booleans(), st.integers(1, 200), st.booleans())
def test_a_pixel_has_the_same_bits_anywhere(seed: int, full: bool, n: int, far: bool) -> None:
    """Neither its place, nor its neighbours, nor the order of the pixels changes a result."""
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
            out = np.empty((quantity.n_planes, planes.shape[1]), quantity.output_dtype())
            compute_planes([(quantity, out.dtype)], planes, [out], serial=serial)
            both.append(out)
        np.testing.assert_array_equal(*both)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_smaller_floats_are_the_rounded_float64(dtype: str) -> None:
    """Results are rounded once, also where they were in doubt."""
    for case in hard_points()[::7]:
        for quantity in case.quantities.values():
            if isinstance(quantity, Label):
                continue
            largest = float(np.finfo(dtype).max)
            exact = compute(quantity, case.pixels, "float64")
            wanted = np.clip(exact, -largest, largest).astype(dtype)
            np.testing.assert_array_equal(compute(quantity, case.pixels, dtype), wanted)


def test_no_data() -> None:
    """A NaN channel gives NaN, or the highest integer, in every result, and no other pixel is touched."""
    pixels = pixels_near(random_mixture(4, 3), (5,))
    holed = pixels.copy()
    holed[2, 1] = np.nan
    for quantity in [*every_quantity(), Label(random_mixture(1, 3)), Label(random_mixture(300, 3))]:
        got, clean = compute(quantity, holed), compute(quantity, pixels)
        missing = np.isnan(got) if got.dtype.kind == "f" else got == np.iinfo(got.dtype).max
        assert missing.tolist() == [[False, False, True, False, False]] * len(got)
        np.testing.assert_array_equal(got[~missing], clean[~missing])


def test_one_class_is_certain() -> None:
    """The posterior of one class is 1, however far; its label is 0."""
    pixels = np.array([[1.0, 2, 3], [1e9, 0, 0], [1e150] * 3])
    only = {"all": random_mixture(3, 3)}
    for quantity in (Posterior(only), Posterior(only, only="all"), Posterior(random_mixture(1, 3))):
        assert compute(quantity, pixels, "float64").tolist() == [[1, 1, 1]]
    assert compute(Label(only), pixels).tolist() == [[0, 0, 0]]


def test_priors() -> None:
    """Priors are factors, need not sum to 1, and decide where classes are the same."""
    mixture = random_mixture(2, 3)
    classes = {"a": mixture, "b": mixture, "c": mixture}
    pixels = pixels_near(mixture, (4,))
    got = compute(Posterior(classes, [2, 5, 3]), pixels, "float64")
    np.testing.assert_allclose(got, np.full((4, 3), [0.2, 0.5, 0.3]).T, rtol=1e-14)
    assert compute(Label(classes, [2, 5, 3]), pixels).tolist() == [[1] * 4]
    assert compute(Label(classes), pixels).tolist() == [[0] * 4]


def test_a_thousand_classes() -> None:
    """A thousand kernels as classes: posteriors, labels in uint16, each kernel the label of its mean."""
    mixture = random_mixture(1000, 3)
    narrow = Mixture(np.full(1000, 1e-3), mixture.means, np.full((1000, 3), 1e-4))
    pixels = pixels_near(mixture, (30,))
    posterior = Posterior(mixture)
    np.testing.assert_allclose(
        compute(posterior, pixels, "float64"), scipy_reference(pixels, posterior).T, rtol=1e-11, atol=1e-300
    )
    np.testing.assert_array_equal(compute(Label(mixture), pixels)[0], scipy_reference(pixels, Label(mixture)))
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
    """What is packed is the exact value, and each pixel's error is given back."""
    pixels = pixels_near(random_mixture(2, 3), (50,))
    planes = np.ascontiguousarray(pixels.T)
    out = np.empty((quantity.n_planes, 50), quantity.output_dtype())
    (errors,) = compute_planes([(quantity, out.dtype)], planes, [out], serial=True)
    assert errors is not None
    exact = compute(quantity.quantity, pixels, "float64")
    wanted = np.empty_like(out)
    np.testing.assert_array_equal(errors, quantity.pack(exact, wanted).max(axis=0))
    assert errors.max() > 0
    np.testing.assert_array_equal(out, wanted)
    unpacked = np.empty(out.shape, np.float32)
    inner = [(quantity.quantity, unpacked.dtype)]
    assert compute_planes(inner, planes, [unpacked], serial=True) == [None]


def test_strips_shorten_with_channels_and_classes() -> None:
    """What a strip needs fits a core's cache, and is a multiple of numexpr's block."""
    skin, other = load_model("jones-rehg-skin"), load_model("jones-rehg-nonskin")
    lengths = [
        strip_length([(quantity, quantity.output_dtype())])
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
    """What is computed twice is at most a few percent of a photo, and nothing at all of its density."""
    planes = np.ascontiguousarray(photo[::4, ::4].reshape(-1, 3).T, dtype=np.float64)
    ratio = LogRatio(skin, load_model("jones-rehg-nonskin"))
    out = np.empty((1, planes.shape[1]))
    (doubt,) = compile_program(((ratio, out.dtype),)).run(planes, [out], serial=True)
    assert doubt is not None
    assert np.mean(doubt > 0) < 0.05
    assert compile_program(((Density(skin), out.dtype),)).run(planes, [out], serial=True) == [None]
