"""Batches of calls: how many make one, and which of them are awaited."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipeline.runs.batches import Batch, BatchSize, group


def test_short_calls_make_larger_batches() -> None:
    """A batch is one call until they are known to be short, and again when they aren't any more."""
    size = BatchSize()
    assert size.n_calls == 1
    size.learn(0.02, 2)
    assert size.n_calls == 5
    for _ in range(20):
        size.learn(0.0, 5)
    assert size.n_calls == 32
    for _ in range(20):
        size.learn(3.0, 1)
    assert size.n_calls == 1


@given(st.lists(st.integers(0, 2**15), max_size=20), st.integers(1, 12))
def test_contents_are_grouped_in_their_order(lengths: list[int], n_calls: int) -> None:
    """No batch is empty or too large, and none could be joined with the next one."""
    contents = [bytes(length) for length in lengths]
    groups = list(group(contents, n_calls))
    assert [content for batch in groups for content in batch] == contents
    sizes = [sum(map(len, batch)) for batch in groups]
    assert all(1 <= len(batch) <= n_calls for batch in groups)
    assert all(size <= 2**16 for size in sizes)
    for batch, size, following in zip(groups, sizes, groups[1:], strict=False):
        assert len(batch) == n_calls or size + len(following[0]) > 2**16


def test_a_long_content_is_a_batch_of_its_own() -> None:
    """A call that carries pixels is sent alone."""
    pixels = bytes(2**20)
    assert [len(batch) for batch in group([b"a", b"b", pixels, b"c"], 32)] == [2, 1, 1]


def test_promises_that_are_in_flight_are_awaited() -> None:
    """Those that have ended aren't."""
    promises: list[Future[Any]] = [Future() for _ in range(3)]
    remote: Any = None
    batch = Batch(remote, 0, promises)
    assert batch.awaited({promises[1]: batch}) == {promises[1]}
