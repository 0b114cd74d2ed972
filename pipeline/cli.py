"""The command ``mixture-pipeline``: arguments in, one line or a short table out."""

from __future__ import annotations

import logging
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import zarr

from pipeline.demo import run_demo
from pipeline.evaluation import open_result
from pipeline.models.encoding import Packed
from pipeline.stores.placement import unfinished
from pipeline.runs.plan import plan as plan_run
from pipeline.runs.plan import resume as resume_run
from pipeline.runs.plan import stream
from pipeline.models.published import list_models, load_model
from pipeline.models.quantity import Density, Label, LogDensity, LogRatio, Posterior, Quantity
from pipeline.runs.execution import ON_ERROR, Receipt, read_receipt
from pipeline.images.tiff import open_file
from pipeline.stores.verification import verify as verify_store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.models.mixture import Mixture


class _Failure(click.ClickException):
    """One line on standard error and an exit status: 2 for what the user can mend, 1 for the rest."""

    def __init__(self, error: BaseException, exit_code: int) -> None:
        name = "interrupted" if isinstance(error, KeyboardInterrupt) else type(error).__name__
        text = str(error) or name
        notes = getattr(error, "__notes__", [])
        super().__init__(" ".join(". ".join([text.rstrip("."), *notes] if notes else [text]).split()))
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it of the instance


class _Commands(click.Group):
    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401  as click declares it
        # Ended politely, a run ends as it does when it is interrupted.
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
        # What tifffile logs of a damaged file, the error says.
        logging.getLogger("tifffile").setLevel(logging.CRITICAL)
        # Without a terminal, progress goes line by line.
        logging.basicConfig(format="%(asctime)s %(message)s")
        logging.getLogger("pipeline").setLevel(logging.INFO)
        try:
            return super().invoke(ctx)
        except (ValueError, OSError) as error:
            raise _Failure(error, 2) from error
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            raise _Failure(error, 1) from error
        except KeyboardInterrupt as error:
            raise _Failure(error, 128 + signal.SIGINT) from error
        except SystemExit as error:
            # Of SIGTERM in the middle of a run.
            for note in getattr(error, "__notes__", []):
                click.echo(note, err=True)
            raise


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mixture-pipeline", prog_name="mixture-pipeline")
def main() -> None:
    """Gaussian mixtures over the pixels of images too big for memory."""


_memory_limit = click.option("--memory-limit", metavar="SIZE", help="Memory that may be used, as 2GiB.")


