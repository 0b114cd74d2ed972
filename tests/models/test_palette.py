"""The colors of classes are different and stay what they are."""

from __future__ import annotations

from pipeline.models.palette import class_color, hex_color


def test_the_first_colors_are_published_ones() -> None:
    """The first class is orange, and the second is sky blue."""
    assert [hex_color(class_color(number)) for number in (0, 1)] == ["E69F00", "56B4E9"]


def test_many_classes_have_different_colors() -> None:
    """No two of a hundred classes look the same to a file."""
    colors = {class_color(number) for number in range(100)}
    assert len(colors) == 100
    assert all(0 <= level <= 255 for color in colors for level in color)
