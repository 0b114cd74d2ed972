"""Every kind of file gives the pixels that were written, by regions, or says what is wrong with it."""

from __future__ import annotations

import os
import pickle
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import cv2
import dask
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.io import imread

from pipeline.images.tiff import ImageFile, open_file, open_image

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

# Odd, so that neither tiles nor strips divide it.
HEIGHT, WIDTH = 101, 83
TILE = (32, 48)
COLOUR = ("red", "green", "blue")


def _pixels(*shape: int, dtype: str = "uint8", seed: int = 0) -> NDArray[Any]:
    """Make noise that fills the range of its type."""
    random = np.random.default_rng(seed)
    if dtype.startswith("float"):
        return random.normal(size=shape).astype(dtype)
    return random.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def _smooth(n_channels: int = 3) -> NDArray[np.uint8]:
    """Make gradients, which JPEG hardly changes."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    planes = [rows * 2, columns * 3, rows + columns, 255 - rows]
    return np.stack(planes[:n_channels], axis=-1).astype(np.uint8)


def _rows_columns_channels(array: NDArray[Any]) -> NDArray[Any]:
    return array[..., None] if array.ndim == 2 else array


def _with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """Put an APP1 segment with one Exif tag, the orientation, behind the start marker."""
    tag = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    exif = b"Exif\0\0" + struct.pack("<2sHIH", b"II", 42, 8, 1) + tag + struct.pack("<I", 0)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("x.png", "uint8"), ("x.png", "uint16"), ("x.bmp", "uint8"), ("x.webp", "uint8"), ("x.jpg", "uint8")],
)
@pytest.mark.parametrize("order", ["RGB", "BGR", "GRB"])
def test_photo_comes_as_opencv_decodes_it(tmp_path: Path, name: str, dtype: str, order: str) -> None:
    """A colour photo of each format and depth has OpenCV's pixels in the order asked for."""
    path = tmp_path / name
    cv2.imwrite(str(path), _pixels(HEIGHT, WIDTH, 3, dtype=dtype))
    wanted = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert wanted is not None
    file = open_file(path, channel_order=order)
    assert (file.shape, file.dtype, file.tile) == ((HEIGHT, WIDTH, 3), np.dtype(dtype), (HEIGHT, WIDTH))
    assert file.channels == tuple({"R": "red", "G": "green", "B": "blue"}[letter] for letter in order)
    np.testing.assert_array_equal(file[:], wanted[..., ["BGR".index(letter) for letter in order]])
    np.testing.assert_array_equal(open_image(path, channel_order=order, block=64).compute(), file[:])


@pytest.mark.parametrize("name", ["x.jpg", "x.png"])
def test_photo_comes_as_scikit_image_decodes_it(tmp_path: Path, name: str) -> None:
    """A photo's pixels are those of another decoder, in JPEG within its rounding."""
    path = tmp_path / name
    cv2.imwrite(str(path), _smooth())
    difference = open_file(path)[:].astype(int) - imread(path).astype(int)
    assert np.abs(difference).max() <= (3 if name.endswith("jpg") else 0)


@pytest.mark.parametrize(
    ("name", "dtype"), [("x.png", "uint8"), ("x.png", "uint16"), ("x.bmp", "uint8"), ("x.jpg", "uint8")]
)
def test_grey_photo_has_one_channel(tmp_path: Path, name: str, dtype: str) -> None:
    """A grey photo comes as one channel, whatever order of colours is asked for."""
    path = tmp_path / name
    cv2.imwrite(str(path), _pixels(HEIGHT, WIDTH, dtype=dtype))
    file = open_file(path, channel_order="BGR")
    assert (file.shape, file.dtype, file.channels) == ((HEIGHT, WIDTH, 1), np.dtype(dtype), ("gray",))
    np.testing.assert_array_equal(file[:][..., 0], cv2.imread(str(path), cv2.IMREAD_UNCHANGED))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_photo_alpha_is_kept_where_asked_for(tmp_path: Path, dtype: str) -> None:
    """Alpha stays as it is stored under an order with A, and is left out under one without."""
    bgra = _pixels(HEIGHT, WIDTH, 4, dtype=dtype)
    path = tmp_path / "x.png"
    cv2.imwrite(str(path), bgra)
    file = open_file(path, channel_order="RGBA")
    assert file.channels == (*COLOUR, "alpha")
    np.testing.assert_array_equal(file[:], bgra[..., [2, 1, 0, 3]])
    np.testing.assert_array_equal(open_file(path, channel_order="ABGR")[:], bgra[..., [3, 0, 1, 2]])
    np.testing.assert_array_equal(open_file(path)[:], bgra[..., [2, 1, 0]])


