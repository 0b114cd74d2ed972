"""Channels: chosen by name or number, and put into a model's order."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
import tifffile
from images.examples import COLOR, HEIGHT, WIDTH, names, noise

from pipeline.images.channels import add_alpha, choose_channels, fit_channels
from pipeline.images.opening import open_image
from pipeline.images.readers import open_source

if TYPE_CHECKING:
    from pathlib import Path

PIXELS = noise(HEIGHT, WIDTH, 4)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Write color with alpha, color, color and more, gray, gray with alpha, and samples without names."""
    kind: dict[str, Any] = {"photometric": "minisblack", "planarconfig": "contig"}
    tifffile.imwrite(tmp_path / "alpha.tif", PIXELS, photometric="rgb", extrasamples=["unassalpha"])
    tifffile.imwrite(tmp_path / "color.tif", PIXELS[..., :3], photometric="rgb")
    tifffile.imwrite(tmp_path / "nir.tif", PIXELS, photometric="rgb", extrasamples=["unspecified"])
    tifffile.imwrite(tmp_path / "gray.tif", PIXELS[..., 0], photometric="minisblack")
    tifffile.imwrite(tmp_path / "gray alpha.tif", PIXELS[..., :2], extrasamples=["unassalpha"], **kind)
    tifffile.imwrite(tmp_path / "stains.tif", PIXELS[..., :3], **kind)
    cv2.imwrite(str(tmp_path / "color.png"), PIXELS[..., 2::-1])
    return tmp_path


@pytest.mark.parametrize(
    ("name", "wanted", "numbers"),
    [
        ("color.tif", "blue", [2]),
        ("color.tif", 1, [1]),
        ("color.tif", ("green", "red"), [1, 0]),
        ("color.png", (2, "red"), [2, 0]),
        ("alpha.tif", ("alpha", "blue"), [3, 2]),
        ("alpha.tif", ["red"], [0]),
        ("stains.tif", (2, 0, 2), [2, 0, 2]),
        ("stains.tif", np.array([1]), [1]),
        ("gray.tif", "gray", [0]),
        ("gray alpha.tif", ("alpha", "gray"), [1, 0]),
    ],
)
def test_channels_by_name_and_number(files: Path, name: str, wanted: Any, numbers: list[int]) -> None:
    """Channels come in the order in which they are named or numbered."""
    image = open_image(files / name, channels=wanted)
    np.testing.assert_array_equal(image, PIXELS[..., numbers])
    assert image.n_channels == len(numbers)


@pytest.mark.parametrize(
    ("name", "wanted", "error", "message"),
    [
        ("color.tif", "nir", ValueError, "color.tif has no channel 'nir'; wanted one of red, green, blue"),
        ("color.tif", (0, 3), ValueError, "color.tif has no channel 3; wanted 0 to 2"),
        ("color.tif", -1, ValueError, "has no channel -1"),
        ("color.tif", "alpha", ValueError, "color.tif has no alpha channel. Open it without 'alpha'"),
        ("stains.tif", ("red",), ValueError, "doesn't name its channels; got 'red'. Wanted numbers, 0 to 2"),
        ("color.tif", (), ValueError, "channels is empty; wanted the names or numbers"),
        ("color.tif", (0.5,), TypeError, "a channel is 0.5; wanted a name or a number"),
    ],
)
def test_channels_that_are_not_there(
    files: Path, name: str, wanted: Any, error: type[Exception], message: str
) -> None:
    """A channel that the image lacks is refused with those that it has."""
    with pytest.raises(error, match=message):
        open_image(files / name, channels=wanted)


def test_an_alpha_that_masks_stays_last(files: Path) -> None:
    """Where alpha is a mask, it stays behind the chosen channels, and isn't one of them."""
    source = choose_channels(open_source(PIXELS), (2, 0), name="x", has_alpha=True)
    np.testing.assert_array_equal(source.read((slice(9), slice(9))), PIXELS[:9, :9, [2, 0, 3]])
    image = open_image(files / "alpha.tif", channels=("blue", "red"), mask="alpha")
    assert image.channels == ("blue", "red")
    assert image.shape == (HEIGHT, WIDTH, 2)
    assert image.source.channels == ("blue", "red", "alpha")
    assert image.description.place == {
        "image": str(files / "alpha.tif"),
        "channels": ["blue", "red", "alpha"],
    }
    with pytest.raises(ValueError, match="has no channel 3; wanted 0 to 2"):
        choose_channels(open_source(PIXELS), (3,), name="x", has_alpha=True)


def test_alpha_is_added(files: Path) -> None:
    """A file's alpha comes last, an array's caller says that it does; alpha alone isn't enough."""
    assert add_alpha(open_source(files / "alpha.tif"), "x").channels == names("RGBA")
    array = open_source(PIXELS)
    assert add_alpha(array, "x") is array
    with pytest.raises(ValueError, match=r"gray\.tif has no alpha channel"):
        add_alpha(open_source(files / "gray.tif"), "gray.tif")
    with pytest.raises(ValueError, match="mask is 'alpha', but the image has 1 channel; wanted alpha behind"):
        add_alpha(open_source(PIXELS[..., 0]), "x")


