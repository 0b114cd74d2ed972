"""The part of a run that workers execute: versions, and contents that tell the difference from a sample."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from typing import TYPE_CHECKING

import numpy as np
import pytest
from distributed.protocol.pickle import dumps
from hypothesis import given
from hypothesis import strategies as st

from pipeline.images.kept import GIANT, KEPT
from pipeline.runs.worker import (
    WINDOW,
    check_versions,
    complete,
    deflate,
    inflate,
    load_all,
    make_basis,
    release,
)
from pipeline.stores.record import current_version

if TYPE_CHECKING:
    from collections.abc import Callable


def add(shared: int, number: int) -> Callable[[], int]:
    """Add a number to the shared one."""
    return lambda: shared + number


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_contents_come_back(content: bytes, sample: bytes) -> None:
    """A content is the same after it was sent as its difference from a sample."""
    assert inflate(deflate(content, sample), sample) == content


def test_a_difference_is_short() -> None:
    """A task much like the first one takes few bytes; one with pixels isn't compressed."""
    sample = dumps((add, ("a path that all tasks share" * 20, 1)))
    content = dumps((add, ("a path that all tasks share" * 20, 2)))
    assert len(content) > 500
    assert len(deflate(content, sample)) < 50
    pixels = bytes(2 * WINDOW + 1)
    assert deflate(pixels, sample) == b"\0" + pixels
    assert inflate(deflate(pixels, sample), sample) == pixels


def test_a_task_is_completed() -> None:
    """The shared value and the task's own arguments meet, if the versions are the same."""
    sample = b"anything"
    content = deflate(dumps((add, (2,))), sample)
    assert list(load_all(dumps(3) + dumps("a"))) == [3, "a"]
    completed = complete(make_basis(dumps(3), sample, current_version()), content)
    assert completed.outcomes == [(5, None)]
    assert completed.seconds > 0
    with pytest.raises(RuntimeError, match=r"a worker has mixture-pipeline .*; wanted 9\.9\.9\. Install it"):
        complete(make_basis(dumps(3), sample, "9.9.9"), content)


class UnsendableError(Exception):
    """An error that can't be made again from its arguments."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


def divide(shared: int, number: int) -> Callable[[], float]:
    """Divide the shared value, or fail otherwise if the number is negative."""
    if number < 0:
        raise UnsendableError(shared, number)
    return lambda: shared / number


def test_a_call_that_fails_doesnt_keep_the_others() -> None:
    """Each call of a batch has its result or its error, as it was raised or in words."""
    calls = [dumps((divide, (number,))) for number in (2, 0, -1, 4)]
    basis = make_basis(dumps(8), calls[0], current_version())
    outcomes = complete(basis, deflate(b"".join(calls), basis.sample)).outcomes
    assert [result for result, _ in outcomes] == [4, None, None, 2]
    assert [repr(error) for _, error in outcomes] == [
        "None",
        "ZeroDivisionError('division by zero')",
        "RuntimeError('UnsendableError: 8 and -1')",
        "None",
    ]


def test_workers_without_the_package_are_named() -> None:
    """Workers that lack it, or have another version, are told what to install; a lost one isn't."""
    version = current_version()
    check_versions({"a": version, "b": OSError("connection refused")})
    message = (
        rf"2 of 3 workers don't have mixture-pipeline {version}: b has none, c has 0\.0\.1\. .*"
        rf"pip install 'mixture-pipeline=={version}'"
    )
    with pytest.raises(RuntimeError, match=message):
        check_versions({"a": version, "b": PackageNotFoundError(), "c": "0.0.1"})


def test_giant_pieces_are_released() -> None:
    """A worker doesn't keep what the tasks of a run shared."""
    KEPT.get("an image", 0, lambda: np.zeros(GIANT + 1, np.uint8))
    release()
    assert not KEPT.holds("an image")
