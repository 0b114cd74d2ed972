"""Tests of the engine that computes every pixel; the contract of engines is in test_engine.py."""

from __future__ import annotations

import numpy as np
import pytest
from arrays import output_of
from references import pixels_near, random_mixture, relative_error, scipy_density

from pipeline import Density, Label, LogDensity, LogRatio, Mixture, Posterior
from pipeline.compute.numexpr_engine import NumexprEngine

ENGINE = NumexprEngine()


def test_no_output_is_refused() -> None:
    """All dtypes and any number of channels are accepted."""
    for n_channels in (1, 5, 100):
        for dtype in ("bool", "uint8", "uint16", "int64", "float64"):
            assert ENGINE.refusal(output_of(Density(random_mixture(1, n_channels))), np.dtype(dtype)) is None
    outputs, dtype = [output_of(Density(random_mixture(1, 3)))], np.dtype("uint8")
    assert ENGINE.process_bytes(outputs, dtype) == 0
    assert 0 < ENGINE.thread_bytes(outputs, dtype) < 2**23


def test_the_time_follows_the_constants() -> None:
    """A kernel has two constants for each channel and one more, a full one also those of its triangle."""

    def seconds(quantity: Density | LogRatio) -> float:
        return ENGINE.seconds(output_of(quantity), np.dtype("uint8"), 10**6)

    diagonal, full = random_mixture(4, 3), random_mixture(4, 3, full=True)
    assert seconds(Density(diagonal)) == pytest.approx(4 * 7 * 1e-3)
    assert seconds(Density(full)) == pytest.approx(4 * 10 * 1e-3)
    assert seconds(LogRatio(diagonal, full)) == pytest.approx(4 * 17 * 1e-3)


def test_results_equal_scipy_in_strips() -> None:
    """Blocks of several strips, cut between rows and within them, equal SciPy."""
    mixture = random_mixture(2, 3)
    for shape in ((300, 400), (2, 60_000)):
        pixels = pixels_near(mixture, shape)
        result = np.empty((1, *shape))
        assert ENGINE.evaluate(pixels, [output_of(Density(mixture), "float64")], [result], serial=True) == [0]
        assert relative_error(result[0], scipy_density(pixels, mixture)) < 1e-12


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_infinite_channels_count_as_1e150(dtype: str) -> None:
    """An infinite channel of any float dtype gives what 1e150 gives, and no NaN."""
    one, other = random_mixture(2, 3), random_mixture(2, 3, seed=1)
    pixels = np.array([[[np.inf, 0, 0], [3, -np.inf, 1]]], dtype)
    huge = np.clip(pixels.astype(np.float64), -1e150, 1e150)
    classes = {"one": one, "other": other}
    for quantity in (LogDensity(one), LogRatio(one, other), Posterior(classes), Label(classes)):
        output = output_of(quantity)
        results = [np.empty((output.n_results, 1, 2), output.dtype) for _ in "ab"]
        for image, result in zip((pixels, huge), results, strict=True):
            ENGINE.evaluate(image, [output], [result], serial=True)
        np.testing.assert_array_equal(*results)


def test_huge_channels_count_as_1e150() -> None:
    """Beyond 1e150 all channels are the same, so that squares don't overflow."""
    mixture = Mixture([1.0], [[0.0, 0.0]], [[[1.0, 0.5], [0.5, 1.0]]])
    pixels = np.array([[[1e300, 1e300], [1e150, 1e150], [-np.inf, 3], [-1e150, 3]]])
    result = np.empty((1, 1, 4))
    ENGINE.evaluate(pixels, [output_of(LogDensity(mixture), "float64")], [result], serial=True)
    assert np.isfinite(result).all()
    assert result[0, 0, 0] == result[0, 0, 1]
    assert result[0, 0, 2] == result[0, 0, 3]
