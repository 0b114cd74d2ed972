"""The record: the description of a run that its store keeps, as a value and as JSON."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version as installed_version
from typing import TYPE_CHECKING, Any, Self

from pipeline.images.description import Description
from pipeline.images.grid import Grid
from pipeline.images.no_data import check_no_data
from pipeline.models.output import Output
from pipeline.models.summary import Summary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.images.no_data import NoData

# The number of the form that records have. A change that older versions can't read gives it the next number.
FORMAT = 5
# The remedy that always works, as the option of a function and of the command.
OVERWRITE = "overwrite it (overwrite=True, --overwrite)"


@dataclass(frozen=True)
class Record:
    """The description of a run, which another run must share in order to go on with its store.

    Attributes
    ----------
    image : Description
        The image that is read.
    masks : tuple of Description
        The masks that are read.
    has_alpha : bool
        Whether the last channel of the image is alpha, which masks it.
    no_data : NoData or None
        The value of pixels without data.
    grid : Grid
        The blocks, each of which is one shard, and the chunks.
    outputs : tuple of Output
        The results, in the order in which they were requested.
    engines : dict of str to str
        The name of the engine that computes each output.
    version : str
        The version of this package that began the run.
    zones : Description or None
        The zones that the receipt's summary counts one by one.
    receipt : dict or None
        The receipt of the run, or None if the run hasn't finished. It has at least ``"pixels"`` and
        ``"blocks"``, which are those of the grid, and ``"skipped"``, a list of the blocks that failed.

    Raises
    ------
    ValueError
        If these don't fit one another.
    """

    image: Description
    masks: tuple[Description, ...]
    has_alpha: bool
    no_data: NoData | None
    grid: Grid
    outputs: tuple[Output, ...]
    engines: dict[str, str]
    version: str
    zones: Description | None = None
    receipt: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.image.extent != self.grid.shape:
            raise ValueError(f"the image has {self.image.extent} pixels; its grid has {self.grid.shape}")
        names = [output.name for output in self.outputs]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"the outputs have the names {names}; wanted at least one, and each name once")
        if set(names) != set(self.engines):
            raise ValueError(
                f"the outputs {names} have engines for {list(self.engines)}; wanted one for each"
            )
        if self.receipt is not None:
            self._check_receipt(self.receipt)

    def _check_receipt(self, receipt: dict[str, Any]) -> None:
        found = (receipt.get("pixels"), receipt.get("blocks"))
        wanted = (self.grid.n_pixels, self.grid.n_blocks)
        if found != wanted or not isinstance(receipt.get("skipped"), list):
            raise ValueError(
                f"the receipt is {receipt!r:.200}; wanted 'pixels' and 'blocks' of {wanted}, and a list "
                "'skipped'"
            )

    @property
    def is_complete(self) -> bool:
        """Whether the run has finished and skipped no block."""
        return self.receipt is not None and not self.receipt["skipped"]

    @property
    def summary(self) -> Summary | None:
        """The summary in the receipt, or None if there is none.

        Raises
        ------
        ValueError
            If it isn't the summary of the outputs.
        """
        content = None if self.receipt is None else self.receipt.get("summary")
        try:
            return None if content is None else Summary.from_dict(content, self.outputs)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"the summary in the receipt is damaged: {error!r:.200}") from None

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain lists, strings and numbers, which JSON can hold, with their digest."""
        content: dict[str, Any] = {
            "format": FORMAT,
            "version": self.version,
            "image": self.image.to_dict(),
            "masks": [mask.to_dict() for mask in self.masks],
            "alpha": self.has_alpha,
            "no_data": None if self.no_data is None else list(self.no_data),
            "grid": {key: list(getattr(self.grid, key)) for key in ("shape", "block", "chunk")},
            "outputs": [output.to_dict() for output in self.outputs],
            "engines": dict(self.engines),
        }
        if self.zones is not None:
            content["zones"] = self.zones.to_dict()
        if self.receipt is not None:
            content["receipt"] = dict(self.receipt)
        return {**content, "digest": _digest(content)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Make a record from the content that :meth:`to_dict` returned.

        Raises
        ------
        ValueError
            If the content doesn't describe a run.
        """
        try:
            is_whole = content["digest"] == _digest(content)
            record = cls._from_json(content)
            is_same = _describes(record.to_dict(), content)
        except Exception as error:  # noqa: BLE001  values of wrong types make readers raise any exception
            raise ValueError(f"not the record of a run: {type(error).__name__}: {error}") from None
        if not is_whole:
            raise ValueError("not the record of a run: its digest is another")
        if not is_same:
            raise ValueError("not the record of a run: it holds values of wrong types")
        return record

    @classmethod
    def _from_json(cls, content: Mapping[str, Any]) -> Self:
        outputs = tuple(map(Output.from_dict, content["outputs"]))
        for output in outputs:
            # A name is a directory's name. The rule is that of make_outputs.
            if not output.name.replace("-", "_").isidentifier() or output.dtype.kind not in "fu":
                raise ValueError(f"an output is named {output.name!r} and has the dtype {output.dtype}")
        return cls(
            image=Description.from_dict(content["image"]),
            masks=tuple(map(Description.from_dict, content["masks"])),
            has_alpha=bool(content["alpha"]),
            no_data=check_no_data(content["no_data"]),
            grid=_grid_from_json(content["grid"]),
            outputs=outputs,
            engines={name: str(engine) for name, engine in content["engines"].items()},
            version=str(content["version"]),
            zones=Description.from_dict(content["zones"]) if "zones" in content else None,
            receipt=content.get("receipt"),
        )


@cache
def current_version() -> str:
    """Return the version of this package."""
    return installed_version("mixture-pipeline")


def read_record(place: str, content: Any) -> Record:  # noqa: ANN401  JSON may hold anything
    """Make the record of a store from the content that the store holds.

    Parameters
    ----------
    place : str
        The name of the store in error messages.
    content : object
        The content that :meth:`Record.to_dict` returned, as JSON gave it back; None if there is none.

    Raises
    ------
    ValueError
        If there is no record, or if it is damaged or has another format.
    """
    if content is None:
        raise ValueError(f"{place} isn't a result of mixture-pipeline")
    damaged = f"{place} has a damaged record in its zarr.json. To write it again, {OVERWRITE}."
    if not isinstance(content, dict):
        raise ValueError(damaged)  # noqa: TRY004  the file is wrong, not the type of an argument
    writer = content.get("version")
    if content.get("format") != FORMAT:
        _refuse_format(place, content.get("format"), writer, damaged)
    try:
        return Record.from_dict(content)
    except ValueError:
        if writer == current_version() or not isinstance(writer, str):
            raise ValueError(damaged) from None
        raise ValueError(
            f"{place} has a record that mixture-pipeline {current_version()} can't read. Version {writer} "
            f"wrote it, or it is damaged. Install version {writer}, or {OVERWRITE}."
        ) from None


def _refuse_format(place: str, found: Any, writer: Any, damaged: str) -> None:  # noqa: ANN401  JSON may hold anything
    """Raise ValueError for a record that has another format."""
    if (found is None or (isinstance(found, int) and found < FORMAT)) and isinstance(writer, str):
        raise ValueError(
            f"{place} has a record in an old format, which mixture-pipeline {writer} wrote. Its arrays can "
            f"still be read with zarr. To use it with this version, compute it again: {OVERWRITE}."
        )
    if isinstance(found, int) and found > FORMAT:
        raise ValueError(
            f"{place} has a record of format {found}; mixture-pipeline {current_version()} reads format "
            f"{FORMAT}. Upgrade mixture-pipeline, or {OVERWRITE}."
        )
    raise ValueError(damaged)


def _grid_from_json(content: Mapping[str, Any]) -> Grid:
    (height, width), (tall, wide), (low, narrow) = (
        map(int, content[key]) for key in ("shape", "block", "chunk")
    )
    return Grid((height, width), (tall, wide), (low, narrow))


def _digest(content: Mapping[str, Any]) -> str:
    """Return the digest of a record's content without the digest that is in it."""
    rest = {key: _canonical(value) for key, value in content.items() if key != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _canonical(value: Any) -> Any:  # noqa: ANN401  JSON may hold anything
    """Return a content in which whole numbers are integers, because other programs write 1.0 as 1."""
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _describes(whole: Any, content: Any) -> bool:  # noqa: ANN401  JSON may hold anything
    """Return whether a content, as JSON gave it, holds the values that were made of it.

    Readers convert the values that they get, so that 520.0 or "520" becomes the size 520. A value of another
    type is damage nevertheless. A whole number may stand for a float, because other programs write 1.0 as 1.
    """
    if isinstance(whole, dict):
        return (
            isinstance(content, dict)
            and content.keys() <= whole.keys()
            and all(_describes(whole[key], value) for key, value in content.items())
        )
    if isinstance(whole, list | tuple):
        return (
            isinstance(content, list | tuple)
            and len(whole) == len(content)
            and all(map(_describes, whole, content))
        )
    types = (int, float) if type(whole) is float else (type(whole),)
    # NaN, which a receipt may hold, isn't equal to itself.
    return type(content) in types and bool(whole is content or whole == content)
