"""A density in the form in which other people's ways compute it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline import Mixture


class Terms(NamedTuple):
    """A density as the sum over kernels of exp(log - the squares of the entries of factor @ (x - mean)).

    Factors are lower triangles, or diagonal.
    """

    logs: NDArray[np.float64]
    means: NDArray[np.float64]
    factors: NDArray[np.float64]

    def rows(self, k: int) -> list[list[tuple[int, float, float]]]:
        """List, for each square of a kernel, its channels with mean and factor."""
        mean, factor = self.means[k].tolist(), self.factors[k].tolist()
        return [[(c, mean[c], entry) for c, entry in enumerate(row) if entry] for row in factor]


def terms_of(mixture: Mixture) -> Terms:
    """Make the terms of a mixture."""
    covariances = mixture.covariances
    if mixture.is_diagonal:
        roots = np.sqrt(covariances)
        factors = np.sqrt(0.5) / roots[:, np.newaxis] * np.eye(mixture.n_channels)
        determinants = np.log(roots).sum(axis=-1)
    else:
        lower = np.linalg.cholesky(covariances)
        factors = np.tril(np.linalg.inv(lower)) * np.sqrt(0.5)
        determinants = np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(axis=-1)
    logs = np.log(mixture.weights) - determinants - mixture.n_channels / 2 * np.log(2 * np.pi)
    return Terms(logs, mixture.means, factors)


def names_of(n_channels: int) -> list[str]:
    """Name the channels in a formula."""
    return [f"x{channel}" for channel in range(n_channels)]


def kernels_of(mixture: Mixture) -> list[str]:
    """Write the density of each kernel as an expression of the channels with literal constants."""
    terms, written = terms_of(mixture), []
    for k, log in enumerate(terms.logs.tolist()):
        squares = []
        for row in terms.rows(k):
            if len(row) == 1:
                ((c, mean, factor),) = row
                squares.append(f"(x{c} - {mean!r})**2*{factor**2!r}")
            else:
                squares.append(
                    f"({' + '.join(f'(x{c} - {mean!r})*{factor!r}' for c, mean, factor in row)})**2"
                )
        written.append(f"exp({log!r} - {' - '.join(squares)})")
    return written
