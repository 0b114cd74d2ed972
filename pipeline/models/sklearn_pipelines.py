"""Pipelines of scikit-learn: the steps before the last one as an affine map, which is undone.

What a fitted model holds is checked here too, for mixtures and classifiers alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

__all__ = ["Undo", "check_fitted", "feature_names", "kind_of", "last_step"]

_MATRIX = 2


class Undo(NamedTuple):
    """The way from the results y of a step back to pixels: x = y * factor + offset, or y @ factor + offset.

    Attributes
    ----------
    factor : ndarray, shape (C,) or (C, C)
        A factor for each channel, or a matrix.
    offset : ndarray, shape (C,)
        The pixel whose result is 0.
    """

    factor: Array
    offset: Array

    def means(self, means: ArrayLike) -> Array:
        """Return the means of pixels for the means of results, shape (K, C)."""
        return _times(np.asarray(means, dtype=np.float64), self.factor) + self.offset

    def covariances(self, covariances: ArrayLike) -> Array:
        """Return the covariances of pixels for those of results, shape (K, C) or (K, C, C).

        Variances become full covariances if the factor is a matrix.
        """
        given = np.asarray(covariances, dtype=np.float64)
        is_diagonal = given.ndim == _MATRIX
        if self.factor.ndim != _MATRIX:
            return given * (self.factor**2 if is_diagonal else np.outer(self.factor, self.factor))
        left = self.factor.T * given[:, np.newaxis] if is_diagonal else self.factor.T @ given
        return np.asarray(left @ self.factor)

    def after(self, step: Undo) -> Undo:
        """Return the way back from the results of a later step, first by that step and then by this one."""
        factor = step.factor
        if self.factor.ndim == _MATRIX and factor.ndim != _MATRIX:
            factor = np.diag(factor)
        return Undo(_times(factor, self.factor), self.means(step.offset))


def _times(rows: Array, factor: Array) -> Array:
    return np.asarray(rows @ factor if factor.ndim == _MATRIX else rows * factor)


def last_step(model: Any) -> tuple[Any, Undo | None]:  # noqa: ANN401  duck-typed
    """Return the last step of a pipeline, and the way back from its pixels to those of the pipeline.

    Parameters
    ----------
    model : Pipeline or any other model
        A pipeline whose steps before the last one map pixels of C channels to pixels of C channels.

    Returns
    -------
    model : Any
        The last step, or the model itself if it isn't a pipeline.
    undo : Undo or None
        None if nothing is to be undone.

    Raises
    ------
    TypeError
        If a step isn't one of those that can be undone.
    ValueError
        If a step isn't fitted, or its options make a map that can't be undone.
    """
    if kind_of(model, {"Pipeline"}) is None:
        return model, None
    undo = None
    for name, step in model.steps[:-1]:
        if step is None or (isinstance(step, str) and step == "passthrough"):
            continue
        kind = type(step).__name__
        if kind not in _STEPS or type(step).__module__.partition(".")[0] != "sklearn":
            raise TypeError(
                f"step {name!r} of the pipeline is {kind}, which can't be folded into the model; wanted one "
                f"of {', '.join(_STEPS)}. Apply this step to the image first, and pass a pipeline without it."
            )
        one = _STEPS[kind](step, f"step {name!r} of the pipeline, {kind},")
        if one is not None:
            undo = one if undo is None else undo.after(one)
    return model.steps[-1][1], undo


def _standard_scaler(step: Any, label: str) -> Undo:  # noqa: ANN401  duck-typed
    check_fitted(step, ("scale_", "mean_"), label)
    return _undo(step, step.scale_ if step.with_std else 1, step.mean_ if step.with_mean else 0)


def _min_max_scaler(step: Any, label: str) -> Undo:  # noqa: ANN401  duck-typed
    check_fitted(step, ("scale_", "min_"), label)
    if step.clip:
        raise ValueError(f"{label} clips its results, which can't be undone; wanted clip=False")
    scale = np.asarray(step.scale_, dtype=np.float64)
    return _undo(step, 1 / scale, -np.asarray(step.min_, dtype=np.float64) / scale)


def _max_abs_scaler(step: Any, label: str) -> Undo:  # noqa: ANN401  duck-typed
    check_fitted(step, ("scale_",), label)
    return _undo(step, step.scale_, 0)


def _robust_scaler(step: Any, label: str) -> Undo:  # noqa: ANN401  duck-typed
    check_fitted(step, ("scale_", "center_"), label)
    return _undo(step, step.scale_ if step.with_scaling else 1, step.center_ if step.with_centering else 0)


def _function_transformer(step: Any, label: str) -> None:  # noqa: ANN401  duck-typed
    if step.func is not None:
        raise ValueError(
            f"{label} calls a function, which can't be folded into the model; wanted func=None. Apply the "
            "function to the image first, and pass a pipeline without this step."
        )


def _pca(step: Any, label: str) -> Undo:  # noqa: ANN401  duck-typed
    check_fitted(step, ("components_", "mean_", "explained_variance_"), label)
    kept, channels = step.components_.shape
    if kept != channels:
        raise ValueError(
            f"{label} keeps {kept} of {channels} components, which can't be undone; wanted all, as by "
            "PCA(n_components=None)"
        )
    factor = np.asarray(step.components_, dtype=np.float64)
    if step.whiten:
        factor = factor * np.sqrt(step.explained_variance_)[:, np.newaxis]
    return Undo(factor, np.asarray(step.mean_, dtype=np.float64))


_STEPS: dict[str, Callable[[Any, str], Undo | None]] = {
    "StandardScaler": _standard_scaler,
    "MinMaxScaler": _min_max_scaler,
    "MaxAbsScaler": _max_abs_scaler,
    "RobustScaler": _robust_scaler,
    "FunctionTransformer": _function_transformer,
    "PCA": _pca,
}


def _undo(step: Any, scale: ArrayLike, offset: ArrayLike) -> Undo:  # noqa: ANN401  duck-typed
    shape = (step.n_features_in_,)
    return Undo(*(np.broadcast_to(np.asarray(one, dtype=np.float64), shape) for one in (scale, offset)))


def kind_of(model: Any, kinds: Collection[str]) -> str | None:  # noqa: ANN401  duck-typed
    """Return the first class of a model, or class that it is derived from, whose name is one of `kinds`."""
    return next((base.__name__ for base in type(model).__mro__ if base.__name__ in kinds), None)


def check_fitted(model: Any, attributes: Collection[str], label: str | None = None) -> None:  # noqa: ANN401  duck-typed
    """Raise ValueError unless a model has all attributes; `label` names it in the message."""
    missing = [name for name in attributes if not hasattr(model, name)]
    if missing:
        raise ValueError(
            f"{label or f'the {type(model).__name__}'} lacks {', '.join(missing)}: it isn't fitted. Call its "
            "fit first."
        )


def feature_names(model: Any) -> list[str] | None:  # noqa: ANN401  duck-typed
    """Return the names of the columns that a model or pipeline was fitted to, or None if they had none."""
    names = getattr(model, "feature_names_in_", None)
    return None if names is None else [str(name) for name in names]
