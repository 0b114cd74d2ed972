"""Tests of the engine of compiled loops; the contract of engines is in test_engine.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from arrays import evaluate_array, output_of
from references import hard_points, mpmath_reference, random_mixture, relative_error, scipy_density

from pipeline import (
    Density,
    Label,
    LogDensity,
    LogRatio,
    Mixture,
    Packed,
    Posterior,
)
from pipeline.compute import numba_engine
from pipeline.compute.numba_engine import NumbaEngine
from pipeline.testing.engines import assert_neighbors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.models.quantity import Quantity

ENGINE = NumbaEngine()
CASES = hard_points()


def compute(quantity: Quantity, pixels: NDArray[Any], dtype: str | None = None) -> NDArray[Any]:
    """Return the results (n, ...) of pixels (n, C)."""
    result: NDArray[Any] = evaluate_array(pixels, quantity, dtype=dtype, engine="numba")
    return result


@pytest.mark.parametrize("number", range(0, len(CASES), 3))
def test_hard_points(number: int) -> None:
    """At hard points float64 is within 1e-12 of mpmath, and float32 next to its rounded number."""
    case = CASES[number]
    for name, quantity in case.quantities.items():
        wanted = mpmath_reference(case.pixels, quantity)
        if isinstance(quantity, Label):
            np.testing.assert_array_equal(compute(quantity, case.pixels), wanted, err_msg=name)
            continue
        got = compute(quantity, case.pixels, "float64")
        large = np.abs(wanted) > 1e-300
        np.testing.assert_allclose(got[large], wanted[large], rtol=1e-12, err_msg=name)
        assert (np.abs(got[~large]) <= 1.1e-300).all()
        largest = float(np.finfo(np.float32).max)
        rounded = np.clip(wanted, -largest, largest).astype(np.float32)
        assert_neighbors(compute(quantity, case.pixels, "float32"), rounded)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(("n_kernels", "n_channels"), [(1, 1), (1000, 3), (5, 8), (3, 64)])
def test_sizes_of_mixtures(n_kernels: int, n_channels: int, full: bool) -> None:
    """One to a thousand kernels over one to 64 channels equal SciPy."""
    mixture = random_mixture(n_kernels, n_channels, full=full)
    pixels = np.random.default_rng(0).uniform(0, 255, (700, n_channels))
    assert (
        relative_error(compute(Density(mixture), pixels, "float64"), scipy_density(pixels, mixture)) < 1e-11
    )


def test_a_pixel_has_the_same_bits_beside_far_pixels() -> None:
    """Logarithms of densities that underflow are computed in another way, which changes no neighbor."""
    mixture = Mixture([0.5, 0.5], [[0.0, 0], [3, 4]], [[1.0, 1], [2, 0.5]])
    near = np.random.default_rng(0).normal(size=(1500, 2)) * 3
    far = near.copy()
    far[::3] += 1e4
    for quantity in (LogDensity(mixture), LogRatio(mixture, random_mixture(2, 2)), Posterior(mixture)):
        got, alone = compute(quantity, far, "float64"), compute(quantity, near, "float64")
        assert np.isfinite(got).all()
        kept = np.arange(1500) % 3 != 0
        np.testing.assert_array_equal(got[kept], alone[kept])


def test_results_do_not_depend_on_other_outputs() -> None:
    """float32, float64 and packed results of one call are those of calls for each."""
    one, other = random_mixture(3, 3), random_mixture(2, 3, full=True)
    outputs = [
        output_of(LogRatio(one, other), "float64"),
        output_of(LogRatio(one, other), "float32"),
        output_of(Packed(LogDensity(one), "float16")),
        output_of(Label({"a": one, "b": other})),
    ]
    pixels = np.random.default_rng(0).uniform(0, 255, (60, 70, 3))
    results = [np.empty((output.n_results, 60, 70), output.dtype) for output in outputs]
    errors = ENGINE.evaluate(pixels, outputs, results, serial=True)
    for output, result, error in zip(outputs, results, errors, strict=True):
        alone = np.empty_like(result)
        assert ENGINE.evaluate(pixels, [output], [alone], serial=False) == [error]
        np.testing.assert_array_equal(alone, result)


def test_infinite_channels() -> None:
    """An infinite channel gives the smallest logarithm, and a density of 0."""
    mixture = random_mixture(2, 2)
    pixels = np.array([[np.inf, 0], [0, -np.inf]], np.float32)
    assert compute(Density(mixture), pixels).tolist() == [0, 0]
    assert (compute(LogDensity(mixture), pixels) == -np.finfo(np.float32).max).all()


def test_densities_beyond_float64_are_refused() -> None:
    """The density of a kernel whose variances are tiny is left to the reference."""
    tiny = Mixture([1.0], np.zeros((1, 8)), np.full((1, 8), 1e-80))
    reason = ENGINE.refusal(output_of(Density(tiny)), np.dtype("float32"))
    assert reason == "a kernel has so small a variance that its density may exceed the range of float64"
    assert ENGINE.refusal(output_of(Density(random_mixture(2, 8))), np.dtype("float32")) is None


def test_without_numba_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason says how to install it."""
    monkeypatch.setattr(numba_engine, "_is_installed", lambda: False)
    reason = ENGINE.obstacle(output_of(Density(random_mixture(2, 3))), np.dtype("float32"))
    assert reason == "Numba isn't installed (pip install 'mixture-pipeline[fast]')"


def test_large_images_take_the_time_of_their_constants() -> None:
    """Loading Numba counts for small images, and the constants of the kernels for large ones."""
    output, dtype = output_of(Density(random_mixture(16, 3))), np.dtype("float32")
    assert ENGINE.seconds(output, dtype, 1) == pytest.approx(0.4)
    assert ENGINE.seconds(output, dtype, 10**9) == pytest.approx(0.4 + 2 + 112 * 0.055)
    assert 2**27 < ENGINE.process_bytes([output], dtype) < 2**28
    assert 0 < ENGINE.thread_bytes([output], dtype) < 2**23
