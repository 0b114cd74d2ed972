"""Verifying a store, and mending exactly what is missing or damaged by resuming its run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from references import random_mixture

from pipeline import Density, Label, Packed, Posterior, Progress, open_result, resume, stream, verify
from pipeline.images.grid import Grid
from pipeline.models.output import make_outputs
from pipeline.stores import layout, target
from pipeline.stores.layers import arrange
from pipeline.stores.store import Fault

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

CLASSES = {"a": random_mixture(1, 3), "b": random_mixture(2, 3)}
QUANTITIES = {
    "density": Density(random_mixture(2, 3)),
    "chances": Packed(Posterior(CLASSES), "uint8"),
    "label": Label(CLASSES),
}
GRID = Grid((110, 150), (32, 32), (32, 32))
# The row and the column of each shard, with its level.
PLACES = [(block.index, level) for level in range(GRID.n_levels) for block in GRID.level(level).blocks()]
SMALL = Grid((40, 50), (32, 32), (32, 32))
LAYERS = {layer.name: layer for layer in arrange(make_outputs(QUANTITIES))}
N_SHARDS = len(LAYERS) * len(PLACES)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, photo: NDArray[np.uint8]) -> Path:
    """Give a whole store of 4 x 5 blocks, those at the edges cut, made from a file."""
    return write(tmp_path_factory.mktemp("verification"), photo[:110, :150])


@pytest.fixture(scope="module")
def small_store(tmp_path_factory: pytest.TempPathFactory, photo: NDArray[np.uint8]) -> Path:
    """Give a whole store of 2 x 2 blocks, made from a file."""
    return write(tmp_path_factory.mktemp("small"), photo[:40, :50])


def write(folder: Path, pixels: NDArray[np.uint8]) -> Path:
    """Write pixels to a file, and the store of a run over it, whose path is returned."""
    tifffile.imwrite(folder / "photo.tif", pixels, tile=(32, 32), photometric="rgb")
    stream(folder / "photo.tif", QUANTITIES, folder / "out.zarr", block=32, progress="none")
    return folder / "out.zarr"


def files_of(store: Path) -> dict[str, tuple[bytes, int]]:
    """Read every file of blocks, with the time when it was written."""
    files = (file for file in store.glob("**/c/**/*") if file.is_file())
    return {
        file.relative_to(store).as_posix(): (file.read_bytes(), file.stat().st_mtime_ns) for file in files
    }


def shard_of(store: Path, fault: Fault) -> Path:
    """Return the file of a block."""
    return store / layout.shard_path(LAYERS[fault.layer], fault.block, fault.level)


FAULTS = st.builds(
    lambda name, place, kind: Fault(name, place[0], kind, place[1]),
    st.sampled_from(list(QUANTITIES)),
    st.sampled_from(PLACES),
    st.sampled_from(["missing", "damaged"]),
)


@settings(max_examples=4)
@given(
    st.lists(FAULTS, max_size=6, unique_by=lambda fault: (fault.layer, fault.block, fault.level)), st.data()
)
def test_exactly_what_is_wrong_is_named_and_mended(store: Path, faults: list[Fault], data: Any) -> None:
    """Each shard that is deleted or has another byte is named and mended, and no other is touched."""
    before = files_of(store)
    for fault in faults:
        shard = shard_of(store, fault)
        if fault.kind == "missing":
            shard.unlink()
        else:
            content = bytearray(shard.read_bytes())
            content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
            shard.write_bytes(content)
    found = verify(store, progress="none")
    assert sorted(found.faults) == sorted(faults)
    assert set(found.missing) == {fault for fault in faults if fault.kind == "missing"}
    assert set(found.damaged) == {fault for fault in faults if fault.kind == "damaged"}
    assert (found.n_shards, found.complete, found.intact) == (N_SHARDS, True, not faults)
    receipt = resume(store)
    assert receipt.kept_blocks == 20 - len({fault.block for fault in faults if fault.level < 3})
    after = files_of(store)
    assert {name: content for name, (content, _) in after.items()} == {
        name: content for name, (content, _) in before.items()
    }
    written = {name for name in after if after[name][1] != before[name][1]}
    assert {name for name in written if "largest_error" not in name} == {
        shard_of(store, fault).relative_to(store).as_posix() for fault in faults
    }
    assert verify(store, progress="none").intact


def test_a_whole_store_that_is_not_published(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    """A run that was killed just before it published its store hasn't finished, and resuming publishes it."""
    path = write(tmp_path, photo[:40, :50])
    path.rename(tmp_path / "out.zarr.partial")
    (tmp_path / "out.zarr.partial" / target.MARK).touch()
    found = verify(path, progress="none")
    assert (found.faults, found.complete, found.intact) == ((), False, False)
    with pytest.raises(FileNotFoundError, match="is unfinished"):
        open_result(path)
    receipt = resume(path, progress="none")
    assert receipt.kept_blocks == receipt.blocks
    assert verify(path, progress="none").intact


