"""Whether a run may go on with the store that another run began."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from pipeline.stores.record import OVERWRITE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.stores.record import Record


def check_resumable(
    place: str, found: Record, wanted: Record, *, numerics: Mapping[str, str], is_vouched: bool = False
) -> None:
    """Raise ValueError unless a run may go on with the store of another run.

    Parameters
    ----------
    place : str
        The name of the store in error messages.
    found : Record
        The record of the store.
    wanted : Record
        The record of the run that is going to start.
    numerics : mapping of str to str
        A name for the numbers that each engine computes. Engines of the same name compute the same bits, so
        that one may go on with the blocks of the other. An engine that isn't listed has numbers of its own.
    is_vouched : bool
        Whether the caller gave the identity of the image, and so vouches for an image, and for a mask, of
        which nothing is known that tells it from another one.

    Raises
    ------
    ValueError
        If the image, the mask, the model or anything else is another one, or if that can't be known; or if
        the versions of this package differ in one of their first two numbers. Where an image was found may
        differ. The zones and the receipt are ignored, since no shard depends on them.
    """
    if _series(found.version) != _series(wanted.version):
        raise ValueError(
            f"{place} can't be resumed: mixture-pipeline {found.version} began it, this is version "
            f"{wanted.version}, and the two may compute different numbers. Install version {found.version}, "
            f"or {OVERWRITE}."
        )
    before, after = _essence(found, numerics), _essence(wanted, numerics)
    for key, value in after.items():
        if before[key] != value:
            name, was, now = _first_difference(key, before[key], value)
            raise ValueError(
                f"{place} can't be resumed: its {name} was {_shown(was)}, and is now {_shown(now)}. Resume "
                f"with the arguments that the run began with, or {OVERWRITE}."
            )
    _check_identity(place, "image", found.image.identity, wanted.image.identity, is_vouched=is_vouched)
    for one, other in zip(found.masks, wanted.masks, strict=True):
        _check_identity(place, "mask", one.identity, other.identity, is_vouched=is_vouched)


def _check_identity(place: str, key: str, was: str | None, now: str | None, *, is_vouched: bool) -> None:
    """Raise ValueError unless two identities are known to be equal, or the caller vouches for it."""
    if was == now and was is not None:
        return
    if is_vouched and (was is None or (now is None and key == "mask")):
        return
    if was is not None and now is not None:
        reason = f"its {key} was another one ({was}) than it is now ({now})"
    else:
        reason = f"nothing tells whether the {key} is the one that the run began with"
    text = repr(was) if was is not None else "any text"
    raise ValueError(
        f"{place} can't be resumed: {reason}. If you know that it is the same, say so with identity={text} "
        f"(--identity), or {OVERWRITE}."
    )


def _series(version: str) -> str:
    """Return the first two numbers of a version, within which the same blocks have the same bytes."""
    numbers = re.match(r"\d+\.\d+(?!\d)", version)
    return numbers.group() if numbers else version


def _essence(record: Record, numerics: Mapping[str, str]) -> dict[str, Any]:
    """Return the parts of a record that two runs must share, each under its name."""
    # The other run's record comes from JSON, which has lists only.
    content = json.loads(json.dumps(record.to_dict()))
    for description in (content["image"], *content["masks"]):
        del description["place"], description["identity"]
    outputs = {output.pop("name"): output for output in content["outputs"]}
    for name, output in outputs.items():
        output["engine"] = numerics.get(record.engines[name], record.engines[name])
    return {
        **{key: content[key] for key in ("image", "masks", "alpha", "no_data", "grid")},
        "outputs": outputs,
    }


def _first_difference(name: str, was: Any, now: Any) -> tuple[str, Any, Any]:  # noqa: ANN401  JSON may hold anything
    """Return the first difference of two contents, as deep as the difference has a name."""
    if isinstance(was, dict) and isinstance(now, dict):
        for key in {**was, **now}:
            if was.get(key) != now.get(key):
                return _first_difference(f"{name} {key}", was.get(key), now.get(key))
    return name, was, now


def _shown(value: Any) -> str:  # noqa: ANN401  JSON may hold anything
    return "none" if value in (None, []) else f"{value!s:.200}"
