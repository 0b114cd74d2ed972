"""Tests of sums over features: the expansion is exact, and all columns of a tile are computed alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from references import MP, random_mixture

from pipeline.compute import features
from pipeline.compute.exponent import exponents
from pipeline.compute.features import FeatureSum, expand, is_even, tile_layout

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.compute.exponent import Exponent
    from pipeline.models.mixture import Mixture

SHAPES = [(1, 1, False), (5, 3, False), (16, 3, False), (5, 3, True), (70, 4, True), (3, 30, False)]


def terms_of(mixture: Mixture) -> tuple[Exponent, ...]:
    """Return the exponents of a mixture."""
    (terms,) = exponents((mixture,))
    return terms


def fill(mixture: Mixture, pixels: NDArray[np.float64], *, is_log: bool) -> NDArray[np.float64]:
    """Return the sum of the exponentials at pixels (n, C), or its logarithm."""
    out = np.empty(len(pixels))
    FeatureSum(terms_of(mixture), is_log=is_log).fill(np.ascontiguousarray(pixels.T), out, serial=True)
    return out


@pytest.mark.parametrize(("n_kernels", "n_channels", "full"), SHAPES[:5])
def test_the_terms_of_an_exponent(n_kernels: int, n_channels: int, full: bool) -> None:
    """With 50 digits the terms sum up to the exponent, and their absolute values are within their bound."""
    terms = terms_of(random_mixture(n_kernels, n_channels, full=full))
    expansion = expand(terms)
    pairs = [(i, j) for i in range(n_channels) for j in range(i, n_channels if full else i + 1)]
    for pixel in np.random.default_rng(0).uniform(-300, 600, (5, n_channels)).tolist():
        t = [MP.mpf(x) - MP.mpf(c) for x, c in zip(pixel, expansion.centers.tolist(), strict=True)]
        found = [MP.mpf(1), *t, *(t[i] * t[j] for i, j in pairs)]
        for number, term in enumerate(terms):
            parts = [a * b for a, b in zip(expansion.coefficients[number].tolist(), found, strict=True)]
            square = MP.mpf(0)
            for row in term.rows:
                factors = {**dict(row.factors), row.centers[-1][0]: 1}
                root = MP.fsum((MP.mpf(pixel[i]) - m) * MP.mpf(str(factors[i])) for i, m in row.centers)
                square -= root**2 * MP.mpf(str(row.scale))
            offset = MP.mpf(str(term.offset))
            size = MP.fsum(map(abs, parts))
            assert abs(MP.fsum(parts) - (offset - square)) <= size * 2.0**-53
            bound = 2 * expansion.conditions[number] * square + abs(offset) + expansion.remainders[number]
            assert size <= bound * (1 + 1e-12)
    assert (expansion.conditions >= 1).all()
    assert full or (expansion.conditions == 1).all()


@pytest.mark.parametrize("is_log", [False, True])
@pytest.mark.parametrize(("n_kernels", "n_channels", "full"), SHAPES)
def test_a_pixel_has_the_same_bits_in_any_column(
    n_kernels: int, n_channels: int, full: bool, is_log: bool
) -> None:
    """Permuted, cut and single pixels have the bits that they have among the others, near or far."""
    mixture = random_mixture(n_kernels, n_channels, full=full)
    random = np.random.default_rng(0)
    pixels = random.uniform(0, 255, (9001, n_channels)) * random.choice([1, 1, 1, 30], (9001, 1))
    wanted = fill(mixture, pixels, is_log=is_log)
    order = random.permutation(len(pixels))
    np.testing.assert_array_equal(fill(mixture, pixels[order], is_log=is_log), wanted[order])
    for start, stop in ((1, 9001), (17, 4500), (8000, 8001), (5, 12)):
        np.testing.assert_array_equal(fill(mixture, pixels[start:stop], is_log=is_log), wanted[start:stop])


@pytest.mark.parametrize("is_log", [False, True])
@pytest.mark.parametrize(("n_kernels", "n_channels", "full"), SHAPES)
def test_an_uneven_product_is_replaced_by_loops(
    monkeypatch: pytest.MonkeyPatch, n_kernels: int, n_channels: int, full: bool, is_log: bool
) -> None:
    """Without BLAS the results are the same up to rounding, and a pixel has the same bits everywhere."""
    mixture = random_mixture(n_kernels, n_channels, full=full)
    pixels = np.random.default_rng(0).uniform(0, 255, (5000, n_channels))
    wanted = fill(mixture, pixels, is_log=is_log)
    monkeypatch.setattr(features, "is_even", lambda *_: False)
    got = fill(mixture, pixels, is_log=is_log)
    np.testing.assert_allclose(got, wanted, rtol=1e-8)
    np.testing.assert_array_equal(fill(mixture, pixels[::-1], is_log=is_log), got[::-1])


def test_an_uneven_product_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the last columns are summed in another order, equal columns differ in their last bits."""

    def uneven(left: NDArray[np.float64], right: NDArray[np.float64], out: NDArray[np.float64]) -> None:
        np.einsum("kf,fn->kn", left, right, out=out)
        out[:, -3:] = np.einsum("kf,fn->kn", left[:, ::-1].copy(), right[::-1, -3:].copy())

    is_even.cache_clear()
    monkeypatch.setattr(features.np, "matmul", uneven)
    assert not is_even(16, 7, (128,))
    is_even.cache_clear()


