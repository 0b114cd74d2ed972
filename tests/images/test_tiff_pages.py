"""Pages of TIFFs: tiles and strips are decoded where they are needed, once, or are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from images.examples import HEIGHT, WIDTH, noise, set_tag, smooth, write_tiff

from pipeline.images import tiff_pages
from pipeline.images.grid import choose_grid
from pipeline.images.opening import open_image
from pipeline.images.readers import open_source

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def spy(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note which tiles or strips are decoded."""
    segments: list[int] = []
    read = tiff_pages.Pages._segment

    def _spy(self: Any, file: Any, number: int, index: int) -> NDArray[Any]:
        segments.append(index)
        return read(self, file, number, index)

    monkeypatch.setattr(tiff_pages.Pages, "_segment", _spy)
    return segments


def test_opening_reads_no_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening a TIFF decodes nothing, and computing a chunk only the tiles that the chunk meets."""
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, noise(96, 96, 3), photometric="rgb", tile=(32, 32), compression="deflate")
    segments = spy(monkeypatch)
    array = open_image(path).to_dask(32)
    assert (array.shape, array.chunksize, array.dtype) == ((96, 96, 3), (32, 32, 3), np.dtype("uint8"))
    assert segments == []
    array[32:64, 64:].compute(scheduler="synchronous")
    assert segments == [5]


def test_no_more_than_the_selected_tiles_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Indexing an image decodes the tiles that hold selected pixels, of the selected planes, each once."""
    path, planes = tmp_path / "x.tif", noise(3, 160, 160)
    tifffile.imwrite(
        path, planes, photometric="rgb", planarconfig="separate", tile=(16, 16), compression="lzw"
    )
    image, pixels, segments = open_image(path), np.moveaxis(planes, 0, -1), spy(monkeypatch)
    cases: list[tuple[Any, set[int]]] = [
        (np.s_[::50, ::-70, 1], {100 + 10 * row + column for row in (0, 3, 6, 9) for column in (9, 5, 1)}),
        (np.s_[17, 33, 2], {212}),
        (np.s_[31:33, :16], {plane + row for plane in (0, 100, 200) for row in (10, 20)}),
        (np.s_[..., 0], set(range(100))),
        (np.s_[5:5], set()),
        (np.s_[::-1, 159:158:-1, 2], {209 + 10 * row for row in range(10)}),
    ]
    for key, wanted in cases:
        np.testing.assert_array_equal(image[key], pixels[key])
        assert set(segments) == wanted
        assert len(segments) == len(wanted)
        segments.clear()


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_giant_strips_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planar: str) -> None:
    """Blocks that lie in strips larger than them share the strips, of each plane."""
    monkeypatch.setattr(tiff_pages, "GIANT", 0)
    pixels, path = noise(HEIGHT, WIDTH, 3), tmp_path / "x.tif"
    written = np.ascontiguousarray(np.moveaxis(pixels, -1, 0)) if planar == "separate" else pixels
    tifffile.imwrite(
        path, written, photometric="rgb", planarconfig=planar, rowsperstrip=30, compression="lzw"
    )
    source, segments = open_source(path), spy(monkeypatch)
    planes = 3 if planar == "separate" else 1
    for top in range(0, HEIGHT, 20):
        for left in range(0, WIDTH, 20):
            region = (slice(top, min(top + 20, HEIGHT)), slice(left, min(left + 20, WIDTH)))
            np.testing.assert_array_equal(source.read(region), pixels[region])
    assert len(segments) == len(set(segments)) == 4 * planes
    strip = 30 * WIDTH * 3 // planes
    assert 2 * planes * strip < source.held_bytes < 2 * planes * strip + 2 * strip
    assert (source.unit, source.opening_bytes) == ((1, 1), 0)
    assert source.region_bytes((20, 20)) == 20 * 20 * 3


def test_a_page_that_stands_for_several(tmp_path: Path) -> None:
    """Channels that follow the only page of a file are channels all the same."""
    pixels = noise(5, 30, 40)
    path = write_tiff(
        tmp_path / "one.tif", pixels, photometric="minisblack", truncate=True, metadata={"axes": "CYX"}
    )
    np.testing.assert_array_equal(open_image(path), np.moveaxis(pixels, 0, 2))


