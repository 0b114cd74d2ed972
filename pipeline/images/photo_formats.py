"""The formats of photos: how each is known, which library decodes it, and what its header says.

| format | decoder | kinds that are refused by name |
| --- | --- | --- |
| PNG | libpng, by imagecodecs | several frames (APNG) |
| JPEG, JPEG-LS | libjpeg-turbo and CharLS, by imagecodecs | CMYK, hierarchical, arithmetic lossless |
| WebP | libwebp, by imagecodecs | |
| GIF | giflib, by imagecodecs | more than 2^28 pixels in all frames |
| JPEG 2000 | OpenJPEG, by imagecodecs | CMYK, YCbCr, subsampled, more than 16 bits or 4 samples |
| AVIF | libavif, by imagecodecs | several frames, more than 2^28 pixels |
| JPEG XL | libjxl, by imagecodecs | several frames, more than 2^28 pixels |
| QOI | qoi, by imagecodecs | |
| Radiance | rgbe, by imagecodecs | XYZ, turned rows |
| BMP | NumPy | compressed, more than 8 bits a sample |
| PBM, PGM, PPM, PAM, PFM | NumPy | PAM of other samples |
| Sun raster | NumPy | compressed, or of 1 bit |

All samples come as they are stored: gamma, color profiles and exposure aren't applied. Samples of 10 or 12
bits come in uint16 without being scaled, those of fewer than 8 bits are scaled to 8. The orientation is
EXIF's in PNG, JPEG and WebP, and the format's own in AVIF and JPEG XL. If a GIF or WebP has several frames,
one must be chosen. A JPEG that carries further ones, such as previews or gain maps, is its first one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pipeline.images import (
    photo_bmp,
    photo_boxes,
    photo_frames,
    photo_jpeg,
    photo_other,
    photo_png,
    photo_pnm,
)
from pipeline.images.photo_facts import decode_with

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from numpy.typing import NDArray

    from pipeline.images.photo_facts import Content, Header


class Format(NamedTuple):
    """A format of photos.

    Attributes
    ----------
    name : str
        With its article, in messages.
    is_format : callable
        Whether a file is one, by its first bytes.
    read_header : callable
        It returns the header, or None if that doesn't state all of it.
    decode : callable
        It returns the stored pixels of the frame of a number: gray or RGB, perhaps with alpha.
    """

    name: str
    is_format: Callable[[Content], bool]
    read_header: Callable[[Content], Header | None]
    decode: Callable[[Content, int], NDArray[Any]]


def find_format(content: Content) -> Format | None:
    """Return the format of a file, or None if it is none of these."""
    return next((each for each in FORMATS if each.is_format(content)), None)


def _begins(*magic: bytes) -> Callable[[Content], bool]:
    return lambda content: content[: max(map(len, magic))].startswith(magic)


def _decode_png(content: Content, frame: int) -> NDArray[Any]:
    del frame
    return decode_with("png", content)


FORMATS = (
    Format("a PNG", _begins(photo_png.PNG_MAGIC), photo_png.read_png, _decode_png),
    Format("a JPEG", _begins(photo_jpeg.JPEG_MAGIC), photo_jpeg.read_jpeg, photo_jpeg.decode_jpeg),
    Format("a WebP", photo_frames.is_webp, photo_frames.read_webp, photo_frames.decode_webp),
    Format("a GIF", _begins(*photo_frames.GIF_MAGIC), photo_frames.read_gif, photo_frames.decode_gif),
    Format(
        "a JPEG 2000",
        _begins(photo_boxes.JP2_MAGIC, photo_boxes.J2K_MAGIC),
        photo_boxes.read_jp2,
        photo_boxes.decode_jp2,
    ),
    Format("an AVIF", photo_boxes.is_avif, photo_boxes.read_avif, photo_boxes.decode_avif),
    Format("a JPEG XL", _begins(*photo_other.JXL_MAGIC), photo_other.read_jxl, photo_other.decode_jxl),
    Format("a QOI", _begins(photo_other.QOI_MAGIC), photo_other.read_qoi, photo_other.decode_qoi),
    Format("a Radiance file", _begins(*photo_other.HDR_MAGIC), photo_other.read_hdr, photo_other.decode_hdr),
    Format("a Sun raster", _begins(photo_other.SUN_MAGIC), photo_other.read_sun, photo_other.decode_sun),
    Format("a BMP", photo_bmp.is_bmp, photo_bmp.read_bmp, photo_bmp.decode_bmp),
    Format("a PNM", photo_pnm.is_pnm, photo_pnm.read_pnm, photo_pnm.decode_pnm),
)
