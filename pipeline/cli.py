"""The command ``mixture-pipeline``: arguments in, one line or a short table out."""

from __future__ import annotations

import logging
import signal
import sys
import warnings
from pathlib import Path
from typing import Any, TextIO

import click

from pipeline.cli_arguments import (
    identity_option,
    image_and_options,
    image_options,
    make_quantities,
    memory_limit_option,
    opened_image,
    run_arguments,
)
from pipeline.cli_cluster import cluster_options
from pipeline.cli_export import export_result
from pipeline.cli_fitting import fit, score
from pipeline.cli_info import describe_image
from pipeline.cli_preview import preview
from pipeline.cli_view import view
from pipeline.demo import run_demo
from pipeline.images.object_storage import is_object_url
from pipeline.images.remote import is_url
from pipeline.models.published import list_models, load_model
from pipeline.runs.options import ON_ERROR
from pipeline.runs.receipt import Receipt, read_receipt
from pipeline.runs.stream import plan as plan_run
from pipeline.runs.stream import resume as resume_run
from pipeline.runs.stream import stream
from pipeline.runs.verify import verify as verify_store
from pipeline.stores.layers import arrange
from pipeline.stores.store_kinds import open_store

# Faults that are listed one by one, at most.
_MOST_FAULTS = 100


class _Failure(click.ClickException):
    """One line on standard error and an exit status: 2 for what the user can mend, 1 for the rest."""

    def __init__(self, error: BaseException, exit_code: int) -> None:
        name = "interrupted" if isinstance(error, KeyboardInterrupt) else type(error).__name__
        text = str(error) or name
        notes = getattr(error, "__notes__", [])
        super().__init__(" ".join(". ".join([text.rstrip("."), *notes] if notes else [text]).split()))
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it from the instance


class _Commands(click.Group):
    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401  as click declares it
        # A run that is terminated ends as it does when it is interrupted.
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
        # The error about a damaged file says what tifffile would log.
        logging.getLogger("tifffile").setLevel(logging.CRITICAL)
        # Without a terminal, progress is logged line by line.
        logging.basicConfig(format="%(asctime)s %(message)s")
        logging.getLogger("pipeline").setLevel(logging.INFO)
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _show_warning
                return super().invoke(ctx)
        except (ValueError, OSError, ImportError) as error:
            raise _Failure(error, 2) from error
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            raise _Failure(error, 1) from error
        except KeyboardInterrupt as error:
            raise _Failure(error, 128 + signal.SIGINT) from error
        except SystemExit as error:
            # SIGTERM came in the middle of a run.
            for note in getattr(error, "__notes__", []):
                click.echo(note, err=True)
            raise


