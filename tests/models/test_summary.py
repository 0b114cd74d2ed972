"""Summaries: their tables, and their content as JSON."""

from __future__ import annotations

import copy
import html
import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from references import random_mixture

from pipeline.models.class_quantities import Label, Posterior
from pipeline.models.distribution import Distribution
from pipeline.models.mixture_quantities import Density
from pipeline.models.output import make_outputs
from pipeline.models.summary import Summary, Zone, result_names

CLASSES = {"skin": random_mixture(1, 3), "<b>other</b>": random_mixture(2, 3)}
OUTPUTS = make_outputs(
    {"density": Density(CLASSES["skin"]), "chance": Posterior(CLASSES), "label": Label(CLASSES)}
)
MEANS = {"density": 0.5, "chance skin": 0.25, "chance <b>other</b>": math.nan}


def make_summary(**fields: Any) -> Summary:
    """Make a summary of twelve pixels, three of which have no data."""

    def count(number: int, values: list[float]) -> Distribution:
        stored = np.array(values, OUTPUTS[number].dtype)
        dropped = 18 if stored.dtype.kind == "f" else 0
        bins, counts = np.unique(stored.view(f"u{stored.itemsize}") >> dropped, return_counts=True)
        return Distribution.from_bins(bins.astype(np.int64), counts, OUTPUTS[number], 12)

    known: dict[str, Any] = {
        "distributions": {
            "density": count(0, [0.0] * 5 + [2.0] * 4),
            "chance skin": count(1, [1.0] * 9),
            "chance <b>other</b>": count(1, [0.0] * 9),
            "label": count(2, [0] * 8 + [1]),
        },
        "classes": {
            "label": (Zone("skin", 8, MEANS), Zone("<b>other</b>", 1, dict.fromkeys(MEANS, math.nan)))
        },
        "zones": (Zone("a & b", 5, MEANS, {"label": {"skin": 4, "<b>other</b>": 0}}),),
        "pixel_area": 0.25,
    }
    return Summary(**{**known, **fields})


def through_json(summary: Summary) -> Summary:
    """Return a summary as a strict reader of JSON gives it back."""
    return Summary.from_dict(json.loads(json.dumps(summary.to_dict(), allow_nan=False)), OUTPUTS)


@pytest.mark.parametrize(
    "fields", [{}, {"pixel_area": None}, {"zones": ()}], ids=["whole", "no area", "no zones"]
)
def test_a_summary_survives_json(fields: dict[str, Any]) -> None:
    """Read back it is equal, although a mean that isn't a number isn't equal to itself."""
    summary = make_summary(**fields)
    found = through_json(summary)
    assert found == summary
    assert found == copy.deepcopy(summary)
    assert math.isnan(found.classes["label"][0].means["chance <b>other</b>"])
    assert found != make_summary(pixel_area=3.0)
    assert found.pixel_area == summary.pixel_area


def test_zones_are_values() -> None:
    """Zones are equal if all of their numbers are, with those that are missing."""
    zone = Zone("a", 3, {"x": math.nan, "y": 2.0}, {"label": {"b": 3}})
    same = Zone("a", 3, {"x": float("nan"), "y": 2.0}, {"label": {"b": 3}})
    assert zone == same
    assert hash(zone) == hash(same)
    others: list[dict[str, Any]] = [
        {"name": "b"},
        {"pixels": 4},
        {"means": {"x": 0.0, "y": 2.0}},
        {"means": {"x": math.nan, "y": math.nan}},
        {"classes": {"label": {"b": 2}}},
    ]
    for other in others:
        assert replace(zone, **other) != zone
    assert zone != "a"


