"""Tests of the method of a fit: what it checks, which number of kernels it takes, and what it records."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import pipeline
from pipeline import Histogram, Mixture, Progress
from pipeline.compute.em import Schedule
from pipeline.compute.histogram import count_colors_of
from pipeline.runs import method as module
from pipeline.runs.method import Method

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCHEDULE = Schedule(4, 1e-4, 300)


def histogram_of(pixels: NDArray[Any], channels: tuple[str, ...] | None = None) -> Histogram:
    """Count 8-bit pixels (n, C)."""
    return count_colors_of(pixels.astype(np.uint8), None, channels)


def three_kernels() -> Histogram:
    """Draw 8-bit pixels from three kernels of 1/6, 2/6 and 3/6 of them."""
    random = np.random.default_rng(0)
    means = np.repeat([40.0, 120.0, 200.0], [1000, 2000, 3000])
    return histogram_of(random.normal(means[:, np.newaxis], 5, (6000, 2)))


def fit(
    histogram: Histogram,
    n_kernels: Any,
    *,
    start: Mixture | None = None,
    schedule: Schedule = SCHEDULE,
    floor: float | None = None,
    seed: Any = 0,
    progress: Any = "none",
) -> Mixture:
    """Fit with a diagonal mixture."""
    return Method.checked(n_kernels, "diag", start, schedule, floor).fit(histogram, "pixels", seed, progress)


@pytest.mark.parametrize(
    "n_kernels", ["bic", range(1, 6), iter([5, 3, 4]), (n for n in (1, 3)), np.arange(2, 5)]
)
def test_the_number_of_the_lowest_bic_is_taken(n_kernels: Any) -> None:
    """Of several numbers it is the true one, whatever kind of sequence they are."""
    assert fit(three_kernels(), n_kernels).n_kernels == 3


def test_bic_tries_1_to_16(monkeypatch: pytest.MonkeyPatch) -> None:
    """The word stands for these numbers, as far as there are colors."""
    tried = []
    found = module.fit_kernels

    def note(histogram: Histogram, n_kernels: int, *arguments: Any, **options: Any) -> Any:
        tried.append(n_kernels)
        return found(histogram, n_kernels, *arguments, **options)

    monkeypatch.setattr(module, "fit_kernels", note)
    fit(histogram_of(np.arange(40)[:, np.newaxis]), "bic")
    assert tried == list(range(1, 17))
    tried.clear()
    fit(histogram_of(np.arange(5)[:, np.newaxis]), "bic")
    assert tried == [1, 2, 3, 4, 5]
    tried.clear()
    with pytest.raises(ValueError, match="got 6 kernels for 5 colors"):
        fit(histogram_of(np.arange(5)[:, np.newaxis]), [8, 6])


def test_what_is_recorded() -> None:
    """The record has the method, the pixels, the steps, and when it ended."""
    histogram = three_kernels()
    before = datetime.now(UTC).replace(microsecond=0)
    mixture = fit(histogram, 3, seed=np.int64(5), floor=2, schedule=Schedule(np.int64(3), np.float32(0.5), 9))
    record = mixture.fit
    assert record is not None
    assert before <= datetime.fromisoformat(record.date) <= datetime.now(UTC)
    assert (record.image, record.n_pixels, record.n_colors) == ("pixels", 6000, histogram.n_colors)
    assert (record.is_exact, record.covariance_type, record.variance_floor) == (True, "diag", 2.0)
    assert (record.n_starts, record.seed, record.tolerance) == (3, 5, 0.5)
    assert (record.n_parameters, record.version) == (2 + 6 + 6, pipeline.__version__)
    assert record.is_converged
    assert 1 <= record.n_iterations <= 9
    # NumPy's numbers have become numbers that JSON can hold.
    assert pipeline.Fit.from_dict(record.to_dict()) == record


def test_kernels_are_sorted_by_weight() -> None:
    """The heaviest comes first, with its own mean and variance."""
    mixture = fit(three_kernels(), 3)
    np.testing.assert_allclose(mixture.weights, [1 / 2, 1 / 3, 1 / 6], atol=1e-3)
    np.testing.assert_allclose(mixture.means, [[200, 200], [120, 120], [40, 40]], atol=1)


def test_a_start() -> None:
    """A start replaces the first mixtures; names of channels are the histogram's."""
    pixels = np.random.default_rng(0).integers(0, 256, (500, 2))
    start = Mixture([1.0], [[3.0, 4.0]], [[9.0, 9.0]])
    mixture = fit(histogram_of(pixels, ("a", "b")), 1, start=start)
    assert mixture.fit is not None
    assert mixture.fit.n_starts == 0
    assert mixture.channels == ("a", "b")
    np.testing.assert_allclose(mixture.means[0], pixels.mean(axis=0))
    named = Mixture([1.0], [[3.0, 4.0]], [[9.0, 9.0]], ["a", "b"])
    assert fit(histogram_of(pixels), 1, start=named).channels is None


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (Mixture([1.0], [[3.0]], [[9.0]]), "start has 1 channels, pixels has 2; wanted the same channels"),
        (
            Mixture([1.0], [[3.0, 3.0]], [[9.0, 9.0]], ["b", "a"]),
            "start has the channels b, a, pixels has a, b; wanted the same ones in the same order",
        ),
    ],
)
def test_a_start_of_other_channels(start: Mixture, message: str) -> None:
    """Channels that differ, or come in another order, are refused."""
    with pytest.raises(ValueError, match=message):
        fit(histogram_of(np.ones((3, 2)), ("a", "b")), 1, start=start)


