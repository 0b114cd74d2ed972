"""The base class of the engines that compute every pixel by programs with an arithmetic of their own."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pipeline.compute.engine import Engine
from pipeline.compute.formulas import formula_of
from pipeline.compute.planes import compute_pixels, program_bytes, strip_length
from pipeline.compute.strips import compute_strips

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipeline.compute.arithmetic import Arithmetic
    from pipeline.models.output import Output

# Exponents above this one may overflow, as those of kernels with tiny variances do.
_HIGHEST = 690.0


class ArithmeticEngine(Engine):
    """An engine that differs from the reference in the arithmetic alone. It takes all pixels as float64."""

    is_reference: ClassVar[bool] = False

    @abstractmethod
    def arithmetic_of(self, output: Output) -> Arithmetic:
        """Return the arithmetic for an output. A result has the same bits whatever else is computed."""

    def refusal(self, output: Output, dtype: np.dtype[Any]) -> str | None:
        """Return a reason if a density may exceed the range of float64."""
        del dtype  # all pixels are converted to float64
        groups = formula_of(output.quantity).summed()
        if max(float(term.offset) for terms in groups for term in terms) > _HIGHEST:
            return "a kernel has so small a variance that its density may exceed the range of float64"
        return None

    def is_close(self, output: Output) -> bool:
        """Return whether the dtype has so few digits that the error is at most its last place."""
        return output.dtype != np.float64

    def thread_bytes(self, outputs: Sequence[Output], dtype: np.dtype[Any]) -> int:
        """Return the memory of the planes of a strip."""
        del dtype  # all pixels are converted to float64
        return max(
            program_bytes([outputs[number] for number in numbers], arithmetic)
            for arithmetic, numbers in self._groups(outputs)
        )

    def evaluate(
        self,
        pixels: NDArray[Any],
        outputs: Sequence[Output],
        results: Sequence[NDArray[Any]],
        *,
        serial: bool,
    ) -> list[float]:
        """Compute the outputs at every pixel, see :meth:`Engine.evaluate`."""
        largest = [0.0] * len(outputs)
        for arithmetic, numbers in self._groups(outputs):
            group = [outputs[number] for number in numbers]
            of_group = [results[number] for number in numbers]
            length = strip_length(group, arithmetic)
            compute = partial(compute_pixels, group, pixels, of_group, serial=True, arithmetic=arithmetic)
            errors = compute_strips(compute, pixels.shape, length, serial=serial)
            for number, error in zip(numbers, errors, strict=True):
                largest[number] = error
        return largest

    def _groups(self, outputs: Sequence[Output]) -> list[tuple[Arithmetic, list[int]]]:
        """Return the arithmetics that outputs need, and the numbers of the outputs for each."""
        groups: dict[Arithmetic, list[int]] = {}
        for number, output in enumerate(outputs):
            groups.setdefault(self.arithmetic_of(output), []).append(number)
        return list(groups.items())
