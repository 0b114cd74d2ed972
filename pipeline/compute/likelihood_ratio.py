"""The log-likelihood ratio of one class and all others, by which pixels are told apart."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def log_ratio_to_rest(
    log_joint: NDArray[np.float64], priors: Sequence[float], number: int
) -> NDArray[np.float64]:
    r"""Return the log-likelihood ratio of a class and all others.

    Parameters
    ----------
    log_joint : ndarray of float64, shape (N, J)
        The natural logarithms of prior times density.
    priors : sequence of float
        The J priors, which need not sum to 1.
    number : int
        The class.

    Returns
    -------
    ndarray of float64, shape (N,)
        In nats.

    Notes
    -----
    .. math:: s_c(x) = \log p_c(x)
        - \log \frac{\sum_{d \neq c} \pi_d p_d(x)}{\sum_{d \neq c} \pi_d}

    For two classes it is the difference of the log-densities, whatever the priors are: see :class:`LogRatio`.
    """
    others = [other for other in range(len(priors)) if other != number]
    ratio: NDArray[np.float64] = log_joint[:, number] - log_sum(log_joint, others)
    return ratio - _log_odds(priors, number)


def threshold_of_costs(costs: tuple[float, float], priors: Sequence[float], number: int) -> float:
    r"""Return the threshold of :func:`log_ratio_to_rest` at which the expected cost is lowest.

    Parameters
    ----------
    costs : tuple of float
        The cost of a false alarm and that of a miss, two positive numbers.
    priors : sequence of float
        The J priors, which need not sum to 1.
    number : int
        The class.

    Returns
    -------
    float
        In nats.

    Raises
    ------
    ValueError
        If the costs aren't two positive numbers.

    Notes
    -----
    A pixel is taken for the class c where a miss would be expected to cost as much as a false alarm, or more.
    With a the cost of a false alarm, and m that of a miss, this is where the ratio is at least
    :math:`\log(a \sum_{d \neq c} \pi_d) - \log(m \pi_c)` (Duda, Hart and Stork, 2001, Pattern Classification,
    2.2.1).
    """
    try:
        alarm, miss = map(float, costs)
    except (TypeError, ValueError):
        alarm = miss = math.nan
    if not (0 < alarm < math.inf and 0 < miss < math.inf):
        raise ValueError(
            f"costs are {costs!r:.80}; wanted two positive numbers, that of a false alarm and that of a miss"
        )
    return math.log(alarm) - math.log(miss) - _log_odds(priors, number)


def log_sum(log_joint: NDArray[np.float64], classes: Sequence[int]) -> NDArray[np.float64]:
    """Return the logarithm of the sum of some classes, class by class to save memory.

    Parameters
    ----------
    log_joint : ndarray of float64, shape (N, J)
        The natural logarithms of prior times density.
    classes : sequence of int
        The numbers of the classes, at least one.

    Returns
    -------
    ndarray of float64, shape (N,)
    """
    total = log_joint[:, classes[0]].copy()
    for number in classes[1:]:
        np.logaddexp(total, log_joint[:, number], out=total)
    return total


def _log_odds(priors: Sequence[float], number: int) -> float:
    """Return the logarithm of the ratio of a prior and the sum of all others."""
    others = math.fsum(prior for other, prior in enumerate(priors) if other != number)
    return math.log(priors[number]) - math.log(others)
