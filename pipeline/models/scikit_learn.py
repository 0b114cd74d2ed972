"""Gaussian mixtures of scikit-learn: taking one over, and giving one back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from sklearn.mixture import GaussianMixture

    from pipeline.models.mixture import Mixture

__all__ = ["sklearn_model", "sklearn_parameters"]


def sklearn_parameters(model: Any) -> tuple[ArrayLike, ArrayLike, ArrayLike]:  # noqa: ANN401  duck-typed
    """Return the weights, means and covariances of a model that scikit-learn fitted.

    Parameters
    ----------
    model : GaussianMixture or BayesianGaussianMixture
        Fitted, of any covariance type.

    Returns
    -------
    weights, means, covariances : array_like
        The arguments of :class:`Mixture`: variances for the covariance types "diag" and "spherical", matrices
        for "full" and "tied".

    Raises
    ------
    TypeError
        If the argument isn't such a model.
    ValueError
        If the model isn't fitted.
    """
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
    if kind in {"full", "tied"}:
        # The covariances of a model that was fitted to float32 are symmetric only to 1e-6.
        covariances = covariances / 2 + covariances.mT / 2
    return model.weights_, model.means_, covariances


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
