"""Gaussian mixtures as data: validation, JSON, and scikit-learn's."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.models.parameters import (
    as_parameter,
    channel_names,
    check_shapes,
    covariance_of,
    mean_vector,
    sklearn_parameters,
    weight_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray
    from sklearn.mixture import GaussianMixture

_FORMAT = "gaussian-mixture"
_VERSION = 1
# Below this ratio of eigenvalues, rounding decides whether a covariance is positive definite.
_SINGULAR = 1e-15


class Kernel(NamedTuple):
    """One weighted Gaussian.

    Attributes
    ----------
    mean : array_like
        Shape (C,), (1, C) or (C, 1).
    covariance : array_like
        The variances of a diagonal covariance, shape (C,) or (1, C), or a full covariance, shape (C, C).
    weight : float
        Positive. The weights of a mixture need not sum to 1.
    """

    mean: ArrayLike
    covariance: ArrayLike
    weight: float


@dataclass(frozen=True, eq=False, repr=False)
class Mixture:
    """K weighted Gaussians over the same C channels.

    Parameters
    ----------
    weights : array_like, shape (K,)
        Positive and kept as given: they need not sum to 1.
    means : array_like, shape (K, C)
        In the units of the pixels.
    covariances : array_like, shape (K, C) or (K, C, C)
        Variances of diagonal covariances, or full covariances, in squared units of the pixels.
    channels : sequence of str, optional
        The channels' names in the order of the columns, for example ``("red", "green", "blue")``.

    Raises
    ------
    ValueError
        If shapes disagree, a parameter isn't finite, a weight isn't positive, or a covariance isn't
        symmetric and positive definite. The message names the kernel, counted from 0.

    Notes
    -----
    A mixture is immutable: its arrays are float64 copies that can't be written to.
    """

    weights: NDArray[np.float64]
    means: NDArray[np.float64]
    covariances: NDArray[np.float64]
    channels: tuple[str, ...] | None = None

    def __init__(
        self,
        weights: ArrayLike,
        means: ArrayLike,
        covariances: ArrayLike,
        channels: Sequence[str] | None = None,
    ) -> None:
        for name, value in (("weights", weights), ("means", means), ("covariances", covariances)):
            object.__setattr__(self, name, as_parameter(name, value))
        check_shapes(self.weights, self.means, self.covariances)
        names = None if channels is None else channel_names(channels, self.n_channels)
        object.__setattr__(self, "channels", names)
        self._check_values()
        for array in (self.weights, self.means, self.covariances):
            array.flags.writeable = False

    @classmethod
    def from_kernels(cls, kernels: Iterable[Any], channels: Sequence[str] | None = None) -> Mixture:
        """Gather kernels into a mixture.

        Parameters
        ----------
        kernels : iterable of Kernel
            Or of any (mean, covariance, weight). A diagonal and a full covariance may be mixed.
        channels : sequence of str, optional
            The channels' names.

        Returns
        -------
        Mixture

        Raises
        ------
        ValueError
            As :class:`Mixture` does, and for a mean or covariance of a shape that :class:`Kernel` doesn't
            list.
        """
        means, covariances, weights = [], [], []
        for k, kernel in enumerate(kernels):
            try:
                mean, covariance, weight = kernel
            except (TypeError, ValueError):
                raise ValueError(
                    f"kernel {k} is {kernel!r:.80}; wanted Kernel(mean, covariance, weight)"
                ) from None
            means.append(mean_vector(k, mean))
            covariances.append(covariance_of(k, covariance, len(means[0])))
            if len(means[k]) != len(means[0]):
                raise ValueError(
                    f"kernel {k}: the mean has {len(means[k])} channels, kernel 0's has {len(means[0])}; "
                    "all kernels of a mixture share the same channels"
                )
            weights.append(weight_of(k, weight))
        if not means:
            raise ValueError("got no kernels; a mixture needs at least one")
        if any(covariance.ndim == 2 for covariance in covariances):  # noqa: PLR2004  a matrix
            covariances = [c if c.ndim == 2 else np.diag(c) for c in covariances]  # noqa: PLR2004  the same
        return cls(np.array(weights), np.array(means), np.array(covariances), channels)

    @classmethod
    def from_sklearn(cls, model: Any, channels: Sequence[str] | None = None) -> Mixture:  # noqa: ANN401  duck-typed
        """Take over a mixture that scikit-learn fitted.

        Parameters
        ----------
        model : GaussianMixture or BayesianGaussianMixture
            Fitted, of any covariance type. Its component k becomes kernel k.
        channels : sequence of str, optional
            The names of the columns that it was fitted to.

        Returns
        -------
        Mixture
            Diagonal for the covariance types "diag" and "spherical", full for "full" and "tied".

        Raises
        ------
        TypeError
            If it isn't such a model.
        ValueError
            If it isn't fitted, and as :class:`Mixture` does. A component of weight 0 is an error too: without
            it, kernels would no longer have the numbers that ``predict`` gives.

        Notes
        -----
        Of a Bayesian model it takes the estimates, as the model's own ``sample`` does. Its ``score_samples``
        and ``predict`` also count how uncertain the estimates are, and differ a little.
        """
        return cls(*sklearn_parameters(model), channels)

    def to_sklearn(self) -> GaussianMixture:
        """Give the mixture as a scikit-learn model that counts as fitted.

        Returns
        -------
        sklearn.mixture.GaussianMixture
            Of covariance type "diag" or "full".

        Raises
        ------
        ModuleNotFoundError
            If scikit-learn isn't installed.

        Notes
        -----
        Pass it floats: scikit-learn keeps squares in the dtype of the pixels, where those of integers
        overflow. The weights are kept as given, so that ``score_samples`` gives :class:`LogDensity`. Only
        ``sample`` needs weights that sum to 1: divide by their sum first.
        """
        try:
            from scipy.linalg import solve_triangular  # noqa: PLC0415  comes with scikit-learn
            from sklearn.mixture import GaussianMixture  # noqa: PLC0415  an extra, for this method alone
        except ModuleNotFoundError:
            raise ModuleNotFoundError(
                "to_sklearn needs scikit-learn: pip install 'mixture-pipeline[sklearn]'"
            ) from None
        kind = "diag" if self.is_diagonal else "full"
        model = GaussianMixture(self.n_kernels, covariance_type=kind)
        model.weights_, model.means_ = self.weights.copy(), self.means.copy()
        model.covariances_ = self.covariances.copy()
        if self.is_diagonal:
            model.precisions_cholesky_ = 1 / np.sqrt(self.covariances)
            model.precisions_ = 1 / self.covariances
        else:
            eye = np.eye(self.n_channels)
            factors = np.linalg.cholesky(self.covariances)
            inverses = np.array([solve_triangular(factor, eye, lower=True) for factor in factors])
            model.precisions_cholesky_ = inverses.mT
            model.precisions_ = inverses.mT @ inverses
        # What scikit-learn itself says after no iterations, but that there is nothing left to do.
        model.converged_, model.n_iter_, model.lower_bound_, model.lower_bounds_ = True, 0, -np.inf, []
        model.n_features_in_ = self.n_channels
        return model

    @property
    def n_kernels(self) -> int:
        """K, the number of Gaussians."""
        return len(self.weights)

    @property
    def n_channels(self) -> int:
        """C, the number of channels of a pixel."""
        return int(self.means.shape[1])

    @property
    def is_diagonal(self) -> bool:
        """Whether the covariances are stored as variances, shape (K, C)."""
        return self.covariances.ndim == self.means.ndim

    def channel_label(self, index: int) -> str:
        """Name channel `index` for a message: its name in quotes, or its number."""
        return f"{index}" if self.channels is None else f"{self.channels[index]!r}"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the mixture as JSON, which :meth:`load` reads back exactly.

        Parameters
        ----------
        path : path-like
            Replaced whole if it exists, or left as it was if writing fails.
        """
        target = Path(path)
        partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
        try:
            partial.write_text(json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n", encoding="utf-8")
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Mixture:
        """Read a mixture from JSON.

        Parameters
        ----------
        path : path-like
            A file that :meth:`save` wrote, or one of the same schema.

        Returns
        -------
        Mixture

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file isn't JSON of this schema and version, or its parameters aren't a mixture's.
        """
        try:
            content = _read_json(Path(path))
            return cls.from_dict(content if isinstance(content, dict) else {})
        except ValueError as error:
            raise ValueError(f"{os.fspath(path)}: {error}") from None

    def to_dict(self) -> dict[str, Any]:
        """Give the mixture as plain lists and numbers, the schema of its JSON."""
        return {
            "format": _FORMAT,
            "version": _VERSION,
            "channels": None if self.channels is None else list(self.channels),
            "weights": self.weights.tolist(),
            "means": self.means.tolist(),
            "covariances": self.covariances.tolist(),
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Mixture:
        """Make a mixture of what :meth:`to_dict` gave.

        Raises
        ------
        ValueError
            If it isn't of this schema and version, or its parameters aren't a mixture's.
        """
        if content.get("format") != _FORMAT:
            raise ValueError(f'not a mixture: wanted a JSON object with "format": "{_FORMAT}"')
        if content.get("version") != _VERSION:
            raise ValueError(
                f"schema version {content.get('version')!r}; this release reads version {_VERSION}: "
                "upgrade mixture-pipeline or save the mixture anew"
            )
        missing = {"weights", "means", "covariances"} - content.keys()
        if missing:
            raise ValueError(f"the mixture lacks {', '.join(sorted(missing))}")
        return cls(content["weights"], content["means"], content["covariances"], content.get("channels"))

    @cached_property
    def _identity(self) -> tuple[object, ...]:
        arrays = (self.weights, self.means, self.covariances)
        return (self.channels, self.covariances.shape, *(array.tobytes() for array in arrays))

    def __eq__(self, other: object) -> bool:
        return self._identity == other._identity if isinstance(other, Mixture) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._identity)

    def __repr__(self) -> str:
        kind = "diagonal" if self.is_diagonal else "full"
        names = f"{self.n_channels} channels" if self.channels is None else ", ".join(self.channels)
        return f"<Mixture: {self.n_kernels} {kind} kernels over {names}>"

    def __reduce__(self) -> tuple[type[Mixture], tuple[object, ...]]:
        return Mixture, (self.weights, self.means, self.covariances, self.channels)

    def _check_values(self) -> None:
        for k, weight in enumerate(self.weights):
            if not (weight > 0 and np.isfinite(weight)):
                raise ValueError(
                    f"kernel {k}: weight is {weight:g}; a weight must be positive and finite. Drop it."
                )
        bad = np.argwhere(~np.isfinite(self.means))
        if len(bad):
            k, c = bad[0]
            raise ValueError(
                f"kernel {k}: mean of channel {self.channel_label(c)} is {self.means[k, c]:g}; wanted a "
                "finite number. Drop the kernel or mend the model."
            )
        if self.is_diagonal:
            self._check_variances(self.covariances)
        else:
            self._check_variances(np.diagonal(self.covariances, axis1=1, axis2=2))
            self._check_full_covariances()

    def _check_variances(self, variances: NDArray[np.float64]) -> None:
        bad = np.argwhere(~((variances >= np.finfo(np.float64).tiny) & np.isfinite(variances)))
        if len(bad):
            k, c = bad[0]
            raise ValueError(
                f"kernel {k}: variance of channel {self.channel_label(c)} is {variances[k, c]:g}; a Gaussian "
                "needs a positive, finite variance. Drop the kernel or raise the variance (rounding to "
                "integers alone has a variance of 1/12)."
            )

    def _check_full_covariances(self) -> None:
        for k, covariance in enumerate(self.covariances):
            if not np.all(np.isfinite(covariance)):
                raise ValueError(f"kernel {k}: the covariance isn't finite throughout. Mend the model.")
            deviations = np.sqrt(np.diag(covariance))
            if np.any(np.abs(covariance - covariance.T) > 1e-8 * np.outer(deviations, deviations)):
                raise ValueError(
                    f"kernel {k}: the covariance isn't symmetric. Pass (S + S.T) / 2 if rounding made it so."
                )
            covariance[...] = covariance / 2 + covariance.T / 2
            eigenvalues = np.linalg.eigvalsh(covariance / deviations.max() ** 2)
            if eigenvalues[0] < _SINGULAR * eigenvalues[-1]:
                raise ValueError(
                    f"kernel {k}: the covariance isn't positive definite (its eigenvalues' ratio is "
                    f"{eigenvalues[0] / eigenvalues[-1]:.3g}). Drop the kernel, or add a little to the "
                    "diagonal."
                )


def _read_json(path: Path) -> Any:  # noqa: ANN401  JSON is whatever the file holds; from_dict checks it
    def refuse(constant: str) -> float:
        raise ValueError(f"{constant} is not a finite number")

    try:
        return json.loads(path.read_text(encoding="utf-8-sig"), parse_constant=refuse)
    except UnicodeDecodeError:
        raise ValueError("not JSON: the file isn't text") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from None
    except RecursionError:
        raise ValueError("not a mixture: its JSON is nested too deeply") from None
