"""TIFFs of every layout give the pixels that were written, by regions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from images.examples import COLOR, HEIGHT, LAYOUTS, TILE, WIDTH, names, noise, smooth, write_tiff

from pipeline.images.opening import open_image
from pipeline.images.readers import open_source
from pipeline.testing.sources import SourceContract

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.images.image import Image
    from pipeline.testing.sources import Case


def _rows_columns_channels(array: NDArray[Any]) -> NDArray[Any]:
    return array[..., None] if array.ndim == 2 else array


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_tiff_comes_as_written(tmp_path: Path, layout: str, dtype: str) -> None:
    """Gray, interleaved and planar TIFFs of each layout and depth give the array that was written."""
    for shape, planar in [
        ((HEIGHT, WIDTH), None),
        ((HEIGHT, WIDTH, 3), "contig"),
        ((3, HEIGHT, WIDTH), "separate"),
    ]:
        written, path = noise(*shape, dtype=dtype), tmp_path / f"{planar}.tif"
        photometric = "minisblack" if len(shape) == 2 else "rgb"
        tifffile.imwrite(path, written, photometric=photometric, planarconfig=planar, **LAYOUTS[layout])
        wanted = np.moveaxis(written, 0, -1) if planar == "separate" else _rows_columns_channels(written)
        file = open_image(path)
        assert (file.shape, file.dtype) == (wanted.shape, np.dtype(dtype))
        assert file.channels == (("gray",) if len(shape) == 2 else COLOR)
        np.testing.assert_array_equal(file, wanted)
        np.testing.assert_array_equal(file[31:33, 40:83, 1:], wanted[31:33, 40:83, 1:])
        reverse = open_image(path, channels=None if len(shape) == 2 else names("BGR"))
        np.testing.assert_array_equal(reverse[5:64, :49], wanted[5:64, :49, ::-1])


def test_tile_is_what_is_decoded_at_once(tmp_path: Path) -> None:
    """Tiles and strips are reported where they are compressed, and any piece will do where not."""
    for options, tile in [
        (LAYOUTS["tiles"], TILE),
        (LAYOUTS["strips"], (7, WIDTH)),
        (LAYOUTS["one compressed strip"], (HEIGHT, WIDTH)),
        (LAYOUTS["one strip"], (1, 1)),
    ]:
        tifffile.imwrite(tmp_path / "x.tif", noise(HEIGHT, WIDTH, 3), photometric="rgb", **options)
        assert open_image(tmp_path / "x.tif").tile == tile


@pytest.mark.parametrize("photometric", ["rgb", "ycbcr"])
@pytest.mark.parametrize("layout", [{"tile": (32, 48)}, {"rowsperstrip": 16}])
def test_jpeg_tiff_comes_as_tifffile_decodes_it(
    tmp_path: Path, layout: dict[str, Any], photometric: str
) -> None:
    """JPEG in tiles and strips is decoded to RGB, near to the pixels that were written."""
    path = tmp_path / "x.tif"
    # tifffile stores YCbCr as it is given.
    ycbcr = cv2.cvtColor(smooth(), cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]]
    written = ycbcr if photometric == "ycbcr" else smooth()
    tifffile.imwrite(path, written, photometric=photometric, compression="jpeg", **layout)
    file = open_image(path)
    assert file.channels == COLOR
    np.testing.assert_array_equal(file, tifffile.imread(path))
    assert np.abs(np.asarray(file, int) - smooth()).mean() < 6


@pytest.mark.parametrize("kind", ["OME", "tiled OME", "ImageJ"])
def test_pages_are_channels(tmp_path: Path, kind: str) -> None:
    """Channels in pages of their own come last, unnamed, as many as are stored."""
    written, path = noise(5, HEIGHT, WIDTH, dtype="uint16"), tmp_path / "x.ome.tif"
    options: dict[str, Any] = {"imagej": True} if kind == "ImageJ" else {"ome": True}
    if kind == "tiled OME":
        options |= {"tile": TILE, "compression": "deflate"}
    tifffile.imwrite(path, written, photometric="minisblack", metadata={"axes": "CYX"}, **options)
    file = open_image(path)
    assert (file.shape, file.channels) == ((HEIGHT, WIDTH, 5), None)
    np.testing.assert_array_equal(file, np.moveaxis(written, 0, -1))
    np.testing.assert_array_equal(file[9:99, 30:70, 1:4], np.moveaxis(written, 0, -1)[9:99, 30:70, 1:4])
    with pytest.raises(ValueError, match="has no alpha"):
        open_image(path, mask="alpha")
    with pytest.raises(ValueError, match="doesn't name its channels; got 'red'"):
        open_image(path, channels=names("RGBA"))


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("options", [{}, {"tile": TILE, "compression": "deflate"}])
def test_two_channels_are_unnamed(tmp_path: Path, planar: str, options: dict[str, Any]) -> None:
    """Two samples of no stated meaning come as stored, without names."""
    stored = noise(HEIGHT, WIDTH, 2, dtype="uint16")
    written = np.moveaxis(stored, -1, 0) if planar == "separate" else stored
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, written, photometric="minisblack", planarconfig=planar, **options)
    file = open_image(path)
    assert file.channels is None
    np.testing.assert_array_equal(file, stored)


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_tiff_alpha_is_kept_where_asked_for(tmp_path: Path, compression: str | None) -> None:
    """A TIFF's alpha comes where it is named, beside colors and beside gray."""
    path = tmp_path / "x.tif"
    rgba = noise(HEIGHT, WIDTH, 4)
    tifffile.imwrite(path, rgba, photometric="rgb", extrasamples=["unassalpha"], compression=compression)
    np.testing.assert_array_equal(open_image(path, channels=names("BGRA")), rgba[..., [2, 1, 0, 3]])
    np.testing.assert_array_equal(open_image(path), rgba[..., :3])
    gray = rgba[..., :2]
    tifffile.imwrite(
        path,
        gray,
        photometric="minisblack",
        planarconfig="contig",
        extrasamples=["unassalpha"],
        tile=(64, 64),
    )
    file = open_image(path, channels=("gray", "alpha"))
    assert file.channels == ("gray", "alpha")
    np.testing.assert_array_equal(file, gray)
    assert open_image(path).channels == ("gray",)


