"""A weighted Gaussian as an exponent: an offset and a sum of negative squares, with 60 digits.

Each way to evaluate an exponent rounds these parameters as its arithmetic needs: numexpr to one float64, the
double-double arithmetic to a sum of two. The exponent also states the bound of its rounding error in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.models.mixture import Mixture

# These are more digits than any sum or quotient of float64 needs, so that each parameter is rounded only
# once.
DIGITS = 60
_TWO_PI = Decimal("6.28318530717958647692528676655900576839433879875021164194988918")


@dataclass(frozen=True)
class Row:
    """One squared term, ``(x_i - m_i + sum of factors_j (x_j - m_j))**2 * scale``, with i the last center."""

    centers: tuple[tuple[int, float], ...]
    factors: tuple[tuple[int, Decimal], ...]
    scale: Decimal


@dataclass(frozen=True)
class Exponent:
    """The logarithm of one weighted Gaussian.

    Attributes
    ----------
    rows : tuple of Row
        The squares. Their scales are negative.
    offset : Decimal
        The exponent at the mean.
    amplification : float
        If an exponent e is evaluated in float64, row by row from left to right and the offset last, its error
        is at most ``(amplification * abs(e) + offset_error) * 2**-53``.

    Notes
    -----
    With S = L D L', the rows are those of y = L^-1 d for d = x - m, and the sum is the sum of the squares of
    z = D^-1/2 y. A term of a row has C + 2 roundings: the difference, the factor, the product and at most C -
    1 sums. Therefore abs(error of z) <= (C + 2) u abs(D^-1/2 L^-1) abs(d), where abs(d) <= abs(L D^1/2)
    abs(z), and the error of the sum is at most 2 (C + 2) u abs(z)' M abs(z), for the product M of the two
    matrices. That is at most the largest eigenvalue of the symmetric part of M times the sum itself. A
    diagonal kernel has the difference alone, and M = 1. The squares, rounded scales, products and sums over
    rows add C + 2, and the sum with the offset adds 1. The sum of squares itself is at most abs(e) +
    max(offset, 0).
    """

    rows: tuple[Row, ...]
    offset: Decimal
    amplification: float

    @property
    def offset_error(self) -> float:
        """The part of the bound that is the same for all pixels.

        The offset is rounded, and the sum of squares can exceed the exponent by the offset.
        """
        offset = float(self.offset)
        return self.amplification * max(offset, 0.0) + abs(offset)


@lru_cache(maxsize=32)
def exponents(
    mixtures: tuple[Mixture, ...], *, priors: tuple[float, ...] | None = None, normalized: bool = True
) -> tuple[tuple[Exponent, ...], ...]:
    """Return each kernel of some mixtures as an exponent.

    Parameters
    ----------
    mixtures : tuple of Mixture
    priors : tuple of float, optional
        A factor of the weights of each mixture.
    normalized : bool
        If False, the term -C/2 log(2 pi) is left out.

    Returns
    -------
    tuple of tuple of Exponent
        The exponents of each mixture. The results of the last calls are kept.
    """
    with localcontext() as context:
        context.prec = DIGITS
        constant = -mixtures[0].n_channels * _TWO_PI.ln() / 2 if normalized else Decimal(0)
        constants = [constant + Decimal(prior).ln() for prior in priors or [1.0] * len(mixtures)]
        return tuple(
            tuple(
                _exponent(mean.tolist(), covariance, constant + Decimal(weight).ln())
                for weight, mean, covariance in zip(
                    mixture.weights.tolist(), mixture.means, mixture.covariances, strict=True
                )
            )
            for mixture, constant in zip(mixtures, constants, strict=True)
        )


def _exponent(mean: list[float], covariance: NDArray[np.float64], log_scale: Decimal) -> Exponent:
    size = len(mean)
    inverse: list[list[Decimal]]
    if covariance.ndim == 1:
        pivots = [Decimal(variance) for variance in covariance.tolist()]
        inverse = [[] for _ in pivots]
        amplification = size + 5.0
    else:
        pivots, lower = _ldl([[Decimal(s) for s in row] for row in covariance.tolist()])
        inverse = _invert(lower)
        amplification = 2 * (size + 2) * _condition(pivots, lower, inverse) + size + 3
    rows = []
    for i, (pivot, below) in enumerate(zip(pivots, inverse, strict=True)):
        factors = tuple((j, factor) for j, factor in enumerate(below) if factor)
        columns = [*(j for j, _ in factors), i]
        rows.append(Row(tuple((j, mean[j]) for j in columns), factors, -1 / (2 * pivot)))
    log_determinant = sum((pivot.ln() for pivot in pivots), Decimal(0))
    return Exponent(tuple(rows), log_scale - log_determinant / 2, amplification)


def _ldl(matrix: list[list[Decimal]]) -> tuple[list[Decimal], list[list[Decimal]]]:
    """Return the factors of a positive definite matrix L D L'.

    Returns
    -------
    pivots : list of Decimal
        The diagonal of D.
    lower : list of list of Decimal
        The rows of L below its unit diagonal. Row i has i numbers.
    """
    size = len(matrix)
    pivots: list[Decimal] = []
    lower: list[list[Decimal]] = []
    for i in range(size):
        row: list[Decimal] = []
        for j in range(i):
            partial = sum((row[k] * lower[j][k] * pivots[k] for k in range(j)), Decimal(0))
            row.append((matrix[i][j] - partial) / pivots[j])
        lower.append(row)
        pivots.append(matrix[i][i] - sum((row[k] ** 2 * pivots[k] for k in range(i)), Decimal(0)))
    return pivots, lower


def _invert(lower: list[list[Decimal]]) -> list[list[Decimal]]:
    """Return the inverse of a lower triangle with a unit diagonal. Both are given by their rows below it."""
    inverse: list[list[Decimal]] = []
    for i, row in enumerate(lower):
        inverse.append(
            [-row[j] - sum((row[k] * inverse[k][j] for k in range(j + 1, i)), Decimal(0)) for j in range(i)]
        )
    return inverse


def _condition(pivots: list[Decimal], lower: list[list[Decimal]], inverse: list[list[Decimal]]) -> float:
    """Return a bound of how much the factors of a covariance amplify rounding: 1 for a diagonal one."""
    deviations = np.array([float(pivot.sqrt()) for pivot in pivots])
    inner = np.abs(_dense(inverse)) / deviations[:, np.newaxis] @ (np.abs(_dense(lower)) * deviations)
    return float(np.linalg.eigvalsh((inner + inner.T) / 2)[-1])


def _dense(rows: list[list[Decimal]]) -> NDArray[np.float64]:
    matrix = np.eye(len(rows))
    for i, row in enumerate(rows):
        matrix[i, :i] = [float(number) for number in row]
    return matrix
