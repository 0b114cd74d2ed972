"""The seam: a kind of store must have all that a run needs."""

from __future__ import annotations

import pytest

from pipeline.stores.store import Fault, Store


def test_a_store_must_be_whole() -> None:
    """A kind of store that lacks a method can't be made."""

    class Half(Store):
        def holds_shards(self) -> bool:
            return False

    with pytest.raises(TypeError, match="abstract"):
        Half()  # type: ignore[abstract]


def test_a_fault_names_its_shard() -> None:
    """A fault is a tuple of the output, the block and the kind, so that faults can be sorted."""
    faults = [Fault("label", (0, 1), "missing"), Fault("density", (1, 0), "damaged")]
    assert min(faults).output == "density"
    assert faults[0] == ("label", (0, 1), "missing")
