"""Masks, labels and zones that have no data in places."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import rasterio
from images.examples import HEIGHT, WIDTH, Plain, noise, write_tiff

from pipeline.images.image import Image
from pipeline.images.masking import Masking
from pipeline.images.no_data import NoData
from pipeline.images.opening import open_image, open_layer
from pipeline.images.reopening import reopen
from pipeline.images.zeroed import Zeroed, zeroed
from pipeline.testing.sources import SourceContract

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.testing.sources import Case

LABELS, MASK = noise(HEIGHT, WIDTH) % 4, noise(HEIGHT, WIDTH, seed=1) % 2
WHOLE = (slice(0, HEIGHT), slice(0, WIDTH))


class TestZeroed(SourceContract):
    """The contract, with each way to mark pixels."""

    @pytest.fixture(params=["mask", "no data", "alpha", "all", "nothing has data", "array"])
    def case(self, request: pytest.FixtureRequest, tmp_path: Path) -> Case:
        """Write labels, and their mask, or their alpha channel."""
        path, mask = tmp_path / "x.tif", write_tiff(tmp_path / "mask.tif", MASK, tile=(32, 48))
        valid = MASK != 0
        if request.param in {"alpha", "all"}:
            pixels = np.dstack([LABELS, MASK])
            options = {"photometric": "minisblack", "planarconfig": "contig"}
            write_tiff(path, pixels, extrasamples=["unassalpha"], **options)
            rgba = open_image(path, mask="alpha")
            assert rgba.channels == ("gray",)
            if request.param == "all":
                rgba = open_image(rgba, mask=MASK[::-1].copy(), no_data=3)
                valid = valid & (MASK[::-1] != 0) & (LABELS != 3)
            masked = rgba
        else:
            write_tiff(path, LABELS, tile=(32, 48), compression="deflate")
            given = MASK if request.param == "array" else mask
            masked = open_image(path, mask=None if request.param == "no data" else given)
            if request.param == "no data":
                masked, valid = open_image(path, no_data=3), LABELS != 3
            if request.param == "nothing has data":
                masked = open_image(path, mask=np.zeros_like(MASK))
                valid = np.zeros_like(valid)
        wanted = np.repeat(np.where(valid, LABELS, 0)[..., None], masked.shape[2], axis=2)
        return open_layer(masked, "labels"), wanted


def test_what_a_file_states_counts(tmp_path: Path) -> None:
    """Labels of a GeoTIFF that states a value without data have no label there, and lie at the same place."""
    path = tmp_path / "x.tif"
    size = {"width": WIDTH, "height": HEIGHT, "count": 1, "dtype": "uint8", "nodata": 3}
    transform = rasterio.Affine(10, 0, 5e5, 0, -10, 4e6)
    with rasterio.open(path, "w", driver="GTiff", crs="EPSG:32633", transform=transform, **size) as file:
        file.write(LABELS, 1)
    source = open_layer(path, "labels")
    np.testing.assert_array_equal(source.read(WHOLE)[..., 0], np.where(LABELS == 3, 0, LABELS))
    assert source.geometry == open_image(path).source.geometry
    again = reopen(json.loads(json.dumps(source.place()))).source
    assert again.description == source.description


def test_zero_that_marks_nothing_changes_nothing() -> None:
    """A layer whose value without data is 0 is itself; of several channels all must be 0 anyway."""
    plain = Plain(LABELS[..., None])
    assert zeroed(plain, Masking(no_data=NoData(0))) is plain
    assert zeroed(plain, Masking()) is plain
    several = Plain(noise(9, 9, 3))
    assert isinstance(zeroed(several, Masking(no_data=NoData(0, "any"))), Zeroed)


def test_identities_tell_masks_and_values_apart() -> None:
    """Another mask, value or rule is another image, and one without an identity has none."""
    plain = Plain(LABELS[..., None])
    maskings = [
        Masking((Plain(MASK[..., None]),)),
        Masking((Plain(MASK[::-1, :, None]),)),
        Masking(no_data=NoData(3)),
        Masking(no_data=NoData(2)),
        Masking(no_data=NoData(2, "any")),
    ]
    found = {zeroed(plain, masking).identity() for masking in maskings}
    assert len({*found, plain.identity()}) == 6
    unknown = Plain(MASK[..., None])
    unknown.identity = lambda: None  # type: ignore[method-assign, assignment, return-value]
    assert zeroed(plain, Masking((unknown,))).identity() is None


def test_memory_is_that_of_all_that_is_read() -> None:
    """The masks' memory counts, and a copy of the pixels."""
    plain, mask = Plain(LABELS[..., None]), Plain(MASK[..., None])
    masked = zeroed(plain, Masking((mask,), no_data=NoData(3)))
    extent = (10, 20)
    least = plain.region_bytes(extent) + mask.region_bytes(extent) + 200
    assert least < masked.region_bytes(extent) < least + 1000


def test_a_masked_layer_masks_and_labels(tmp_path: Path) -> None:
    """A mask with a mask of its own keeps what both keep."""
    image = open_image(noise(HEIGHT, WIDTH, 3))
    path = write_tiff(tmp_path / "x.tif", LABELS)
    valid = open_image(image, mask=open_image(path, mask=MASK, no_data=1)).part(WHOLE).read()[1]
    np.testing.assert_array_equal(valid, (LABELS > 1) & (MASK != 0))


@pytest.mark.parametrize("content", [{}, {"masks": 3}, {"masks": [], "has_alpha": 0, "no_data": "x"}])
def test_a_damaged_place(tmp_path: Path, content: dict[str, object]) -> None:
    """A place that was damaged is told."""
    path = write_tiff(tmp_path / "x.tif", LABELS)
    with pytest.raises(ValueError, match="the place of the image is damaged: zeroed is"):
        reopen({"image": str(path), "zeroed": content})


def test_an_image_of_it_needs_no_masking() -> None:
    """The pixels say it all."""
    source = zeroed(Plain(LABELS[..., None]), Masking(no_data=NoData(3)))
    assert Image.of(source).masking.is_empty