def damage(content: Any, path: tuple[Any, ...], value: Any) -> None:
    """Replace a part of some content, or remove it if the value is ``...``."""
    for key in path[:-1]:
        content = content[key]
    if value is ...:
        del content[path[-1]]
    else:
        content[path[-1]] = value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("distributions",), ...),
        (("distributions", "density"), ...),
        (("distributions", "density", "counts"), "1"),
        (("classes",), ...),
        (("classes", "label"), ...),
        (("classes", "label"), []),
        (("classes", "label", 0, "name"), "fur"),
        (("classes", "label", 0, "means", "density"), ...),
        (("classes", "label", 0, "pixels"), "8"),
        (("classes", "label", 0, "pixels"), 1.5),
        (("classes", "label", 0), "skin"),
        (("zones",), ...),
        (("zones",), None),
        (("zones", 0, "classes"), {}),
        (("zones", 0, "classes", "label", "skin"), ...),
        (("zones", 0, "classes", "label", "skin"), None),
        (("zones", 0, "means"), []),
        (("pixel_area",), ...),
        (("pixel_area",), "wide"),
    ],
    ids=repr,
)
def test_damaged_content_is_refused(path: tuple[Any, ...], value: Any) -> None:
    """What isn't the content of the summary of these outputs raises."""
    content = make_summary().to_dict()
    assert Summary.from_dict(copy.deepcopy(content), OUTPUTS) == make_summary()
    damage(content, path, value)
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        Summary.from_dict(content, OUTPUTS)


def test_areas() -> None:
    """An area is that of the pixels in square micrometers, if the image has a scale."""
    summary = make_summary()
    assert summary.area(summary.zones[0]) == 1.25
    assert make_summary(pixel_area=None).area(summary.zones[0]) is None


def test_the_text_has_all_tables() -> None:
    """Results, classes and zones each have a table, with aligned columns and an empty line between."""
    assert str(make_summary()).startswith(
        "result               pixels  no data  lowest  5%  median    95%  highest\n"
        "density                   9        3       0   0       0  2.055    2.062\n"
        "chance skin               9        3       1   1       1      1        1\n"
        "chance <b>other</b>       9        3       0   0       0      0        0\n\nlabel"
    )
    tables = [text.split("\n") for text in str(make_summary()).split("\n\n")]
    assert [table[0].split()[0] for table in tables] == ["result", "label", "zone"]
    assert [len(table) for table in tables] == [4, 3, 2]
    for table in tables:
        assert len({len(row) for row in table}) == 1
    assert tables[0][1].split()[:4] == ["density", "9", "3", "0"]
    assert tables[0][2].split() == ["chance", "skin", "9", "3", "1", "1", "1", "1", "1"]
    assert tables[1][0].split()[:4] == ["label", "pixels", "share", "mm²"]
    assert tables[1][1].split() == ["skin", "8", "88.89%", "2e-06", "0.5", "0.25", "nan"]
    assert tables[2][1].split() == ["a", "&", "b", "5", "100.00%", "1.25e-06", "4", "0", "0.5", "0.25", "nan"]
    assert "mm²" not in str(make_summary(pixel_area=None))


def test_names_are_escaped_in_html() -> None:
    """Names of classes and zones are text in a notebook, not markup; each cell of the text is there."""
    page = make_summary()._repr_html_()
    assert "<b>" not in page
    assert "a &amp; b" in page
    assert page.count("<table>") == page.count("</table>") == 3
    assert page.count("<th ") == 8 + 7 + 9
    for word in ("&lt;b&gt;other&lt;/b&gt;", html.escape("mean chance <b>other</b>"), "88.89%", "median"):
        assert word in page


def test_a_summary_without_pixels() -> None:
    """An image without pixels, and one without data, have a summary that can be shown and stored."""
    for n_pixels in (0, 7):
        nothing = {
            name: Distribution.from_bins(np.zeros(0, np.int64), np.zeros(0, np.int64), output, n_pixels)
            for output in OUTPUTS
            for name in result_names(output)
        }
        none = dict.fromkeys(MEANS, math.nan)
        zones = tuple(Zone(name, 0, none) for name in CLASSES)
        summary = make_summary(distributions=nothing, classes={"label": zones}, zones=())
        assert through_json(summary) == summary
        assert f"density                   0        {n_pixels}     nan" in str(summary)
        assert "0%" not in str(summary)
        assert "nan" in summary._repr_html_()


def test_names_of_results() -> None:
    """Each class of a posterior is a result; another output is one."""
    assert [result_names(output) for output in OUTPUTS] == [
        ("density",),
        ("chance skin", "chance <b>other</b>"),
        ("label",),
    ]