def _asked(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the arguments that say what is computed of what."""
    options = [
        click.argument("image", type=click.Path(path_type=Path)),
        click.argument("output", metavar="OUT.zarr", type=click.Path(path_type=Path)),
        click.option("--density", metavar="MODEL", help="The density of a model: its name or JSON file."),
        click.option("--log-density", metavar="MODEL", help="The logarithm of a model's density."),
        click.option(
            "--log-ratio", metavar="MODEL MODEL", nargs=2, help="The logarithm of two models' ratio."
        ),
        click.option(
            "--posterior",
            metavar="NAME=MODEL",
            multiple=True,
            help="The classes' probabilities: once a class, or one MODEL, whose kernels are the classes.",
        ),
        click.option(
            "--label", metavar="NAME=MODEL", multiple=True, help="The most probable class's number."
        ),
        click.option("--prior", metavar="NAME=P", multiple=True, help="A class's prior probability."),
        click.option("--only", metavar="NAME", help="The one class whose probability is wanted."),
        click.option(
            "--pack",
            metavar="RESULT=DTYPE[:LOW:HIGH[:log]]",
            multiple=True,
            help="Keep a result as float16, uint8 or uint16: posterior=uint8, density=uint16:1e-12:1e-3:log.",
        ),
        click.option("--mask", metavar="FILE", help="An image, 0 where there are no data; or: alpha."),
        click.option("--no-data", type=float, help="The value of pixels without data."),
        click.option(
            "--block", type=int, help="Height and width of a block in pixels; by default about 4096."
        ),
        _memory_limit,
        click.option(
            "--resume", is_flag=True, help="Go on with what an interrupted run left, if it left any."
        ),
        click.option("--overwrite", is_flag=True, help="Replace an existing result."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


_on_error = click.option(
    "--on-error", type=click.Choice(ON_ERROR), default="raise", show_default=True, help="If a block fails."
)


@main.command()
@_asked
@_on_error
def run(image: Path, output: Path, *, on_error: str, **asked: Any) -> None:  # noqa: ANN401  of _asked
    """Compute what is asked of models at every pixel of IMAGE, in one pass, and write it to OUT.zarr."""
    options = _options(asked)
    _report(output, stream(image, _quantities(**asked), output, on_error=on_error, **options))


@main.command()
@_asked
def plan(image: Path, output: Path, **asked: Any) -> None:  # noqa: ANN401  of _asked
    """Say what `run` would do: blocks, engines, memory, bytes and time. Status 2 if it can't fit."""
    options = _options(asked)
    planned = plan_run(image, _quantities(**asked), output, **options)
    click.echo(planned)
    planned.validate()


@main.command()
@click.argument("store", metavar="OUT.zarr", type=click.Path(path_type=Path))
@_on_error
@_memory_limit
def resume(store: Path, *, on_error: str, memory_limit: str | None) -> None:
    """Go on with an interrupted run, or mend a damaged store, by what it records."""
    _report(store, resume_run(store, on_error=on_error, memory_limit=memory_limit))


@main.command()
@click.argument("store", metavar="OUT.zarr", type=click.Path(path_type=Path))
def verify(store: Path) -> None:
    """Check that a store is complete and every checksum is right. Status 1 if not."""
    found = verify_store(store)
    for fault in found.faults:
        click.echo(f"{fault.kind}: {fault.result}, block {fault.block}")
    click.echo(f"{store}: {found}")
    if not found.intact:
        sys.exit(1)


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
    is_store = path.is_dir() or (not path.exists() and unfinished(path).exists())
    for line in _describe_store(path) if is_store else _describe_image(path):
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


def _options(asked: dict[str, Any]) -> dict[str, Any]:
    """Take what isn't about quantities out of the arguments."""
    names = ("mask", "no_data", "block", "memory_limit", "resume", "overwrite")
    return {name: asked.pop(name) for name in names}


def _quantities(
    *,
    density: str | None,
    log_density: str | None,
    log_ratio: tuple[str, str] | None,
    posterior: Sequence[str],
    label: Sequence[str],
    prior: Sequence[str],
    only: str | None,
    pack: Sequence[str],
) -> dict[str, Quantity]:
    asked: list[Quantity] = []
    if density:
        asked.append(Density(load_model(density)))
    if log_density:
        asked.append(LogDensity(load_model(log_density)))
    if log_ratio:
        asked.append(LogRatio(*map(load_model, log_ratio)))
    if (only and not posterior) or (prior and not (posterior or label)):
        raise click.UsageError("--only goes with --posterior, and --prior with --posterior or --label.")
    priors = {name: _number(value) for name, value in _pairs(prior).items()} or None
    if posterior:
        asked.append(Posterior(_classes(posterior), priors, only=only))
    if label:
        asked.append(Label(_classes(label), priors))
    if not asked:
        raise click.UsageError(
            "nothing to compute: give --density, --log-density, --log-ratio, --posterior or --label."
        )
    return _packed({quantity.name: quantity for quantity in asked}, _pairs(pack))


def _packed(quantities: dict[str, Quantity], packings: dict[str, str]) -> dict[str, Quantity]:
    floats = [name for name, quantity in quantities.items() if not isinstance(quantity, Label)]
    for name, packing in packings.items():
        if name not in floats:
            raise click.UsageError(f"--pack {name}: wanted one of the results {', '.join(floats)}.")
        dtype, *ends = packing.split(":")
        if len(ends) == 1 or ends[2:] not in ([], ["log"]):
            raise click.UsageError(f"--pack {name}={packing}: wanted DTYPE, DTYPE:LOW:HIGH or LOW:HIGH:log.")
        scale = "log" if ends[2:] else "linear"
        low, high = map(_number, ends[:2]) if ends else (None, None)
        quantities[name] = Packed(quantities[name], dtype, low, high, scale)
    return quantities


def _classes(given: Sequence[str]) -> Mixture | dict[str, Mixture]:
    if len(given) == 1 and "=" not in given[0]:
        return load_model(given[0])
    return {name: load_model(model) for name, model in _pairs(given).items()}


def _pairs(given: Sequence[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals and value) or name in pairs:
            raise click.UsageError(f"got {text!r}; wanted NAME=VALUE, each name once.")
        pairs[name] = value
    return pairs


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise click.UsageError(f"got {text!r}; wanted a number.") from None


def _report(store: Path, receipt: Receipt) -> None:
    """Say what a run did; status 1 if it skipped blocks."""
    for block in receipt.skipped:
        rows, columns = ("{} to {}".format(*block[side]) for side in ("rows", "columns"))
        click.echo(f"skipped: rows {rows}, columns {columns}: {block['error']}")
    click.echo(f"{store}: {receipt}")
    if receipt.skipped:
        sys.exit(1)


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
    if receipt is None:
        return [f"store {path}: unfinished. Go on with: mixture-pipeline resume {path}"]
    lines = [f"store {path}: {receipt}"]
    for name in open_result(path):
        array = zarr.open_array(path, path=f"{name}/0", mode="r")
        shape, shards, chunks = (
            " x ".join(map(str, sides)) for sides in (array.shape, array.shards or (), array.chunks)
        )
        error = receipt.largest_errors.get(name)
        packed = "" if error is None else f", largest error {error:.3g}"
        lines.append(f"{name}: {shape}, {array.dtype}, shards of {shards}, chunks of {chunks}{packed}")
    if unfinished(path).exists():
        lines.append(f"beside it: an unfinished run. Go on with: mixture-pipeline resume {path}")
    return lines
