"""How well the scores of pixels tell one class from the rest: curves, and the area under them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from pipeline.compute.intervals import jackknife_error, logit_interval

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Curve(NamedTuple):
    """How many pixels of a class and of the rest are taken for the class, threshold by threshold.

    Attributes
    ----------
    thresholds : ndarray of float64, shape (S,)
        Infinity, and then every distinct score, from the highest to the lowest. A pixel is taken for the
        class if its score is at least the threshold.
    false_alarm_rate : ndarray of float64, shape (S,)
        The share of the pixels of all other classes that are taken for the class, from 0 to 1.
    detection_rate : ndarray of float64, shape (S,)
        The share of the pixels of the class that are taken for it, from 0 to 1.
    """

    thresholds: NDArray[np.float64]
    false_alarm_rate: NDArray[np.float64]
    detection_rate: NDArray[np.float64]


class PrecisionRecall(NamedTuple):
    """How many of the pixels that are taken for a class belong to it, threshold by threshold.

    Attributes
    ----------
    thresholds : ndarray of float64, shape (S,)
        Infinity, and then every distinct score, from the highest to the lowest. A pixel is taken for the
        class if its score is at least the threshold.
    precision : ndarray of float64, shape (S,)
        The share of pixels of the class among those that are taken for it; 1 at infinity, where none is.
    recall : ndarray of float64, shape (S,)
        The share of the pixels of the class that are taken for it, from 0 to 1.
    """

    thresholds: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ranking:
    """The samples in the order of their scores, the highest one first.

    Attributes
    ----------
    scores : ndarray of float64, shape (N,)
        In descending order.
    inside, outside : ndarray of int64, shape (N,)
        The pixels of the class, and those of the rest. One of the two is 0 in each sample.
    groups : ndarray of int64, shape (N,)
        The group of each sample, numbered from 0 without gaps.
    """

    scores: NDArray[np.float64]
    inside: NDArray[np.int64]
    outside: NDArray[np.int64]
    groups: NDArray[np.int64]

    @classmethod
    def from_samples(
        cls,
        scores: NDArray[np.float64],
        is_inside: NDArray[np.bool_],
        counts: NDArray[np.int64],
        groups: NDArray[np.int64],
    ) -> Self:
        """Sort samples, of which at least one is inside the class and one outside.

        Parameters
        ----------
        scores : ndarray of float64, shape (N,)
        is_inside : ndarray of bool, shape (N,)
            Which samples are of the class.
        counts : ndarray of int64, shape (N,)
            The number of pixels of each sample, at least 1.
        groups : ndarray of int64, shape (N,)
            The group of each sample, numbered from 0 without gaps.

        Returns
        -------
        Ranking
        """
        order = np.argsort(-scores, kind="stable")
        counts, is_inside = counts[order], is_inside[order]
        return cls(scores[order], counts * is_inside, counts * ~is_inside, groups[order])

    def roc(self) -> Curve:
        """Return the receiver operating characteristic (Fawcett, 2006, algorithm 1).

        Returns
        -------
        Curve
            Samples with the same score are one step of the curve.
        """
        inside, outside = self._taken
        return Curve(self._thresholds, outside / outside[-1], inside / inside[-1])

    def precision_recall(self) -> PrecisionRecall:
        """Return the precision and the recall.

        Returns
        -------
        PrecisionRecall
            Samples with the same score are one step of the curve.
        """
        inside, outside = self._taken
        precision = np.ones(len(inside))
        precision[1:] = inside[1:] / (inside + outside)[1:]
        return PrecisionRecall(self._thresholds, precision, inside / inside[-1])

    def auc(self) -> float:
        """Return the area under the receiver operating characteristic.

        Returns
        -------
        float
            The probability that a pixel of the class has a higher score than one of the rest, where equal
            scores count half (Hanley and McNeil, 1982).
        """
        below, _, above = _compare(self.scores, self.inside, self.outside)
        right, wrong = float(self.inside @ below), float(self.inside @ above)
        # This is exactly 1 if no pair is in the wrong order, and only then, however sums are rounded.
        return right / (right + wrong)

    def auc_without_each_group(self) -> NDArray[np.float64]:
        """Return the area under the curve of all groups but one, for each group that is left out.

        Returns
        -------
        ndarray of float64, shape (G,)
            It is NaN where nothing of the class or of the rest would remain.

        Notes
        -----
        The pairs of pixels that lose a partner are subtracted from all pairs, so that nothing is sorted anew.
        """
        below, above, _ = _compare(self.scores, self.inside, self.outside)
        right, lost = self.inside * below, self.outside * above
        inside, outside = self.sides
        # The pairs within a group are subtracted twice, with either partner.
        rest = right.sum() - self._by_group(right) - self._by_group(lost)
        by_group, ends = np.argsort(self.groups, kind="stable"), np.cumsum(np.bincount(self.groups))
        for group, members in enumerate(np.split(by_group, ends[:-1])):
            own = self.inside[members]
            rest[group] += own @ _compare(self.scores[members], own, self.outside[members])[0]
        pairs = (inside.sum() - inside) * (outside.sum() - outside)
        without = np.full(len(pairs), math.nan)
        np.divide(rest, pairs, out=without, where=pairs > 0)
        return without.clip(0, 1)

    def auc_interval(self, level: float) -> tuple[float, float]:
        """Return an interval that contains the true area under the curve with a given probability.

        Parameters
        ----------
        level : float
            The probability, between 0 and 1.

        Returns
        -------
        low, high : float
            Between 0 and 1.

        Raises
        ------
        ValueError
            If fewer than two groups hold pixels both of the class and of the rest, if the area is exactly 0
            or 1, so that the groups don't differ, or if `level` isn't between 0 and 1.

        Notes
        -----
        The error is that of :func:`jackknife_error`, the interval is :func:`logit_interval`. The share of a
        group is the mean of its shares in the class and in the rest, since the area doesn't depend on how
        many pixels either side has. The degrees of freedom are one less than the number of groups that hold
        the class, or that hold the rest if these are fewer.
        """
        inside, outside = self.sides
        n_whole = np.count_nonzero((inside > 0) & (outside > 0))
        if n_whole < 2:  # noqa: PLR2004  if one of two is left out, both sides remain
            raise ValueError(
                f"{n_whole} of {len(inside)} groups of held-out pixels hold pixels both of the class and of "
                "the rest; wanted at least two, to tell how much groups differ. Hold out more of the image."
            )
        area = self.auc()
        if not 0 < area < 1:
            raise ValueError(
                f"the AUC is {area:g} in all groups of held-out pixels; wanted groups that differ, to tell "
                "by how much. Hold out more of the image."
            )
        shares = (inside / inside.sum() + outside / outside.sum()) / 2
        error = jackknife_error(area, self.auc_without_each_group(), shares)
        n_groups = int(min(np.count_nonzero(inside), np.count_nonzero(outside)))
        return logit_interval(area, error, level, n_groups - 1)

    @cached_property
    def sides(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The pixels of the class and of the rest in each group, both of shape (G,)."""
        return self._by_group(self.inside), self._by_group(self.outside)

    def _by_group(self, values: NDArray[Any]) -> NDArray[np.float64]:
        return np.bincount(self.groups, values).astype(np.float64)

    @cached_property
    def _thresholds(self) -> NDArray[np.float64]:
        return np.concatenate([[math.inf], self.scores[_ends_of_ties(self.scores)]])

    @cached_property
    def _taken(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The pixels of the class and of the rest at or above each threshold."""
        ends = _ends_of_ties(self.scores)
        inside, outside = (
            np.concatenate([[0], np.cumsum(counts)[ends]]) for counts in (self.inside, self.outside)
        )
        return inside, outside


def _ends_of_ties(scores: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the index of the last sample of each distinct score."""
    return np.append(np.flatnonzero(scores[1:] != scores[:-1]), len(scores) - 1)


def _compare(
    scores: NDArray[np.float64], inside: NDArray[np.int64], outside: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return for each sample the pixels of the other side that it is compared with; equal scores count half.

    The first and the third result are the pixels of the rest below and above, the second one is the pixels
    of the class above.
    """
    ends = _ends_of_ties(scores)
    lengths = np.diff(ends, prepend=-1)

    def above(counts: NDArray[np.int64]) -> NDArray[np.float64]:
        taken = np.cumsum(counts)[ends]
        return np.repeat(taken - np.diff(taken, prepend=0) / 2, lengths)

    outside_above = above(outside)
    return outside.sum() - outside_above, above(inside), outside_above
