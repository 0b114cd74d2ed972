"""Only the same run, of the same series of versions, may go on with a store."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from stores.records import MASK, QUANTITIES, stored, whole_record, with_outputs

from pipeline.images.grid import Grid
from pipeline.images.no_data import NoData
from pipeline.models.class_quantities import Label
from pipeline.models.mixture_quantities import Density
from pipeline.models.packed import Packed
from pipeline.stores import layout
from pipeline.stores.local import LocalStore
from pipeline.stores.record import Record
from pipeline.stores.resumption import check_resumable
from pipeline.testing.filling import CLASSES, LAYERS, fill, make_receipt, make_record

if TYPE_CHECKING:
    from pathlib import Path

NUMERICS = {"numexpr": "reference", "table": "reference"}


def resume(found: Record, wanted: Record, **options: Any) -> None:
    """Check whether a run may go on with the store out.zarr, after both records were stored."""
    found, wanted = (Record.from_dict(stored(record)) for record in (found, wanted))
    check_resumable("out.zarr", found, wanted, **{"numerics": NUMERICS, **options})


def test_the_same_run_goes_on() -> None:
    """Where the image was found, zones, receipt, and which reference engine computes may differ."""
    found = whole_record()
    moved = replace(found.image, place={"image": "/elsewhere/x.tif"})
    resume(found, found)
    resume(found, replace(found, image=moved, masks=(replace(MASK, place=None),)))
    resume(replace(found, receipt=make_receipt(found)), found)
    resume(found, replace(found, zones=None))
    resume(replace(found, zones=None), replace(found, zones=MASK))
    resume(found, replace(found, engines=dict.fromkeys(QUANTITIES, "table")))
    # An array in memory has no place, and one that came from JSON has lists.
    check_resumable("out.zarr", found, replace(found, image=moved), numerics=NUMERICS)


B = CLASSES["b"]
HEAVIER = type(B)([0.6, 0.4], B.means, B.covariances)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"image": {"dtype": np.dtype("uint8")}}, "image dtype was uint16, and is now uint8"),
        ({"image": {"channels": None}}, r"image channels was \['red', 'green', 'blue'\], and is now none"),
        ({"masks": ()}, r"masks was \[\{.*\}\], and is now none"),
        ({"has_alpha": True}, "alpha was False, and is now True"),
        ({"no_data": NoData(0.0)}, r"no_data was \[255.0, 'all'\], and is now \[0.0, 'all'\]"),
        ({"no_data": NoData(255.0, "any")}, r"no_data was .*, and is now \[255.0, 'any'\]"),
        ({"grid": Grid((50, 70), (32, 32), (16, 16))}, r"grid block was \[32, 48\], and is now \[32, 32\]"),
        (
            {"density": Density(HEAVIER, normalized=False)},
            r"outputs density quantity mixture weights was \[0.5, 0.5\], and is now \[0.6, 0.4\]",
        ),
        ({"density": Density(B)}, "outputs density quantity normalized was False, and is now True"),
        (
            {"log": Packed(Density(CLASSES["a"]), "uint16", 1e-8, 1.0, "log")},
            "outputs log encoding low was 1e-09, and is now 1e-08",
        ),
        ({"label": Label(CLASSES, [1, 2])}, r"outputs label quantity priors was \[0.5, 0.5\], and is"),
        ({"label": Label(dict(reversed(CLASSES.items())))}, "outputs label quantity classes was"),
        ({"label": None}, r"outputs label was \{.*, and is now none"),
        ({"more": Density(B)}, r"outputs more was none, and is now \{"),
        ({"engines": "fast"}, "outputs density engine was reference, and is now fast"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_another_run_is_refused_by_the_first_difference(change: dict[str, Any], name: str) -> None:
    """The message names the first difference as deep as it has a name, with both values and the remedies."""
    found = wanted = whole_record()
    for key, value in change.items():
        if key == "image":
            wanted = replace(wanted, image=replace(wanted.image, **value))
        elif key == "engines":
            wanted = replace(wanted, engines={**wanted.engines, "density": value})
        elif key in ("masks", "has_alpha", "no_data", "grid"):
            wanted = replace(wanted, **{key: value})
        else:
            quantities = {**QUANTITIES, key: value}
            wanted = with_outputs(wanted, {k: v for k, v in quantities.items() if v is not None})
    message = (
        rf"^out.zarr can't be resumed: its {name}.*. Resume with the arguments .* began with, or overwrite it"
    )
    with pytest.raises(ValueError, match=message):
        resume(found, wanted)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"image": "6"},
            r"its image was another one \(5\) than it is now \(6\)\. .* say so with identity='5'",
        ),
        ({"mask": "8"}, r"its mask was another one \(7\) than it is now \(8\)"),
        ({"image": None}, r"nothing tells whether the image is the one that .* say so with identity='5' \("),
        ({"mask": None}, "nothing tells whether the mask is the one"),
    ],
)
def test_another_image_is_refused(change: dict[str, str | None], message: str) -> None:
    """An image or a mask that is another one, or may be another one, is refused with the remedy."""
    found = whole_record()
    wanted = found
    if "image" in change:
        wanted = replace(found, image=replace(found.image, identity=change["image"]))
    if "mask" in change:
        wanted = replace(wanted, masks=(replace(MASK, identity=change["mask"]),))
    with pytest.raises(ValueError, match=rf"^out.zarr can't be resumed: {message}"):
        resume(found, wanted)


@pytest.mark.parametrize(
    ("was", "now", "is_vouched", "goes_on"),
    [
        (None, None, False, False),
        (None, "known", False, False),
        ("known", None, False, False),
        (None, "given", True, True),
        ("given", "given", True, True),
        ("known", "given", True, False),
    ],
)
def test_a_caller_may_vouch_for_the_image(
    was: str | None, now: str | None, is_vouched: bool, goes_on: bool
) -> None:
    """Where nothing is known of the image, a caller's word decides; else it must be the same."""
    found, wanted = (
        replace(record, image=replace(record.image, identity=identity), masks=())
        for record, identity in ((whole_record(), was), (whole_record(), now))
    )
    if goes_on:
        resume(found, wanted, is_vouched=is_vouched)
        return
    with pytest.raises(ValueError, match=r"If you know that it is the same, say so with identity="):
        resume(found, wanted, is_vouched=is_vouched)


