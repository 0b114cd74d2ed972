"""GDAL's virtual rasters (VRT): the files that they name, all of which must be local."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

# GDAL finds the root of a VRT within so many bytes.
_HEAD = 1024
_ROOT = b"<VRTDataset"
_SOURCES = {"sourcefilename", "sourcedataset"}
# GDAL's prefixes of files that aren't read from a disk, URLs, and names that only a certain driver knows.
_NOT_A_PATH = re.compile(r"/vsi|[A-Za-z][A-Za-z0-9+.-]+:|<")


def is_vrt(path: str) -> bool:
    """Return whether a file is a VRT."""
    return _ROOT in _head(path)


def find_sources(path: str) -> tuple[str, ...]:
    """Return the files that a VRT names, itself or through other VRTs.

    Parameters
    ----------
    path : str
        The absolute path of a VRT.

    Returns
    -------
    tuple of str
        Absolute paths, with those of the other VRTs.

    Raises
    ------
    FileNotFoundError
        If one of the files is not there.
    ValueError
        If the VRT isn't sound XML, runs code, or names anything that isn't a local image file: reading it
        would make requests.
    """
    found: dict[str, None] = {}
    waiting = [path]
    while waiting:
        vrt = waiting.pop()
        for source in _named_by(vrt):
            if source in found or source == path:
                continue
            found[source] = None
            if _ROOT in (head := _head(source)):
                waiting.append(source)
            elif head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in {b"<", b"{"}:
                raise ValueError(
                    f"{vrt} names the source {source}, a text that can name remote images; wanted an image "
                    "file or a VRT. Copy its pixels: gdal_translate IN OUT.tif"
                )
    return tuple(found)


def _named_by(vrt: str) -> list[str]:
    """Return the paths of the sources that stand in one VRT."""
    content = Path(vrt).read_bytes()
    try:
        if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
            raise ValueError("it declares entities")  # noqa: TRY301  the same refusal
        root = ET.fromstring(content)  # noqa: S314  entities, the danger, are refused above
    except (ET.ParseError, ValueError) as error:
        raise ValueError(
            f"{vrt} can't be read as a VRT: {error}. Write it anew with gdalbuildvrt."
        ) from error
    # GDAL reads the files beside the target of a link.
    folder = (Path(vrt).resolve() if Path(vrt).is_symlink() else Path(vrt)).parent
    sources = []
    for element in root.iter():
        # GDAL doesn't tell capital letters from small ones.
        tag, text = element.tag.lower(), (element.text or "").strip()
        if tag == "pixelfunctionlanguage" and text.lower() == "python":
            raise ValueError(
                f"{vrt} runs Python code, which isn't done. Copy its pixels: gdal_translate IN OUT.tif"
            )
        if tag in _SOURCES:
            attributes = {name.lower(): value for name, value in element.attrib.items()}
            sources.append(_resolve(vrt, folder, text, is_relative=attributes.get("relativetovrt") == "1"))
    return sources


def _resolve(vrt: str, folder: Path, text: str, *, is_relative: bool) -> str:
    """Return the absolute path of a source, after checking that it is one that is there."""
    if _NOT_A_PATH.match(text):
        raise ValueError(
            f"{vrt} names the source {text:.200}; wanted local files only. Copy its pixels: "
            "gdal_translate IN OUT.tif"
        )
    if not is_relative and not Path(text).is_absolute():
        raise ValueError(
            f"{vrt} names the source {text:.200} relative to the working directory; wanted a path "
            'relative to the VRT. Write relativeToVRT="1".'
        )
    source = folder / text
    if not source.exists():
        raise FileNotFoundError(
            f"{vrt} names the source {source}, which is not there; wanted all of its files. Copy them too."
        )
    return str(source)


def _head(path: str) -> bytes:
    """Return the first bytes of a file; none of a directory, which some formats are."""
    if Path(path).is_dir():
        return b""
    with Path(path).open("rb") as file:
        return file.read(_HEAD)
