"""Pictures of results: what they show is what the store holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from matplotlib.colors import LogNorm

from pipeline import Density, Label, LogRatio, Mixture, Posterior, open_image, open_result, preview, stream

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from pipeline.models.output import Quantities

LIGHT = Mixture([1.0], [[200.0, 170.0, 150.0]], [[900.0] * 3])
DARK = Mixture([1.0], [[30.0, 30.0, 30.0]], [[900.0] * 3])
ODD = "$\\frac{<b>$ of the longest name that anybody gave"
CLASSES = {ODD: LIGHT, "_dark": DARK, "темный": Mixture([1.0], [[120.0] * 3], [[900.0] * 3])}


def drawn(tmp_path: Path, image: Any, quantities: Quantities, **options: Any) -> Figure:
    """Stream an image and draw its results."""
    stream(image, quantities, tmp_path / "out.zarr", progress="none")
    return preview(tmp_path / "out.zarr", **options)


def pictures(figure: Figure) -> list[Axes]:
    """Return the panels without the color bars, after drawing."""
    figure.draw_without_rendering()
    return [panel for panel in figure.axes if panel.get_title()]


def lines(figure: Figure) -> str:
    """Return the lines below a figure."""
    return figure.get_supxlabel()


def test_heat_maps_have_values_scales_and_bars(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    """Densities are logarithmic, ratios symmetric around 0, probabilities from 0 to 1, with their units."""
    quantities = {"d": Density(LIGHT), "r": LogRatio(LIGHT, DARK), "p": Posterior(CLASSES)}
    figure = drawn(tmp_path, photo, quantities, size=512)
    panels = pictures(figure)
    result = open_result(tmp_path / "out.zarr")
    assert [panel.get_title() for panel in panels][:2] == ["d", "r"]
    density, ratio, *posteriors = (panel.images[0] for panel in panels)
    assert isinstance(density.norm, LogNorm)
    assert not np.ma.getmaskarray(density.get_array()).any()
    assert ratio.norm.vmin == -ratio.norm.vmax
    np.testing.assert_array_equal(ratio.get_array(), result["r"])
    assert result.summary is not None
    found = [abs(result.summary.distributions["r"].quantile(share)) for share in (0.01, 0.99)]
    assert ratio.norm.vmax == max(found)
    for number, picture in enumerate(posteriors):
        assert picture.get_clim() == (0, 1)
        np.testing.assert_array_equal(picture.get_array(), result["p"][number])
    bars = [panel.get_ylabel() for panel in figure.axes if panel not in panels]
    assert bars == ["density", "log-ratio (nats)", "posterior", "posterior", "posterior"]


def test_labels_have_a_legend(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    """Each class has its color, name, share and area, and pixels without data are hatched."""
    keep = np.ones(photo.shape[:2], bool)
    keep[:100] = False
    path = tmp_path / "image.ome.tif"
    size = {"PhysicalSizeX": 2.0, "PhysicalSizeY": 2.0, "axes": "YXS"}
    tifffile.imwrite(path, photo, photometric="rgb", metadata=size)
    figure = drawn(tmp_path, open_image(path, mask=keep), Label(CLASSES))
    (panel,) = pictures(figure)
    shown, label = panel.images[0].get_array(), np.asarray(open_result(tmp_path / "out.zarr")["label"])
    assert (shown[label == 0] == (230, 159, 0, 255)).all()
    assert (shown[label == 255][:, 3] == 0).all()
    legend = panel.get_legend()
    assert legend is not None
    shares = [f"{(label == number).sum() / keep.sum():.1%}" for number in range(3)]
    areas = [f"{(label == number).sum() * 4e-6:.3g} mm²" for number in range(3)]
    words = [text.get_text().lstrip("\u200b") for text in legend.get_texts()]
    names = [f"{ODD[:39]}…", *list(CLASSES)[1:]]
    expected = [", ".join(entry) for entry in zip(names, shares, areas, strict=True)]
    assert words == [*expected, "no data"]
    assert panel.patch.get_hatch()
    (bar,) = panel.artists
    assert bar.txt_label.get_text() == "200 µm"  # type: ignore[attr-defined]


def test_the_image_lies_below(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    """An overlay shows the image where there is data, at the same place, and a note says why it can't."""
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, photo, photometric="rgb")
    keep = np.ones(photo.shape[:2], bool)
    keep[:, :64] = False
    figure = drawn(tmp_path, open_image(path, mask=keep), Density(LIGHT), size=256, overlay=True)
    (panel,) = pictures(figure)
    below, above = panel.images
    assert tuple(below.get_extent()) == tuple(above.get_extent()) == (0, 512, 512, 0)
    assert above.get_alpha() == 0.65
    shades = np.asarray(below.get_array())
    assert shades.shape == (256, 256, 4)
    assert (shades[:, :32, 3] == 0).all()
    assert (shades[:, 32:, 3] == 255).all()
    assert np.corrcoef(shades[..., 0].ravel(), photo[::2, ::2].mean(axis=2).ravel())[0, 1] > 0.999
    assert not lines(figure)
    tifffile.imwrite(path, photo[1:], photometric="rgb")
    figure = preview(tmp_path / "out.zarr", overlay=True)
    assert lines(figure) == "Without the image: the image has another size now."
    path.unlink()
    figure = preview(tmp_path / "out.zarr", overlay=True)
    assert len(pictures(figure)[0].images) == 1
    assert lines(figure).startswith("Without the image: ")


