"""Masks that TIFFs state, against those that rasterio reads."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from images.examples import HEIGHT, TILE, WIDTH, noise

from pipeline.images import tiff_pages
from pipeline.images.opening import open_image
from pipeline.images.readers import open_source
from pipeline.images.reopening import reopen
from pipeline.images.stated import StatedMask
from pipeline.images.tiff_masks import _spread
from pipeline.testing.sources import SourceContract

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.images.image import Image
    from pipeline.testing.sources import Case

# None of these images lies on a map.
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

PIXELS = noise(HEIGHT, WIDTH, 3)
MASK = np.kron(noise(13, 12) % 2, np.ones((8, 7), np.uint8))[:HEIGHT, :WIDTH]
TILED = {"tiled": True, "blockxsize": 48, "blockysize": 32, "compress": "deflate"}


def _rasterio(path: Path, **options: Any) -> Any:
    options = {"width": WIDTH, "height": HEIGHT, "count": 3, "dtype": "uint8", "photometric": "rgb"} | options
    return rasterio.open(path, "w", driver="GTiff", **options)


def _write_masked(path: Path, *, internal: bool, **options: Any) -> Path:
    """Write an image and its mask with GDAL."""
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal), _rasterio(path, **options) as file:
        file.write(np.moveaxis(PIXELS, -1, 0))
        file.write_mask(MASK * 255)
    return path


def _write_sparse(path: Path, shape: tuple[int, int], held: NDArray[np.bool_]) -> Path:
    """Write an image, of which the tiles that aren't held are left out."""
    pixels = np.full((*shape, 3), 9, np.uint8)
    tifffile.imwrite(path, pixels, tile=TILE, photometric="rgb", compression="zlib")
    with tifffile.TiffFile(path, mode="r+") as file:
        for name in ("TileOffsets", "TileByteCounts"):
            tag = file.pages.first.tags[name]
            tag.overwrite([int(n) * int(is_held) for n, is_held in zip(tag.value, held.flat, strict=True)])
    return path


def _valid(image: Image) -> NDArray[np.bool_]:
    """Return which pixels have data."""
    valid = image.part((slice(0, image.shape[0]), slice(0, image.shape[1]))).read()[1]
    assert valid is not None
    return valid


def _gdal(path: Path) -> NDArray[np.bool_]:
    """Return which pixels have data by GDAL."""
    with rasterio.open(path) as file:
        mask: NDArray[np.bool_] = file.dataset_mask() != 0
        return mask


@pytest.mark.parametrize("options", [TILED, {}, {"compress": "lzw", "interleave": "band"}])
@pytest.mark.parametrize("internal", [True, False])
def test_masks_that_gdal_writes(tmp_path: Path, options: dict[str, Any], *, internal: bool) -> None:
    """A mask page and a file beside the image say what rasterio reads, and can be left out."""
    path = _write_masked(tmp_path / "x.tif", internal=internal, **options)
    image = open_image(path)
    name = "mask page" if internal else ".msk sidecar"
    assert list(image.source.stated_masks()) == [name]
    assert image.masking.facts == [f"masked by the {name} of {path}"]
    np.testing.assert_array_equal(_valid(image), _gdal(path))
    np.testing.assert_array_equal(_valid(image), MASK != 0)
    np.testing.assert_array_equal(image, PIXELS)
    assert open_image(path, mask=None).masking.is_empty
    assert len(image.paths) == 2
    assert image.paths[1].name == ("x.tif" if internal else "x.tif.msk")


@pytest.mark.parametrize("compression", [None, "deflate", "lzw", "packbits"])
@pytest.mark.parametrize("layout", [{}, {"tile": (32, 32)}, {"rowsperstrip": 7}])
@pytest.mark.parametrize("dtype", [bool, np.uint8])
def test_mask_pages_of_other_writers(
    tmp_path: Path, layout: dict[str, Any], compression: str | None, dtype: Any
) -> None:
    """Masks of one bit or of eight, in strips or tiles, are read."""
    path = tmp_path / "x.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(PIXELS, photometric="rgb", metadata=None, **LAYOUT)
        kind, number = ("mask", 4) if dtype is bool else ("minisblack", 1)
        options: dict[str, Any] = {"photometric": kind, "subfiletype": number, "compression": compression}
        writer.write(MASK.astype(dtype) * dtype(200), metadata=None, **options, **layout)
    # tifffile writes masks of one bit only.
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages[1].tags["NewSubfileType"].overwrite(4)  # type: ignore[union-attr]
    np.testing.assert_array_equal(_valid(open_image(path)), MASK != 0)


