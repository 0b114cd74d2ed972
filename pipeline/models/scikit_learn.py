"""Gaussian mixtures of scikit-learn: taking one over, and giving one back."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.models.sklearn_pipelines import check_fitted, last_step

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sklearn.mixture import GaussianMixture

    from pipeline.models.mixture import Mixture

__all__ = ["sklearn_model", "sklearn_parameters"]


def sklearn_parameters(model: Any) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:  # noqa: ANN401  duck-typed
    """Return the weights, means and covariances of a model that scikit-learn fitted.

    Parameters
    ----------
    model : GaussianMixture, BayesianGaussianMixture or Pipeline
        Fitted, of any covariance type. The steps of a pipeline before the mixture are undone.

    Returns
    -------
    weights, means, covariances : ndarray
        The arguments of :class:`Mixture`: variances for the covariance types "diag" and "spherical", unless a
        PCA is undone, and matrices for "full" and "tied". Components whose weights are negligible are left
        out, with a warning.

    Raises
    ------
    TypeError
        If the argument isn't such a model.
    ValueError
        If the model isn't fitted, or a step of the pipeline can't be undone.
    """
    mixture, undo = last_step(model)
    kind = getattr(mixture, "covariance_type", None)
    if kind not in {"full", "tied", "diag", "spherical"}:
        raise TypeError(
            f"got {mixture!r:.80}; wanted a fitted GaussianMixture or BayesianGaussianMixture, or a Pipeline "
            "that ends in one. For a classifier use Classes.from_sklearn."
        )
    check_fitted(mixture, ("weights_", "means_", "covariances_"))
    is_bayesian = hasattr(mixture, "weight_concentration_prior_type")
    weights = _expected_weights(mixture) if is_bayesian else np.asarray(mixture.weights_, dtype=np.float64)
    means = np.asarray(mixture.means_, dtype=np.float64)
    covariances = np.asarray(mixture.covariances_, dtype=np.float64)
    if kind == "tied":
        covariances = np.repeat(covariances[np.newaxis], len(means), axis=0)
    elif kind == "spherical":
        covariances = np.repeat(covariances[:, np.newaxis], len(means[0]), axis=1)
    if undo is not None:
        means, covariances = undo.means(means), undo.covariances(covariances)
    if covariances.ndim > means.ndim:
        # What was fitted to float32, or was mapped back, is symmetric only up to rounding.
        covariances = covariances / 2 + covariances.mT / 2
    kept = _not_empty(weights, type(mixture).__name__)
    return weights[kept], means[kept], covariances[kept]


def _expected_weights(model: Any) -> NDArray[np.float64]:  # noqa: ANN401  duck-typed
    """Return the weights by which a Bayesian model scores, see :meth:`Mixture.from_sklearn`."""
    from scipy.special import digamma  # noqa: PLC0415  SciPy comes with scikit-learn

    check_fitted(model, ("weight_concentration_", "degrees_of_freedom_", "mean_precision_"))
    # One concentration for each component, or for a Dirichlet process the parameters of beta distributions.
    concentrations = np.asarray(model.weight_concentration_, dtype=np.float64)
    if model.weight_concentration_prior_type == "dirichlet_process":
        taken, left = digamma(concentrations) - digamma(concentrations.sum(axis=0))
        logs = taken + np.concatenate([[0], np.cumsum(left)[:-1]])
    else:
        logs = digamma(concentrations) - digamma(concentrations.sum())
    n_channels = model.means_.shape[1]
    # There is a single number for the covariance type "tied".
    freedom = np.atleast_1d(np.asarray(model.degrees_of_freedom_, dtype=np.float64))
    precision = np.asarray(model.mean_precision_, dtype=np.float64)
    expected = np.sum(digamma((freedom - np.arange(n_channels)[:, np.newaxis]) / 2), axis=0)
    logs = logs + (expected + n_channels * (np.log(2) - np.log(freedom) - 1 / precision)) / 2
    return np.asarray(np.exp(logs))


def _not_empty(weights: NDArray[np.float64], kind: str) -> NDArray[np.intp]:
    """Return the numbers of the components that are kept, with a warning if some aren't."""
    # A weight that is negative or NaN isn't negligible but wrong, and is refused as any mixture's.
    kept = np.flatnonzero(~((weights >= 0) & (weights < np.finfo(np.float64).tiny)))
    if len(kept) < len(weights):
        warnings.warn(
            f"dropped {len(weights) - len(kept)} of {len(weights)} components of the {kind}, whose weights "
            f"are below {np.finfo(np.float64).tiny:.2g}: kernels no longer have the numbers that predict "
            f"gives, but are the components {', '.join(map(str, kept))}",
            stacklevel=4,
        )
    return kept


def sklearn_model(mixture: Mixture) -> GaussianMixture:
    """Return a mixture as a scikit-learn model that counts as fitted.

    Parameters
    ----------
    mixture : Mixture

    Returns
    -------
    sklearn.mixture.GaussianMixture
        A model of covariance type "diag" or "full".

    Raises
    ------
    ModuleNotFoundError
        If scikit-learn isn't installed.
    """
    try:
        from scipy.linalg import solve_triangular  # noqa: PLC0415  SciPy comes with scikit-learn
        from sklearn.mixture import GaussianMixture  # noqa: PLC0415  scikit-learn is an optional dependency
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "to_sklearn needs scikit-learn, which isn't installed: pip install 'mixture-pipeline[sklearn]'"
        ) from None
    kind = "diag" if mixture.is_diagonal else "full"
    model = GaussianMixture(mixture.n_kernels, covariance_type=kind)
    model.weights_, model.means_ = mixture.weights.copy(), mixture.means.copy()
    model.covariances_ = mixture.covariances.copy()
    if mixture.is_diagonal:
        model.precisions_cholesky_ = 1 / np.sqrt(mixture.covariances)
        model.precisions_ = 1 / mixture.covariances
    else:
        eye = np.eye(mixture.n_channels)
        factors = np.linalg.cholesky(mixture.covariances)
        inverses = np.array([solve_triangular(factor, eye, lower=True) for factor in factors])
        model.precisions_cholesky_ = inverses.mT
        model.precisions_ = inverses.mT @ inverses
    # These are the values that scikit-learn sets after zero iterations, except that the model has converged.
    model.converged_, model.n_iter_, model.lower_bound_, model.lower_bounds_ = True, 0, -np.inf, []
    model.n_features_in_ = mixture.n_channels
    return model
