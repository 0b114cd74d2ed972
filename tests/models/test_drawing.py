"""Pictures of colors and kernels are valid SVG in an HTML image, with ellipses where the kernels are."""

from __future__ import annotations

import math
import re
from base64 import b64decode
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from references import random_mixture

from pipeline import Mixture
from pipeline.models.drawing import draw_kernels, strip, swatch

SVG = "{http://www.w3.org/2000/svg}"


def parse(image: str | None) -> ET.Element:
    """Parse the SVG of an HTML image."""
    assert image is not None
    found = re.fullmatch(
        r'<img src="data:image/svg\+xml;base64,([^"]+)" width="\d+" height="\d+" alt="[^"<]*">', image
    )
    assert found is not None
    return ET.fromstring(b64decode(found[1]))  # noqa: S314  the picture was made here


def test_a_swatch_has_its_color() -> None:
    """A square is filled with the color, or with nothing."""
    assert parse(swatch((230, 159, 0)))[0].get("fill") == "#E69F00"
    assert parse(swatch(None))[0].get("fill") == "none"


def test_a_strip_is_divided_by_shares() -> None:
    """Each color has its share of the width, after those before it."""
    first, second, frame = parse(strip([(255, 0, 0), (0, 0, 255)], [0.25, 0.75]))
    assert (first.get("x"), first.get("width"), first.get("fill")) == ("0.0", "30.0", "#FF0000")
    assert (second.get("x"), second.get("width"), second.get("fill")) == ("30.0", "90.0", "#0000FF")
    assert frame.get("fill") == "none"


@pytest.mark.parametrize("full", [False, True])
def test_ellipses_lie_at_two_standard_deviations(full: bool) -> None:
    """The radii and the angle of each ellipse give its covariance in units of the panel's sides."""
    mixture = random_mixture(5, 4, full=full)
    drawn = parse(draw_kernels(mixture, range(5), [None] * 5))
    covariances = mixture.covariances if full else np.array([np.diag(one) for one in mixture.covariances])
    deviations = np.sqrt(covariances.diagonal(axis1=1, axis2=2))
    low, high = (mixture.means - 2 * deviations).min(axis=0), (mixture.means + 2 * deviations).max(axis=0)
    assert len(drawn) == 3
    for panel, pair in zip(drawn, ([0, 1], [0, 2], [1, 2]), strict=True):
        assert [text.text for text in panel.iter(f"{SVG}text")] == [f"channel {number}" for number in pair]
        scale = 180 / (high - low)[pair]
        wanted = {
            tuple(np.round((mean[pair] - low[pair]) * scale, 0)): matrix[np.ix_(pair, pair)]
            * np.outer(scale, scale)
            for mean, matrix in zip(mixture.means, covariances, strict=True)
        }
        groups = [group for group in panel.findall(f"{SVG}g") if group.find(f"{SVG}ellipse") is not None]
        assert len(groups) == 5
        for group in groups:
            numbers = [float(one) for one in re.findall(r"-?[\d.]+", group.get("transform", ""))]
            ellipse = group.find(f"{SVG}ellipse")
            assert ellipse is not None
            axes = np.diag([float(ellipse.get(name, "")) / 2 for name in ("rx", "ry")]) ** 2
            # Downward is positive in a picture.
            angle = -math.radians(numbers[2])
            turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
            near = min(wanted, key=lambda place: math.dist(place, (numbers[0], 180 - numbers[1])))
            np.testing.assert_allclose(turn @ axes @ turn.T, wanted[near], atol=0.01 * wanted[near].max())


def test_one_channel_is_drawn_as_curves() -> None:
    """The curve of the heaviest kernel reaches the top, and one of half its weight the middle."""
    drawn = parse(draw_kernels(Mixture([1, 0.5], [[10], [200]], [[9], [900]]), [0, 1], [None, None]))
    curves = [line.get("points", "").split() for line in drawn.iter(f"{SVG}polyline")]
    assert [min(float(point.split(",")[1]) for point in curve) for curve in curves] == [0, 90]


def test_names_are_text() -> None:
    """A name may hold markup, control characters, surrogates and any number of characters."""
    names = ["<b>&\"'", "a\x00\n\ud800b", "x" * 1000]
    mixture = Mixture([1], [[1, 2, 3]], [[1, 1, 1]], names)
    drawn = parse(draw_kernels(mixture, [0], [None]))
    texts = {text.text for text in drawn.iter(f"{SVG}text")}
    assert texts == {"<b>&\"'", "a\ufffd\ufffd\ufffdb", "x" * 24 + "…"}


numbers = st.floats(-1e308, 1e308)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.tuples(numbers, numbers), st.tuples(*[st.floats(1e-300, 1e300)] * 2)),
        min_size=1,
        max_size=4,
    )
)
def test_any_kernels_are_drawn_or_not(kernels: list[tuple[tuple[float, float], tuple[float, float]]]) -> None:
    """No mixture is refused, and no number of a picture is infinite."""
    means, variances = zip(*kernels, strict=True)
    mixture = Mixture([1.0] * len(kernels), means, variances)
    image = draw_kernels(mixture, range(len(kernels)), [None] * len(kernels))
    if image is not None:
        text = ET.tostring(parse(image), encoding="unicode")
        assert "nan" not in text
        assert "inf" not in text


def test_what_has_no_size_is_not_drawn() -> None:
    """There is no picture where a range isn't a positive number."""
    assert draw_kernels(Mixture([1], [[1e16, 1]], [[1e-9, 1]]), [0], [None]) is None
    assert draw_kernels(Mixture([1, 1], [[1e308], [-1e308]], [[1], [1]]), [0, 1], [None, None]) is None