@pytest.mark.parametrize(
    ("name", "channels", "mask", "numbers"),
    [
        ("alpha.tif", ("green", "red", "blue"), None, [1, 0, 2]),
        ("alpha.tif", ("green", "red", "blue"), "alpha", [1, 0, 2, 3]),
        ("alpha.tif", ("alpha", "red", "green", "blue"), None, [3, 0, 1, 2]),
        ("alpha.tif", (), None, [0, 1, 2]),
        ("alpha.tif", ("blue", "red"), None, [2, 0]),
        ("alpha.tif", ("blue", "red"), "alpha", [2, 0, 3]),
        ("nir.tif", ("red", "green", "blue"), None, [0, 1, 2]),
        ("nir.tif", (), None, [0, 1, 2, 3]),
        ("gray.tif", ("DAPI",), None, [0]),
        ("gray alpha.tif", ("alpha", "gray"), None, [1, 0]),
        ("stains.tif", ("hematoxylin", "eosin", "dab"), None, [0, 1, 2]),
        ("stains.tif", ("blue", "green", "red"), None, [0, 1, 2]),
        ("color.png", ("blue", "green", "red"), None, [2, 1, 0]),
    ],
)
def test_an_image_is_put_into_a_models_order(
    files: Path, name: str, channels: tuple[str, ...], mask: str | None, numbers: list[int]
) -> None:
    """Names in any order, no names, a gray file and samples that a file doesn't name are taken."""
    n_channels = len(channels) or len(numbers)
    opened = open_image(files / name, mask=mask)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", f"{re.escape(str(files))}/stains.tif doesn't name its channels")
        image = opened.fitted(n_channels, channels)
    source = image.source
    np.testing.assert_array_equal(source.read((slice(50), slice(60))), PIXELS[:50, :60, numbers])
    assert image.shape == (HEIGHT, WIDTH, n_channels)


def test_an_assumed_order_is_warned_of(files: Path) -> None:
    """A file that doesn't name its channels is taken in the model's order, unless the caller chooses them."""
    image = open_image(files / "stains.tif")
    message = r"stains.tif doesn't name its channels; they are taken for blue, green, red, in this order. If"
    with pytest.warns(UserWarning, match=message):
        image.fitted(3, ("blue", "green", "red"))
    said = [open_image(image, channels=[0, 1, 2]), open_image(files / "stains.tif", channels=[2, 1, 0])]
    for chosen in (*said, image[..., ::-1], said[0][5:, ::2], open_image(said[0], no_data=3)):
        chosen.fitted(3, ("blue", "green", "red"))
    image.fitted(3)
    image[..., :1].fitted(1, ("DAPI",))


@pytest.mark.parametrize(
    "channels",
    [("B", "G", "R"), ("Red", "Green", "Blue"), ("hematoxylin", "eosin", "dab"), ("red", "red2", "blue")],
)
@pytest.mark.parametrize("name", ["color.tif", "color.png"])
def test_a_file_of_other_channels(files: Path, name: str, channels: tuple[str, ...]) -> None:
    """A model of other channels than a file names is refused; an array says nothing of its own."""
    message = (
        f"channels are red, green, blue, the mixture's {', '.join(channels)}; wanted these names, in any"
    )
    with pytest.raises(ValueError, match=message):
        open_image(files / name).fitted(3, channels)
    assert open_image(PIXELS[..., :3]).fitted(3, channels).shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize(
    ("name", "n_channels", "channels", "mask", "message"),
    [
        (
            "color.tif",
            4,
            ("red", "green", "blue", "alpha"),
            None,
            "color.tif has no alpha channel, and the model",
        ),
        ("color.tif", 4, (), None, r"the image has 3 channels \(shape .*\), the model has 4 channels. Pass"),
        ("color.tif", 2, (), None, r"the model has 2 channels\. Pass"),
        (
            "gray.tif",
            3,
            COLOR,
            None,
            r"the image has 1 channel .*, the model has 3 channels \(red, green, blue\)",
        ),
        (
            "alpha.tif",
            4,
            (),
            "alpha",
            "mask is 'alpha', but the image has 4 channels; wanted the model's 4 and",
        ),
        (
            "gray alpha.tif",
            3,
            (),
            "alpha",
            "mask is 'alpha', but the image has 2 channels; wanted the model's 3",
        ),
    ],
)
def test_images_that_lack_channels(
    files: Path, name: str, n_channels: int, channels: tuple[str, ...], mask: str | None, message: str
) -> None:
    """An image with fewer or more channels than the model is refused."""
    with pytest.raises(ValueError, match=message):
        open_image(files / name, mask=mask).fitted(n_channels, channels)


def test_one_named_channel_is_not_another(files: Path) -> None:
    """The red channel of a color image isn't a model's blue."""
    source = open_image(files / "color.tif")[..., 0].source
    assert fit_channels(source, 1, ("red",), name="x", has_alpha=False) is source
    with pytest.raises(ValueError, match="channels are red, the mixture's blue"):
        fit_channels(source, 1, ("blue",), name="x", has_alpha=False)
