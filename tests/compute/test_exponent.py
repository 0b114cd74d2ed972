"""Tests of exponents: the logarithm of a kernel to 50 digits, and the bound of its error in float64."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import TYPE_CHECKING

import numpy as np
import pytest
from references import MP, _mp_logs, hard_points, random_mixture

from pipeline.compute.exponent import Exponent, exponents

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline import Mixture


def exact(exponent: Exponent, pixel: NDArray[np.float64]) -> Decimal:
    """Evaluate an exponent in decimals."""
    with localcontext() as context:
        context.prec = 80
        total = exponent.offset
        for row in exponent.rows:
            factors = dict(row.factors)
            d = [(j, Decimal(float(pixel[j])) - Decimal(center)) for j, center in row.centers]
            total += sum((part * factors.get(j, 1) for j, part in d), Decimal(0)) ** 2 * row.scale
        return total


def plain(exponent: Exponent, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Evaluate an exponent in float64, in the documented order."""
    total = np.zeros(len(pixels))
    for row in exponent.rows:
        factors = {j: float(factor) for j, factor in row.factors}
        total += sum((pixels[:, j] - c) * factors.get(j, 1.0) for j, c in row.centers) ** 2 * float(row.scale)
    return total + float(exponent.offset)


def test_exponents_are_exact() -> None:
    """The sum of squares plus the offset is the logarithm of the kernel, to 36 digits of the larger one."""
    for case in [case for case in hard_points() if case.one.n_kernels == 1]:
        ((exponent,),) = exponents((case.one,))
        raw = np.ascontiguousarray(case.pixels).tobytes()
        for pixel, wanted in zip(case.pixels, _mp_logs(case.one, raw), strict=True):
            got = MP.mpf(str(exact(exponent, pixel)))
            assert abs(got - wanted) < MP.mpf(10) ** -36 * (abs(wanted) + abs(float(exponent.offset)))


def test_amplification_bounds_the_error() -> None:
    """In float64 the error of an exponent is within its bound at every hard point."""
    shares = []
    for case in [case for case in hard_points() if case.one.n_kernels == 2]:
        for exponent in exponents((case.one,))[0]:
            got = plain(exponent, case.pixels)
            wanted = [exact(exponent, pixel) for pixel in case.pixels]
            errors = np.array([abs(Decimal(float(g)) - w) for g, w in zip(got, wanted, strict=True)], float)
            bounds = (exponent.amplification * np.abs(got) + exponent.offset_error) * 2.0**-53
            shares.append(np.max(errors / bounds))
    assert max(shares) < 1
    assert max(shares) > 0.05, "the bound is far from the largest error"


def test_amplification_is_small_where_nothing_cancels() -> None:
    """A diagonal kernel has a few roundings, and a full kernel that is diagonal has only some more."""
    diagonal = random_mixture(2, 3)
    assert {exponent.amplification for exponent in exponents((diagonal,))[0]} == {8.0}
    full = type(diagonal)(diagonal.weights, diagonal.means, [np.diag(v) for v in diagonal.covariances])
    assert [exponent.amplification for exponent in exponents((full,))[0]] == pytest.approx([16.0] * 2)
    hard = next(case.one for case in hard_points() if not case.one.is_diagonal and case.one.n_channels == 3)
    assert exponents((hard,))[0][0].amplification > 100


def test_normalization_and_prior_move_the_offset(skin: Mixture) -> None:
    """The power of 2 pi and the prior of a class change only the offset."""
    for one, bare, rare in zip(
        exponents((skin,))[0],
        exponents((skin,), normalized=False)[0],
        exponents((skin, skin), priors=(1.0, 0.25))[1],
        strict=True,
    ):
        assert one.rows == bare.rows == rare.rows
        assert float(bare.offset - one.offset) == pytest.approx(1.5 * np.log(2 * np.pi), rel=1e-15)
        assert float(one.offset - rare.offset) == pytest.approx(np.log(4), rel=1e-15)


def test_exponents_are_written_once(skin: Mixture) -> None:
    """The same exponents are returned for equal mixtures."""
    assert exponents((skin,)) is exponents((type(skin).from_dict(skin.to_dict()),))