def test_progress_counts_the_numbers_of_kernels() -> None:
    """A listener hears of the steps, and of each number of kernels that is done."""
    events: list[Progress] = []
    fit(three_kernels(), [2, 3, 4], progress=events.append)
    stages = [event.stage for event in events if event.stage]
    assert stages[0].startswith("fitting 2 kernels: step 0, -")
    assert any("fitting 4 kernels" in stage for stage in stages)
    done = [event for event in events if not event.stage]
    assert [event.blocks for event in done] == [1, 2, 3]
    assert all(one.pixels < other.pixels for one, other in pairwise(done))
    assert (done[-1].total_blocks, done[-1].pixels) == (3, done[-1].total_pixels)


def test_no_pixels() -> None:
    """The message names the image."""
    with pytest.raises(ValueError, match="no pixel of pixels has data"):
        fit(histogram_of(np.ones((0, 2))), 1)


@pytest.mark.parametrize("n_kernels", [0, -1, 1.5, None, "many", [], [2, 0], ["2"], b""])
def test_wrong_numbers_of_kernels(n_kernels: Any) -> None:
    """The message shows what was got, and what is possible."""
    with pytest.raises(
        ValueError, match=r'n_kernels is .*; wanted a positive number, several of them, or "bic"'
    ):
        Method.checked(n_kernels, "diag", None, SCHEDULE, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "round"}, "covariance_type is 'round'; wanted one of diag, full, spherical, tied"),
        ({"schedule": Schedule(0, 1e-4, 300)}, "n_starts is 0, .*; wanted at least 1, 0 and 0"),
        ({"schedule": Schedule(1, 1e-4, -1)}, "max_iterations is -1"),
        ({"schedule": Schedule(1, -1e-9, 300)}, "tolerance is -1e-09"),
        ({"schedule": Schedule(1, float("nan"), 300)}, "tolerance is nan"),
        ({"floor": 0.0}, "variance_floor is 0.0; wanted a positive number"),
        ({"floor": float("nan")}, "variance_floor is nan"),
        ({"floor": float("inf")}, "variance_floor is inf"),
        ({"start": Mixture([1.0], [[3.0]], [[9.0]])}, "n_kernels is 3, but start has 1 kernels"),
    ],
)
def test_wrong_options(change: dict[str, Any], message: str) -> None:
    """Each is refused by its name and value, before anything is read."""
    options = {"n_kernels": 3, "kind": "diag", "start": None, "schedule": SCHEDULE, "floor": None, **change}
    with pytest.raises(ValueError, match=message):
        Method.checked(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [-1, 0.5])
def test_wrong_seeds(seed: Any) -> None:
    """A seed is an integer of at least 0."""
    with pytest.raises(ValueError, match=f"seed is {seed}; wanted an integer"):
        fit(three_kernels(), 1, seed=seed)