def test_first_level_of_a_pyramid_is_read(tmp_path: Path) -> None:
    """A pyramid's full resolution comes, not its reductions."""
    written = noise(HEIGHT, WIDTH, 3)
    with tifffile.TiffWriter(tmp_path / "x.tif") as writer:
        writer.write(written, photometric="rgb", tile=TILE, compression="deflate", subifds=1)
        writer.write(written[::2, ::2], photometric="rgb", tile=TILE, compression="deflate", subfiletype=1)
    np.testing.assert_array_equal(open_image(tmp_path / "x.tif"), written)


def test_tiles_left_out_are_zero(tmp_path: Path) -> None:
    """A tile that the file leaves out reads as zeros."""
    path = tmp_path / "x.tif"
    tiles = (tile for tile in [np.full((16, 16), 7, np.uint8), None, None, np.full((16, 16), 9, np.uint8)])
    tifffile.imwrite(
        path,
        tiles,
        shape=(32, 32),
        dtype="uint8",
        tile=(16, 16),
        compression="deflate",
        photometric="minisblack",
    )
    wanted = np.kron(np.array([[7, 0], [0, 9]], np.uint8), np.ones((16, 16), np.uint8))
    np.testing.assert_array_equal(open_image(path)[..., 0], wanted)


@pytest.fixture(scope="module")
def written_files(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Image, NDArray[Any]]]:
    """Write files of several layouts and odd sizes, and return them with their pixels."""
    folder, files = tmp_path_factory.mktemp("layouts"), []
    for number, (height, width) in enumerate([(101, 83), (1, 47), (33, 1), (97, 65)]):
        for layout, options in LAYOUTS.items():
            written = noise(height, width, 3, dtype="uint16", seed=number)
            path = folder / f"{layout}-{number}.tif"
            tifffile.imwrite(path, written, photometric="rgb", planarconfig="contig", **options)
            files.append((open_image(path), written))
            planar = np.ascontiguousarray(np.moveaxis(written, -1, 0))
            path = folder / f"planar {layout}-{number}.tif"
            tifffile.imwrite(path, planar, photometric="rgb", planarconfig="separate", **options)
            files.append((open_image(path, channels=names("BGR")), written[..., ::-1]))
        path = folder / f"{number}.png"
        cv2.imwrite(str(path), written[..., ::-1])
        files.append((open_image(path), written))
    return files


@settings(max_examples=200)
@given(data=st.data())
def test_regions_are_slices_of_the_whole(
    written_files: list[tuple[Image, NDArray[Any]]], data: st.DataObject
) -> None:
    """Any region equals the same slice of the array that was written."""
    file, whole = data.draw(st.sampled_from(written_files))
    bounds = st.one_of(st.none(), st.integers(-110, 110))
    steps = st.sampled_from([None, 1, 2, 5, 33, 70, -1, -3, -40])
    region = tuple(
        slice(data.draw(bounds), data.draw(bounds), data.draw(steps))
        for _ in range(data.draw(st.integers(1, 3)))
    )
    np.testing.assert_array_equal(file[region], whole[region])


