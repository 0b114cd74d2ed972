"""What a run does to an image: its quantities, its division into blocks, and the task of one block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import psutil

from pipeline.compute.engine import Request, evaluate_requests
from pipeline.models.encoding import Packed
from pipeline.models.quantity import no_data_value
from pipeline.stores.local import write_block

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipeline.images.grid import Grid
    from pipeline.images.opening import Piece
    from pipeline.models.quantity import Quantity


@dataclass(frozen=True)
class Job:
    """What every task of a run shares; sent to each worker once."""

    directory: Path
    grid: Grid
    requests: Mapping[str, Request]

    @property
    def quantities(self) -> dict[str, Quantity]:
        """What is computed, by name."""
        return {name: request.quantity for name, request in self.requests.items()}


class Done(NamedTuple):
    """What a task says of its block."""

    pixels: int
    n_bytes: int
    memory: int


def do_block(job: Job, piece: Piece, index: tuple[int, int], names: tuple[str, ...]) -> Done:
    """Read, compute and write one block: no pixel leaves the task.

    Parameters
    ----------
    job : Job
    piece : Piece
        Of :meth:`Inputs.cut`.
    index : tuple of int
        The block's.
    names : tuple of str
        The results that are wanted, which may be fewer than all.

    Returns
    -------
    Done
    """
    requests = [job.requests[name] for name in names]
    pixels, valid = piece.read()
    if pixels is None:
        rows, columns = job.grid.region(index)
        extent = (rows.stop - rows.start, columns.stop - columns.start)
        results = [np.full((r.quantity.n_planes, *extent), no_data_value(r.dtype), r.dtype) for r in requests]
        errors = [0.0] * len(requests)
    else:
        results, errors = evaluate_requests(pixels, requests, serial=True)
        if valid is not None:
            for request, result in zip(requests, results, strict=True):
                result[:, ~valid] = no_data_value(request.dtype)
    n_bytes = 0
    for name, request, result, error in zip(names, requests, results, errors, strict=True):
        values = result[0] if request.quantity.planes is None else result
        packed = error if isinstance(request.quantity, Packed) else None
        n_bytes += write_block(job.directory, name, job.grid, index, values, error=packed)
    return Done(job.grid.pixels(index), n_bytes, psutil.Process().memory_info().rss)
