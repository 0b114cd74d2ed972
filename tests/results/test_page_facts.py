"""What the page is told of a result."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pipeline.results.image_tiles import ImageTiles
from pipeline.results.page_facts import describe
from pipeline.results.planes import Planes
from pipeline.results.result import open_result

if TYPE_CHECKING:
    from pathlib import Path


def test_the_facts_of_a_result(scene: Path) -> None:
    """Sizes, units, ranges, and the classes with their colors and areas, are JSON."""
    result = open_result(scene / "out.zarr")
    facts = describe(result, Planes(result), ImageTiles(result.image), "")
    assert json.loads(json.dumps(facts, allow_nan=False))["planes"] == facts["planes"]
    assert (facts["title"], facts["height"], facts["width"]) == ("out.zarr", 900, 1350)
    assert (facts["side"], facts["levels"]) == (512, 3)
    assert facts["pixel_size"] == pytest.approx((0.25, 0.25))
    assert facts["image"] == {"name": "slide.tif", "channels": ("red", "green", "blue"), "coarsest": 2}
    counts = [sum(plane["counts"]) for plane in facts["planes"][1:]]
    # Ranges leave out the ends of distributions; values that are an end aren't above it.
    assert min(counts) > 0
    assert max(counts) <= 900 * 1350 - 100 * 200
    kind, density, ratio, *_ = facts["planes"]
    assert [one["name"] for one in kind["classes"]] == ["<b>dark</b>", 'light & "bright"']
    assert [one["color"] for one in kind["classes"]] == ["#E69F00", "#56B4E9"]
    pixels = [one["pixels"] for one in kind["classes"]]
    assert sum(pixels) == 900 * 1350 - 100 * 200
    assert [one["area"] for one in kind["classes"]] == pytest.approx([count / 16 for count in pixels])
    assert (density["map"], density["logarithmic"], density["unit"]) == ("viridis", True, None)
    assert (ratio["map"], ratio["logarithmic"], ratio["unit"]) == ("blue-red", False, "nats")


def test_a_result_without_summary_and_image(scene: Path) -> None:
    """A store of an older version has no areas; why there is no image is said."""
    result = open_result(scene / "out.zarr")
    result.summary = None
    facts = describe(result, Planes(result), None, "it is gone")
    assert facts["planes"][1]["counts"] == []
    assert [(one["pixels"], one["area"]) for one in facts["planes"][0]["classes"]] == [(None, None)] * 2
    assert (facts["image"], facts["missing"]) == (None, "it is gone")
