"""Tests of parameters: every accepted form, and refusals. The tests of mixtures cover the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline.models.parameters import as_parameter, channel_names, covariance_of, mean_vector, weight_of


@pytest.mark.parametrize("mean", [[1, 2, 3], [[1, 2, 3]], [[1], [2], [3]], np.array([1, 2, 3], np.uint8)])
def test_means_are_vectors(mean: Any) -> None:
    """A row, a column and a vector become the same vector of float64."""
    vector = mean_vector(0, mean)
    assert vector.tolist() == [1.0, 2.0, 3.0]
    assert vector.dtype == np.float64


def test_covariances_are_variances_or_matrices() -> None:
    """A row or a vector becomes variances, a square array a matrix, and a single number a variance."""
    assert covariance_of(0, [[4, 5]], 2).tolist() == [4.0, 5.0]
    assert covariance_of(0, [[4, 1], [1, 5]], 2).shape == (2, 2)
    assert covariance_of(0, [[4]], 1).tolist() == [4.0]
    with pytest.raises(ValueError, match=r"kernel 7: the covariance has shape \(3,\); for 2 channels wanted"):
        covariance_of(7, [1, 2, 3], 2)


def test_parameters_are_copies() -> None:
    """Later changes of the array of the caller have no effect."""
    given = np.array([1.0, 2.0])
    copied = as_parameter("weights", given)
    given[0] = 9
    assert copied.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    "value", ["12", [1, "2"], [[1], [1, 2]], [1j], [None], np.ma.masked_less([1.0, 2.0], 2)]
)
def test_other_values_are_refused(value: Any) -> None:
    """Text, ragged lists, complex numbers and masked arrays get an error that shows them."""
    message = r"^the weights are .*; wanted real numbers, as an array or nested lists$"
    with pytest.raises(ValueError, match=message):
        as_parameter("the weights", value)


def test_weights_are_numbers() -> None:
    """An array of one number is accepted as a weight."""
    assert weight_of(0, [[0.5]]) == 0.5
    with pytest.raises(ValueError, match=r"kernel 3: the weight has shape \(2,\); wanted one number"):
        weight_of(3, [1, 2])


@pytest.mark.parametrize("names", ["rgb", [], ["red", ""], ["red", 3], ["red", "red"], ["red"]])
def test_channel_names_are_checked(names: Any) -> None:
    """Two channels must have two different names."""
    with pytest.raises(ValueError, match="wanted"):
        channel_names(names, 2)
    assert channel_names(["red", "green"], 2) == ("red", "green")
