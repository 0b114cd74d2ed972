"""Coarse reading of results."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from pipeline import Density, Label, Mixture, Packed, Posterior, open_result, stream
from pipeline.results.coarse import choose_planes, read_coarse

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.results.planes import Plane
    from pipeline.results.result import Result

DARK = Mixture([1.0], [[10.0]], [[900.0]])
LIGHT = Mixture([1.0], [[200.0]], [[900.0]])


@pytest.fixture
def result(tmp_path: Path) -> Result:
    """Give the results of an image of 300 x 200 pixels."""
    image = np.random.default_rng(0).integers(0, 256, (300, 200), np.uint8)
    quantities = {
        "density": Packed(Density(DARK), "float16"),
        "posterior": Posterior({"dark": DARK, "light": LIGHT}),
        "label": Label({"dark": DARK, "light": LIGHT}),
    }
    stream(image, quantities, tmp_path / "out.zarr", channel_axis=None, progress="none")
    return open_result(tmp_path / "out.zarr")


def planes_of(result: Result) -> dict[str, Plane]:
    """Return all planes by their titles."""
    return {plane.name: plane for plane in choose_planes(result, result, 99)[0]}


@pytest.mark.parametrize("side", [1, 7, 40, 299, 300, 1000])
def test_few_pixels_are_read(result: Result, side: int) -> None:
    """Between one and two times the wanted pixels come, each from the place that its scale says."""
    planes = planes_of(result)
    values, scale = read_coarse(result, planes["density"], side)
    assert min(side, 300) <= max(values.shape) < 2 * max(side, 2) + 1
    assert values.shape == (-(-300 // scale), -(-200 // scale))
    assert values.dtype == np.float32
    label, _ = read_coarse(result, planes["label"], side)
    assert label.dtype == np.uint8


def test_a_class_is_read_alone(result: Result) -> None:
    """The number chooses a class of a posterior."""
    whole = np.asarray(result["posterior"], np.float32)
    for number, title in enumerate(["posterior dark", "posterior light"]):
        values, _ = read_coarse(result, planes_of(result)[title], 300)
        np.testing.assert_array_equal(values, whole[number])


def test_results_come_before_further_classes(result: Result) -> None:
    """As many pictures as there may be, in the order of the results."""
    for most, titles, left_out in [
        (9, ["density", "posterior dark", "posterior light", "label"], 0),
        (3, ["density", "posterior dark", "label"], 1),
        (1, ["density"], 3),
    ]:
        planes, found = choose_planes(result, result, most)
        assert ([plane.name for plane in planes], found) == (titles, left_out)
    assert [plane.name for plane in choose_planes(result, ["label"], 9)[0]] == ["label"]
