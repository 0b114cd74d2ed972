"""Receipts: what a store keeps of its run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from references import scipy_density
from runs.disturbed import (
    OTHER,
    QUANTITIES,
    SKIN,
    at_block,
    begin,
    resume_with,
)

from pipeline import (
    Density,
    Mixture,
    open_image,
    open_result,
    plan,
    stream,
)
from pipeline.runs.receipt import read_receipt
from pipeline.stores.local import LocalStore

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def test_the_receipt_is_kept(tiff: Path, skin: Mixture) -> None:
    """The store holds what the run returned."""
    store = tiff.with_name("out.zarr")
    receipt = stream(tiff, Density(skin), store, block=256, progress="none")
    assert read_receipt(store) == receipt
    stored = sum(path.stat().st_size for path in store.glob("*/image/c/**/*") if path.is_file())
    assert receipt.bytes_written == stored
    assert receipt.seconds > 0
    assert 2**20 < receipt.peak_memory < 2**36
    assert "0.3 megapixels in" in str(receipt)
    assert receipt.validity == []


def test_plan_and_receipt_say_what_has_no_data(
    tmp_path: Path, photo: NDArray[np.uint8], skin: Mixture
) -> None:
    """Masks and the no-data value of an image are named before and after the run."""
    image = open_image(photo[:64, :64], mask=photo[:64, :64, 0], no_data=(3, "any"))
    planned = plan(image, Density(skin), tmp_path / "out.zarr", progress="none")
    assert "validity: masked by an array; no data where any channel is 3" in str(planned)
    receipt = planned.execute()
    assert receipt.validity == ["masked by an array", "no data where any channel is 3"]
    assert "Validity: masked by an array; no data where any channel is 3" in str(receipt)
    assert read_receipt(tmp_path / "out.zarr") == receipt


def test_a_receipt_in_a_notebook(tmp_path: Path, photo: NDArray[np.uint8], skin: Mixture) -> None:
    """Facts, the warning, skipped blocks and the summary are tables, in which names are text."""
    receipt = stream(photo[:64, :64], Density(skin), tmp_path / "<b>.zarr", block=32, progress="none")
    page = receipt._repr_html_()
    assert page.count("<table>") == 2
    for text in ("&lt;b&gt;.zarr", "0.0 megapixels", "4", "median"):
        assert text in page
    for text in ("<b>", "<mark>", "skipped", "kept"):
        assert text not in page
    lost = {"block": [0, 1], "rows": [0, 32], "columns": [32, 64], "error": "OSError: <b>"}
    worse = replace(
        receipt, warning="a < b", skipped=[lost], kept_blocks=2, largest_errors={"p": 0.25}, summary=None
    )
    page = worse._repr_html_()
    assert page.count("<table>") == 2
    for text in (
        *("<mark>a &lt; b</mark>", "<mark>1 block</mark>", "4, 2 of them kept"),
        *("largest error of p", ">0.25<", "OSError: &lt;b&gt;", "[32, 64]"),
    ):
        assert text in page
    assert "nan" not in replace(receipt, seconds=0.0, peak_memory=0, summary=None)._repr_html_()


def test_the_recorded_error_is_of_all_blocks(tmp_path: Path, small: Path, undisturbed: Path) -> None:
    """The largest error of what is packed covers what an earlier run wrote."""
    wanted = read_receipt(undisturbed)
    assert wanted
    store = tmp_path / "out.zarr"
    with pytest.raises(KeyboardInterrupt):
        stream(small, QUANTITIES, store, block=16, progress=at_block(10, KeyboardInterrupt()))
    assert resume_with(small, store).largest_errors == wanted.largest_errors
    assert resume_with(small, store).largest_errors == wanted.largest_errors
    assert 0 < wanted.largest_errors["posterior"] <= 0.5 / 254 * 1.001
    packed = open_result(store)["posterior"]
    exact = compute_posterior(small)
    assert np.abs(np.asarray(packed) - exact).max() == pytest.approx(
        wanted.largest_errors["posterior"], abs=1e-6
    )


def compute_posterior(small: Path) -> NDArray[np.float64]:
    """Compute the posterior that the runs pack, without this package's."""
    pixels = np.asarray(open_image(small))
    chances = np.stack([scipy_density(pixels, SKIN), 3 * scipy_density(pixels, OTHER)])
    return np.asarray(chances / chances.sum(axis=0))


def test_no_receipt_where_there_is_none(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    """An unfinished store has no receipt, and a damaged one is said to be."""
    store = tmp_path / "out.zarr"
    begin(photo, store, block=128)
    assert read_receipt(store) is None
    receipt = stream(photo, QUANTITIES, store, block=128, progress="none", resume=True)
    assert read_receipt(store) == receipt
    LocalStore(store).finish({**receipt.to_dict(), "energy": 3})
    with pytest.raises(ValueError, match="has a damaged receipt"):
        read_receipt(store)
