"""The seam of executors: the order of calls."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any, Self

from pipeline.runs.executor import Capacity, Executor, Outcome


class Immediate(Executor):
    """An executor that computes each task when it is submitted, and notes how many are in flight."""

    is_local = True
    capacities = (Capacity(1, 2**30),)
    facts = ()
    slots = 3

    def __init__(self) -> None:
        self.submitted = 0

    def share(self, value: Any) -> Any:
        """Return the value."""
        return value

    def submit(self, task: Any, shared: Any, calls: Any) -> list[Future[Any]]:
        """Compute the task."""
        futures = []
        for arguments in calls:
            self.submitted += 1
            futures.append(Future[Any]())
            try:
                futures[-1].set_result(task(shared, *arguments)())
            except Exception as error:  # noqa: BLE001  a task may fail in any way
                futures[-1].set_exception(error)
        return futures

    def cancel(self, futures: Any) -> None:
        """Cancel nothing: all tasks have ended."""

    def __enter__(self) -> Self:
        """Start."""
        return self

    def __exit__(self, *_: object) -> None:
        """End."""


def test_calls_are_taken_as_slots_are_free() -> None:
    """As many calls are submitted as there are slots, and then one for each that ended."""
    with Immediate() as executor:
        outcomes = executor.outcomes(lambda shared, n: lambda: shared * n, 2, ((n, (n,)) for n in range(10)))
        first = next(outcomes)
        assert executor.submitted == 3
        assert first.result == 2 * first.key
        assert sorted(outcome.key for outcome in (first, *outcomes)) == list(range(10))
    assert executor.submitted == 10


def test_an_outcome_has_a_result_or_an_error() -> None:
    """The error of a failed call is kept beside its key."""
    future: Future[int] = Future()
    future.set_exception(OSError("disk"))
    outcome = Outcome("key", future)
    assert (outcome.key, str(outcome.error)) == ("key", "disk")