def test_an_unfinished_run(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    """The blocks that a run hasn't reached are missing, and the run is unfinished even if none is missing."""

    def end(event: Progress) -> None:
        if event.blocks == wanted:
            raise KeyboardInterrupt

    for wanted in (2, 4):
        with pytest.raises(KeyboardInterrupt):
            stream(photo, QUANTITIES, tmp_path / "out.zarr", block=256, progress=end, overwrite=True)
        found = verify(tmp_path / "out.zarr", progress="none")
        assert not found.complete
        assert not found.intact
        assert not found.damaged
        assert len([fault for fault in found.missing if fault.level == 0]) <= 12 - 3 * wanted
        assert str(found).endswith("; the run is unfinished, or skipped blocks")


def test_what_it_says(store: Path) -> None:
    """A line says how many shards there are, and what is wrong."""
    assert str(verify(store, progress="none")) == f"{N_SHARDS} shards, all intact"
    shard = shard_of(store, Fault("label", (3, 4), "missing"))
    content = shard.read_bytes()
    assert "all intact" in verify(store, progress="none")._repr_html_()
    assert "<mark>" not in verify(store, progress="none")._repr_html_()
    shard.unlink()
    assert str(verify(store, progress="none")) == f"{N_SHARDS} shards, 1 missing, 0 damaged"
    page = verify(store, progress="none")._repr_html_()
    assert f"<mark>{N_SHARDS} shards, 1 missing, 0 damaged</mark>" in page
    assert re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", page.split("</table>")[1]) == [
        *("result", "level", "block", "fault"),
        *("label", "0", "3 4", "missing"),
    ]
    shard.write_bytes(content)
    assert verify(str(store), progress="none").store == str(store)


def test_progress_counts_every_block(store: Path) -> None:
    """A listener is told of each block, to the last pixel."""
    events: list[Progress] = []
    verify(store, progress=events.append)
    tiers = [tier for _, tier in GRID.tiers()]
    assert [event.blocks for event in events] == list(range(1, sum(tier.n_blocks for tier in tiers) + 1))
    assert events[-1].pixels == events[-1].total_pixels == sum(tier.n_pixels for tier in tiers)


def test_reading_changes_nothing(store: Path) -> None:
    """Verifying leaves every file, and its time, as they were."""
    before = files_of(store)
    verify(store, progress="none")
    assert files_of(store) == before


def test_a_skipped_block_is_missing(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    """A run that skipped a block is neither complete nor intact."""

    def fail(block: NDArray[np.uint8], block_info: Any = None) -> NDArray[np.uint8]:
        if block_info and block_info[0]["chunk-location"][:2] == (1, 0):
            raise OSError("the scanner is on fire")
        return block

    image = da.from_array(photo, chunks=(256, 256, 3)).map_blocks(fail, dtype=np.uint8)
    stream(image, QUANTITIES, tmp_path / "out.zarr", block=256, progress="none", on_error="skip")
    found = verify(tmp_path / "out.zarr", progress="none")
    assert {fault for fault in found.faults if fault.block == (1, 0)} == {
        Fault(name, (1, 0), "missing", level) for name in QUANTITIES for level in (0, 1)
    }
    assert not found.complete
    assert not found.intact
    assert "skipped blocks</mark>" in found._repr_html_()
    stream(photo, QUANTITIES, tmp_path / "whole.zarr", block=256, progress="none", on_error="skip")
    assert verify(tmp_path / "whole.zarr", progress="none").complete


def test_what_is_refused(tmp_path: Path, store: Path) -> None:
    """Nothing, something foreign and an unknown mode get an error each."""
    with pytest.raises(FileNotFoundError, match=r"none.zarr doesn't exist"):
        verify(tmp_path / "none.zarr")
    with pytest.raises(ValueError, match="isn't a result of mixture-pipeline"):
        verify(tmp_path)
    with pytest.raises(ValueError, match="progress is 'loud'"):
        verify(store, progress="loud")


@pytest.mark.parametrize("place", ["0", "1/image", "largest_errors/chances", "labels/label/0/label"])
@pytest.mark.parametrize("content", [None, b"", b"{"])
def test_metadata_are_mended(small_store: Path, place: str, content: bytes | None) -> None:
    """Metadata that a power cut lost or cut short are written again by a resumed run, and no shard is."""
    file = small_store / place / "zarr.json"
    before, shards = file.read_bytes(), files_of(small_store)
    file.unlink() if content is None else file.write_bytes(content)
    assert {fault.kind for fault in verify(small_store, progress="none").faults} == {"damaged"}
    receipt = resume(small_store)
    assert (receipt.kept_blocks, receipt.bytes_written) == (4, 0)
    assert file.read_bytes() == before
    assert files_of(small_store) == shards
    assert verify(small_store, progress="none").intact


@pytest.mark.parametrize(
    ("place", "old", "new"),
    [
        ("0/image", '"shape": [\n    1,\n    40', '"shape": [\n    1,\n    30'),
        ("0/image", '"data_type": "float32"', '"data_type": "float64"'),
        ("labels/label", '"0.5"', '"0.4"'),
    ],
)
def test_metadata_that_say_something_else_are_mended(
    small_store: Path, place: str, old: str, new: str
) -> None:
    """Metadata that can be read but are wrong are mended, too."""
    file = small_store / place / "zarr.json"
    before = file.read_text()
    assert old in before
    file.write_text(before.replace(old, new))
    assert len(verify(small_store, progress="none").damaged) == sum(
        SMALL.level(level).n_blocks for level in range(SMALL.n_levels)
    )
    assert resume(small_store).kept_blocks == 4
    assert file.read_text() == before
    assert verify(small_store, progress="none").intact