def test_an_image_in_memory_is_left_out(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    """It can't be opened again."""
    figure = drawn(tmp_path, photo[:9, :9], Density(LIGHT), overlay=True)
    assert lines(figure) == "Without the image: the image was in memory only."


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 2), (7, 5)])
def test_any_shape_is_drawn(tmp_path: Path, shape: tuple[int, int]) -> None:
    """A long picture is stretched, which is said; a figure isn't larger for it."""
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    figure = drawn(tmp_path, image, {"d": Density(LIGHT), "l": Label(CLASSES)}, size=100)
    assert len(pictures(figure)) == 2
    assert (max(shape) == 3000) == ("aren't to scale: {} x {} pixels".format(*shape) in lines(figure))
    assert (figure.get_size_inches() < 20).all()


def test_nothing_but_no_data_is_drawn(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    """A result without a value has a hatched picture and a bar."""
    image = open_image(photo, mask=np.zeros(photo.shape[:2], bool))
    quantities = {"d": Density(LIGHT), "r": LogRatio(LIGHT, DARK), "l": Label(CLASSES)}
    for panel in pictures(drawn(tmp_path, image, quantities, size=64)):
        legend = panel.get_legend()
        assert legend is not None
        assert legend.get_texts()[-1].get_text() == "no data"


def test_letters_are_looked_for_in_installed_fonts(
    tmp_path: Path, photo: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fonts that aren't there aren't asked, of which Matplotlib would warn."""
    monkeypatch.setattr("pipeline.results.preview._FONTS", ("None such", "DejaVu Serif"))
    (panel,) = pictures(drawn(tmp_path, photo[:4, :4], Density(LIGHT), size=64))
    assert panel.title.get_fontfamily() == ["DejaVu Sans", "DejaVu Serif"]


def test_many_classes_are_shown_in_part(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    """Other results come before further classes, and the most frequent classes have a line in the legend."""
    classes = {f"c{number}": Mixture([1.0], [[9.0 * number] * 3], [[50.0] * 3]) for number in range(18)}
    quantities = {"p": Posterior(classes), "l": Label(classes)}
    figure = drawn(tmp_path, photo[::8, ::8], quantities, size=64)
    panels = pictures(figure)
    titles = [panel.get_title() for panel in panels]
    assert titles == [*(f"p c{number}" for number in range(11)), "l"]
    assert lines(figure) == "7 more results or classes aren't shown. Choose some by their names."
    legend = panels[-1].get_legend()
    assert legend is not None
    words = [text.get_text() for text in legend.get_texts()]
    summary = open_result(tmp_path / "out.zarr").summary
    assert summary is not None
    frequent = sorted(summary.classes["l"], key=lambda zone: -zone.pixels)[:16]
    assert {word.partition(",")[0] for word in words[:-1]} == {zone.name for zone in frequent}
    assert words[-1] == "and 2 more"
    chosen = preview(tmp_path / "out.zarr", "l", size=64)
    assert [panel.get_title() for panel in pictures(chosen)] == ["l"]


def test_other_things_are_refused(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    """A result that isn't there, none at all, and a size that is none."""
    stream(photo[:4, :4], Density(LIGHT), tmp_path / "out.zarr", progress="none")
    result = open_result(tmp_path / "out.zarr")
    with pytest.raises(ValueError, match=r"out.zarr has no result 'label'; it has density$"):
        result.preview("label")
    with pytest.raises(ValueError, match=r"got no names of results; .*out.zarr has density$"):
        result.preview([])
    with pytest.raises(ValueError, match="size is 0; wanted the pixels"):
        result.preview(size=0)
    size: Any = 1.5
    with pytest.raises(TypeError):
        result.preview(size=size)