def _show_warning(  # noqa: PLR0917  called by the module warnings
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Write a warning as one line, without the place in the code."""
    del category, filename, lineno, file, line
    click.echo(f"Warning: {' '.join(str(message).split())}", err=True)


@click.group(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="mixture-pipeline", prog_name="mixture-pipeline")
def main() -> None:
    """Evaluate Gaussian mixtures over the pixels of images too big for memory.

    \b
    Examples:
      mixture-pipeline demo
      mixture-pipeline info slide.tif
      mixture-pipeline run slide.tif out.zarr --density jones-rehg-skin
      mixture-pipeline COMMAND --help
    """  # noqa: D301  click reads the backspace


_on_error = click.option(
    "--on-error",
    type=click.Choice(ON_ERROR),
    default="raise",
    show_default=True,
    help="What to do if a block fails.",
)


@main.command(short_help="Evaluate mixtures over an image and write the results to a store.")
@run_arguments
@_on_error
@cluster_options(reports=True)
def run(image: str, output: str, *, on_error: str, **arguments: Any) -> None:  # noqa: ANN401  of run_arguments
    """Evaluate mixtures at every pixel of IMAGE, in one pass, and write the results to OUT.zarr.

    A MODEL is the name of a published model or a JSON file. Classes are given once each, as NAME=MODEL, or as
    one MODEL, whose kernels are the classes, or as one JSON file of classes, which has priors of its own.

    \b
    Examples:
      mixture-pipeline run slide.tif out.zarr --density jones-rehg-skin
      mixture-pipeline run slide.tif out.zarr --log-ratio jones-rehg-skin jones-rehg-nonskin
      mixture-pipeline run slide.tif labels.zarr --label skin=jones-rehg-skin --label other=jones-rehg-nonskin
      mixture-pipeline run slide.tif out.zarr --density jones-rehg-skin --scheduler tcp://10.0.0.1:8786
    """  # noqa: D301  click reads the backspace
    opened, options = image_and_options(image, arguments)
    _report(output, stream(opened, make_quantities(arguments), output, on_error=on_error, **options))


@main.command(short_help="Say what `run` would do and need. Status 2 if it can't fit.")
@run_arguments
@cluster_options(reports=False)
def plan(image: str, output: str, **arguments: Any) -> None:  # noqa: ANN401  of run_arguments
    """Say what `run` would do and need: blocks, engines, memory, bytes and time. Status 2 if it can't fit.

    \b
    Example:
      mixture-pipeline plan slide.tif out.zarr --density jones-rehg-skin --memory-limit 4GiB
    """  # noqa: D301  click reads the backspace
    opened, options = image_and_options(image, arguments)
    planned = plan_run(opened, make_quantities(arguments), output, **options)
    click.echo(planned)
    planned.validate()


@main.command(short_help="Go on with an interrupted run, or mend a damaged store.")
@click.argument("store", metavar="OUT.zarr")
@click.option("--image", help="The image, if it isn't where it was.")
@identity_option
@_on_error
@memory_limit_option
@cluster_options(reports=True)
def resume(store: str, **options: Any) -> None:  # noqa: ANN401  of the options above
    """Go on with an interrupted run, or mend a damaged store, by what the store records.

    \b
    Examples:
      mixture-pipeline resume out.zarr
      mixture-pipeline resume out.zarr --image /elsewhere/slide.tif
    """  # noqa: D301  click reads the backspace
    _report(store, resume_run(store, **options))


@main.command(short_help="Check that a store is complete and undamaged. Status 1 if not.")
@click.argument("store", metavar="OUT.zarr")
def verify(store: str) -> None:
    """Check that a store is complete and every checksum is right. Status 1 if not.

    \b
    Example:
      mixture-pipeline verify out.zarr
    """  # noqa: D301  click reads the backspace
    found = verify_store(store)
    for fault in found.faults[:_MOST_FAULTS]:
        click.echo(f"{fault.kind}: {fault.layer}, level {fault.level}, block {fault.block}")
    if len(found.faults) > _MOST_FAULTS:
        click.echo(f"and {len(found.faults) - _MOST_FAULTS} more")
    click.echo(f"{store}: {found}")
    if not found.intact:
        sys.exit(1)


@main.command(short_help="List the published models that ship with the package.")
def models() -> None:
    """List the published models that ship with the package.

    \b
    Example:
      mixture-pipeline models
    """  # noqa: D301  click reads the backspace
    for name, source in list_models().items():
        mixture = load_model(name)
        channels = ", ".join(mixture.channels or ())
        click.echo(f"{name}: {mixture.n_kernels} kernels over {channels}. {source}")


@main.command(short_help="Describe an image, or the store of a run.")
@click.argument("path", metavar="IMAGE_OR_STORE")
@image_options
def info(path: str, **arguments: Any) -> None:  # noqa: ANN401  of image_options
    """Describe an image, or the store of a run.

    \b
    Examples:
      mixture-pipeline info slide.tif
      mixture-pipeline info out.zarr
    """  # noqa: D301  click reads the backspace
    try:
        may_be_store = is_object_url(path) or not is_url(path)
        is_store = may_be_store and open_store(path).find().is_created
    except FileNotFoundError:
        is_store = False
    for line in _describe_store(path) if is_store else describe_image(path, opened_image(path, arguments)):
        click.echo(line)


@main.command(short_help="Stream a large mosaic of a real photo through the published skin model.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path("mixture-pipeline-demo"),
    show_default=True,
    help="The directory for the mosaic, the result and the preview.",
)
def demo(output: Path) -> None:
    """Stream a large mosaic of a real photo through the published skin model.

    \b
    Example:
      mixture-pipeline demo --output /tmp/demo
    """  # noqa: D301  click reads the backspace
    for line in run_demo(output):
        click.echo(line)


def _report(store: str, receipt: Receipt) -> None:
    """Print what a run did; exit with status 1 if it skipped blocks."""
    for block in receipt.skipped:
        rows, columns = ("{} to {}".format(*block[side]) for side in ("rows", "columns"))
        click.echo(f"skipped: rows {rows}, columns {columns}: {block['error']}")
    click.echo(f"{store}: {receipt}")
    if receipt.summary is not None:
        click.echo(receipt.summary)
    if receipt.skipped:
        sys.exit(1)


main.add_command(fit)
main.add_command(score)
main.add_command(export_result)
main.add_command(preview)
main.add_command(view)


def _describe_store(path: str) -> list[str]:
    receipt = read_receipt(path)
    if receipt is None:
        return [f"store {path}: unfinished. Go on with: mixture-pipeline resume {path}"]
    place = open_store(path)
    found = place.find()
    lines = [f"store {path}: {receipt}"]
    record = found.read_record()
    for layer in arrange(record.outputs):
        shape, shard, chunk = (
            " x ".join(map(str, sides)) for sides in (record.grid.shape, record.grid.block, record.grid.chunk)
        )
        error = receipt.largest_errors.get(layer.name)
        facts = [
            shape,
            *([f"{layer.n_channels} channels"] if layer.n_channels > 1 else []),
            str(layer.dtype),
            "1 level" if record.grid.n_levels == 1 else f"{record.grid.n_levels} levels",
            f"shards of {shard}",
            f"chunks of {chunk}",
            *([] if error is None else [f"largest error {error:.3g}"]),
        ]
        lines.append(f"{layer.name}: {', '.join(facts)}")
    if receipt.summary is not None:
        lines += str(receipt.summary).splitlines()
    if place.find(to_resume=True).is_unfinished:
        lines.append(f"beside it: an unfinished run. Go on with: mixture-pipeline resume {path}")
    return lines
