"""Files of NumPy's format: any order and axes, read by regions; anything but numbers is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from images.examples import HEIGHT, WIDTH, noise

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


def test_memory_of_reading(tmp_path: Path) -> None:
    """A region takes its pixels, twice if channels are chosen, and what the system maps around them."""
    np.save(tmp_path / "x.npy", np.zeros((1000, 100_000), np.uint8))
    source = open_source(tmp_path / "x.npy")
    assert source.region_bytes((10, 50)) == 500 + 10 * (50 + 2 * 2**16) - 10 * (50 + 2 * 2**16 - 100_000)
    assert source.held_bytes == 0
