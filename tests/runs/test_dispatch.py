"""The dispatch of calls: rests, retries, calls during which processes end, and calls that are far behind."""

from __future__ import annotations

import errno
import os
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Self

from pipeline.runs import dispatch
from pipeline.runs.dispatch import LostError, may_pass
from pipeline.runs.executor import Capacity, Executor, Outcome

if TYPE_CHECKING:
    import pytest


class Scripted(Executor):
    """An executor that ends tasks as a script says.

    Parameters
    ----------
    **script
        What happens to each attempt of a call, by its key: an error, the number that it returns, or None if
        it never ends.
    """

    is_local = True
    repeats = True
    capacities = (Capacity(1, 2**30),)
    facts = ()
    slots, step = 3, 1

    def __init__(self, **script: list[Any]) -> None:
        self.script, self.submitted, self.canceled = script, [], 0
        self.renewed = 0
        self.at_once: list[list[str]] = []
        self.together: list[int] = []
        self.at_work: list[tuple[str, Future[Any]]] = []

    def share(self, value: Any) -> Any:
        """Return the value."""
        return value

    def renew(self, shared: Any) -> None:
        """Count how often the value is sent again."""
        del shared
        self.renewed += 1

    def submit(self, task: Any, shared: Any, calls: Any) -> list[Future[Any]]:
        """End what the script lets end."""
        del task, shared
        futures = []
        self.together.append(len(calls))
        for (key,) in calls:
            self.submitted.append(key)
            self.at_work = [(other, future) for other, future in self.at_work if not future.done()]
            self.at_once.append([other for other, _ in self.at_work])
            future = Future[Any]()
            futures.append(future)
            end = self.script[key].pop(0)
            if end is None:
                self.at_work.append((key, future))
            elif isinstance(end, BaseException):
                future.set_exception(end)
            else:
                future.set_result(end)
        return futures

    def cancel(self, futures: Any) -> None:
        """Cancel what hasn't ended."""
        for future in list(futures):
            if future.cancel():
                self.canceled += 1
                future.set_running_or_notify_cancel()

    def __enter__(self) -> Self:
        """Start."""
        return self

    def __exit__(self, *_: object) -> None:
        """End."""

    def run(self) -> dict[str, Outcome[str, Any]]:
        """Compute a call for each key of the script."""
        calls = [(key, (key,)) for key in self.script]
        return {outcome.key: outcome for outcome in self.outcomes(None, None, calls)}  # type: ignore[arg-type]  no task is called


def fault(number: int = errno.EIO) -> OSError:
    """Make an error of the system."""
    return OSError(number, os.strerror(number))