def test_the_word_for_the_image_is_one_for_its_mask() -> None:
    """A caller who vouches for the image also vouches for a mask of which nothing is known."""
    found = replace(whole_record(), masks=(replace(MASK, identity=None),))
    resume(found, found, is_vouched=True)
    with pytest.raises(ValueError, match="nothing tells whether the mask is the one"):
        resume(found, found)
    with pytest.raises(ValueError, match="its mask was another one"):
        resume(whole_record(), replace(whole_record(), masks=(replace(MASK, identity="8"),)), is_vouched=True)


def test_another_size_is_refused() -> None:
    """An image of another size is named by its shape."""
    found = make_record()
    other = make_record(Grid((50, 71), (32, 48), (16, 16)))
    with pytest.raises(ValueError, match=r"its image shape was \[50, 70, 3\], and is now \[50, 71, 3\]"):
        resume(found, other)


def test_the_order_of_outputs_doesnt_count() -> None:
    """The same outputs in another order are the same run."""
    found = with_outputs(whole_record(), QUANTITIES)
    resume(found, with_outputs(found, dict(reversed(QUANTITIES.items()))))


@pytest.mark.parametrize(
    ("found", "wanted", "goes_on"),
    [
        ("0.1.0", "0.1.0", True),
        ("0.1.0", "0.1.17", True),
        ("0.1.0.dev3", "0.1.1", True),
        ("0.1.0", "0.2.0", False),
        ("0.1.0", "1.1.0", False),
        ("0.1.0", "0.10.0", False),
        ("0.2", "0.1", False),
        ("unknown", "0.1.0", False),
        ("unknown", "unknown", True),
    ],
)
def test_only_the_same_series_of_versions_goes_on(found: str, wanted: str, goes_on: bool) -> None:
    """The first two numbers must be the same; else both versions and both remedies are named."""
    records = [make_record(version=version) for version in (found, wanted)]
    if goes_on:
        resume(*records)
        return
    message = (
        rf"out.zarr can't be resumed: mixture-pipeline {found} began it, this is version {wanted}, .*"
        rf" Install version {found}, or overwrite it \(overwrite=True, --overwrite\)"
    )
    with pytest.raises(ValueError, match=message):
        resume(*records)


def test_a_damaged_store_of_another_version_isnt_mended_with_other_numbers(tmp_path: Path) -> None:
    """A store of another version that lost a shard is refused, whether its run finished or not."""
    store = LocalStore(tmp_path / "out.zarr")
    fill(store, make_record(version="0.0.9"))
    (store.directory / layout.shard_path(LAYERS[0], (0, 1))).unlink()
    with pytest.raises(ValueError, match=r"mixture-pipeline 0.0.9 began it, this is version"):
        check_resumable(store.address, store.read_record(), make_record(), numerics=NUMERICS)
