"""Files of NumPy's format: any order and axes, read by regions; anything but numbers is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from images.examples import HEIGHT, WIDTH, noise

from pipeline.images import npy
from pipeline.images.opening import open_image
from pipeline.images.readers import open_source
from pipeline.testing.sources import SourceContract

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.testing.sources import Case

PIXELS = noise(HEIGHT, WIDTH, 3, dtype="uint16")


class TestContract(SourceContract):
    """The contract, for orders of axes and of bytes, and for a gray array."""

    @pytest.fixture(params=["C", "Fortran", "big-endian", "channels first", "gray", "float", "bool"])
    def case(self, request: pytest.FixtureRequest, tmp_path: Path) -> Case:
        """Write an array."""
        pixels: Any = {
            "gray": PIXELS[..., :1],
            "float": PIXELS / 7,
            "bool": PIXELS > 99,
        }.get(request.param, PIXELS)
        stored: Any = {
            "Fortran": np.asfortranarray(pixels),
            "big-endian": pixels.astype(">u2"),
            "channels first": np.ascontiguousarray(np.moveaxis(pixels, -1, 0)),
            "gray": pixels[..., 0],
        }.get(request.param, pixels)
        np.save(tmp_path / "x.npy", stored)
        axis = 0 if request.param == "channels first" else -1
        return open_source(tmp_path / "x.npy", channel_axis=axis), pixels


def test_a_name_doesnt_matter(tmp_path: Path) -> None:
    """The content decides, in every version of the format."""
    for version in ((1, 0), (2, 0), (3, 0)):
        with (tmp_path / "x.bin").open("wb") as file:
            np.lib.format.write_array(file, PIXELS, version=version)
        np.testing.assert_array_equal(open_image(tmp_path / "x.bin"), PIXELS)


def test_alpha_is_the_last_channel(tmp_path: Path) -> None:
    """An array doesn't say which channels it holds: its last one is alpha if the caller says so."""
    np.save(tmp_path / "x.npy", PIXELS)
    image = open_image(tmp_path / "x.npy", mask="alpha")
    assert image.shape == (HEIGHT, WIDTH, 2)
    assert image.masking.has_alpha


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([[None]]), "can't be read as a .npy file|holds object; wanted integers"),
        (np.zeros((4, 5), complex), "holds complex128; wanted integers or floating"),
        (np.zeros((4, 5), [("a", "u1")]), "holds .*; wanted integers or floating"),
        (np.zeros(5), r"x.npy: image is an array of shape \(5,\); wanted"),
        (np.zeros((2, 3, 4, 5)), r"x.npy: image is an array of shape \(2, 3, 4, 5\); wanted"),
    ],
)
def test_arrays_that_are_refused(tmp_path: Path, array: Any, message: str) -> None:
    """Objects, which are pickles, and anything else that can't be pixels are named."""
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    with pytest.raises(ValueError, match=message):
        open_image(tmp_path / "x.npy")


def test_damaged_files(tmp_path: Path) -> None:
    """A truncated file, a damaged header and a changed file are errors that name the file."""
    path = tmp_path / "x.npy"
    np.save(path, PIXELS)
    content = path.read_bytes()
    path.write_bytes(content[:-10])
    with pytest.raises(ValueError, match=r"x.npy is truncated: it lacks 10 bytes"):
        open_image(path)
    for damaged in (
        content[:40],
        content[:20] + b"\xff" * 20 + content[40:],
        content[:6] + rb"\9" + content[7:],
    ):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"x.npy can't be read as a .npy file"):
            open_image(path)
    path.write_bytes(content)
    image = open_image(path)
    path.write_bytes(content + b"\0")
    with pytest.raises(ValueError, match="changed since it was opened"):
        image.compute()


def test_several_arrays_are_refused(tmp_path: Path) -> None:
    """A .npz file is refused with the way to one of its arrays, and an option that arrays lack."""
    np.savez(tmp_path / "x.npz", PIXELS)
    with pytest.raises(ValueError, match=r"x.npz holds several arrays; wanted one. Save it as .npy"):
        open_image(tmp_path / "x.npz")
    np.save(tmp_path / "x.npy", PIXELS)
    with pytest.raises(ValueError, match=r"level is 1, but .*x.npy is an array, which has none"):
        open_image(tmp_path / "x.npy", level=1)


@pytest.mark.parametrize(
    ("shape", "order", "channel_axis", "mapped"),
    [
        ((1000, 300_000), "C", None, 10 * (50 + 2**17)),
        ((1000, 100_000), "C", None, 10 * 100_000),
        ((300_000, 1000), "F", None, 50 * (10 + 2**17)),
        ((1000, 100_000, 3), "C", -1, 10 * (150 + 2**17)),
        ((3, 500, 200_000), "C", 0, 3 * 10 * (50 + 2**17)),
        ((200_000, 500, 3), "F", -1, 3 * 50 * (10 + 2**17)),
    ],
)
def test_memory_of_reading(shape: Any, order: Any, channel_axis: Any, mapped: int) -> None:
    """A region takes its pixels, twice if channels are chosen, and what the system maps around each run."""
    layout = npy.Layout(shape, np.dtype("u1"), order == "F", 128)
    n_channels = 1 if channel_axis is None else 3
    axis = None if channel_axis is None else channel_axis % 3
    extent = [length for number, length in enumerate(shape) if number != axis]
    source = npy.NpyFile(
        path="x.npy",
        stamp=(0, 0),
        shape=(extent[0], extent[1], n_channels),
        dtype=layout.dtype,
        channels=None,
        tile=(1, 1),
        stored="?" * n_channels,
        samples=tuple(range(n_channels)),
        layout=layout,
        axis=axis,
    )
    assert source.region_bytes((10, 50)) == 500 * n_channels + mapped
    assert source.held_bytes == 0


def test_memory_of_some_channels(tmp_path: Path) -> None:
    """Some of the channels are copied twice; steps map what lies between the pixels."""
    np.save(tmp_path / "x.npy", PIXELS)
    source = open_source(tmp_path / "x.npy")
    some = source.select((2, 0))
    assert some is not None
    assert some.region_bytes((10, 20)) == 2 * 10 * 20 * 2 * 2 + 10 * WIDTH * 3 * 2
    places = (range(0, HEIGHT, 7), range(0, WIDTH, 4))
    assert source.region_bytes((10, 20), places) == 10 * 20 * 3 * 2 + 10 * WIDTH * 3 * 2
