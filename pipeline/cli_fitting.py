"""The commands that make models from examples and score them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.classifying import fit_classes, score_classes
from pipeline.cli_arguments import image_options, numbers_of, opened_image, pairs_of
from pipeline.cli_cluster import cluster_options
from pipeline.compute.moments import COVARIANCE_TYPES
from pipeline.fitting import fit_mixture
from pipeline.models.classes import Classes
from pipeline.models.published import load_model_or_classes
from pipeline.results.figure import check_picture, save_figure
from pipeline.runs.counting import count_colors
from pipeline.stores.disk import check_new_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.models.mixture import Mixture

_seed = click.option("--seed", type=int, default=0, show_default=True, help="The seed of all that is random.")
_names = click.option(
    "--name", "names", metavar="LABEL=NAME", multiple=True, help="The name of a label, as 1=tumor."
)


def _labels(*, required: bool) -> Callable[..., Any]:
    return click.option(
        "--labels",
        metavar="FILE",
        required=required,
        help="An image of the classes' numbers, 0 where a pixel has none, or GeoJSON of polygons.",
    )


@click.command(short_help="Fit a mixture to an image, or one to each class of labeled pixels.")
@click.argument("image")
@click.argument("model", metavar="MODEL.json", type=click.Path(path_type=Path))
@click.option(
    "-k",
    "--kernels",
    metavar="K",
    default="16",
    show_default=True,
    help="The number of kernels, of each class with --labels. Of several numbers, as 4,8,16, the one with "
    "the lowest BIC is taken; bic stands for 1 to 16.",
)
@_labels(required=False)
@_names
@click.option(
    "--held-out",
    type=float,
    default=0.0,
    show_default=True,
    help="The share of the image, in squares and steps of 0.05, that isn't fitted to, and by which the "
    "classes are scored.",
)
@click.option(
    "--covariance-type",
    type=click.Choice(COVARIANCE_TYPES),
    default="diag",
    show_default=True,
    help="The form of the kernels' covariances.",
)
@click.option("--variance-floor", type=float, help="The least variance of a kernel.")
@click.option("--starts", type=int, default=4, show_default=True, help="How many first mixtures are tried.")
@image_options
@_seed
@click.option(
    "--picture", type=click.Path(path_type=Path), help="A picture of the kernels, as PNG, SVG or PDF."
)
@click.option("--overwrite", is_flag=True, help="Replace an existing model and picture.")
@cluster_options(reports=False)
def fit(image: str, model: Path, **arguments: Any) -> None:  # noqa: ANN401  of the options above
    """Fit a mixture to the colors of IMAGE, or with --labels one to the pixels of each class.

    \b
    Examples:
      mixture-pipeline fit slide.tif tissue.json -k 8 --mask tissue.png --picture tissue.png
      mixture-pipeline fit slide.tif classes.json -k 4 --labels annotations.geojson --held-out 0.25
    """  # noqa: D301  click reads the backspace
    check_new_file(model, overwrite=arguments["overwrite"])
    if arguments["labels"] is None and (arguments["names"] or arguments["held_out"]):
        raise click.UsageError("--name and --held-out go with --labels.")
    if arguments["labels"] is not None and arguments["picture"] is not None:
        raise click.UsageError("--picture shows one mixture. Leave out --picture or --labels.")
    if arguments["picture"] is not None:
        check_picture(arguments["picture"], overwrite=arguments["overwrite"])
    opened = opened_image(image, arguments)
    options: dict[str, Any] = {
        "covariance_type": arguments["covariance_type"],
        "variance_floor": arguments["variance_floor"],
        "n_starts": arguments["starts"],
        "seed": arguments["seed"],
    }
    n_kernels = arguments["kernels"] if arguments["kernels"] == "bic" else numbers_of(arguments["kernels"])
    if arguments["labels"] is None:
        histogram = count_colors(opened, seed=arguments["seed"])
        mixture = fit_mixture(histogram, n_kernels, **options)
        mixture.save(model)
        _report_fit(model, mixture)
        if arguments["picture"] is not None:
            from pipeline.pictures import plot_mixture  # noqa: PLC0415  only here

            save_figure(plot_mixture(mixture, histogram), arguments["picture"])
            click.echo(f"picture: {arguments['picture']}")
        return
    labeled: dict[str, Any] = {
        "names": _label_names(arguments["names"]),
        "held_out": arguments["held_out"],
        "seed": arguments["seed"],
    }
    classes = fit_classes(opened, arguments["labels"], n_kernels, **options | labeled)
    classes.save(model)
    for (name, mixture), prior in zip(classes.items(), classes.priors, strict=True):
        _report_fit(f"{model}: {name} (prior {prior:.4g})", mixture)
    if arguments["held_out"]:
        click.echo(score_classes(classes, opened, arguments["labels"], **labeled))


@click.command(short_help="Score classes by the labeled pixels of an image.")
@click.argument("model", metavar="CLASSES.json")
@click.argument("image")
@_labels(required=True)
@_names
@click.option(
    "--held-out",
    type=float,
    default=1.0,
    show_default=True,
    help="The share of the image that is scored: that which `fit` held out, if it was the same image.",
)
@image_options
@_seed
@click.option(
    "--false-alarm-rate",
    type=float,
    metavar="RATE",
    help="Also give the threshold of each class's log-ratio for this rate of false alarms.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@cluster_options(reports=False)
def score(model: str, image: str, **arguments: Any) -> None:  # noqa: ANN401  of the options above
    """Score the classes of CLASSES.json, which `fit --labels` wrote, by the labeled pixels of IMAGE.

    \b
    Examples:
      mixture-pipeline score classes.json slide.tif --labels annotations.geojson --held-out 0.25
      mixture-pipeline score classes.json other.tif --labels other.geojson --false-alarm-rate 0.01
    """  # noqa: D301  click reads the backspace
    classes = load_model_or_classes(model)
    if not isinstance(classes, Classes):
        raise click.UsageError(f"{model} is one mixture; wanted classes, which `fit --labels` writes.")
    scores = score_classes(
        classes,
        opened_image(image, arguments),
        arguments["labels"],
        names=_label_names(arguments["names"]),
        held_out=arguments["held_out"],
        seed=arguments["seed"],
    )
    rate = arguments["false_alarm_rate"]
    limits = {} if rate is None else {name: scores.threshold(name, false_alarm_rate=rate) for name in classes}
    if arguments["as_json"]:
        extra = {} if rate is None else {"thresholds": limits}
        click.echo(json.dumps({**scores.to_dict(), **extra}, indent=1))
        return
    click.echo(scores)
    for name, limit in limits.items():
        click.echo(f"{name}: at most {rate:g} false alarms where its log-ratio is at least {limit:.6g}")


def _report_fit(what: object, mixture: Mixture) -> None:
    """Print how a mixture came about."""
    click.echo(f"{what}: {mixture.n_kernels} kernels, {mixture.fit}")


def _label_names(given: tuple[str, ...]) -> dict[int, str] | None:
    """Return the names of labels."""
    pairs = pairs_of(given)
    names = {int(label): name for label, name in pairs.items() if label.isdecimal()}
    if len(names) < len(pairs):
        raise click.UsageError(
            f"got --name {' --name '.join(given)}; wanted LABEL=NAME, as 1=tumor, each label once."
        )
    return names or None
