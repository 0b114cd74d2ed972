"""How well a classifier labels pixels that were held out, with intervals that respect their neighborhood."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from pipeline.compute.likelihood_ratio import threshold_of_costs
from pipeline.compute.samples import Samples
from pipeline.models.table import align_table, html_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipeline.compute.curves import Curve, PrecisionRecall, Ranking


@dataclass(frozen=True, eq=False)
class Scores:
    """The evaluation of a classifier on pixels whose classes are known and that it wasn't fitted to.

    Attributes
    ----------
    names : tuple of str
        The J classes.
    priors : tuple of float
        The prior of each class, as the classifier has them; they need not sum to 1.
    confusion : ndarray of int64, shape (J, J)
        Pixels by their true class (rows) and their predicted class (columns). The predicted class is the most
        probable one, and the first one of several that are equally probable, as :class:`Label` gives it.

    Notes
    -----
    Accuracy, kappa, precision and F1 depend on the shares of the classes among the held-out pixels, which may
    differ from the priors. Recall doesn't, and neither do :meth:`roc` and :meth:`auc` of two classes.

    The score of a pixel for a class c is the logarithm of the ratio of two densities, in nats: that of c, and
    that of the mixture of all other classes with their priors. For two classes it is their
    :class:`LogRatio`, whatever the priors are.
    """

    names: tuple[str, ...]
    priors: tuple[float, ...]
    confusion: NDArray[np.int64]
    _samples: Samples = field(repr=False)

    @classmethod
    def from_samples(  # noqa: PLR0917  the classes, and then the columns of the samples
        cls,
        names: Sequence[str],
        priors: Sequence[float],
        log_joint: NDArray[np.float64],
        truth: NDArray[np.integer[Any]],
        counts: NDArray[np.integer[Any]],
        groups: NDArray[np.integer[Any]],
    ) -> Self:
        """Evaluate a classifier from samples: distinct colors of one true class in one group of pixels.

        Parameters
        ----------
        names : sequence of str
            The J classes, at least two.
        priors : sequence of float
            A positive number for each class; they need not sum to 1.
        log_joint : ndarray of float64, shape (N, J)
            The natural logarithm of prior times density of each class at each color. It isn't copied.
        truth : ndarray of int, shape (N,)
            The number of the true class of each sample, from 0 in the order of `names`.
        counts : ndarray of int, shape (N,)
            The number of pixels of each sample.
        groups : ndarray of int, shape (N,)
            The number of the spatial group of each sample. Pixels of different groups must be about
            independent of one another.

        Returns
        -------
        Scores

        Raises
        ------
        ValueError
            If there are fewer than two classes, the shapes disagree, a prior isn't positive, a logarithm
            isn't finite, the other numbers aren't integers, a true class doesn't exist, a count is negative,
            or a class has no pixels.
        """
        samples = Samples.from_arrays(names, priors, log_joint, truth, counts, groups)
        return cls(samples.names, samples.priors, samples.confusion(), samples)

    @property
    def n_pixels(self) -> int:
        """The number of held-out pixels."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """The share of pixels whose predicted class is the true one."""
        return int(self.confusion.trace()) / self.n_pixels

    @property
    def kappa(self) -> float:
        """The agreement of predicted and true classes beyond chance, at most 1 (Cohen, 1960)."""
        shares = self.confusion / self.n_pixels
        chance = float(shares.sum(axis=0) @ shares.sum(axis=1))
        return (self.accuracy - chance) / (1 - chance)

    @property
    def precision(self) -> dict[str, float]:
        """The share of the pixels predicted as a class that belong to it; NaN if there are none."""
        return self._by_name(self.confusion.sum(axis=0))

    @property
    def recall(self) -> dict[str, float]:
        """The share of the pixels of a class that are predicted as it."""
        return self._by_name(self.confusion.sum(axis=1))

    @property
    def f1(self) -> dict[str, float]:
        """The harmonic mean of precision and recall of each class; 0 if none of its pixels is found."""
        return self._by_name((self.confusion.sum(axis=0) + self.confusion.sum(axis=1)) / 2)

    @property
    def mean_log_loss(self) -> float:
        """The mean of minus the logarithm of the posterior of the true class, in nats."""
        return self._samples.mean_log_loss()

    def roc(self, name: str | None = None) -> Curve:
        """Return the receiver operating characteristic of a class against the rest.

        Parameters
        ----------
        name : str, optional
            The class; by default the first one of two classes.

        Returns
        -------
        Curve
            Thresholds of the score, with false alarm rates and detection rates.

        Raises
        ------
        ValueError
            If there is no such class, or `name` is left out with more than two classes.
        """
        return self._rank(name).roc()

    def precision_recall(self, name: str | None = None) -> PrecisionRecall:
        """Return the precision and the recall of a class against the rest.

        Parameters
        ----------
        name : str, optional
            The class; by default the first one of two classes.

        Returns
        -------
        PrecisionRecall
            Thresholds of the score, with precision and recall.

        Raises
        ------
        ValueError
            As :meth:`roc` says.
        """
        return self._rank(name).precision_recall()

    def auc(self, name: str | None = None) -> float:
        """Return the area under the receiver operating characteristic of a class against the rest.

        Parameters
        ----------
        name : str, optional
            The class; by default the first one of two classes.

        Returns
        -------
        float
            The probability that a pixel of the class has a higher score than one of the rest, where equal
            scores count half (Hanley and McNeil, 1982).

        Raises
        ------
        ValueError
            As :meth:`roc` says.
        """
        return self._rank(name).auc()

    def auc_interval(self, name: str | None = None, level: float = 0.95) -> tuple[float, float]:
        """Return an interval that contains the true :meth:`auc` with a given probability.

        Parameters
        ----------
        name : str, optional
            The class; by default the first one of two classes.
        level : float
            The probability.

        Returns
        -------
        low, high : float
            Between 0 and 1.

        Raises
        ------
        ValueError
            If fewer than two groups hold pixels both of the class and of the rest, if the area is exactly 0
            or 1, so that the groups don't differ, if `level` isn't between 0 and 1, and as :meth:`roc` says.

        Notes
        -----
        Neighboring pixels are alike, so that the sample is one of groups, not of pixels. The interval is that
        of a delete-m jackknife (Busing, Meijer and van der Leeden, 1999), in log-odds, with Student's t. The
        degrees of freedom are one less than the groups that hold the class, or the rest if these are fewer.
        """
        return self._rank(name).auc_interval(level)

    def threshold(
        self,
        name: str | None = None,
        *,
        false_alarm_rate: float | None = None,
        costs: tuple[float, float] | None = None,
    ) -> float:
        """Return a threshold of the score of a class, in nats: its pixels have at least this score.

        Parameters
        ----------
        name : str, optional
            The class; by default the first one of two classes.
        false_alarm_rate : float, optional
            The highest share of the held-out pixels of the rest that may be taken for the class, 0 to 1.
        costs : tuple of float, optional
            The cost of a false alarm and that of a miss, two positive numbers.

        Returns
        -------
        float
            With `false_alarm_rate`, the lowest score of a sample that keeps to the rate; infinity if even the
            highest one doesn't. With `costs`, the threshold of the lowest expected cost, which depends on the
            priors, but not on the samples.

        Raises
        ------
        ValueError
            If not exactly one of `false_alarm_rate` and `costs` is given, if it isn't as said, and as
            :meth:`roc` says.

        Notes
        -----
        For two classes it is a threshold of the :class:`LogRatio` of the class and the other one. With P the
        share of the class in all priors, the one of `costs` is log(cost of a false alarm * (1 - P) / (cost of
        a miss * P)) (Duda, Hart and Stork, 2001, Pattern Classification, 2.2.1).
        """
        number = self._number(name)
        if costs is not None and false_alarm_rate is None:
            return threshold_of_costs(costs, self.priors, number)
        if costs is not None or false_alarm_rate is None:
            raise ValueError(
                f"false_alarm_rate is {false_alarm_rate!r} and costs are {costs!r}; wanted one of the two"
            )
        if not 0 <= false_alarm_rate <= 1:
            raise ValueError(f"false_alarm_rate is {false_alarm_rate:g}; wanted a number from 0 to 1")
        curve = self._samples.rank(number).roc()
        fitting = int(np.searchsorted(curve.false_alarm_rate, false_alarm_rate, side="right"))
        return float(curve.thresholds[fitting - 1])

    def to_dict(self) -> dict[str, Any]:
        """Return the scores as plain lists and numbers, which JSON can hold.

        Returns
        -------
        dict
            Without samples and curves. A precision is None if no pixel is predicted as its class. An
            interval, of level 0.95, is None where :meth:`auc_interval` refuses it.
        """
        return {
            "n_pixels": self.n_pixels,
            "accuracy": self.accuracy,
            "kappa": self.kappa,
            "mean_log_loss": self.mean_log_loss,
            "classes": [
                {"name": name, "prior": prior, **self._summary(number)}
                for number, (name, prior) in enumerate(zip(self.names, self.priors, strict=True))
            ],
            "confusion": self.confusion.tolist(),
        }

    def __str__(self) -> str:
        classes, confusion = map(align_table, self._tables())
        return f"{self._head()}\n\n{classes}\n\npixels by predicted class:\n{confusion}"

    def _repr_html_(self) -> str:
        classes, confusion = map(html_table, self._tables())
        return f"<p>{self._head()}</p>{classes}<p>pixels by predicted class:</p>{confusion}"

    def _head(self) -> str:
        return f"accuracy {self.accuracy:.4f}, kappa {self.kappa:.4f}, {self.n_pixels} held-out pixels"

    def _tables(self) -> tuple[list[list[str]], list[list[str]]]:
        """Return tables of the classes' scores and of the confusion matrix, as rows of cells."""
        rows = [["class", "precision", "recall", "F1", "AUC", "95% interval"]]
        for number, name in enumerate(self.names):
            *numbers, interval = self._summary(number).values()
            ends = "unknown" if interval is None else f"{interval[0]:.4f} to {interval[1]:.4f}"
            rows.append([name, *("none" if one is None else f"{one:.4f}" for one in numbers), ends])
        pairs = zip(self.names, self.confusion.tolist(), strict=True)
        return rows, [["true class", *self.names], *([name, *map(str, row)] for name, row in pairs)]

    def _summary(self, number: int) -> dict[str, Any]:
        """Return what a report says of a class, None where it isn't defined."""
        name, ranking = self.names[number], self._samples.rank(number)
        precision = self.precision[name]
        try:
            interval = list(ranking.auc_interval(0.95))
        except ValueError:
            interval = None
        return {
            "precision": None if math.isnan(precision) else precision,
            "recall": self.recall[name],
            "f1": self.f1[name],
            "auc": ranking.auc(),
            "auc_interval": interval,
        }

    def _by_name(self, totals: NDArray[Any]) -> dict[str, float]:
        """Return the share of rightly predicted pixels in a total of each class."""
        pairs = zip(self.confusion.diagonal().tolist(), totals.tolist(), strict=True)
        shares = (right / total if total else math.nan for right, total in pairs)
        return dict(zip(self.names, shares, strict=True))

    def _number(self, name: str | None) -> int:
        if name is None and len(self.names) == 2:  # noqa: PLR2004  a class and the other one
            return 0
        if name not in self.names:
            raise ValueError(f"name is {name!r}; wanted one of the classes {', '.join(self.names)}")
        return self.names.index(name)

    def _rank(self, name: str | None) -> Ranking:
        return self._samples.rank(self._number(name))
