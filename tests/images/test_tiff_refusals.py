"""TIFFs that are refused: of kinds that aren't read, truncated, and damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from images.examples import HEIGHT, LAYOUTS, WIDTH, noise, set_tag, smooth, write_tiff

from pipeline.images.opening import open_image

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_truncated_tiff_is_an_error(tmp_path: Path, layout: str) -> None:
    """A TIFF that lacks pixels, or the end of its tags, is refused when it is opened."""
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, noise(HEIGHT, WIDTH, 3), photometric="rgb", **LAYOUTS[layout])
    content = path.read_bytes()
    path.write_bytes(content[:-40])
    with pytest.raises(ValueError, match=r"x\.tif is truncated"):
        open_image(path)
    for size in (4, 10, 60):
        path.write_bytes(content[:size])
        with pytest.raises(ValueError, match=r"x\.tif can't be read as a TIFF"):
            open_image(path)


@pytest.mark.parametrize("compression", ["deflate", "jpeg", "lzw", "zstd"])
def test_a_corrupt_tile_is_an_error_where_it_is_read(tmp_path: Path, compression: str) -> None:
    """A tile that can't be decoded fails the regions that meet it, and no others."""
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, smooth(), photometric="rgb", tile=(32, 32), compression=compression)
    whole = np.asarray(open_image(path))
    with tifffile.TiffFile(path) as tiff:
        offset, count = tiff.pages.first.dataoffsets[4], tiff.pages.first.databytecounts[4]
    content = bytearray(path.read_bytes())
    content[offset : offset + count] = b"\xff" * count
    path.write_bytes(content)
    file = open_image(path)
    np.testing.assert_array_equal(file[:32], whole[:32])
    with pytest.raises(ValueError, match=r"x\.tif: tile or strip 4 can't be decoded"):
        file[40:50, 40:50].compute()


def test_other_colors_are_refused(tmp_path: Path) -> None:
    """Colors that aren't converted are named as such, with advice."""
    path = tmp_path / "x.tif"
    for kind, name in (("separated", "CMYK"), ("cielab", "CIELab"), ("icclab", "ICCLab"), ("ycbcr", "YCbCr")):
        tifffile.imwrite(path, noise(HEIGHT, WIDTH, 4 if name == "CMYK" else 3), photometric=kind)
        with pytest.raises(ValueError, match=f"{name} samples; wanted RGB or gray. Convert it: (vips|rio)"):
            open_image(path)
    for code, name in (
        (34892, "linear raw"),
        (32844, "LogL"),
        (32845, "LogLuv"),
        (12345, "photometric-12345"),
    ):
        set_tag(write_tiff(path, noise(32, 32, 3)), PhotometricInterpretation=code)
        with pytest.raises(ValueError, match=f"stores {name} samples"):
            open_image(path)
    tifffile.imwrite(path, noise(HEIGHT, WIDTH, dtype="float32"), photometric="miniswhite")
    with pytest.raises(ValueError, match="white-is-zero gray in float32, which has no black"):
        open_image(path)


def test_old_style_jpeg_is_refused(tmp_path: Path) -> None:
    """It is named, and not called damage."""
    path = write_tiff(tmp_path / "x.tif", smooth(), compression="jpeg", tile=(16, 16))
    with pytest.raises(
        ValueError, match=r"x\.tif is compressed by the old-style JPEG .* Convert it: rio convert"
    ):
        open_image(set_tag(path, Compression=6))


def test_bits_that_numpy_does_not_have(tmp_path: Path) -> None:
    """Numbers of bits that aren't known are named."""
    path = set_tag(write_tiff(tmp_path / "x.tif", noise(32, 32)), BitsPerSample=83)
    with pytest.raises(
        ValueError, match=r"x\.tif stores 83-bit samples of format 1; wanted integers or floats"
    ):
        open_image(path)


@pytest.mark.parametrize("axes", ["ZYX", "TYX", "ZCYX"])
def test_stacks_are_refused(tmp_path: Path, axes: str) -> None:
    """A stack in depth or time is an error that names its axes."""
    written = noise(*(2, 3)[: len(axes) - 2], HEIGHT, WIDTH)
    tifffile.imwrite(tmp_path / "x.tif", written, ome=True, photometric="minisblack", metadata={"axes": axes})
    with pytest.raises(ValueError, match=f"has axes {axes}"):
        open_image(tmp_path / "x.tif")