def test_webp_alpha_is_kept_where_asked_for(tmp_path: Path) -> None:
    """A WebP with alpha gives OpenCV's samples, with alpha and without."""
    path = tmp_path / "x.webp"
    cv2.imwrite(str(path), _smooth(4))
    wanted = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert wanted is not None
    np.testing.assert_array_equal(open_file(path, channel_order="BGRA")[:], wanted)
    assert open_file(path).shape == (HEIGHT, WIDTH, 3)


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    """A JPEG of orientation 6 comes turned a quarter clockwise."""
    encoded = cv2.imencode(".jpg", _smooth())[1].tobytes()
    (tmp_path / "plain.jpg").write_bytes(encoded)
    (tmp_path / "turned.jpg").write_bytes(_with_orientation(encoded, 6))
    turned = open_file(tmp_path / "turned.jpg")
    assert turned.shape == (WIDTH, HEIGHT, 3)
    np.testing.assert_array_equal(turned[:], np.rot90(open_file(tmp_path / "plain.jpg")[:], -1))


LAYOUTS: dict[str, dict[str, Any]] = {
    "tiles": {"tile": TILE, "compression": "deflate"},
    "plain tiles": {"tile": TILE},
    "strips": {"rowsperstrip": 7, "compression": "lzw"},
    "plain strips": {"rowsperstrip": 7},
    "one strip": {},
    "one compressed strip": {"compression": "zstd"},
    "predicted": {"tile": TILE, "compression": "zstd", "predictor": True},
    "BigTIFF": {"tile": TILE, "compression": "lzw", "bigtiff": True},
    "raw BigTIFF": {"bigtiff": True},
    "big-endian": {"byteorder": ">"},
    "big-endian tiles": {"byteorder": ">", "tile": TILE, "compression": "deflate", "predictor": True},
}


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_tiff_comes_as_written(tmp_path: Path, layout: str, dtype: str) -> None:
    """Grey, interleaved and planar TIFFs of each layout and depth give the array that was written."""
    for shape, planar in [
        ((HEIGHT, WIDTH), None),
        ((HEIGHT, WIDTH, 3), "contig"),
        ((3, HEIGHT, WIDTH), "separate"),
    ]:
        written, path = _pixels(*shape, dtype=dtype), tmp_path / f"{planar}.tif"
        photometric = "minisblack" if len(shape) == 2 else "rgb"
        tifffile.imwrite(path, written, photometric=photometric, planarconfig=planar, **LAYOUTS[layout])
        wanted = np.moveaxis(written, 0, -1) if planar == "separate" else _rows_columns_channels(written)
        file = open_file(path)
        assert (file.shape, file.dtype) == (wanted.shape, np.dtype(dtype))
        assert file.channels == (("gray",) if len(shape) == 2 else COLOUR)
        np.testing.assert_array_equal(file[:], wanted)
        np.testing.assert_array_equal(file[31:33, 40:83, 1:], wanted[31:33, 40:83, 1:])
        reverse = open_file(path, channel_order="BGR")
        np.testing.assert_array_equal(reverse[5:64, :49], wanted[5:64, :49, ::-1])


def test_tile_is_what_is_decoded_at_once(tmp_path: Path) -> None:
    """Tiles and strips are reported where they are compressed, and any piece will do where not."""
    for options, tile in [
        (LAYOUTS["tiles"], TILE),
        (LAYOUTS["strips"], (7, WIDTH)),
        (LAYOUTS["one compressed strip"], (HEIGHT, WIDTH)),
        (LAYOUTS["one strip"], (1, 1)),
    ]:
        tifffile.imwrite(tmp_path / "x.tif", _pixels(HEIGHT, WIDTH, 3), photometric="rgb", **options)
        assert open_file(tmp_path / "x.tif").tile == tile


