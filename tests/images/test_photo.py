"""Photos: decoded once and in one way, turned as they say, and refused if they are damaged."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import imagecodecs
import numpy as np
import pytest
from images.examples import COLOR, HEIGHT, WIDTH, names, noise, smooth, with_orientation
from PIL import Image as Pillow
from PIL import ImageOps

from pipeline.images import photo
from pipeline.images.opening import open_image
from pipeline.images.readers import open_source
from pipeline.images.reopening import reopen
from pipeline.testing.sources import SourceContract

if TYPE_CHECKING:
    from pipeline.testing.sources import Case


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("x.png", "uint8"), ("x.png", "uint16"), ("x.bmp", "uint8"), ("x.webp", "uint8"), ("x.jpg", "uint8")],
)
@pytest.mark.parametrize("order", ["RGB", "BGR", "GRB"])
def test_photo_comes_as_opencv_decodes_it(tmp_path: Path, name: str, dtype: str, order: str) -> None:
    """A color photo of each format and depth has OpenCV's pixels in the order asked for."""
    path = tmp_path / name
    cv2.imwrite(str(path), noise(HEIGHT, WIDTH, 3, dtype=dtype))
    wanted = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert wanted is not None
    file = open_image(path, channels=names(order))
    assert (file.shape, file.dtype, file.tile) == ((HEIGHT, WIDTH, 3), np.dtype(dtype), (HEIGHT, WIDTH))
    assert file.channels == names(order)
    np.testing.assert_array_equal(file[:], wanted[..., ["BGR".index(letter) for letter in order]])
    np.testing.assert_array_equal(file.to_dask(block=64).compute(), file)


@pytest.mark.parametrize("name", ["x.jpg", "x.png"])
def test_photo_comes_as_pil_decodes_it(tmp_path: Path, name: str) -> None:
    """A photo's pixels are those of another decoder, in JPEG within its rounding."""
    path = tmp_path / name
    cv2.imwrite(str(path), smooth())
    difference = np.asarray(open_image(path), int) - np.asarray(Pillow.open(path), int)
    assert np.abs(difference).max() <= (3 if name.endswith("jpg") else 0)


@pytest.mark.parametrize(
    ("name", "dtype"), [("x.png", "uint8"), ("x.png", "uint16"), ("x.bmp", "uint8"), ("x.jpg", "uint8")]
)
def test_gray_photo_has_one_channel(tmp_path: Path, name: str, dtype: str) -> None:
    """A gray photo comes as one channel, which any model of one channel may read."""
    path = tmp_path / name
    cv2.imwrite(str(path), noise(HEIGHT, WIDTH, dtype=dtype))
    file = open_image(path)
    for image in (file, file.fitted(1), file.fitted(1, ("DAPI",))):
        assert (image.shape, image.dtype, image.channels) == ((HEIGHT, WIDTH, 1), np.dtype(dtype), ("gray",))
        np.testing.assert_array_equal(image[..., 0], cv2.imread(str(path), cv2.IMREAD_UNCHANGED))
    with pytest.raises(ValueError, match=f"{name} has no channel 'blue'; wanted one of gray"):
        open_image(path, channels=names("BGR"))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_photo_alpha_is_kept_where_asked_for(tmp_path: Path, dtype: str) -> None:
    """Alpha stays as it is stored under an order with A, and is left out under one without."""
    bgra = noise(HEIGHT, WIDTH, 4, dtype=dtype)
    path = tmp_path / "x.png"
    cv2.imwrite(str(path), bgra)
    file = open_image(path, channels=names("RGBA"))
    assert file.channels == (*COLOR, "alpha")
    np.testing.assert_array_equal(file[:], bgra[..., [2, 1, 0, 3]])
    np.testing.assert_array_equal(open_image(path, channels=names("ABGR"))[:], bgra[..., [3, 0, 1, 2]])
    np.testing.assert_array_equal(open_image(path)[:], bgra[..., [2, 1, 0]])


def test_webp_alpha_is_kept_where_asked_for(tmp_path: Path) -> None:
    """A WebP with alpha gives OpenCV's samples, with alpha and without."""
    path = tmp_path / "x.webp"
    cv2.imwrite(str(path), smooth(4))
    wanted = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert wanted is not None
    np.testing.assert_array_equal(open_image(path, channels=names("BGRA"))[:], wanted)
    assert open_image(path).shape == (HEIGHT, WIDTH, 3)


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    """A JPEG of orientation 6 comes turned a quarter clockwise."""
    encoded = cv2.imencode(".jpg", smooth())[1].tobytes()
    (tmp_path / "plain.jpg").write_bytes(encoded)
    (tmp_path / "turned.jpg").write_bytes(with_orientation(encoded, 6))
    turned = open_image(tmp_path / "turned.jpg")
    assert turned.shape == (WIDTH, HEIGHT, 3)
    np.testing.assert_array_equal(turned[:], np.rot90(open_image(tmp_path / "plain.jpg")[:], -1))


