"""The logarithm of a sum of exponentials by numexpr expressions, finite for every pixel that isn't NaN."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.compute.program import Program, Reduction, Step, join
from pipeline.compute.reduction import maximum_of, reduce_exponents, sum_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipeline.compute.exponent import Exponent

# Squares overflow beyond 1e154. An exponent that would be minus infinity is replaced by this number, so that
# the difference of two exponents stays finite.
FLOOR = -1.7e308
_FINITE = f"maximum({{}}, {FLOOR!r})"
_RELATIVE = "exp({} - peak)"
# Between these logarithms a sum neither overflows nor loses digits by underflow.
_LOWEST, _HIGHEST = -620.0, 700.0


def log_sum_exp(terms: Sequence[Exponent], target: str) -> list[Step]:
    """Return steps that fill a plane with the logarithm of the sum of the exponentials of some exponents.

    Parameters
    ----------
    terms : sequence of Exponent
        At least one exponent.
    target : str
        The name of the plane.

    Returns
    -------
    list of Step
        The sum is taken relative to the highest exponent, so that it neither overflows nor underflows.
    """
    if len(terms) == 1:
        return reduce_exponents(terms, target, "{}", maximum_of, first=_FINITE)
    # If one exponent is finite, the highest one is, and another one of minus infinity adds 0 to the sum.
    relative = _RELATIVE.format(_FINITE)
    return [
        *reduce_exponents(terms, "peak", "{}", maximum_of, first=_FINITE),
        *reduce_exponents(terms, "total", _RELATIVE, sum_of, ("peak",), first=relative),
        Step(target, "log(total) + peak", ("total", "peak")),
    ]


@dataclass(frozen=True)
class LogSum(Reduction):
    """The logarithm of the sum of the exponentials of some exponents, with fewer steps for most pixels.

    The sum is taken as it stands. Only where it overflows or underflows, far from all kernels, is it taken
    again relative to the highest exponent, which takes two passes over all kernels.
    """

    terms: tuple[Exponent, ...]

    @property
    def n_planes(self) -> int:  # type: ignore[override]  # noqa: D102
        return len(self.terms[0].rows) + 2 + max(self._direct.n_planes, self._relative.n_planes)

    @property
    def compiled_bytes(self) -> int:  # type: ignore[override]  # noqa: D102
        return self._direct.compiled_bytes + self._relative.compiled_bytes

    def fill(self, planes: NDArray[np.float64], out: NDArray[Any], *, serial: bool) -> None:
        """Fill a plane of float64 from the channel planes."""
        self._direct.run(planes, [out[np.newaxis]], serial=serial)
        far = np.flatnonzero((out < _LOWEST) | (out > _HIGHEST))
        if len(far):
            logarithms = np.empty((1, len(far)))
            self._relative.run(planes[:, far], [logarithms], serial=serial)
            out[far] = logarithms[0]

    @cached_property
    def _direct(self) -> Program:
        steps = reduce_exponents(self.terms, "total", "exp({})", sum_of)
        return join([Program((*steps, Step("out0", "log(total)", ("total",))))])

    @cached_property
    def _relative(self) -> Program:
        return join([Program(tuple(log_sum_exp(self.terms, "out0")))])
