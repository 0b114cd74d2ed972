"""Disks that fail at any call of a run: it ends with an error that says so, and can be gone on with."""

from __future__ import annotations

import errno
import os
import shutil
from typing import TYPE_CHECKING

import pytest
from runs.disturbed import assert_same
from runs.kinds import KINDS, REPLACING, go_on, run
from runs.recorder import Recorder

from pipeline import verify
from pipeline.stores.local import LocalStore

if TYPE_CHECKING:
    from pathlib import Path

_STEP = 4


@pytest.mark.parametrize(
    ("kind", "exchanges"),
    [
        *((kind, "exchange") for kind in ("fresh", "overwrite", "resume", "mend")),
        ("overwrite", "two renames"),
    ],
    indirect=["exchanges"],
)
@pytest.mark.usefixtures("exchanges", "unflushed")
def test_every_call_fails_once(tmp_path: Path, wanted: Path, kind: str) -> None:
    """If a call to open, write, flush or rename fails, that is raised, and the next run is right.

    Every fourth call is tried, others for each kind of run. The disk is faulty and full by turns. If a faulty
    disk fails while a block is written, the block is written again, and the run ends as if nothing had been.
    """
    prepare, options = KINDS[kind]
    (tmp_path / "before").mkdir()
    prepare(tmp_path / "before" / "out.zarr")
    number, has_failed, n_mended = list(KINDS).index(kind) % _STEP, True, 0
    while has_failed:
        store = tmp_path / str(number) / "out.zarr"
        shutil.copytree(tmp_path / "before", store.parent)
        said, error = None, (errno.EIO, errno.ENOSPC)[number // _STEP % 2]
        with Recorder(store.parent, fail_at=number, error=error) as recorder:
            try:
                run(store, **options)
            except OSError as caught:
                said = str(caught)
        has_failed = recorder.calls > number
        assert said is None or (has_failed and os.strerror(error) in said)
        if has_failed and said is None:
            assert error == errno.EIO
            assert_same(store, wanted)
            n_mended += 1
        assert recorder.missed == []
        if kind in REPLACING:
            found = LocalStore(store).find()
            assert not found.is_unfinished
            assert verify(store, progress="none").intact
        go_on(store)
        assert_same(store, wanted)
        shutil.rmtree(store.parent)
        number += _STEP
    assert number > 20
    # Few of the calls of a run that goes on with another one write blocks.
    assert n_mended or kind == "resume"
