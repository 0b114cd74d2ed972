"""The command that writes results to files for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.results.export import FORMATS, export

if TYPE_CHECKING:
    from pipeline.results.export import Format


@click.command("export", short_help="Write a result to a file that other programs open.")
@click.argument("store", metavar="OUT.zarr")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--result", metavar="NAME", help="Which result, if the store has several.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(FORMATS),
    help="The format, if the end of the name doesn't tell it: .tif is OME-TIFF, .geojson polygons, .zarr "
    "OME-Zarr 0.4.",
)
@click.option("--overwrite", is_flag=True, help="Replace a file that is there.")
def export_result(
    store: str, path: Path, *, result: str | None, kind: Format | None, overwrite: bool
) -> None:
    """Write a result of OUT.zarr to FILE, block by block.

    \b
    Examples:
      mixture-pipeline export out.zarr out.ome.tif
      mixture-pipeline export out.zarr out.tif --format cog --result density
      mixture-pipeline export out.zarr out.geojson
    """  # noqa: D301  click reads the backspace
    click.echo(f"{export(store, path, result=result, format=kind, overwrite=overwrite)} is written")
