"""The contract of an executor."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from pipeline.runs.executor import Executor, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable


def add(shared: int, number: int) -> Callable[[], int]:
    """Add a number to the shared one."""
    return lambda: shared + number


def fail(shared: int, number: int) -> NoReturn:
    """Raise an error."""
    raise KeyError(f"{shared} {number}")


def fail_at_the_end(shared: int, number: int) -> Callable[[], NoReturn]:
    """Raise an error when the task is finished."""
    return lambda: fail(shared, number)


def name_process(shared: int, number: int) -> Callable[[], int]:
    """Return the number of the process that computes the task."""
    del shared, number
    process = os.getpid()
    return lambda: process


class ExecutorContract(ABC):
    """The tests that every executor must pass.

    A subclass, whose name begins with ``Test``, overrides the fixture `executor`.
    """

    @pytest.fixture
    @abstractmethod
    def executor(self, *_: Any) -> Executor:
        """Give an executor that can take tasks."""

    def test_its_numbers_are_known_before_it_starts(self, executor: Executor) -> None:
        """Threads, processes and memory are known before ``with``."""
        assert executor.threads >= 1
        assert executor.total_threads == sum(capacity.threads for capacity in executor.capacities)
        assert executor.available_memory > 2**20
        assert all(name and text for name, text in executor.facts)

    def test_a_task_gets_the_shared_value_and_its_own_arguments(self, executor: Executor) -> None:
        """Each call's future has its result."""
        with executor:
            shared = executor.share(100)
            futures = executor.submit(add, shared, [(number,) for number in range(10)])
            assert [future.result(timeout=60) for future in futures] == list(range(100, 110))

    @pytest.mark.parametrize("task", [fail, fail_at_the_end])
    def test_an_error_is_that_of_the_task(self, executor: Executor, task: Callable[..., Any]) -> None:
        """The future of a task that failed, at once or when it was finished, has its error."""
        with executor:
            (future,) = executor.submit(task, executor.share(1), [(2,)])
            error = future.exception(timeout=60)
        assert isinstance(error, KeyError)
        assert "1 2" in str(error)

    def test_every_outcome_comes_once(self, executor: Executor) -> None:
        """Many calls come back under their keys, and no more are taken than there are slots."""
        taken = ended = 0

        def calls() -> Any:
            nonlocal taken
            for number in range(40):
                taken += 1
                assert taken - ended <= executor.slots
                yield ("task", number), (number,)

        with executor:
            found = {}
            for outcome in executor.outcomes(add, executor.share(0), calls()):
                ended += 1
                found[outcome.key] = outcome.result
        assert found == {("task", number): number for number in range(40)}

    def test_outcomes_tell_errors(self, executor: Executor) -> None:
        """A task that fails is an outcome with an error, and the others go on."""
        with executor:
            ended: list[Outcome[int, int]] = list(
                executor.outcomes(fail, executor.share(0), ((n, (n,)) for n in range(3)))
            )
        assert [type(outcome.error) for outcome in ended] == [KeyError] * 3
        with pytest.raises(KeyError):
            _ = ended[0].result

    def test_a_caller_may_stop_early(self, executor: Executor) -> None:
        """When the caller closes the outcomes, the tasks in flight are awaited and no more are taken."""
        taken = []

        def calls() -> Any:
            for number in range(1000):
                taken.append(number)
                yield number, (number,)

        with executor:
            outcomes = executor.outcomes(add, executor.share(0), calls())
            next(outcomes)
            outcomes.close()
        assert len(taken) < 1000

    def test_tasks_are_computed_where_it_says(self, executor: Executor) -> None:
        """A local executor computes in this process, another one elsewhere."""
        with executor:
            (future,) = executor.submit(name_process, executor.share(0), [(0,)])
            process = future.result(timeout=60)
        assert (process == os.getpid()) == executor.is_local
