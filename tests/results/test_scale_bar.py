"""Scale bars."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.images.geometry import UNKNOWN, Geometry
from pipeline.results.scale_bar import choose_bar

NORTH = (10.0, 0.0, 5e5, 0.0, -10.0, 49e5)


@pytest.mark.parametrize(
    ("pixel", "width", "length", "words"),
    [
        (0.25, 4000, 800, "200 µm"),
        (0.5, 100, 20, "10 µm"),
        (1.0, 44000, 10000, "10 mm"),
        (2.0, 100_000, 25000, "50 mm"),
        (0.001, 1000, 200, "200 nm"),
    ],
)
def test_lengths_are_round(pixel: float, width: int, length: float, words: str) -> None:
    """The bar is at most a quarter of the picture, and 1, 2 or 5 times a power of ten."""
    assert choose_bar(Geometry((99.0, pixel)), width) == (pytest.approx(length), words)


@given(st.floats(1e-9, 1e12), st.integers(1, 10**7))
def test_bars_fit(pixel: float, width: int) -> None:
    """Whatever the scale is, the bar takes between a tenth and a quarter of the width."""
    found = choose_bar(Geometry((pixel, pixel)), width)
    assert found is not None
    assert 0.0999 * width <= found[0] <= 0.2501 * width
    number, unit = found[1].split()
    size = {"nm": 1e-3, "µm": 1, "mm": 1e3, "m": 1e6, "km": 1e9}[unit]
    assert float(number) * size == pytest.approx(found[0] * pixel)


@pytest.mark.parametrize(
    ("crs", "words"),
    [
        ("EPSG:32633", "2 km"),
        ("EPSG:4326", None),
        ("EPSG:3857", None),
        ("EPSG:2225", "500 m"),
        ("none", None),
    ],
)
def test_maps_have_bars_where_lengths_are_certain(crs: str, words: str | None) -> None:
    """Neither degrees nor Mercator's meters are lengths on the ground; US feet are converted."""
    found = choose_bar(Geometry(crs=crs, transform=NORTH), 1000)
    assert (None if found is None else found[1]) == words


def test_nothing_is_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a scale, a transform or the library that knows references there is no bar."""
    assert choose_bar(UNKNOWN, 100) is None
    assert choose_bar(Geometry(crs="EPSG:32633"), 100) is None
    assert choose_bar(Geometry((0.0, 0.0)), 100) is None
    monkeypatch.setitem(sys.modules, "rasterio.crs", None)
    assert choose_bar(Geometry(crs="EPSG:32633", transform=NORTH), 1000) is None
