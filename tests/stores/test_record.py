"""The record is read back exactly, and damage is refused."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stores.records import MASK, ZONES, signed, stored, whole_record

from pipeline.compute.summarizing import Totals, summarize_block
from pipeline.images.grid import Grid
from pipeline.images.no_data import NoData
from pipeline.stores.record import FORMAT, Record, current_version, read_record
from pipeline.testing.filling import GRID, LAYERS, OUTPUTS, make_receipt, make_record, make_values


@pytest.mark.parametrize("masks", [(), (MASK,), (MASK, ZONES)])
@pytest.mark.parametrize("no_data", [None, NoData(0.0), NoData(0.1, "any"), NoData(-1e300)])
@pytest.mark.parametrize("receipt", [None, {"pixels": 3500, "blocks": 4, "skipped": [], "seconds": 0.5}])
def test_a_record_is_read_back(masks: Any, no_data: NoData | None, receipt: Any) -> None:
    """Every value survives JSON, numbers to the last bit."""
    record = whole_record(masks=masks, has_alpha=not masks, no_data=no_data, receipt=receipt)
    assert Record.from_dict(stored(record)) == record
    assert Record.from_dict(record.to_dict()) == record
    assert read_record("out.zarr", stored(record)) == record
    assert stored(record)["format"] == FORMAT == 5


def test_zones_are_read_back_where_there_are_any() -> None:
    """A record without zones has no key for them, as those of older versions."""
    record = whole_record()
    assert record.zones == ZONES
    assert Record.from_dict(stored(record)).zones == ZONES
    without = replace(record, zones=None)
    assert "zones" not in stored(without)
    assert Record.from_dict(stored(without)) == without != record


def test_the_summary_is_that_of_the_receipt() -> None:
    """A record has the summary that its receipt holds, or None; one that is damaged is said to be."""
    totals = Totals(OUTPUTS)
    values = [make_values(layer, GRID[0, 0]) for layer in LAYERS]
    totals.add(summarize_block(OUTPUTS, values, None, compiled=False))
    summary = totals.result(GRID.n_pixels, 0.5)
    receipt = make_receipt(make_record())
    assert make_record().summary is None
    assert make_record(receipt=receipt).summary is None
    assert make_record(receipt={**receipt, "summary": None}).summary is None
    found = Record.from_dict(stored(make_record(receipt={**receipt, "summary": summary.to_dict()})))
    assert found.summary == summary
    missing: dict[str, Any] = {**summary.to_dict(), "distributions": {}}
    for damaged in (3, {}, [], missing, {**summary.to_dict(), "pixel_area": "x"}):
        record = make_record(receipt={**receipt, "summary": damaged})
        with pytest.raises(ValueError, match="the summary in the receipt is damaged"):
            _ = record.summary


def test_whole_numbers_may_stand_for_floats() -> None:
    """Other programs that rewrite JSON may write 1.0 as 1."""

    def rewritten(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: rewritten(item) for key, item in value.items()}
        if isinstance(value, list):
            return [rewritten(item) for item in value]
        return int(value) if isinstance(value, float) and value.is_integer() else value

    record = whole_record(receipt={**make_receipt(make_record()), "seconds": 2.0})
    content = rewritten(stored(record))
    assert json.dumps(content) != json.dumps(stored(record))
    assert Record.from_dict(content) == record


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
        (("masks",), "beta"),
        (("masks",), None),
        (("masks", 0, "shape"), [50, 70, math.inf]),
        (("alpha",), 1),
        (("no_data",), "255"),
        (("no_data",), [255]),
        (("no_data",), [255, "some"]),
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
    # Even if the digest were right.
    for found in (content, signed(content)):
        with pytest.raises(
            ValueError, match=r"^out.zarr has a damaged record in its zarr.json. To .*overwrite it"
        ) as error:
            read_record("out.zarr", found)
        assert "--overwrite" in str(error.value)
        with pytest.raises(ValueError, match="not the record of a run"):
            Record.from_dict(found)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("outputs", 0, "quantity", "mixture", "weights", 0), 0.6),
        (("outputs", 2, "quantity", "mixture", "means", 0, 1), 21.0),
        (("image", "identity"), "6"),
        (("receipt", "seconds"), 3.0),
        (("digest",), 64 * "0"),
        (("digest",), None),
    ],
    ids=repr,
)
def test_other_values_are_damage(path: tuple[Any, ...], value: Any) -> None:
    """A value that another run could have written isn't taken for that of this run."""
    content = stored(whole_record(receipt={**make_receipt(make_record()), "seconds": 2.0}))
    assert container(content, path)[path[-1]] != value
    container(content, path)[path[-1]] = value
    with pytest.raises(ValueError, match=r"^out.zarr has a damaged record"):
        read_record("out.zarr", content)


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


