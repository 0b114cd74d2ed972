"""Weighted samples of held-out pixels: their checks, and what is counted in them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from pipeline.compute.curves import Ranking
from pipeline.compute.likelihood_ratio import log_ratio_to_rest, log_sum

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Samples:
    """Distinct colors, each of one true class in one group of pixels.

    Attributes
    ----------
    names : tuple of str
        The J classes.
    priors : tuple of float
        Positive numbers.
    log_joint : ndarray of float64, shape (N, J)
        The finite logarithm of prior times density of each class at each color.
    truth : ndarray of int64, shape (N,)
        The number of the true class.
    counts : ndarray of int64, shape (N,)
        The number of pixels, at least 1.
    groups : ndarray of int64, shape (N,)
        The group of the pixels, numbered from 0 without gaps.
    """

    names: tuple[str, ...]
    priors: tuple[float, ...]
    log_joint: NDArray[np.float64]
    truth: NDArray[np.int64]
    counts: NDArray[np.int64]
    groups: NDArray[np.int64]

    @classmethod
    def from_arrays(  # noqa: PLR0917  the classes, and then the columns of the samples
        cls,
        names: Sequence[str],
        priors: Sequence[float],
        log_joint: NDArray[np.float64],
        truth: NDArray[np.integer[Any]],
        counts: NDArray[np.integer[Any]],
        groups: NDArray[np.integer[Any]],
    ) -> Self:
        """Check the samples, leave those without pixels out, and number the groups anew.

        Parameters
        ----------
        names, priors, log_joint, truth, counts, groups
            As :meth:`Scores.from_samples` says.

        Returns
        -------
        Samples

        Raises
        ------
        ValueError
            As :meth:`Scores.from_samples` says.
        """
        names, priors = tuple(names), tuple(map(float, priors))
        log_joint = np.asarray(log_joint, np.float64)
        _check_classes(names, priors, log_joint)
        n_samples = len(log_joint)
        truth = _as_integers("truth", truth, n_samples)
        counts = _as_integers("counts", counts, n_samples)
        groups = _as_integers("groups", groups, n_samples)
        _check_samples(names, truth, counts)
        if not counts.all():
            kept = counts > 0
            log_joint, truth, counts, groups = log_joint[kept], truth[kept], counts[kept], groups[kept]
        return cls(names, priors, log_joint, truth, counts, np.unique(groups, return_inverse=True)[1])

    def confusion(self) -> NDArray[np.int64]:
        """Return the pixels by true class (rows) and most probable class, or the first of several, (columns).

        Returns
        -------
        ndarray of int64, shape (J, J)
            It can't be written to.
        """
        n_classes = len(self.names)
        cells = self.truth * n_classes + self.log_joint.argmax(axis=1)
        pixels = np.bincount(cells, self.counts, minlength=n_classes**2).astype(np.int64)
        confusion = pixels.reshape(n_classes, n_classes)
        confusion.flags.writeable = False
        return confusion

    def mean_log_loss(self) -> float:
        """Return the mean of minus the logarithm of the posterior of the true class, in nats."""
        true = np.take_along_axis(self.log_joint, self.truth[:, np.newaxis], axis=1)[:, 0]
        losses = log_sum(self.log_joint, range(len(self.names))) - true
        return float(np.average(losses, weights=self.counts))

    def rank(self, number: int) -> Ranking:
        """Return the samples in the order of their log-likelihood ratios of a class and all others.

        Parameters
        ----------
        number : int
            The class.

        Returns
        -------
        Ranking
        """
        scores = log_ratio_to_rest(self.log_joint, self.priors, number)
        return Ranking.from_samples(scores, self.truth == number, self.counts, self.groups)


def _check_classes(names: tuple[str, ...], priors: tuple[float, ...], log_joint: NDArray[Any]) -> None:
    if len(names) < 2:  # noqa: PLR2004  one class has no rest
        raise ValueError(f"classes are {', '.join(names) or 'none'}; wanted at least two, to tell apart")
    if len(priors) != len(names):
        raise ValueError(f"got {len(priors)} priors for {len(names)} classes; wanted one for each class")
    for name, prior in zip(names, priors, strict=True):
        if not 0 < prior < math.inf:
            raise ValueError(f"the prior of class {name!r} is {prior:g}; wanted a positive number")
    if log_joint.ndim != 2 or log_joint.shape[1] != len(names):  # noqa: PLR2004  samples and classes
        raise ValueError(f"log_joint has shape {log_joint.shape}; wanted (N, {len(names)}), a row per sample")
    n_finite = np.count_nonzero(np.isfinite(log_joint).all(axis=1))
    if n_finite < len(log_joint):
        raise ValueError(
            f"log_joint isn't finite in {len(log_joint) - n_finite} of {len(log_joint)} samples; wanted "
            "finite logarithms. Leave pixels without data out."
        )


def _as_integers(name: str, values: NDArray[Any], n_samples: int) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.shape != (n_samples,) or array.dtype.kind not in "iu":
        raise ValueError(
            f"{name} has shape {array.shape} and dtype {array.dtype}; wanted ({n_samples},) and integers"
        )
    return array.astype(np.int64, copy=False)


def _check_samples(names: tuple[str, ...], truth: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
    is_wrong = (truth < 0) | (truth >= len(names))
    if is_wrong.any():
        raise ValueError(f"truth has class {truth[is_wrong][0]}; wanted numbers from 0 to {len(names) - 1}")
    if (counts < 0).any():
        raise ValueError(f"counts have {counts.min()}; wanted numbers of pixels, 0 or more")
    for number, name in enumerate(names):
        if not counts[truth == number].any():
            raise ValueError(
                f"class {name!r} has no held-out pixels; hold out more of the image, or annotate more of it"
            )