@pytest.mark.parametrize("photometric", ["rgb", "ycbcr"])
@pytest.mark.parametrize("layout", [{"tile": (32, 48)}, {"rowsperstrip": 16}])
def test_jpeg_tiff_comes_as_tifffile_decodes_it(
    tmp_path: Path, layout: dict[str, Any], photometric: str
) -> None:
    """JPEG in tiles and strips is decoded to RGB, near to what was written."""
    path = tmp_path / "x.tif"
    # tifffile stores YCbCr as it is given.
    ycbcr = cv2.cvtColor(_smooth(), cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]]
    written = ycbcr if photometric == "ycbcr" else _smooth()
    tifffile.imwrite(path, written, photometric=photometric, compression="jpeg", **layout)
    file = open_file(path)
    assert file.channels == COLOUR
    np.testing.assert_array_equal(file[:], tifffile.imread(path))
    assert np.abs(file[:].astype(int) - _smooth()).mean() < 6


@pytest.mark.parametrize("kind", ["OME", "tiled OME", "ImageJ"])
def test_pages_are_channels(tmp_path: Path, kind: str) -> None:
    """Channels in pages of their own come last, unnamed, as many as are stored."""
    written, path = _pixels(5, HEIGHT, WIDTH, dtype="uint16"), tmp_path / "x.ome.tif"
    options: dict[str, Any] = {"imagej": True} if kind == "ImageJ" else {"ome": True}
    if kind == "tiled OME":
        options |= {"tile": TILE, "compression": "deflate"}
    tifffile.imwrite(path, written, photometric="minisblack", metadata={"axes": "CYX"}, **options)
    file = open_file(path)
    assert (file.shape, file.channels) == ((HEIGHT, WIDTH, 5), None)
    np.testing.assert_array_equal(file[:], np.moveaxis(written, 0, -1))
    np.testing.assert_array_equal(file[9:99, 30:70, 1:4], np.moveaxis(written, 0, -1)[9:99, 30:70, 1:4])
    with pytest.raises(ValueError, match="has no alpha"):
        open_file(path, channel_order="RGBA")


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("options", [{}, {"tile": TILE, "compression": "deflate"}])
def test_two_channels_are_unnamed(tmp_path: Path, planar: str, options: dict[str, Any]) -> None:
    """Two samples of no stated meaning come as stored, without names."""
    stored = _pixels(HEIGHT, WIDTH, 2, dtype="uint16")
    written = np.moveaxis(stored, -1, 0) if planar == "separate" else stored
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, written, photometric="minisblack", planarconfig=planar, **options)
    file = open_file(path)
    assert file.channels is None
    np.testing.assert_array_equal(file[:], stored)


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_tiff_alpha_is_kept_where_asked_for(tmp_path: Path, compression: str | None) -> None:
    """A TIFF's alpha comes under an order with A, beside grey as the three colours too."""
    path = tmp_path / "x.tif"
    rgba = _pixels(HEIGHT, WIDTH, 4)
    tifffile.imwrite(path, rgba, photometric="rgb", extrasamples=["unassalpha"], compression=compression)
    np.testing.assert_array_equal(open_file(path, channel_order="BGRA")[:], rgba[..., [2, 1, 0, 3]])
    np.testing.assert_array_equal(open_file(path)[:], rgba[..., :3])
    grey = rgba[..., :2]
    tifffile.imwrite(
        path,
        grey,
        photometric="minisblack",
        planarconfig="contig",
        extrasamples=["unassalpha"],
        tile=(64, 64),
    )
    file = open_file(path, channel_order="RGBA")
    assert file.channels == (*COLOUR, "alpha")
    np.testing.assert_array_equal(file[:], grey[..., [0, 0, 0, 1]])
    assert open_file(path).channels == ("gray",)


