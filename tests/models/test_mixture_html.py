"""Mixtures and classes in a notebook: each number is there, names are text, and much is left out."""

from __future__ import annotations

import re

import numpy as np
from references import random_mixture

from pipeline import Classes, Mixture, load_model
from pipeline.models.drawing import strip, swatch
from pipeline.models.palette import class_color


def rows_of(page: str) -> list[list[str]]:
    """Return the cells of the rows of all tables."""
    return [
        re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row.replace("\N{NO-BREAK SPACE}", " "))
        for row in re.findall(r"<tr>(.*?)</tr>", page)
    ]


def test_a_mixture_shows_its_numbers() -> None:
    """Weights, means and standard deviations are in a table, with the color of each mean."""
    mixture = Mixture([0.25, 2], [[10, 200, 30], [1, 2, 3]], [[100, 400, 900]] * 2, ["blue", "red", "green"])
    page = mixture._repr_html_()
    assert page.startswith("<p>Mixture of 2 diagonal kernels over 3 channels")
    assert rows_of(page) == [
        ["kernel", "", "weight", "blue", "red", "green"],
        ["0", swatch((200, 30, 10)), "0.25", "10 ± 10", "200 ± 20", "30 ± 30"],
        ["1", swatch((2, 3, 1)), "2", "1 ± 10", "2 ± 20", "3 ± 30"],
    ]
    assert page == mixture._repr_html_()
    full = Mixture([1], [[5, 6]], [[[4, 1], [1, 9]]])
    assert rows_of(full._repr_html_())[1] == ["0", swatch(None), "1", "5 ± 2", "6 ± 3"]
    assert "1 full kernel over 2 channels" in full._repr_html_()


def test_large_mixtures_are_short() -> None:
    """The heaviest kernels are shown in their order, and what is left out is counted."""
    mixture = random_mixture(40, 12, full=True)
    page = mixture._repr_html_()
    table = rows_of(page)
    assert [int(row[0]) for row in table[1:]] == sorted(np.argsort(-mixture.weights)[:16])
    assert all(len(row) == 3 + 8 for row in table)
    assert "<p>Not shown: 24 kernels of less weight, 4 channels</p>" in page
    assert "Not shown" not in load_model("jones-rehg-skin")._repr_html_()
    assert len(random_mixture(5000, 300)._repr_html_()) < 40_000


def test_what_cant_be_drawn_is_still_a_table() -> None:
    """The largest numbers are shown without a picture."""
    page = Mixture([1, 1], [[1e308], [-1e308]], [[1], [1]])._repr_html_()
    assert rows_of(page)[1][3] == "1e+308 ± 1"


def test_names_are_text() -> None:
    """Names of channels and classes are escaped, and make no formula."""
    mixture = Mixture([1], [[1, 2]], [[1, 1]], ["<b>$x$", "\\(y\\)"])
    for page in (mixture._repr_html_(), Classes({"<b>$x$": mixture})._repr_html_()):
        assert "<b>" not in page
        assert "$x$" not in page
        assert "&lt;b&gt;<span>$</span>x<span>$</span>" in page
    assert "\\(" not in mixture._repr_html_()


def test_classes_show_their_priors_and_colors() -> None:
    """Each class has its number, the color of its label, its prior and the colors of its kernels."""
    names = ["red", "green", "blue"]
    two = Mixture([3, 1], [[255, 0, 0], [0, 0, 255]], [[1, 1, 1]] * 2, names)
    deep = Mixture([1], [[60_000, 0, 0]], [[1, 1, 1]], names)
    page = Classes({"tissue": two, "deep": deep}, [0.2, 0.8])._repr_html_()
    assert page.startswith("<p>2 classes over 3 channels</p>")
    assert rows_of(page) == [
        ["class", "", "label", "prior", "kernels", "colors"],
        [
            *("tissue", swatch(class_color(0)), "0", "0.2", "2"),
            strip([(255, 0, 0), (0, 0, 255)], [0.75, 0.25]),
        ],
        ["deep", swatch(class_color(1)), "1", "0.8", "1", ""],
    ]
    many = Classes({f"class {number}": deep for number in range(200)})._repr_html_()
    assert "<p>180 more rows</p>" in many
