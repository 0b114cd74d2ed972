"""Results as HTML."""

from __future__ import annotations

import re
from base64 import b64decode
from typing import TYPE_CHECKING

import cv2
import matplotlib as mpl
import numpy as np
import pytest

from pipeline import Density, Label, LogRatio, Mixture, Packed, Posterior, open_result, stream
from pipeline.models.palette import class_color
from pipeline.results.scale import choose_scale

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.results.result import Result

LIGHT = Mixture([1.0], [[200.0, 170.0, 150.0]], [[900.0] * 3])
DARK = Mixture([1.0], [[30.0, 30.0, 30.0]], [[900.0] * 3])
CLASSES = {"<script>alert(1)</script>": LIGHT, "темный": DARK}


@pytest.fixture
def result(tmp_path: Path, photo: NDArray[np.uint8]) -> Result:
    """Give the results of a small photo."""
    quantities = {
        "d": Density(LIGHT),
        "r": LogRatio(LIGHT, DARK),
        "p": Packed(Posterior(CLASSES), "uint8"),
        "l": Label(CLASSES),
    }
    mask = photo[::4, ::4, 0] > 20
    stream(photo[::4, ::4], quantities, tmp_path / "out.zarr", mask=mask, progress="none")
    return open_result(tmp_path / "out.zarr")


def pictures(text: str) -> list[NDArray[np.uint8]]:
    """Return the thumbnails, red, green, blue."""
    contents = re.findall('base64,([^"]*)"', text)
    decoded = [cv2.imdecode(np.frombuffer(b64decode(one), np.uint8), 1) for one in contents]
    return [np.asarray(one)[..., ::-1] for one in decoded]


def test_thumbnails_have_the_colors_of_pictures(result: Result) -> None:
    """Heat maps have the colors of Matplotlib's maps, labels those of the palette, no data a gray."""
    density, ratio, *posteriors, label = pictures(result._repr_html_())
    missing = np.asarray(result["l"]) == 255
    assert missing.any()
    for name, shown, colors in (("d", density, "viridis"), ("r", ratio, "RdBu_r")):
        values = np.asarray(result[name])
        assert result.summary is not None
        scale = choose_scale(result.outputs[name], result.summary.distributions[name], values)
        expected = mpl.colormaps[colors](scale.shares(values)[~missing])[:, :3] * 255
        assert np.abs(shown[~missing] - expected).max() < 4
        assert (shown[missing] == 220).all()
    assert len(posteriors) == 2
    for number in range(2):
        assert (label[np.asarray(result["l"]) == number] == class_color(number)).all()
    assert (label[missing] == 220).all()


def test_the_table_says_what_the_results_are(result: Result) -> None:
    """Each result has a row; names of classes are text, with their colors and shares."""
    text = result._repr_html_()
    cells = re.findall("<td>(.*?)</td>", text)
    assert cells[:5] == ["d", "density", "128 x 128", "float32", "64.00 kiB"]
    assert cells[6:11] == ["r", "log-ratio (nats)", "128 x 128", "float32", "64.00 kiB"]
    assert cells[12:18] == [
        "p",
        "posterior",
        "2 x 128 x 128",
        "float32, stored as uint8",
        "32.00 kiB",
        "0 to 1",
    ]
    assert cells[18:] == ["l", "label", "128 x 128", "uint8", "16.00 kiB", "2 classes"]
    assert "<script>" not in text
    assert result.summary is not None
    zones = result.summary.classes["l"]
    share = f"{zones[1].pixels / sum(zone.pixels for zone in zones):.1%}"
    assert f'<span style="color: #56B4E9">&#9632;</span> темный {share}' in text


def test_a_damaged_store_has_a_table(result: Result, tmp_path: Path) -> None:
    """Pictures are left out where they can't be read."""
    for shard in (tmp_path / "out.zarr").rglob("c/**/0"):
        if shard.is_file():
            shard.write_bytes(b"damaged")
    text = result._repr_html_()
    assert "<img" not in text
    assert text.count("<tr>") == 5


def test_many_classes_and_no_data(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    """At most twelve pictures and sixteen classes are shown; a result without a value says so."""
    classes = {f"c{number}": DARK for number in range(20)}
    mask = np.zeros((8, 8), bool)
    quantities = {"p": Posterior(classes), "l": Label(classes)}
    stream(photo[:8, :8], quantities, tmp_path / "out.zarr", mask=mask, progress="none")
    text = open_result(tmp_path / "out.zarr")._repr_html_()
    assert len(pictures(text)) == 12
    assert "<p>and 9 more</p>" in text
    assert text.endswith("c15, and 4 more</p>")
    assert "<td>no data</td>" in text
