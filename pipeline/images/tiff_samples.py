"""The samples of a TIFF: which channels they are, and what is made of those that aren't gray or RGB."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import tifffile
    from numpy.typing import NDArray

_WHITE_IS_ZERO, _GRAY, _RGB, _PALETTE, _MASK, _YCBCR = 0, 1, 2, 3, 4, 6
# libvips doesn't read these kinds, or not all of them. rasterio brings this command.
_BY_GDAL, _CIELAB = "Convert it: rio convert IN OUT.tif --co PHOTOMETRIC=RGB", 8
_REFUSED = {
    5: "CMYK",
    _YCBCR: "YCbCr",
    _CIELAB: "CIELab",
    9: "ICCLab",
    10: "ITULab",
    32803: "color filter array",
    32844: "LogL",
    32845: "LogLuv",
    34892: "linear raw",
    51177: "depth",
}
_TAG = 262
# The predictor that stores differences of samples.
_DIFFERENCES = 2
# TIFF's codes of JPEG, whose YCbCr is decoded to RGB.
_OLD_JPEG, _JPEG_COMPRESSION = 6, (7, 34892, 33007)
_JPEG_XR = (22610, 34934)
# JPEG 2000 in Aperio's slides: YCbCr, whatever the photometric tag says, which isn't decoded to RGB.
_APERIO_YCBCR = 33003
_CONVERT = "Convert it: vips colourspace IN OUT.tif srgb"
# The kinds of alpha among extra samples: multiplied into the colors, or not.
_ALPHAS = (1, 2)
_COLORMAP = 320
# A sample behind red, green and blue of a palette is so much before them in the file.
_BEHIND = 2
# NumPy turns numbers into indices of this size; those of palettes have 16 bits at most.
_INDEX_BYTES, _NUMBER_BYTES = 2, 8
_WHOLE_BYTES = (8, 16, 32, 64)


@dataclass(frozen=True)
class Samples:
    """The samples that a TIFF's pixels have once they are read.

    Attributes
    ----------
    stored : str
        One letter for each: R, G, B, A, L for gray, and ? where the file doesn't say.
    dtype : dtype
        In this machine's byte order.
    highest : int or None
        The sample that is black, where 0 is white.
    palette : ndarray of uint8, shape (n, 3), or None
        The colors of the numbers that the file holds, which are its first sample.
    bits : int or None
        The bits of a sample, which sums of differences can exceed.
    """

    stored: str
    dtype: np.dtype[Any]
    highest: int | None = None
    palette: NDArray[np.uint8] | None = None
    bits: int | None = None

    def held(self, samples: tuple[int, ...]) -> tuple[int, ...]:
        """Return which samples of the file are read for these ones."""
        if self.palette is None:
            return samples
        return tuple(dict.fromkeys(max(0, sample - _BEHIND) for sample in samples))

    def convert(self, pixels: NDArray[Any], samples: tuple[int, ...]) -> NDArray[Any]:
        """Return these samples, shape (h, w, n), of pixels with the samples that the file holds."""
        if self.bits is not None:
            pixels &= pixels.dtype.type(2**self.bits - 1)
        if self.palette is not None:
            held = self.held(samples)
            colors = np.empty((*pixels.shape[:2], len(samples)), self.dtype)
            for channel, sample in enumerate(samples):
                numbers = pixels[..., held.index(max(0, sample - _BEHIND))]
                is_color = sample <= _BEHIND
                colors[..., channel] = self.palette[:, sample].take(numbers) if is_color else numbers
            return colors
        if self.highest is not None:
            for channel, sample in enumerate(samples):
                if sample == 0:
                    gray = pixels[..., channel]
                    np.subtract(self.highest, gray, out=gray, casting="unsafe")
        return pixels

    def converting_bytes(self, samples: tuple[int, ...]) -> int:
        """Return the memory in bytes for each pixel that converting these samples takes."""
        return 0 if self.palette is None else _NUMBER_BYTES + len(self.held(samples)) * _INDEX_BYTES


def read_samples(path: str, series: tifffile.TiffPageSeries, n_planes: int) -> Samples:
    """Return the samples of an image.

    Parameters
    ----------
    path : str
        The file in messages.
    series : TiffPageSeries
    n_planes : int
        The number of pages whose samples are the image's.

    Returns
    -------
    Samples
        Gray where 0 is white is turned round. The colors of a palette take the place of the numbers that are
        stored. Samples of fewer than 8 or 16 bits are whole numbers as they are stored, bits 0 and 1. All
        else comes as it is stored: alpha is neither applied nor undone.

    Raises
    ------
    ValueError
        If the samples are of a kind that isn't read.
    """
    page = series.keyframe
    if page.dtype is None:
        found = f"{page.bitspersample}-bit samples of format {page.sampleformat}"
        raise ValueError(f"{path} stores {found}; wanted integers or floats. Convert it.")
    if series.dtype.kind not in "buif":
        raise ValueError(f"{path} stores {series.dtype} samples; wanted integers or floats. Convert it.")
    if page.compression == _OLD_JPEG:
        raise ValueError(
            f"{path} is compressed by the old-style JPEG of TIFF's version 6.0, which isn't read. {_BY_GDAL}"
        )
    if page.compression in _JPEG_XR:
        raise ValueError(
            f"{path} is compressed by JPEG XR, whose decoder can end the process where a tile is damaged. "
            "Convert it to another compression."
        )
    separate, depth, _, _, contiguous = page.shaped
    if depth > 1:
        raise ValueError(
            f"{path} has axes {series.axes} of lengths {series.shape}, {depth} planes in one page; wanted YX "
            "with channels. Split it into one page a plane."
        )
    n_samples, dtype = separate * contiguous, series.dtype.newbyteorder("=")
    dtype = np.dtype(np.uint8) if dtype.kind == "b" else dtype
    photometric = _photometric(page)
    is_cut = page.predictor == _DIFFERENCES and page.bitspersample not in _WHOLE_BYTES
    bits = int(page.bitspersample) if is_cut and dtype.kind == "u" else None
    if photometric == _PALETTE:
        letters = _letters("RGB", n_samples + _BEHIND, n_planes, page.extrasamples)
        return Samples(letters, np.dtype(np.uint8), palette=_palette(path, page, n_samples), bits=bits)
    _check_kind(path, page, photometric)
    highest = _highest(path, page, dtype) if photometric == _WHITE_IS_ZERO else None
    letters = "RGB" if photometric in {_RGB, _YCBCR} else "L"
    return Samples(_letters(letters, n_samples, n_planes, page.extrasamples), dtype, highest, bits=bits)


def choose_decoder(path: str, page: tifffile.TiffPage) -> Callable[..., Any]:
    """Return tifffile's function that decodes tiles or strips of a page.

    Raises
    ------
    ValueError
        If it has none for such pages.
    """
    try:
        decode = page.decode
        # Where it has none, the function is one that raises.
        decode(None, 0)
    except Exception as error:
        compression = getattr(page.compression, "name", f"number {page.compression}")
        raise ValueError(
            f"{path} is a TIFF of a kind that isn't read, compression {compression}: {error}. Convert it."
        ) from error
    return decode


def _photometric(page: tifffile.TiffPage) -> int:
    """Return how the samples are meant. Without the tag they are RGB if there are three, else gray."""
    if page.compression == _APERIO_YCBCR:
        return _YCBCR
    if _TAG in page.tags:
        return int(page.photometric)
    n_colors = page.samplesperpixel - len(page.extrasamples)
    return _RGB if n_colors == len("RGB") else _GRAY


def _check_kind(path: str, page: tifffile.TiffPage, photometric: int) -> None:
    """Raise unless the samples are gray or RGB, or are decoded to RGB."""
    if photometric in {_WHITE_IS_ZERO, _GRAY, _RGB, _MASK}:
        return
    if photometric == _YCBCR and page.compression in _JPEG_COMPRESSION and page.planarconfig == 1:
        return
    kind = _REFUSED.get(photometric, f"photometric-{photometric}")
    advice = _BY_GDAL if photometric == _CIELAB else _CONVERT
    raise ValueError(f"{path} stores {kind} samples; wanted RGB or gray. {advice}")


def _highest(path: str, page: tifffile.TiffPage, dtype: np.dtype[Any]) -> int:
    """Return the sample that is black, where 0 is white."""
    if dtype.kind != "u":
        raise ValueError(f"{path} stores white-is-zero gray in {dtype}, which has no black. {_CONVERT}")
    return int(2**page.bitspersample - 1)


def _palette(path: str, page: tifffile.TiffPage, n_samples: int) -> NDArray[np.uint8]:
    """Return the colors of a palette, shape (n, 3)."""
    numbers = page.tags.valueof(_COLORMAP)
    colors = np.array(() if numbers is None else numbers, np.uint16)
    n_colors = 2**page.bitspersample if page.dtype is not None and page.dtype.kind in "bu" else 0
    is_known = n_samples == 1 or page.bitspersample == np.iinfo(np.uint8).bits
    if not is_known or not 0 < colors.size == 3 * n_colors:
        raise ValueError(
            f"{path} stores palette samples, {n_samples} of {page.bitspersample} bits for each pixel, with "
            f"{colors.size // 3} colors; wanted one, or some of 8 bits, and all colors. {_CONVERT}"
        )
    colors = colors.reshape(3, n_colors).T
    # Some programs store 8 bits where the standard wants 16, which libtiff knows by this.
    shift = 8 if colors.max() > np.iinfo(np.uint8).max else 0
    return np.ascontiguousarray(colors >> shift).astype(np.uint8)


def _letters(colors: str, n_samples: int, n_planes: int, extra: tuple[int, ...]) -> str:
    """Name the samples of all planes: R, G, B, A, L for gray, ? where the file doesn't say."""
    if n_planes > 1 or n_samples < len(colors):
        return "?" * (n_planes * n_samples)
    found = [*extra, *[0] * n_samples][: n_samples - len(colors)]
    alpha = next((number for number, kind in enumerate(found) if kind in _ALPHAS), None)
    letters = "".join("A" if number == alpha else "?" for number in range(len(found)))
    # A fluorescence image's samples pass for gray with more.
    return "?" + letters if colors == "L" and "?" in letters else colors + letters