def test_first_level_of_a_pyramid_is_read(tmp_path: Path) -> None:
    """A pyramid's full resolution comes, not its reductions."""
    written = _pixels(HEIGHT, WIDTH, 3)
    with tifffile.TiffWriter(tmp_path / "x.tif") as writer:
        writer.write(written, photometric="rgb", tile=TILE, compression="deflate", subifds=1)
        writer.write(written[::2, ::2], photometric="rgb", tile=TILE, compression="deflate", subfiletype=1)
    np.testing.assert_array_equal(open_file(tmp_path / "x.tif")[:], written)


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
    np.testing.assert_array_equal(open_file(path)[:][..., 0], wanted)


@pytest.fixture(scope="module")
def written_files(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[ImageFile, NDArray[Any]]]:
    """Write files of several layouts and odd sizes, and give them with what they hold."""
    folder, files = tmp_path_factory.mktemp("layouts"), []
    for number, (height, width) in enumerate([(101, 83), (1, 47), (33, 1), (97, 65)]):
        for layout, options in LAYOUTS.items():
            written = _pixels(height, width, 3, dtype="uint16", seed=number)
            path = folder / f"{layout}-{number}.tif"
            tifffile.imwrite(path, written, photometric="rgb", planarconfig="contig", **options)
            files.append((open_file(path), written))
            planar = np.ascontiguousarray(np.moveaxis(written, -1, 0))
            path = folder / f"planar {layout}-{number}.tif"
            tifffile.imwrite(path, planar, photometric="rgb", planarconfig="separate", **options)
            files.append((open_file(path, channel_order="BGR"), written[..., ::-1]))
        path = folder / f"{number}.png"
        cv2.imwrite(str(path), written[..., ::-1])
        files.append((open_file(path), written))
    return files


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_regions_are_slices_of_the_whole(
    written_files: list[tuple[ImageFile, NDArray[Any]]], data: st.DataObject
) -> None:
    """Any region equals the same slice of the array that was written."""
    file, whole = data.draw(st.sampled_from(written_files))
    bounds = st.one_of(st.none(), st.integers(-110, 110))
    region = tuple(slice(data.draw(bounds), data.draw(bounds)) for _ in range(data.draw(st.integers(1, 3))))
    np.testing.assert_array_equal(file[region], whole[region])


def test_steps_are_refused(tmp_path: Path) -> None:
    """A region with another step than 1 is an error, not other pixels."""
    tifffile.imwrite(tmp_path / "x.tif", _pixels(HEIGHT, WIDTH), photometric="minisblack")
    with pytest.raises(ValueError, match="steps of 1"):
        open_file(tmp_path / "x.tif")[::2]


@pytest.mark.parametrize("name", ["x.tif", "jpeg.tif", "x.png"])
def test_threads_read_at_once(tmp_path: Path, name: str) -> None:
    """Many threads that read one file get their own regions."""
    path = tmp_path / name
    if name == "x.png":
        cv2.imwrite(str(path), _smooth())
    else:
        tifffile.imwrite(
            path,
            _smooth(),
            photometric="rgb",
            tile=(16, 16),
            compression="jpeg" if "jpeg" in name else "deflate",
        )
    file = open_file(path)
    whole = file[:]
    regions = [(slice(i % 60, i % 60 + 30), slice(i % 40, i % 40 + 25)) for i in range(200)]
    with ThreadPoolExecutor(8) as pool:
        for region, piece in zip(regions, pool.map(file.__getitem__, regions), strict=True):
            np.testing.assert_array_equal(piece, whole[region])


@pytest.mark.parametrize("name", ["x.tif", "x.png"])
def test_a_pickle_is_small_and_reads_the_same(tmp_path: Path, name: str) -> None:
    """An opened file and its Dask array survive pickling, without pixels in the pickle."""
    path, written = tmp_path / name, _pixels(HEIGHT, WIDTH, 3)
    cv2.imwrite(str(path), written)
    file, array = open_file(path, channel_order="BGR"), open_image(path, channel_order="BGR", block=50)
    assert len(pickle.dumps(file)) < 1000
    assert len(pickle.dumps(array)) < 10_000
    again = pickle.loads(pickle.dumps(file))  # noqa: S301  made on this line
    assert again == file
    np.testing.assert_array_equal(again[:], written)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(array)).compute(), written)  # noqa: S301  as above


