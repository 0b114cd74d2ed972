"""Parameters of kernels in all the forms that people have them, brought to one, or refused by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def as_parameter(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """Copy a parameter to contiguous float64, or raise ValueError if it isn't real numbers."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        array = np.array(None)
    if array.dtype.kind not in "iuf" or isinstance(value, np.ma.MaskedArray):
        raise ValueError(f"{name} aren't real numbers in an array of one shape: got {value!r:.80}")
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
            f"{len(weights)} weights for means of shape {means.shape}; wanted one weight a kernel, at least "
            "one kernel and at least one channel"
        )
    if covariances.shape not in {means.shape, (*means.shape, means.shape[1])}:
        raise ValueError(
            f"covariances have shape {covariances.shape}; wanted {means.shape} for variances or "
            f"{(*means.shape, means.shape[1])} for full covariances"
        )


def channel_names(channels: Any, wanted: int) -> tuple[str, ...]:  # noqa: ANN401  a JSON file may say anything
    """Check channels' names: so many, and all different."""
    names = tuple(channels) if isinstance(channels, list | tuple) else ()
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ValueError(f"channels are {channels!r}; wanted a sequence of names, one a channel")
    if len(names) != wanted or len(set(names)) != wanted:
        raise ValueError(f"channels are {', '.join(names)}; wanted {wanted} different names")
    return names


def mean_vector(k: int, mean: ArrayLike) -> NDArray[np.float64]:
    """Make a vector of kernel k's mean: of a row, a column or a vector."""
    array = as_parameter(f"kernel {k}: the mean's elements", mean)
    if array.size and array.ndim in {1, 2} and array.size == max(array.shape):
        return array.reshape(-1)
    raise ValueError(f"kernel {k}: the mean has shape {array.shape}; wanted (C,), (1, C) or (C, 1)")


def covariance_of(k: int, covariance: ArrayLike, n_channels: int) -> NDArray[np.float64]:
    """Make variances (C,) or a matrix (C, C) of kernel k's covariance."""
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
    """Make a number of kernel k's weight."""
    array = as_parameter(f"kernel {k}: the weight's elements", weight)
    if array.size != 1:
        raise ValueError(f"kernel {k}: the weight has shape {array.shape}; wanted one number")
    return array.reshape(())


def sklearn_parameters(model: Any) -> tuple[ArrayLike, ArrayLike, ArrayLike]:  # noqa: ANN401  the same
    """Take weights, means and covariances, as a Mixture has them, of a model that scikit-learn fitted."""
    kind = getattr(model, "covariance_type", None)
    if kind not in {"full", "tied", "diag", "spherical"}:
        raise TypeError(f"got {model!r:.80}; wanted a fitted GaussianMixture or BayesianGaussianMixture")
    missing = [name for name in ("weights_", "means_", "covariances_") if not hasattr(model, name)]
    if missing:
        raise ValueError(
            f"the {type(model).__name__} lacks {', '.join(missing)}: it isn't fitted. Call its fit first."
        )
    covariances = np.asarray(model.covariances_, dtype=np.float64)
    if kind == "tied":
        covariances = np.repeat(covariances[np.newaxis], len(model.means_), axis=0)
    elif kind == "spherical":
        covariances = np.repeat(covariances[:, np.newaxis], len(model.means_[0]), axis=1)
    if kind in {"full", "tied"}:  # fitted to float32, they are symmetric only to 1e-6
        covariances = covariances / 2 + covariances.mT / 2
    return model.weights_, model.means_, covariances
