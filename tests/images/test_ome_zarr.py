"""Tests of the metadata of OME-Zarr, whose examples are those of its specification."""

from __future__ import annotations

from typing import Any

import pytest
from images.zarr_examples import multiscale

from pipeline.images.geometry import UNKNOWN
from pipeline.images.ome_zarr import (
    channel_names,
    has_series,
    label_names,
    ome_attributes,
    plate_wells,
    read_multiscales,
    well_fields,
)
from pipeline.images.zarr_axes import Axes

PLANE = Axes(1, 2, 0)


def read(entry: Any, **others: Any) -> Any:
    """Read the metadata of one image."""
    (image,) = read_multiscales({"multiscales": [entry], **others}, "x")
    return image


def test_sizes_and_places_in_micrometers() -> None:
    """Each level has a scale, and a translation of the first pixel's center, in the unit of its axis."""
    scales, shifts = [[1, 0.5, 0.25], [1, 1.0, 0.5]], [[0, 10, 20], [0, 10.25, 20.125]]
    image = read(multiscale("cyx", ("0", "1"), unit="micrometer", scale=scales, translation=shifts))
    assert [image.geometry(level, PLANE).pixel_size for level in (0, 1)] == [(0.5, 0.25), (1.0, 0.5)]
    assert [image.geometry(level, PLANE).origin for level in (0, 1)] == [(10, 20), (10.25, 20.125)]


def test_levels_tell_how_much_coarser_they_are() -> None:
    """By their scales, even without units; lengths are rounded."""
    image = read(multiscale("cyx", ("0", "1"), scale=[[1, 0.5, 0.25], [1, 1.0, 0.75]]))
    assert image.ratio(1, PLANE) == (2, 3)
    assert read(multiscale("cyx", ("0", "1"), scale=[[1, 1, 1], [1, 0, 1]])).ratio(1, PLANE) is None
    assert read({"axes": ["y", "x"], "datasets": [{"path": "0"}]}).ratio(0, PLANE) is None


@pytest.mark.parametrize(
    ("unit", "size"),
    [
        *(("nanometer", 2e-3), ("millimeter", 2e3), ("meter", 2e6), ("kilometer", 2e9), ("angstrom", 2e-4)),
        *(("micrometre", 2.0), ("µm", 2.0), ("inch", 50800.0), ("hectometer", 2e8), ("pixel", None)),
        *((None, None), ("second", None)),
    ],
)
def test_units(unit: str | None, size: float | None) -> None:
    """Units of length have the names of UDUNITS; without one of them nothing is known."""
    geometry = read(multiscale("cyx", unit=unit, scale=[[1, 2, 2]])).geometry(0, PLANE)
    assert geometry.pixel_size == (None if size is None else pytest.approx((size, size)))


def test_transformations_of_the_whole_image_come_last() -> None:
    """Those of a level are applied first."""
    entry = multiscale("yx", unit="micrometer", scale=[[2, 3]], translation=[[10, 20]])
    whole = [{"type": "identity"}, {"type": "scale", "scale": [10, 100]}]
    geometry = read({**entry, "coordinateTransformations": whole}).geometry(0, Axes(0, 1, None))
    assert (geometry.pixel_size, geometry.origin) == ((20, 300), (100, 2000))


@pytest.mark.parametrize(
    "step", [{"type": "affine", "affine": [[1, 0], [0, 1]]}, {"type": "scale", "path": "scales"}]
)
def test_other_transformations_say_nothing(step: dict[str, Any]) -> None:
    """A rotation, or numbers that are in an array, aren't a size."""
    entry = multiscale("yx", unit="micrometer", scale=[[2, 3]])
    assert read({**entry, "coordinateTransformations": [step]}).geometry(0, Axes(0, 1, None)) == UNKNOWN


@pytest.mark.parametrize("scale", [[1, 0, 1], [1, -1, 1], [1, float("nan"), 1]])
def test_sizes_are_positive(scale: list[float]) -> None:
    """A scale of 0 isn't a size."""
    assert read(multiscale("cyx", unit="meter", scale=[scale])).geometry(0, PLANE) == UNKNOWN


def test_older_versions() -> None:
    """Version 0.3 names axes by letters, 0.1 and 0.2 not at all: they are five."""
    datasets = [{"path": "0"}]
    assert [axis.name for axis in read({"axes": ["c", "y", "x"], "datasets": datasets}).axes] == list("cyx")
    image = read({"version": "0.1", "datasets": datasets})
    assert [axis.name for axis in image.axes] == list("tczyx")
    assert image.geometry(0, Axes(3, 4, 1)) == UNKNOWN


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([{"axes": ["y", "x"]}], "'datasets' is missing"),
        ([{"axes": ["y", "x"], "datasets": []}], "has no datasets"),
        ([{"axes": ["y", "x"], "datasets": [{}]}], "'path' is missing"),
        ([{"axes": [{}], "datasets": []}], "'name' is missing"),
        ([{"axes": 7, "datasets": []}], "int"),
        (["0"], "str"),
        ("0", "multiscales is '0'; wanted a list of images"),
        ([{"version": "0.6", "datasets": [{"path": "0"}]}], "version 0.6 of multiscales doesn't name"),
        ([multiscale("yx", scale=[[1]])], "a scale has 1 numbers; wanted 2"),
        ([multiscale("yx", scale=[["a", 1]])], "could not convert"),
    ],
)  # fmt: skip
def test_metadata_of_another_form_are_refused(entries: Any, message: str) -> None:
    """The error names the group and the reason."""
    with pytest.raises(ValueError, match=f"x has OME-Zarr metadata that can't be read: .*{message}"):
        read_multiscales({"multiscales": entries}, "x")


def test_other_groups_arent_images() -> None:
    """There is a convention of the same name, whose metadata are a mapping."""
    assert read_multiscales({}, "x") == read_multiscales({"multiscales": {"layout": []}}, "x") == ()


def test_names_of_channels() -> None:
    """All of them have names, and each its own; else none has."""
    labels = [{"label": "DAPI"}, {"label": "GFP"}]
    assert channel_names({"omero": {"channels": labels}}, 2) == ("DAPI", "GFP")
    for channels in (labels[:1], labels[:1] * 2, [*labels[:1], {}], [*labels[:1], {"label": 7}], "ab", None):
        assert channel_names({"omero": {"channels": channels}}, 2) is None
    assert channel_names({}, 2) is channel_names({"omero": 7}, 2) is None


def test_what_a_group_holds() -> None:
    """Plates have wells, wells fields of view, and other groups series or labels."""
    assert ome_attributes({"ome": {"a": 1}, "b": 2}) == {"a": 1}
    assert ome_attributes({"b": 2}) == {"b": 2}
    assert plate_wells({"plate": {"wells": [{"path": "A/1"}, {}, 7]}}) == ["A/1"]
    assert well_fields({"well": {"images": [{"path": "0"}]}}) == ["0"]
    assert label_names({"labels": ["cells"]}) == ["cells"]
    assert has_series({"bioformats2raw.layout": 3})
    assert plate_wells({}) is well_fields({}) is label_names({}) is None
    assert not has_series({})
