"""Parameters of kernels: every accepted form is converted to one form, and any other is refused by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

# Below this ratio of eigenvalues, rounding decides whether a covariance is positive definite.
_SINGULAR = 1e-15


def as_parameter(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """Return a contiguous float64 copy, or raise ValueError unless the value consists of real numbers."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        array = np.array(None)
    if array.dtype.kind not in "iuf" or isinstance(value, np.ma.MaskedArray):
        got = " ".join(repr(value).split())
        raise ValueError(f"{name} are {got:.80}; wanted real numbers, as an array or nested lists")
    return np.array(array, dtype=np.float64, order="C")


def check_shapes(
    weights: NDArray[np.float64], means: NDArray[np.float64], covariances: NDArray[np.float64]
) -> None:
    """Raise ValueError unless weights are (K,), means (K, C) and covariances (K, C) or (K, C, C)."""
    if weights.ndim != 1 or means.ndim != 2:  # noqa: PLR2004  (K, C)
        raise ValueError(
            f"weights have shape {weights.shape} and means {means.shape}; wanted (K,) and (K, C)"
        )
    if means.size == 0 or len(weights) != len(means):
        raise ValueError(
            f"{len(weights)} weights for means of shape {means.shape}; wanted one weight for each kernel, "
            "at least one kernel and at least one channel"
        )
    if covariances.shape not in {means.shape, (*means.shape, means.shape[1])}:
        raise ValueError(
            f"covariances have shape {covariances.shape}; wanted {means.shape} for variances or "
            f"{(*means.shape, means.shape[1])} for full covariances"
        )


def channel_names(channels: Any, wanted: int) -> tuple[str, ...]:  # noqa: ANN401  a JSON file may hold anything
    """Return the names of channels as a tuple, or raise ValueError unless they are `wanted` distinct ones."""
    names = tuple(channels) if isinstance(channels, list | tuple) else ()
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ValueError(f"channels are {channels!r}; wanted a sequence of names, one for each channel")
    if len(names) != wanted or len(set(names)) != wanted:
        raise ValueError(f"channels are {', '.join(names)}; wanted {wanted} different names")
    return names


def mean_vector(k: int, mean: ArrayLike) -> NDArray[np.float64]:
    """Return the mean of kernel k as a vector. A row or a column is accepted too."""
    array = as_parameter(f"kernel {k}: the mean's elements", mean)
    if array.size and array.ndim in {1, 2} and array.size == max(array.shape):
        return array.reshape(-1)
    raise ValueError(f"kernel {k}: the mean has shape {array.shape}; wanted (C,), (1, C) or (C, 1)")


def covariance_of(k: int, covariance: ArrayLike, n_channels: int) -> NDArray[np.float64]:
    """Return the covariance of kernel k as variances of shape (C,) or as a matrix of shape (C, C)."""
    array = as_parameter(f"kernel {k}: the covariance's elements", covariance)
    if array.shape in {(n_channels,), (1, n_channels)}:
        return array.reshape(-1)
    if array.shape == (n_channels, n_channels):
        return array
    raise ValueError(
        f"kernel {k}: the covariance has shape {array.shape}; for {n_channels} channels wanted "
        f"({n_channels},), (1, {n_channels}) or ({n_channels}, {n_channels})"
    )


def weight_of(k: int, weight: ArrayLike) -> NDArray[np.float64]:
    """Return the weight of kernel k as an array without axes."""
    array = as_parameter(f"kernel {k}: the weight's elements", weight)
    if array.size != 1:
        raise ValueError(f"kernel {k}: the weight has shape {array.shape}; wanted one number")
    return array.reshape(())


def check_weights(weights: NDArray[np.float64]) -> None:
    """Raise ValueError unless all weights are positive and finite."""
    for k, weight in enumerate(weights):
        if not (weight > 0 and np.isfinite(weight)):
            raise ValueError(
                f"kernel {k}: weight is {weight:g}; wanted a positive, finite number. Drop the kernel."
            )


def check_means(means: NDArray[np.float64], label: Callable[[int], str]) -> None:
    """Raise ValueError unless all means are finite; `label` names a channel in the message."""
    bad = np.argwhere(~np.isfinite(means))
    if len(bad):
        k, c = bad[0]
        raise ValueError(
            f"kernel {k}: mean of channel {label(c)} is {means[k, c]:g}; wanted a finite number. Drop the "
            "kernel or correct the model."
        )


def check_variances(variances: NDArray[np.float64], label: Callable[[int], str]) -> None:
    """Raise ValueError unless all variances are positive, finite and not denormal."""
    bad = np.argwhere(~((variances >= np.finfo(np.float64).tiny) & np.isfinite(variances)))
    if len(bad):
        k, c = bad[0]
        raise ValueError(
            f"kernel {k}: variance of channel {label(c)} is {variances[k, c]:g}; a Gaussian needs a "
            "positive, finite variance. Drop the kernel or raise the variance (rounding to integers adds "
            "a variance of 1/12)."
        )


def make_symmetric(covariances: NDArray[np.float64]) -> None:
    """Make full covariances exactly symmetric in place.

    Raises
    ------
    ValueError
        If a covariance has elements that aren't finite, is further from symmetric than rounding explains, or
        isn't positive definite.
    """
    for k, covariance in enumerate(covariances):
        if not np.all(np.isfinite(covariance)):
            raise ValueError(
                f"kernel {k}: the covariance isn't finite; wanted finite numbers. Correct the model."
            )
        deviations = np.sqrt(np.diag(covariance))
        if np.any(np.abs(covariance - covariance.T) > 1e-8 * np.outer(deviations, deviations)):
            raise ValueError(
                f"kernel {k}: the covariance isn't symmetric. If rounding is the cause, pass (S + S.T) / 2."
            )
        covariance[...] = covariance / 2 + covariance.T / 2
        eigenvalues = np.linalg.eigvalsh(covariance / deviations.max() ** 2)
        if eigenvalues[0] < _SINGULAR * eigenvalues[-1]:
            raise ValueError(
                f"kernel {k}: the covariance isn't positive definite (the ratio of its lowest eigenvalue to "
                f"its highest is {eigenvalues[0] / eigenvalues[-1]:.3g}). Drop the kernel, or add a small "
                "number to the diagonal."
            )