def test_opening_reads_no_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening a TIFF decodes nothing, and computing a chunk only what the chunk meets."""
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, _pixels(96, 96, 3), photometric="rgb", tile=(32, 32), compression="deflate")
    segments: list[int] = []
    from pipeline import sources  # noqa: PLC0415  its inside is replaced

    read = sources._Tiff._segment

    def _spy(self: Any, file: Any, number: int, index: int) -> NDArray[Any]:
        segments.append(index)
        return read(self, file, number, index)

    monkeypatch.setattr(sources._Tiff, "_segment", _spy)
    array = open_image(path, block=32)
    assert (array.shape, array.chunksize, array.dtype) == ((96, 96, 3), (32, 32, 3), np.dtype("uint8"))
    assert segments == []
    array[32:64, 64:].compute(scheduler="synchronous")
    assert segments == [5]


def test_names_follow_the_file(tmp_path: Path) -> None:
    """The Dask name is the same each time and in each process, and another once the file or order is."""
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, _pixels(HEIGHT, WIDTH, 3), photometric="rgb")
    name = open_image(path).name
    assert open_image(path).name == name
    code = "import sys; from pipeline.images.tiff import open_image; print(open_image(sys.argv[1]).name)"
    other = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert other.stdout.strip() == name
    assert open_image(path, channel_order="BGR").name != name
    assert open_image(path, block=32).name != name
    os.utime(path, ns=(1, 1))
    assert open_image(path).name != name


@pytest.mark.parametrize("name", ["x.tif", "x.png"])
def test_a_changed_file_is_refused(tmp_path: Path, name: str) -> None:
    """A file that was written again since it was opened isn't read, until it is opened again."""
    path = tmp_path / name
    cv2.imwrite(str(path), _pixels(HEIGHT, WIDTH, 3))
    file, array = open_file(path), open_image(path)
    cv2.imwrite(str(path), _pixels(HEIGHT, WIDTH, 3, seed=1))
    os.utime(path, ns=(1, 1))
    with pytest.raises(ValueError, match="changed since"):
        file[:]
    with pytest.raises(ValueError, match="changed since"), dask.config.set(scheduler="synchronous"):
        array.compute()
    np.testing.assert_array_equal(open_file(path, channel_order="BGR")[:], _pixels(HEIGHT, WIDTH, 3, seed=1))


def test_no_file_is_an_error(tmp_path: Path) -> None:
    """A path where nothing is, or a directory, is named in a FileNotFoundError."""
    with pytest.raises(FileNotFoundError, match=r"none\.tif is not there"):
        open_file(tmp_path / "none.tif")
    with pytest.raises(FileNotFoundError, match="is a directory"):
        open_image(tmp_path)


@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.tif"])
@pytest.mark.parametrize("content", [b"", b"Dear reader,\n" * 9])
def test_a_file_of_no_image_is_an_error(tmp_path: Path, name: str, content: bytes) -> None:
    """Text and emptiness are refused whatever the name, with the path in the message."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name} is empty" if not content else rf"{name} isn't an image"):
        open_file(tmp_path / name)


@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.webp", "x.bmp"])
@pytest.mark.parametrize("part", [0.05, 0.5, 0.99])
def test_a_truncated_photo_is_an_error(tmp_path: Path, name: str, part: float) -> None:
    """A photo that lacks its end is refused, rather than filled up."""
    path = tmp_path / name
    content = cv2.imencode(path.suffix, _pixels(HEIGHT, WIDTH, 3))[1].tobytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(ValueError, match=rf"{name} (is truncated|can't be decoded|isn't an image)"):
        open_file(path)


def test_the_end_of_a_thumbnail_is_not_the_end(tmp_path: Path) -> None:
    """A truncated JPEG is refused though a thumbnail within a segment of it is whole."""
    content = cv2.imencode(".jpg", _smooth())[1].tobytes()
    thumbnail = cv2.imencode(".jpg", _smooth()[:16, :16])[1].tobytes()
    segment = b"\xff\xe2" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    path = tmp_path / "x.jpg"
    path.write_bytes(content[:2] + segment + content[2:])
    assert open_file(path).shape == (HEIGHT, WIDTH, 3)
    path.write_bytes(content[:2] + segment + content[2:-500])
    with pytest.raises(ValueError, match="truncated"):
        open_file(path)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_truncated_tiff_is_an_error(tmp_path: Path, layout: str) -> None:
    """A TIFF that lacks pixels, or the end of its tags, is refused when it is opened."""
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, _pixels(HEIGHT, WIDTH, 3), photometric="rgb", **LAYOUTS[layout])
    content = path.read_bytes()
    path.write_bytes(content[:-40])
    with pytest.raises(ValueError, match=r"x\.tif is truncated"):
        open_file(path)
    for size in (4, 10, 60):
        path.write_bytes(content[:size])
        with pytest.raises(ValueError, match=r"x\.tif can't be read as a TIFF"):
            open_file(path)


@pytest.mark.parametrize("compression", ["deflate", "jpeg", "lzw", "zstd"])
def test_a_corrupt_tile_is_an_error_where_it_is_read(tmp_path: Path, compression: str) -> None:
    """A tile that can't be decoded fails the regions that meet it, and no others."""
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, _smooth(), photometric="rgb", tile=(32, 32), compression=compression)
    whole = open_file(path)[:]
    with tifffile.TiffFile(path) as tiff:
        offset, count = tiff.pages.first.dataoffsets[4], tiff.pages.first.databytecounts[4]
    content = bytearray(path.read_bytes())
    content[offset : offset + count] = b"\xff" * count
    path.write_bytes(content)
    file = open_file(path)
    np.testing.assert_array_equal(file[:32], whole[:32])
    with pytest.raises(ValueError, match=r"x\.tif: tile or strip 4 can't be decoded"):
        file[40:50, 40:50]


