"""Stores of numbered runs, written as runs write them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.stores import placement
from pipeline.stores.local import LocalStore
from pipeline.stores.target import MARK
from pipeline.testing import filling
from pipeline.testing.filling import make_receipt, make_record

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.stores.record import Record

OUTPUTS = filling.OUTPUTS[:1]


def fill(path: Path, run: int, *, finished: bool = True) -> None:
    """Create the store of a numbered run and write a block, or all, with the mark of a run's directory."""
    if path.suffix in {".partial", ".replaced"}:
        path.mkdir(exist_ok=True)
        (path / MARK).touch()
    filling.fill(LocalStore(path), record_of(run), seed=run, n_blocks=None if finished else 1)


def record_of(run: int) -> Record:
    """Make the record of a numbered run."""
    return make_record(outputs=OUTPUTS, identity=str(run))


def write(path: Path, run: int, options: dict[str, bool], error: BaseException | None = None) -> Path:
    """Write a store as a run does, or half of it, and return the directory that it was written in."""
    with placement.opened_for_run(path, **options) as directory:
        if not (directory / "zarr.json").exists():
            fill(directory, run, finished=error is None)
        if error:
            raise error
        store = LocalStore(directory)
        store.finish(make_receipt(store.read_record()))
    return directory


def names(folder: Path) -> list[str]:
    """List a directory."""
    return sorted(path.name for path in folder.iterdir())


def run_of(path: Path) -> int:
    """Return the number of the run that made a store."""
    return int(LocalStore(path).read_record().image.identity)