@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.webp", "x.bmp"])
@pytest.mark.parametrize("part", [0.05, 0.5, 0.99])
def test_a_truncated_photo_is_an_error(tmp_path: Path, name: str, part: float) -> None:
    """A photo that lacks its end is refused, rather than filled up."""
    path = tmp_path / name
    content = cv2.imencode(path.suffix, noise(HEIGHT, WIDTH, 3))[1].tobytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(ValueError, match=rf"{name} (is |isn't an |can't hold ).*(truncated|damaged|image)"):
        open_image(path)


def test_the_end_of_a_thumbnail_is_not_the_end(tmp_path: Path) -> None:
    """A truncated JPEG is refused though a thumbnail within a segment of it is whole."""
    content = cv2.imencode(".jpg", smooth())[1].tobytes()
    thumbnail = cv2.imencode(".jpg", smooth()[:16, :16])[1].tobytes()
    segment = b"\xff\xe2" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    path = tmp_path / "x.jpg"
    path.write_bytes(content[:2] + segment + content[2:])
    assert open_image(path).shape == (HEIGHT, WIDTH, 3)
    path.write_bytes(content[:2] + segment + content[2:-500])
    with pytest.raises(ValueError, match="truncated"):
        open_image(path)


@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.bmp", "x.webp", "x.jp2"])
def test_steps_and_turned_slices(tmp_path: Path, name: str) -> None:
    """Rows and columns at steps, forward and backward, are those of the whole photo."""
    path = tmp_path / name
    cv2.imwrite(str(path), smooth())
    image, whole = open_image(path), np.asarray(open_image(path))
    np.testing.assert_array_equal(image[::16, ::-7, 1], whole[::16, ::-7, 1])


def test_a_photo_is_held_whole(tmp_path: Path) -> None:
    """The memory of a decoded photo counts, with its alpha channel, and its decoder's."""
    cv2.imwrite(str(tmp_path / "x.png"), noise(HEIGHT, WIDTH, 4, dtype="uint16"))
    for image, n_samples in (
        (open_image(tmp_path / "x.png"), 3),
        (open_image(tmp_path / "x.png", mask="alpha"), 4),
    ):
        (source,) = image.sources
        assert source.held_bytes == HEIGHT * WIDTH * 4 * 2
        assert source.opening_bytes > 0
        assert source.present_bytes == source.held_bytes
        assert source.region_bytes((5, 7)) == 5 * 7 * n_samples * 2
        assert source.unit == (1, 1)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note the photos that are decoded."""
    noted: list[str] = []
    decode = photo._decode_whole

    def note(path: str, frame: int) -> Any:
        noted.append(Path(path).name)
        return decode(path, frame)

    monkeypatch.setattr(photo, "_decode_whole", note)
    return noted


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.webp", "x.bmp", "x.ppm", "x.jp2", "x.gif"])
def test_a_giant_photo_is_opened_without_being_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoded: list[str], name: str
) -> None:
    """The header says what there is to know, and the photo is decoded once, when its first pixel is read."""
    monkeypatch.setattr(photo, "GIANT", 0)
    path = tmp_path / name
    Pillow.fromarray(smooth()).save(path)
    image = open_image(path)
    assert (image.shape, image.dtype, image.channels) == ((HEIGHT, WIDTH, 3), np.dtype("uint8"), COLOR)
    assert "x 83 pixels" in repr(image[::2])
    assert [source.present_bytes for source in image.sources] == [0]
    assert image.source.with_alpha() is None
    assert decoded == []
    whole = np.asarray(image)
    for region in ((slice(0, 9), slice(0, 9)), (slice(20, 60, 3), slice(9))):
        np.testing.assert_array_equal(image.source.read(region), whole[region])
    assert decoded == [name]


def test_a_header_that_lies_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pixels of another shape than the header states aren't taken for the image's."""
    Pillow.fromarray(smooth()).save(tmp_path / "x.png")
    monkeypatch.setattr(imagecodecs, "png_decode", lambda _: noise(HEIGHT, WIDTH - 1, 3))
    with pytest.raises(ValueError, match=r"x.png has another size than its header states, \(101, 83, 3\)"):
        open_image(tmp_path / "x.png")


def test_alpha_is_decoded_once(tmp_path: Path, decoded: list[str]) -> None:
    """A photo is decoded once, with alpha, whatever is asked of it."""
    path = tmp_path / "x.png"
    cv2.imwrite(str(path), noise(HEIGHT, WIDTH, 4))
    image = open_image(path, mask="alpha")
    image.part((slice(0, 9), slice(0, 9))).read()
    open_image(path).fitted(4, names("ARGB")).compute()
    assert decoded == ["x.png"]


