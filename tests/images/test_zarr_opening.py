"""Tests of opening Zarr arrays and groups: by names of axes, and by the metadata of OME-Zarr."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from images.examples import noise
from images.zarr_examples import multiscale, plane, put_attributes, stack, write_image

from pipeline.images.choice import WHOLE, Choice
from pipeline.images.geometry import Geometry
from pipeline.images.labels import open_labels
from pipeline.images.no_data import NoData
from pipeline.images.opening import open_image
from pipeline.images.zarr_opening import open_zarr

if TYPE_CHECKING:
    from pathlib import Path

PIXELS = noise(20, 30, 3)


def test_other_things_are_left_to_others() -> None:
    """An object that is neither a Zarr array nor a group isn't opened here."""
    assert open_zarr(PIXELS, "image", -1, WHOLE) is None


@pytest.mark.parametrize("version", [2, 3])
def test_channels_are_told_by_names_and_not_by_lengths(tmp_path: Path, version: Any) -> None:
    """An array (3, 300, 3) with axes c, y, x has 300 rows; without names its last axis is the channels."""
    pixels, axes = noise(3, 300, 3), {"_ARRAY_DIMENSIONS": ["c", "y", "x"]}
    names: dict[str, Any] = {"dimension_names": ("c", "y", "x")} if version == 3 else {"attributes": axes}
    zarr.create_array(tmp_path / "x", data=pixels, zarr_format=version, **names)
    zarr.create_array(tmp_path / "plain", data=pixels, zarr_format=version)
    np.testing.assert_array_equal(open_image(tmp_path / "x"), np.moveaxis(pixels, 0, -1))
    np.testing.assert_array_equal(open_image(tmp_path / "plain"), pixels)
    np.testing.assert_array_equal(open_image(tmp_path / "x", channel_axis=0), np.moveaxis(pixels, 0, -1))
    with pytest.raises(
        ValueError, match=r"channel_axis is 2, but .*x has the axes c, y, x, channels on axis 0"
    ):
        open_image(tmp_path / "x", channel_axis=2)


def test_a_gray_array_has_no_axis_of_channels(tmp_path: Path) -> None:
    """It may be said, but no other axis."""
    zarr.create_array(tmp_path / "x", data=PIXELS[..., 0], dimension_names=("y", "x"))
    np.testing.assert_array_equal(open_image(tmp_path / "x", channel_axis=None), PIXELS[..., :1])
    with pytest.raises(
        ValueError, match=r"channel_axis is 1, but .*x has the axes y, x, no axis of channels"
    ):
        open_image(tmp_path / "x", channel_axis=1)


@pytest.mark.parametrize("version", [2, 3])
def test_an_image_of_five_axes(tmp_path: Path, version: Any) -> None:
    """Planes and levels are chosen; sizes and places are those of the level; channels have names."""
    pixels = stack("tczyx")
    write_image(tmp_path / "x", pixels, "tczyx", version=version, unit="nanometer")
    group = zarr.open_group(tmp_path / "x")
    described = group.attrs.asdict()
    labels = [{"label": name} for name in ("DAPI", "GFP", "RFP")]
    put_attributes(group, {**described.get("ome", described), "omero": {"channels": labels}})
    for number, step in enumerate((1, 2)):
        wanted = plane(pixels, "tczyx", t=1, z=3)[::step, ::step]
        image = open_image(tmp_path / "x", t=1, z=3, level=number, channels=["RFP", "DAPI"])
        np.testing.assert_array_equal(image, wanted[..., [2, 0]])
        assert image.levels == ((101, 83), (51, 42))
        assert image.pixel_size == pytest.approx((0.5e-3 * step, 0.5e-3 * step))
        assert image.source.geometry.origin == pytest.approx((2.75e-3 + 0.25e-3 * step,) * 2)
        inner = open_image(tmp_path / "x" / str(number), t=1, z=3)
        np.testing.assert_array_equal(inner, wanted)
        assert (inner.levels, inner.channels) == ((), ("DAPI", "GFP", "RFP"))
        assert inner.pixel_size == image.pixel_size
    with pytest.raises(
        ValueError, match="x has axes t, c, z, y, x of lengths 2, 3, 4, 101, 83, and one plane is"
    ):
        open_image(tmp_path / "x", t=1)
    with pytest.raises(ValueError, match=r"level is 2, but .*x has 2 levels; wanted 0 to 1"):
        open_image(tmp_path / "x", t=1, z=0, level=2)


