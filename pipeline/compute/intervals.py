"""Intervals of an estimate from few groups of different sizes: the jackknife and Student's t."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def student_quantile(level: float, freedom: int) -> float:
    r"""Return the number within which Student's t lies, on both sides of 0, with a given probability.

    Parameters
    ----------
    level : float
        The probability, between 0 and 1, both excluded.
    freedom : int
        The degrees of freedom, at least 1.

    Returns
    -------
    float
        The positive number q for which P(abs(T) <= q) is `level`: the quantile of (1 + `level`) / 2.

    Raises
    ------
    ValueError
        If `level` isn't between 0 and 1, or `freedom` is less than 1.

    Notes
    -----
    For whole degrees of freedom the probability is a finite sum of powers of the cosine of
    :math:`\theta = \arctan(q / \sqrt{\nu})` (Abramowitz and Stegun, 1964, Handbook of Mathematical Functions,
    26.7.3 and 26.7.4). It is inverted by bisection of the angle.
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level:g}; wanted a number between 0 and 1, such as 0.95")
    if freedom < 1:
        raise ValueError(f"got {freedom} degrees of freedom; wanted at least 1")
    is_odd = freedom % 2 == 1
    numbers = np.arange(3 if is_odd else 2, freedom, 2, dtype=np.float64)
    factors = (numbers - 1) / numbers

    def probability(angle: float) -> float:
        sine, cosine = math.sin(angle), math.cos(angle)
        total = 1 + float(np.cumprod(factors * cosine**2).sum())
        if not is_odd:
            return sine * total
        return (angle + (sine * cosine * total if freedom > 1 else 0)) * 2 / math.pi

    low, high = 0.0, math.pi / 2
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if probability(middle) < level else (low, middle)
    return math.sqrt(freedom) * math.tan(low)


def jackknife_error(estimate: float, left_out: NDArray[np.float64], shares: NDArray[np.float64]) -> float:
    r"""Return the standard error of an estimate from those in which one group at a time is left out.

    Parameters
    ----------
    estimate : float
        The estimate from all groups.
    left_out : ndarray of float64, shape (G,)
        The estimates without each group.
    shares : ndarray of float64, shape (G,)
        The share of each group in the sample, above 0 and below 1; the shares sum to 1.

    Returns
    -------
    float

    Notes
    -----
    The delete-m jackknife for groups of unequal sizes (Busing, Meijer and van der Leeden, 1999, Delete-m
    jackknife for unequal m, Statistics and Computing 9, 3-8). With :math:`h_g` one over the share of a group,
    its pseudo-value is :math:`\tilde\theta_g = h_g \hat\theta - (h_g - 1) \hat\theta_{-g}`, and

    .. math:: \sigma^2 = \frac{1}{G} \sum_g \frac{(\tilde\theta_g - \hat\theta_J)^2}{h_g - 1}, \qquad
        \hat\theta_J = \sum_g \tilde\theta_g / h_g
    """
    # The pseudo-values minus the estimate, which keeps the digits of small differences.
    pseudo = (estimate - left_out) * (1 / shares - 1)
    apart = pseudo - (pseudo * shares).sum()
    return math.sqrt(float(np.mean(apart**2 * shares / (1 - shares))))


def logit_interval(share: float, error: float, level: float, freedom: int) -> tuple[float, float]:
    """Return the interval of a number between 0 and 1 that is symmetric on the scale of its log-odds.

    Parameters
    ----------
    share : float
        The estimate, above 0 and below 1.
    error : float
        Its standard error.
    level : float
        The probability that the interval should contain the true number.
    freedom : int
        The degrees of freedom of the error.

    Returns
    -------
    low, high : float
        Between 0 and 1.

    Raises
    ------
    ValueError
        As :func:`student_quantile` says.

    Notes
    -----
    The error of the log-odds is that of the number divided by share * (1 - share), their derivative.
    """
    center = math.log(share / (1 - share))
    reach = student_quantile(level, freedom) * error / (share * (1 - share))
    low, high = ((1 + math.tanh(end / 2)) / 2 for end in (center - reach, center + reach))
    return low, high