def test_the_layout_of_tiles() -> None:
    """Tiles fit the cache, products are below the threads of BLAS, and no product is one of a vector."""
    for n_kernels in (*range(2, 40), 64, 255, 1000):
        for n_features in (*range(3, 70), 129, 561, 2145):
            (length, short), pieces = tile_layout(n_kernels, n_features)
            assert length % 32 == short % 32 == 0
            assert 32 <= short <= length <= 4096
            assert sorted({row for piece in pieces for row in range(n_kernels)[piece]}) == [*range(n_kernels)]
            for piece in pieces:
                assert 0 <= piece.start <= piece.stop - 2 <= n_kernels - 2
                assert (piece.stop - piece.start) * n_features * length <= 2**18 or length == 32


def test_a_nan_leaves_its_neighbors() -> None:
    """A NaN in any channel gives NaN in its own pixel alone."""
    for mixture in (random_mixture(3, 3), random_mixture(3, 3, full=True), random_mixture(1, 3)):
        pixels = np.random.default_rng(0).uniform(0, 255, (300, 3))
        for is_log in (False, True):
            wanted = fill(mixture, pixels, is_log=is_log)
            for channel in range(3):
                changed = pixels.copy()
                changed[7, channel] = np.nan
                got = fill(mixture, changed, is_log=is_log)
                assert np.flatnonzero(np.isnan(got)).tolist() == [7]
                got[7] = wanted[7]
                np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("full", [False, True])
def test_far_pixels(full: bool) -> None:
    """Far from all kernels a sum is 0, and its logarithm is finite and falls with the distance."""
    mixture = random_mixture(3, 3, full=full)
    pixels = np.array([[10.0**power, -(10.0**power), 10.0] for power in range(4, 151)])
    assert (fill(mixture, pixels, is_log=False) == 0).all()
    logs = fill(mixture, pixels, is_log=True)
    assert np.isfinite(logs).all()
    assert (np.diff(logs) < 0).all()
    assert logs[-1] < -1e290


def test_the_exponential_is_exact_and_even() -> None:
    """NumPy's exponential is within 4 units in the last place, and has the same bits in any position."""
    numbers = np.concatenate([np.linspace(-708, 690, 4001), np.random.default_rng(0).uniform(-30, 1, 4000)])
    powers = np.exp(numbers)
    for number, power in zip(numbers[::4].tolist(), powers[::4].tolist(), strict=True):
        assert abs(power / MP.exp(number) - 1) < 4 * 2.0**-52
    order = np.random.default_rng(1).permutation(len(numbers))
    np.testing.assert_array_equal(np.exp(numbers[order]), powers[order])
    for start in range(9):
        np.testing.assert_array_equal(np.exp(numbers[start : 2 * start + 1]), powers[start : 2 * start + 1])