@settings(max_examples=300)
@given(st.sampled_from([path for path in paths(WHOLE) if path != ("digest",)]), ODD)
def test_any_odd_value_is_damage_or_is_read_as_it_is(path: tuple[Any, ...], value: Any) -> None:
    """A record with any other value is refused, or says exactly that value if its digest fits."""
    content = copy.deepcopy(WHOLE)
    container(content, path)[path[-1]] = value
    try:
        record = read_record("out.zarr", signed(content))
    except ValueError as error:
        assert str(error).startswith("out.zarr has a ")  # noqa: PT017  it may be read as well
        return
    # A receipt of None is none.
    found = container({"receipt": None, **record.to_dict()}, path)[path[-1]]
    assert found == value or repr(found) == repr(value)


@settings(max_examples=500)
@given(st.integers(0, len(json.dumps(WHOLE)) - 1), st.sampled_from('0123456789abcdefxN-+.,:[]{}" '))
def test_any_other_character_is_noticed(place: int, character: str) -> None:
    """If any character of a record is another, the record is refused, or it is the same record still."""
    text = json.dumps(WHOLE)
    try:
        content = json.loads(text[:place] + character + text[place + 1 :])
        record = read_record("out.zarr", content)
    except ValueError:
        return
    assert record == Record.from_dict(WHOLE)


# A place is for images to read, and may hold anything.
KEYS = [path for path in paths(WHOLE) if isinstance(path[-1], str) and "place" not in path[:-1]]


@pytest.mark.parametrize("path", KEYS, ids=repr)
def test_a_value_that_is_gone_is_damage_or_its_default(path: tuple[Any, ...]) -> None:
    """A record without one of its values is refused, or that value had the meaning of its absence."""
    content = copy.deepcopy(WHOLE)
    del container(content, path)[path[-1]]
    if path == ("digest",):
        with pytest.raises(ValueError, match="has a damaged record"):
            read_record("out.zarr", content)
        return
    try:
        record = read_record("out.zarr", signed(content))
    except ValueError as error:
        assert str(error).startswith("out.zarr has a ")  # noqa: PT017  it may be read as well
    else:
        assert path in {("receipt",), ("zones",)} or container(WHOLE, path)[path[-1]] is None
        assert record == replace(Record.from_dict(WHOLE), receipt=record.receipt, zones=record.zones)


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
    with pytest.raises(ValueError, match=r"in an old format.* compute it again: overwrite it"):
        read_record("out.zarr", {**stored(whole_record()), "format": 2})
    later = {**stored(whole_record()), "format": 6}
    with pytest.raises(ValueError, match=r"of format 6; mixture-pipeline .* reads format 5. Upgrade"):
        read_record("out.zarr", later)


def test_a_record_of_another_version_may_be_whole() -> None:
    """A record that another version wrote and this one can't read isn't called damaged outright."""
    content = {**stored(whole_record()), "version": "0.1.99", "more": 1}
    message = (
        r"can't read. Version 0.1.99 wrote it, or it is damaged. Install version 0.1.99, or overwrite it"
    )
    with pytest.raises(ValueError, match=message):
        read_record("out.zarr", content)


def test_the_version_is_that_of_the_package() -> None:
    """A record of this version goes on with itself."""
    assert current_version()[0].isdigit()
    assert make_record().version == current_version()
    assert make_record().grid == GRID
