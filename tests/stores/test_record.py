"""The record is read back exactly, damage is refused, and only the same run may go on."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.images.description import Description
from pipeline.images.grid import Grid
from pipeline.models.class_quantities import Label, Posterior
from pipeline.models.mixture_quantities import Density, LogRatio
from pipeline.models.output import make_outputs
from pipeline.models.packed import Packed
from pipeline.stores import layout
from pipeline.stores.local import LocalStore
from pipeline.stores.record import FORMAT, Record, check_resumable, current_version, read_record
from pipeline.testing.stores import CLASSES, GRID, OUTPUTS, fill, make_receipt, make_record

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.models.quantity import Quantity

MASK = Description((50, 70, 1), np.dtype("bool"), None, "7", {"image": "/data/mask.tif"})
NUMERICS = {"numexpr": "reference", "table": "reference"}
QUANTITIES: dict[str, Quantity | Packed] = {
    "density": Density(CLASSES["b"], normalized=False),
    "half": Packed(Density(CLASSES["b"]), "float16"),
    "log": Packed(Density(CLASSES["a"]), "uint16", 1e-9, 1.0, "log"),
    "ratio": Packed(LogRatio(CLASSES["a"], CLASSES["b"]), "uint8", -5.0, 5.0),
    "chances": Posterior(CLASSES, [1.0, 3.0]),
    "label": Label(CLASSES),
}
MANY = make_outputs(QUANTITIES)


def whole_record(**fields: Any) -> Record:
    """Make a record with everything that a record can have."""
    image = Description(
        (50, 70, 3), np.dtype("uint16"), ("red", "green", "blue"), "5", {"image": "/data/x.tif"}
    )
    engines = {**dict.fromkeys(QUANTITIES, "numexpr"), "half": "table"}
    known = {"image": image, "mask": MASK, "no_data": 255.0, "outputs": MANY, "engines": engines}
    return make_record(**{**known, **fields})


def stored(record: Record) -> Any:
    """Return the content of a record as JSON gives it back; JSON as strict as any reader's."""
    return json.loads(json.dumps(record.to_dict(), allow_nan=False))


def with_outputs(record: Record, quantities: Any) -> Record:
    """Return a record with other outputs."""
    outputs = make_outputs(quantities)
    return replace(record, outputs=outputs, engines=dict.fromkeys(quantities, "numexpr"))


def resume(found: Record, wanted: Record, **options: Any) -> None:
    """Check whether a run may go on with the store out.zarr, after both records were stored."""
    found, wanted = (Record.from_dict(stored(record)) for record in (found, wanted))
    check_resumable("out.zarr", found, wanted, **{"numerics": NUMERICS, **options})


@pytest.mark.parametrize("mask", [None, "alpha", MASK])
@pytest.mark.parametrize("no_data", [None, 0.0, 0.1, -1e300, math.inf, -math.inf])
@pytest.mark.parametrize("receipt", [None, {"pixels": 3500, "blocks": 4, "skipped": [], "seconds": 0.5}])
def test_a_record_is_read_back(mask: Any, no_data: float | None, receipt: Any) -> None:
    """Every value survives JSON, numbers to the last bit."""
    record = whole_record(mask=mask, no_data=no_data, receipt=receipt)
    assert Record.from_dict(stored(record)) == record
    assert Record.from_dict(record.to_dict()) == record
    assert read_record("out.zarr", stored(record)) == record
    assert stored(record)["format"] == FORMAT == 2


def test_nan_is_read_back() -> None:
    """A value without data that isn't a number is stored as the string that Zarr has for it."""
    record = whole_record(no_data=math.nan)
    assert stored(record)["no_data"] == "NaN"
    assert math.isnan(Record.from_dict(stored(record)).no_data or 0)
    check_resumable("out.zarr", record, record, numerics=NUMERICS)


def test_whole_numbers_may_stand_for_floats() -> None:
    """Other programs that rewrite JSON may write 1.0 as 1."""

    def rewritten(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: rewritten(item) for key, item in value.items()}
        if isinstance(value, list):
            return [rewritten(item) for item in value]
        return int(value) if isinstance(value, float) and value.is_integer() else value

    content = rewritten(stored(whole_record()))
    assert json.dumps(content) != json.dumps(stored(whole_record()))
    assert Record.from_dict(content) == whole_record()


