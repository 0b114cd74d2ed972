"""How mixtures are fitted: the options of a fit, checked once, and their use on a histogram."""

from __future__ import annotations

import math
import operator
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

import numpy as np

from pipeline.compute.em import default_floor, fit_kernels
from pipeline.compute.moments import COVARIANCE_TYPES
from pipeline.compute.places import check_seed
from pipeline.models.fit import Fit, count_parameters
from pipeline.models.mixture import Mixture
from pipeline.runs.progress import reporting
from pipeline.runs.threads import n_threads
from pipeline.stores.record import current_version

if TYPE_CHECKING:
    from pipeline.compute.em import Schedule
    from pipeline.compute.histogram import Histogram
    from pipeline.compute.moments import CovarianceType
    from pipeline.runs.progress import Listener, Reporter

    # A number of kernels, several of which the best is taken, or "bic" for 1 to 16.
    Kernels = int | str | Iterable[int]

_MOST_BY_BIC = 16
# Seconds between two reports of the steps of a fit.
_EVERY = 2.0


@dataclass(frozen=True)
class Method:
    """How mixtures are fitted.

    Attributes
    ----------
    numbers : tuple of int
        The numbers of kernels to try.
    kind : str
        The covariance type.
    start : Mixture or None
        The mixture to begin with.
    schedule : Schedule
    floor : float or None
        The least variance of a kernel, or None for :func:`default_floor`.
    """

    numbers: tuple[int, ...]
    kind: CovarianceType
    start: Mixture | None
    schedule: Schedule
    floor: float | None

    @classmethod
    def checked(
        cls,
        n_kernels: Kernels,
        kind: CovarianceType,
        start: Mixture | None,
        schedule: Schedule,
        floor: float | None,
    ) -> Self:
        """Return the method that these arguments describe, or raise ValueError."""
        numbers = _kernel_numbers(n_kernels)
        if kind not in COVARIANCE_TYPES:
            raise ValueError(f"covariance_type is {kind!r}; wanted one of {', '.join(COVARIANCE_TYPES)}")
        if start is not None and numbers != (start.n_kernels,):
            raise ValueError(
                f"n_kernels is {n_kernels!r}, but start has {start.n_kernels} kernels; wanted the same number"
            )
        if schedule.n_starts < 1 or schedule.max_iterations < 0 or not schedule.tolerance >= 0:
            raise ValueError(
                f"n_starts is {schedule.n_starts!r}, max_iterations is {schedule.max_iterations!r} and "
                f"tolerance is {schedule.tolerance!r}; wanted at least 1, 0 and 0"
            )
        if floor is not None and not 0 < floor < math.inf:
            raise ValueError(f"variance_floor is {floor!r}; wanted a positive number")
        return cls(numbers, kind, start, schedule, floor)

    def fit(self, histogram: Histogram, name: str, seed: int, progress: str | Listener) -> Mixture:
        """Fit a mixture of each number of kernels, and return the one with the lowest BIC.

        Of several numbers, those for which there are too few colors don't count.
        """
        if not histogram.n_colors:
            raise ValueError(f"no pixel of {name} has data. Check its mask and its no-data value.")
        seed = check_seed(seed)
        if self.start is not None:
            _check_channels(self.start, histogram, name)
        floor = default_floor(histogram) if self.floor is None else self.floor
        n_colors = len(histogram.distinct[1])
        numbers = [number for number in self.numbers if number <= n_colors] or [min(self.numbers)]
        fitted = []
        with reporting(progress, len(numbers), len(numbers) * histogram.n_pixels) as reporter:
            for number in numbers:
                fitted.append(self._fit(histogram, name, number, floor, seed, reporter))
                reporter.advance(histogram.n_pixels)
        return min(fitted, key=lambda mixture: mixture.fit.bic if mixture.fit else math.inf)

    def _fit(  # noqa: PLR0917  the histogram, and then how it is fitted
        self, histogram: Histogram, name: str, n_kernels: int, floor: float, seed: int, reporter: Reporter
    ) -> Mixture:
        due = 0.0

        def report(step: int, log_likelihood: float) -> None:
            nonlocal due
            if time.monotonic() < due:
                return
            due = time.monotonic() + _EVERY
            reporter.begin(f"fitting {n_kernels} kernels: step {step}, {log_likelihood:.4f} nats a pixel")

        found = fit_kernels(
            histogram,
            n_kernels,
            self.kind,
            floor=floor,
            start=self.start,
            schedule=self.schedule,
            seed=seed,
            threads=n_threads(),
            report=report,
        )
        order = np.argsort(-found.weights, kind="stable")
        fit = Fit(
            image=name,
            n_pixels=histogram.n_pixels,
            n_colors=histogram.n_colors,
            is_exact=histogram.is_exact,
            covariance_type=self.kind,
            variance_floor=float(floor),
            n_starts=int(self.schedule.n_starts) if self.start is None else 0,
            seed=seed,
            tolerance=float(self.schedule.tolerance),
            n_iterations=found.n_iterations,
            is_converged=bool(found.is_converged),
            n_parameters=count_parameters(len(order), histogram.colors.shape[1], self.kind),
            log_likelihood=found.log_likelihood,
            version=current_version(),
            date=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        parameters = (found.weights[order], found.means[order], found.covariances[order])
        return Mixture(*parameters, histogram.channels, fit)


def _check_channels(start: Mixture, histogram: Histogram, name: str) -> None:
    """Raise ValueError unless a start has the channels of a histogram, in the same order."""
    n_channels = histogram.colors.shape[1]
    if start.n_channels != n_channels:
        raise ValueError(
            f"start has {start.n_channels} channels, {name} has {n_channels}; wanted the same channels"
        )
    if start.channels and histogram.channels and start.channels != histogram.channels:
        raise ValueError(
            f"start has the channels {', '.join(start.channels)}, {name} has "
            f"{', '.join(histogram.channels)}; wanted the same ones in the same order"
        )


def _kernel_numbers(n_kernels: Kernels) -> tuple[int, ...]:
    """Return the numbers of kernels to try."""
    if isinstance(n_kernels, str):
        numbers = tuple(range(1, _MOST_BY_BIC + 1)) if n_kernels == "bic" else ()
    else:
        try:
            several = n_kernels if isinstance(n_kernels, Iterable) else (n_kernels,)
            numbers = tuple(operator.index(number) for number in several)
        except TypeError:
            numbers = ()
    if not numbers or min(numbers) < 1:
        raise ValueError(
            f'n_kernels is {n_kernels!r:.80}; wanted a positive number, several of them, or "bic"'
        )
    return numbers
