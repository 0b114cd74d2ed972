"""The contract of a store: tests that every kind of store must pass."""

from __future__ import annotations

import pickle
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline.images.grid import Block, Grid
from pipeline.stores.store import Fault
from pipeline.testing.filling import (
    FRESH,
    GRID,
    LAYERS,
    REPLACING,
    RESUMED,
    fill,
    interrupt,
    make_receipt,
    make_record,
    make_values,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.stores.layers import Layer
    from pipeline.stores.store import Index, Store


class StoreContract(ABC):
    """The tests that every kind of store must pass.

    A subclass, whose name begins with ``Test``, gives the fixture `store`, and reads and writes shards in its
    own way.
    """

    @pytest.fixture
    @abstractmethod
    def store(self, *_: Any) -> Store:
        """Give a store whose place is empty."""

    @abstractmethod
    def read_shard(self, store: Store, layer: Layer, index: Index) -> bytes:
        """Return the bytes of a shard."""

    @abstractmethod
    def write_shard(self, store: Store, layer: Layer, index: Index, content: bytes | None) -> None:
        """Replace the bytes of a shard, or remove the shard if the content is None."""

    @pytest.fixture
    def filled(self, store: Store) -> Iterator[Store]:
        """Give a whole store while its run is still open."""
        with store.opened_for_run(**FRESH) as opened:
            fill(opened, make_record())
            yield opened

    def test_an_empty_place_has_no_store(self, store: Store) -> None:
        """Before a run nothing is there, and that is said."""
        store.check([], **FRESH)
        assert not store.is_created
        assert not store.is_unfinished
        assert not store.holds_shards()
        assert store.free_bytes is None or store.free_bytes > 0
        for to_resume in (False, True):
            with pytest.raises(FileNotFoundError, match="doesn't exist"):
                store.find(to_resume=to_resume)
        with pytest.raises(FileNotFoundError, match="doesn't exist"):
            store.read_record()

    def test_a_store_is_unfinished_until_it_is_published(self, store: Store) -> None:
        """While a run writes, its store is unfinished; then it is found under the address."""
        with store.opened_for_run(**FRESH) as opened:
            assert opened.address == store.address
            was_created = opened.is_created
            fill(opened, make_record())
            assert (was_created, opened.is_created) == (False, True)
            assert opened.is_unfinished
            assert store.find().is_unfinished
        found = store.find()
        assert found.is_created
        assert not found.is_unfinished
        assert not store.find(to_resume=True).is_unfinished

    def test_the_record_is_read_back(self, store: Store) -> None:
        """A record is the same after it was stored, and has a receipt once the run has finished."""
        record = make_record()
        with store.opened_for_run(**FRESH) as opened:
            opened.create(record)
            assert opened.read_record() == record
            assert not opened.read_record().is_complete
            opened.finish(make_receipt(record))
        found = store.find().read_record()
        assert (found.receipt, found.is_complete) == (make_receipt(record), True)

    def test_a_receipt_of_another_run_is_refused(self, filled: Store) -> None:
        """A receipt that a record can't have doesn't get into the store."""
        with pytest.raises(ValueError, match=r"the receipt is \{'a': 1\}; wanted 'pixels'"):
            filled.finish({"a": 1})
        assert filled.read_record().receipt == make_receipt(make_record())

    @pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
    def test_blocks_are_read_back(self, store: Store, layer: Layer) -> None:
        """Each block that was written is in its place, and each that wasn't has no data."""
        with store.opened_for_run(**FRESH) as opened:
            fill(opened, make_record(), n_blocks=3)
            array = opened.open_level(layer)
            assert array.shape[-2:] == GRID.shape
            assert array.dtype == layer.dtype
            for number, block in enumerate(GRID.blocks()):
                values = make_values(layer, block)
                wanted = values if number < 3 else np.full_like(values, layer.no_data)
                np.testing.assert_array_equal(opened.read_block(layer, block), wanted)
                np.testing.assert_array_equal(np.reshape(array[..., *block.region], wanted.shape), wanted)

    @pytest.mark.parametrize("level", range(1, GRID.n_levels))
    @pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
    def test_blocks_of_coarser_levels_are_read_back(self, filled: Store, layer: Layer, level: int) -> None:
        """Each level has its own shape, and its blocks are written, checked and read as those of level 0."""
        grid = GRID.level(level)
        array = filled.open_level(layer, level)
        assert array.shape[-2:] == grid.shape
        for block in grid.blocks():
            values = make_values(layer, block)
            np.testing.assert_array_equal(filled.read_block(layer, block, level=level), values)
            np.testing.assert_array_equal(np.reshape(array[..., *block.region], values.shape), values)
            assert filled.check_block(LAYERS, block.index, level=level) == []
        one = slice(layer.n_channels - 1, layer.n_channels)
        found = filled.read_block(layer, grid[0, 0], level=level, planes=one)
        np.testing.assert_array_equal(found, make_values(layer, grid[0, 0])[one])
        beyond = (grid.counts[0], 0)
        faults = filled.check_block(LAYERS[:1], beyond, level=level)
        assert faults == [Fault(LAYERS[0].name, beyond, "missing", level)]

    def test_there_are_no_other_levels(self, filled: Store) -> None:
        """A level that doesn't exist is refused."""
        with pytest.raises(FileNotFoundError):
            filled.open_level(LAYERS[0], 9)

    def test_a_shard_is_there_once_it_is_published(self, store: Store) -> None:
        """Until then nothing of it is seen; then it is whole, even if every value is no data."""
        missing, values = [Fault("density", (1, 1), "missing")], np.full((1, 18, 22), np.nan, np.float32)
        with store.opened_for_run(**FRESH) as opened:
            opened.create(make_record())
            with opened.write_block(LAYERS[0], GRID[1, 1], values):
                assert opened.check_block(LAYERS[:1], (1, 1)) == missing
            assert opened.check_block(LAYERS[:1], (1, 1)) == missing
            shard = opened.write_block(LAYERS[0], GRID[1, 1], values)
            shard.publish()
            assert len(self.read_shard(opened, LAYERS[0], (1, 1))) == shard.n_bytes > 0
            assert opened.holds_shards()
            assert opened.check_block(LAYERS[:1], (1, 1)) == []

    def test_a_lossy_block_needs_its_error(self, store: Store) -> None:
        """A block whose encoding is lossy isn't written without its largest error."""
        with store.opened_for_run(**FRESH) as opened:
            opened.create(make_record())
            with pytest.raises(ValueError, match="has no error; its encoding is lossy"):
                opened.write_block(LAYERS[1], GRID[0, 0], make_values(LAYERS[1], GRID[0, 0]))
            assert not opened.holds_shards()

    @pytest.mark.parametrize("index", [block.index for block in GRID.blocks()])
    @pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
    def test_any_flipped_byte_is_noticed_and_mended(self, filled: Store, layer: Layer, index: Index) -> None:
        """If any byte of a shard is another, the block is damaged; written again, it is as it was."""
        whole = self.read_shard(filled, layer, index)
        # The index of the shard's chunks is at its end.
        places = np.random.default_rng(1).integers(0, len(whole), 12)
        for place in (*places, 0, len(whole) - 1, len(whole) - 6):
            content = bytearray(whole)
            content[place] ^= 0x20
            self.write_shard(filled, layer, index, bytes(content))
            assert filled.check_block(LAYERS, index) == [Fault(layer.name, index, "damaged")], place
        filled.write_block(layer, GRID[index], make_values(layer, GRID[index]), error=0.25).publish()
        assert self.read_shard(filled, layer, index) == whole
        assert filled.check_block(LAYERS, index) == []

    @pytest.mark.parametrize("length", [0, 1, 100])
    def test_cut_shards_are_damaged(self, filled: Store, length: int) -> None:
        """The beginning of a shard is no shard."""
        whole = self.read_shard(filled, LAYERS[2], (0, 1))
        assert len(whole) > length
        self.write_shard(filled, LAYERS[2], (0, 1), whole[:length])
        assert filled.check_block(LAYERS, (0, 1)) == [Fault("label", (0, 1), "damaged")]
        assert filled.check_block(LAYERS, (0, 0)) == []

    def test_missing_shards_are_named(self, filled: Store) -> None:
        """A shard that doesn't exist is missing, if its layer is asked about."""
        for layer in LAYERS[:2]:
            self.write_shard(filled, layer, (1, 0), None)
        wanted = [Fault("density", (1, 0), "missing"), Fault("chances", (1, 0), "missing")]
        assert filled.check_block(LAYERS, (1, 0)) == wanted
        assert filled.check_block(LAYERS[2:], (1, 0)) == []

    def test_largest_errors(self, store: Store) -> None:
        """The largest error is over the blocks that are written, for lossy encodings alone."""
        with store.opened_for_run(**FRESH) as opened:
            opened.create(make_record())
            assert opened.largest_errors(LAYERS) == {"chances": 0}
            for block, error in zip(GRID.blocks(), (0.25, 0.5, 0.125), strict=False):
                opened.write_block(LAYERS[1], block, make_values(LAYERS[1], block), error=error).publish()
            assert opened.largest_errors(LAYERS) == {"chances": 0.5}

    def test_tasks_write_by_themselves(self, store: Store) -> None:
        """A pickled store writes to the same place, and several tasks write at once."""
        record = make_record()
        with store.opened_for_run(**FRESH) as opened:
            opened.create(record)
            content = pickle.dumps(opened)
            assert len(content) < 1000

            def write(block: Block) -> None:
                task = pickle.loads(content)  # noqa: S301  made above
                for layer in LAYERS:
                    task.write_block(layer, block, make_values(layer, block), error=0.25).publish()

            with ThreadPoolExecutor(4) as pool:
                list(pool.map(write, GRID.blocks()))
            assert all(opened.check_block(LAYERS, block.index) == [] for block in GRID.blocks())
            opened.finish(make_receipt(record))
        assert store.find().read_record().is_complete

    @pytest.mark.parametrize("options", [REPLACING, RESUMED], ids=["overwrite", "resume"])
    def test_a_task_of_an_ended_run_writes_nothing(self, store: Store, options: dict[str, bool]) -> None:
        """Once another run has begun, a task that a cluster still computes for an older one can't write."""
        values = make_values(LAYERS[0], GRID[1, 1])
        left: list[Any] = []

        def run() -> None:
            with store.opened_for_run(**FRESH) as older:
                fill(older, make_record(), n_blocks=1)
                left.extend([older, older.write_block(LAYERS[0], GRID[1, 1], values)])
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run()
        older, late = left
        with store.opened_for_run(**options) as opened:
            if opened.is_created:
                opened.mend_metadata(make_record())
            else:
                opened.create(make_record(identity="2"))
            with pytest.raises(BlockingIOError, match="another run has taken over"):
                older.write_block(LAYERS[0], GRID[1, 1], values).publish()
            # The block of a run that is gone on with is the same block.
            with suppress(OSError), late:
                late.publish()
            if options == REPLACING:
                missing = [Fault("density", (1, 1), "missing")]
                assert opened.check_block(LAYERS[:1], (1, 1)) == missing

    def test_metadata_are_told_from_those_of_another_grid(self, filled: Store) -> None:
        """Mending the metadata of a whole store changes no block, and those of another grid are noticed."""
        assert filled.find_damaged(make_record()) == []
        other = make_record(Grid((50, 70), (32, 32), (16, 16)))
        assert filled.find_damaged(other) == list(LAYERS)
        filled.mend_metadata(make_record())
        assert not [fault for block in GRID.blocks() for fault in filled.check_block(LAYERS, block.index)]
        assert filled.read_record().is_complete

    def test_a_run_that_fails_keeps_its_blocks(self, store: Store) -> None:
        """The blocks of a failed run are kept for another run to resume. Without blocks, nothing is kept."""
        interrupt(store, FRESH, make_record(), n_blocks=0)
        with pytest.raises(FileNotFoundError):
            store.find()
        interrupt(store, FRESH, make_record(), n_blocks=1)
        found = store.find()
        assert found.is_unfinished
        assert found.check_block(LAYERS, (0, 0)) == []
        with store.opened_for_run(**RESUMED) as opened:
            assert opened.is_created
            assert opened.check_block(LAYERS, (0, 0)) == []
            opened.finish(make_receipt(make_record()))
        assert not store.find(to_resume=True).is_unfinished

    def test_a_store_is_there_until_the_new_one_is_whole(self, store: Store) -> None:
        """A store can be read while another replaces it, and stays if the other run fails."""
        with store.opened_for_run(**FRESH) as opened:
            fill(opened, make_record(identity="1"))
        with store.opened_for_run(**REPLACING) as opened:
            fill(opened, make_record(identity="2"))
            assert store.find().read_record().image.identity == "1"
        assert store.find().read_record().image.identity == "2"
        interrupt(store, REPLACING, make_record(identity="3"), n_blocks=1)
        assert store.find().read_record().image.identity == "2"
        assert store.find(to_resume=True).read_record().image.identity == "3"

    def test_a_store_is_mended_in_its_place(self, store: Store) -> None:
        """A store that is resumed where no unfinished one is can be found all the time."""
        with store.opened_for_run(**FRESH) as opened:
            fill(opened, make_record())
        with store.opened_for_run(**RESUMED) as opened:
            assert not opened.is_unfinished
            assert not store.find().is_unfinished
            assert opened.check_block(LAYERS, (0, 0)) == []

    def test_the_identity_is_that_of_one_run(self, store: Store) -> None:
        """A store keeps its identity until it is replaced."""
        with store.opened_for_run(**FRESH) as opened:
            fill(opened, make_record())
        before = store.find().identity
        assert store.find().identity == before
        with store.opened_for_run(**REPLACING) as opened:
            fill(opened, make_record())
        assert store.find().identity != before

    @pytest.mark.parametrize("is_whole", [True, False])
    def test_options_are_named_where_a_store_is(self, store: Store, is_whole: bool) -> None:
        """A store that is there, whole or not, is refused, with the options that would allow it."""
        if is_whole:
            with store.opened_for_run(**FRESH) as opened:
                fill(opened, make_record())
        else:
            interrupt(store, FRESH, make_record(), n_blocks=1)
        options = r"\(resume=True, --resume\).*\(overwrite=True, --overwrite\)"
        with pytest.raises(FileExistsError, match=options):
            store.check([], **FRESH)
        with pytest.raises(FileExistsError, match=options), store.opened_for_run(**FRESH):
            pass
        store.check([], **RESUMED)
        store.check([], **REPLACING)
        assert store.find().is_unfinished is not is_whole

    @pytest.mark.parametrize("options", [FRESH, REPLACING, RESUMED], ids=["fresh", "overwrite", "resume"])
    def test_one_run_writes_at_a_time(self, store: Store, options: dict[str, bool]) -> None:
        """While a run writes, another is refused and changes nothing; then the place is free."""
        with store.opened_for_run(**FRESH) as opened:
            fill(opened, make_record())
            for _ in range(2):
                with (
                    pytest.raises(BlockingIOError, match="another run is writing"),
                    store.opened_for_run(**options),
                ):
                    pass
        assert store.find().read_record().is_complete
