"""Classifiers of scikit-learn with a Gaussian for each class: taking one over, and giving one back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.models.sklearn_pipelines import check_fitted, kind_of, last_step

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray
    from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
    from sklearn.naive_bayes import GaussianNB

    from pipeline.models.mixture import Mixture

    Array = NDArray[np.float64]

__all__ = ["ClassParameters", "classifier_parameters", "sklearn_classifier"]


class ClassParameters(NamedTuple):
    """The parameters of a classifier with a Gaussian for each of N classes.

    Attributes
    ----------
    names : list of str
    priors : list of float
    means : ndarray, shape (N, C)
    covariances : ndarray, shape (N, C) or (N, C, C)
    """

    names: list[str]
    priors: list[float]
    means: Array
    covariances: Array


def classifier_parameters(model: Any) -> ClassParameters:  # noqa: ANN401  duck-typed
    """Return the parameters of a classifier that scikit-learn fitted.

    Parameters
    ----------
    model : GaussianNB, QuadraticDiscriminantAnalysis, LinearDiscriminantAnalysis or Pipeline
        Fitted. The steps of a pipeline before the classifier are undone.

    Returns
    -------
    ClassParameters

    Raises
    ------
    TypeError
        If the argument isn't such a model.
    ValueError
        If the model isn't fitted, or a step of the pipeline can't be undone.
    """
    classifier, undo = last_step(model)
    kind = kind_of(classifier, _READERS)
    if kind is None:
        raise TypeError(
            f"got {classifier!r:.80}; wanted a fitted {', '.join(_READERS)}, or a Pipeline that ends in one. "
            "For a GaussianMixture use Mixture.from_sklearn."
        )
    priors, means, covariances = map(_floats, _READERS[kind](classifier))
    if undo is not None:
        means, covariances = undo.means(means), undo.covariances(covariances)
    if covariances.ndim > means.ndim:
        # What was fitted to float32, or was mapped back, is symmetric only up to rounding.
        covariances = covariances / 2 + covariances.mT / 2
    names = [str(name) for name in classifier.classes_]
    return ClassParameters(names, priors.tolist(), means, covariances)


def _floats(values: ArrayLike) -> Array:
    return np.asarray(values, dtype=np.float64)


def _naive_bayes(model: Any) -> tuple[ArrayLike, ArrayLike, ArrayLike]:  # noqa: ANN401  duck-typed
    check_fitted(model, ("classes_", "class_prior_", "theta_", "var_"))
    return model.class_prior_, model.theta_, model.var_


def _quadratic(model: Any) -> tuple[ArrayLike, ArrayLike, ArrayLike]:  # noqa: ANN401  duck-typed
    """Return the priors, the means, and the covariances.

    The model scores by their eigenvectors and eigenvalues, which are regularized already.
    """
    check_fitted(model, ("classes_", "priors_", "means_", "rotations_", "scalings_"))
    covariances = [
        (_floats(rotation) * _floats(scaling)) @ _floats(rotation).T
        for rotation, scaling in zip(model.rotations_, model.scalings_, strict=True)
    ]
    return model.priors_, model.means_, np.array(covariances)


def _linear(model: Any) -> tuple[ArrayLike, ArrayLike, ArrayLike]:  # noqa: ANN401  duck-typed
    """Return the priors, the means, and one covariance for each class, which are all the same.

    The solvers "lsqr" and "eigen" score by the covariance that they store.
    """
    check_fitted(model, ("classes_", "priors_", "means_", "coef_"))
    if model.solver == "svd":
        means, covariance = _between_and_within(model)
    else:
        means, covariance = _floats(model.means_), _floats(model.covariance_)
    return model.priors_, means, np.repeat(covariance[np.newaxis], len(means), axis=0)


def _between_and_within(model: Any) -> tuple[Array, Array]:  # noqa: ANN401  duck-typed
    """Return means and a covariance by which the solver "svd" can be thought to score.

    It maps pixels to z = (x - xbar) A, where A are its ``scalings_``, and takes the unit matrix for the
    covariance of z. See :meth:`Classes.from_sklearn` for the covariance of x that this leaves open.
    """
    scalings, center = _floats(model.scalings_), _floats(model.xbar_)
    centered = _floats(model.means_) - center
    mapped = centered @ scalings
    # Rows that span the means, with spanning @ scalings = 1. Directions in which the means differ so little
    # that the solver has ignored them are left out of the means too.
    spanning = np.linalg.pinv(mapped) @ centered
    n_channels, rank = scalings.shape
    stored = getattr(model, "covariance_", None)
    if stored is not None:
        others = np.eye(n_channels) - scalings @ spanning
        within = others.T @ _floats(stored) @ others
    else:
        variance = np.sum(spanning**2) / rank if rank else 1.0
        basis = np.linalg.qr(scalings, mode="complete").Q[:, rank:]
        within = variance * basis @ basis.T
    return center + mapped @ spanning, spanning.T @ spanning + within


_READERS: dict[str, Callable[[Any], tuple[ArrayLike, ArrayLike, ArrayLike]]] = {
    "GaussianNB": _naive_bayes,
    "QuadraticDiscriminantAnalysis": _quadratic,
    "LinearDiscriminantAnalysis": _linear,
}


def sklearn_classifier(
    classes: Mapping[str, Mixture], priors: Sequence[float]
) -> GaussianNB | QuadraticDiscriminantAnalysis:
    """Return classes of one kernel each as a scikit-learn classifier that counts as fitted.

    Parameters
    ----------
    classes : mapping of str to Mixture
    priors : sequence of float
        One for each class.

    Returns
    -------
    GaussianNB or QuadraticDiscriminantAnalysis
        The first if all kernels are diagonal.

    Raises
    ------
    ModuleNotFoundError
        If scikit-learn isn't installed.
    ValueError
        If a class has several kernels.
    """
    for name, mixture in classes.items():
        if mixture.n_kernels > 1:
            raise ValueError(
                f"class {name!r} has {mixture.n_kernels} kernels; wanted one for each class, as classifiers "
                "of scikit-learn have. Call to_sklearn of each mixture instead, and compare score_samples + "
                "log(prior)."
            )
    try:
        from sklearn.discriminant_analysis import (  # noqa: PLC0415  scikit-learn is an optional dependency
            QuadraticDiscriminantAnalysis,
        )
        from sklearn.naive_bayes import GaussianNB  # noqa: PLC0415  scikit-learn is an optional dependency
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "to_sklearn needs scikit-learn, which isn't installed: pip install 'mixture-pipeline[sklearn]'"
        ) from None
    mixtures = list(classes.values())
    weighted = np.array([prior * one.weights[0] for prior, one in zip(priors, mixtures, strict=True)])
    means = np.concatenate([one.means for one in mixtures])
    model: GaussianNB | QuadraticDiscriminantAnalysis
    if all(one.is_diagonal for one in mixtures):
        model = GaussianNB()
        model.theta_, model.var_ = means, np.concatenate([one.covariances for one in mixtures])
        # No pixels were counted, and no variance was added.
        model.class_prior_, model.class_count_, model.epsilon_ = weighted, np.zeros(len(means)), 0.0
    else:
        model = QuadraticDiscriminantAnalysis(store_covariance=True)
        matrices = [
            np.diag(one.covariances[0]) if one.is_diagonal else one.covariances[0] for one in mixtures
        ]
        pairs = [np.linalg.eigh(matrix) for matrix in matrices]
        model.priors_, model.means_, model.covariance_ = weighted, means, [one.copy() for one in matrices]
        model.scalings_, model.rotations_ = map(list, zip(*pairs, strict=True))
    model.classes_, model.n_features_in_ = np.array(list(classes)), means.shape[1]
    return model
