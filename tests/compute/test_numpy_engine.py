"""Tests of the engine of matrix products; the contract of engines is in test_engine.py."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from arrays import evaluate_array, output_of
from hypothesis import given, settings
from hypothesis import strategies as st
from references import MP, _mp_logs, hard_points, mpmath_reference, random_mixture, scipy_density

from pipeline import (
    Density,
    Entropy,
    Label,
    LogDensity,
    LogRatio,
    Mixture,
    Packed,
    Posterior,
)
from pipeline.compute.engines import ENGINES
from pipeline.compute.exponent import exponents
from pipeline.compute.features import FeatureSum
from pipeline.compute.numpy_engine import ARITHMETIC, NumpyEngine
from pipeline.compute.precise import compute_precisely
from pipeline.testing.engines import assert_neighbors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.models.quantity import Quantity

ENGINE = NumpyEngine()
CASES = hard_points()
FLOAT32 = np.dtype("float32")


def compute(quantity: Quantity, pixels: NDArray[Any], dtype: str | None = None) -> NDArray[Any]:
    """Return the results (n, ...) of pixels (n, C)."""
    result: NDArray[Any] = evaluate_array(pixels, quantity, dtype=dtype, engine="numpy")
    return result


def test_hard_points() -> None:
    """At hard points float32 is next to the rounded number of mpmath, unless the mixture is refused."""
    n_computed = 0
    for case in CASES:
        for name, quantity in case.quantities.items():
            if ENGINE.refusal(output_of(quantity), np.dtype("float64")) is not None:
                continue
            n_computed += 1
            wanted = mpmath_reference(case.pixels, quantity)
            if isinstance(quantity, Label):
                np.testing.assert_array_equal(compute(quantity, case.pixels), wanted, err_msg=name)
                continue
            largest = float(np.finfo(np.float32).max)
            rounded = np.clip(wanted, -largest, largest).astype(np.float32)
            assert_neighbors(compute(quantity, case.pixels, "float32"), rounded)
    assert n_computed > 100


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.integers(1, 20), st.integers(1, 4), st.floats(-2, 3))
def test_errors_are_within_their_bounds(
    seed: int, full: bool, n_kernels: int, n_channels: int, power: float
) -> None:
    """Sums and logarithms of random mixtures have errors within the bounds of the arithmetic."""
    random = np.random.default_rng(seed)
    mixture = random_mixture(n_kernels, n_channels, full=full, seed=seed)
    # Kernels become narrower, or wider, in one of the channels.
    scales = np.ones(n_channels)
    scales[0] = 10.0**power
    covariances = mixture.covariances * (np.outer(scales, scales) if full else scales**2)
    mixture = Mixture(mixture.weights, mixture.means, covariances)
    (terms,) = exponents((mixture,))
    pixels = random.uniform(-100, 400, (8, n_channels))
    logs = _mp_logs(mixture, pixels.tobytes())
    planes, out = np.ascontiguousarray(pixels.T), np.empty(8)
    FeatureSum(terms, is_log=True).fill(planes, out, serial=True)
    slope, constant, _ = ARITHMETIC.log_bound(terms)
    for got, wanted in zip(out.tolist(), logs, strict=True):
        assert abs(got - wanted) <= (slope * abs(wanted) + constant) * (1 + 1e-6)
    FeatureSum(terms, is_log=False).fill(planes, out, serial=True)
    slope, constant, _ = ARITHMETIC.sum_bound(terms)
    for got, wanted in zip(out.tolist(), logs, strict=True):
        if wanted > -680:
            assert abs(got / MP.exp(wanted) - 1) <= (slope * abs(wanted) + constant) * (1 + 1e-6)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_images_are_next_to_the_exact_pass(dtype: str, full: bool) -> None:
    """Thousands of pixels are next to the numbers of the double-double arithmetic."""
    mixture = random_mixture(16, 3, full=full)
    pixels = np.random.default_rng(0).uniform(0, 255, (5000, 3)).astype(dtype)
    planes = np.ascontiguousarray(pixels.T, np.float64)
    for quantity in (Density(mixture), LogDensity(mixture), Entropy(mixture)):
        exact = compute_precisely(quantity, planes, FLOAT32)[0].astype(np.float32)
        assert_neighbors(compute(quantity, pixels), exact)


@pytest.mark.parametrize(
    ("n_kernels", "n_channels", "full"),
    [(1, 1, False), (1, 1, True), (1000, 3, False), (1000, 3, True), (5, 8, True), (3, 64, False)],
)
def test_sizes_of_mixtures(n_kernels: int, n_channels: int, full: bool) -> None:
    """One to a thousand kernels over one to 64 channels equal SciPy."""
    mixture = random_mixture(n_kernels, n_channels, full=full)
    pixels = np.random.default_rng(0).uniform(0, 255, (700, n_channels))
    wanted = scipy_density(pixels, mixture).astype(np.float32)
    np.testing.assert_allclose(compute(Density(mixture), pixels), wanted, rtol=2e-7, atol=3e-45)


def test_a_pixel_has_the_same_bits_beside_far_pixels() -> None:
    """Logarithms of densities that underflow are computed in another way, which changes no neighbor."""
    mixture = Mixture([0.5, 0.5], [[0.0, 0], [3, 4]], [[1.0, 1], [2, 0.5]])
    near = np.random.default_rng(0).normal(size=(9000, 2)) * 3
    far = near.copy()
    far[::3] += 1e4
    kept = np.arange(9000) % 3 != 0
    for quantity in (LogDensity(mixture), LogRatio(mixture, random_mixture(2, 2)), Posterior(mixture)):
        got, alone = compute(quantity, far), compute(quantity, near)
        assert np.isfinite(got).all()
        np.testing.assert_array_equal(got[kept], alone[kept])
        np.testing.assert_array_equal(compute(quantity, far[kept]), got[kept])


def test_results_do_not_depend_on_blocks_threads_or_other_outputs() -> None:
    """Results of one call are those of calls for each output and for parts of the image."""
    one, other = random_mixture(3, 3), random_mixture(2, 3, full=True)
    outputs = [
        output_of(LogRatio(one, other), "float32"),
        output_of(Packed(LogDensity(one), "float16")),
        output_of(Label({"a": one, "b": other})),
        output_of(Density(random_mixture(60, 3))),
    ]
    pixels = np.random.default_rng(0).uniform(0, 255, (300, 700, 3))
    results = [np.empty((output.n_results, 300, 700), output.dtype) for output in outputs]
    errors = ENGINE.evaluate(pixels, outputs, results, serial=True)
    for output, result, error in zip(outputs, results, errors, strict=True):
        alone = np.empty_like(result)
        assert ENGINE.evaluate(pixels, [output], [alone], serial=False) == [error]
        np.testing.assert_array_equal(alone, result)
        part = np.empty((output.n_results, 33, 97), output.dtype)
        ENGINE.evaluate(pixels[7:40, 11:108], [output], [part], serial=True)
        np.testing.assert_array_equal(part, result[:, 7:40, 11:108])


def test_infinite_and_missing_channels() -> None:
    """An infinite channel gives the smallest logarithm, and a density of 0. NaN gives NaN."""
    for full in (False, True):
        mixture = random_mixture(2, 2, full=full)
        pixels = np.array([[np.inf, 0], [0, -np.inf], [np.inf, np.inf]], np.float32)
        assert compute(Density(mixture), pixels).tolist() == [0, 0, 0]
        assert (compute(LogDensity(mixture), pixels) == -np.finfo(np.float32).max).all()
        pixels[:, 1] = np.nan
        for quantity in (Density(mixture), LogDensity(mixture), Posterior(mixture)):
            assert np.isnan(compute(quantity, pixels)).all()


def test_refusals() -> None:
    """Results that would be inexact, or overflow, are left to other engines."""
    near = random_mixture(2, 3)
    assert ENGINE.refusal(output_of(Density(near)), FLOAT32) is None
    assert ENGINE.refusal(output_of(Packed(Density(near), "float16")), FLOAT32) is None
    reason = ENGINE.refusal(output_of(Density(near), "float64"), FLOAT32)
    assert reason == "results in float64 need smaller errors than those of matrix products"
    tiny = Mixture([1.0], np.zeros((1, 8)), np.full((1, 8), 1e-80))
    assert "density may exceed" in str(ENGINE.refusal(output_of(Density(tiny)), FLOAT32))
    flat = Mixture([1.0], np.zeros((1, 2)), np.array([[[1e-9, 0.5e-9], [0.5e-9, 1e-9]]]))
    assert "exponents may exceed" in str(ENGINE.refusal(output_of(Density(flat)), FLOAT32))
    apart = Mixture([0.5, 0.5], [[0.0], [255]], [[1e-6], [1e-6]])
    assert "too many digits" in str(ENGINE.refusal(output_of(LogDensity(apart)), FLOAT32))
    correlated = Mixture([1.0], np.zeros((1, 2)), np.array([[[1e4, 1e4 - 1e-5], [1e4 - 1e-5, 1e4]]]))
    assert "too many digits" in str(ENGINE.refusal(output_of(LogDensity(correlated)), FLOAT32))


def test_estimates() -> None:
    """The time grows with kernels, features and sums; the memory is that of strips and tiles."""
    output = output_of(Density(random_mixture(16, 3)))
    assert ENGINE.seconds(output, FLOAT32, 1) == pytest.approx(2e-4, rel=0.01)
    larger = [
        Density(random_mixture(17, 3)),
        Density(random_mixture(16, 4)),
        Posterior(random_mixture(17, 3)),
    ]
    larger.append(Density(random_mixture(16, 3, full=True)))
    for quantity in larger:
        assert ENGINE.seconds(output_of(quantity), FLOAT32, 10**6) > ENGINE.seconds(output, FLOAT32, 10**6)
    assert ENGINE.process_bytes([output], FLOAT32) == 0
    assert 2**20 < ENGINE.thread_bytes([output], FLOAT32) < 2**23
    assert ENGINE.is_close(output)


def test_what_is_summed_is_checked() -> None:
    """Equal priors, which sums leave out, don't hide that these overflow; merged classes count as one."""
    zeros, peak = np.zeros((2, 8)), 8 / 2 * math.log(2 * math.pi)
    tall, low = (
        [[math.exp(-2 * (offset + peak) / 8)] * 8 for offset in pair] for pair in ((735, 700), (715, 650))
    )
    classes = {"tall": Mixture([1.0, 1.0], zeros, tall), "low": Mixture([1.0, 1.0], zeros, low)}
    hidden = output_of(Posterior(classes, {"tall": 1e-40, "low": 1e-40}))
    for name in ("numpy", "numba"):
        assert "so small a variance" in str(ENGINES[name].refusal(hidden, FLOAT32))
    apart = Mixture([1.0, 1.0, 1.0], [[0.0], [0.0], [1e110]], [[1.0], [1e-90], [1e-90]])
    assert ENGINE.refusal(output_of(Posterior(apart, only="0")), FLOAT32) is not None
    far = Mixture([1.0], [[1e160, 1e160]], [[[2.0, 1.0], [1.0, 2.0]]])
    assert "so far away" in str(ENGINE.refusal(output_of(LogDensity(far)), FLOAT32))
    many = random_mixture(40, 3)
    merged, sums = output_of(Posterior(many, only="7")), output_of(Posterior(many))
    assert ENGINE.seconds(merged, FLOAT32, 10**8) < ENGINE.seconds(sums, FLOAT32, 10**8) / 2