def test_other_colours_are_refused(tmp_path: Path) -> None:
    """Palette, CMYK and white-is-zero TIFFs are named as such, with advice."""
    path = tmp_path / "x.tif"
    colours = np.zeros((3, 256), np.uint16)
    tifffile.imwrite(path, _pixels(HEIGHT, WIDTH), photometric="palette", colormap=colours)
    with pytest.raises(ValueError, match="palette samples; wanted RGB or grey"):
        open_file(path)
    tifffile.imwrite(path, _pixels(HEIGHT, WIDTH, 4), photometric="separated")
    with pytest.raises(ValueError, match="CMYK samples; wanted RGB or grey"):
        open_file(path)
    tifffile.imwrite(path, _pixels(HEIGHT, WIDTH), photometric="miniswhite")
    with pytest.raises(ValueError, match="white-is-zero grey"):
        open_file(path)


@pytest.mark.parametrize("order", ["", "RG", "rgb", "RGBB", "RGBX", "ARGBA"])
def test_channel_order_is_checked(tmp_path: Path, order: str) -> None:
    """An order that is no permutation of RGB or RGBA is refused before the file is looked for."""
    with pytest.raises(ValueError, match="channel_order is"):
        open_file(tmp_path / "none.tif", channel_order=order)


def test_alpha_asked_for_where_there_is_none(tmp_path: Path) -> None:
    """Asking for alpha of a file without is an error that says what to ask for."""
    for name, written in [
        ("x.png", _smooth()),
        ("grey.png", _smooth(1)),
        ("x.jpg", _smooth()),
        ("x.tif", _smooth()),
    ]:
        cv2.imwrite(str(tmp_path / name), written)
        with pytest.raises(ValueError, match=rf"{name} has no alpha channel; ask for 'RGB'"):
            open_file(tmp_path / name, channel_order="RGBA")


@pytest.mark.parametrize("axes", ["ZYX", "TYX", "ZCYX"])
def test_stacks_are_refused(tmp_path: Path, axes: str) -> None:
    """A stack in depth or time is an error that names its axes."""
    written = _pixels(*(2, 3)[: len(axes) - 2], HEIGHT, WIDTH)
    tifffile.imwrite(tmp_path / "x.tif", written, ome=True, photometric="minisblack", metadata={"axes": axes})
    with pytest.raises(ValueError, match=f"has axes {axes}"):
        open_file(tmp_path / "x.tif")


