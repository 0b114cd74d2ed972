"""Kernels and Gaussian mixtures as data: validation, JSON, and conversion from and to scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.models.fit import Fit
from pipeline.models.json_file import MIXTURE, load_json, save_json
from pipeline.models.mixture_html import mixture_html
from pipeline.models.parameters import (
    as_parameter,
    channel_names,
    check_means,
    check_shapes,
    check_variances,
    check_weights,
    covariance_of,
    make_symmetric,
    mean_vector,
    weight_of,
)
from pipeline.models.scikit_learn import sklearn_model, sklearn_parameters
from pipeline.models.sklearn_pipelines import feature_names

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray
    from sklearn.mixture import GaussianMixture


class Kernel(NamedTuple):
    """One weighted Gaussian.

    Attributes
    ----------
    mean : array_like
        The mean, of shape (C,), (1, C) or (C, 1).
    covariance : array_like
        The variances of a diagonal covariance, of shape (C,) or (1, C), or a full covariance (C, C).
    weight : float
        A positive number. The weights of a mixture need not sum to 1.
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
        Positive numbers. They are kept as given and need not sum to 1.
    means : array_like, shape (K, C)
        The means of the kernels, in the units of the pixels.
    covariances : array_like, shape (K, C) or (K, C, C)
        The variances of diagonal covariances, or full covariances, in squared units of the pixels.
    channels : sequence of str, optional
        The names of the channels in the order of the columns, for example ``("red", "green", "blue")``.
    fit : Fit, optional
        How the mixture was fitted: :func:`fit_mixture` says so. Two mixtures are equal whatever it says.

    Raises
    ------
    ValueError
        If the shapes disagree, a parameter isn't finite, a weight isn't positive, or a covariance isn't
        symmetric and positive definite. The message names the kernel, counted from 0.

    Notes
    -----
    A mixture is immutable: its arrays are float64 copies that can't be written to.
    """

    weights: NDArray[np.float64]
    means: NDArray[np.float64]
    covariances: NDArray[np.float64]
    channels: tuple[str, ...] | None = None
    fit: Fit | None = None

    def __init__(
        self,
        weights: ArrayLike,
        means: ArrayLike,
        covariances: ArrayLike,
        channels: Sequence[str] | None = None,
        fit: Fit | None = None,
    ) -> None:
        for name, value in (("weights", weights), ("means", means), ("covariances", covariances)):
            object.__setattr__(self, name, as_parameter(name, value))
        check_shapes(self.weights, self.means, self.covariances)
        names = None if channels is None else channel_names(channels, self.n_channels)
        object.__setattr__(self, "channels", names)
        object.__setattr__(self, "fit", fit)
        label = self.channel_label
        check_weights(self.weights)
        check_means(self.means, label)
        if self.is_diagonal:
            check_variances(self.covariances, label)
        else:
            check_variances(np.diagonal(self.covariances, axis1=1, axis2=2), label)
            make_symmetric(self.covariances)
        for array in (self.weights, self.means, self.covariances):
            array.flags.writeable = False

    @classmethod
    def from_kernels(cls, kernels: Iterable[Any], channels: Sequence[str] | None = None) -> Mixture:
        """Make a mixture from kernels.

        Parameters
        ----------
        kernels : iterable of Kernel
            Plain tuples (mean, covariance, weight) are accepted too. Diagonal and full covariances may be
            mixed.
        channels : sequence of str, optional
            The names of the channels.

        Returns
        -------
        Mixture

        Raises
        ------
        ValueError
            If a mean or a covariance has a shape that :class:`Kernel` doesn't list, and for the reasons that
            :class:`Mixture` lists.
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
                    "wanted the same channels for all kernels"
                )
            weights.append(weight_of(k, weight))
        if not means:
            raise ValueError("got no kernels; a mixture needs at least one")
        if any(covariance.ndim == 2 for covariance in covariances):  # noqa: PLR2004  two axes: a matrix
            covariances = [c if c.ndim == 2 else np.diag(c) for c in covariances]  # noqa: PLR2004  the same
        return cls(np.array(weights), np.array(means), np.array(covariances), channels)

    @classmethod
    def from_sklearn(cls, model: Any, channels: Sequence[str] | None = None) -> Mixture:  # noqa: ANN401  duck-typed
        r"""Make a mixture from a model that scikit-learn fitted.

        Parameters
        ----------
        model : GaussianMixture, BayesianGaussianMixture or Pipeline
            A fitted model of any covariance type, whose component k becomes kernel k; or a pipeline of one
            after any of StandardScaler, MinMaxScaler without clipping, MaxAbsScaler, RobustScaler, PCA with
            all components, FunctionTransformer without a function, and "passthrough".
        channels : sequence of str, optional
            The names of the columns that the model was fitted to; by default its ``feature_names_in_``.

        Returns
        -------
        Mixture
            The mixture is diagonal for the covariance types "diag" and "spherical" without a PCA before the
            model, and full otherwise.

        Raises
        ------
        TypeError
            If the argument isn't such a model, or a step of the pipeline isn't one of those listed.
        ValueError
            If the model isn't fitted, a step can't be folded in, and for the reasons that :class:`Mixture`
            lists.

        Warns
        -----
        UserWarning
            If components are dropped because their weights are below 2.2e-308, the smallest normal number.
            The other kernels are then numbered without them.

        Notes
        -----
        The mixture is a density over the pixels themselves. Its logarithm is that of a pipeline's
        ``score_samples``, which is a density over the results of the steps, plus log abs(det A) where the
        steps map x to A x + b. Posteriors and labels are those of the pipeline.

        A BayesianGaussianMixture scores by expected logarithms over its posterior instead of by its
        estimates. These have the form log v_k + log N(x; m_k, S_k) with the estimated means and covariances,
        and

        .. math:: \log v_k = E[\log w_k] + \tfrac12 (\sum_{i=1}^{C} \psi((\nu_k + 1 - i) / 2)
            + C \log 2 - C \log \nu_k - C / \beta_k)

        (Bishop, Pattern Recognition and Machine Learning, equations 10.64 to 10.66), where :math:`\nu_k` are
        the degrees of freedom and :math:`\beta_k` the precision of the mean. The weights of the mixture are
        these v_k, so that ``score_samples``, ``predict_proba`` and ``predict`` are reproduced up to rounding.
        They sum to less than 1, and so does the integral of the density. For a total of 1, make a Mixture of
        the model's ``weights_`` instead.

        A component that is dropped would count only at pixels where the densities of all other kernels
        underflow too, about 37 standard deviations away from them. All other components stay, even if
        no pixel belonged to them: they have the wide covariance of the prior, and ``predict`` assigns pixels
        far from the rest to them.
        """
        parameters = sklearn_parameters(model)
        return cls(*parameters, feature_names(model) if channels is None else channels)

    def to_sklearn(self) -> GaussianMixture:
        """Return the mixture as a scikit-learn model that counts as fitted.

        Returns
        -------
        sklearn.mixture.GaussianMixture
            A model of covariance type "diag" or "full".

        Raises
        ------
        ModuleNotFoundError
            If scikit-learn isn't installed.

        Notes
        -----
        Pass pixels to the model as floats: scikit-learn computes squares in the dtype of the pixels, where
        squares of small integers overflow. The weights are kept as given, so that ``score_samples`` returns
        the values of :class:`LogDensity`. Only ``sample`` needs weights that sum to 1: divide the weights by
        their sum first.
        """
        return sklearn_model(self)

    @property
    def n_kernels(self) -> int:
        """The number of Gaussians, K."""
        return len(self.weights)

    @property
    def n_channels(self) -> int:
        """The number of channels of a pixel, C."""
        return int(self.means.shape[1])

    @property
    def is_diagonal(self) -> bool:
        """Whether the covariances are stored as variances, shape (K, C)."""
        return self.covariances.ndim == self.means.ndim

    def channel_label(self, index: int) -> str:
        """Return the name of a channel in quotes, or its number, for use in a message."""
        return f"{index}" if self.channels is None else f"{self.channels[index]!r}"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the mixture as JSON, which :meth:`load` reads back exactly.

        Parameters
        ----------
        path : path-like
            The file to write. An existing file is replaced in one step, and is left as it was if writing
            fails.
        """
        save_json(path, self.to_dict(with_fit=True))

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
            If the file isn't JSON of this schema and version, or its parameters don't make a mixture.
        """
        return load_json(path, cls.from_dict)

    def to_dict(self, *, with_fit: bool = False) -> dict[str, Any]:
        """Return the mixture as plain lists and numbers, which JSON can hold.

        Parameters
        ----------
        with_fit : bool
            Whether to tell how the mixture was fitted, if that is known.
        """
        content = {
            **MIXTURE.header(),
            "channels": None if self.channels is None else list(self.channels),
            "weights": self.weights.tolist(),
            "means": self.means.tolist(),
            "covariances": self.covariances.tolist(),
        }
        return content if self.fit is None or not with_fit else {**content, "fit": self.fit.to_dict()}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Mixture:
        """Make a mixture from the content that :meth:`to_dict` returned.

        Raises
        ------
        ValueError
            If the content isn't of this schema and version, or its parameters don't make a mixture.
        """
        MIXTURE.check(content)
        fit = content.get("fit")
        return cls(
            content["weights"],
            content["means"],
            content["covariances"],
            content.get("channels"),
            None if fit is None else Fit.from_dict(fit),
        )

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

    def _repr_html_(self) -> str:
        return mixture_html(self)

    def __reduce__(self) -> tuple[type[Mixture], tuple[object, ...]]:
        return Mixture, (self.weights, self.means, self.covariances, self.channels, self.fit)
