"""The command ``view``: a page of a result in the browser."""

from __future__ import annotations

import click

from pipeline.results.viewer import view as view_result


@click.command(short_help="Show a result over its image in the browser.")
@click.argument("store", metavar="OUT.zarr")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default="any free one",
    help="The port on 127.0.0.1.",
)
@click.option("--browser/--no-browser", default=True, show_default=True, help="Whether to open the browser.")
def view(store: str, *, port: int, browser: bool) -> None:
    """Show a result over its image in the browser, until Ctrl-C is pressed.

    The page is served to this machine only, at the address that is printed.

    \b
    Examples:
      mixture-pipeline view out.zarr
      mixture-pipeline view out.zarr --port 8000 --no-browser
    """  # noqa: D301  click reads the backspace
    with view_result(store, port=port, open_browser=browser) as viewer:
        click.echo(viewer.url)
        try:
            viewer.wait()
        except KeyboardInterrupt:
            click.echo("closed", err=True)
