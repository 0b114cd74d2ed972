"""Tests of the samples: what is refused, and what is left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline.compute.samples import Samples

# Three colors of the classes a and b.
GOOD: dict[str, Any] = {
    "names": ["a", "b"],
    "priors": [1, 3],
    "log_joint": [[-1.0, -2.0], [-3.0, -3.0], [-5.0, -4.0]],
    "truth": np.array([0, 1, 1], np.uint8),
    "counts": np.array([5, 2, 3]),
    "groups": np.array([7, -2, 7]),
}


def test_samples_are_kept_in_one_form() -> None:
    """Integers of any kind become int64, and groups are numbered from 0."""
    samples = Samples.from_arrays(**GOOD)
    assert (samples.names, samples.priors) == (("a", "b"), (1.0, 3.0))
    assert samples.truth.tolist() == [0, 1, 1]
    assert samples.counts.tolist() == [5, 2, 3]
    assert samples.groups.tolist() == [1, 0, 1]
    assert {array.dtype for array in (samples.truth, samples.counts, samples.groups)} == {np.dtype("int64")}


def test_logarithms_are_not_copied() -> None:
    """The largest array is taken as it is."""
    log_joint = np.array(GOOD["log_joint"])
    assert Samples.from_arrays(**{**GOOD, "log_joint": log_joint}).log_joint is log_joint


def test_samples_without_pixels_are_left_out() -> None:
    """A sample of 0 pixels counts nowhere, and neither does its group."""
    more = {
        "log_joint": [*GOOD["log_joint"], [9.0, -9.0]],
        "truth": np.array([0, 1, 1, 1]),
        "counts": np.array([5, 2, 3, 0]),
        "groups": np.array([7, -2, 7, 3]),
    }
    samples, fewer = Samples.from_arrays(**{**GOOD, **more}), Samples.from_arrays(**GOOD)
    for name in ("log_joint", "truth", "counts", "groups"):
        np.testing.assert_array_equal(getattr(samples, name), getattr(fewer, name))


def test_ties_go_to_the_first_class() -> None:
    """Pixels are counted by true and predicted class, and the table can't be changed."""
    confusion = Samples.from_arrays(**GOOD).confusion()
    assert confusion.tolist() == [[5, 0], [2, 3]]
    assert confusion.dtype == np.int64
    with pytest.raises(ValueError, match="read-only"):
        confusion[0, 0] = 1


def test_samples_are_ranked_by_class() -> None:
    """The ranking of a class has its pixels inside, and those of the rest outside."""
    ranking = Samples.from_arrays(**GOOD).rank(1)
    np.testing.assert_allclose(ranking.scores, np.array([1, 0, -1]) - np.log(3))
    assert ranking.inside.tolist() == [3, 2, 0]
    assert ranking.outside.tolist() == [0, 0, 5]
    assert ranking.groups.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"names": ["a"]}, "classes are a; wanted at least two"),
        ({"names": []}, "classes are none; wanted at least two"),
        ({"priors": [1]}, "got 1 priors for 2 classes; wanted one for each class"),
        ({"priors": [1, 0]}, "the prior of class 'b' is 0; wanted a positive number"),
        ({"priors": [float("nan"), 1]}, "the prior of class 'a' is nan; wanted a positive number"),
        ({"log_joint": [1.0, 2.0, 3.0]}, r"log_joint has shape \(3,\); wanted \(N, 2\), a row per sample"),
        ({"log_joint": np.zeros((3, 3))}, r"log_joint has shape \(3, 3\); wanted \(N, 2\)"),
        ({"log_joint": np.zeros((4, 2))}, r"truth has shape \(3,\) and dtype uint8; wanted \(4,\) and int"),
        ({"log_joint": np.zeros((0, 2))}, r"truth has shape \(3,\)"),
        (
            {"log_joint": [[0, np.nan], [0, 0], [-np.inf, 0]]},
            "log_joint isn't finite in 2 of 3 samples; wanted finite logarithms. Leave pixels without data",
        ),
        ({"counts": np.array([5, 2])}, r"counts has shape \(2,\) and dtype int64; wanted \(3,\) and int"),
        ({"counts": np.ones(3)}, r"counts has shape \(3,\) and dtype float64; wanted \(3,\) and integers"),
        ({"groups": np.zeros((3, 1), int)}, r"groups has shape \(3, 1\)"),
        ({"truth": np.array([0, 1, 2])}, "truth has class 2; wanted numbers from 0 to 1"),
        ({"truth": np.array([0, -1, 1])}, "truth has class -1; wanted numbers from 0 to 1"),
        ({"counts": np.array([5, 2, -3])}, "counts have -3; wanted numbers of pixels, 0 or more"),
        ({"truth": np.array([0, 0, 0])}, "class 'b' has no held-out pixels; hold out more of the image"),
        ({"counts": np.array([0, 2, 3])}, "class 'a' has no held-out pixels; hold out more of the image"),
    ],
)
def test_samples_that_are_refused(change: dict[str, Any], message: str) -> None:
    """An error says which number of which sample or class is wrong, and what to do."""
    with pytest.raises(ValueError, match=message):
        Samples.from_arrays(**{**GOOD, **change})
