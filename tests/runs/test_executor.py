"""The seam of executors: the order of calls, and rests between many of them."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any, Self

from pipeline.runs import executor as module
from pipeline.runs.executor import Executor, Outcome


class Immediate(Executor):
    """An executor that computes each task when it is submitted, and notes how many are in flight."""

    is_local = True
    threads = n_processes = 1
    available_memory = 2**30
    slots = 3

    def __init__(self) -> None:
        self.submitted = 0

    def share(self, value: Any) -> Any:
        """Return the value."""
        return value

    def submit(self, task: Any, shared: Any, *arguments: Any) -> Future[Any]:
        """Compute the task."""
        self.submitted += 1
        future: Future[Any] = Future()
        future.set_result(task(shared, *arguments)())
        return future

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


def test_all_in_flight_are_awaited_now_and_then(monkeypatch: Any) -> None:
    """After a stint nothing is in flight before more calls are taken."""
    monkeypatch.setattr(module, "_STINT", 6)
    monkeypatch.setattr(Immediate, "slots", 1)
    executor = Immediate()
    taken: list[int] = []

    def calls() -> Any:
        for number in range(14):
            taken.append(number)
            yield number, (number,)

    seen = [outcome.key for outcome in executor.outcomes(lambda _, n: lambda: n, None, calls())]
    assert sorted(seen) == taken == list(range(14))


def test_an_outcome_has_a_result_or_an_error() -> None:
    """The error of a failed call is kept beside its key."""
    future: Future[int] = Future()
    future.set_exception(OSError("disk"))
    outcome = Outcome("key", future)
    assert (outcome.key, str(outcome.error)) == ("key", "disk")