@pytest.mark.parametrize("name", ["x.png", "x.webp", "x.avif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_whatever_is_asked(tmp_path: Path, name: str, orientation: int) -> None:
    """Channels, alpha as a channel and alpha as a mask lie as the orientation says."""
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    pixels = np.repeat(np.repeat(noise(9, 7, 4) // 64 * 64, 16, 0), 16, 1)
    Pillow.fromarray(pixels).save(tmp_path / name, exif=exif, lossless=True, quality=100)
    with Pillow.open(tmp_path / name) as stored:
        wanted = np.asarray(ImageOps.exif_transpose(stored))
    np.testing.assert_array_equal(open_image(tmp_path / name), wanted[..., :3])
    np.testing.assert_array_equal(open_image(tmp_path / name, channels=names("AR")), wanted[..., [3, 0]])
    masked, valid = open_image(tmp_path / name, mask="alpha").part((slice(50), slice(60))).read()
    np.testing.assert_array_equal(valid, wanted[:50, :60, 3] != 0)
    assert masked is not None


def test_exif_data_with_the_letters_of_a_jpeg(tmp_path: Path) -> None:
    """A WebP whose EXIF data begin as they do in a JPEG is turned too."""
    exif = Pillow.Exif()
    exif[0x0112] = 6
    Pillow.fromarray(smooth()).save(tmp_path / "x.webp", exif=b"Exif\0\0" + exif.tobytes()[6:], lossless=True)
    content = (tmp_path / "x.webp").read_bytes()
    place = content.index(b"EXIF")
    data = b"Exif\0\0" + exif.tobytes()[6:]
    data += bytes(len(data) % 2)
    content = content[:place] + b"EXIF" + struct.pack("<I", len(data)) + data
    (tmp_path / "x.webp").write_bytes(b"RIFF" + struct.pack("<I", len(content) - 8) + content[8:])
    np.testing.assert_array_equal(open_image(tmp_path / "x.webp"), np.rot90(smooth(), -1))


@pytest.mark.parametrize("name", ["x.gif", "x.webp"])
def test_a_frame_is_chosen(tmp_path: Path, name: str) -> None:
    """Of several frames none is taken silently; each has the pixels that PIL gives it."""
    path = tmp_path / name
    frames = [Pillow.fromarray(np.roll(smooth(), 20 * shift, 0)) for shift in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True)
    for pages in (None, 3, "channels"):
        with pytest.raises(ValueError, match=rf"{name} is a \w+ of 3 frames, and pages is .*pages=0 to 2"):
            open_image(path, pages=pages)
    with pytest.raises(ValueError, match="has none"):
        open_image(path, pages=0, level=1)
    for number in range(3):
        image = open_image(path, pages=number)
        with Pillow.open(path) as stored:
            stored.seek(number)
            np.testing.assert_array_equal(image, stored.convert("RGB"))
        assert reopen(image.source.place() or {}).description == image.description
        assert "pages" in (image.source.identity() or "") or not number


def test_a_photo_of_one_frame_has_no_pages(tmp_path: Path) -> None:
    """Nothing can be chosen in it."""
    Pillow.fromarray(smooth()).save(tmp_path / "x.png")
    with pytest.raises(ValueError, match=r"pages is 0, but .*x.png is a PNG, which has none"):
        open_image(tmp_path / "x.png", pages=0)


def test_alpha_follows_the_channels(tmp_path: Path) -> None:
    """Alpha that is asked for later comes behind the channels that were chosen."""
    stored = noise(HEIGHT, WIDTH, 4)
    cv2.imwrite(str(tmp_path / "x.png"), stored)
    whole = open_source(tmp_path / "x.png").select((2, 0))
    assert whole is not None
    with_alpha = whole.with_alpha()
    assert with_alpha is not None
    assert with_alpha.channels == ("blue", "red", "alpha")
    np.testing.assert_array_equal(with_alpha.read((slice(0, 99), slice(0, 9))), stored[:99, :9, [0, 2, 3]])


def test_gray_with_alpha_is_gray(tmp_path: Path) -> None:
    """A gray PNG with alpha has one channel, and alpha behind it."""
    pixels = noise(HEIGHT, WIDTH, 2)
    Pillow.fromarray(pixels).save(tmp_path / "x.png")
    image = open_image(tmp_path / "x.png")
    assert image.channels == ("gray",)
    np.testing.assert_array_equal(image, pixels[..., :1])
    np.testing.assert_array_equal(
        open_image(tmp_path / "x.png", channels=["alpha", "gray"]), pixels[..., ::-1]
    )
    read, valid = open_image(tmp_path / "x.png", mask="alpha").part((slice(9), slice(9))).read()
    np.testing.assert_array_equal(valid, pixels[:9, :9, 1] != 0)
    assert read is not None


class TestColorPhoto(SourceContract):
    """The contract, on a photo."""

    @pytest.fixture
    def case(self, tmp_path: Path) -> Case:
        """Write a PNG."""
        pixels = noise(HEIGHT, WIDTH, 3, dtype="uint16")
        cv2.imwrite(str(tmp_path / "x.png"), pixels[..., ::-1])
        return open_source(tmp_path / "x.png"), pixels


class TestPhotoWithAlpha(SourceContract):
    """The contract, on a photo that is decoded with its alpha channel."""

    @pytest.fixture
    def case(self, tmp_path: Path) -> Case:
        """Write a PNG with alpha."""
        pixels = noise(HEIGHT, WIDTH, 4)
        cv2.imwrite(str(tmp_path / "x.png"), pixels[..., [2, 1, 0, 3]])
        return open_image(tmp_path / "x.png", channels=names("RGBA")).source, pixels