@pytest.mark.parametrize("options", [{"tile": TILE}, {"rowsperstrip": 7}])
def test_memory_of_tiles(tmp_path: Path, options: dict[str, Any]) -> None:
    """A region takes its pixels, and one tile or strip with its bytes in the file."""
    pixels = noise(HEIGHT, WIDTH, 3, dtype="uint16")
    path = write_tiff(tmp_path / "x.tif", pixels, compression="deflate", **options)
    source = open_source(path)
    decoded = source.tile[0] * source.tile[1] * 6
    assert decoded * 1.5 < source.region_bytes((10, 20)) - 10 * 20 * 6 < decoded * 2.1
    assert (source.held_bytes, source.opening_bytes, source.unit) == (0, 0, source.tile)


def test_memory_of_a_file_that_is_an_array(tmp_path: Path) -> None:
    """Pages of an uncompressed file are mapped while they are read, at most all of the rows."""
    source = open_source(write_tiff(tmp_path / "x.tif", noise(HEIGHT, WIDTH, 3)))
    assert source.region_bytes((10, 20)) == 10 * 20 * 3 + 10 * WIDTH * 3
    wide = open_source(write_tiff(tmp_path / "wide.tif", np.zeros((2, 200_000, 3), np.uint8)))
    for places, step in ((None, 1), ((range(2), range(0, 200_000, 3)), 3)):
        assert wide.region_bytes((2, 1000), places) == 2 * (3000 + 2**17 + 3 * (999 * step + 1))


class TestTiff(SourceContract):
    """The contract, on TIFFs of each layout."""

    @pytest.fixture(params=[*LAYOUTS, "planes", "alpha", "pages", "jpeg"])
    def case(self, request: pytest.FixtureRequest, tmp_path: Path) -> Case:
        """Write a TIFF."""
        path = tmp_path / "x.ome.tif"
        pixels = noise(HEIGHT, WIDTH, 3, dtype="uint16")
        planes = np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
        if request.param == "planes":
            tifffile.imwrite(
                path, planes, photometric="rgb", planarconfig="separate", tile=TILE, compression="lzw"
            )
        elif request.param == "alpha":
            pixels = noise(HEIGHT, WIDTH, 4)
            tifffile.imwrite(path, pixels, photometric="rgb", extrasamples=["unassalpha"], **LAYOUTS["tiles"])
            return open_image(path, channels=names("RGBA")).source, pixels
        elif request.param == "pages":
            tifffile.imwrite(
                path, planes, photometric="minisblack", ome=True, metadata={"axes": "CYX"}, tile=TILE
            )
        elif request.param == "jpeg":
            tifffile.imwrite(path, smooth(), photometric="rgb", tile=(16, 16), compression="jpeg")
            pixels = tifffile.imread(path)
        else:
            tifffile.imwrite(path, pixels, photometric="rgb", **LAYOUTS[request.param])
        return open_source(path), pixels


class TestConvertedTiff(SourceContract):
    """The contract, on TIFFs whose samples are converted, packed or without names, and on a level."""

    @pytest.fixture(params=["level", "palette", "white", "bits", "bands"])
    def case(self, request: pytest.FixtureRequest, tmp_path: Path) -> Case:
        """Write a TIFF."""
        path, pixels = tmp_path / "x.tif", noise(HEIGHT, WIDTH, 3, dtype="uint16")
        if request.param == "level":
            with tifffile.TiffWriter(path) as writer:
                writer.write(np.kron(pixels, np.ones((2, 2, 1), "uint16")), photometric="rgb", subifds=1)
                writer.write(pixels, photometric="rgb", subfiletype=1, **LAYOUTS["tiles"])
            return open_image(path, level=1).source, pixels
        if request.param == "palette":
            colors = noise(256, 3)
            write_tiff(path, noise(HEIGHT, WIDTH), photometric="palette", colormap=colors.T * np.uint16(257))
            pixels = colors[noise(HEIGHT, WIDTH)]
        elif request.param == "white":
            write_tiff(path, pixels[..., 0], photometric="miniswhite", **LAYOUTS["big-endian tiles"])
            pixels = 65535 - pixels[..., :1]
        elif request.param == "bits":
            pixels >>= 6
            write_tiff(path, pixels, bitspersample=10, rowsperstrip=7)
        else:
            stored = noise(HEIGHT, WIDTH, 5, dtype="float32")
            write_tiff(path, stored, planarconfig="contig", extrasamples=[0, 2, 0, 0])
            return open_image(path, channels=[3, 0, "alpha"]).source, stored[..., [4, 0, 2]]
        return open_source(path), pixels