def test_an_image_in_one_missing_strip(tmp_path: Path) -> None:
    """An image that is wholly left out of its file is no data, not the file's first bytes."""
    path = write_tiff(tmp_path / "empty.tif", noise(32, 32), photometric="minisblack", rowsperstrip=32)
    set_tag(path, StripOffsets=0, StripByteCounts=0)
    assert not np.asarray(open_image(path)).any()


@pytest.mark.parametrize("rows", [1, 7, 64])
def test_strips_are_decoded_once_in_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """The blocks of a wide image hold whole strips, but for those at their seams."""
    pixels = np.zeros((200, 5000), np.uint8)
    path = write_tiff(tmp_path / "x.tif", pixels, compression="deflate", rowsperstrip=rows)
    source, segments = open_source(path), spy(monkeypatch)
    grid = choose_grid(source.extent, tile=source.tile, unit=source.unit, length=512)
    for block in grid.blocks():
        source.read(block.region)
    assert len(set(segments)) == -(-200 // rows)
    # A strip that no block ends with lies in two blocks.
    seams = grid.n_blocks - 1 if grid.block[0] % rows else 0
    assert len(segments) == len(set(segments)) + seams


def test_a_decoder_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A codec that imagecodecs was built without isn't damage of the file."""
    path = write_tiff(tmp_path / "x.tif", smooth(), compression="zstd", tile=(32, 32))
    image = open_image(path)

    def decode(*_args: Any, **_options: Any) -> None:
        raise imagecodecs.DelayedImportError("zstd_decode")

    monkeypatch.setattr(open_source(path)._pages, "_decoder", decode)  # type: ignore[attr-defined]
    with pytest.raises(ImportError, match=r"x\.tif can't be decoded: could not import name 'zstd_decode'"):
        image[:5].compute()


def test_a_compression_that_is_not_known(tmp_path: Path) -> None:
    """It is named when the file is opened, and isn't called damage."""
    path = set_tag(write_tiff(tmp_path / "x.tif", noise(32, 32), compression="lzw"), Compression=12345)
    with pytest.raises(
        ValueError, match=r"x\.tif is a TIFF of a kind that isn't read, compression number 12345"
    ):
        open_image(path)


def test_a_tile_of_another_type(tmp_path: Path) -> None:
    """Samples of another type than the tags say aren't cut to it."""
    path = write_tiff(tmp_path / "x.tif", noise(32, 32, dtype="uint16"), compression="png", tile=(32, 32))
    set_tag(path, BitsPerSample=8)
    with pytest.raises(ValueError, match="it holds uint16, not uint8"):
        open_image(path).compute()


def test_sizes_beyond_the_file(tmp_path: Path) -> None:
    """Tags of a size that the file can't hold are refused before anything is allocated."""
    path = write_tiff(tmp_path / "x.tif", noise(32, 32))
    set_tag(path, ImageWidth=2**31, ImageLength=2**31)
    with pytest.raises(ValueError, match=r"x\.tif is truncated: it lacks \d+ bytes"):
        open_image(path)
    path = write_tiff(tmp_path / "y.tif", noise(32, 32), compression="lzw")
    set_tag(path, ImageWidth=2**31, RowsPerStrip=2**31, ImageLength=2**31)
    with pytest.raises(
        ValueError, match=r"y\.tif is damaged: \d+ bytes can't hold a tile or strip of 2147483648"
    ):
        open_image(path)


def test_opening_a_stack_reads_few_tags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One plane of a stack that lies in one piece is found by the tags of its first page."""
    path = write_tiff(
        tmp_path / "x.tif", noise(50, 16, 16), photometric="minisblack", imagej=True, metadata={"axes": "ZYX"}
    )
    parsed, make = [], tifffile.TiffPage.__init__

    def note(page: Any, *args: Any, **options: Any) -> None:
        parsed.append(page)
        make(page, *args, **options)

    monkeypatch.setattr(tifffile.TiffPage, "__init__", note)
    np.testing.assert_array_equal(open_image(path, z=49)[..., 0], noise(50, 16, 16)[49])
    assert len(parsed) < 10