def test_all_in_flight_are_awaited_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a stint nothing is in flight before more calls are taken."""
    monkeypatch.setattr(dispatch, "_STINT", 6)
    executor = Scripted()
    monkeypatch.setattr(Scripted, "slots", 0)
    for number in range(14):
        executor.script[f"{number}"] = [number]
    monkeypatch.setattr(Scripted, "slots", 2)
    # The stint is at least fifty times the slots.
    many = Scripted(**{f"{number}": [number] for number in range(230)})
    assert len(executor.run()) == 14
    assert len(many.run()) == 230


def test_errors_that_may_pass() -> None:
    """A disk or a network may work again; a full disk, a missing file and another run stay as they are."""
    passing = [fault(), fault(errno.ESTALE), fault(errno.ETIMEDOUT), TimeoutError(), ConnectionResetError()]
    lasting = [
        *map(fault, (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.ENOENT, errno.EDQUOT, errno.EAGAIN)),
        BlockingIOError("another run"),
        ValueError("damaged"),
        MemoryError(),
        KeyboardInterrupt(),
    ]
    assert [may_pass(error) for error in passing] == [True] * 5
    assert [may_pass(error) for error in lasting] == [False] * 10


def test_a_task_that_cant_read_is_tried_again() -> None:
    """It is tried three times more, and others go on meanwhile; each outcome tells how often."""
    executor = Scripted(
        a=[fault(), fault(), 1], b=[2], c=[*map(fault, [5, 5, 5, 5])], d=[fault(errno.ENOSPC)]
    )
    ended = executor.run()
    assert {key: outcome.retries for key, outcome in ended.items()} == {"a": 2, "b": 0, "c": 3, "d": 0}
    assert (ended["a"].result, ended["b"].result) == (1, 2)
    assert isinstance(ended["c"].error, OSError)
    assert isinstance(ended["d"].error, OSError)
    assert sorted(executor.submitted) == ["a"] * 3 + ["b"] + ["c"] * 4 + ["d"]


def test_pauses_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call waits longer each time, and nothing else waits for it."""
    now, slept = [100.0], []
    monkeypatch.setattr(dispatch, "_PAUSES", (0.5, 2.0, 8.0))
    monkeypatch.setattr(dispatch.time, "monotonic", lambda: now[0])

    class _Queue(dispatch.SimpleQueue):  # type: ignore[misc, type-arg]  a queue that doesn't wait
        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            if self.empty():
                slept.append(timeout)
                now[0] += timeout or 0
                raise dispatch.Empty
            return super().get(block, timeout)

    monkeypatch.setattr(dispatch, "SimpleQueue", _Queue)
    assert Scripted(a=[fault()] * 3 + [1]).run()["a"].result == 1
    assert slept == [0.5, 2.0, 8.0]


def test_a_call_during_which_processes_ended_is_tried_alone() -> None:
    """A call is the one that ends processes if they end while nothing else is at work."""
    lost = LostError("4 workers ended")
    executor = Scripted(a=[lost, 1], b=[lost, lost], c=[3], d=[4])
    ended = executor.run()
    assert (ended["a"].result, ended["c"].result, ended["d"].result) == (1, 3, 4)
    assert ended["b"].error is lost
    assert executor.submitted.count("b") == 2
    for key, others in zip(executor.submitted, executor.at_once, strict=True):
        if executor.submitted.index(key) > 3:
            assert others == []


def test_calls_are_submitted_in_steps() -> None:
    """While calls are in flight, the next ones wait until there are slots for as many as a step has."""
    executor = Scripted(a=[None], b=[2], c=[None], d=[4], e=[5])
    executor.step = 2
    for delay, number in ((0.2, 1), (0.3, 0)):
        threading.Timer(delay, lambda n=number: executor.at_work[n][1].set_result(n)).start()
    assert len(executor.run()) == 5
    assert executor.together == [3, 2]


def test_a_call_that_is_far_behind_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of its attempts that succeeds counts, and the others are canceled."""
    monkeypatch.setattr(dispatch, "_PATIENCE", 0.02)
    monkeypatch.setattr(dispatch, "_TICK", 0.01)
    executor = Scripted(a=[1], b=[None, 2], c=[None, fault(), 3])
    ended = executor.run()
    assert {key: outcome.result for key, outcome in ended.items()} == {"a": 1, "b": 2, "c": 3}
    assert executor.submitted == ["a", "b", "c", "b", "c", "c"]
    assert executor.canceled == 2
    # Those that have the value may hang, too.
    assert executor.renewed == 2
    # An attempt that takes the place of one that hangs may hang itself.
    executor = Scripted(a=[1], b=[None, None, None, 2])
    assert executor.run()["b"].result == 2
    assert executor.submitted == ["a", "b", "b", "b", "b"]
    # A call that is tried alone may hang, too.
    executor = Scripted(a=[LostError("4 workers ended"), None, 2], b=[1])
    assert executor.run()["a"].result == 2
    # Before one has ended, more patience is due.
    executor = Scripted(a=[None])
    threading.Timer(0.1, lambda: executor.at_work[0][1].set_result(1)).start()
    assert executor.run()["a"].result == 1
    assert executor.submitted == ["a"]
    executor = Scripted(a=[None, 2])
    assert executor.run()["a"].result == 2