LAYOUT: dict[str, Any] = {"tile": TILE, "compression": "deflate"}


@settings(max_examples=30)
@given(
    rows=st.integers(1, 100),
    columns=st.integers(1, 120),
    seed=st.integers(0, 99),
    steps=st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
def test_absent_tiles(
    tmp_path_factory: pytest.TempPathFactory, rows: int, columns: int, seed: int, steps: tuple[int, int]
) -> None:
    """The pixels of tiles that are left out have no data, up to the edges of the tiles."""
    path = tmp_path_factory.getbasetemp() / "sparse.tif"
    held = noise(-(-rows // TILE[0]), -(-columns // TILE[1]), seed=seed) % 2 != 0
    image = open_image(_write_sparse(path, (rows, columns), held))
    wanted = np.kron(held, np.ones(TILE, bool))[:rows, :columns]
    if held.all():
        assert image.masking.is_empty
        return
    np.testing.assert_array_equal(_valid(image), wanted)
    (mask,) = image.masking.masks
    some = (slice(rows // 3, rows, steps[0]), slice(columns // 4, columns, steps[1]))
    np.testing.assert_array_equal(mask.read(some)[..., 0], wanted[some])


def test_sparse_files_of_gdal(tmp_path: Path) -> None:
    """Tiles that GDAL leaves out have no data; with a value without data, rasterio says so too."""
    path = tmp_path / "x.tif"
    window = rasterio.windows.Window(48, 0, 35, 64)
    with _rasterio(path, sparse_ok=True, nodata=0, **TILED) as file:
        file.write(np.moveaxis(PIXELS[:64, 48:], -1, 0) | 1, window=window)
    wanted = np.zeros((HEIGHT, WIDTH), bool)
    wanted[:64, 48:] = True
    np.testing.assert_array_equal(_gdal(path), wanted)
    np.testing.assert_array_equal(_valid(open_image(path)), wanted)
    np.testing.assert_array_equal(_valid(open_image(path, no_data=None)), wanted)
    np.testing.assert_array_equal(_valid(open_image(path, mask=None)), wanted)


def test_a_tile_of_one_band_is_enough(tmp_path: Path) -> None:
    """A tile has data if any band has it: GDAL leaves out those of bands that are 0 there."""
    path = tmp_path / "x.tif"
    with _rasterio(path, sparse_ok=True, interleave="band", **TILED) as file:
        file.write(PIXELS[:32, :48, 0] | 1, 2, window=rasterio.windows.Window(0, 0, 48, 32))
        file.write(PIXELS[64:96, :48, 0] | 1, 3, window=rasterio.windows.Window(0, 64, 48, 32))
    wanted = np.zeros((HEIGHT, WIDTH), bool)
    wanted[:32, :48] = wanted[64:96, :48] = True
    np.testing.assert_array_equal(_valid(open_image(path)), wanted)


def test_a_mask_of_a_lower_resolution(tmp_path: Path) -> None:
    """A coarser mask page is scaled, and one of another aspect is another image's."""
    path = tmp_path / "x.tif"
    for shape, fits in ((-(-HEIGHT // 4), -(-WIDTH // 4)), True), ((40, 80), False):
        mask = noise(*shape) % 2
        with tifffile.TiffWriter(path) as writer:
            writer.write(PIXELS, photometric="rgb", metadata=None, **LAYOUT)
            writer.write(mask.astype(bool), photometric="mask", subfiletype=4, metadata=None)
        image = open_image(path)
        assert image.masking.is_empty != fits
        if fits:
            rows, columns = (
                (2 * np.arange(n) + 1) * m // (2 * n) for n, m in zip(MASK.shape, shape, strict=True)
            )
            np.testing.assert_array_equal(_valid(image), mask[np.ix_(rows, columns)] != 0)


def test_a_finer_mask_is_thinned(tmp_path: Path) -> None:
    """A coarser image has the mask of the pixels near the centers of its own."""
    path = tmp_path / "x.tif"
    mask = np.kron(noise(HEIGHT, WIDTH) % 2, np.ones((4, 4), np.uint8)) != 0
    with tifffile.TiffWriter(path) as writer:
        writer.write(PIXELS, photometric="rgb", metadata=None, **LAYOUT)
        writer.write(mask, photometric="mask", subfiletype=4, metadata=None, tile=(64, 64))
    np.testing.assert_array_equal(_valid(open_image(path)), mask[::4, ::4])


@given(count=st.integers(1, 500), step=st.integers(1, 40), data=st.data())
def test_places_of_a_coarser_axis(count: int, step: int, data: st.DataObject) -> None:
    """Lengths that were rounded down or up are spread, to within half a coarse pixel of the centers."""
    length = data.draw(st.integers(step * (count - 1) + 1, step * count + step - 1))
    places = _spread(length, count, step)
    assert places is not None
    assert len(places) == count
    assert range(length)[places[0]] == places[0]
    assert places[-1] < length
    centers = (np.arange(count) + 0.5) * step
    assert np.abs(np.array(places) + 0.5 - centers).max() <= step / 2
    assert _spread(step * count + step, count, step) is None
    assert _spread(step * (count - 1), count, step) is None


def test_a_mask_beside_the_file_that_changes(tmp_path: Path) -> None:
    """Another mask beside the file is another mask, and the file itself is the same image."""
    path = _write_masked(tmp_path / "x.tif", internal=False)
    before, sidecar = open_image(path), tmp_path / "x.tif.msk"
    place = json.loads(json.dumps(before.masking.masks[0].place()))
    assert reopen(place).description == before.masking.masks[0].description
    os.utime(sidecar, ns=(0, 10**9))
    after = open_image(path)
    assert after.description == before.description
    assert after.masking.masks[0].identity() != before.masking.masks[0].identity()
    with pytest.raises(ValueError, match=r"x\.tif\.msk changed since it was opened. Open it again"):
        _valid(before)
    sidecar.unlink()
    assert open_image(path).masking.is_empty
    with pytest.raises(ValueError, match=r"x\.tif has no \.msk sidecar any more"):
        reopen(place)


def test_what_lies_beside_the_file_and_is_no_mask(tmp_path: Path) -> None:
    """A file of another format is left alone; a damaged one is told, and needn't be read."""
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, PIXELS, photometric="rgb")
    sidecar = tmp_path / "x.tif.msk"
    sidecar.write_bytes(b"something else")
    assert open_image(path).masking.is_empty
    sidecar.write_bytes(b"II*\0\0\0\0\0")
    with pytest.raises(ValueError, match=r"x\.tif\.msk can't be read as a TIFF"):
        open_image(path)
    assert open_image(path, mask=None).masking.is_empty


def test_giant_strips_of_an_image_and_its_mask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strips that are kept aren't mixed up with those of the mask in the same file."""
    monkeypatch.setattr(tiff_pages, "GIANT", 0)
    path = tmp_path / "x.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(PIXELS, photometric="rgb", metadata=None, compression="deflate")
        options: dict[str, Any] = {"photometric": "mask", "subfiletype": 4, "compression": "deflate"}
        writer.write(MASK.astype(bool), metadata=None, **options)
    image = open_image(path)
    for top in range(0, HEIGHT, 30):
        region = (slice(top, min(top + 30, HEIGHT)), slice(0, 40))
        pixels, valid = image.part(region).read()
        assert pixels is not None
        np.testing.assert_array_equal(valid, MASK[region] != 0)
        np.testing.assert_array_equal(pixels[valid], PIXELS[region][MASK[region] != 0])


class TestMasks(SourceContract):
    """Stated masks are sources, found again by the place of their image."""

    @pytest.fixture(params=["absent tiles", "mask page", ".msk sidecar", "finer", "several samples"])
    def case(self, request: pytest.FixtureRequest, tmp_path: Path) -> Case:
        """Write an image that states a mask."""
        path, fact = tmp_path / "x.tif", request.param
        wanted = MASK != 0
        if fact == "absent tiles":
            held = noise(4, 2, seed=3) % 2 != 0
            _write_sparse(path, (HEIGHT, WIDTH), held)
            wanted = np.kron(held, np.ones(TILE, bool))[:HEIGHT, :WIDTH]
        elif fact == "finer":
            fact = "mask page"
            with tifffile.TiffWriter(path) as writer:
                writer.write(PIXELS, photometric="rgb", metadata=None)
                writer.write(np.kron(wanted, np.ones((3, 3), bool)), photometric="mask", metadata=None)
        elif fact == "several samples":
            fact = ".msk sidecar"
            tifffile.imwrite(path, PIXELS, photometric="rgb")
            two = np.stack([MASK & 1, np.zeros_like(MASK)])
            tifffile.imwrite(
                tmp_path / "x.tif.msk.tif", two, planarconfig="separate", photometric="minisblack"
            )
            (tmp_path / "x.tif.msk.tif").rename(tmp_path / "x.tif.msk")
        else:
            _write_masked(path, internal=fact == "mask page", **TILED)
        source = open_source(path)
        return StatedMask(source, fact, source.stated_masks()[fact]), wanted[..., None]