def test_what_cant_be_chosen(tmp_path: Path) -> None:
    """Each kind knows its own options."""
    zarr.create_array(tmp_path / "x", data=PIXELS)
    write_image(tmp_path / "ome", PIXELS, "yxc")
    for path, option, message in (
        ("x", "level", "level is 1, but .*x is a Zarr array, which has none"),
        ("x", "z", "z is 1, but .*x is a Zarr array without names of axes, which has none"),
        ("ome", "pages", "pages is 1, but .*ome is a Zarr group, which has none"),
    ):
        with pytest.raises(ValueError, match=message):
            open_image(tmp_path / path, **{option: 1})


def test_open_groups_and_arrays_are_chosen_from() -> None:
    """In memory as on disk."""
    pixels, store = stack("zyx"), {}
    write_image(store, pixels, "zyx")  # type: ignore[arg-type]
    group = zarr.open_group(store, mode="r")
    np.testing.assert_array_equal(open_image(group, z=2, level=1), pixels[2, ::2, ::2, np.newaxis])
    np.testing.assert_array_equal(open_image(group["0"], z=3), pixels[3, ..., np.newaxis])
    identities = {open_zarr(group, "image", -1, Choice(z=z)).identity() for z in (0, 1)}  # type: ignore[union-attr]
    assert len(identities) == 2


def test_labels_and_masks_open_by_their_paths(tmp_path: Path) -> None:
    """An image of labels has integers, on its full resolution."""
    labels = noise(20, 30) % 4
    write_image(tmp_path / "labels", labels[np.newaxis, np.newaxis], "czyx")
    group = zarr.open_group(tmp_path / "labels")
    put_attributes(group, {**group.attrs.asdict()["ome"], "image-label": {"version": "0.5"}})
    source = open_labels(tmp_path / "labels", (20, 30)).source
    np.testing.assert_array_equal(source.read((slice(0, 20), slice(0, 30)))[..., 0], labels)
    masked = open_image(PIXELS, mask=tmp_path / "labels").part((slice(0, 20), slice(0, 30))).read()[1]
    np.testing.assert_array_equal(masked, labels != 0)


def test_arrays_that_are_no_numbers(tmp_path: Path) -> None:
    """The dtype is refused with and without names of axes."""
    zarr.create_array(tmp_path / "x", shape=(5, 5), dtype="complex64")
    zarr.create_array(tmp_path / "named", shape=(5, 5), dtype="complex64", dimension_names=("y", "x"))
    for name in ("x", "named"):
        with pytest.raises(ValueError, match="image has pixels of dtype complex64"):
            open_image(tmp_path / name)


def test_other_directories_are_refused(tmp_path: Path) -> None:
    """A directory without anything of Zarr is no image."""
    with pytest.raises(ValueError, match="is a directory, but not a Zarr array's or an OME-Zarr"):
        open_image(tmp_path)


def test_maps_and_values_without_data(tmp_path: Path) -> None:
    """A map of the group is that of level 0; one of an array is its own. The array says what is no data."""
    write_image(tmp_path / "x", PIXELS, "yxc", unit="micrometer")
    group = zarr.open_group(tmp_path / "x")
    group.attrs["proj:code"], group.attrs["spatial:transform"] = "EPSG:32633", [10, 0, 500, 0, -10, 700]
    whole, half = (open_image(tmp_path / "x", level=level) for level in (0, 1))
    assert (whole.crs, whole.transform) == ("EPSG:32633", (10, 0, 500, 0, -10, 700))
    assert (half.crs, half.transform, half.no_data) == ("EPSG:32633", (20, 0, 500, 0, -20, 700), None)
    assert half.pixel_size == (1.0, 1.0)
    group["1"].attrs.update({"spatial:transform": [20, 0, 505, 0, -20, 700], "_FillValue": 7})
    half = open_image(tmp_path / "x", level=1)
    assert half.source.geometry == Geometry((1.0, 1.0), (3.25, 3.25), "EPSG:32633", (20, 0, 505, 0, -20, 700))
    assert half.no_data == NoData(7)


def test_other_axes_are_another_image(tmp_path: Path) -> None:
    """The identity depends on the axes that the group names."""
    pixels, identities = noise(20, 20, 3), set()
    for order in ("yxc", "xyc"):
        path = write_image(tmp_path / order, pixels, order)
        for file in (path / "0").rglob("*"):
            os.utime(file, (1, 1))
        identities.add(open_image(path).source.identity())
    assert len(identities) == 2


def test_an_array_that_isnt_as_its_group_says(tmp_path: Path) -> None:
    """An array of other axes than the group above it names is taken as an array."""
    group = zarr.open_group(tmp_path / "x", mode="w")
    put_attributes(group, {"multiscales": [multiscale("tcyx")]})
    group.create_array("0", data=PIXELS)
    np.testing.assert_array_equal(open_image(tmp_path / "x" / "0"), PIXELS)
