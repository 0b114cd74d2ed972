"""The command ``mixture-pipeline``: arguments in, one line or a short table out."""

from __future__ import annotations

import logging
import signal
import sys
from pathlib import Path
from typing import Any

import click
import zarr

from pipeline.demo import run_demo
from pipeline.lazy import open_result
from pipeline.mixture import list_models, load_model
from pipeline.quantity import Density, LogDensity, LogRatio, Quantity
from pipeline.run import read_receipt, stream
from pipeline.sources import open_file


class _Failure(click.ClickException):
    """One line on standard error and an exit status: 2 for what the user can mend, 1 for the rest."""

    def __init__(self, error: Exception, exit_code: int) -> None:
        super().__init__(" ".join(str(error).split()) or type(error).__name__)
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it of the instance


class _Commands(click.Group):
    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401  as click declares it
        # Ended politely, a run cleans up as it does when it is interrupted.
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
        # What tifffile logs of a damaged file, the error says.
        logging.getLogger("tifffile").setLevel(logging.CRITICAL)
        try:
            return super().invoke(ctx)
        except (ValueError, OSError) as error:
            raise _Failure(error, 2) from error
        except (RuntimeError, MemoryError, ImportError) as error:
            raise _Failure(error, 1) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mixture-pipeline", prog_name="mixture-pipeline")
def main() -> None:
    """Gaussian mixtures over the pixels of images too big for memory."""


@main.command()
@click.argument("image", type=click.Path(path_type=Path))
@click.argument("output", metavar="OUT.zarr", type=click.Path(path_type=Path))
@click.option("--density", metavar="MODEL", help="The density of a model: its name or JSON file.")
@click.option("--log-density", metavar="MODEL", help="The logarithm of a model's density.")
@click.option("--log-ratio", metavar="MODEL MODEL", nargs=2, help="The logarithm of two models' ratio.")
@click.option("--block", type=int, help="Height and width of a block in pixels; by default about 4096.")
@click.option("--overwrite", is_flag=True, help="Replace an existing result.")
def run(
    image: Path,
    output: Path,
    *,
    density: str | None,
    log_density: str | None,
    log_ratio: tuple[str, str] | None,
    block: int | None,
    overwrite: bool,
) -> None:
    """Compute what is asked of models at every pixel of IMAGE, in one pass, and write it to OUT.zarr."""
    asked: list[Quantity] = []
    if density:
        asked.append(Density(load_model(density)))
    if log_density:
        asked.append(LogDensity(load_model(log_density)))
    if log_ratio:
        asked.append(LogRatio(*map(load_model, log_ratio)))
    if not asked:
        raise click.UsageError("nothing to compute: give --density, --log-density or --log-ratio.")
    quantities = {quantity.name: quantity for quantity in asked}
    click.echo(f"{output}: {stream(image, quantities, output, block=block, overwrite=overwrite)}")


@main.command()
def models() -> None:
    """List the models that ship with the package."""
    for name, source in list_models().items():
        mixture = load_model(name)
        channels = ", ".join(mixture.channels or ())
        click.echo(f"{name}: {mixture.n_kernels} kernels over {channels}. {source}")


@main.command()
@click.argument("path", metavar="IMAGE_OR_STORE", type=click.Path(path_type=Path))
def info(path: Path) -> None:
    """Describe an image, or the store of a run."""
    for line in _describe_store(path) if path.is_dir() else _describe_image(path):
        click.echo(line)


@main.command()
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path("mixture-pipeline-demo"),
    show_default=True,
    help="The directory for the mosaic, the result and the preview.",
)
def demo(output: Path) -> None:
    """Stream a large mosaic of a real photo through the published skin model."""
    for line in run_demo(output):
        click.echo(line)


def _describe_image(path: Path) -> list[str]:
    image = open_file(path)
    height, width, n_channels = image.shape
    names = f" ({', '.join(image.channels)})" if image.channels else ""
    return [
        f"image {path}: {height} x {width} pixels ({height * width / 1e6:.1f} megapixels)",
        f"pixels: {n_channels} channels{names}, {image.dtype}, in tiles of {image.tile[0]} x {image.tile[1]}",
    ]


def _describe_store(path: Path) -> list[str]:
    receipt = read_receipt(path)
    lines = [f"store {path}: {receipt or 'unfinished'}"]
    for name, result in open_result(path).items():
        chunks = zarr.open_array(path, path=f"{name}/0", mode="r").chunks
        lines.append(
            f"{name}: {result.shape[0]} x {result.shape[1]}, {result.dtype}, shards of "
            f"{result.chunksize[0]} x {result.chunksize[1]}, chunks of {chunks[0]} x {chunks[1]}"
        )
    return lines
