"""The colors of classes are different and stay what they are."""

from __future__ import annotations

from pipeline.models.palette import class_color, hex_color, mean_color


def test_the_first_colors_are_published_ones() -> None:
    """The first class is orange, and the second is sky blue."""
    assert [hex_color(class_color(number)) for number in (0, 1)] == ["E69F00", "56B4E9"]


def test_many_classes_have_different_colors() -> None:
    """No two of a hundred classes look the same to a file."""
    colors = {class_color(number) for number in range(100)}
    assert len(colors) == 100
    assert all(0 <= level <= 255 for color in colors for level in color)


def test_the_color_of_a_mean() -> None:
    """Channels are found by their names; other channels and other ranges are no color."""
    assert mean_color([1.4, 2, 254.6], ["red", "green", "blue"]) == (1, 2, 255)
    assert mean_color([1, 2, 3, 4], ["blue", "near infrared", "green", "red"]) == (4, 3, 1)
    assert mean_color([1, 2, 3], None) is None
    assert mean_color([1, 2, 3], ["a", "green", "blue"]) is None
    assert mean_color([1, 2, 255.1], ["red", "green", "blue"]) is None
    assert mean_color([-0.1, 2, 3], ["red", "green", "blue"]) is None
