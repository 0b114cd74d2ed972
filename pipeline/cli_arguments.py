"""The arguments of the commands that describe a run, and the quantities that they ask for."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import click

from pipeline.images.no_data import RULES
from pipeline.images.opening import AUTO, open_image
from pipeline.models.packed import Packed
from pipeline.models.published import load_model, load_model_or_classes
from pipeline.models.quantity import Quantity, quantity_kinds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pipeline.images.image import Image
    from pipeline.models.mixture import Mixture

memory_limit_option = click.option(
    "--memory-limit", metavar="SIZE", help="Memory that a process may use, for example 2GiB."
)
identity_option = click.option(
    "--identity", metavar="TEXT", help="A name for the image, to resume by where nothing else tells it apart."
)
# How the command asks for what a quantity is made of.
_OPERANDS: dict[str, dict[str, Any]] = {
    "mixture": {"metavar": "MODEL"},
    "pair": {"metavar": "MODEL MODEL", "nargs": 2},
    "classes": {"metavar": "NAME=MODEL", "multiple": True},
}


def _parameter(kind: type[Quantity]) -> str:
    return kind.name.replace("-", "_")


def _quantity_options() -> list[Callable[..., Any]]:
    return [
        click.option(f"--{kind.name}", _parameter(kind), help=kind.summary, **_OPERANDS[kind.operands])
        for kind in quantity_kinds()
    ]


def image_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say how an image is read."""
    options = [
        click.option("--level", type=int, default=0, help="The level of a pyramid; 0 is the finest."),
        click.option("--series", metavar="N", help="The number or name of an image in the file."),
        click.option("--pages", metavar="N", help="The number of a page, or: channels."),
        click.option("--z", type=int, help="The number of a plane in depth."),
        click.option("--t", type=int, help="The number of a plane in time."),
        click.option("--magnification", type=float, help="A slide's magnification instead of a level."),
        click.option(
            "--region",
            metavar="ROWS,COLUMNS",
            help="Rows and columns, as 0:512,1024:2048, or coordinates, as x=5e5:51e4,y=41e5:4101e3.",
        ),
        click.option(
            "--channels", metavar="A,B,...", help="Names or numbers of the channels, in the order wanted."
        ),
        click.option(
            "--channel-axis",
            type=int,
            default=-1,
            show_default=True,
            help="The channels' axis in a Zarr array.",
        ),
        click.option(
            "--mask",
            metavar="FILE",
            default=AUTO,
            help="An image that is 0 where there is no data, or GeoJSON of polygons with data, or: alpha. "
            "What the file states counts as well; none leaves it out.",
        ),
        click.option(
            "--no-data",
            metavar="VALUE",
            default=AUTO,
            help="The value of pixels without data, in all channels, or as VALUE:any in any one; any takes "
            "the value that the file states, none leaves it out.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def opened_image(path: str, arguments: Mapping[str, Any]) -> Image:
    """Open the image that a command names, as its options say."""
    plain = {name: arguments[name] for name in ("level", "z", "t", "magnification", "channel_axis")}
    series, pages, mask = arguments["series"], arguments["pages"], arguments["mask"]
    return open_image(
        path,
        channels=channels_of(arguments["channels"]),
        series=_number_or_name(series),
        pages=_number_or_name(pages),
        region=_region_of(arguments["region"]),
        mask=None if mask == "none" else mask,
        no_data=_no_data_of(arguments["no_data"]),
        **plain,
    )


def channels_of(text: str | None) -> list[int | str] | None:
    """Return the names and numbers of channels in a text, or None if there is no text."""
    return None if text is None else [_number_or_name(name) for name in text.split(",")]


def _number_or_name(text: str | None) -> Any:  # noqa: ANN401  a number, a text or None
    return int(text) if text is not None and text.isdigit() else text


def _region_of(text: str | None) -> Any:  # noqa: ANN401  as open_image takes it
    """Return the rows and columns, or the bounds, in a text."""
    if text is None:
        return None
    try:
        sides = [side.split(":") for side in text.split(",")]
        if "=" in text:
            named = [(first.split("="), last) for first, last in sides]
            return {axis: (float(first), float(last)) for (axis, first), last in named}
        return tuple((int(first), int(last)) for first, last in sides)
    except ValueError:
        raise click.UsageError(
            f"--region {text}: wanted rows and columns, as 0:512,1024:2048, or coordinates, as "
            "x=500000:510000,y=4100000:4110000."
        ) from None


def _no_data_of(text: str) -> Any:  # noqa: ANN401  as open_image takes it
    """Return the no-data value in a text."""
    if text in {AUTO, *RULES}:
        return text
    if text == "none":
        return None
    value, _, rule = text.partition(":")
    return (_number(value), rule) if rule else _number(value)


def numbers_of(text: str) -> list[int]:
    """Return the whole numbers in a text."""
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise click.UsageError(f"got {text!r}; wanted whole numbers, as 4,8,16.") from None


def run_arguments(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the arguments that describe a run."""
    options: list[Callable[..., Any]] = [
        click.argument("image"),
        click.argument("output", metavar="OUT.zarr"),
        *_quantity_options(),
        click.option("--prior", metavar="NAME=P", multiple=True, help="The prior probability of a class."),
        click.option("--only", metavar="NAME", help="The one class whose posterior is stored."),
        click.option(
            "--pack",
            metavar="RESULT=DTYPE[:LOW:HIGH[:log]]",
            multiple=True,
            help="Store a result in fewer bytes, as posterior=uint8 or density=uint16:1e-12:1e-3:log.",
        ),
        image_options,
        click.option(
            "--zones",
            metavar="FILE",
            help="An image of the numbers of zones, or GeoJSON of polygons, to summarize one by one.",
        ),
        click.option(
            "--block", type=int, help="Height and width of a block in pixels, by default about 4096."
        ),
        memory_limit_option,
        identity_option,
        click.option("--resume", is_flag=True, help="Go on with an interrupted run, if there is one."),
        click.option("--overwrite", is_flag=True, help="Replace an existing result."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def image_and_options(path: str, arguments: dict[str, Any]) -> tuple[Image, dict[str, Any]]:
    """Separate the image and the options of a run from the arguments about quantities."""
    opened = opened_image(path, arguments)
    for name in inspect.signature(open_image).parameters:
        arguments.pop(name, None)
    names = ("zones", "block", "memory_limit", "identity", "resume", "overwrite")
    return opened, {name: arguments.pop(name) for name in names}


def make_quantities(arguments: dict[str, Any]) -> dict[str, Quantity | Packed]:
    """Make the quantities that the arguments of a command ask for, by name."""
    prior, only, pack = (arguments.pop(name) for name in ("prior", "only", "pack"))
    asked = [kind for kind in quantity_kinds() if arguments[_parameter(kind)]]
    if not asked:
        *most, last = (f"--{kind.name}" for kind in quantity_kinds())
        raise click.UsageError(f"nothing to compute: give {', '.join(most)} or {last}.")
    of_classes = [kind for kind in asked if kind.operands == "classes"]
    takes_only = [kind for kind in of_classes if "only" in inspect.signature(kind).parameters]
    if (only and not takes_only) or (prior and not of_classes):
        raise click.UsageError("--only goes with --posterior, and --prior with quantities of classes.")
    priors = {name: _number(value) for name, value in pairs_of(prior).items()} or None
    quantities: dict[str, Quantity | Packed] = {}
    for kind in asked:
        given, make = arguments[_parameter(kind)], _constructor(kind)
        if kind.operands == "mixture":
            quantities[kind.name] = make(load_model(given))
        elif kind.operands == "pair":
            quantities[kind.name] = make(*map(load_model, given))
        else:
            extra = {"only": only} if kind in takes_only else {}
            quantities[kind.name] = make(_classes(given), priors, **extra)
    return _packed(quantities, pairs_of(pack))


def _constructor(kind: type[Quantity]) -> Callable[..., Quantity]:
    return kind


def _packed(
    quantities: dict[str, Quantity | Packed], packings: dict[str, str]
) -> dict[str, Quantity | Packed]:
    for name, packing in packings.items():
        if name not in quantities:
            raise click.UsageError(f"--pack {name}: wanted one of the results {', '.join(quantities)}.")
        dtype, *ends = packing.split(":")
        if len(ends) == 1 or ends[2:] not in ([], ["log"]):
            raise click.UsageError(
                f"--pack {name}={packing}: wanted DTYPE, DTYPE:LOW:HIGH or DTYPE:LOW:HIGH:log."
            )
        scale = "log" if ends[2:] else "linear"
        low, high = map(_number, ends[:2]) if ends else (None, None)
        quantity: Any = quantities[name]
        try:
            quantities[name] = Packed(quantity, dtype, low, high, scale)
        except (TypeError, ValueError) as error:
            raise click.UsageError(
                f"--pack {name}={packing}: {error} (as --pack {name}=uint8:LOW:HIGH)."
            ) from None
    return quantities


def _classes(given: Sequence[str]) -> Mixture | Mapping[str, Mixture]:
    if len(given) == 1 and "=" not in given[0]:
        return load_model_or_classes(given[0])
    return {name: load_model(model) for name, model in pairs_of(given).items()}


def pairs_of(given: Sequence[str]) -> dict[str, str]:
    """Return the names and values of texts like NAME=VALUE."""
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
