"""Results as Cloud Optimized GeoTIFF: a band for each plane, with CRS, transform, no-data and overviews."""

from __future__ import annotations

import tempfile
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import tifffile

from pipeline.models.palette import class_color
from pipeline.models.summary import result_names
from pipeline.results.ome_tiff import COMPRESSION, LARGEST_CLASSIC, counted, tile_side, xml_text
from pipeline.results.regions import tiles_of, value_dtype

if TYPE_CHECKING:
    from pipeline.images.geometry import Geometry
    from pipeline.results.result import Result
    from pipeline.runs.progress import Reporter

# The tags that say where the pixels lie (https://docs.ogc.org/is/19-008r4/19-008r4.html).
_GEO_TAGS = (33550, 33922, 34264, 34735, 34736, 34737)
_GDAL_METADATA, _GDAL_NO_DATA = 42112, 42113
# The side of the tiles: as GDAL has it by default, since they are fetched one by one from far away.
_BLOCK = 512
# 65535 / 255
_WIDER = 257


def write_cog(result: Result, name: str, path: Path, *, reporter: Reporter) -> None:
    """Write a result to a Cloud Optimized GeoTIFF.

    Parameters
    ----------
    result : Result
        At level 0.
    name : str
        The result. The classes of a posterior become bands. The classes of a label have colors in a table,
        which libvips shows instead of the numbers, and names in the metadata.
    path : Path
        A file that doesn't exist yet. A file of the same size is beside it meanwhile.
    reporter : Reporter
        It is told of each tile.

    Raises
    ------
    ModuleNotFoundError
        If rasterio isn't installed.

    Notes
    -----
    The levels of the store are the overviews. GDAL brings the pieces of the file into the order that the
    format demands, in bounded memory.
    """
    try:
        import rasterio  # noqa: PLC0415  an extra
        import rasterio.shutil  # noqa: PLC0415  an extra
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "a Cloud Optimized GeoTIFF needs rasterio: pip install 'mixture-pipeline[geo]'"
        ) from None
    with tempfile.TemporaryDirectory(prefix="mixture-pipeline-", dir=path.parent) as folder:
        plain = Path(folder, "plain.tif")
        _write_plain(result, name, plain, reporter)
        predictor = "2" if value_dtype(result, name).kind == "u" else "3"
        with rasterio.Env(GDAL_NUM_THREADS="2", GDAL_CACHEMAX=256):
            rasterio.shutil.copy(
                plain,
                path,
                driver="COG",
                COMPRESS="DEFLATE",
                PREDICTOR=predictor,
                BLOCKSIZE=min(_BLOCK, tile_side(result.levels[0])),
                OVERVIEWS="FORCE_USE_EXISTING" if len(result.levels) > 1 else "NONE",
                BIGTIFF="IF_SAFER",
            )


def _write_plain(result: Result, name: str, path: Path, reporter: Reporter) -> None:
    """Write a tiled GeoTIFF with overviews, in whatever order the pieces come."""
    dtype, planes = value_dtype(result, name), result.outputs[name].n_results
    is_large = planes * result.levels[0][0] * result.levels[0][1] * dtype.itemsize > LARGEST_CLASSIC
    options: dict[str, Any] = {
        "dtype": dtype,
        "metadata": None,
        **COMPRESSION,
        **_colors(result, name),
        **({"planarconfig": "separate"} if planes > 1 else {}),
    }
    leading = (planes,) if planes > 1 else ()
    with tifffile.TiffWriter(path, bigtiff=is_large) as file:
        for number in range(len(result.levels)):
            level, side = result.at(number), tile_side(result.levels[number])
            tiles = counted(tiles_of(level, name, side), level, reporter)
            extra = {"extratags": _tags(result, name)} if number == 0 else {"subfiletype": 1}
            file.write(tiles, shape=(*leading, *level.levels[number]), tile=(side, side), **options, **extra)


def _colors(result: Result, name: str) -> dict[str, Any]:
    """Return how the numbers become colors: those of classes by a table, which has room for each integer."""
    names, dtype = result.outputs[name].label_names, value_dtype(result, name)
    if names is None:
        return {"photometric": "minisblack"}
    table = np.zeros((3, np.iinfo(dtype).max + 1), np.uint16)
    # The colors of a TIFF have 16 bits.
    table[:, : len(names)] = np.transpose([class_color(number) for number in range(len(names))]) * _WIDER
    return {"photometric": "palette", "colormap": table}


def _tags(result: Result, name: str) -> list[tuple[int, int, int, Any, bool]]:
    """Return the tags of the file: its place, its no-data value, and the names of its bands and classes."""
    output = result.outputs[name]
    no_data = "nan" if value_dtype(result, name).kind == "f" else str(int(output.no_data))
    items = [
        f'<Item name="DESCRIPTION" sample="{number}" role="description">{_escape(text)}</Item>'
        for number, text in enumerate(result_names(output))
    ]
    for number, text in enumerate(output.label_names or ()):
        items.append(f"<Item name={quoteattr(f'class {number}')}>{_escape(text)}</Item>")
    metadata = f"<GDALMetadata>{''.join(items)}</GDALMetadata>"
    return [
        *_geo_tags(result.geometry),
        (_GDAL_METADATA, 2, 0, metadata.encode(), True),
        (_GDAL_NO_DATA, 2, 0, no_data, True),
    ]


def _escape(text: str) -> str:
    """Return a text as GDAL has it in its metadata: escaped twice."""
    return escape(escape(xml_text(text)))


def _geo_tags(geometry: Geometry) -> list[tuple[int, int, int, Any, bool]]:
    """Return the tags of a place on a map, as GDAL writes them."""
    if geometry.transform is None and geometry.crs is None:
        return []
    import rasterio  # noqa: PLC0415  an extra
    from rasterio.io import MemoryFile  # noqa: PLC0415  an extra

    placed: dict[str, Any] = {"crs": geometry.crs}
    if geometry.transform is not None:
        placed["transform"] = rasterio.Affine(*geometry.transform)
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", width=1, height=1, count=1, dtype="uint8", **placed):
            pass
        with tifffile.TiffFile(BytesIO(memory.read())) as file:
            tags = [file.pages.first.tags.get(code) for code in _GEO_TAGS]
            return [(tag.code, tag.dtype, tag.count, tag.value, True) for tag in tags if tag is not None]
