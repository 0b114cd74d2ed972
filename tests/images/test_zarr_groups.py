"""Tests of groups that hold several images, of which one is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from images.examples import noise
from images.zarr_examples import multiscale, put_attributes, write_image

from pipeline.images.opening import open_image
from pipeline.images.reopening import reopen
from pipeline.images.zarr_groups import choose_entry

if TYPE_CHECKING:
    from pathlib import Path

SMALL, LARGE, GRAY = noise(20, 30, 3), noise(40, 50, 3, seed=1), noise(30, 20, seed=2)


@pytest.fixture(params=[2, 3])
def version(request: pytest.FixtureRequest) -> Any:
    """Return a version of the format."""
    return request.param


def make_group(path: Path, version: Any, **attributes: Any) -> zarr.Group:
    """Write a group with attributes of OME-Zarr."""
    group = zarr.open_group(path, mode="a", zarr_format=version)
    put_attributes(group, attributes)
    return group


def test_several_images_of_one_group(tmp_path: Path, version: Any) -> None:
    """The largest one is the default; others are chosen by number or name."""
    images = [multiscale("yxc", (name,), name=name) for name in ("small", "large")]
    group = make_group(tmp_path / "x", version, multiscales=images)
    for name, pixels in (("small", SMALL), ("large", LARGE)):
        group.create_array(name, data=pixels)
    image = open_image(tmp_path / "x")
    assert image.series == ("0: small, 20 x 30 pixels", "1: large, 40 x 50 pixels")
    np.testing.assert_array_equal(image, LARGE)
    for series in (0, "small"):
        image = open_image(tmp_path / "x", series=series)
        np.testing.assert_array_equal(image, SMALL)
        assert (image.description.place or {})["series"] == series
        assert image.series == open_image(tmp_path / "x").series
        np.testing.assert_array_equal(reopen(image.description.place or {}), SMALL)
    with pytest.raises(
        ValueError, match=r"series is 'a', but .*x has no such image; wanted one of 0: small, 20"
    ):
        open_image(tmp_path / "x", series="a")


def test_series_of_a_file(tmp_path: Path, version: Any) -> None:
    """The groups of series are numbers, or those that the group OME lists; the largest one is the default."""
    make_group(tmp_path / "x", version, **{"bioformats2raw.layout": 3})
    for name, pixels in (("0", SMALL), ("1", LARGE), ("a", GRAY)):
        write_image(tmp_path / "x" / name, pixels, "yx" if pixels is GRAY else "yxc", version=version)
    image = open_image(tmp_path / "x")
    np.testing.assert_array_equal(image, LARGE)
    assert image.series == ("0: 0, 20 x 30 pixels", "1: 1, 40 x 50 pixels")
    np.testing.assert_array_equal(open_image(tmp_path / "x", series=0, level=1), SMALL[::2, ::2])
    make_group(tmp_path / "x" / "OME", version, series=["a", "1"])
    np.testing.assert_array_equal(open_image(tmp_path / "x", series=0), GRAY[..., np.newaxis])


def test_plates(tmp_path: Path, version: Any) -> None:
    """A plate is refused with the paths of its first fields, which open; a well with several too."""
    wells = [f"{row}/{column}" for row in "AB" for column in range(1, 5)]
    make_group(tmp_path / "x", version, plate={"wells": [{"path": path} for path in wells]})
    make_group(tmp_path / "x" / "A" / "1", version, well={"images": [{"path": "0"}, {"path": "1"}]})
    for field, pixels in (("0", SMALL), ("1", LARGE)):
        write_image(tmp_path / "x" / "A" / "1" / field, pixels, "yxc", version=version)
    with pytest.raises(
        ValueError, match=r"x is a plate of 8 wells, not an image. .*: .*x/A/1/0, .*x/A/1/1, "
    ):
        open_image(tmp_path / "x")
    np.testing.assert_array_equal(open_image(tmp_path / "x" / "A" / "1" / "1"), LARGE)
    with pytest.raises(
        ValueError, match=r"1 holds 0, 1; wanted one image. Pass the path of one, .*1/0, or series='0'"
    ):
        open_image(tmp_path / "x" / "A" / "1")
    np.testing.assert_array_equal(open_image(tmp_path / "x" / "A" / "1", series="0"), SMALL)


def test_outputs_of_a_run(tmp_path: Path) -> None:
    """One opens by the path of the store; several are named, and chosen by name."""
    zarr.create_group(tmp_path / "x")
    write_image(tmp_path / "x" / "density", GRAY, "yx")
    np.testing.assert_array_equal(open_image(tmp_path / "x"), GRAY[..., np.newaxis])
    write_image(tmp_path / "x" / "label", SMALL, "yxc")
    with pytest.raises(
        ValueError, match=r"x holds density, label; wanted one image. Pass the path of one, .*x/densi"
    ):
        open_image(tmp_path / "x")
    np.testing.assert_array_equal(open_image(tmp_path / "x", series="label"), SMALL)


def test_groups_of_labels(tmp_path: Path, version: Any) -> None:
    """Labels open by their path; the group of all labels opens if there is one."""
    write_image(tmp_path / "x", SMALL, "yxc", version=version)
    make_group(tmp_path / "x" / "labels", version, labels=["cells"])
    write_image(tmp_path / "x" / "labels" / "cells", GRAY, "yx", version=version)
    for path in ("labels", "labels/cells"):
        np.testing.assert_array_equal(open_image(tmp_path / "x" / path), GRAY[..., np.newaxis])
    np.testing.assert_array_equal(open_image(tmp_path / "x"), SMALL)


def test_other_groups_list_what_is_in_them(tmp_path: Path, version: Any) -> None:
    """The error names images and arrays at any depth, and no coordinates."""
    group = make_group(tmp_path / "x", version)
    with pytest.raises(
        ValueError, match="x is a Zarr group, not an image or an array; and there is none in it"
    ):
        open_image(tmp_path / "x")
    group.create_array("a/b/c", data=LARGE)
    group.create_array("y", data=LARGE[0, 0])
    group.create_group("images")
    write_image(tmp_path / "x" / "images" / "one", SMALL, "yxc", version=version)
    found = r"wanted what is in it: .*x/images/one, .*x/a/b/c of shape \(40, 50, 3\)$"
    with pytest.raises(ValueError, match=found):
        open_image(tmp_path / "x")
    with pytest.raises(ValueError, match=r"is a directory, not an image; " + found):
        open_image(tmp_path)
    for number in range(9):
        group.create_array(f"many/{number}", data=LARGE)
    with pytest.raises(ValueError, match=r"many/6 of shape \(40, 50, 3\) and 3 more$"):
        open_image(tmp_path / "x")


def test_levels_that_arent_there(tmp_path: Path, version: Any) -> None:
    """The metadata name an array that isn't there, or that has other axes."""
    group = make_group(tmp_path / "x", version, multiscales=[multiscale("yx", ("0", "1"))])
    group.create_array("0", data=GRAY)
    with pytest.raises(
        ValueError, match=r"x names 1 as the array of level 1, but it has none. Copy the whole"
    ):
        open_image(tmp_path / "x")
    group.create_array("1", data=LARGE)
    with pytest.raises(ValueError, match=r"x/1 has shape \(40, 50, 3\), but .* name 2 axes: y, x"):
        open_image(tmp_path / "x")


def test_groups_in_memory() -> None:
    """An open group is chosen from as a directory is."""
    group = zarr.open_group({}, mode="w")
    for name in ("a", "b"):
        image = group.create_group(name)
        put_attributes(image, {"multiscales": [multiscale("yx")]})
        image.create_array("0", data=GRAY)
    entry, lines = choose_entry(group, "b", "x")
    assert (entry.name, entry.path, lines) == ("b", "x/b", ("0: a, 30 x 20 pixels", "1: b, 30 x 20 pixels"))
