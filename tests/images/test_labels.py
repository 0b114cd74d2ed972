"""Labels: images, arrays and polygons that say of which class pixels are."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import cv2
import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from images.examples import box, feature, noise, write_geojson

from pipeline.images.labels import open_labels
from pipeline.images.lazy import read_whole
from pipeline.images.opening import open_image

if TYPE_CHECKING:
    from pathlib import Path

EXTENT = (70, 90)
LABELS = noise(*EXTENT) % 4


def test_labels_of_any_kind(tmp_path: Path) -> None:
    """Files, directories, arrays of integers and booleans, and images are labels without names."""
    cv2.imwrite(os.fspath(tmp_path / "x.png"), LABELS)
    tifffile.imwrite(tmp_path / "x.tif", LABELS.astype(np.int32), photometric="minisblack")
    zarr.create_array(tmp_path / "x.zarr", data=LABELS, chunks=(20, 20))
    kinds: list[Any] = [
        LABELS,
        LABELS.astype(np.int64),
        LABELS[..., np.newaxis],
        LABELS.tolist(),
        da.from_array(LABELS, chunks=30),
        tmp_path / "x.png",
        os.fspath(tmp_path / "x.tif"),
        tmp_path / "x.zarr",
        open_image(LABELS),
        open_image(np.dstack([LABELS, LABELS]))[..., :1],
        open_image(LABELS).source,
    ]
    for kind in kinds:
        labels = open_labels(kind, EXTENT)
        assert labels.names is None
        np.testing.assert_array_equal(read_whole(labels.source)[..., 0], LABELS)
    two = open_labels(LABELS > 1, EXTENT).source
    assert two.dtype == np.bool
    np.testing.assert_array_equal(read_whole(two)[..., 0], LABELS > 1)


def test_pixels_without_data_have_no_label(tmp_path: Path) -> None:
    """A mask and a no-data value of labels leave out their pixels, also where the labels' file states it."""
    path = tmp_path / "x.tif"
    tags = [(42113, "s", 0, "3", True)]
    tifffile.imwrite(path, LABELS, photometric="minisblack", extratags=tags)
    mask = noise(*EXTENT, seed=1) % 2
    for labels, valid in [
        (open_image(LABELS, no_data=3), LABELS != 3),
        (open_image(LABELS, mask=mask), mask != 0),
        (path, LABELS != 3),
        (open_image(path, mask=mask), (LABELS != 3) & (mask != 0)),
        (open_image(path, no_data=None), np.ones(EXTENT, bool)),
    ]:
        found = read_whole(open_labels(labels, EXTENT).source)[..., 0]
        np.testing.assert_array_equal(found, np.where(valid, LABELS, 0))


def test_labels_of_a_small_copy(tmp_path: Path) -> None:
    """Labels that were painted on a small copy of the image are scaled to it."""
    small = LABELS[::2, ::2].copy()
    cv2.imwrite(os.fspath(tmp_path / "x.png"), small)
    for kind in (small, tmp_path / "x.png"):
        found = read_whole(open_labels(kind, EXTENT).source)[..., 0]
        np.testing.assert_array_equal(found, small.repeat(2, axis=0).repeat(2, axis=1))


def test_labels_of_polygons(tmp_path: Path) -> None:
    """A GeoJSON file names its labels: by class, or by feature."""
    features = [
        feature(box(n, 0, n + 2, 5), classification={"name": "ab"[n % 2]}, name=f"{n}") for n in range(3)
    ]
    path = write_geojson(tmp_path / "x.geojson", *features)
    by_class, by_feature = open_labels(path, EXTENT), open_labels(os.fspath(path), EXTENT, by="feature")
    assert by_class.names == {1: "a", 2: "b"}
    assert by_feature.names == {1: "0", 2: "1", 3: "2"}
    assert read_whole(by_class.source)[4, :6, 0].tolist() == [1, 2, 1, 1, 0, 0]
    assert read_whole(by_feature.source)[4, :6, 0].tolist() == [1, 2, 3, 3, 0, 0]
    assert by_class.source.shape == (*EXTENT, 1)


def test_the_memory_of_labels(tmp_path: Path) -> None:
    """Labels of a photo are held whole, and a region takes its pixels; the caller names them in messages."""
    cv2.imwrite(os.fspath(tmp_path / "x.png"), LABELS)
    photo = open_labels(tmp_path / "x.png", EXTENT).footprint((10, 20))
    assert (photo.held, photo.present) == (LABELS.nbytes, LABELS.nbytes)
    assert photo.region >= 200
    assert open_labels(LABELS.astype(np.int64), EXTENT).footprint((10, 20)) == (0, 0, 0, 1600)
    for wrong in (LABELS / 2, LABELS[:9], 3):
        with pytest.raises(ValueError, match=r"^zones "):
            open_labels(wrong, EXTENT, role="zones")


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (LABELS / 2, ValueError, "labels have dtype float64; wanted integers, .* Convert them"),
        (noise(70, 90, 3), ValueError, r"labels has shape \(70, 90, 3\); wanted \(70, 90\), .* one channel"),
        (noise(70, 60), ValueError, r"labels has shape \(70, 60\); wanted \(70, 90\)"),
        (noise(140, 180), ValueError, r"labels has shape \(140, 180\); wanted \(70, 90\)"),
        (noise(70), ValueError, r"labels is an array of shape \(70,\); wanted .* \(H, W\)"),
        (3, ValueError, r"labels is 3; wanted a path or an array of shape \(H, W\)"),
        ("none.geojson", FileNotFoundError, "none.geojson is not there"),
        (open_image(LABELS)[0], ValueError, "after indexing; wanted rows, columns"),
    ],
)
def test_labels_that_are_refused(labels: Any, error: type[Exception], message: str) -> None:
    """Anything but integers that lie over the image is refused."""
    with pytest.raises(error, match=message):
        open_labels(labels, EXTENT)
