"""Masking: which pixels have data, in any of three ways, and which pixels a task then reads."""

from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING, Any

import cv2
import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from images.examples import box, feature, noise, write_geojson

from pipeline.images.masking import Masking, check_mask
from pipeline.images.no_data import NoData
from pipeline.images.opening import open_image
from pipeline.images.readers import open_source

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.images.image import Image

SHAPE = (70, 90)
WHOLE = (slice(0, 70), slice(0, 90))


@pytest.fixture
def image(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give a part of the photo, without black."""
    return np.maximum(photo[100:170, 200:290], 8)


@pytest.fixture
def mask() -> NDArray[np.uint8]:
    """Give a mask that has blocks of 32 x 32 with all, some and no data."""
    mask = np.random.default_rng(0).integers(0, 2, SHAPE).astype(np.uint8)
    mask[:32, :32] = 0
    mask[32:64, 32:64] = 255
    mask[64:, 64:] = 0
    return mask


def check(masked: Image, image: NDArray[Any], valid: NDArray[np.bool_]) -> None:
    """Compare the pixels that tasks read, block by block and after pickling, with the image and the mask."""
    for top in range(0, SHAPE[0], 32):
        for left in range(0, SHAPE[1], 32):
            region = (slice(top, min(top + 32, SHAPE[0])), slice(left, min(left + 32, SHAPE[1])))
            pixels, told = pickle.loads(pickle.dumps(masked.part(region))).read()  # noqa: S301  made here
            np.testing.assert_array_equal(told, valid[region])
            assert (pixels is None) == (not valid[region].any())
            if pixels is not None:
                assert pixels.dtype == image.dtype
                np.testing.assert_array_equal(pixels[told], image[region][told])
                assert (pixels[~told] == pixels[told][:1]).all()


@pytest.mark.parametrize(
    "kind",
    [
        "uint8",
        "bool",
        "float",
        "one channel",
        "Fortran",
        "Dask",
        "Zarr",
        "TIFF",
        "PNG",
        "path object",
        "image",
        "view",
        "GeoJSON",
        "level",
    ],
)
def test_a_mask_of_any_kind(
    tmp_path: Path, image: NDArray[np.uint8], mask: NDArray[np.uint8], kind: str
) -> None:
    """Where a mask is 0, whatever it is, there are no data; elsewhere the pixels are as without it."""
    tifffile.imwrite(tmp_path / "mask.tif", mask, tile=(32, 32), photometric="minisblack")
    cv2.imwrite(os.fspath(tmp_path / "mask.png"), mask)
    outlines = [feature(box(column, row, column + 1, row + 1)) for row, column in np.argwhere(mask).tolist()]
    if kind == "level":
        mask = mask[::2, ::2].repeat(2, axis=0).repeat(2, axis=1)
    wide = np.zeros((200, 300, 3), np.uint8)
    wide[10:150:2, 5:275:3, 1] = mask
    kinds: dict[str, Any] = {
        "uint8": mask,
        "bool": mask != 0,
        "float": mask / 7,
        "one channel": mask[..., np.newaxis],
        "Fortran": np.asfortranarray(mask),
        "Dask": da.from_array(mask, chunks=(17, 40)),
        "Zarr": zarr.create_array(tmp_path / "mask.zarr", data=mask, chunks=(20, 20)),
        "TIFF": os.fspath(tmp_path / "mask.tif"),
        "PNG": os.fspath(tmp_path / "mask.png"),
        "path object": tmp_path / "mask.tif",
        "image": open_image(mask),
        "view": open_image(wide)[10:150:2, 5:275:3, 1],
        "GeoJSON": write_geojson(tmp_path / "mask.geojson", *outlines),
        "level": mask[::2, ::2],
    }
    check(open_image(image, mask=kinds[kind]), image, mask != 0)


def test_blocks_without_data_arent_read(image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> None:
    """Where a mask leaves nothing of a block, its pixels aren't read."""
    read = []

    def note(block: NDArray[np.uint8], block_info: Any = None) -> NDArray[np.uint8]:
        if block_info:
            read.append(block_info[0]["chunk-location"][:2])
        return block

    watched = da.from_array(image, chunks=(32, 32, 3)).map_blocks(note, dtype=np.uint8)
    masked = open_image(watched, mask=mask)
    for top in (0, 32, 64):
        for left in (0, 32, 64):
            masked.part((slice(top, min(top + 32, 70)), slice(left, min(left + 32, 90)))).read()
    assert sorted(read) == [(0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1)]


@pytest.mark.parametrize("kind", ["array", "Dask", "TIFF", "PNG", "sliced"])
def test_alpha_is_a_mask(
    tmp_path: Path, image: NDArray[np.uint8], mask: NDArray[np.uint8], kind: str
) -> None:
    """An image's own alpha, of a file in any format or an array, tells where there are data."""
    four = np.dstack([image, mask])
    tifffile.imwrite(tmp_path / "4.tif", four, tile=(32, 32), photometric="rgb", extrasamples=["unassalpha"])
    cv2.imwrite(os.fspath(tmp_path / "4.png"), four[..., [2, 1, 0, 3]])
    sources: dict[str, Any] = {
        "array": four,
        "Dask": da.from_array(four, chunks=(33, 90, 2)),
        "TIFF": tmp_path / "4.tif",
        "PNG": tmp_path / "4.png",
        "sliced": open_image(np.tile(four, (2, 1, 1)))[:70],
    }
    masked = open_image(sources[kind], mask="alpha")
    assert masked.shape == (*SHAPE, 3)
    check(masked, image, mask != 0)
    check(masked[::-1, ..., 1:], image[::-1, :, 1:], mask[::-1] != 0)


@pytest.mark.parametrize("value", [0, 0.0, np.uint8(0), np.float32(0)], ids=repr)
def test_a_value_without_data(image: NDArray[np.uint8], value: float) -> None:
    """Pixels all of whose channels have the value have no data; one channel isn't enough."""
    marked = image.copy()
    marked[10:50, 20:60] = 0
    marked[5, 5] = (0, 0, 1)
    marked[5, 6] = (1, 0, 0)
    check(open_image(marked, no_data=value), marked, (marked != 0).any(axis=-1))


@pytest.mark.parametrize("value", [-1, 256, 0.5])
def test_a_value_that_no_pixel_can_have(image: NDArray[np.uint8], value: float) -> None:
    """A value beyond the image's dtype marks nothing."""
    check(open_image(image, no_data=value), image, np.ones(SHAPE, bool))


def test_a_value_without_data_in_floats(image: NDArray[np.uint8]) -> None:
    """A value that a float32 image rounds marks its pixels all the same."""
    marked = image.astype(np.float32)
    marked[:40, :40] = -9999.9
    valid = np.ones(SHAPE, bool)
    valid[:40, :40] = False
    check(open_image(marked, no_data=-9999.9), marked, valid)


def test_mask_and_value_together(image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> None:
    """A pixel has data only where everything says so."""
    marked = image.copy()
    marked[20:50, 20:70] = 7
    valid = (mask != 0) & (marked != 7).any(axis=-1)
    check(open_image(marked, mask=mask, no_data=7), marked, valid)
    check(open_image(np.dstack([marked, mask]), mask="alpha", no_data=7), marked, valid)
    check(open_image(open_image(open_image(marked), mask=mask), no_data=7), marked, valid)


def test_an_image_without_any_data(image: NDArray[np.uint8]) -> None:
    """A mask of zeros leaves nothing to read."""
    for masked in (
        open_image(image, mask=np.zeros(SHAPE)),
        open_image(np.dstack([image, np.zeros(SHAPE, np.uint8)]), mask="alpha"),
        open_image(np.full_like(image, 7), no_data=7),
    ):
        check(masked, image, np.zeros(SHAPE, bool))


def test_without_masking_all_pixels_are_as_they_are(image: NDArray[np.uint8]) -> None:
    """Nothing is copied where nothing masks."""
    pixels, valid = open_image(image).part(WHOLE).read()
    assert valid is None
    assert pixels is not None
    assert np.shares_memory(pixels, image)


def test_stored_pixels_are_not_masked(image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> None:
    """Computing an image gives the pixels that are stored, with mask or without."""
    np.testing.assert_array_equal(open_image(image, mask=mask, no_data=9), image)
    np.testing.assert_array_equal(open_image(np.dstack([image, mask]), mask="alpha").to_dask(), image)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"mask": np.ones((70, 91))},
            ValueError,
            r"mask has shape \(70, 91\); wanted \(70, 90\), the image's",
        ),
        ({"mask": np.ones((70, 90, 3))}, ValueError, r"mask has shape \(70, 90, 3\)"),
        ({"mask": np.ones(70)}, ValueError, r"mask is an array of shape \(70,\); wanted a path or an array"),
        ({"mask": 3}, ValueError, "mask is 3; wanted a path or an array"),
        ({"mask": "none.png"}, FileNotFoundError, "none.png is not there"),
        ({"mask": np.ma.masked_less(np.ones((70, 90)), 2)}, TypeError, "mask is a masked array"),
        ({"mask": da.ones(SHAPE)[da.arange(70) > -1]}, ValueError, "mask has chunks of unknown size"),
        ({"no_data": float("nan")}, ValueError, "no_data is nan; wanted a finite number"),
        ({"no_data": float("inf")}, ValueError, "no_data is inf; wanted a finite number"),
        ({"no_data": "0x"}, ValueError, "no_data is '0x'; wanted a finite number"),
        ({"no_data": 10**400}, ValueError, "no_data is 1000"),
    ],
)
def test_masks_that_are_refused(
    image: NDArray[np.uint8], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    """An object that can't mask the image is refused when the image is opened."""
    with pytest.raises(error, match=message):
        open_image(image, **options)


def test_masks_add_up(image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> None:
    """A further mask leaves out further pixels, another no-data value replaces the first, and None undoes."""
    masked, other = open_image(image, mask=mask, no_data=3), noise(*SHAPE) % 2
    both = open_image(masked, mask=other)
    whole = (slice(0, SHAPE[0]), slice(0, SHAPE[1]))
    is_other = (image != 3).any(axis=-1)
    np.testing.assert_array_equal(both.part(whole).read()[1], (mask != 0) & (other != 0) & is_other)
    assert open_image(both, mask=None, no_data=None).masking.is_empty
    assert open_image(both, mask=None).no_data == NoData(3)
    assert open_image(masked, no_data=4).no_data == NoData(4)
    inner = open_image(mask, mask=other)
    np.testing.assert_array_equal(
        open_image(image, mask=inner).part(whole).read()[1], (mask != 0) & (other != 0)
    )


@pytest.mark.parametrize("kind", ["array", "file"])
def test_alpha_is_left_out_again(tmp_path: Path, kind: str, image: NDArray[np.uint8]) -> None:
    """None leaves out alpha as a mask; the other channels stay as they were."""
    pixels = np.dstack([image, noise(*SHAPE)])
    tifffile.imwrite(tmp_path / "x.tif", pixels, photometric="rgb", extrasamples=["unassalpha"])
    masked = open_image(tmp_path / "x.tif" if kind == "file" else pixels, mask="alpha")
    plain = open_image(masked, mask=None)
    assert masked.masking.has_alpha
    assert plain.masking.is_empty
    np.testing.assert_array_equal(plain, image)


def test_memory_of_masking() -> None:
    """A mask's region counts, and a copy of the pixels and two bytes a pixel wherever anything masks."""
    mask = open_source(np.ones(SHAPE, np.float32))
    assert Masking().region_bytes((2, 5), 3) == 0
    for masking in (Masking(no_data=NoData(3.0)), Masking(has_alpha=True)):
        assert masking.region_bytes((2, 5), 3) == 10 * (3 + 2)
    assert Masking((mask,)).region_bytes((2, 5), 3) == 40 + 10 * (3 + 2)


def test_masking_of_some_rows_and_columns() -> None:
    """A view of the masks masks the pixels of the same view of the image."""
    mask = np.arange(6).reshape(2, 3)
    viewed = Masking((open_source(mask),), no_data=NoData(2.0)).view(range(1, -1, -1), range(0, 3, 2))
    assert viewed.no_data == NoData(2.0)
    assert not viewed.is_empty
    np.testing.assert_array_equal(viewed.masks[0].read((slice(2), slice(2)))[..., 0], mask[::-1, ::2])


def test_checks_return_what_they_check() -> None:
    """A mask and a value that are right come back."""
    mask = open_source(np.ones(SHAPE))
    assert check_mask(mask, SHAPE) is mask
    assert check_mask(mask, (140, 180)).extent == (140, 180)


def test_masks_in_words(tmp_path: Path) -> None:
    """Each kind of mask is told in a few words."""
    zarr.create_array(tmp_path / "mask.zarr", data=np.ones((4, 5), bool), chunks=(4, 5))
    assert Masking().facts == []
    assert Masking(has_alpha=True, no_data=NoData(0.5)).facts == ["masked by alpha", "no data where 0.5"]
    assert Masking((open_source(np.ones((4, 5)), role="mask"),)).facts == ["masked by an array"]
    stored = Masking((open_source(tmp_path / "mask.zarr", role="mask"),))
    assert stored.facts == [f"masked by {tmp_path / 'mask.zarr'}"]
