"""Where results lie on a map, as other programs read it: conventions of Zarr, and CF.

GDAL and newer versions of rioxarray read the conventions ``spatial``, ``proj`` and ``multiscales``
(https://github.com/zarr-conventions). Older versions read the variable ``spatial_ref`` of the CF conventions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.images.geometry import Geometry
    from pipeline.images.grid import Grid
    from pipeline.models.quantity import Coarsening

# The name of the CF variable, and the attribute of an array that names it.
SPATIAL_REF, GRID_MAPPING = "spatial_ref", "grid_mapping"
# The owner, the identifier and the version of each convention.
_CONVENTIONS = {
    "multiscales": ("zarr-conventions/multiscales", "d35379db-88df-4056-af3a-620245f8e347", "v1"),
    "proj:": ("zarr-experimental/geo-proj", "f17cb550-5864-4468-aeb7-f3180cfb622f", "v1"),
    "spatial:": ("zarr-conventions/spatial", "689b58e2-cf7b-45e0-9fff-9cfc0883d6b4", "v1"),
}
_RESAMPLING: dict[Coarsening, str] = {"mean": "average", "log-mean-exp": "average", "mode": "mode"}


def is_on_a_map(geometry: Geometry) -> bool:
    """Return whether a geometry says where the pixels lie by coordinates."""
    return geometry.transform is not None


def image_attributes(geometry: Geometry, grid: Grid, coarsening: Coarsening) -> dict[str, Any]:
    """Return the attributes of the group of an image: its levels, and where they lie.

    Parameters
    ----------
    geometry : Geometry
        That of level 0.
    grid : Grid
    coarsening : str
        How coarser levels are made.

    Returns
    -------
    dict
        Empty for an image that isn't on a map.
    """
    if not is_on_a_map(geometry):
        return {}
    layout: list[dict[str, Any]] = []
    for number in range(grid.n_levels):
        placed = _spatial(geometry.coarser(2**number, 2**number), grid.level(number))
        factor = 2.0 if number else 1.0
        layout.append(
            {
                "asset": str(number),
                **({"derived_from": str(number - 1)} if number else {}),
                "transform": {"scale": [factor, factor], "translation": [0.0, 0.0]},
                "spatial:shape": placed["spatial:shape"],
                "spatial:transform": placed["spatial:transform"],
            }
        )
    return {
        **level_attributes(geometry, grid),
        "zarr_conventions": [_convention(name) for name in _CONVENTIONS],
        "multiscales": {"layout": layout, "resampling_method": _RESAMPLING[coarsening]},
    }


def level_attributes(geometry: Geometry, grid: Grid) -> dict[str, Any]:
    """Return the attributes of the group of a level, and of its array.

    Parameters
    ----------
    geometry : Geometry
        That of the level.
    grid : Grid
        That of the level.

    Returns
    -------
    dict
        Empty for an image that isn't on a map.
    """
    if not is_on_a_map(geometry):
        return {}
    return {
        "zarr_conventions": [_convention(name) for name in ("proj:", "spatial:")],
        **_projection(geometry),
        **_spatial(geometry, grid),
    }


def spatial_ref(geometry: Geometry) -> dict[str, Any]:
    """Return the attributes of the CF variable of a level.

    Parameters
    ----------
    geometry : Geometry
        That of the level; it must be on a map.
    """
    a, b, c, d, e, f = geometry.transform or (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    crs = geometry.crs
    # The order of GDAL. The name of a registry isn't WKT, which "crs_wkt" should be.
    names = [] if crs is None else ["spatial_ref"] if _is_code(crs) else ["crs_wkt", "spatial_ref"]
    return {**dict.fromkeys(names, crs), "GeoTransform": f"{c!r} {a!r} {b!r} {f!r} {d!r} {e!r}"}


def _convention(name: str) -> dict[str, str]:
    owner, identifier, version = _CONVENTIONS[name]
    return {
        "schema_url": f"https://raw.githubusercontent.com/{owner}/refs/tags/{version}/schema.json",
        "spec_url": f"https://github.com/{owner}/blob/{version}/README.md",
        "uuid": identifier,
        "name": name,
    }


def _projection(geometry: Geometry) -> dict[str, str]:
    crs = geometry.crs
    return {} if crs is None else {"proj:code" if _is_code(crs) else "proj:wkt2": crs}


def _is_code(crs: str) -> bool:
    """Return whether this is the name that a registry gives, such as EPSG:32633, and not WKT."""
    return "[" not in crs


def _spatial(geometry: Geometry, grid: Grid) -> dict[str, Any]:
    """Return where an array of this size lies."""
    a, b, c, d, e, f = geometry.transform or (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    height, width = grid.shape
    corners = [(row, column) for row in (0, height) for column in (0, width)]
    across = [a * column + b * row + c for row, column in corners]
    up = [d * column + e * row + f for row, column in corners]
    return {
        "spatial:dimensions": ["y", "x"],
        "spatial:shape": [height, width],
        "spatial:transform": [a, b, c, d, e, f],
        "spatial:bbox": [min(across), min(up), max(across), max(up)],
    }
