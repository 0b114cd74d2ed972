"""The engine ``numexpr``, the reference: it computes every pixel by numexpr expressions in float64."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.compute.engine import Engine
from pipeline.compute.planes import compute_pixels, count_constants, program_bytes, strip_length
from pipeline.compute.strips import cut_strips

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from pipeline.models.output import Output

# The time for one constant of the program and one pixel, on an AMD EPYC with AVX-512 as those of the other
# engines: python tests/benchmarks/pixels.py. The choice between engines needs only their ratios. It doesn't
# measure the machine, so that a run gets the same engine, and the same last digits, whenever it runs.
_SECONDS_PER_CONSTANT = 1e-9


class NumexprEngine(Engine):
    """The engine that computes every pixel. It can compute all outputs from pixels of all dtypes."""

    name: ClassVar[str] = "numexpr"
    is_reference: ClassVar[bool] = True

    def refusal(self, output: Output, dtype: np.dtype[Any]) -> str | None:
        """Return None: no output is refused."""
        del output, dtype
        return None

    def seconds(self, output: Output, dtype: np.dtype[Any], n_pixels: int) -> float:
        """Estimate the time from the number of constants in the expressions of the kernels."""
        del dtype  # all pixels are converted to float64
        return n_pixels * count_constants(output.quantity) * _SECONDS_PER_CONSTANT

    def is_close(self, output: Output) -> bool:
        """Return True: the bits are those of the reference."""
        del output
        return True

    def process_bytes(self, outputs: Sequence[Output], dtype: np.dtype[Any]) -> int:
        """Return 0: each thread holds its own program."""
        del outputs, dtype
        return 0

    def thread_bytes(self, outputs: Sequence[Output], dtype: np.dtype[Any]) -> int:
        """Return the memory of the compiled program and of the planes of a strip."""
        del dtype  # all pixels are converted to float64
        return program_bytes(outputs)

    def prepare(self) -> None:
        """Do nothing: numexpr is imported by now."""

    def evaluate(
        self,
        pixels: NDArray[Any],
        outputs: Sequence[Output],
        results: Sequence[NDArray[Any]],
        *,
        serial: bool,
    ) -> list[float]:
        """Compute the outputs at every pixel, see :meth:`Engine.evaluate`."""
        strips = cut_strips(pixels.shape, strip_length(outputs))
        return compute_pixels(outputs, pixels, results, strips, serial=serial)