@pytest.mark.parametrize(
    ("receipt", "is_complete"),
    [
        (None, False),
        ({"pixels": 3500, "blocks": 4, "skipped": []}, True),
        ({"pixels": 3500, "blocks": 4, "skipped": [{"block": [0, 1]}]}, False),
    ],
)
def test_a_run_that_skipped_blocks_isnt_complete(receipt: Any, is_complete: bool) -> None:
    """A run is complete if it has a receipt that lists no skipped block."""
    assert make_record(receipt=receipt).is_complete is is_complete


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"grid": Grid((50, 71), (32, 48), (16, 16))}, r"the image has \(50, 70\) pixels; its grid has"),
        ({"outputs": ()}, "wanted at least one"),
        ({"outputs": (OUTPUTS[0],) * 2}, "each name once"),
        ({"engines": {"density": "numexpr"}}, "wanted one for each"),
        ({"receipt": {"a": 1}}, "the receipt is"),
        ({"receipt": {"pixels": 3500, "blocks": 5, "skipped": []}}, r"wanted .* of \(3500, 4\)"),
        ({"receipt": {"pixels": 3500, "blocks": 4, "skipped": None}}, "a list 'skipped'"),
    ],
)
def test_fields_must_fit_one_another(change: dict[str, Any], message: str) -> None:
    """A record that contradicts itself can't be made."""
    with pytest.raises(ValueError, match=message):
        replace(make_record(), **change)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("image",), None),
        (("image", "shape"), [50.0, 70, 3]),
        (("image", "shape"), [520.0, 70.0, 3.0]),
        (("image", "shape"), ["50", 70, 3]),
        (("image", "shape"), [50, 70]),
        (("image", "dtype"), "nonsense"),
        (("image", "dtype"), 5),
        (("image", "channels"), "rgb"),
        (("image", "identity"), 5),
        (("image", "place"), [["image", "x.tif"]]),
        (("mask",), "beta"),
        (("mask", "shape"), [50, 70, math.inf]),
        (("no_data",), "255"),
        (("no_data",), [255]),
        (("grid",), {}),
        (("grid", "shape"), "ab"),
        (("grid", "shape"), [520.0, 70.0]),
        (("grid", "block"), [32.0, 48.0]),
        (("grid", "block"), [0, 48]),
        (("grid", "chunk"), [True, 16]),
        (("grid", "chunk"), [15, 16]),
        (("outputs",), []),
        (("outputs",), {"density": {}}),
        (("outputs", 0, "name"), "../density"),
        (("outputs", 0, "name"), "half"),
        (("outputs", 0, "name"), 3),
        (("outputs", 0, "quantity", "quantity"), "denxity"),
        (("outputs", 0, "quantity", "normalized"), "no"),
        (("outputs", 0, "quantity", "mixture", "weights"), [-1.0, 0.5]),
        (("outputs", 0, "quantity", "mixture", "weights"), "ab"),
        (("outputs", 0, "quantity", "mixture", "means", 0, 0), "5"),
        (("outputs", 0, "encoding", "dtype"), "object"),
        (("outputs", 0, "encoding", "kind"), "dense"),
        (("outputs", 2, "encoding", "low"), "1e-9"),
        (("engines",), {"density": "numexpr"}),
        (("engines", "density"), 5),
        (("version",), 5),
        (("receipt",), {"a": 1}),
        (("receipt",), "x"),
        (("receipt", "blocks"), 4.5),
        (("receipt", "skipped"), 1),
        (("more",), 1),
    ],
    ids=repr,
)
def test_odd_values_are_damage(path: tuple[Any, ...], value: Any) -> None:
    """A value that this version wouldn't have written is reported as damage, with the remedy."""
    content = stored(whole_record(receipt=make_receipt(make_record())))
    container(content, path)[path[-1]] = value
    with pytest.raises(
        ValueError, match=r"^out.zarr has a damaged record in its zarr.json. To .*overwrite it"
    ) as error:
        read_record("out.zarr", content)
    assert "--overwrite" in str(error.value)
    with pytest.raises(ValueError, match="not the record of a run"):
        Record.from_dict(content)


def paths(content: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """List the path of every value of a JSON content."""
    found = []
    for key, value in content.items() if isinstance(content, dict) else enumerate(content):
        found.append((*path, key))
        if isinstance(value, dict | list):
            found += paths(value, (*path, key))
    return found


def container(content: Any, path: tuple[Any, ...]) -> Any:
    """Return the list or dict in a JSON content that holds the value at a path."""
    for key in path[:-1]:
        content = content[key]
    return content


WHOLE = stored(whole_record(receipt=make_receipt(make_record())))
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2**70),
    st.floats(),
    st.sampled_from(["", "x", "0", "float32", "O", "NaN", "alpha"]),
    st.lists(st.integers(0, 3), max_size=3),
    st.just({}),
)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(paths(WHOLE)), ODD)
def test_any_odd_value_is_damage_or_is_read_as_it_is(path: tuple[Any, ...], value: Any) -> None:
    """A record with any other value is refused, or says exactly that value."""
    content = copy.deepcopy(WHOLE)
    container(content, path)[path[-1]] = value
    try:
        record = read_record("out.zarr", content)
    except ValueError as error:
        assert str(error).startswith("out.zarr has a ")  # noqa: PT017  it may be read as well
        return
    # A receipt of None is none.
    found = container({"receipt": None, **record.to_dict()}, path)[path[-1]]
    assert found == value or repr(found) == repr(value)


