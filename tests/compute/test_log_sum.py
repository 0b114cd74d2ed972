"""Tests of log-sums: the direct sum where it is exact, the relative one far from all kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from references import pixels_near, random_mixture, scipy_log_density

from pipeline.compute.exponent import exponents
from pipeline.compute.log_sum import LogSum, log_sum_exp
from pipeline.compute.program import Program, join

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.compute.exponent import Exponent


def run(terms: tuple[Exponent, ...], planes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the plane that :func:`log_sum_exp` fills."""
    out = np.empty((1, planes.shape[1]))
    join([Program(tuple(log_sum_exp(terms, "out0")))]).run(planes, [out], serial=True)
    return out[0]


@pytest.mark.parametrize(
    ("n_kernels", "n_channels", "full"), [(1, 1, False), (300, 2, False), (4, 20, True), (2, 70, True)]
)
def test_both_ways_equal_scipy(n_kernels: int, n_channels: int, full: bool) -> None:
    """The log-sum-exp of any number and width of kernels equals SciPy, near the kernels and far away."""
    mixture = random_mixture(n_kernels, n_channels, full=full)
    near = pixels_near(mixture, (20,))
    pixels = np.concatenate([near, near + 1e4])
    (terms,) = exponents((mixture,))
    wanted = scipy_log_density(pixels, mixture)
    planes = np.ascontiguousarray(pixels.T)
    values = np.empty(len(pixels))
    for serial in (False, True):
        LogSum(terms).fill(planes, values, serial=serial)
        np.testing.assert_allclose(values, wanted, rtol=1e-11)
    np.testing.assert_allclose(run(terms, planes), wanted, rtol=1e-11)


def test_a_log_sum_exp_neither_overflows_nor_underflows() -> None:
    """Far from all kernels, where squares overflow, the logarithm is finite."""
    (terms,) = exponents((random_mixture(3, 2),))
    planes = np.array([[1e5, 1e150, 1e160, -1e300, np.nan], [0, 0, 0, 0, 0]])
    values = np.empty(5)
    LogSum(terms).fill(planes, values, serial=True)
    for found in (values, run(terms, planes)):
        assert np.isfinite(found[:4]).all()
        assert np.isnan(found[4])


def test_a_pixel_has_the_same_bits_whatever_is_beside_it() -> None:
    """A pixel far from all kernels has the bits that it has alone, among near ones and among far ones."""
    mixture = random_mixture(5, 3)
    (terms,) = exponents((mixture,))
    random = np.random.default_rng(5)
    spread = 10.0 ** random.uniform(0, 4, (1, 3000)) * random.standard_normal((3, 3000))
    planes = mixture.means.mean(axis=0)[:, np.newaxis] + spread
    together = np.empty(3000)
    LogSum(terms).fill(planes, together, serial=True)
    assert together.min() < -700 < together.max()
    for pixel in range(0, 3000, 97):
        alone = np.empty(1)
        LogSum(terms).fill(np.ascontiguousarray(planes[:, pixel : pixel + 1]), alone, serial=True)
        assert alone[0] == together[pixel]


def test_the_memory_of_both_ways_is_counted() -> None:
    """A reduction takes planes for its pixels far away, and the constants of both programs."""
    (terms,) = exponents((random_mixture(5, 3),))
    reduction = LogSum(terms)
    assert reduction.n_planes >= 6
    assert reduction.compiled_bytes >= 2 * 5 * 7 * 8 * 1024


def test_near_pixels_take_each_kernel_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The logarithm of a sum has as many exponentials as the sum, unless a pixel is far from all kernels."""
    mixture = random_mixture(5, 3)
    (terms,) = exponents((mixture,))
    reduction, out = LogSum(terms), np.empty(100)
    texts = [step.expression for step in reduction._direct.steps if isinstance(step.expression, str)]
    assert sum(text.count("exp(") for text in texts) == 5
    near = np.ascontiguousarray(pixels_near(mixture, (100,)).T)
    monkeypatch.setattr(LogSum, "_relative", None)
    reduction.fill(near, out, serial=True)
    assert np.isfinite(out).all()
    with pytest.raises(AttributeError):
        reduction.fill(near + 1e5, out, serial=True)
