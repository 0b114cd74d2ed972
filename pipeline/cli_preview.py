"""The command that draws results."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.results.figure import check_picture, save_figure
from pipeline.results.result import open_result


@click.command(short_help="Draw results with color bars, legends and a scale bar.")
@click.argument("store", metavar="OUT.zarr")
@click.argument("picture", metavar="OUT.png", type=click.Path(path_type=Path))
@click.option("--result", "results", metavar="NAME", multiple=True, help="A result to draw; all by default.")
@click.option(
    "--size", type=click.IntRange(min=1), default=800, show_default=True, help="The longer side of a picture."
)
@click.option("--overlay", is_flag=True, help="Draw results over the image, if it is still there.")
@click.option("--overwrite", is_flag=True, help="Replace an existing picture.")
def preview(
    store: str, picture: Path, *, results: tuple[str, ...], size: int, overlay: bool, overwrite: bool
) -> None:
    """Draw the results in OUT.zarr from a coarse level, as PNG, SVG, PDF, or another format by its ending.

    \b
    Examples:
      mixture-pipeline preview out.zarr out.png
      mixture-pipeline preview out.zarr skin.pdf --result skin --overlay
    """  # noqa: D301  click reads the backspace
    check_picture(picture, overwrite=overwrite)
    save_figure(open_result(store).preview(results or None, size=size, overlay=overlay), picture)
    click.echo(f"picture: {picture}")