def test_planes_in_other_files_are_refused(tmp_path: Path) -> None:
    """An OME-TIFF whose second channel lies in another file isn't read as if it held both."""
    written = noise(2, HEIGHT, WIDTH)
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
        open_image(path)


def test_aperios_ycbcr_is_refused(tmp_path: Path) -> None:
    """JPEG 2000 of code 33003 holds YCbCr that tifffile hands out as if it were RGB."""
    path = write_tiff(tmp_path / "slide.tif", noise(32, 32, 3), tile=(16, 16), compression="jpeg2000")
    set_tag(path, Compression=33003)
    with pytest.raises(ValueError, match="YCbCr"):
        open_image(path)


def test_planes_of_ycbcr_are_refused(tmp_path: Path) -> None:
    """JPEG's YCbCr in separate planes isn't converted by its decoder."""
    options = {"planarconfig": "separate", "photometric": "rgb", "compression": "jpeg", "tile": (16, 16)}
    path = set_tag(
        write_tiff(tmp_path / "planes.tif", noise(3, 32, 32), **options), PhotometricInterpretation=6
    )
    with pytest.raises(ValueError, match="YCbCr"):
        open_image(path)


def test_complex_numbers_are_refused(tmp_path: Path) -> None:
    """Radar's complex samples are no colors."""
    path = write_tiff(tmp_path / "radar.tif", noise(32, 32).astype(np.complex64), photometric="minisblack")
    with pytest.raises(ValueError, match="complex"):
        open_image(path)


def test_a_strip_of_too_few_rows_is_an_error(tmp_path: Path) -> None:
    """A strip that decodes to fewer rows than its place has isn't filled up with other memory."""
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, smooth(), photometric="rgb", rowsperstrip=32, compression="jpeg")
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        (offset, last), count = (page.dataoffsets[i] for i in (0, 3)), page.databytecounts[3]
    content = bytearray(path.read_bytes())
    content[offset : offset + count] = content[last : last + count]
    path.write_bytes(content)
    with pytest.raises(ValueError, match="strip 0 can't be decoded"):
        open_image(path)[:32].compute()


# These are options of the file, others those of an image.
_OF_FILES = ("bigtiff", "byteorder", "ome")
_KINDS: dict[str, dict[str, Any]] = {
    **LAYOUTS,
    "jpeg": {"compression": "jpeg", "tile": (16, 16)},
    "png": {"compression": "png", "tile": (16, 16)},
    "jpeg2000": {"compression": "jpeg2000", "tile": (16, 16)},
    "OME": {"ome": True, "metadata": {"axes": "YXS"}},
    "pyramid": {"subifds": 1, "tile": (16, 16)},
}


@pytest.mark.parametrize("kind", _KINDS)
def test_damage_of_any_kind(tmp_path: Path, kind: str) -> None:
    """A file with other or missing bytes is read, or refused by an error that names it."""
    path, random = tmp_path / "x.tif", np.random.default_rng(0)
    options = dict(_KINDS[kind])
    with tifffile.TiffWriter(
        path, **{name: options.pop(name) for name in _OF_FILES if name in options}
    ) as file:
        file.write(smooth()[:40, :50], photometric="rgb", **options)
        for _ in range(2 if kind != "OME" else 0):
            file.write(smooth()[:20, :25], photometric="rgb", subfiletype=1)
    whole = path.read_bytes()
    outcomes = set()
    for _ in range(24):
        content = bytearray(whole[: random.integers(4, len(whole))] if random.random() < 0.2 else whole)
        # The tags lie at both ends.
        ends = (range(min(400, len(content))), range(max(0, len(content) - 900), len(content)))
        for place in random.choice(ends[random.integers(2)], random.integers(1, 4)):
            content[place] = random.choice([0, 1, 255, random.integers(256)])
        path.write_bytes(content)
        try:
            open_image(path)[:60, :60].compute()
            outcomes.add("read")
        except (ValueError, OSError) as error:
            assert "x.tif" in str(error)  # noqa: PT017  one of two outcomes
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


def test_jpeg_xr_is_refused(tmp_path: Path) -> None:
    """Its decoder crashes on damaged tiles, which no exception tells."""
    path = write_tiff(tmp_path / "x.tif", noise(64, 64, 3), tile=(32, 32), compression="jpegxr")
    with pytest.raises(ValueError, match=r"x\.tif is compressed by JPEG XR, whose decoder can end"):
        open_image(path)