# A place is for images to read, and may hold anything.
KEYS = [path for path in paths(WHOLE) if isinstance(path[-1], str) and "place" not in path[:-1]]


@pytest.mark.parametrize("path", KEYS, ids=repr)
def test_a_value_that_is_gone_is_damage_or_its_default(path: tuple[Any, ...]) -> None:
    """A record without one of its values is refused, or that value had the meaning of its absence."""
    content = copy.deepcopy(WHOLE)
    del container(content, path)[path[-1]]
    try:
        record = read_record("out.zarr", content)
    except ValueError as error:
        assert str(error).startswith("out.zarr has a ")  # noqa: PT017  it may be read as well
    else:
        assert path == ("receipt",) or container(WHOLE, path)[path[-1]] is None
        assert record == replace(Record.from_dict(WHOLE), receipt=record.receipt)


@pytest.mark.parametrize("content", [[], "x", 5, {}, {"format": "2"}, {"format": 1}, {"note": "here"}])
def test_other_contents_are_damage(content: Any) -> None:
    """A content that no version wrote is damaged."""
    with pytest.raises(ValueError, match="has a damaged record"):
        read_record("out.zarr", content)


def test_without_content_its_no_result() -> None:
    """A group without a record isn't a result."""
    with pytest.raises(ValueError, match=r"^out.zarr isn't a result of mixture-pipeline$"):
        read_record("out.zarr", None)


def test_other_formats_are_told_from_damage() -> None:
    """The unnumbered format of old versions and a later format are named with their remedies."""
    old: dict[str, Any] = {
        "version": "0.1.0",
        "image": {},
        "mask": None,
        "no_data": None,
        "grid": {},
        "results": {},
    }
    with pytest.raises(
        ValueError, match=r"in an old format, which mixture-pipeline 0.1.0 wrote.* overwrite it"
    ):
        read_record("out.zarr", old)
    later = {**stored(whole_record()), "format": 3}
    with pytest.raises(ValueError, match=r"of format 3; mixture-pipeline .* reads format 2. Upgrade"):
        read_record("out.zarr", later)


def test_a_record_of_another_version_may_be_whole() -> None:
    """A record that another version wrote and this one can't read isn't called damaged outright."""
    content = {**stored(whole_record()), "version": "0.1.99", "more": 1}
    message = (
        r"can't read. Version 0.1.99 wrote it, or it is damaged. Install version 0.1.99, or overwrite it"
    )
    with pytest.raises(ValueError, match=message):
        read_record("out.zarr", content)


def test_the_same_run_goes_on() -> None:
    """Where the image was found, the receipt, and which reference engine computes may differ."""
    found = whole_record()
    moved = replace(found.image, place={"image": "/elsewhere/x.tif"})
    resume(found, found)
    resume(found, replace(found, image=moved, mask=replace(MASK, place=None)))
    resume(replace(found, receipt=make_receipt(found)), found)
    resume(found, replace(found, engines=dict.fromkeys(QUANTITIES, "table")))
    # An array in memory has no place, and one that came from JSON has lists.
    check_resumable("out.zarr", found, replace(found, image=moved), numerics=NUMERICS)


B = CLASSES["b"]
HEAVIER = type(B)([0.6, 0.4], B.means, B.covariances)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"image": {"identity": "6"}}, "image identity was 5, and is now 6"),
        ({"image": {"dtype": np.dtype("uint8")}}, "image dtype was uint16, and is now uint8"),
        ({"image": {"channels": None}}, r"image channels was \['red', 'green', 'blue'\], and is now none"),
        ({"mask": None}, r"mask was \{.*\}, and is now none"),
        ({"mask": "alpha"}, "mask was .*, and is now alpha"),
        ({"mask": replace(MASK, identity="8")}, "mask identity was 7, and is now 8"),
        ({"no_data": 0.0}, "no_data was 255.0, and is now 0.0"),
        ({"no_data": math.nan}, "no_data was 255.0, and is now NaN"),
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
        elif key in ("mask", "no_data", "grid"):
            wanted = replace(wanted, **{key: value})
        else:
            quantities = {**QUANTITIES, key: value}
            wanted = with_outputs(wanted, {k: v for k, v in quantities.items() if v is not None})
    message = (
        rf"^out.zarr can't be resumed: its {name}.*. Resume with the arguments .* began with, or overwrite it"
    )
    with pytest.raises(ValueError, match=message):
        resume(found, wanted)


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
    (store.directory / layout.shard_path(OUTPUTS[0], (0, 1))).unlink()
    with pytest.raises(ValueError, match=r"mixture-pipeline 0.0.9 began it, this is version"):
        check_resumable(store.address, store.read_record(), make_record(), numerics=NUMERICS)


def test_the_version_is_that_of_the_package() -> None:
    """A record of this version goes on with itself."""
    assert current_version()[0].isdigit()
    assert make_record().version == current_version()
    assert make_record().grid == GRID