def test_planes_in_other_files_are_refused(tmp_path: Path) -> None:
    """An OME-TIFF whose second channel lies in another file isn't read as if it held both."""
    written = _pixels(2, HEIGHT, WIDTH)
    path = tmp_path / "x.ome.tif"
    tifffile.imwrite(path, written, ome=True, photometric="minisblack", metadata={"axes": "CYX"})
    with tifffile.TiffFile(path) as tiff:
        description = tiff.pages.first.description
    name = 'FileName="y.ome.tif"'
    uuids = [f"urn:uuid:00000000-0000-0000-0000-00000000000{i}" for i in (1, 2)]
    planes = "".join(
        f'<TiffData IFD="0" FirstC="{c}" PlaneCount="1"><UUID {file}>{uuid}</UUID></TiffData>'
        for c, (file, uuid) in enumerate(zip(('FileName="x.ome.tif"', name), uuids, strict=True))
    )
    start, end = description.index("<TiffData"), description.index("</Pixels>")
    described = description[:start] + planes + description[end:]
    root = described.index("<OME ") + len("<OME ")
    uuid_at = described.find('UUID="')
    if uuid_at >= 0:
        described = described.replace(
            described[uuid_at : described.index('"', uuid_at + 6) + 1], f'UUID="{uuids[0]}"'
        )
    else:
        described = described[:root] + f'UUID="{uuids[0]}" ' + described[root:]
    tifffile.imwrite(
        path, written[0], description=described.encode(), metadata=None, photometric="minisblack"
    )
    with pytest.raises(ValueError, match=r"x\.ome\.tif doesn't hold all"):
        open_file(path)


def _write_tiff(path: Path, pixels: NDArray[Any], **options: Any) -> Path:
    """Write a TIFF, RGB where it has three samples and doesn't say otherwise."""
    options.setdefault("photometric", "rgb" if pixels.shape[-1] == 3 else "minisblack")
    tifffile.imwrite(path, pixels, **options)
    return path


def _set_tag(path: Path, **codes: Any) -> Path:
    """Overwrite tags of a TIFF's first page, by name."""
    with tifffile.TiffFile(path, mode="r+") as tiff:
        for name, value in codes.items():
            tiff.pages[0].tags[name].overwrite(value)  # type: ignore[union-attr]
    return path


def test_a_page_that_stands_for_several(tmp_path: Path) -> None:
    """Channels that follow the only page of a file are channels all the same."""
    pixels = _pixels(5, 30, 40)
    path = _write_tiff(
        tmp_path / "one.tif", pixels, photometric="minisblack", truncate=True, metadata={"axes": "CYX"}
    )
    np.testing.assert_array_equal(open_file(path)[:], np.moveaxis(pixels, 0, 2))


def test_an_image_in_one_missing_strip(tmp_path: Path) -> None:
    """An image that is wholly left out of its file is no data, not the file's first bytes."""
    path = _write_tiff(tmp_path / "empty.tif", _pixels(32, 32), photometric="minisblack", rowsperstrip=32)
    _set_tag(path, StripOffsets=0, StripByteCounts=0)
    assert not open_file(path)[:].any()


def test_aperios_ycbcr_is_refused(tmp_path: Path) -> None:
    """JPEG 2000 of code 33003 holds YCbCr that tifffile hands out as if it were RGB."""
    path = _write_tiff(tmp_path / "slide.tif", _pixels(32, 32, 3), tile=(16, 16), compression="jpeg2000")
    _set_tag(path, Compression=33003)
    with pytest.raises(ValueError, match="YCbCr"):
        open_image(path)


def test_planes_of_ycbcr_are_refused(tmp_path: Path) -> None:
    """JPEG's YCbCr in separate planes isn't converted by its decoder."""
    options = {"planarconfig": "separate", "photometric": "rgb", "compression": "jpeg", "tile": (16, 16)}
    path = _set_tag(
        _write_tiff(tmp_path / "planes.tif", _pixels(3, 32, 32), **options), PhotometricInterpretation=6
    )
    with pytest.raises(ValueError, match="YCbCr"):
        open_image(path)


def test_complex_numbers_are_refused(tmp_path: Path) -> None:
    """Radar's complex samples are no colors."""
    path = _write_tiff(tmp_path / "radar.tif", _pixels(32, 32).astype(np.complex64), photometric="minisblack")
    with pytest.raises(ValueError, match="complex"):
        open_image(path)
